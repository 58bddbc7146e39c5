//! `ambo speak`

use std::io;
use std::path::Path;
use std::time::Duration;

use ambo_client::{Closed, Event, Events, Resumed, Speaker, SpeakerOptions};
use bytes::Bytes;
use clap::ArgMatches;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::args::Speak;
use crate::format::{Format, Pcm};
use crate::progress::{Progress, clock, count};
use crate::source::Source;
use crate::target;
use crate::trouble::Trouble;

/// How late a frame may be before the clock is set anew: a live source sets the pace then.
const LATE: Duration = Duration::from_millis(200);

/// Speaks a file from its beginning to its end.
pub async fn run(args: Speak, matches: &ArgMatches) -> Result<(), Trouble> {
    let is_stdin = args.file == Path::new("-");
    if args.is_looped && is_stdin {
        return Err(Trouble::usage("--loop needs a file: standard input cannot begin anew"));
    }
    let source = open(&args)?;
    let server = target::server(&args.reach)?;
    let tokens = target::tokens(args.token.clone(), &server, matches)?;
    let options = SpeakerOptions {
        quality: args.quality,
        session: args.session.clone(),
        ..SpeakerOptions::new(tokens, args.language)
    };
    let connected = Speaker::connect(&server, options).await;
    let (speaker, events) = connected.map_err(|closed| closed_trouble(&closed, &args))?;
    greet(&speaker, &args);
    let length = source.length.filter(|_| !args.is_looped);
    let talk = Talk {
        progress: Progress::new(length),
        length,
        format: source.format.clone(),
        speaker,
        events,
        args,
        told: Told::default(),
    };
    talk.run(source).await
}

fn open(args: &Speak) -> Result<Source, Trouble> {
    let raw = args.raw_rate.map(|rate| Pcm { rate, channels: args.raw_channels });
    Source::open(&args.file, raw)
}

fn closed_trouble(closed: &Closed, args: &Speak) -> Trouble {
    Trouble::of_closed(closed, &args.reach.server)
        .unwrap_or_else(|| Trouble::here("the session ended before it began"))
}

fn greet(speaker: &Speaker, args: &Speak) {
    let (id, language) = (speaker.session_id(), args.language);
    let server = match args.reach.server.as_str() {
        "ws://127.0.0.1:8080/ws" => String::new(),
        other => format!(" --server {other}"),
    };
    println!("Session {id} is open.");
    let ambo = target::invocation();
    println!("Listen with: {ambo} listen {id} --language {language}{server}");
}

/// A talk that is being held.
struct Talk {
    args: Args,
    speaker: Speaker,
    events: Events,
    format: Format,
    length: Option<Duration>,
    progress: Progress,
    told: Told,
}

type Args = Speak;

/// What there is to show.
#[derive(Debug, Default)]
struct Told {
    frames: u64,
    spoken: Duration,
    listeners: Option<u32>,
    dropped: u64,
    /// Why the session ended, if it was not this speaker who ended it.
    cut_short: Option<String>,
}

/// What may happen while it is spoken.
enum Moment {
    Piece(Option<io::Result<Bytes>>),
    Event(Option<Event>),
    Interrupted,
}

/// What became of the wait for listeners.
enum Audience {
    There,
    Interrupted,
    Over(Closed),
}

impl Talk {
    async fn run(mut self, source: Source) -> Result<(), Trouble> {
        let configuration = self.format.encode();
        // When the client is done already, its last event says why.
        let _ = self.speaker.configure(configuration).await;
        let _ = self.speaker.status().await;
        let mut interrupted = std::pin::pin!(target::interrupted());
        match self.audience(interrupted.as_mut()).await {
            Audience::There => {}
            Audience::Interrupted => return self.end().await,
            Audience::Over(closed) => return self.closed(&closed),
        }
        let mut pieces = source.pieces();
        let mut next_at = Instant::now();
        loop {
            let moment = tokio::select! {
                // What happened comes first: a pace that is always late must not hide it.
                biased;
                event = self.events.next() => Moment::Event(event),
                () = interrupted.as_mut() => Moment::Interrupted,
                piece = paced(&mut pieces, next_at) => Moment::Piece(piece),
            };
            match moment {
                Moment::Event(event) => {
                    if let Some(closed) = self.happened(event) {
                        return self.closed(&closed);
                    }
                }
                Moment::Interrupted => return self.end().await,
                Moment::Piece(Some(piece)) => {
                    let piece = piece.map_err(|error| self.unreadable(error))?;
                    let now = Instant::now();
                    if now > next_at + LATE {
                        next_at = now;
                    }
                    next_at += self.say(piece).await;
                }
                Moment::Piece(None) if self.args.is_looped => pieces = open(&self.args)?.pieces(),
                Moment::Piece(None) => {
                    // The last frame has its time too.
                    sleep_until(next_at).await;
                    return self.end().await;
                }
            }
        }
    }

