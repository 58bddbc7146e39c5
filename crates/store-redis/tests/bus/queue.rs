//! Memory stays bounded, whoever is slow.

use ambo_store_redis::{BusSettings, Since};
use ambo_testkit::redis::RedisServer;
use bytes::Bytes;

use crate::support::{Node, channel, notices, number, patient, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_finds_the_rest_in_the_streams() {
    let server = RedisServer::start().await;
    let settings = BusSettings { receiver_entries: 16, ..patient() };
    let (speaker, mut node) =
        (Node::at(&server.url()).await, Node::with(&server.url(), settings).await);
    let topics = [channel(0), channel(1)];
    // All before the first word: what waits for the receiver goes before what is asked for later.
    for topic in &topics {
        node.follow(topic, Since::Now).await;
    }
    for topic in &topics {
        speaker.speak(topic, 1..=900, 0).await;
    }
    speaker.flush().await;
    let mut heard = [Vec::new(), Vec::new()];
    for _ in 0..1_800 {
        let entry = node.next().await;
        heard[usize::from(entry.topic == channel(1))].push(number(&entry));
    }
    for heard in heard {
        assert_eq!(heard, (1..=900).collect::<Vec<_>>());
    }
    assert_eq!(node.bus.counters().lost.total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_slower_than_its_streams_goes_on_with_what_is_kept() {
    let server = RedisServer::start().await;
    let settings = BusSettings { receiver_entries: 16, ..patient() };
    let (speaker, mut node) =
        (Node::at(&server.url()).await, Node::with(&server.url(), settings).await);
    node.follow(&channel(0), Since::Now).await;
    speaker.speak(&channel(0), 1..=5_000, 0).await;
    speaker.flush().await;
    let heard = node.hear_until(5_000).await;
    assert!(heard.len() >= 1_000, "{} heard", heard.len());
    let holes = heard.windows(2).filter(|two| two[0] + 1 != two[1]).count() as u64;
    assert!(holes >= 1);
    assert_eq!(node.bus.counters().lost.total(), holes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_speaker_holds_no_more_than_its_queue() {
    let mut server = RedisServer::start().await;
    let settings = BusSettings { outgoing_bytes: 100_000, ..patient() };
    let (speaker, mut node) =
        (Node::with(&server.url(), settings).await, Node::at(&server.url()).await);
    node.follow(&channel(0), Since::Now).await;
    node.follow(&notices(0), Since::Now).await;
    server.kill();
    let notice = speaker.bus.publish(&notices(0), Bytes::from_static(b"1"));
    for sequence in 1..=1_000 {
        speaker.say(&channel(0), sequence, vec![7; 1_000].into());
    }
    // Notices push out audio, until nothing is left of it; then there is no room.
    let mut waiting = Vec::new();
    for _ in 0..200 {
        waiting.push(tokio::spawn(speaker.bus.publish(&notices(0), vec![7; 1_000].into())));
    }
    until("a refusal", async || waiting.iter().any(|notice| notice.is_finished())).await;
    let dropped = speaker.bus.counters().dropped.total();
    assert!(dropped > 900, "{dropped} dropped");
    server.restart().await;
    within(notice, "the notice").await.unwrap();
    let mut refused = 0;
    for notice in waiting {
        refused += u32::from(within(notice, "an answer").await.unwrap().is_err());
    }
    assert!((100..200).contains(&refused), "{refused} refused");
    let told = 201 - refused;
    for _ in 0..told {
        while node.next().await.topic != notices(0) {}
    }
    // The queue is of use again.
    speaker.say(&channel(0), 1_001, Bytes::from_static(b"1001"));
    while node.next().await.id.0 != 1_001 {}
}
