//! What only a listener does.

use ambo_core::Language;
use ambo_wire::audio::Kind;
use ambo_wire::{AudioFrame, ClientMessage, ErrorBody};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{Hearing, Link, Machine, Part};
use crate::event::Event;
use crate::input::Failure;
use crate::order::{Order, Place};

impl Hearing {
    pub(super) fn new(language: Language) -> Self {
        Self {
            target: language.to_string(),
            confirmed: None,
            told: None,
            refresh_token: None,
            order: Order::default(),
        }
    }

    /// What a new connection was made with.
    pub(super) fn agreed(&mut self, target_language: Option<String>) {
        self.confirmed = target_language.or(self.confirmed.take());
        self.told.clone_from(&self.confirmed);
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
        let (Part::Listener(hearing), Link::Up(up)) = (&mut self.part, &self.link) else { return };
        if hearing.told.as_ref() == Some(&hearing.target) {
            return;
        }
        let target_language = hearing.target.clone();
        hearing.told = Some(target_language.clone());
        let message = ClientMessage::ChangeLanguage { target_language };
        self.send_text(up.socket, message.encode());
    }

    pub(super) fn language_changed(&mut self, target_language: String) {
        if let Part::Listener(hearing) = &mut self.part {
            hearing.confirmed = Some(target_language.clone());
            // The answer to the last question holds, whatever became of those before.
            if hearing.told.as_ref().is_none_or(|told| *told == target_language) {
                hearing.target.clone_from(&target_language);
            }
        }
        self.deliver(Event::LanguageChanged { target_language });
    }

    /// The server would not; what it agreed to last holds. A language that was refused when the
    /// user wanted another one already changes nothing. Tells whether there was one to forget.
    pub(super) fn forget_target(&mut self, error: &ErrorBody) -> bool {
        let Part::Listener(hearing) = &mut self.part else { return false };
        let Some(confirmed) = &hearing.confirmed else { return false };
        let refused = detail(error, "languageCode");
        let is_another = refused.is_some_and(|refused| refused != hearing.target);
        if is_another || *confirmed == hearing.target {
            return false;
        }
        hearing.target.clone_from(confirmed);
        hearing.told = None;
        true
    }

    /// Whether a connection was refused only for a language that was wished for meanwhile. Then
    /// the one that is heard holds, as it would have on an open connection.
    pub(super) fn language_is_refused(&mut self, failure: &Failure) -> bool {
        let Failure::Refused(refused) = failure else { return false };
        let error = &refused.error;
        let is_language = error.code == "UNSUPPORTED_LANGUAGE"
            || detail(error, "field") == Some("targetLanguage");
        let is_refused = is_language && self.forget_target(error);
        if is_refused {
            self.deliver(Event::Error(error.clone()));
        }
        is_refused
    }
}

fn detail<'a>(error: &'a ErrorBody, name: &str) -> Option<&'a str> {
    error.details.as_ref()?.get(name)?.as_str()
}
