//! What a client says on an open connection.

use std::borrow::Cow;

use ambo_core::event::{Command, ShownText, Token};
use ambo_core::{Event, Intent, Refusal, SessionId};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Sizes;
use crate::parameters::{self, Parameters};

/// A text message as the server reads it.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// Something for the rules, or the refusal of what could not be understood.
    Event {
        /// What is asked.
        intent: Intent,
        /// The token of a speaker's refresh.
        token: Option<Token>,
    },
    /// Audio, for the hub.
    Audio(SentAudio),
}

/// The audio of a `sendAudio` message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentAudio {
    /// The session the speaker believes to be in, if it said so.
    pub session: Option<SessionId>,
    /// Its place, if the speaker counts.
    pub sequence: Option<u32>,
    /// The decoded audio.
    pub payload: Bytes,
}

impl Incoming {
    /// Reads a text message. Every message of a client has an answer, so this cannot fail.
    pub fn parse(text: &str, sizes: &Sizes) -> Self {
        read(text, sizes)
            .unwrap_or_else(|refusal| Self::Event { intent: Err(refusal), token: None })
    }
}

fn read(text: &str, sizes: &Sizes) -> Result<Incoming, Refusal> {
    let Ok(Value::Object(object)) = serde_json::from_str(text) else {
        return Err(Refusal::InvalidMessage);
    };
    let fields = Fields(&object);
    let Some(Value::String(action)) = object.get("action") else {
        return Err(Refusal::InvalidAction);
    };
    if action == "sendAudio" {
        return audio(&fields, sizes.audio).map(Incoming::Audio);
    }
    if text.len() > sizes.control {
        return Err(Refusal::MessageTooLarge { limit: sizes.control });
    }
    let event = match action.as_str() {
        "heartbeat" => Event::Heartbeat,
        "refreshConnection" => parameters::refresh(&fields)?,
        "controlSession" => control(&fields)?,
        "changeLanguage" => Event::ChangeLanguage {
            session: parameters::optional_session_id(&fields)?,
            target: parameters::language(&fields, "targetLanguage")?,
        },
        "getSessionStatus" => Event::Status,
        "endSession" => Event::End { reason: shown(&fields, "reason")? },
        _ => return Err(Refusal::InvalidAction),
    };
    // Elsewhere a token is an unknown field, whatever it is.
    let needs_token = matches!(event, Event::RefreshSpeaker { .. });
    let token = if needs_token { parameters::token(&fields)? } else { None };
    Ok(Incoming::Event { intent: Ok(event), token })
}

fn control(fields: &Fields<'_>) -> Result<Event, Refusal> {
    let expected = "pause, resume, mute or unmute";
    let refusal = Refusal::InvalidParameters { field: "command", expected };
    let command = fields.text("command")?.and_then(|text| Command::parse(&text)).ok_or(refusal)?;
    Ok(Event::Control { command, message: shown(fields, "message")? })
}

fn shown(fields: &Fields<'_>, name: &'static str) -> Result<Option<ShownText>, Refusal> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let expected = "a text of at most 280 characters";
    let refusal = Refusal::InvalidParameters { field: name, expected };
    ShownText::parse(&text).map(Some).ok_or(refusal)
}

fn audio(fields: &Fields<'_>, max: usize) -> Result<SentAudio, Refusal> {
    let expected = "audio in base64 (RFC 4648 §4), not empty";
    let refusal = || Refusal::InvalidParameters { field: "audioData", expected };
    // A number has digits, and digits are base64: only a text is meant as audio.
    let text = fields.0.get("audioData").and_then(Value::as_str).ok_or_else(refusal)?;
    if text.len() > max.div_ceil(3) * 4 {
        return Err(Refusal::MessageTooLarge { limit: max });
    }
    let payload = STANDARD.decode(text).map_err(|_| refusal())?;
    if payload.is_empty() {
        return Err(refusal());
    }
    if payload.len() > max {
        return Err(Refusal::MessageTooLarge { limit: max });
    }
    Ok(SentAudio {
        session: parameters::optional_session_id(fields)?,
        sequence: parameters::sequence(fields, "sequence")?,
        payload: payload.into(),
    })
}

/// A JSON object's fields as parameters: texts as they are, whole numbers as their digits.
struct Fields<'a>(&'a Map<String, Value>);

impl Parameters for Fields<'_> {
    fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => Ok(Some(Cow::Borrowed(text))),
            Some(Value::Number(number)) => Ok(Some(Cow::Owned(number.to_string()))),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                let expected = "a text or a number";
                Err(Refusal::InvalidParameters { field: name, expected })
            }
        }
    }
}

