//! The engine restarts, forgets, hangs, or cannot be reached.

use std::time::Duration;

use ambo_client::{Closed, Failure};
use ambo_testkit::cluster::{Ear, Node, Plan, Way, get, until};
use ambo_testkit::redis::RedisCluster;

use crate::stage::{SETTLED, SOON, Stage, plan};

/// How long the engine is away.
const AWAY: Duration = Duration::from_secs(4);

impl Stage {
    /// Nobody who is there is disturbed; nobody else is let in, and is told so at once.
    async fn bears_the_loss(&self) {
        self.refuses().await;
        let last = self.talk.say(50).await;
        self.near.hears(last, SOON).await;
        self.near.is_whole();
        for audience in self.audiences() {
            assert_eq!(audience.count(|record| record.returns > 0), 0);
            assert_eq!(audience.up(), audience.len());
        }
    }

    /// A join is refused for now. Nodes say themselves that they are not ready; a balancer that
    /// has not asked yet lets clients come all the same.
    async fn refuses(&self) {
        let refused = Ear::join(&self.cluster.server_of(0), self.talk.session(), "es").await;
        let Err(Closed::Failed(Failure::Refused(refused))) = refused else {
            panic!("it was not refused: {refused:?}");
        };
        assert_eq!(refused.error.code, "SERVICE_UNAVAILABLE");
    }

    /// All is as if nothing had happened.
    async fn recovers(self) {
        self.settles().await;
        self.all_hear().await;
        for audience in self.audiences() {
            audience.is_ordered();
            assert_eq!(audience.count(|record| !record.ends.is_empty()), 0);
        }
        self.near.is_whole();
        for n in 0..3 {
            self.cluster.ready(n).await;
        }
        self.close().await;
    }
}

/// The engine of such a cluster is killed, and back a little later.
async fn restarts(plan: Plan) {
    let mut stage = Stage::set(plan).await;
    stage.cluster.engine.kill();
    stage.bears_the_loss().await;
    tokio::time::sleep(AWAY).await;
    stage.cluster.engine.restart().await;
    stage.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_restarts_with_its_memory_is_hardly_noticed() {
    restarts(plan().durable()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_restarts_without_its_memory_is_told_again() {
    restarts(plan()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_flushed_is_told_again() {
    let stage = Stage::set(plan()).await;
    stage.cluster.engine.run::<()>(&["FLUSHALL"]).await;
    stage.all_hear().await;
    stage.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_holds_nobody_up() {
    let stage = Stage::set(plan()).await;
    stage.cluster.engine.pause();
    until("the nodes notice", SOON, || (0..3).all(|n| !stage.cluster.balancer.is_ready(n))).await;
    stage.bears_the_loss().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    for node in &stage.cluster.nodes {
        let health = get(node.address(), "/healthz").await.unwrap();
        assert_eq!(health.status, 200);
    }
    stage.cluster.engine.resume();
    stage.recovers().await;
}

/// What every call of a slow engine may take, in milliseconds.
const SLOW: &str = "2000";
/// More than anything that may wait for an engine takes.
const MEMORY: u64 = 64 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_slow_slows_nobody_who_is_there() {
    let stage = Stage::set(plan()).await;
    let memory = || stage.cluster.nodes.iter().map(Node::resident).max().unwrap();
    let before = memory();
    for _ in 0..6 {
        // Answered at once, unless a pause holds; so one follows the other.
        stage.cluster.engine.run::<()>(&["CLIENT", "PAUSE", SLOW]).await;
        let last = stage.talk.say(20).await;
        stage.near.hears(last, SOON).await;
    }
    stage.near.is_whole();
    let after = memory();
    assert!(after < before + MEMORY, "from {before} to {after} bytes");
    stage.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_cut_off_from_the_engine_comes_back() {
    let stage = Stage::set(plan().relayed()).await;
    stage.cluster.lines[1].set_way(0, Way::Silent);
    until("it is not ready", SOON, || !stage.cluster.balancer.is_ready(1)).await;
    // Longer than its lease: the others take its listeners for gone.
    stage.talk.counts(20, SETTLED).await;
    stage.near.is_whole();
    stage.third.is_whole();
    assert_eq!(stage.second.up(), stage.second.len());
    stage.cluster.lines[1].set_way(0, Way::Open);
    stage.recovers().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_may_be_a_cluster_itself() {
    let engines = RedisCluster::start().await;
    let stage = Stage::set(plan().with("AMBO_STORE", engines.url())).await;
    stage.recovers().await;
}
