//! What one listener went through, judged as it happens.

use std::time::Duration;

use ambo_client::{Closed, Event, Status, Turn};
use tokio::time::Instant;

/// The story of one listener. Frames are named by the numbers that the speaker gave them.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The first frame it heard.
    pub first: Option<u32>,
    /// The last.
    pub last: u32,
    /// How many frames came.
    pub heard: u64,
    /// Frames that were jumped over, and never came.
    pub lost: u64,
    /// Frames that came again, or too late.
    pub doubled: u64,
    /// The longest time between two frames since [`forget_silence`](Self::forget_silence).
    pub silence: Duration,
    /// When the last frame came.
    pub heard_at: Option<Instant>,
    /// Planned moves to another connection.
    pub moves: u32,
    /// Connections that were lost and had again.
    pub returns: u32,
    /// Whether it has a connection.
    pub is_up: bool,
    /// What it hears.
    pub language: String,
    /// Turns of the broadcast: `paused`, `resumed`, `muted`, `unmuted`.
    pub turns: Vec<(&'static str, Turn)>,
    /// Reasons of the ends it was told; there must be one.
    pub ends: Vec<String>,
    /// How it ended.
    pub closed: Option<Closed>,
    /// Everything that went wrong, in words.
    pub troubles: Vec<String>,
    /// Speaker: the last status, and how many came.
    pub status: Option<(u32, Status)>,
}

impl Record {
    /// A member that has just come in.
    pub(super) fn up(language: &str) -> Self {
        Self { is_up: true, language: language.to_owned(), ..Self::default() }
    }

    /// Takes an event up.
    pub(super) fn note(&mut self, event: Event) {
        match event {
            Event::Audio(frame) => {
                let number = frame.payload.first_chunk().copied().map(u32::from_be_bytes);
                self.hear(number.unwrap(), Instant::now());
            }
            Event::Refreshed(_) => self.moves += 1,
            Event::Reconnected(_) => {
                self.returns += 1;
                self.is_up = true;
            }
            Event::Reconnecting { failure, attempt, .. } => {
                self.is_up = false;
                self.troubles.push(format!("lost, attempt {attempt}: {failure}"));
            }
            Event::RefreshFailed { failure, .. } => {
                self.troubles.push(format!("refresh failed: {failure}"));
            }
            Event::Paused(turn) => self.turns.push(("paused", turn)),
            Event::Resumed(turn) => self.turns.push(("resumed", turn)),
            Event::Muted(turn) => self.turns.push(("muted", turn)),
            Event::Unmuted(turn) => self.turns.push(("unmuted", turn)),
            Event::LanguageChanged { target_language } => self.language = target_language,
            Event::Dropped { frames } => self.troubles.push(format!("{frames} frames dropped")),
            Event::Error(error) => self.troubles.push(error.message),
            Event::Ended { reason, .. } => self.ends.push(reason),
            Event::Status(status) => {
                let count = self.status.as_ref().map_or(0, |(count, _)| *count);
                self.status = Some((count + 1, status));
            }
            Event::Closed(closed) => {
                self.is_up = false;
                self.closed = Some(closed);
            }
            // The rest tells nothing that is promised.
            _ => {}
        }
    }

    /// Begins to measure silence anew.
    pub fn forget_silence(&mut self) {
        self.silence = Duration::ZERO;
    }

    fn hear(&mut self, number: u32, now: Instant) {
        self.heard += 1;
        if let Some(at) = self.heard_at {
            self.silence = self.silence.max(now - at);
        }
        self.heard_at = Some(now);
        if self.first.is_none() {
            self.first = Some(number);
        } else if number <= self.last {
            self.doubled += 1;
            return;
        } else {
            self.lost += u64::from(number - self.last - 1);
        }
        self.last = number;
    }
}
