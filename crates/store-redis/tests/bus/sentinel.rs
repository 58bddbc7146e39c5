//! The bus while its master dies and a replica takes its place.

use ambo_store_redis::{Since, Topic};
use ambo_testkit::redis::RedisSentinel;
use bytes::Bytes;

use crate::support::{Node, channel, notices, number, within};

/// The last frame that was said before the master dies.
const SAID: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_talk_goes_on_at_the_next_master() {
    let mut watched = RedisSentinel::start().await;
    let (speaker, mut node) = (Node::at(&watched.url()).await, Node::at(&watched.url()).await);
    let (talk, told) = (channel(0), notices(0));
    node.follow(&talk, Since::Now).await;
    node.follow(&told, Since::Now).await;
    speaker.speak(&talk, 1..=SAID, 2).await;
    let mut frames = node.hear_until(SAID / 2).await;
    watched.master.kill();
    let notice = speaker.bus.publish(&told, Bytes::from_static(b"1"));
    speaker.speak(&talk, SAID + 1..=400, 2).await;
    within(notice, "the notice at the next master").await.unwrap();
    speaker.speak(&talk, 401..=600, 2).await;

    let mut notices = 0;
    while frames.last() != Some(&600) || notices == 0 {
        let entry = node.next().await;
        match entry.topic {
            Topic::Audio { .. } => frames.push(number(&entry)),
            _ => notices += 1,
        }
    }
    assert_eq!(notices, 1);
    assert!(frames.is_sorted_by(|one, next| one < next), "{frames:?}");
    // What the old master took and told to nobody before it died is gone with it.
    let missing: Vec<_> = (1..=600).filter(|n| !frames.contains(n)).collect();
    assert!(missing.iter().all(|n| (SAID / 2 + 1..=SAID).contains(n)), "{missing:?}");
    let kept: Vec<u32> = node.follow(&talk, Since::Kept).await.iter().map(number).collect();
    assert_eq!(kept.last(), Some(&600));
}
