//! Order, exactly once, and nothing missing, for each follower.

use ambo_store_redis::{Entry, EntryId, Since, Topic};
use ambo_testkit::redis::RedisServer;
use bytes::Bytes;

use crate::support::{Node, channel, inbox, key, notices, number, until, within};

/// Frames of each channel.
const FRAMES: u32 = 300;

/// Notices of each node in each other topic: no more than a stream keeps, so that none need be
/// lost, however slow the machine.
const NOTICES: u32 = 60;

/// Three nodes publish to all kinds of topics at once; each hears all of it.
pub async fn all_hear_all(url: &str) {
    let mut nodes = [Node::at(url).await, Node::at(url).await, Node::at(url).await];
    let channels: Vec<_> = (0..3).map(channel).collect();
    let shared = [notices(0), notices(1), inbox(7)];
    for node in &nodes {
        for topic in channels.iter().chain(&shared) {
            assert_eq!(node.follow(topic, Since::Now).await, []);
        }
    }
    let publishing = nodes.iter().zip(&channels).zip(0..).map(|((node, channel), index)| {
        let (bus, channel, shared) = (node.bus.clone(), channel.clone(), shared.clone());
        tokio::spawn(publish(bus, channel, shared, index))
    });
    for task in publishing.collect::<Vec<_>>() {
        within(task, "the end of publishing").await.unwrap();
    }
    let mut orders = Vec::new();
    for node in &mut nodes {
        let mut heard: Vec<Entry> = Vec::new();
        while heard.len() < (FRAMES * 3 + NOTICES * 9) as usize {
            heard.push(node.next().await);
        }
        for topic in &channels {
            let frames: Vec<_> = of(&heard, topic).map(number).collect();
            assert_eq!(frames, (1..=FRAMES).collect::<Vec<_>>());
        }
        for topic in &shared {
            for publisher in 0..3 {
                let theirs = of(&heard, topic).map(number).filter(|n| n / 1_000 == publisher);
                let all = (0..NOTICES).map(|n| publisher * 1_000 + n);
                assert_eq!(theirs.collect::<Vec<_>>(), all.collect::<Vec<_>>());
            }
            assert!(of(&heard, topic).is_sorted_by(|one, next| one.id < next.id));
        }
        orders.push(shared.clone().map(|topic| of(&heard, &topic).map(number).collect::<Vec<_>>()));
        assert_eq!(node.bus.counters().lost.total(), 0);
    }
    assert!(orders.iter().all(|order| *order == orders[0]), "all hear notices in one order");
}

async fn publish(bus: ambo_store_redis::Bus, channel: Topic, shared: [Topic; 3], publisher: u32) {
    let Topic::Audio { session, language } = &channel else { unreachable!() };
    let mut published = Vec::new();
    for n in 0..FRAMES {
        bus.publish_audio(session, *language, n + 1, Bytes::from((n + 1).to_string()));
        for topic in shared.iter().filter(|_| n < NOTICES) {
            let payload = Bytes::from((publisher * 1_000 + n).to_string());
            published.push(bus.publish(topic, payload));
        }
        if n % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut last = Vec::new();
    for notice in published {
        last.push(notice.await.unwrap());
    }
    // Each third is of the same topic.
    assert!(last.iter().zip(last.iter().skip(3)).all(|(one, next)| one < next));
}

fn of<'a>(heard: &'a [Entry], topic: &'a Topic) -> impl Iterator<Item = &'a Entry> {
    heard.iter().filter(move |entry| entry.topic == *topic)
}

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_hear_all_topics() {
    let server = RedisServer::start().await;
    all_hear_all(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_is_taken_once() {
    let server = RedisServer::start().await;
    let mut nodes = [Node::at(&server.url()).await, Node::at(&server.url()).await];
    let topic = channel(0);
    nodes[1].follow(&topic, Since::Now).await;
    for sequence in [0, 5, 6, 6, 4, 7, u32::MAX] {
        nodes[0].say(&topic, sequence, Bytes::from(sequence.to_string()));
    }
    assert_eq!(nodes[1].hear_until(u32::MAX).await, [0, 5, 6, 7, u32::MAX]);
    nodes[0].flush().await;
    // What was taken without an answer is sent again, and refused.
    let counters = nodes[0].bus.counters();
    assert_eq!(counters.published.total() + counters.refused.total(), 7);
    assert!(counters.refused.total() >= 2, "{counters:?}");
    assert_eq!(nodes[1].bus.counters().heard.total(), 5);
    // Another node's frame is held against the same stream.
    nodes[1].say(&topic, 9, Bytes::from_static(b"9"));
    until("the refusal", async || nodes[1].bus.counters().refused.total() == 1).await;
}

/// Streams of audio live for a minute; a talk may be silent for hours, and then begun at again.
#[tokio::test(flavor = "multi_thread")]
async fn a_talk_goes_on_after_its_stream_is_gone() {
    let server = RedisServer::start().await;
    let (first, second) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    let mut listener = Node::at(&server.url()).await;
    let topic = channel(0);
    assert_eq!(second.last(&topic).await, None);
    listener.follow(&topic, Since::Now).await;
    first.speak(&topic, 0..=500, 0).await;
    listener.hear_until(500).await;
    server.run::<()>(&["UNLINK", &key(&topic)]).await;
    assert_eq!(second.follow(&topic, Since::Kept).await, []);
    assert_eq!(second.last(&topic).await, Some(EntryId::of_sequence(500)));
    for sequence in [1, 500, 501, 502] {
        second.say(&topic, sequence, Bytes::from(sequence.to_string()));
    }
    assert_eq!(listener.hear_until(502).await, [501, 502]);
    second.flush().await;
    assert!(second.bus.counters().refused.total() >= 2);
    assert_eq!(listener.bus.counters().lost.total(), 0);
    assert_eq!(second.last(&topic).await, Some(EntryId::of_sequence(502)));
    // Who clears it means a new talk.
    second.bus.clear(std::slice::from_ref(&topic)).await.unwrap();
    assert_eq!(second.last(&topic).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_are_bytes() {
    let server = RedisServer::start().await;
    let mut node = Node::at(&server.url()).await;
    let topic = notices(0);
    node.follow(&topic, Since::Now).await;
    let every_byte: Bytes = (0..=255).collect();
    for payload in
        [Bytes::new(), every_byte, Bytes::from_static(b" 1-1 \r\n"), vec![7; 99_999].into()]
    {
        let id = node.bus.publish(&topic, payload.clone()).await.unwrap();
        assert_eq!(node.next().await, Entry { topic: topic.clone(), id, payload: payload.clone() });
        assert_eq!(node.last(&topic).await, Some(id));
        let kept = node.follow(&topic, Since::Kept).await.pop().unwrap();
        assert_eq!(kept, Entry { topic: topic.clone(), id, payload });
    }
    assert_eq!(node.last(&notices(1)).await, None);
}
