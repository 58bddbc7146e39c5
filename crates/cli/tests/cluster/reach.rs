//! What is said on one node reaches members of all.

use std::time::Duration;

use ambo_client::Language;
use ambo_testkit::cluster::{Audience, Balancer, Cluster, Talk, Way, until};

use crate::stage::{SETTLED, SOON, Stage, beside_others, plan};

#[tokio::test(flavor = "multi_thread")]
async fn turns_of_the_broadcast_reach_every_node() {
    let stage = Stage::set(plan()).await;
    let speaker = stage.talk.speaker().clone();
    // What is on its way when a pause begins is not promised to anybody.
    let last = stage.talk.fall_silent().await;
    for audience in stage.audiences() {
        audience.hears(last, SOON).await;
    }
    let turns = ["paused", "resumed", "muted", "unmuted"];
    for (n, turn) in turns.into_iter().enumerate() {
        match n {
            0 => speaker.pause().await.unwrap(),
            1 => speaker.resume().await.unwrap(),
            2 => speaker.mute().await.unwrap(),
            _ => speaker.unmute().await.unwrap(),
        }
        for audience in stage.audiences() {
            audience.all(turn, SOON, |record| record.turns.len() == n + 1).await;
            assert_eq!(audience.count(|record| record.turns[n].0 != turn), 0, "{turn}");
        }
    }
    stage.talk.go_on();
    stage.all_hear().await;
    for audience in stage.audiences() {
        audience.is_whole();
    }
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_speaker_is_told_who_listens_in_which_language_on_all_nodes() {
    let stage = Stage::set(plan()).await;
    let languages = async || {
        let status = stage.talk.status().await.unwrap();
        status.languages.into_iter().collect::<Vec<_>>()
    };
    let of = |code: &str, count| (code.to_owned(), count);
    assert_eq!(languages().await, [of("en", 9), of("es", 12), of("fr", 9)]);
    for audience in [&stage.second, &stage.third] {
        for ear in audience.0.iter().filter(|ear| ear.record().language == "es") {
            ear.listener.change_language(Language::parse("de").unwrap()).await.unwrap();
        }
        audience.all("they are told", SOON, |record| record.language != "es").await;
    }
    assert_eq!(languages().await, [of("de", 8), of("en", 9), of("es", 4), of("fr", 9)]);
    stage.all_hear().await;
    for audience in stage.audiences() {
        audience.is_whole();
    }
    stage.close().await;
}

/// The age at which a member is asked to move.
const AGE: &str = "2s";

#[tokio::test(flavor = "multi_thread")]
async fn members_move_from_node_to_node_without_a_hole() {
    let stage = Stage::set(plan().with("AMBO_CONNECTION_REFRESH", AGE)).await;
    for audience in stage.audiences() {
        audience.all("they move", 2 * SOON, |record| record.moves >= 5).await;
    }
    stage.settles().await;
    stage.all_hear().await;
    for audience in stage.audiences() {
        audience.is_whole();
        assert_eq!(audience.count(|record| record.returns > 0), 0, "a move is no loss");
    }
    until("the speaker moves", 2 * SOON, || stage.talk.record().moves >= 5).await;
    stage.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_speaker_and_node_are_gone_is_ended_by_another_node() {
    let _machine = beside_others().await;
    let mut cluster = Cluster::start(plan().with("AMBO_SPEAKER_GRACE", "3s")).await;
    let first = cluster.nodes[0].address();
    // The speaker has a line of their own, which does not come back.
    let line = Balancer::relay(first).await;
    let talk = Talk::begin(&cluster.server_at(line.address()), cluster.tokens()).await;
    cluster.balancer.only(&[1, 2]);
    let audience = Audience::join(&cluster.server(), &talk.session(), &["es", "fr"], 12).await;
    talk.counts(12, SETTLED).await;
    let last = talk.fall_silent().await;
    audience.hears(last, SOON).await;
    cluster.nodes[0].kill();
    line.set_way(0, Way::Cut);
    // The lease runs out, then the grace; the rest is for a machine with much else to do.
    let within = Duration::from_secs(15 + 3) + SOON;
    audience.all("the speaker is missed", within, |record| !record.turns.is_empty()).await;
    audience.all("the session ends", within, |record| record.closed.is_some()).await;
    for record in audience.records() {
        assert_eq!(record.ends, ["speakerLost"]);
        assert_eq!(record.turns.len(), 1);
        let (turn, told) = &record.turns[0];
        assert_eq!((*turn, told.reason.as_deref()), ("paused", Some("speakerLost")));
    }
    audience.is_whole();
}
