//! Stopping without a lost word: the node says that it is leaving, takes nobody in any more, and
//! asks every client to go elsewhere, a few at a time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ambo_core::{ConnectionId, Event, Millis, Refusal};
use ambo_wire::websocket;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::live::Live;
use crate::node::{Node, Phase};
use crate::timers;

/// RFC 6455's registry: the service restarts, and the client may come back.
const SERVICE_RESTART: u16 = 1012;

/// The shortest time between two connections that are asked to move: 10,000 a second. Each comes
/// back at once with a handshake and a write to the store; the other nodes and one Redis bear so
/// many, and a full node is empty in seconds all the same.
const GAP: Duration = Duration::from_micros(100);

/// Connections whose asking may wait for the store at the same time: enough for 10,000 a second
/// where the store takes 6 ms, and no crowd before one that is slow.
const AT_ONCE: usize = 64;

/// How long nobody is asked after the store did not take it.
const STORE_REST: Duration = Duration::from_secs(1);

/// How often is looked for somebody who was still being let in when all others were asked.
const LOOK: Duration = Duration::from_millis(250);

/// When a node was told to leave.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    begun_at: OnceLock<Millis>,
    begun: CancellationToken,
}

impl Drain {
    /// Waits until somebody has told the node to leave.
    pub(crate) async fn begun(&self) {
        self.begun.cancelled().await;
    }
}

/// How far a drain is, for the operator.
#[derive(Debug, Serialize)]
pub(crate) struct Progress {
    /// `serving`, `leaving`, `draining` or `stopped`.
    phase: &'static str,
    /// Connections that are open here.
    connections: usize,
    /// When those that are left are closed, in Unix milliseconds; none while the node serves.
    deadline: Option<u64>,
}

impl Progress {
    pub(crate) fn of(node: &Node) -> Self {
        let begun_at = node.drain.begun_at.get();
        let deadline = begun_at.map(|begun_at| Times::new(node, *begun_at).deadline.0);
        Self { phase: node.phase().name(), connections: node.lives.len(), deadline }
    }
}

/// When what happens, once a drain has begun.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// Nobody is accepted any more, and the first is asked.
    start: Millis,
    /// Who is left is closed.
    deadline: Millis,
}

impl Times {
    fn new(node: &Node, begun_at: Millis) -> Self {
        let start = begun_at + millis(node.pace.drain_delay);
        Self { start, deadline: start + millis(node.pace.drain_period) }
    }
}

/// Makes the node not ready, from this moment on. Says whether it was so far.
pub(crate) fn begin(node: &Node) -> bool {
    let is_first = node.drain.begun_at.set(node.clock.now()).is_ok();
    if is_first {
        node.enter(Phase::Leaving);
        node.metrics.draining.set(1);
        tracing::info!(
            component = "drain",
            operation = "drain",
            connections = node.lives.len(),
            "stopping: this node is not ready any more"
        );
    }
    node.drain.begun.cancel();
    is_first
}

/// Empties the node: after the delay takes nobody in any more, asks everybody to move, and closes
/// whoever is left at the end of the period. Returns early once nobody is left, or `at_once`.
pub(crate) async fn run(
    node: &Arc<Node>,
    accepting: &CancellationToken,
    at_once: impl Future<Output = ()>,
) {
    begin(node);
    let begun_at = *node.drain.begun_at.get_or_init(|| node.clock.now());
    let times = Times::new(node, begun_at);
    let leave = async {
        until(node, times.start).await;
        accepting.cancel();
        node.enter(Phase::Draining);
        let has_period = !node.pace.drain_period.is_zero();
        tokio::select! {
            () = gone(node) => {}
            () = until(node, times.deadline), if has_period => {}
            () = ask_all(node, times) => {}
        }
    };
    tokio::select! {
        () = leave => {}
        () = at_once => accepting.cancel(),
    }
    close_all(node).await;
}

/// Asks everybody to move, those too who were still being let in when it began, and again those
/// whom the store did not let it ask. Only without a period it ends by itself, after one round.
async fn ask_all(node: &Node, times: Times) {
    let period = node.pace.drain_period;
    let asked = Mutex::new(HashSet::new());
    // The first round takes the first half, so that the last to be asked has the second to move.
    let (mut start, mut span) = (times.start, period / 2);
    loop {
        let mut lives = node.lives.all();
        lives.retain(|live| !asked.lock().contains(&live.id));
        let gap = if period.is_zero() { period } else { GAP.max(span / lives.len().max(1) as u32) };
        let (deadline, is_over) = (times.deadline, AtomicBool::new(false));
        let round = Round { node, start, gap, deadline, asked: &asked, is_over };
        let ask = |(index, live)| round.ask(index, live);
        stream::iter(lives.into_iter().enumerate()).for_each_concurrent(AT_ONCE, ask).await;
        if period.is_zero() {
            return;
        }
        node.clock.rest(if round.is_over.into_inner() { STORE_REST } else { LOOK }).await;
        (start, span) = (node.clock.now(), Duration::ZERO);
    }
}

/// Those who have not been asked yet, in turn.
struct Round<'a> {
    node: &'a Node,
    start: Millis,
    gap: Duration,
    deadline: Millis,
    /// Who need not be asked again.
    asked: &'a Mutex<HashSet<ConnectionId>>,
    /// The store is ill: asking the others would only make it worse, and fill the log.
    is_over: AtomicBool,
}

impl Round<'_> {
    /// Asks one when its turn is, whether or not those before it have been dealt with by then.
    async fn ask(&self, index: usize, live: Arc<Live>) {
        let due = self.start + millis(self.gap * index as u32);
        while self.node.clock.now() < due && !self.is_over.load(Ordering::Relaxed) {
            self.node.clock.rest(STEP).await;
        }
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        let event = Event::Drain { deadline: self.deadline };
        match timers::handle(self.node, &live, event).await {
            Err(Refusal::Internal | Refusal::ServiceUnavailable { .. }) => {
                self.is_over.store(true, Ordering::Relaxed);
            }
            // Told to move, or nobody's connection any more.
            Ok(()) | Err(_) => {
                self.asked.lock().insert(live.id.clone());
            }
        }
    }
}

/// Between two looks at the clock, or at who is left.
const STEP: Duration = Duration::from_millis(10);

async fn until(node: &Node, moment: Millis) {
    while node.clock.now() < moment {
        node.clock.rest(STEP).await;
    }
}

async fn gone(node: &Node) {
    while !node.is_empty() {
        node.clock.rest(STEP).await;
    }
}

/// Closes everybody, and waits a moment for the close frames to leave.
async fn close_all(node: &Node) {
    /// Longer than an outlet lingers.
    const PATIENCE: Duration = Duration::from_secs(3);
    node.enter(Phase::Stopped);
    let lives = node.lives.all();
    let left = lives.len();
    tracing::info!(
        component = "drain",
        operation = "close",
        connections = left,
        "closing the rest"
    );
    for live in lives {
        live.outlet.close(websocket::close(SERVICE_RESTART, "service restart"));
    }
    let _ = tokio::time::timeout(PATIENCE, gone(node)).await;
}

fn millis(span: Duration) -> Millis {
    Millis(span.as_millis() as u64)
}
