//! Places, and sessions beside each other.

use std::time::Duration;

use ambo_client::{Closed, Failure, Language, ListenerOptions, Millis, Server, SessionId};
use ambo_testkit::cluster::{Audience, Cluster, Ear, Talk};
use tokio::task::JoinSet;

use crate::stage::{SETTLED, SOON, alone, beside_others, plan};

const PLACES: usize = 500;
const COMERS: usize = 2_000;
/// For a sign of life among so many on one machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that a node allows.
const HANDSHAKE: &str = "45s";

#[tokio::test(flavor = "multi_thread")]
async fn of_two_thousand_who_come_at_once_over_three_nodes_five_hundred_are_let_in() {
    let _machine = alone().await;
    let plan = plan()
        .with("AMBO_MAX_LISTENERS_PER_SESSION", PLACES.to_string())
        .with("AMBO_HANDSHAKE_TIMEOUT", HANDSHAKE);
    let cluster = Cluster::start(plan).await;
    let talk = Talk::begin(&cluster.server(), cluster.tokens()).await;
    let mut coming = JoinSet::new();
    for _ in 0..COMERS {
        coming.spawn(come(cluster.server(), talk.session()));
    }
    let came = coming.join_all().await;
    let audience = Audience(came.into_iter().flatten().collect());
    assert_eq!(audience.len(), PLACES);
    talk.counts(PLACES, SETTLED).await;
    // And the speaker.
    cluster.holds(PLACES + 1, SETTLED).await;
    let last = talk.fall_silent().await;
    audience.hears(last, SOON).await;
    audience.is_whole();
    let said = talk.end().await;
    audience.is_dismissed(&said, "speakerEnded").await;
}

/// Comes until there is a place, or the session is full. A machine that is too busy for so many
/// asks some to come again.
async fn come(server: Server, session: SessionId) -> Option<Ear> {
    let mut options = ListenerOptions::new(session, Language::parse("es").unwrap());
    let patience = Millis(PATIENCE.as_millis() as u64);
    options.timing.connect_limit = patience;
    options.timing.ping_after = patience;
    loop {
        let no = match Ear::of(&server, options.clone()).await {
            Ok(ear) => return Some(ear),
            Err(Closed::Failed(Failure::Refused(no))) => no,
            Err(other) => panic!("neither in nor refused: {other:?}"),
        };
        match no.error.code.as_str() {
            "SESSION_FULL" => return None,
            "SERVICE_UNAVAILABLE" => {
                tokio::time::sleep(Duration::from_millis(no.retry_after.unwrap().0)).await;
            }
            _ => panic!("refused: {no:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_talks_at_a_time_do_not_disturb_each_other() {
    let _machine = beside_others().await;
    let cluster = Cluster::start(plan()).await;
    let server = cluster.server();
    let mut talks = Vec::new();
    for count in [12, 7] {
        let talk = Talk::begin(&server, cluster.tokens()).await;
        let audience = Audience::join(&server, &talk.session(), &["es", "fr"], count).await;
        talks.push((talk, audience));
    }
    for (talk, audience) in &talks {
        talk.counts(audience.len(), SETTLED).await;
        let last = talk.say(50).await;
        audience.hears(last, SOON).await;
    }
    let (first, first_audience) = talks.remove(0);
    let last = first.fall_silent().await;
    first_audience.hears(last, SOON).await;
    let said = first.end().await;
    first_audience.is_dismissed(&said, "speakerEnded").await;
    first_audience.is_whole();
    let (second, second_audience) = talks.remove(0);
    let last = second.say(50).await;
    second_audience.hears(last, SOON).await;
    second.counts(second_audience.len(), SETTLED).await;
    second_audience.is_whole();
    let last = second.fall_silent().await;
    second_audience.hears(last, SOON).await;
    let said = second.end().await;
    second_audience.is_dismissed(&said, "speakerEnded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_signs_with_another_key_is_refused() {
    let _machine = beside_others().await;
    let mut cluster = Cluster::start(plan()).await;
    let elsewhere = tempfile::tempdir().unwrap();
    cluster.nodes[2].kill();
    cluster.nodes[2].set("AMBO_DATA_DIR", elsewhere.path().to_str().unwrap());
    cluster.nodes[2].start();
    let (status, _) = cluster.nodes[2].ended(SOON).await;
    assert!(!status.success(), "it was let in");
    let log = cluster.nodes[2].log();
    assert!(log.contains("sign tokens with another key"), "{log}");
}
