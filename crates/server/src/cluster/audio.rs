//! Frames on the bus: the binary frame as the speaker sent it, behind the time it was received.

use ambo_core::{Language, Millis, SessionId};
use ambo_hub::{Frame, Hub, Kind};
use ambo_store_redis::{Bus, Topic};
use ambo_wire::{AudioFrame, audio};
use bytes::{BufMut, Bytes, BytesMut};

/// A frame before the hub has given it its sequence.
pub(crate) struct Spoken {
    pub(crate) kind: Kind,
    pub(crate) language: Language,
    pub(crate) captured: u64,
    pub(crate) received: Millis,
    pub(crate) payload: Bytes,
}

/// The time of reception stands before the frame.
const PREFIX: usize = size_of::<u64>();

/// Where a session's frames lie on the bus.
pub(super) fn topics(session: &SessionId, language: Language) -> [Topic; 2] {
    let audio = Topic::Audio { session: session.clone(), language };
    [audio, Topic::Configuration { session: session.clone(), language }]
}

impl Spoken {
    /// What the bus must know of a frame, before the hub takes it.
    pub(crate) fn of(frame: &Frame, language: Language) -> Self {
        Self {
            kind: frame.kind,
            language,
            captured: frame.captured,
            received: frame.received,
            payload: frame.payload.clone(),
        }
    }

    /// Puts it on the bus. What decoders must know first is kept beside the stream too, which
    /// holds the last seconds only.
    pub(super) fn publish(&self, bus: &Bus, session: &SessionId, sequence: u32) {
        let frame = AudioFrame {
            kind: match self.kind {
                Kind::Audio => audio::Kind::Audio,
                Kind::Configuration => audio::Kind::Configuration,
            },
            language: self.language,
            sequence,
            captured_micros: self.captured,
            payload: self.payload.clone(),
        };
        let mut bytes = BytesMut::with_capacity(PREFIX + audio::HEADER + self.payload.len());
        bytes.put_u64(self.received.0);
        bytes.put_slice(&frame.header());
        bytes.put_slice(&self.payload);
        let bytes = bytes.freeze();
        let [_, configuration] = topics(session, self.language);
        if self.kind == Kind::Configuration {
            drop(bus.publish(&configuration, bytes.clone()));
        }
        bus.publish_audio(session, self.language, sequence, bytes);
    }
}

/// Hands a frame of another node to the listeners here. One that came back is known by its
/// sequence, and one that cannot be read is a later version's.
pub(super) fn relay(hub: &Hub, session: &SessionId, payload: &Bytes) {
    if let Some(frame) = read(payload) {
        // A session nobody here is in any more has nobody to hear it.
        let _ = hub.relay(session, frame);
    }
}

/// The sequence of a frame on the bus.
pub(super) fn sequence(payload: &Bytes) -> Option<u32> {
    read(payload)?.sequence
}

fn read(payload: &Bytes) -> Option<Frame> {
    let (received, _) = payload.split_first_chunk::<PREFIX>()?;
    let raw = payload.slice(PREFIX..);
    // Its size was checked where it came in.
    let frame = AudioFrame::parse(&raw, usize::MAX).ok()?;
    Some(Frame {
        kind: match frame.kind {
            audio::Kind::Audio => Kind::Audio,
            audio::Kind::Configuration => Kind::Configuration,
        },
        sequence: Some(frame.sequence),
        captured: frame.captured_micros,
        payload: frame.payload,
        raw: Some(raw),
        received: Millis(u64::from_be_bytes(*received)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_crosses_byte_for_byte() {
        let frame = AudioFrame {
            kind: audio::Kind::Audio,
            language: Language::parse("en").unwrap(),
            sequence: 7,
            captured_micros: 99,
            payload: Bytes::from_static(b"sound"),
        };
        let mut bytes = BytesMut::new();
        bytes.put_u64(5);
        bytes.put_slice(&frame.encode());
        let read = read(&bytes.freeze()).unwrap();
        assert_eq!(read.raw, Some(frame.encode()));
        assert_eq!((read.sequence, read.captured, read.received), (Some(7), 99, Millis(5)));
        assert_eq!(read.payload, frame.payload);
    }

    #[test]
    fn what_is_no_frame_is_skipped() {
        for bytes in [&b""[..], b"1234567", b"12345678", b"12345678\x02\x01en"] {
            assert!(read(&Bytes::copy_from_slice(bytes)).is_none(), "{bytes:?}");
        }
    }
}
