//! The rights that the guide gives to Ambo's user in the engine are enough for a cluster.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use ambo_testkit::cluster::{Audience, Cluster, Plan, Talk};
use ambo_testkit::redis::RedisServer;

const GUIDE: &str = include_str!("../../../docs/cluster.md");
const SOON: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_lives_with_the_rights_in_the_guide() {
    let line = GUIDE.lines().find_map(|line| line.strip_prefix("user ambo ")).unwrap();
    let engine = RedisServer::start().await;
    let mut command = vec!["ACL", "SETUSER", "ambo"];
    command.extend(line.split(' '));
    engine.run::<String>(&command).await;

    let store = format!("redis://ambo:PASSWORD@127.0.0.1:{}", engine.port());
    let plan = Plan::new(env!("CARGO_BIN_EXE_ambo")).with("AMBO_STORE", store);
    let mut cluster = Cluster::start(Plan { nodes: 2, ..plan }).await;
    cluster.balancer.only(&[0]);
    let talk = Talk::begin(&cluster.server(), cluster.tokens()).await;
    cluster.balancer.only(&[1]);
    let audience = Audience::join(&cluster.server(), &talk.session(), &["es", "fr"], 4).await;
    audience.hears(talk.say(10).await, SOON).await;
    // What a dead node leaves behind needs rights too.
    cluster.nodes[0].kill();
    audience.hears(talk.say(10).await, SOON).await;
    talk.counts(4, SOON).await;
    let last = talk.fall_silent().await;
    audience.hears(last, SOON).await;
    let said = talk.end().await;
    audience.is_dismissed(&said, "speakerEnded").await;
    let refused = engine.run::<Vec<Vec<String>>>(&["ACL", "LOG"]).await;
    assert!(refused.is_empty(), "{refused:?}");
}
