//! What every connection of a server shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use ambo_app::App;
use ambo_app::ports::StoreFault;
use ambo_core::{
    Arrival, BroadcastState, Grant, Language, Limits, Millis, Refusal, Reply, SessionId,
};
use ambo_hub::{Hub, Voice};
use ambo_wire::Sizes;
use bytes::Bytes;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::drain::Drain;
use crate::live::Lives;
use crate::metrics::Metrics;
use crate::outbox::gate;
use crate::places::Places;
use crate::proxy::TrustedProxies;

/// A running server without its listening socket.
pub(crate) struct Node {
    pub(crate) app: App,
    /// This node's part in a cluster, if it is one.
    pub(crate) cluster: Option<Arc<Cluster>>,
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
    pub(crate) drain: Drain,
    /// Held by everybody who is being let in: not connected yet, but perhaps a member already.
    pub(crate) coming: Arc<()>,
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
    pub(crate) drain_delay: Duration,
    pub(crate) max_header_size: usize,
    /// How long the store may miss a session before it is taken to have ended.
    pub(crate) missing: Millis,
}

/// How far a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// Not ready any more, but whoever comes all the same is let in.
    Leaving,
    /// Nobody is let in, and everybody is asked to move.
    Draining,
    Stopped,
}

impl Phase {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Leaving => "leaving",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
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
            1 => Phase::Leaving,
            2 => Phase::Draining,
            _ => Phase::Stopped,
        }
    }

    /// Goes on to a phase; there is no way back.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// The lock under which a session's floor is given away.
    pub(crate) fn floor_of(&self, session: &SessionId) -> &tokio::sync::Mutex<()> {
        let mix = |sum: usize, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
        let sum = session.as_str().bytes().fold(0, mix);
        &self.floors.0[sum % self.floors.0.len()]
    }

    /// Makes room for somebody who was let in: their place here, and in a cluster all that other
    /// nodes say to it. Whoever would miss that is refused after all, and may come again.
    pub(crate) async fn receive(
        &self,
        reply: Reply,
        grant: Option<&Grant>,
    ) -> (Result<Reply, Refusal>, Admission) {
        if let Reply::Created { session, .. } = &reply {
            self.lives.renew_desk(session);
        }
        match self.prepare(&reply, grant).await {
            // Not before: whoever is refused has taken the floor from nobody.
            Ok(()) => (Ok(reply), self.admit(grant)),
            Err(fault) => (Err(refusal_of(&fault)), Admission::None),
        }
    }

    /// In a cluster, sees to it that a newcomer misses nothing that is told or spoken elsewhere.
    async fn prepare(&self, reply: &Reply, grant: Option<&Grant>) -> Result<(), StoreFault> {
        let (Some(cluster), Some(grant)) = (&self.cluster, grant) else { return Ok(()) };
        cluster.begin(reply).await?;
        let (session, floor, state) = scene(grant);
        // First, so that nothing of the session is given up from here on.
        cluster.touch(session, floor);
        // What was spoken before is put into the hub. That it has ended is told later.
        let _ = self.open(session, floor, state);
        cluster.prepare(grant).await
    }

    /// Whether nobody is connected, nobody is being let in, and the store knows of all departures.
    pub(crate) fn is_deserted(&self) -> bool {
        self.is_empty() && self.departures.lock().is_empty()
    }

    /// Whether nobody is connected, and nobody is being let in.
    pub(crate) fn is_empty(&self) -> bool {
        // In this order: whoever comes is connected before they are no longer coming.
        Arc::strong_count(&self.coming) == 1 && self.lives.len() == 0
    }

    /// Turns a grant into a right to speak or to be seated, at once, before the socket is open.
    pub(crate) fn admit(&self, grant: Option<&Grant>) -> Admission {
        let Some(grant) = grant else { return Admission::None };
        let (session, floor, state) = scene(grant);
        if let Err(message) = self.open(session, floor, state) {
            return Admission::Ended(message);
        }
        match grant {
            Grant::Speak { .. } => self.hub.voice(session).map_or_else(
                |_| Admission::Ended(self.lives.ended(session).unwrap_or_default()),
                Admission::Floor,
            ),
            Grant::Hear { .. } => Admission::Seat,
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
        if self.lives.is_news(session, state) && self.lives.note_state(session, state) {
            // Whoever decided on it may never come to tell it.
            let _ = self.hub.set_gate(session, gate(state));
        }
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

/// The session that a grant is for, its floor, and its state.
fn scene(grant: &Grant) -> (&SessionId, Language, BroadcastState) {
    match grant {
        Grant::Speak { session, language, state } => (session, *language, *state),
        Grant::Hear { session, floor, state, .. } => (session, *floor, *state),
    }
}

/// A newcomer cannot be told what other nodes say.
fn refusal_of(fault: &StoreFault) -> Refusal {
    tracing::error!(
        component = "cluster",
        operation = "follow",
        errorCode = "SERVICE_UNAVAILABLE",
        error = %format_args!("{fault}: {}", fault.source),
        "the bus cannot be heard"
    );
    Refusal::ServiceUnavailable { service: "store", retry_after: 1 }
}
