//! What only a listener does.

use ambo_core::Language;
use ambo_wire::audio::Kind;
use ambo_wire::{AudioFrame, ClientMessage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Hearing, Link, Machine, Part};
use crate::event::Event;
use crate::order::{Order, Place};

impl Hearing {
    pub(super) fn new(language: Language) -> Self {
        Self {
            target: language.to_string(),
            confirmed: None,
            refresh_token: None,
            order: Order::default(),
        }
    }
}

impl Machine {
    pub(super) fn hear(&mut self, frame: AudioFrame) {
        let Part::Listener(hearing) = &mut self.part else { return };
        let Place::Next { missing } = hearing.order.take(&frame) else { return };
        if missing > 0 {
            self.deliver(Event::Gap { frames: missing });
        }
        self.deliver(match frame.kind {
            Kind::Audio => Event::Audio(frame),
            Kind::Configuration => Event::Configuration(frame),
        });
    }

    /// A frame in JSON has no capture time.
    pub(super) fn hear_json(&mut self, language: &str, sequence: u32, audio_data: &str) {
        let (Some(language), Ok(payload)) =
            (Language::parse(language), STANDARD.decode(audio_data))
        else {
            return;
        };
        let payload = Bytes::from(payload);
        let kind = Kind::Audio;
        self.hear(AudioFrame { kind, language, sequence, captured_micros: 0, payload });
    }

    pub(super) fn change_language(&mut self, target: String) {
        if let Part::Listener(hearing) = &mut self.part {
            hearing.target = target;
        }
        self.tell_language();
    }

    /// Tells the server what it does not know yet; without a connection, the next one asks for it.
    pub(super) fn tell_language(&mut self) {
        let (Part::Listener(hearing), Link::Up(up)) = (&self.part, &self.link) else { return };
        if hearing.confirmed.as_ref() == Some(&hearing.target) {
            return;
        }
        let target_language = hearing.target.clone();
        let message = ClientMessage::ChangeLanguage { target_language };
        self.send_text(up.socket, message.encode());
    }

    pub(super) fn language_changed(&mut self, target_language: String) {
        if let Part::Listener(hearing) = &mut self.part {
            hearing.confirmed = Some(target_language.clone());
        }
        self.deliver(Event::LanguageChanged { target_language });
    }

    /// The server would not; what it agreed to last holds.
    pub(super) fn forget_target(&mut self) {
        if let Part::Listener(hearing) = &mut self.part
            && let Some(confirmed) = &hearing.confirmed
        {
            hearing.target.clone_from(confirmed);
        }
    }
}
