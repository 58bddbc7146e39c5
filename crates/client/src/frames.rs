//! The speaker's frames: numbered when they go out, kept until they have surely arrived.

use std::collections::VecDeque;

use ambo_core::{Language, Millis};
use ambo_wire::AudioFrame;
use ambo_wire::audio::Kind;

use crate::input::Frame;
use crate::timing::Timing;

/// One line of frames: first those that went out and may have been lost, then those that wait.
///
/// A frame gets its number when it first goes out, so that what is dropped from the line leaves
/// no hole that listeners would notice.
#[derive(Debug)]
pub(crate) struct Frames {
    line: VecDeque<Entry>,
    /// How many of the line have gone out on the present connection.
    sent: usize,
    bytes: usize,
    next: u32,
    /// The last configuration that went out, for a server that has forgotten it.
    configuration: Option<Entry>,
    allowance: Allowance,
}

#[derive(Clone, Debug)]
struct Entry {
    frame: Frame,
    queued_at: Millis,
    sent_at: Millis,
    sequence: Option<u32>,
}

/// How fast frames may go, so that catching up does not break the server's limit.
#[derive(Debug)]
struct Allowance {
    /// Thousandths of a frame.
    tokens: u64,
    filled_at: Millis,
}

impl Frames {
    pub fn new() -> Self {
        Self {
            line: VecDeque::new(),
            sent: 0,
            bytes: 0,
            next: 1,
            configuration: None,
            allowance: Allowance { tokens: 0, filled_at: Millis::ZERO },
        }
    }

    /// Adds a frame and tells how many had to go for it.
    pub fn push(&mut self, frame: Frame, now: Millis, timing: &Timing) -> u64 {
        self.bytes += frame.payload.len();
        self.line.push_back(Entry { frame, queued_at: now, sent_at: Millis::ZERO, sequence: None });
        self.trim(now, timing)
    }

    /// The next frame to go out, if the server's limit allows one.
    pub fn next(&mut self, now: Millis, language: Language, timing: &Timing) -> Option<AudioFrame> {
        let entry = self.line.get_mut(self.sent)?;
        if !self.allowance.take(now, timing) {
            return None;
        }
        let sequence = *entry.sequence.get_or_insert_with(|| {
            let sequence = self.next;
            self.next = self.next.saturating_add(1);
            sequence
        });
        entry.sent_at = now;
        if entry.frame.kind == Kind::Configuration {
            self.configuration = Some(entry.clone());
        }
        self.sent += 1;
        Some(AudioFrame {
            kind: entry.frame.kind,
            language,
            sequence,
            captured_micros: entry.frame.captured_micros,
            payload: entry.frame.payload.clone(),
        })
    }

    /// Goes back to what the server has not heard: all above `last`, or all that is kept when it
    /// has heard nothing. Tells how many frames go out again.
    pub fn rewind(&mut self, last: Option<u32>, now: Millis, timing: &Timing) -> u32 {
        self.allowance = Allowance { tokens: timing.burst(), filled_at: now };
        if let Some(last) = last {
            self.next = self.next.max(last.saturating_add(1));
        }
        let is_unheard = |sequence: Option<u32>| match (sequence, last) {
            (Some(sequence), Some(last)) => sequence > last,
            (None, _) | (_, None) => true,
        };
        self.sent = self.line.iter().take_while(|entry| !is_unheard(entry.sequence)).count();
        // What was heard a moment ago may yet be lost with the server.
        self.confirm(now);
        self.owe_configuration(is_unheard);
        let again = self.line.iter().skip(self.sent).filter(|entry| entry.sequence.is_some());
        u32::try_from(again.count()).unwrap_or(u32::MAX)
    }

    /// The configuration may be older than all that is kept; its number is lower then, and right.
    fn owe_configuration(&mut self, is_unheard: impl Fn(Option<u32>) -> bool) {
        let Some(configuration) = &self.configuration else { return };
        let sequence = configuration.sequence;
        let is_kept = self.line.iter().any(|entry| entry.sequence == sequence);
        if is_unheard(sequence) && !is_kept {
            self.bytes += configuration.frame.payload.len();
            self.line.insert(self.sent, configuration.clone());
        }
    }

    /// What went out before then has arrived. The last two seconds of it are kept all the same:
    /// a server that is killed may have heard frames that no listener did.
    pub fn confirm(&mut self, before: Millis) {
        let before = before - Millis::from_secs(2);
        while self.sent > 0 && self.line.front().is_some_and(|entry| entry.sent_at < before) {
            self.pop(0);
        }
    }

    /// Lets go of the audio that waits, because the broadcast is paused, and tells how much.
    pub fn forget_waiting(&mut self) -> u64 {
        let mut forgotten = 0;
        let mut at = self.sent;
        while let Some(entry) = self.line.get(at) {
            if entry.frame.kind == Kind::Audio {
                self.pop(at);
                forgotten += 1;
            } else {
                at += 1;
            }
        }
        forgotten
    }

    /// Whether everything has gone out.
    pub fn is_drained(&self) -> bool {
        self.sent == self.line.len()
    }

    /// When the next frame may go out, if one waits.
    pub fn deadline(&self, timing: &Timing) -> Option<Millis> {
        (!self.is_drained()).then(|| self.allowance.deadline(timing))
    }

    /// Lets go of what is too old or too much, and tells how many frames will never go out.
    pub fn trim(&mut self, now: Millis, timing: &Timing) -> u64 {
        let mut lost = 0;
        loop {
            let is_over = self.bytes > timing.queue_bytes || self.line.len() > timing.queue_frames;
            let oldest = self.line.front().map(|entry| entry.queued_at);
            let is_stale = oldest.is_some_and(|at| now > at + timing.queue_span);
            if !is_over && !is_stale {
                return lost;
            }
            // Without its configuration a decoder is lost, so other frames go first.
            let is_audio = |entry: &Entry| entry.frame.kind == Kind::Audio;
            let waiting = self.line.iter().skip(self.sent).position(is_audio);
            match (self.sent, waiting) {
                (0, Some(at)) if is_over || self.is_stale(at, now, timing) => {
                    self.pop(at);
                    lost += 1;
                }
                (0, None) if is_over => self.pop(0),
                (0, _) => return lost,
                (_, _) => self.pop(0),
            }
        }
    }

    fn is_stale(&self, at: usize, now: Millis, timing: &Timing) -> bool {
        self.line.get(at).is_some_and(|entry| now > entry.queued_at + timing.queue_span)
    }

    fn pop(&mut self, at: usize) {
        if let Some(entry) = self.line.remove(at) {
            self.bytes -= entry.frame.payload.len();
            if at < self.sent {
                self.sent -= 1;
            }
        }
    }
}

impl Allowance {
    fn take(&mut self, now: Millis, timing: &Timing) -> bool {
        let earned = now.since(self.filled_at).0.saturating_mul(timing.frames_per_second.into());
        self.tokens = self.tokens.saturating_add(earned).min(timing.burst());
        self.filled_at = now;
        if self.tokens < 1_000 {
            return false;
        }
        self.tokens -= 1_000;
        true
    }

    fn deadline(&self, timing: &Timing) -> Millis {
        let missing = 1_000_u64.saturating_sub(self.tokens);
        self.filled_at + Millis(missing.div_ceil(u64::from(timing.frames_per_second.max(1))))
    }
}

impl Timing {
    /// In thousandths of a frame.
    fn burst(&self) -> u64 {
        u64::from(self.frames_at_once).saturating_mul(1_000)
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
