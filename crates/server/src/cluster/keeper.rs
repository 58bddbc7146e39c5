//! What a node does for its cluster all the time: it renews its lease, settles the estates of
//! nodes that died, and looks after the truth when the engine was ill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambo_app::ports::StoreFault;
use ambo_core::event::Departure;
use ambo_core::{Connection, Millis, SessionId};
use ambo_store_redis::{Claim, EngineMark, Forgotten, NodeId};
use futures_util::{StreamExt, stream};
use tokio_util::sync::CancellationToken;

use super::Cluster;
use super::reconcile::Suspects;
use crate::departure::{departure, tell_departure};
use crate::node::Node;

/// How long a node that gives no sign of life is taken to be alive. Three renewals fit in.
pub(super) const LEASE: Millis = Millis::from_secs(6);
/// How often a lease is renewed and others' are looked at. With the lease above, the members of a
/// dead node lapse within 6 + 2 seconds and the time it takes to go through them.
const RENEWAL: Duration = Duration::from_secs(2);
/// How long a node must have held its lease without a break before it takes others for dead: an
/// engine that was away let everybody's lease run out.
const SETTLED_AFTER: Duration = Duration::from_secs(8);
/// How long after an illness of the engine what it knows is taken to be behind.
const UNSETTLED_FOR: Duration = Duration::from_secs(20);
/// How often the truth is looked after when all is well, in renewals.
const CALM: u32 = 5;
/// Members of a dead node that are told to have left at the same time.
const AT_ONCE: usize = 64;

/// Keeps a node in its cluster.
pub(crate) struct Keeper {
    node: Arc<Node>,
    cluster: Arc<Cluster>,
    engine: Option<EngineMark>,
    renewed_at: Option<Instant>,
    settled_since: Instant,
    ill_at: Option<Instant>,
    rounds: u32,
    suspects: Suspects,
}

impl Keeper {
    pub(crate) fn new(node: Arc<Node>, cluster: Arc<Cluster>) -> Self {
        Self {
            node,
            cluster,
            engine: None,
            renewed_at: None,
            settled_since: Instant::now(),
            ill_at: None,
            rounds: 0,
            suspects: Suspects::default(),
        }
    }

    /// Runs until told to stop. It keeps real time: leases are the engine's affair.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(RENEWAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(fault) = self.round().await {
                tracing::warn!(
                    component = "cluster",
                    operation = "renew",
                    error = %format_args!("{fault}: {}", fault.source),
                    "the cluster's engine cannot be asked; tried again"
                );
                self.fall_ill();
            }
        }
    }

    async fn round(&mut self) -> Result<(), StoreFault> {
        self.renew().await?;
        self.rounds += 1;
        let is_unsettled = self.ill_at.is_some_and(|at| at.elapsed() < UNSETTLED_FOR);
        self.cluster.note_unsettled(is_unsettled);
        if is_unsettled || self.rounds.is_multiple_of(CALM) || !self.suspects.is_empty() {
            self.cluster.reconcile(&self.node, &mut self.suspects).await?;
        }
        self.cluster.tidy();
        if self.settled_since.elapsed() >= SETTLED_AFTER {
            for dead in self.cluster.leases.dead().await? {
                self.settle_estate(&dead).await?;
            }
        }
        Ok(())
    }

    /// Renews the lease. That the engine does not know this node, or is another than before, means
    /// that it may have lost more.
    async fn renew(&mut self) -> Result<(), StoreFault> {
        let renewed = self.cluster.leases.renew(&self.cluster.id).await?;
        let is_first = self.renewed_at.is_none();
        let is_another = self.engine.replace(renewed.engine.clone()) != Some(renewed.engine);
        // A process that was stopped may have been taken for dead although the engine is well.
        let has_slept =
            self.renewed_at.is_some_and(|at| at.elapsed() >= Duration::from_millis(LEASE.0));
        self.renewed_at = Some(Instant::now());
        if !is_first && (!renewed.was_known || is_another || has_slept) {
            tracing::warn!(
                component = "cluster",
                operation = "renew",
                "the engine or this node was away; what it knows is looked after"
            );
            self.fall_ill();
        }
        Ok(())
    }

    fn fall_ill(&mut self) {
        self.ill_at = Some(Instant::now());
        self.settled_since = Instant::now();
        self.cluster.note_unsettled(true);
    }

    /// Lets the members of a dead node lapse, unless another survivor does.
    async fn settle_estate(&self, dead: &NodeId) -> Result<(), StoreFault> {
        let cluster = &self.cluster;
        if cluster.leases.claim(dead, &cluster.id).await? != Claim::Yours {
            return Ok(());
        }
        tracing::warn!(component = "cluster", operation = "lapse", node = %dead, "a node has died");
        let mut count = 0;
        let mut after = None;
        loop {
            let sessions = cluster.store.sessions_of(dead.as_str(), after.as_ref(), PAGE).await?;
            for session in &sessions {
                count += self.settle_session(session, dead).await?;
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
        if cluster.leases.forget(dead, &cluster.id).await? == Forgotten::Gone {
            cluster.store.forget_node(dead.as_str()).await?;
        }
        tracing::info!(
            component = "cluster",
            operation = "lapse",
            node = %dead,
            members = count,
            "the members of a dead node have lapsed"
        );
        Ok(())
    }

    async fn settle_session(
        &self,
        session: &SessionId,
        dead: &NodeId,
    ) -> Result<usize, StoreFault> {
        let members = self.cluster.store.members_of(session, dead.as_str()).await?;
        let count = members.len();
        stream::iter(members)
            .for_each_concurrent(AT_ONCE, |member| lapse(&self.node, member))
            .await;
        Ok(count)
    }
}

/// Sessions of a dead node asked for at once.
const PAGE: usize = 100;

/// A member whose connection nobody holds has left without a word.
pub(super) async fn lapse(node: &Node, member: Connection) {
    let arrival = departure(node, &member.id, member.source, Departure::Lost);
    tell_departure(node, arrival).await;
}
