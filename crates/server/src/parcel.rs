//! A notice as sockets hear it, and as one node hands it to another.

use ambo_core::notice::EndReason;
use ambo_core::{Audience, BroadcastState, ConnectionId, Millis, Notice, SessionId, Tidings};
use ambo_wire::ServerMessage;
use ambo_wire::server_message::State;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is to be done where the audience is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parcel {
    /// One connection is told something.
    Word { connection: ConnectionId, text: String },
    /// One connection's member has moved on.
    Superseded { connection: ConnectionId },
    /// Listeners are told of a turn, and audio flows or not from here on.
    Broadcast { session: SessionId, state: BroadcastState, text: String },
    /// Everyone is told the end.
    Ended { session: SessionId, text: String },
}

/// The same between nodes. What is not understood, by a node of an older version, is skipped.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Written {
    Word { connection: String, text: String },
    Superseded { connection: String },
    Broadcast { session: String, state: State, text: String },
    Ended { session: String, text: String },
}

impl Parcel {
    /// The parcel of a notice; nothing for one that no socket hears of.
    pub(crate) fn of(notice: &Notice, now: Millis) -> Option<Self> {
        match (&notice.audience, &notice.tidings) {
            (Audience::Connection(connection), Tidings::Superseded) => {
                Some(Self::Superseded { connection: connection.clone() })
            }
            (Audience::Connection(connection), tidings) => {
                let text = word(tidings, now)?;
                Some(Self::Word { connection: connection.clone(), text })
            }
            (Audience::Listeners(session) | Audience::Everyone(session), tidings) => {
                Self::to_session(session, tidings, now)
            }
        }
    }

    fn to_session(session: &SessionId, tidings: &Tidings, now: Millis) -> Option<Self> {
        let text = ServerMessage::of_tidings(tidings, session)?.encode(now);
        let session = session.clone();
        match tidings {
            Tidings::Broadcast { state, .. } => {
                Some(Self::Broadcast { session, state: *state, text })
            }
            Tidings::Ended { .. } => Some(Self::Ended { session, text }),
            Tidings::RefreshRequired(_) | Tidings::Warning { .. } | Tidings::Superseded => None,
        }
    }

    /// Its bytes on the way to another node.
    pub(crate) fn encode(&self) -> Bytes {
        let written = match self.clone() {
            Self::Word { connection, text } => {
                Written::Word { connection: connection.as_str().into(), text }
            }
            Self::Superseded { connection } => {
                Written::Superseded { connection: connection.as_str().into() }
            }
            Self::Broadcast { session, state, text } => {
                Written::Broadcast { session: session.to_string(), state: state.into(), text }
            }
            Self::Ended { session, text } => Written::Ended { session: session.to_string(), text },
        };
        // Texts and numbers always have a JSON form.
        serde_json::to_vec(&written).unwrap_or_default().into()
    }

    /// Reads what another node wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match serde_json::from_slice(bytes).ok()? {
            Written::Word { connection, text } => {
                Self::Word { connection: ConnectionId::parse(&connection)?, text }
            }
            Written::Superseded { connection } => {
                Self::Superseded { connection: ConnectionId::parse(&connection)? }
            }
            Written::Broadcast { session, state, text } => {
                let state = BroadcastState {
                    is_paused: state.is_paused,
                    is_muted: state.is_muted,
                    last_state_change: Millis(state.last_state_change),
                };
                Self::Broadcast { session: SessionId::parse(&session)?, state, text }
            }
            Written::Ended { session, text } => {
                Self::Ended { session: SessionId::parse(&session)?, text }
            }
        })
    }
}

/// What one connection is told by itself. Rules tell the rest to whole sessions.
fn word(tidings: &Tidings, now: Millis) -> Option<String> {
    match tidings {
        Tidings::RefreshRequired(required) => {
            Some(ServerMessage::of_tidings(tidings, &required.session)?.encode(now))
        }
        Tidings::Warning { remaining_minutes } => {
            Some(ServerMessage::of_warning(*remaining_minutes).encode(now))
        }
        Tidings::Broadcast { .. } | Tidings::Ended { .. } | Tidings::Superseded => None,
    }
}

/// Logs the end of a session, once: where it was decided.
pub(crate) fn log_end(session: &SessionId, reason: EndReason) {
    tracing::info!(
        component = "session",
        operation = "end",
        correlationId = %session,
        reason = reason.as_str(),
        "ended"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parcel_is_read_as_it_was_written() {
        let connection = ConnectionId::parse("n1.c1").unwrap();
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let state =
            BroadcastState { is_paused: true, is_muted: false, last_state_change: Millis(7) };
        let text = r#"{"type":"any \" text"}"#.to_owned();
        for parcel in [
            Parcel::Word { connection: connection.clone(), text: text.clone() },
            Parcel::Superseded { connection },
            Parcel::Broadcast { session: session.clone(), state, text: text.clone() },
            Parcel::Ended { session, text },
        ] {
            assert_eq!(Parcel::decode(&parcel.encode()), Some(parcel));
        }
    }

    #[test]
    fn what_a_later_version_writes_is_skipped() {
        for bytes in [
            "",
            "{}",
            r#"{"kind":"blessed","session":"x"}"#,
            r#"{"kind":"ended","session":"?","text":""}"#,
        ] {
            assert_eq!(Parcel::decode(bytes.as_bytes()), None, "{bytes}");
        }
    }

    #[test]
    fn every_notice_of_the_rules_has_a_parcel_for_its_audience() {
        let connection = ConnectionId::parse("n1.c1").unwrap();
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let ended = Tidings::Ended { reason: EndReason::Expired, message: None };
        let cases = [
            (Audience::Connection(connection.clone()), Tidings::Superseded, "superseded"),
            (Audience::Connection(connection), Tidings::Warning { remaining_minutes: 3 }, "word"),
            (Audience::Everyone(session), ended, "ended"),
        ];
        for (audience, tidings, kind) in cases {
            let parcel = Parcel::of(&Notice { audience, tidings }, Millis(5)).unwrap();
            let text = String::from_utf8(parcel.encode().to_vec()).unwrap();
            assert!(text.starts_with(&format!(r#"{{"kind":"{kind}""#)), "{text}");
        }
    }
}
