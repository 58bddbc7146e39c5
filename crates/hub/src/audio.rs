//! A frame of audio on its way from one speaker to all listeners.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ambo_core::{Language, Millis, SessionId};
use bytes::Bytes;

/// What a speaker sent, as the edge has parsed it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// The sender's number; the hub gives the next one when there is none.
    pub sequence: Option<u32>,
    /// Capture time in microseconds since the epoch.
    pub captured: u64,
    /// The payload alone.
    pub payload: Bytes,
    /// The binary message it came as, to be passed on byte for byte.
    pub raw: Option<Bytes>,
    /// When it was received, by the wall clock.
    pub received: Millis,
}

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Audio.
    Audio,
    /// What a decoder must know first; the last one is replayed to every newcomer.
    Configuration,
}

/// How a listener takes its audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// JSON text with base64 inside. Configuration frames do not exist here.
    Json,
    /// The binary frame.
    Binary,
}

/// A frame that has its place in a channel.
#[derive(Debug)]
pub struct Audio {
    /// The session it belongs to.
    pub session: Arc<SessionId>,
    /// The language spoken.
    pub language: Language,
    /// What the payload is.
    pub kind: Kind,
    /// Its number within session and language.
    pub sequence: u32,
    /// Capture time in microseconds since the epoch.
    pub captured: u64,
    /// The payload alone.
    pub payload: Bytes,
    /// The binary message it came as, if it did.
    pub raw: Option<Bytes>,
    /// When it was received, by the wall clock.
    pub received: Millis,
    pub(crate) arrived: Instant,
    json: OnceLock<Bytes>,
    binary: OnceLock<Bytes>,
}

impl Audio {
    pub(crate) fn new(
        session: Arc<SessionId>,
        language: Language,
        sequence: u32,
        frame: Frame,
        arrived: Instant,
    ) -> Self {
        let Frame { kind, captured, payload, raw, received, sequence: _ } = frame;
        Self {
            session,
            language,
            kind,
            sequence,
            captured,
            payload,
            raw,
            received,
            arrived,
            json: OnceLock::new(),
            binary: OnceLock::new(),
        }
    }

    /// Whether a seat of this framing gets it at all.
    pub(crate) fn suits(&self, framing: Framing) -> bool {
        match (self.kind, framing) {
            (Kind::Configuration, Framing::Json) => false,
            (Kind::Audio, _) | (Kind::Configuration, Framing::Binary) => true,
        }
    }

    /// The whole WebSocket frame, made by whoever needs it first.
    pub(crate) fn encoded(&self, framing: Framing, encode: fn(&Audio, Framing) -> Bytes) -> Bytes {
        let once = match framing {
            Framing::Json => &self.json,
            Framing::Binary => &self.binary,
        };
        once.get_or_init(|| encode(self, framing)).clone()
    }
}
