//! Places, and sessions beside each other.

use ambo_client::{Closed, Failure};
use ambo_testkit::cluster::{Audience, Cluster, Ear, Talk};
use tokio::task::JoinSet;

use crate::stage::{SETTLED, SOON, alone, beside_others, plan};

const PLACES: usize = 500;
const COMERS: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_thousand_who_come_at_once_over_three_nodes_five_hundred_are_let_in() {
    let _machine = alone().await;
    let plan = plan().with("AMBO_MAX_LISTENERS_PER_SESSION", PLACES.to_string());
    let cluster = Cluster::start(plan).await;
    let talk = Talk::begin(&cluster.server(), cluster.tokens()).await;
    let mut joining = JoinSet::new();
    for _ in 0..COMERS {
        let (server, session) = (cluster.server(), talk.session());
        joining.spawn(async move { Ear::join(&server, session, "es").await });
    }
    let mut audience = Audience::default();
    let mut refused = 0;
    for joined in joining.join_all().await {
        match joined {
            Ok(ear) => audience.0.push(ear),
            Err(Closed::Failed(Failure::Refused(no))) if no.error.code == "SESSION_FULL" => {
                refused += 1;
            }
            Err(other) => panic!("neither in nor full: {other:?}"),
        }
    }
    assert_eq!((audience.len(), refused), (PLACES, COMERS - PLACES));
    talk.counts(PLACES, SETTLED).await;
    let on_nodes = cluster.connections().await;
    assert_eq!(on_nodes, PLACES + 1, "with the speaker's");
    let last = talk.fall_silent().await;
    audience.hears(last, SOON).await;
    audience.is_whole();
    let said = talk.end().await;
    audience.is_dismissed(&said, "speakerEnded").await;
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
