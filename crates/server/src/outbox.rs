//! Notices to the connections that are open here.

use std::sync::Arc;

use ambo_app::ports::Outbox;
use ambo_core::{BroadcastState, Millis, Notice, SessionId, Tidings};
use ambo_hub::{Gate, Hub};
use ambo_wire::websocket::{self, close_code};
use async_trait::async_trait;
use bytes::Bytes;

use crate::live::Lives;
use crate::parcel::{self, Parcel};

/// Delivers to this server's own sockets; nothing here waits for any of them.
#[derive(Clone)]
pub(crate) struct LocalOutbox {
    pub(crate) hub: Arc<Hub>,
    pub(crate) lives: Arc<Lives>,
}

#[async_trait]
impl Outbox for LocalOutbox {
    async fn deliver(&self, notice: &Notice, now: Millis) {
        if let Some(parcel) = packed(notice, now) {
            self.take(parcel, now);
        }
    }
}

/// The parcel of a notice that was decided here.
pub(crate) fn packed(notice: &Notice, now: Millis) -> Option<Parcel> {
    let parcel = Parcel::of(notice, now)?;
    if let (Parcel::Ended { session, .. }, Tidings::Ended { reason, .. }) =
        (&parcel, &notice.tidings)
    {
        parcel::log_end(session, *reason);
    }
    Some(parcel)
}

impl LocalOutbox {
    /// Does what a parcel asks, where it concerns somebody here.
    pub(crate) fn take(&self, parcel: Parcel, now: Millis) {
        match parcel {
            Parcel::Word { connection, text } => {
                if let Some(live) = self.lives.find(&connection) {
                    live.outlet.send(websocket::text(&text));
                }
            }
            Parcel::Superseded { connection } => {
                if let Some(live) = self.lives.find(&connection) {
                    live.retire(now);
                }
            }
            Parcel::Broadcast { session, state, text } => {
                // The desk first: whoever is seated from here on is greeted with the new state.
                if !self.lives.note_state(&session, state) {
                    // The one who told it was slower than whoever changed it after that: taken
                    // now, it would stay.
                    return;
                }
                // A session nobody here is in has neither a gate nor anybody to tell.
                let _ = self.hub.set_gate(&session, gate(state));
                let _ = self.hub.tell(&session, websocket::text(&text));
            }
            Parcel::Ended { session, text } => self.end(&session, websocket::text(&text), now),
        }
    }

    fn end(&self, session: &SessionId, message: Bytes, now: Millis) {
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

#[cfg(test)]
mod tests {
    use ambo_core::Audience;
    use ambo_core::notice::Turn;
    use ambo_hub::HubSettings;

    use super::*;

    #[tokio::test]
    async fn what_was_overtaken_on_its_way_here_does_not_stay() {
        let settings = HubSettings::new(|_, _| Bytes::new(), Bytes::new());
        let (hub, lives) = (Arc::new(Hub::start(settings)), Arc::new(Lives::default()));
        let outbox = LocalOutbox { hub, lives: Arc::clone(&lives) };
        let session = SessionId::parse("faithful-shepherd-427").unwrap();
        let changed_at = |at| BroadcastState {
            is_paused: at == 2,
            is_muted: false,
            last_state_change: Millis(at),
        };
        lives.open_desk(&session, changed_at(1), Millis(1));
        for (at, turn) in [(3, Turn::Resumed), (2, Turn::Paused)] {
            let audience = Audience::Listeners(session.clone());
            let tidings = Tidings::Broadcast { turn, state: changed_at(at), message: None };
            outbox.deliver(&Notice { audience, tidings }, Millis(4)).await;
        }
        assert_eq!(lives.latest_state(&session, changed_at(2)), changed_at(3));
    }
}
