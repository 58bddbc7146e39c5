//! `ambo listen`

use std::time::Duration;

use ambo_client::{Closed, Event, Events, Listener, ListenerOptions};
use tokio::time::{Instant, sleep_until};

use crate::args::Listen;
use crate::format::Format;
use crate::progress::{Progress, clock, count};
use crate::sink::Sink;
use crate::speak;
use crate::target;
use crate::trouble::Trouble;

/// The quietest sound that the meter shows, in decibels below full scale.
const FLOOR: f64 = 60.0;
/// Width of the meter in letters.
const WIDTH: usize = 30;
/// `--for` has no longer than this: a clock must be able to hold it.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Listens until the session ends, the time is over or Ctrl-C.
pub async fn run(args: Listen) -> Result<(), Trouble> {
    let server = target::server(&args.reach)?;
    let sink = args.out.as_deref().map(Sink::create).transpose()?;
    let options = ListenerOptions::new(args.session.clone(), args.language);
    let connected = Listener::connect(&server, options).await;
    let (listener, events) = connected.map_err(|closed| {
        let trouble = Trouble::of_closed(&closed, &args.reach.server);
        trouble.unwrap_or_else(|| Trouble::here("the session has just ended"))
    })?;
    let heard = Heard {
        progress: Progress::new(None),
        sink,
        format: None,
        frames: 0,
        missing: 0,
        missed: 0,
        sounded: Duration::ZERO,
        level: 0.0,
    };
    attend(args, listener, events, heard).await
}

async fn attend(
    args: Listen,
    listener: Listener,
    mut events: Events,
    mut heard: Heard,
) -> Result<(), Trouble> {
    let mut interrupted = std::pin::pin!(target::interrupted());
    let mut is_leaving = false;
    let until = Instant::now() + args.limit.unwrap_or(LONGEST).min(LONGEST);
    let outcome = loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = interrupted.as_mut(), if !is_leaving => {
                is_leaving = true;
                // When the client is done already, its last event says so.
                let _ = listener.leave().await;
                continue;
            }
            () = sleep_until(until), if !is_leaving => {
                is_leaving = true;
                let _ = listener.leave().await;
                continue;
            }
        };
        match event {
            Some(Event::Closed(closed)) => break closed_well(&closed, &args),
            None => break Ok(()),
            Some(event) => {
                if let Err(trouble) = heard.take(event) {
                    break Err(trouble);
                }
            }
        }
    };
    // The recording is finished whatever happened.
    heard.finish().and(outcome)
}

fn closed_well(closed: &Closed, args: &Listen) -> Result<(), Trouble> {
    Trouble::of_closed(closed, &args.reach.server).map_or(Ok(()), Err)
}

/// What was heard so far.
struct Heard {
    progress: Progress,
    sink: Option<Sink>,
    format: Option<Format>,
    frames: u64,
    /// Frames missing before the next one.
    missing: u32,
    /// Frames missing in all.
    missed: u64,
    sounded: Duration,
    level: f64,
}

impl Heard {
    fn take(&mut self, event: Event) -> Result<(), Trouble> {
        match event {
            Event::Audio(frame) => return self.frame(&frame.payload),
            Event::Configuration(frame) => {
                self.format = Format::parse(&frame.payload);
                if let Some(sink) = &mut self.sink {
                    sink.configure(&frame.payload)?;
                }
            }
            Event::Gap { frames } => self.lost(frames),
            Event::Dropped { frames } => self.lost(u32::try_from(frames).unwrap_or(u32::MAX)),
            Event::SessionJoined { session_id, source_language, target_language, state } => {
                let way = if source_language == target_language {
                    format!("in {source_language}")
                } else {
                    format!("in {target_language} (spoken in {source_language})")
                };
                let paused = if state.is_paused || state.is_muted { "; it is paused" } else { "" };
                self.progress.say(&format!("Listening to {session_id} {way}{paused}."));
            }
            event => {
                if let Some(line) = turn(&event).or_else(|| speak::line(&event)) {
                    self.progress.say(&line);
                }
            }
        }
        Ok(())
    }

