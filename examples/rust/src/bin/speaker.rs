//! Create a session and speak a WAV file (16-bit PCM) into it, in real time.
//!
//! `cargo run -p ambo-examples --bin speaker -- --file talk.wav` prints the session's id on
//! standard output and the progress on standard error. Ctrl-C ends the session.
#![allow(clippy::print_stdout, reason = "the id is this program's output")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ambo_client::{Event, Events, Language, Server, Speaker, SpeakerOptions, Tokens};
use anyhow::{Context, ensure};
use clap::Parser;
use tokio::time::{Instant, sleep, sleep_until};

/// Create a session and speak a WAV file (16-bit PCM) into it, in real time.
#[derive(Parser)]
struct Options {
    /// The WAV file to speak.
    #[arg(long)]
    file: PathBuf,
    /// The language that is spoken.
    #[arg(long, default_value = "en")]
    language: String,
    /// The server's address.
    #[arg(long, env = "AMBO_SERVER", default_value = "ws://127.0.0.1:8080/ws")]
    server: String,
    /// A speaker's token; on the server's machine `ambo token --user NAME` prints one.
    #[arg(long, env = "AMBO_TOKEN")]
    token: String,
    /// Listeners to wait for before the first word.
    #[arg(long, default_value_t = 0)]
    wait_for: u32,
}

/// The length of a frame: short enough to be lively, long enough not to be mostly header.
const FRAME: Duration = Duration::from_millis(20);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut wav = hound::WavReader::open(&options.file)
        .with_context(|| format!("{} is no WAV file", options.file.display()))?;
    let spec = wav.spec();
    ensure!(spec.bits_per_sample == 16, "the WAV file must be 16-bit PCM");
    let samples: Vec<i16> = wav.samples().collect::<Result<_, _>>()?;
    let per_frame = spec.sample_rate as usize / 50 * usize::from(spec.channels);

    let language = Language::parse(&options.language).context("no ISO 639-1 language")?;
    // Tokens::ask takes a function instead, which is called at each connect.
    let speaking = SpeakerOptions::new(Tokens::fixed(options.token), language);
    let (speaker, events) = Speaker::connect(&Server::parse(&options.server)?, speaking).await?;
    let listeners = Arc::new(AtomicU32::new(0));
    let told = tokio::spawn(tell(events, Arc::clone(&listeners)));

    // What a decoder must know first; the server gives it to every newcomer.
    let (rate, channels) = (spec.sample_rate, spec.channels);
    let format = serde_json::json!({ "codec": "pcm_s16le", "rate": rate, "channels": channels });
    speaker.configure(format.to_string()).await?;
    let talk = async {
        println!("{}", speaker.session_id());
        while listeners.load(Ordering::Relaxed) < options.wait_for {
            speaker.status().await?;
            sleep(Duration::from_millis(500)).await;
        }
        speak(&speaker, &samples, per_frame, &listeners).await
    };
    // In this order Ctrl-C is heeded from the first line on.
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {}
        spoken = talk => spoken?,
    }
    // Sends what is still to be sent, and ends the session.
    speaker.end(None).await?;
    drop(speaker);
    told.await?;
    Ok(())
}

async fn speak(
    speaker: &Speaker,
    samples: &[i16],
    per_frame: usize,
    listeners: &AtomicU32,
) -> anyhow::Result<()> {
    let began = Instant::now();
    for (number, frame) in (1_u32..).zip(samples.chunks(per_frame)) {
        let payload: Vec<u8> = frame.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        speaker.send(payload).await?;
        if number % 25 == 0 {
            let (seconds, hearing) = (number / 50, listeners.load(Ordering::Relaxed));
            eprint!("\r{seconds:5} s, {hearing} listening ");
        }
        // By the clock, so that small delays do not add up.
        sleep_until(began + FRAME * number).await;
    }
    Ok(())
}

/// The client itself does what is needed; this only tells.
async fn tell(mut events: Events, listeners: Arc<AtomicU32>) {
    while let Some(event) = events.next().await {
        match event {
            Event::Status(status) => listeners.store(status.listeners, Ordering::Relaxed),
            Event::Refreshed(_) => eprintln!("\rmoved to a new connection"),
            Event::Reconnecting { failure, attempt, .. } => {
                eprintln!("\r{failure}; attempt {attempt}");
            }
            Event::Reconnected(back) => {
                eprintln!("\rback, {} frames are sent again", back.replayed);
            }
            Event::Dropped { frames } => eprintln!("\r{frames} frames were too old to be sent"),
            Event::Error(error) => eprintln!("\r{} ({})", error.message, error.code),
            Event::Closed(why) => eprintln!("\rdone: {why}"),
            _ => {}
        }
    }
}
