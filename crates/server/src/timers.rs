//! What time drives: pings, silence, age, expiry, status, and what is to be tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ambo_app::ports::StoreFault;
use ambo_core::event::Via;
use ambo_core::notice::Status;
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{Arrival, Audience, Event, Millis, Notice, Refusal, SessionId, Tidings};
use ambo_wire::ServerMessage;
use ambo_wire::websocket::{self, close_code};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::cluster::reconcile;
use crate::departure::tell_waiting;
use crate::live::Live;
use crate::node::Node;
use crate::tls::Tls;

/// A connection whose member moved on is closed so long after, in case its client forgot it.
const RETIRED_LINGER: Millis = Millis::from_secs(30);
/// Sessions looked at together; a store across a network is asked for many in the time of one.
const AT_ONCE: usize = 32;
/// How often what need not be exact to the quarter second is looked at.
const SLOW: Millis = Millis::from_secs(1);

/// Runs until told to stop.
pub(crate) async fn run(node: Arc<Node>, tls: Option<Arc<Tls>>, stop: CancellationToken) {
    let mut slow_at = Millis::ZERO;
    let mut ages_at = Millis::ZERO;
    let mut failing = None;
    // Across a network, what need not be told within a second is asked for less often.
    let rest = if node.cluster.is_some() { 5 } else { 1 };
    let mut slow_rounds = 0_u32;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = node.clock.tick() => {}
        }
        let now = node.clock.now();
        // A clock set back by hand must not stop the slow work.
        let is_slow = now.since(slow_at) >= SLOW || now < slow_at;
        let lives = node.lives.all();
        lives.iter().for_each(|live| look_at(&node, live, now));
        if now >= ages_at && !tell_ages(&node, &lives, now).await {
            ages_at = now + SLOW;
        }
        sweep(&node, &mut failing).await;
        if is_slow {
            slow_at = now;
            node.metrics.connections.set(node.lives.len() as i64);
            tell_status(&node, now).await;
            tell_waiting(&node).await;
            if slow_rounds.is_multiple_of(rest) {
                tell_ends(&node, now).await;
                count(&node).await;
            }
            slow_rounds = slow_rounds.wrapping_add(1);
            node.lives.tidy(now);
            if let Some(tls) = &tls {
                tls.reload();
            }
        }
    }
}

/// One connection: silent for too long, too old, moved on, or in need of a ping.
fn look_at(node: &Node, live: &Arc<Live>, now: Millis) {
    let limits = node.limits();
    let heard_at = Millis(live.heard_at.load(Ordering::Relaxed));
    let silence = now.since(heard_at);
    let age = now.since(live.opened_at);
    let is_over = |span: Millis, limit: Millis| !limit.is_zero() && span >= limit;
    if is_over(silence, limits.heartbeat_timeout) {
        // A peer that is silent will hardly read a close frame, but a stalled one may.
        let close = websocket::close(close_code::GOING_AWAY, "heartbeat timeout");
        return live.outlet.close(close);
    }
    if is_over(age, limits.connection_max_duration) {
        let close = websocket::close(close_code::GOING_AWAY, "maximum age reached");
        return live.outlet.close(close);
    }
    let retired_at = Millis(live.retired_at.load(Ordering::Relaxed));
    if !retired_at.is_zero() {
        if now.since(retired_at) >= RETIRED_LINGER {
            live.outlet.close(websocket::close(close_code::NORMAL, "superseded"));
        }
        return;
    }
    ping(node, live, silence, now);
}

/// Asks the rules once at each age that may call for a word, until the store is not there to be
/// asked. Says whether it was.
async fn tell_ages(node: &Node, lives: &[Arc<Live>], now: Millis) -> bool {
    let is_there = &AtomicBool::new(true);
    let due = lives.iter().filter_map(|live| {
        let due = age_due(node, live, now);
        (due > 0).then(|| (Arc::clone(live), due))
    });
    let tell = |(live, due): (Arc<Live>, u8)| async move {
        if !is_there.load(Ordering::Relaxed) {
            return;
        }
        match handle(node, &live, Event::Age).await {
            Err(Refusal::ServiceUnavailable { .. }) => is_there.store(false, Ordering::Relaxed),
            // Any other refusal means that it has no record any more, and that is no news.
            Ok(()) | Err(_) => {
                live.age_told.fetch_or(due, Ordering::Relaxed);
            }
        }
    };
    stream::iter(due).for_each_concurrent(AT_ONCE, tell).await;
    is_there.load(Ordering::Relaxed)
}

