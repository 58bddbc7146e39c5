//! Stopping without a lost word: every client is asked to go elsewhere, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use ambo_core::{Event, Millis};
use ambo_wire::websocket;

use crate::node::{Node, Phase};
use crate::timers;

/// RFC 6455's registry: the service restarts, and the client may come back.
const SERVICE_RESTART: u16 = 1012;

/// Asks everybody to refresh, spread over the period, and closes whoever is left at its end.
/// Returns early once nobody is left.
pub(crate) async fn run(node: &Arc<Node>) {
    node.enter(Phase::Draining);
    let period = node.pace.drain_period;
    let lives = node.lives.all();
    tracing::info!(
        component = "drain",
        operation = "drain",
        connections = lives.len(),
        "stopping: clients are asked to move"
    );
    let start = node.clock.now();
    let deadline = start + Millis(period.as_millis() as u64);
    // Asked in the first half, so that the last to be asked still has the second half to move.
    let asking = period / 2;
    let count = lives.len().max(1);
    for (index, live) in lives.iter().enumerate() {
        let due = start + Millis((asking.as_millis() as usize * index / count) as u64);
        while node.clock.now() < due && node.lives.len() > 0 {
            node.clock.rest(Duration::from_millis(10)).await;
        }
        timers::handle(node, live, Event::Drain { deadline }).await;
    }
    drop(lives);
    while node.lives.len() > 0 && node.clock.now() < deadline {
        node.clock.rest(Duration::from_millis(50)).await;
    }
    close_all(node).await;
}

/// Closes everybody, and waits a moment for the close frames to leave.
pub(crate) async fn close_all(node: &Node) {
    /// Longer than an outlet lingers.
    const PATIENCE: Duration = Duration::from_secs(3);
    node.enter(Phase::Stopped);
    for live in node.lives.all() {
        live.outlet.close(websocket::close(SERVICE_RESTART, "service restart"));
    }
    let gone = async {
        while node.lives.len() > 0 {
            node.clock.rest(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, gone).await;
}