    fn frame(&mut self, payload: &[u8]) -> Result<(), Trouble> {
        let missing = std::mem::take(&mut self.missing);
        if let Some(sink) = &mut self.sink {
            sink.frame(payload, missing)?;
        }
        self.frames += 1;
        if let Some(format) = &self.format {
            self.sounded += format.duration(payload);
        }
        self.level = match &self.format {
            Some(Format::Pcm(_)) => level(payload),
            Some(Format::Opus(_)) | None => 0.0,
        };
        self.show();
        Ok(())
    }

    fn lost(&mut self, frames: u32) {
        self.missing = self.missing.saturating_add(frames);
        self.missed += u64::from(frames);
    }

    fn show(&mut self) {
        let (frames, missed, level) = (self.frames, self.missed, self.level);
        let is_pcm = matches!(self.format, Some(Format::Pcm(_)));
        self.progress.show(self.sounded, None, || {
            let meter = if is_pcm { format!("{}  ", meter(level)) } else { String::new() };
            let missing = if missed > 0 { format!(", {missed} missing") } else { String::new() };
            format!("{meter}{}{missing}", count(frames, "frame"))
        });
    }

    fn finish(&mut self) -> Result<(), Trouble> {
        self.progress.finish();
        let closed = self.sink.as_mut().map_or(Ok(()), Sink::close);
        let missed = match self.missed {
            0 => "none missing".to_owned(),
            missed => format!("{missed} missing"),
        };
        let place = self.sink.as_ref().map(|sink| format!(" {}.", sink.summary()));
        let (sounded, frames) = (clock(self.sounded), count(self.frames, "frame"));
        println!("Heard {sounded} in {frames}, {missed}.{}", place.unwrap_or_default());
        closed
    }
}

fn turn(event: &Event) -> Option<String> {
    let (what, turn) = match event {
        Event::Paused(turn) if turn.reason.as_deref() == Some("speakerLost") => {
            ("The speaker's connection is lost; waiting", turn)
        }
        Event::Paused(turn) => ("The speaker has paused", turn),
        Event::Resumed(turn) => ("The speaker goes on", turn),
        Event::Muted(turn) => ("The microphone is closed", turn),
        Event::Unmuted(turn) => ("The microphone is open", turn),
        Event::State(state) if state.is_paused => return Some("The speaker has paused.".into()),
        Event::State(state) if state.is_muted => return Some("The microphone is closed.".into()),
        Event::State(_) => return Some("The speaker goes on.".into()),
        _ => return None,
    };
    Some(match &turn.message {
        Some(message) => format!("{what}: {message}"),
        None => format!("{what}."),
    })
}

/// The loudness of 16-bit samples, from 0 (nothing) to 1 (as loud as can be).
fn level(payload: &[u8]) -> f64 {
    let samples = payload.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    let count = samples.len().max(1) as f64;
    let power = samples.map(|sample| (f64::from(sample) / 32_768.0).powi(2)).sum::<f64>() / count;
    let decibels = 10.0 * power.max(1e-12).log10();
    ((decibels + FLOOR) / FLOOR).clamp(0.0, 1.0)
}

fn meter(level: f64) -> String {
    let full = (level * WIDTH as f64).round() as usize;
    format!("▕{}{}▏", "█".repeat(full), " ".repeat(WIDTH - full.min(WIDTH)))
}

#[cfg(test)]
mod tests {
    use ambo_client::State;

    use super::*;

    #[test]
    fn what_the_broadcast_has_become_is_shown() {
        for (is_paused, is_muted, expected) in [
            (true, false, "The speaker has paused."),
            (true, true, "The speaker has paused."),
            (false, true, "The microphone is closed."),
            (false, false, "The speaker goes on."),
        ] {
            let state = State { is_paused, is_muted, last_state_change: 1 };
            assert_eq!(turn(&Event::State(state)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn the_meter_goes_from_silence_to_full_scale() {
        let loud: Vec<u8> = [i16::MAX, i16::MIN].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert!(level(&loud) > 0.999);
        assert!(level(&[0; 640]) < 0.001);
        assert!(level(&[]) < 0.001);
        let quiet: Vec<u8> = [328_i16, -328].iter().flat_map(|s| s.to_le_bytes()).collect();
        assert!((level(&quiet) - 1.0 / 3.0).abs() < 0.01, "40 of 60 dB down");
        assert_eq!(meter(1.0).chars().count(), WIDTH + 2);
        assert_eq!(meter(0.0).chars().count(), WIDTH + 2);
    }
}