/// The same from the client's side.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClientMessage {
    /// A sign of life.
    Heartbeat {
        /// The client's clock, for its own use.
        #[serde(skip_serializing_if = "Option::is_none")]
        timestamp: Option<u64>,
    },
    /// Steer the broadcast.
    ControlSession {
        /// `pause`, `resume`, `mute` or `unmute`.
        command: String,
        /// Shown to listeners.
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// Hear another language.
    ChangeLanguage {
        /// Which.
        target_language: String,
    },
    /// Ask who listens.
    GetSessionStatus,
    /// End the session.
    EndSession {
        /// Shown to listeners.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Audio in JSON, for clients without binary messages.
    SendAudio {
        /// Base64.
        audio_data: String,
        /// Its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        sequence: Option<u32>,
    },
}

impl ClientMessage {
    /// The message as JSON text.
    pub fn encode(&self) -> String {
        // Texts and numbers always have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str) -> (&'static str, Option<&'static str>) {
        match Incoming::parse(text, &Sizes::default()) {
            Incoming::Audio(_) => ("sendAudio", None),
            Incoming::Event { intent: Ok(event), .. } => (event.name(), None),
            Incoming::Event { intent: Err(refusal), .. } => match refusal {
                Refusal::InvalidParameters { field, .. } => ("INVALID_PARAMETERS", Some(field)),
                refusal => (refusal.code(), None),
            },
        }
    }

    #[test]
    fn every_message_is_understood_or_refused_by_name() {
        let bad = "INVALID_PARAMETERS";
        let long = "x".repeat(281);
        let cases = [
            ("", ("INVALID_MESSAGE", None)),
            ("hello", ("INVALID_MESSAGE", None)),
            ("[]", ("INVALID_MESSAGE", None)),
            ("null", ("INVALID_MESSAGE", None)),
            ("{\"action\":\"heartbeat\"", ("INVALID_MESSAGE", None)),
            ("{}", ("INVALID_ACTION", None)),
            (r#"{"action":7}"#, ("INVALID_ACTION", None)),
            (r#"{"action":"joinSession"}"#, ("INVALID_ACTION", None)),
            (r#"{"action":"heartbeat"}"#, ("heartbeat", None)),
            (r#"{"action":"heartbeat","timestamp":1,"other":[{}]}"#, ("heartbeat", None)),
            (r#"{"action":"heartbeat","token":{}}"#, ("heartbeat", None)),
            (r#"{"action":"controlSession"}"#, (bad, Some("command"))),
            (r#"{"action":"controlSession","command":"stop"}"#, (bad, Some("command"))),
            (r#"{"action":"controlSession","command":"pause"}"#, ("controlSession", None)),
            (
                &format!(r#"{{"action":"controlSession","command":"mute","message":"{long}"}}"#),
                (bad, Some("message")),
            ),
            (r#"{"action":"changeLanguage"}"#, (bad, Some("targetLanguage"))),
            (
                r#"{"action":"changeLanguage","targetLanguage":["es"]}"#,
                (bad, Some("targetLanguage")),
            ),
            (r#"{"action":"changeLanguage","targetLanguage":"es"}"#, ("changeLanguage", None)),
            (
                r#"{"action":"changeLanguage","targetLanguage":"es","sessionId":"x"}"#,
                ("INVALID_SESSION_ID", None),
            ),
            (r#"{"action":"getSessionStatus"}"#, ("getSessionStatus", None)),
            (r#"{"action":"endSession"}"#, ("endSession", None)),
            (&format!(r#"{{"action":"endSession","reason":"{long}"}}"#), (bad, Some("reason"))),
            (r#"{"action":"refreshConnection","role":"speaker"}"#, (bad, Some("sessionId"))),
            (r#"{"action":"sendAudio"}"#, (bad, Some("audioData"))),
            (r#"{"action":"sendAudio","audioData":""}"#, (bad, Some("audioData"))),
            (r#"{"action":"sendAudio","audioData":"!"}"#, (bad, Some("audioData"))),
            (r#"{"action":"sendAudio","audioData":1234}"#, (bad, Some("audioData"))),
            (r#"{"action":"sendAudio","audioData":"AAA"}"#, (bad, Some("audioData"))),
            (r#"{"action":"sendAudio","audioData":"AAAA","sequence":-1}"#, (bad, Some("sequence"))),
            (
                r#"{"action":"sendAudio","audioData":"AAAA","sequence":1.5}"#,
                (bad, Some("sequence")),
            ),
            (r#"{"action":"sendAudio","audioData":"AAAA"}"#, ("sendAudio", None)),
        ];
        for (text, expected) in cases {
            assert_eq!(outcome(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_limited() {
        let heartbeat = |len| format!(r#"{{"action":"heartbeat","x":"{}"}}"#, "x".repeat(len));
        assert_eq!(outcome(&heartbeat(4_000)).0, "heartbeat");
        assert_eq!(outcome(&heartbeat(4_100)).0, "MESSAGE_TOO_LARGE");
        let audio = |len: usize| {
            let data = STANDARD.encode(vec![7; len]);
            outcome(&format!(r#"{{"action":"sendAudio","audioData":"{data}"}}"#)).0
        };
        assert_eq!(audio(Sizes::default().audio), "sendAudio");
        assert_eq!(audio(Sizes::default().audio + 1), "MESSAGE_TOO_LARGE");
        assert_eq!(audio(Sizes::default().audio * 2), "MESSAGE_TOO_LARGE");
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let deep = format!(r#"{{"action":"heartbeat","x":{}}}"#, "[".repeat(100_000));
        assert_eq!(outcome(&deep).0, "INVALID_MESSAGE");
    }

    #[test]
    fn what_a_client_writes_the_server_reads() {
        let messages = [
            (ClientMessage::Heartbeat { timestamp: Some(1) }, "heartbeat"),
            (ClientMessage::GetSessionStatus, "getSessionStatus"),
            (ClientMessage::EndSession { reason: Some("Amen".into()) }, "endSession"),
            (ClientMessage::ChangeLanguage { target_language: "es".into() }, "changeLanguage"),
            (
                ClientMessage::ControlSession { command: "pause".into(), message: None },
                "controlSession",
            ),
            (
                ClientMessage::SendAudio { audio_data: "AAAA".into(), sequence: Some(1) },
                "sendAudio",
            ),
        ];
        for (message, expected) in messages {
            assert_eq!(outcome(&message.encode()).0, expected);
        }
    }
}
