//! What the server says, told apart by `type`. One definition, written by the server and read by
//! the client.

use std::collections::BTreeMap;

use ambo_core::notice::{self, Status, Turn};
use ambo_core::rules::UpdateReason;
use ambo_core::{BroadcastState, Millis, Refusal, Reply, SessionId, Tidings};
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;

/// A message with the moment it was written, which every message has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// The message.
    #[serde(flatten)]
    pub message: ServerMessage,
    /// When it was written, in milliseconds since the epoch.
    #[serde(default)]
    pub timestamp: u64,
}

/// Everything the server says as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of protocol/PROTOCOL.md, by name")]
pub enum ServerMessage {
    SessionCreated {
        session_id: String,
        source_language: String,
        quality_tier: String,
        connection_id: String,
        expires_at: u64,
    },
    SessionJoined {
        session_id: String,
        source_language: String,
        target_language: String,
        connection_id: String,
        broadcast_state: State,
    },
    ConnectionRefreshComplete {
        session_id: String,
        role: String,
        connection_id: String,
        source_language: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broadcast_state: Option<State>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_sequence: Option<u32>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_language: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replayed: Option<u32>,
    },
    HeartbeatAck,
    ConnectionRefreshRequired {
        session_id: String,
        role: String,
        message: String,
        deadline: u64,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        target_language: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refresh_token: Option<String>,
    },
    ConnectionWarning {
        message: String,
        remaining_minutes: u64,
    },
    SessionPaused(Broadcast),
    SessionResumed(Broadcast),
    SessionMuted(Broadcast),
    SessionUnmuted(Broadcast),
    LanguageChanged {
        session_id: String,
        target_language: String,
        source_language: String,
    },
    BroadcastState {
        session_id: String,
        broadcast_state: State,
    },
    SessionStatus {
        session_id: String,
        listener_count: u32,
        language_distribution: BTreeMap<String, u32>,
        session_duration: u64,
        broadcast_state: State,
        update_reason: String,
    },
    AudioData {
        session_id: String,
        language: String,
        sequence: u32,
        audio_data: String,
    },
    SessionEnded {
        session_id: String,
        message: String,
        reason: String,
    },
    Error(ErrorBody),
    /// A type of a later version; a client goes on.
    #[serde(other)]
    Unknown,
}

/// Whether the audio flows, on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of protocol/PROTOCOL.md, by name")]
pub struct State {
    pub is_paused: bool,
    pub is_muted: bool,
    pub last_state_change: u64,
}

/// A turn of the broadcast, on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the fields are those of protocol/PROTOCOL.md, by name")]
pub struct Broadcast {
    pub session_id: String,
    pub broadcast_state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What only the hub knows of a refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resumed {
    /// The last frame heard from the speaker, if any.
    pub last_sequence: Option<u32>,
    /// Frames a listener is about to be sent again.
    pub replayed: u32,
}

impl ServerMessage {
    /// The message as JSON text, written now.
    pub fn encode(self, now: Millis) -> String {
        let stamped = Stamped { message: self, timestamp: now.0 };
        // Texts, numbers and maps keyed by text always have a JSON form.
        serde_json::to_string(&stamped).unwrap_or_default()
    }

    /// A reply.
    pub fn of_reply(reply: Reply, resumed: Resumed) -> Self {
        match reply {
            Reply::Created { session, source_language, quality, connection, expires_at } => {
                Self::SessionCreated {
                    session_id: session.to_string(),
                    source_language: source_language.to_string(),
                    quality_tier: quality.as_str().into(),
                    connection_id: connection.as_str().into(),
                    expires_at: expires_at.0,
                }
            }
            Reply::Joined { session, source_language, target, connection, state } => {
                Self::SessionJoined {
                    session_id: session.to_string(),
                    source_language: source_language.to_string(),
                    target_language: target.to_string(),
                    connection_id: connection.as_str().into(),
                    broadcast_state: state.into(),
                }
            }
            refreshed @ (Reply::SpeakerRefreshed { .. } | Reply::ListenerRefreshed { .. }) => {
                of_refresh(refreshed, resumed)
            }
            Reply::HeartbeatAck => Self::HeartbeatAck,
            Reply::State { session, state } => Self::BroadcastState {
                session_id: session.to_string(),
                broadcast_state: state.into(),
            },
            Reply::LanguageChanged { session, target, source_language } => Self::LanguageChanged {
                session_id: session.to_string(),
                target_language: target.to_string(),
                source_language: source_language.to_string(),
            },
            Reply::Status(status) => Self::of_status(&status, UpdateReason::Requested),
        }
    }

