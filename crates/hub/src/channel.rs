//! One language of a session: what was said in it, and what a newcomer must hear of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use ambo_core::Language;
use bytes::Bytes;

use crate::audio::{Audio, Framing, Kind};
use crate::history::History;
use crate::hub::Resume;
use crate::outlet::{Piece, Sort};
use crate::settings::HistoryLimits;

/// One language of a session. Until interpreters speak in a channel of their own, only the
/// floor's has a voice, and the listeners of all others hear the floor.
#[derive(Debug)]
pub(crate) struct Channel {
    pub language: Language,
    pub seats: usize,
    /// Turned to revoke whoever speaks in it.
    pub voice: Option<Arc<AtomicBool>>,
    pub last: Option<u32>,
    configuration: Option<Arc<Audio>>,
    history: History,
}

/// What a newcomer gets before live audio.
pub(crate) struct Missed {
    pub configuration: Option<Arc<Audio>>,
    pub history: Vec<Arc<Audio>>,
}

impl Channel {
    pub fn new(language: Language) -> Self {
        Self {
            language,
            seats: 0,
            voice: None,
            last: None,
            configuration: None,
            history: History::default(),
        }
    }

    /// Remembers a frame that has just been published.
    pub fn record(&mut self, audio: Arc<Audio>, limits: &HistoryLimits) {
        self.last = Some(audio.sequence);
        if audio.kind == Kind::Configuration {
            self.configuration = Some(Arc::clone(&audio));
        }
        self.history.push(audio, limits);
    }

    pub fn trim(&mut self, now: Instant, limits: &HistoryLimits) {
        self.history.trim(now, limits);
    }

    pub fn missed(
        &mut self,
        framing: Framing,
        resume: Resume,
        now: Instant,
        limits: &HistoryLimits,
    ) -> Missed {
        self.history.trim(now, limits);
        let history: Vec<_> = match resume {
            Resume::Live => Vec::new(),
            Resume::After(sequence) => self.history.after(sequence).cloned().collect(),
        };
        // The configuration goes first, unless it was had before or has its place in the replay.
        let is_had = |audio: &Arc<Audio>| match resume {
            Resume::Live => false,
            Resume::After(sequence) => audio.sequence <= sequence,
        };
        let is_replayed = |audio: &Arc<Audio>| {
            history.first().is_some_and(|first| first.sequence <= audio.sequence)
        };
        let configuration = self.configuration.as_ref();
        let configuration = configuration
            .filter(|audio| audio.suits(framing) && !is_had(audio) && !is_replayed(audio));
        Missed {
            configuration: configuration.cloned(),
            history: history.into_iter().filter(|audio| audio.suits(framing)).collect(),
        }
    }
}

/// The frame as one listener's queue takes it. Without its configuration a decoder is lost, so
/// that is never dropped.
pub(crate) fn piece_of(
    audio: &Audio,
    framing: Framing,
    encode: fn(&Audio, Framing) -> Bytes,
) -> Piece {
    let sort = match audio.kind {
        Kind::Configuration => Sort::Control,
        Kind::Audio => Sort::Audio,
    };
    Piece { bytes: audio.encoded(framing, encode), sort }
}
