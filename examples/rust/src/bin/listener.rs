//! Join a session, and record it into a WAV file until it ends.
//!
//! `cargo run -p ambo-examples --bin listener -- faithful-shepherd-427 --language es --out
//! heard.wav` shows the progress on standard error. Ctrl-C leaves, and finishes the recording.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use ambo_client::{Closed, Event, Language, Listener, ListenerOptions, Server, SessionId};
use anyhow::{Context, bail};
use clap::Parser;
use hound::{SampleFormat, WavSpec, WavWriter};

/// Join a session, and record it into a WAV file until it ends.
#[derive(Parser)]
struct Options {
    /// What the speaker has told you, such as faithful-shepherd-427.
    session: String,
    /// The language to hear.
    #[arg(long)]
    language: String,
    /// The WAV file to make.
    #[arg(long)]
    out: PathBuf,
    /// The server's address.
    #[arg(long, env = "AMBO_SERVER", default_value = "ws://127.0.0.1:8080/ws")]
    server: String,
}

/// Begun when the speaker has said what its audio is.
type Recording = Option<WavWriter<BufWriter<File>>>;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let session = SessionId::parse(&options.session).context("no session id")?;
    let language = Language::parse(&options.language).context("no ISO 639-1 language")?;
    let listening = ListenerOptions::new(session, language);
    let server = Server::parse(&options.server)?;
    let (listener, mut events) = Listener::connect(&server, listening).await?;
    let mut recording = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = tokio::signal::ctrl_c() => {
                listener.leave().await?;
                continue;
            }
        };
        let Some(event) = event else { break };
        match event {
            // Frames come in order and each once, whatever happens to the connection.
            Event::Configuration(frame) => begin(&mut recording, &options.out, &frame.payload)?,
            Event::Audio(frame) => record(&mut recording, &frame.payload)?,
            Event::Closed(why @ (Closed::Failed(_) | Closed::ByServer(_))) => bail!(why),
            other => tell(&other),
        }
    }
    if let Some(wav) = recording {
        eprintln!("\r{} s in {}", wav.duration() / wav.spec().sample_rate, options.out.display());
        wav.finalize()?;
    }
    Ok(())
}

/// Begins the recording, unless it has begun: after a reconnect the configuration may come again.
fn begin(recording: &mut Recording, out: &PathBuf, configuration: &[u8]) -> anyhow::Result<()> {
    if recording.is_some() {
        return Ok(());
    }
    let format: serde_json::Value =
        serde_json::from_slice(configuration).context("only pcm_s16le is understood here")?;
    let number = |name: &str| format[name].as_u64().context("the configuration is incomplete");
    let spec = WavSpec {
        channels: number("channels")?.try_into()?,
        sample_rate: number("rate")?.try_into()?,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    *recording = Some(WavWriter::create(out, spec)?);
    Ok(())
}

fn record(recording: &mut Recording, payload: &[u8]) -> anyhow::Result<()> {
    let Some(wav) = recording else { return Ok(()) };
    for sample in payload.chunks_exact(2) {
        wav.write_sample(i16::from_le_bytes([sample[0], sample[1]]))?;
    }
    let rate = wav.spec().sample_rate;
    if wav.duration() % rate < rate / 50 {
        eprint!("\r{:5} s ", wav.duration() / rate);
    }
    Ok(())
}

/// The client itself does what is needed; this only tells.
fn tell(event: &Event) {
    match event {
        Event::SessionJoined { source_language, target_language, .. } => {
            eprintln!("listening in {target_language}; {source_language} is spoken");
        }
        Event::Paused(turn) => {
            let why = turn.message.as_deref().or(turn.reason.as_deref());
            eprintln!("\rpaused: {}", why.unwrap_or("by the speaker"));
        }
        Event::Resumed(_) => eprintln!("\rresumed"),
        Event::Gap { frames } => eprintln!("\r{frames} frames are missing"),
        Event::Refreshed(_) => eprintln!("\rmoved to a new connection"),
        Event::Reconnecting { failure, attempt, .. } => eprintln!("\r{failure}; attempt {attempt}"),
        Event::Reconnected(back) => eprintln!("\rback, {} frames are sent again", back.replayed),
        Event::Error(error) => eprintln!("\r{} ({})", error.message, error.code),
        Event::Ended { message, reason } => eprintln!("\r{message} ({reason})"),
        _ => {}
    }
}
