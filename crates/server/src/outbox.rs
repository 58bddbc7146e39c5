//! Notices to the connections that are open here.

use std::sync::Arc;

use ambo_app::ports::Outbox;
use ambo_core::{Audience, BroadcastState, ConnectionId, Millis, Notice, SessionId, Tidings};
use ambo_hub::{Gate, Hub};
use ambo_wire::ServerMessage;
use ambo_wire::websocket::{self, close_code};
use async_trait::async_trait;
use bytes::Bytes;

use crate::live::Lives;

/// Delivers to this server's own sockets; nothing here waits for any of them.
pub(crate) struct LocalOutbox {
    pub(crate) hub: Arc<Hub>,
    pub(crate) lives: Arc<Lives>,
}

#[async_trait]
impl Outbox for LocalOutbox {
    async fn deliver(&self, notice: &Notice, now: Millis) {
        match &notice.audience {
            Audience::Connection(connection) => self.to_one(connection, &notice.tidings, now),
            Audience::Listeners(session) => self.to_listeners(session, &notice.tidings, now),
            Audience::Everyone(session) => self.to_everyone(session, &notice.tidings, now),
        }
    }
}

impl LocalOutbox {
    fn to_one(&self, connection: &ConnectionId, tidings: &Tidings, now: Millis) {
        let Some(live) = self.lives.find(connection) else { return };
        match encode(tidings, &live.session, now) {
            Some(message) => live.outlet.send(message),
            None => live.retire(now),
        }
    }

    fn to_listeners(&self, session: &SessionId, tidings: &Tidings, now: Millis) {
        // The desk first: whoever is seated from here on is greeted with the new state.
        if let Tidings::Broadcast { state, .. } = tidings {
            self.lives.note_state(session, *state);
            // A session nobody here is in has no gate either.
            let _ = self.hub.set_gate(session, gate(*state));
        }
        if let Some(message) = encode(tidings, session, now) {
            let _ = self.hub.tell(session, message);
        }
    }

    fn to_everyone(&self, session: &SessionId, tidings: &Tidings, now: Millis) {
        let Tidings::Ended { reason, .. } = tidings else {
            return self.to_listeners(session, tidings, now);
        };
        tracing::info!(
            component = "session",
            operation = "end",
            correlationId = %session,
            reason = reason.as_str(),
            "ended"
        );
        let Some(message) = encode(tidings, session, now) else { return };
        let speaker = self.lives.end_desk(session, message.clone(), now);
        let close = session_close();
        if let Some(speaker) = speaker {
            speaker.outlet.send(message.clone());
            speaker.outlet.close(close.clone());
        }
        // A session nobody here is in has nobody to tell.
        let _ = self.hub.end(session, message, close);
    }
}

/// The close frame after a `sessionEnded`.
pub(crate) fn session_close() -> Bytes {
    websocket::close(close_code::NORMAL, "session ended")
}

/// Whether audio flows in this state.
pub(crate) fn gate(state: BroadcastState) -> Gate {
    if state.is_live() { Gate::Open } else { Gate::Shut }
}

fn encode(tidings: &Tidings, session: &SessionId, now: Millis) -> Option<Bytes> {
    let message = ServerMessage::of_tidings(tidings, session)?;
    Some(websocket::text(&message.encode(now)))
}
