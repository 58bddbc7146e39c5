//! What every connection of a server shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ambo_app::App;
use ambo_core::{Arrival, BroadcastState, Grant, Language, Limits, SessionId};
use ambo_hub::{Hub, Voice};
use ambo_wire::Sizes;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::live::Lives;
use crate::metrics::Metrics;
use crate::outbox::gate;
use crate::places::Places;
use crate::proxy::TrustedProxies;

/// A running server without its listening socket.
pub(crate) struct Node {
    pub(crate) app: App,
    pub(crate) hub: Arc<Hub>,
    pub(crate) lives: Arc<Lives>,
    pub(crate) places: Arc<Places>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) proxies: TrustedProxies,
    pub(crate) jwks: Option<String>,
    pub(crate) sizes: Sizes,
    pub(crate) pace: Pace,
    pub(crate) send_buffer: usize,
    /// Departures that the store did not take, to be told again.
    pub(crate) departures: Mutex<Vec<Arrival>>,
    pub(crate) floors: Floors,
    /// A [`Phase`]; the default is the first.
    pub(crate) phase: AtomicU8,
}

/// Refreshes of one session's speaker go one after the other, so that the last to be written is
/// the last to be given the floor.
pub(crate) struct Floors([tokio::sync::Mutex<()>; 64]);

impl Default for Floors {
    fn default() -> Self {
        Self([const { tokio::sync::Mutex::const_new(()) }; 64])
    }
}

/// The spans that the server's own timers keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) heartbeat_interval: Duration,
    pub(crate) audio_excess_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) drain_period: Duration,
    pub(crate) max_header_size: usize,
}

/// How far a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Serving,
    Draining,
    Stopped,
}

/// What a grant has become here.
pub(crate) enum Admission {
    /// The floor.
    Floor(Voice),
    /// A place among the listeners, to be taken once the socket is open.
    Seat,
    /// The session has ended since; this is what its members were told.
    Ended(Bytes),
    /// Nothing to do with audio.
    None,
}

impl Node {
    pub(crate) fn limits(&self) -> &Limits {
        &self.app.terms().limits
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// The lock under which a session's floor is given away.
    pub(crate) fn floor_of(&self, session: &SessionId) -> &tokio::sync::Mutex<()> {
        let mix = |sum: usize, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
        let sum = session.as_str().bytes().fold(0, mix);
        &self.floors.0[sum % self.floors.0.len()]
    }

    /// Turns a grant into a right to speak or to be seated, at once, before the socket is open.
    pub(crate) fn admit(&self, grant: Option<&Grant>) -> Admission {
        let (session, floor, state) = match grant {
            Some(Grant::Speak { session, language, state }) => (session, *language, *state),
            Some(Grant::Hear { session, floor, state, .. }) => (session, *floor, *state),
            None => return Admission::None,
        };
        if let Err(message) = self.open(session, floor, state) {
            return Admission::Ended(message);
        }
        match grant {
            Some(Grant::Speak { .. }) => self.hub.voice(session).map_or_else(
                |_| Admission::Ended(self.lives.ended(session).unwrap_or_default()),
                Admission::Floor,
            ),
            Some(Grant::Hear { .. }) | None => Admission::Seat,
        }
    }

    /// Opens a session in the hub, unless it has ended. An end notes itself at the desk before it
    /// takes the session out of the hub, so looking at the desk both before and after opening
    /// leaves no ended session open.
    fn open(
        &self,
        session: &SessionId,
        floor: Language,
        state: BroadcastState,
    ) -> Result<(), Bytes> {
        self.lives.open_desk(session, state, self.clock.now());
        if let Some(message) = self.lives.ended(session) {
            return Err(message);
        }
        self.hub.open(session, floor, gate(state));
        match self.lives.ended(session) {
            None => Ok(()),
            Some(message) => {
                // The end was told in between, or is about to be: nobody is to be left behind.
                let _ = self.hub.end(session, message.clone(), crate::outbox::session_close());
                Err(message)
            }
        }
    }
}
