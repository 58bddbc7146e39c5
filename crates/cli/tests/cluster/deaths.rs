//! Nodes that die, or sleep.

use std::time::Duration;

use ambo_testkit::cluster::{Signal, Way};
use tokio::time::Instant;

use crate::stage::{SOON, Stage, plan};

/// How soon a talk goes on whose node has died. A build for debugging, beside whatever else a
/// machine does, is only to show that it does.
const GOES_ON: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 5 });
/// Nobody takes a node for dead sooner.
const UNNOTICED: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn listeners_whose_node_dies_lose_nothing() {
    let mut stage = Stage::set(plan()).await;
    stage.cluster.nodes[1].kill();
    stage.second.all("all are back", SOON, |record| record.is_up && record.returns > 0).await;
    stage.settles().await;
    stage.all_hear().await;
    for audience in stage.audiences() {
        audience.is_whole();
    }
    assert_eq!(stage.near.count(|record| record.returns > 0), 0);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_whose_node_dies_goes_on_elsewhere_without_a_lost_frame() {
    let mut stage = Stage::set(plan()).await;
    let start = Instant::now();
    stage.cluster.nodes[0].kill();
    let queued = stage.talk.spoken() + 1;
    stage.second.hears(queued, GOES_ON).await;
    stage.third.hears(queued, GOES_ON).await;
    let is_noticed = start.elapsed() > UNNOTICED;
    stage.settles().await;
    stage.all_hear().await;
    for audience in stage.audiences() {
        audience.is_whole();
        let told = audience.count(|record| !record.turns.is_empty());
        assert!(told == 0 || is_noticed, "nobody was to notice");
    }
    assert!(stage.talk.record().returns > 0);
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_who_cannot_reach_their_node_lose_nothing_on_another() {
    let stage = Stage::set(plan()).await;
    stage.cluster.balancer.set_way(1, Way::Cut);
    stage.second.all("all are back", SOON, |record| record.is_up && record.returns > 0).await;
    stage.settles().await;
    stage.all_hear().await;
    for audience in stage.audiences() {
        audience.is_whole();
    }
    stage.close().await;
}

/// Longer than a lease, and than clients wait for a sign of life.
const NAP: Duration = Duration::from_secs(20);

/// A node does nothing for that time; when it is awake again all is well with everybody.
async fn sleeps(stage: &Stage, node: usize) {
    stage.cluster.nodes[node].signal(Signal::SIGSTOP);
    tokio::time::sleep(NAP).await;
    stage.cluster.nodes[node].signal(Signal::SIGCONT);
    stage.settles().await;
    stage.all_hear().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_slept_wakes_up_without_harm() {
    let stage = Stage::set(plan()).await;
    sleeps(&stage, 1).await;
    stage.near.is_whole();
    stage.third.is_whole();
    // They may have been away for longer than audio is kept.
    stage.second.is_ordered();
    stage.cluster.ready(1).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speakers_node_that_slept_has_no_say_any_more() {
    let stage = Stage::set(plan()).await;
    sleeps(&stage, 0).await;
    stage.second.is_whole();
    stage.third.is_whole();
    stage.near.is_ordered();
    stage.close().await;
}
