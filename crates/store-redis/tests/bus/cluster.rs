//! The bus on a cluster of engines.

use ambo_store_redis::{EntryId, Since, Topic};
use ambo_testkit::redis::RedisCluster;
use bytes::Bytes;

use crate::support::{Node, channel, number, within};

#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_hear_all_topics_on_a_cluster() {
    let cluster = RedisCluster::start().await;
    crate::order::all_hear_all(&cluster.url()).await;
}

/// The sessions lie on all three servers. One server hangs and one is asked to drop connections:
/// those whose server is well do not wait.
#[tokio::test(flavor = "multi_thread")]
async fn an_ill_server_holds_up_its_own_sessions_only() {
    let cluster = RedisCluster::start().await;
    let (speaker, mut node) = (Node::at(&cluster.url()).await, Node::at(&cluster.url()).await);
    let mut slots = Vec::new();
    for n in 0..12 {
        let topic = channel(n);
        node.follow(&topic, Since::Now).await;
        speaker.say(&topic, 1, Bytes::from_static(b"1"));
        assert_eq!(node.next().await.topic, topic);
        let key = crate::support::key(&topic);
        slots.push(cluster.servers[0].run::<u32>(&["CLUSTER", "KEYSLOT", &key]).await);
    }
    // The second server, since the nodes hear on the first.
    let is_ill = |n: u32| (5_461..=10_922).contains(&slots[n as usize]);
    let ill = (0..12).filter(|n| is_ill(*n)).count();
    assert!((1..12).contains(&ill), "{slots:?}");
    cluster.servers[1].pause();
    for n in 0..12 {
        speaker.say(&channel(n), 2, Bytes::from_static(b"2"));
    }
    for _ in ill..12 {
        let entry = node.next().await;
        assert!((0..12).any(|n| entry.topic == channel(n) && !is_ill(n)), "{entry:?}");
    }
    cluster.servers[1].resume();
    for _ in 0..ill {
        let entry = within(node.next(), "a frame of the ill server").await;
        assert_eq!((entry.id, number(&entry)), (EntryId::of_sequence(2), 2));
    }
}

/// The server that a node hears on is the first; when it hangs, the node hears on another.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_heard_on_a_server_that_hangs_hears_on_another() {
    let cluster = RedisCluster::start().await;
    // The others go on without it, for however long it hangs.
    for server in &cluster.servers {
        server.run::<()>(&["CONFIG", "SET", "cluster-require-full-coverage", "no"]).await;
    }
    let (speaker, mut node) = (Node::at(&cluster.url()).await, Node::at(&cluster.url()).await);
    let topic = topic_of(&cluster, 10_923..=16_383).await;
    node.follow(&topic, Since::Now).await;
    cluster.servers[0].pause();
    speaker.say(&topic, 1, Bytes::from_static(b"1"));
    assert_eq!(number(&node.next().await), 1);
    cluster.servers[0].resume();
}

/// A channel that lies in one of these slots.
async fn topic_of(cluster: &RedisCluster, slots: std::ops::RangeInclusive<u32>) -> Topic {
    for n in 0.. {
        let key = crate::support::key(&channel(n));
        if slots.contains(&cluster.servers[0].run(&["CLUSTER", "KEYSLOT", &key]).await) {
            return channel(n);
        }
    }
    unreachable!("every slot has keys")
}