/// What a connection's age may call for and has not been told, as `age_told` has it.
fn age_due(node: &Node, live: &Live, now: Millis) -> u8 {
    let (limits, age) = (node.limits(), now.since(live.opened_at));
    let is_due = |at: Millis| !at.is_zero() && age >= at;
    let due = u8::from(is_due(limits.connection_refresh))
        + 2 * u8::from(is_due(limits.connection_warning));
    let is_retired = live.retired_at.load(Ordering::Relaxed) != 0;
    if is_retired { 0 } else { due & !live.age_told.load(Ordering::Relaxed) }
}

fn ping(node: &Node, live: &Live, silence: Millis, now: Millis) {
    let interval = Millis(node.pace.heartbeat_interval.as_millis() as u64);
    let pinged_at = Millis(live.pinged_at.load(Ordering::Relaxed));
    let is_idle = silence >= interval && now.since(pinged_at) >= interval;
    if !interval.is_zero() && is_idle {
        live.pinged_at.store(now.0, Ordering::Relaxed);
        live.outlet.send(websocket::ping(b""));
    }
}

/// An event of the server's own about a connection.
pub(crate) async fn handle(node: &Node, live: &Live, event: Event) -> Result<(), Refusal> {
    let arrival = Arrival {
        connection: live.id.clone(),
        source: live.source,
        via: Via::Server,
        token: None,
        intent: Ok(event),
        stamp: node.clock.stamp(),
    };
    let outcome = node.app.handle(&arrival).await;
    node.app.notify(&outcome.notices, node.clock.now()).await;
    outcome.answer.map(drop)
}

/// Ends what is over. Logs when that begins to fail, not each time it does.
async fn sweep(node: &Node, failing: &mut Option<StoreFault>) {
    let clock: &Clock = &node.clock;
    let swept = node.app.sweep(|| clock.stamp()).await.err();
    if let (Some(fault), None) = (&swept, &*failing) {
        tracing::warn!(
            component = "timers",
            operation = "sweep",
            error = %format_args!("{fault}: {}", fault.source),
            "sessions that are over cannot be ended now; tried again"
        );
    }
    *failing = swept;
}

/// Tells the end of sessions that the store no longer knows though nobody was told: whoever ended
/// them gave up waiting before the store was done.
async fn tell_ends(node: &Node, now: Millis) {
    let look = |session: SessionId| async move {
        let named = OfSession::Named(session.clone());
        let wanted = Wanted { session: named, ..Wanted::default() };
        // What cannot be asked for is not missed, nor was it meanwhile.
        let is_missed =
            node.app.store().load(&wanted).await.is_ok_and(|seen| seen.session.is_none());
        if let Some(reason) = node.lives.miss(&session, is_missed, now, node.pace.missing) {
            let tidings = Tidings::Ended { reason, message: None };
            let notice = Notice { audience: Audience::Everyone(session), tidings };
            node.app.notify(&[notice], now).await;
        }
    };
    stream::iter(node.lives.sessions()).for_each_concurrent(AT_ONCE, look).await;
}

/// Tells each speaker who listens, when that is worth a word.
async fn tell_status(node: &Node, now: Millis) {
    let look = |speaker: Arc<Live>| async move {
        let session = speaker.session.clone();
        let wanted =
            Wanted { session: OfSession::Named(session), languages: true, ..Wanted::default() };
        let Ok(seen) = node.app.store().load(&wanted).await else { return };
        let Some(found) = &seen.session else { return };
        if node.cluster.is_some() && found.is_spoken_by(&speaker.id) {
            node.lives.keep_record(found);
            reconcile::keep_state(node, found, &speaker.id).await;
        }
        let status = Status::of(found, seen.languages, now);
        let due = node.lives.with_pulse(&status.session, |pulse| {
            let due = pulse.due(&status, now)?;
            pulse.told(&status, now);
            Some(due)
        });
        if let Some(reason) = due.flatten() {
            let message = ServerMessage::of_status(&status, reason).encode(now);
            speaker.outlet.send(websocket::text(&message));
        }
    };
    stream::iter(node.lives.speakers()).for_each_concurrent(AT_ONCE, look).await;
}

async fn count(node: &Node) {
    if let Ok(totals) = node.app.store().totals().await {
        node.metrics.active_sessions.set(totals.sessions as i64);
        node.metrics.total_listeners.set(totals.listeners as i64);
    }
}