    /// Says a frame, and tells how long it sounds.
    async fn say(&mut self, piece: Bytes) -> Duration {
        let duration = self.format.duration(&piece);
        if let Err(ambo_client::SendError::Size { given, limit }) = self.speaker.send(piece).await {
            self.progress
                .say(&format!("a frame of {given} bytes was left out; {limit} are allowed"));
            return duration;
        }
        self.told.frames += 1;
        self.told.spoken += duration;
        self.show();
        duration
    }

    fn show(&mut self) {
        let Told { frames, listeners, .. } = self.told;
        self.progress.show(self.told.spoken, self.length, || match listeners {
            Some(listeners) => {
                format!("{}, {}", count(listeners.into(), "listener"), count(frames, "frame"))
            }
            None => count(frames, "frame"),
        });
    }

    /// Waits for the listeners asked for.
    async fn audience(
        &mut self,
        mut interrupted: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Audience {
        let wanted = self.args.wait_for;
        if wanted > 0 {
            self.progress.say(&format!("Waiting for {} …", count(wanted.into(), "listener")));
        }
        while self.told.listeners.unwrap_or(0) < wanted {
            let event = tokio::select! {
                event = self.events.next() => event,
                () = interrupted.as_mut() => return Audience::Interrupted,
            };
            if let Some(closed) = self.happened(event) {
                return Audience::Over(closed);
            }
        }
        Audience::There
    }

    /// Takes an event up; tells when the client is done.
    fn happened(&mut self, event: Option<Event>) -> Option<Closed> {
        let Some(event) = event else { return Some(Closed::Ended) };
        match event {
            Event::Closed(closed) => return Some(closed),
            // It was this speaker who ended it.
            Event::Ended { reason, .. } if reason == "speakerEnded" => {}
            Event::Ended { message, .. } => self.told.cut_short = Some(message),
            Event::Status(status) => {
                self.told.listeners = Some(status.listeners);
                self.show();
            }
            Event::Dropped { frames } => {
                self.told.dropped += frames;
                self.progress.say(&format!("{} came too late to be sent", count(frames, "frame")));
            }
            event => {
                if let Some(line) = line(&event) {
                    self.progress.say(&line);
                }
            }
        }
        None
    }

    /// Ends the session, and waits until it is.
    async fn end(mut self) -> Result<(), Trouble> {
        let _ = self.speaker.end(None).await;
        let mut again = std::pin::pin!(target::interrupted());
        loop {
            let event = tokio::select! {
                event = self.events.next() => event,
                () = again.as_mut() => return Err(Trouble::here("interrupted; the session ends by itself")),
            };
            if let Some(closed) = self.happened(event) {
                return self.closed(&closed);
            }
        }
    }

    fn closed(&self, closed: &Closed) -> Result<(), Trouble> {
        self.progress.finish();
        let Told { frames, spoken, dropped, ref cut_short, .. } = self.told;
        let lost =
            if dropped > 0 { format!(", {dropped} of them too late") } else { String::new() };
        println!("Spoke {} in {}{lost}.", clock(spoken), count(frames, "frame"));
        let cut_short = cut_short.as_ref().map(Trouble::cut_short);
        let trouble = cut_short.or_else(|| Trouble::of_closed(closed, &self.args.reach.server));
        trouble.map_or(Ok(()), Err)
    }

    fn unreadable(&self, error: io::Error) -> Trouble {
        self.progress.finish();
        Trouble::failed(self.args.file.display(), error)
    }
}

/// The next piece, when its time has come. May be cancelled without loss.
async fn paced(
    pieces: &mut mpsc::Receiver<io::Result<Bytes>>,
    at: Instant,
) -> Option<io::Result<Bytes>> {
    sleep_until(at).await;
    pieces.recv().await
}

/// What speakers and listeners are told of their connection.
pub fn line(event: &Event) -> Option<String> {
    let caught_up = |resumed: &Resumed| match resumed.replayed {
        0 => String::new(),
        replayed => format!(", caught up with {}", count(replayed.into(), "frame")),
    };
    Some(match event {
        Event::Reconnecting { failure, retry_in, .. } if retry_in.0 > 0 => {
            format!("{failure}; trying again in {:.1} s", retry_in.0 as f64 / 1_000.0)
        }
        Event::Reconnecting { failure, .. } => format!("{failure}; trying again"),
        Event::Reconnected(resumed) => format!("connected again{}", caught_up(resumed)),
        Event::Refreshed(resumed) => {
            format!("moved to a new connection{}", caught_up(resumed))
        }
        Event::RefreshFailed { failure, .. } => format!("no new connection yet: {failure}"),
        Event::ReconnectFailed { failure } => format!("cannot come back: {failure}"),
        Event::Warning { message, .. } => message.clone(),
        Event::Error(error) => format!("the server says: {}", error.message),
        Event::Ended { message, .. } => message.clone(),
        _ => return None,
    })
}
