//! What a node does for its cluster all the time: it renews its lease, settles the estates of
//! nodes that died, and looks after the truth when the engine was ill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambo_app::ports::StoreFault;
use ambo_core::event::Departure;
use ambo_core::{Connection, Millis, Refusal, SessionId};
use ambo_store_redis::{Claim, EngineMark, Forgotten, NodeId, Renewed};
use futures_util::{StreamExt, stream};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::Cluster;
use super::reconcile::Suspects;
use crate::departure::{departure, try_departure};
use crate::node::Node;

/// How long a node that gives no sign of life is taken to be alive. Three renewals fit in.
pub(super) const LEASE: Millis = Millis::from_secs(6);
/// How often a lease is renewed and others' are looked at. With the lease above, the members of a
/// dead node lapse within 6 + 2 seconds and the time it takes to go through them.
const RENEWAL: Duration = Duration::from_secs(2);
/// The most between two renewals of a lease that holds.
const MOST_BETWEEN: Duration = Duration::from_millis(LEASE.0);
/// How long a node must have held its lease without a break before it takes others for dead: an
/// engine that was away let everybody's lease run out.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// How long after an illness of the engine what it knows is taken to be behind.
const UNSETTLED_FOR: Duration = Duration::from_secs(20);
/// How often the truth is looked after when all is well, in renewals.
const CALM: u32 = 5;
/// How often this node's sessions that have ended are forgotten, in renewals: each five minutes.
const CLEARING: u32 = 150;
/// Members of a dead node that are told to have left at the same time.
const AT_ONCE: usize = 64;

/// Keeps a node in its cluster.
pub(crate) struct Keeper {
    node: Arc<Node>,
    cluster: Arc<Cluster>,
}

/// How it went with the engine lately.
pub(super) struct Pulse {
    engine: Option<EngineMark>,
    renewed_at: Option<Instant>,
    is_answered: bool,
    settled_since: Instant,
    ill_at: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(node: Arc<Node>, cluster: Arc<Cluster>) -> Self {
        Self { node, cluster }
    }

    /// Runs until told to stop. It keeps real time: leases are the engine's affair. The lease is
    /// renewed beside all other work, however long that takes.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.renew_always() => {}
            () = self.work_always() => {}
        }
    }

    async fn renew_always(&self) {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            self.cluster.renew().await;
        }
    }

    async fn work_always(&self) {
        let mut ticks = ticks();
        let mut suspects = Suspects::default();
        for round in 1_u32.. {
            ticks.tick().await;
            if let Err(fault) = self.work(round, &mut suspects).await {
                tell_fault("work", &fault);
            }
        }
    }

    async fn work(&self, round: u32, suspects: &mut Suspects) -> Result<(), StoreFault> {
        let (is_answered, is_settled) = {
            let pulse = self.cluster.pulse.lock();
            (pulse.is_answered, pulse.is_settled())
        };
        if !is_answered {
            return Ok(());
        }
        if self.cluster.is_unsettled() || round.is_multiple_of(CALM) || !suspects.is_empty() {
            self.cluster.reconcile(&self.node, suspects).await?;
        }
        self.cluster.tidy();
        if round.is_multiple_of(CLEARING) {
            self.cluster.store.forget_ended(self.cluster.id.as_str()).await?;
        }
        self.cluster.agree().await?;
        if is_settled {
            for dead in self.cluster.leases.dead().await? {
                self.settle_estate(&dead).await?;
            }
        }
        Ok(())
    }

    /// Lets the members of a dead node lapse, unless another survivor does. It is forgotten once
    /// all of them have, however often that must be tried.
    async fn settle_estate(&self, dead: &NodeId) -> Result<(), StoreFault> {
        let cluster = &self.cluster;
        if cluster.leases.claim(dead, &cluster.id).await? != Claim::Yours {
            return Ok(());
        }
        tracing::warn!(component = "cluster", operation = "lapse", node = %dead, "a node has died");
        let [mut lapsed, mut left] = [0; 2];
        let mut after = None;
        loop {
            let sessions = cluster.store.sessions_of(dead.as_str(), after.as_ref(), PAGE).await?;
            for session in &sessions {
                let [taken, refused] = self.settle_session(session, dead).await?;
                (lapsed, left) = (lapsed + taken, left + refused);
            }
            // Whoever takes long goes on to hold it; whoever has lost it leaves it to the other.
            if cluster.leases.claim(dead, &cluster.id).await? != Claim::Yours {
                return Ok(());
            }
            if sessions.len() < PAGE {
                break;
            }
            after = sessions.last().cloned();
        }
        if left == 0 && cluster.leases.forget(dead, &cluster.id).await? == Forgotten::Gone {
            cluster.store.forget_node(dead.as_str()).await?;
        }
        tracing::info!(
            component = "cluster",
            operation = "lapse",
            node = %dead,
            members = lapsed,
            left,
            "the members of a dead node have lapsed"
        );
        Ok(())
    }

    /// Says how many have lapsed, and how many the store did not let go.
    async fn settle_session(
        &self,
        session: &SessionId,
        dead: &NodeId,
    ) -> Result<[usize; 2], StoreFault> {
        let members = self.cluster.store.members_of(session, dead.as_str()).await?;
        let lapses = stream::iter(members).map(|member| lapse(&self.node, member, Departure::Lost));
        let taken: Vec<bool> = lapses.buffer_unordered(AT_ONCE).collect().await;
        let lapsed = taken.iter().filter(|is_taken| **is_taken).count();
        Ok([lapsed, taken.len() - lapsed])
    }
}

