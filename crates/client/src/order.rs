//! What a listener has heard: duplicates are removed, gaps are told.

use ambo_core::Language;
use ambo_wire::AudioFrame;
use ambo_wire::audio::Kind;
use bytes::Bytes;

/// The place a listener has reached.
#[derive(Debug, Default)]
pub(crate) struct Order {
    last: Option<(Language, u32)>,
    /// The latest capture time heard.
    captured: u64,
    configuration: Option<(u32, Bytes)>,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next, after this many that are missing.
    Next { missing: u32 },
    /// One that was heard already.
    Heard,
}

impl Order {
    /// Takes a frame and tells its place.
    pub fn take(&mut self, frame: &AudioFrame) -> Place {
        let last = self.last.filter(|(language, _)| *language == frame.language);
        match frame.kind {
            Kind::Configuration => self.configure(frame, last.map(|(_, last)| last)),
            Kind::Audio => self.hear(frame, last.map(|(_, last)| last)),
        }
    }

    /// What to ask the server to go on after.
    pub fn last_sequence(&self) -> Option<u32> {
        self.last.map(|(_, sequence)| sequence)
    }

    fn hear(&mut self, frame: &AudioFrame, last: Option<u32>) -> Place {
        let is_heard = last.is_some_and(|last| frame.sequence <= last);
        // A speaker that starts anew counts anew. Its frames are later than all that was heard;
        // one that is sent again is not.
        if is_heard && frame.captured_micros <= self.captured {
            return Place::Heard;
        }
        self.captured = self.captured.max(frame.captured_micros);
        self.last = Some((frame.language, frame.sequence));
        let missing = last.filter(|_| !is_heard).map_or(0, |last| frame.sequence - last - 1);
        Place::Next { missing }
    }

    /// A newcomer gets the configuration with the number it once had: that is no gap.
    fn configure(&mut self, frame: &AudioFrame, last: Option<u32>) -> Place {
        if last.is_some_and(|last| last.checked_add(1) == Some(frame.sequence)) {
            self.last = Some((frame.language, frame.sequence));
        }
        let configuration = Some((frame.sequence, frame.payload.clone()));
        if self.configuration == configuration {
            return Place::Heard;
        }
        self.configuration = configuration;
        Place::Next { missing: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT: Place = Place::Next { missing: 0 };

    fn frame(kind: Kind, language: &str, sequence: u32, captured_micros: u64) -> AudioFrame {
        let language = Language::parse(language).unwrap();
        let payload = Bytes::from_static(b"sound");
        AudioFrame { kind, language, sequence, captured_micros, payload }
    }

    #[test]
    fn each_frame_has_its_place() {
        use Kind::{Audio, Configuration};
        let cases = [
            ("a newcomer's configuration", frame(Configuration, "en", 1, 10), NEXT),
            ("the first frame is no gap", frame(Audio, "en", 900, 900), NEXT),
            ("the next", frame(Audio, "en", 901, 901), NEXT),
            ("the same again", frame(Audio, "en", 901, 901), Place::Heard),
            ("an older one again", frame(Audio, "en", 850, 850), Place::Heard),
            ("three are missing", frame(Audio, "en", 905, 905), Place::Next { missing: 3 }),
            ("the configuration again", frame(Configuration, "en", 1, 10), Place::Heard),
            ("a new one, counted", frame(Configuration, "en", 906, 906), NEXT),
            ("and after it the next", frame(Audio, "en", 907, 907), NEXT),
            ("another language counts by itself", frame(Audio, "es", 3, 908), NEXT),
            ("the numbers of a speaker who starts anew", frame(Audio, "es", 1, 2_000), NEXT),
            ("go on", frame(Audio, "es", 2, 2_001), NEXT),
            ("and are not heard twice", frame(Audio, "es", 2, 2_001), Place::Heard),
        ];
        let mut order = Order::default();
        for (name, frame, place) in cases {
            assert_eq!(order.take(&frame), place, "{name}");
        }
        assert_eq!(order.last_sequence(), Some(2));
    }

    #[test]
    fn without_capture_times_a_lower_number_is_a_duplicate() {
        let mut order = Order::default();
        assert_eq!(order.take(&frame(Kind::Audio, "en", 7, 0)), NEXT);
        assert_eq!(order.take(&frame(Kind::Audio, "en", 7, 0)), Place::Heard);
        assert_eq!(order.take(&frame(Kind::Audio, "en", 1, 0)), Place::Heard);
    }
}
