//! Following a topic: its backlog and what comes after it.

use std::time::Duration;

use ambo_store_redis::{BusSettings, EntryId, Since, Topic};
use ambo_testkit::redis::RedisServer;
use bytes::Bytes;

use crate::support::{
    Node, channel, followers, notices, number, patient, sequence_of, until, within,
};

/// At whatever moment of a talk a node begins to follow it, it has the talk without a seam.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_talk_is_joined_without_a_seam() {
    let server = RedisServer::start().await;
    let speaker = Node::at(&server.url()).await;
    let topic = channel(0);
    let following = async {
        let mut followers = Vec::new();
        for round in 0_u32..40 {
            let node = Node::at(&server.url()).await;
            let top = speaker.last(&topic).await.map_or(0, |id| id.0 as u32);
            followers.push(tokio::spawn(join(node, topic.clone(), round, top)));
        }
        for follower in followers {
            within(follower, "part of the talk").await.unwrap();
        }
    };
    tokio::select! {
        () = speaker.speak(&topic, 1..=100_000, 5) => unreachable!("nobody talks so long"),
        () = following => {}
    }
}

/// Follows a talk in one of three ways while its newest frame is `top` or later, and hears some.
async fn join(mut node: Node, topic: Topic, round: u32, top: u32) {
    // A listener that moves has heard some of what the stream holds by now.
    let known = top.saturating_sub(round % 7);
    let since = match round % 3 {
        0 => Since::Kept,
        1 => Since::After(EntryId::of_sequence(known)),
        _ => Since::Now,
    };
    let backlog = node.follow(&topic, since).await;
    let mut heard: Vec<_> = backlog.iter().map(sequence_of).collect();
    for _ in 0..50 {
        heard.push(sequence_of(&node.next().await));
    }
    match since {
        Since::Kept => assert!(heard[0] == 1 || backlog.len() >= 1_000, "{}", backlog.len()),
        Since::After(_) => assert_eq!(heard[0], known + 1),
        Since::Now => assert!(backlog.is_empty()),
    }
    assert!(heard.windows(2).all(|two| two[0] + 1 == two[1]), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_may_be_left_and_followed_again_and_again() {
    let server = RedisServer::start().await;
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    let topic = channel(0);
    let speaking = speaker.speak(&topic, 1..=600, 1);
    let following = async {
        let mut last = 0;
        while last < 600 {
            let backlog = node.follow(&topic, Since::After(EntryId::of_sequence(last))).await;
            for entry in backlog {
                assert_eq!(sequence_of(&entry), last + 1);
                last += 1;
            }
            for _ in 0..10 {
                if last == 600 {
                    break;
                }
                // What is left of a former time is known by its place.
                let number = sequence_of(&node.next().await);
                assert!(number <= last + 1, "{number} after {last}");
                last = last.max(number);
            }
            node.bus.unfollow(&topic);
        }
    };
    tokio::join!(speaking, within(following, "the end of the talk"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_of_what_is_not_followed() {
    let server = RedisServer::start().await;
    let mut node = Node::at(&server.url()).await;
    for topic in [channel(0), channel(1), notices(0)] {
        assert_eq!(followers(&server, &topic).await, 0);
        node.follow(&topic, Since::Now).await;
        assert_eq!(followers(&server, &topic).await, 1);
    }
    node.bus.unfollow(&channel(0));
    until("silence", async || followers(&server, &channel(0)).await == 0).await;
    node.say(&channel(0), 1, Bytes::from_static(b"1"));
    node.say(&channel(1), 2, Bytes::from_static(b"2"));
    assert_eq!(node.next().await.topic, channel(1));
    assert_eq!(followers(&server, &channel(1)).await, 1);
    // The reader ends with whom it reads for.
    let Node { bus, heard } = node;
    drop(heard);
    until("the end", async || followers(&server, &channel(1)).await == 0).await;
    assert!(bus.follow(channel(0), Since::Now).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bus_that_is_dropped_says_its_last_words() {
    let server = RedisServer::start().await;
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    node.follow(&channel(0), Since::Now).await;
    speaker.speak(&channel(0), 1..=100, 0).await;
    drop(speaker);
    assert_eq!(node.hear_until(100).await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_gets_the_history_of_a_channel_and_no_more() {
    let server = RedisServer::start().await;
    let (speaker, topic) = (Node::at(&server.url()).await, channel(0));
    for sequence in 1..=100 {
        speaker.say(&topic, sequence, vec![7; 1_000].into());
    }
    speaker.flush().await;
    let small = BusSettings { history_bytes: 10_500, ..patient() };
    let node = Node::with(&server.url(), small).await;
    let ids = |entries: Vec<ambo_store_redis::Entry>| -> Vec<_> {
        entries.iter().map(|entry| entry.id.0).collect()
    };
    assert_eq!(ids(node.follow(&topic, Since::Kept).await), (91..=100).collect::<Vec<_>>());
    let after = Since::After(EntryId::of_sequence(95));
    assert_eq!(ids(node.follow(&topic, after).await), (96..=100).collect::<Vec<_>>());

    // By the engine's own clock: frames as old as that are history for nobody.
    let short = BusSettings { history_span: Duration::from_millis(200), ..patient() };
    let node = Node::with(&server.url(), short).await;
    until("old age", async || node.follow(&topic, Since::Kept).await.is_empty()).await;
    speaker.say(&topic, 101, Bytes::from_static(b"101"));
    let node = Node::at(&server.url()).await;
    until("the frame", async || node.follow(&topic, Since::Kept).await.len() == 101).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_end_by_themselves() {
    let server = RedisServer::start().await;
    let node = Node::at(&server.url()).await;
    for sequence in 1..=3_000 {
        node.say(&channel(0), sequence, Bytes::from_static(b"frame"));
    }
    for n in 0..1_000_u32 {
        let published = node.bus.publish(&notices(0), Bytes::from(n.to_string()));
        if n == 999 {
            published.await.unwrap();
        }
    }
    let kept = node.follow(&notices(0), Since::Kept).await;
    assert_eq!(kept.len(), 200);
    assert_eq!(number(kept.last().unwrap()), 999);
    for (topic, entries, ttl) in [(channel(0), 1_000, 60_000), (notices(0), 200, 3 * 3_600_000)] {
        let stream = crate::support::key(&topic);
        let length: u64 = server.run(&["XLEN", &stream]).await;
        assert!((entries..entries + 200).contains(&length), "{length} entries of {stream}");
        let left: u64 = server.run(&["PTTL", &stream]).await;
        assert!((ttl - 30_000..=ttl).contains(&left), "{left} ms left of {stream}");
    }
    for (publishers, hours) in [("audio:en:by", 48), ("notices:by", 3)] {
        let publishers = format!("ambo:{{a-b-100}}:{publishers}");
        let left: u64 = server.run(&["PTTL", &publishers]).await;
        assert!(left > (hours - 1) * 3_600_000, "{left} ms left of {publishers}");
    }
}