    /// Who listens, and why that is told.
    pub fn of_status(status: &Status, reason: UpdateReason) -> Self {
        let count = |(language, count): &(ambo_core::Language, u32)| (language.to_string(), *count);
        Self::SessionStatus {
            session_id: status.session.to_string(),
            listener_count: status.listeners,
            language_distribution: status.languages.iter().map(count).collect(),
            session_duration: status.duration.0 / 1_000,
            broadcast_state: status.state.into(),
            update_reason: reason.as_str().into(),
        }
    }

    /// A refusal on an open connection.
    pub fn of_refusal(refusal: &Refusal, request_id: Option<String>) -> Self {
        Self::Error(ErrorBody::of(refusal, request_id))
    }

    /// The warning that a connection will soon be closed for its age.
    pub fn of_warning(remaining_minutes: u64) -> Self {
        let message = notice::warning_message(remaining_minutes);
        Self::ConnectionWarning { message, remaining_minutes }
    }

    /// A notice about a session; `None` where the client is told nothing.
    pub fn of_tidings(tidings: &Tidings, session: &SessionId) -> Option<Self> {
        Some(match tidings {
            Tidings::Broadcast { turn, state, message } => {
                let message = message.as_ref().map(|text| text.as_str().into());
                of_turn(*turn, session, *state, message)
            }
            Tidings::Ended { reason, message } => Self::SessionEnded {
                session_id: session.to_string(),
                message: message.as_ref().map_or(reason.message(), |text| text.as_str()).into(),
                reason: reason.as_str().into(),
            },
            Tidings::RefreshRequired(required) => Self::ConnectionRefreshRequired {
                session_id: required.session.to_string(),
                role: if required.target.is_some() { "listener" } else { "speaker" }.into(),
                message: notice::REFRESH_MESSAGE.into(),
                deadline: required.deadline.0,
                reason: required.reason.as_str().into(),
                target_language: required.target.map(|target| target.to_string()),
                refresh_token: required.token.as_ref().map(|token| token.to_text()),
            },
            Tidings::Warning { remaining_minutes } => Self::of_warning(*remaining_minutes),
            Tidings::Superseded => return None,
        })
    }
}

fn of_refresh(refreshed: Reply, resumed: Resumed) -> ServerMessage {
    let (session, connection, source, role, state, target) = match refreshed {
        Reply::SpeakerRefreshed { session, source_language, connection, state } => {
            (session, connection, source_language, "speaker", Some(state.into()), None)
        }
        Reply::ListenerRefreshed { session, source_language, target, connection } => {
            (session, connection, source_language, "listener", None, Some(target.to_string()))
        }
        other => return ServerMessage::of_reply(other, resumed),
    };
    let is_listener = target.is_some();
    ServerMessage::ConnectionRefreshComplete {
        session_id: session.to_string(),
        role: role.into(),
        connection_id: connection.as_str().into(),
        source_language: source.to_string(),
        broadcast_state: state,
        last_sequence: resumed.last_sequence.filter(|_| !is_listener),
        target_language: target,
        replayed: is_listener.then_some(resumed.replayed),
    }
}

fn of_turn(
    turn: Turn,
    session: &SessionId,
    state: BroadcastState,
    message: Option<String>,
) -> ServerMessage {
    let (make, reason): (fn(Broadcast) -> ServerMessage, _) = match turn {
        Turn::Paused => (ServerMessage::SessionPaused, None),
        Turn::Resumed => (ServerMessage::SessionResumed, None),
        Turn::Muted => (ServerMessage::SessionMuted, None),
        Turn::Unmuted => (ServerMessage::SessionUnmuted, None),
        Turn::SpeakerLost => (ServerMessage::SessionPaused, Some("speakerLost".to_owned())),
    };
    let session_id = session.to_string();
    make(Broadcast { session_id, broadcast_state: state.into(), message, reason })
}

impl From<BroadcastState> for State {
    fn from(state: BroadcastState) -> Self {
        Self {
            is_paused: state.is_paused,
            is_muted: state.is_muted,
            last_state_change: state.last_state_change.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use ambo_core::connection::RefreshToken;
    use ambo_core::notice::{EndReason, RefreshReason, RefreshRequired};
    use ambo_core::{ConnectionId, Language, Secret};
    use serde_json::{Value, json};

    use super::*;

    fn id() -> SessionId {
        SessionId::parse("faithful-shepherd-427").unwrap()
    }

    fn value(message: ServerMessage) -> Value {
        serde_json::from_str(&message.encode(Millis(5))).unwrap()
    }

    #[test]
    fn notices_have_the_contracts_fields() {
        let state =
            BroadcastState { is_paused: true, is_muted: false, last_state_change: Millis(3) };
        let lost = Tidings::Broadcast { turn: Turn::SpeakerLost, state, message: None };
        let state = json!({ "isPaused": true, "isMuted": false, "lastStateChange": 3 });
        let expected = json!({
            "type": "sessionPaused", "sessionId": "faithful-shepherd-427",
            "broadcastState": state, "reason": "speakerLost", "timestamp": 5,
        });
        assert_eq!(value(ServerMessage::of_tidings(&lost, &id()).unwrap()), expected);

        let ended = Tidings::Ended { reason: EndReason::Expired, message: None };
        let expected = json!({
            "type": "sessionEnded", "sessionId": "faithful-shepherd-427", "timestamp": 5,
            "message": "The session has reached its end.", "reason": "expired",
        });
        assert_eq!(value(ServerMessage::of_tidings(&ended, &id()).unwrap()), expected);
        assert_eq!(ServerMessage::of_tidings(&Tidings::Superseded, &id()), None);
    }

    #[test]
    fn a_listener_told_to_refresh_gets_its_language_and_token() {
        let connection = ConnectionId::parse("c2").unwrap();
        let required = RefreshRequired {
            session: id(),
            target: Language::parse("es"),
            token: Some(RefreshToken { connection, secret: Secret([1; 16]) }),
            reason: RefreshReason::Drain,
            deadline: Millis(9),
        };
        let message = ServerMessage::of_tidings(&Tidings::RefreshRequired(required), &id());
        let expected = json!({
            "type": "connectionRefreshRequired", "sessionId": "faithful-shepherd-427",
            "role": "listener", "message": notice::REFRESH_MESSAGE, "deadline": 9,
            "reason": "drain", "targetLanguage": "es", "timestamp": 5,
            "refreshToken": "01010101010101010101010101010101.c2",
        });
        assert_eq!(value(message.unwrap()), expected);
    }

    #[test]
    fn a_refresh_is_told_by_role() {
        let (session, source_language) = (id(), Language::parse("en").unwrap());
        let connection = ConnectionId::parse("c9").unwrap();
        let target = Language::parse("es").unwrap();
        let reply = Reply::ListenerRefreshed { session, source_language, target, connection };
        let resumed = Resumed { last_sequence: Some(7), replayed: 3 };
        let expected = json!({
            "type": "connectionRefreshComplete", "sessionId": "faithful-shepherd-427",
            "role": "listener", "connectionId": "c9", "sourceLanguage": "en",
            "targetLanguage": "es", "replayed": 3, "timestamp": 5,
        });
        assert_eq!(value(ServerMessage::of_reply(reply, resumed)), expected);
    }

    #[test]
    fn a_type_of_a_later_version_is_read_as_unknown() {
        let text = r#"{"type":"sessionBlessed","with":["song"],"timestamp":1}"#;
        let stamped: Stamped = serde_json::from_str(text).unwrap();
        assert_eq!(stamped.message, ServerMessage::Unknown);
    }

    #[test]
    fn an_error_is_read_as_it_was_written() {
        let refusal = Refusal::MessageTooLarge { limit: 7 };
        let message = ServerMessage::of_refusal(&refusal, Some("r1".into()));
        let text = message.clone().encode(Millis(5));
        let stamped: Stamped = serde_json::from_str(&text).unwrap();
        assert_eq!(stamped, Stamped { message, timestamp: 5 });
    }
}
