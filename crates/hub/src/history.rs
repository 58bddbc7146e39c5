//! The last seconds of a channel, for listeners who come back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use crate::audio::Audio;
use crate::settings::HistoryLimits;

/// Frames in order of arrival, which is the order of their sequence.
#[derive(Debug, Default)]
pub(crate) struct History {
    frames: VecDeque<Arc<Audio>>,
    bytes: usize,
}

impl History {
    /// Adds the newest frame and lets go of what no longer fits.
    pub fn push(&mut self, audio: Arc<Audio>, limits: &HistoryLimits) {
        let now = audio.arrived;
        self.bytes += audio.payload.len();
        self.frames.push_back(audio);
        while self.frames.len() > limits.frames || self.bytes > limits.bytes {
            self.pop();
        }
        self.trim(now, limits);
    }

    /// Lets go of what has grown too old.
    pub fn trim(&mut self, now: Instant, limits: &HistoryLimits) {
        let is_old =
            |audio: &Arc<Audio>| now.saturating_duration_since(audio.arrived) > limits.span;
        while self.frames.front().is_some_and(is_old) {
            self.pop();
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }

    /// What came after this sequence, oldest first.
    pub fn after(&self, sequence: u32) -> impl Iterator<Item = &Arc<Audio>> {
        let start = self.frames.partition_point(|audio| audio.sequence <= sequence);
        self.frames.range(start..)
    }

    fn pop(&mut self) {
        if let Some(audio) = self.frames.pop_front() {
            self.bytes -= audio.payload.len();
        }
    }
}