impl Cluster {
    async fn renew(&self) {
        let renewed = self.leases.renew(&self.id).await;
        if let Err(fault) = &renewed {
            tell_fault("renew", fault);
        }
        self.pulse.lock().note(renewed.ok());
    }

    /// Whether the engine was ill a moment ago, so that what it knows may be behind.
    pub(super) fn is_unsettled(&self) -> bool {
        let ill_at = self.pulse.lock().ill_at;
        ill_at.is_some_and(|at| at.elapsed() < UNSETTLED_FOR)
    }

    /// The same, and asks it whether it has become so since the last renewal.
    pub(crate) async fn is_behind(&self) -> bool {
        if !self.is_unsettled() {
            self.renew().await;
        }
        self.is_unsettled()
    }
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self {
            engine: None,
            renewed_at: None,
            is_answered: false,
            settled_since: Instant::now(),
            ill_at: None,
        }
    }

    /// Whether it has held its lease for so long that those who have not are dead. A process that
    /// has just woken does not know yet what became of its own.
    fn is_settled(&self) -> bool {
        self.renewed_at.is_some_and(|at| at.elapsed() < MOST_BETWEEN)
            && self.settled_since.elapsed() >= SETTLED_AFTER
    }

    /// Notes what a renewal has found. That the engine did not know this node, or is another than
    /// before, means that it may have lost more; and while this process was stopped, it may have
    /// been taken for dead.
    fn note(&mut self, renewed: Option<Renewed>) {
        self.is_answered = renewed.is_some();
        let is_ill = match renewed {
            None => true,
            Some(renewed) => {
                let known = self.engine.replace(renewed.engine.clone());
                let before = self.renewed_at.replace(Instant::now());
                let has_slept = before.is_some_and(|at| at.elapsed() >= MOST_BETWEEN);
                before.is_some()
                    && (!renewed.was_known || known != Some(renewed.engine) || has_slept)
            }
        };
        if is_ill {
            (self.ill_at, self.settled_since) = (Some(Instant::now()), Instant::now());
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = tokio::time::interval(RENEWAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn tell_fault(operation: &'static str, fault: &StoreFault) {
    tracing::warn!(
        component = "cluster",
        operation,
        error = %format_args!("{fault}: {}", fault.source),
        "the cluster's engine cannot be asked; tried again"
    );
}

/// Sessions of a dead node asked for at once.
const PAGE: usize = 100;

/// A member whose connection nobody holds has left. Says whether that is settled; if the store
/// cannot take it now, whoever found the member finds it again.
pub(super) async fn lapse(node: &Node, member: Connection, how: Departure) -> bool {
    let arrival = departure(node, &member.id, member.source, how);
    !matches!(try_departure(node, &arrival).await, Err(Refusal::ServiceUnavailable { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_has_just_woken_takes_nobody_for_dead() {
        let ago = |secs| Instant::now().checked_sub(Duration::from_secs(secs)).unwrap();
        let pulse = |renewed, settled| {
            let (renewed_at, settled_since) = (Some(ago(renewed)), ago(settled));
            Pulse { renewed_at, settled_since, is_answered: true, ..Pulse::new() }
        };
        assert!(pulse(2, 60).is_settled());
        assert!(!pulse(2, 5).is_settled());
        assert!(!pulse(20, 60).is_settled());
        assert!(!Pulse::new().is_settled());
    }
}
