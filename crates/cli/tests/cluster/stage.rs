//! What most tests begin and end with.

use std::time::Duration;

use ambo_testkit::cluster::{Audience, Cluster, Plan, Talk};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How soon counts are right after whatever happened. A build for debugging, beside whatever else a
/// machine does, is only to show that they are at last.
pub const SETTLED: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 15 });
/// For what takes no time on a machine that is not busy.
pub const SOON: Duration = Duration::from_secs(20);

/// Listeners beside the speaker, and on each other node.
const ON_A_NODE: usize = 10;

/// A talk on the first of three nodes, with listeners on all of them.
pub struct Stage {
    pub cluster: Cluster,
    pub talk: Talk,
    /// On the speaker's node.
    pub near: Audience,
    /// On the second node.
    pub second: Audience,
    /// On the third.
    pub third: Audience,
    _beside_others: RwLockReadGuard<'static, ()>,
}

/// A few tests need the machine for themselves; the others share it.
static MACHINE: RwLock<()> = RwLock::const_new(());

/// Waits until no test runs that needs the machine for itself.
pub async fn beside_others() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Waits until no other test runs.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}

/// Three nodes of this binary.
pub fn plan() -> Plan {
    Plan::new(env!("CARGO_BIN_EXE_ambo"))
}

impl Stage {
    /// Everybody hears the talk.
    pub async fn set(plan: Plan) -> Self {
        let _beside_others = beside_others().await;
        let cluster = Cluster::start(plan).await;
        cluster.balancer.only(&[0]);
        let talk = Talk::begin(&cluster.server(), cluster.tokens()).await;
        let near = join(&cluster, &talk, 0).await;
        let second = join(&cluster, &talk, 1).await;
        let third = join(&cluster, &talk, 2).await;
        cluster.balancer.all();
        let stage = Self { cluster, talk, near, second, third, _beside_others };
        stage.talk.counts(3 * ON_A_NODE, SETTLED).await;
        stage.all_hear().await;
        stage
    }

    /// The audiences.
    pub fn audiences(&self) -> [&Audience; 3] {
        [&self.near, &self.second, &self.third]
    }

    /// Waits until everybody has heard what is said from now on.
    pub async fn all_hear(&self) {
        let last = self.talk.say(10).await;
        for audience in self.audiences() {
            audience.hears(last, SOON).await;
        }
    }

    /// Waits until the count is that of the sockets alive.
    pub async fn settles(&self) {
        for audience in self.audiences() {
            audience.all("everybody is back", SOON, |record| record.is_up).await;
        }
        self.talk.counts(3 * ON_A_NODE, SETTLED).await;
    }

    /// Ends the talk: everybody has heard its last word, and is told of the end once.
    pub async fn close(self) {
        let audiences = [self.near, self.second, self.third];
        let last = self.talk.fall_silent().await;
        for audience in &audiences {
            audience.hears(last, SOON).await;
        }
        let said = self.talk.end().await;
        for audience in &audiences {
            audience.is_dismissed(&said, "speakerEnded").await;
        }
    }
}

async fn join(cluster: &Cluster, talk: &Talk, node: usize) -> Audience {
    cluster.balancer.only(&[node]);
    Audience::join(&cluster.server(), &talk.session(), &["es", "fr", "en"], ON_A_NODE).await
}
