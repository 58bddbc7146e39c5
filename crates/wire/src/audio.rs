//! Audio frames: the binary layout, and the same in JSON.
//!
//! | bytes | meaning |
//! |---|---|
//! | 0 | version = 1 |
//! | 1 | kind: 1 audio, 2 codec configuration |
//! | 2–3 | language, two ASCII letters |
//! | 4–7 | sequence, big-endian u32 |
//! | 8–15 | capture time, big-endian u64 microseconds since the epoch |
//! | 16… | payload, 1 byte to 32 KiB |

use ambo_core::{Language, Millis, Refusal, SessionId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};

/// The bytes before the payload.
pub const HEADER: usize = 16;
const VERSION: u8 = 1;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Audio.
    Audio,
    /// What a decoder must know first.
    Configuration,
}

/// One frame. Its payload is opaque: the server never decodes audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFrame {
    /// What it carries.
    pub kind: Kind,
    /// Whose language.
    pub language: Language,
    /// Its place among the frames of its session and language.
    pub sequence: u32,
    /// When it was captured, in microseconds since the epoch.
    pub captured_micros: u64,
    /// What it carries.
    pub payload: Bytes,
}

impl AudioFrame {
    /// Reads a binary message whose payload may have `max` bytes. The payload shares its bytes.
    pub fn parse(message: &Bytes, max: usize) -> Result<Self, Refusal> {
        let Some((header, payload)) = message.split_first_chunk::<HEADER>() else {
            return Err(malformed("frame", "a header of 16 bytes and a payload"));
        };
        let [version, kind, first, second, s0, s1, s2, s3, captured @ ..] = *header;
        if version != VERSION {
            return Err(malformed("version", "1"));
        }
        let kind = match kind {
            1 => Kind::Audio,
            2 => Kind::Configuration,
            _ => return Err(malformed("kind", "1 (audio) or 2 (codec configuration)")),
        };
        let language = Language::from_bytes([first, second])
            .ok_or(malformed("language", "two lower-case ASCII letters"))?;
        if payload.is_empty() {
            return Err(malformed("payload", "at least one byte"));
        }
        if payload.len() > max {
            return Err(Refusal::MessageTooLarge { limit: max });
        }
        Ok(Self {
            kind,
            language,
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            captured_micros: u64::from_be_bytes(captured),
            payload: message.slice(HEADER..),
        })
    }

    /// The bytes before the payload.
    pub fn header(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = VERSION;
        header[1] = match self.kind {
            Kind::Audio => 1,
            Kind::Configuration => 2,
        };
        header[2..4].copy_from_slice(&self.language.to_bytes());
        header[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        header[8..].copy_from_slice(&self.captured_micros.to_be_bytes());
        header
    }

    /// The binary message.
    pub fn encode(&self) -> Bytes {
        let mut message = BytesMut::with_capacity(HEADER + self.payload.len());
        message.put_slice(&self.header());
        message.put_slice(&self.payload);
        message.freeze()
    }

    /// The `audioData` message of this frame.
    pub fn encode_json(&self, session: &SessionId, now: Millis) -> String {
        let mut text = String::with_capacity(160 + self.payload.len().div_ceil(3) * 4);
        text.push_str(r#"{"type":"audioData","sessionId":""#);
        // An id, a language, numbers and base64 hold nothing that JSON would escape.
        text.push_str(session.as_str());
        text.push_str(r#"","language":""#);
        text.push_str(self.language.as_str());
        text.push_str(r#"","sequence":"#);
        text.push_str(&self.sequence.to_string());
        text.push_str(r#","audioData":""#);
        STANDARD.encode_string(&self.payload, &mut text);
        text.push_str(r#"","timestamp":"#);
        text.push_str(&now.0.to_string());
        text.push('}');
        text
    }
}

fn malformed(field: &'static str, expected: &'static str) -> Refusal {
    Refusal::InvalidParameters { field, expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server_message::{ServerMessage, Stamped};

    const MAX: usize = 32 * 1024;

    fn frame() -> AudioFrame {
        AudioFrame {
            kind: Kind::Audio,
            language: Language::parse("en").unwrap(),
            sequence: 0x0102_0304,
            captured_micros: 0x0506_0708_090a_0b0c,
            payload: Bytes::from_static(b"sound"),
        }
    }

    #[test]
    fn the_layout_is_that_of_the_contract() {
        let expected = b"\x01\x01en\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0csound";
        assert_eq!(frame().encode(), expected.as_slice());
        assert_eq!(AudioFrame::parse(&frame().encode(), MAX), Ok(frame()));
        let configuration = AudioFrame { kind: Kind::Configuration, ..frame() };
        assert_eq!(AudioFrame::parse(&configuration.encode(), MAX), Ok(configuration));
    }

    #[test]
    fn what_is_no_frame_is_refused_by_name() {
        let good = frame().encode();
        let with = |at: usize, byte: u8| {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            Bytes::from(bytes)
        };
        let cases = [
            (Bytes::new(), "frame"),
            (good.slice(..15), "frame"),
            (with(0, 2), "version"),
            (with(1, 0), "kind"),
            (with(1, 3), "kind"),
            (with(2, b'E'), "language"),
            (good.slice(..16), "payload"),
        ];
        for (bytes, expected) in cases {
            let refusal = AudioFrame::parse(&bytes, MAX).unwrap_err();
            let Refusal::InvalidParameters { field, .. } = refusal else { panic!("{refusal:?}") };
            assert_eq!(field, expected);
        }
    }

    #[test]
    fn a_payload_has_a_limit() {
        let sized = |len| AudioFrame { payload: vec![1; len].into(), ..frame() }.encode();
        assert!(AudioFrame::parse(&sized(MAX), MAX).is_ok());
        let refused = AudioFrame::parse(&sized(MAX + 1), MAX);
        assert_eq!(refused, Err(Refusal::MessageTooLarge { limit: MAX }));
    }

    #[test]
    fn the_json_form_is_what_clients_decode() {
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let text = frame().encode_json(&session, Millis(17));
        let stamped: Stamped = serde_json::from_str(&text).unwrap();
        assert_eq!(stamped.timestamp, 17);
        let expected = ServerMessage::AudioData {
            session_id: session.to_string(),
            language: "en".into(),
            sequence: 0x0102_0304,
            audio_data: STANDARD.encode(b"sound"),
        };
        assert_eq!(stamped.message, expected);
    }
}
