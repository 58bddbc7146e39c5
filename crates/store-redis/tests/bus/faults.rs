//! What the bus promises while connections break and the engine is ill.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ambo_app::ports::FaultKind;
use ambo_store_redis::{BusSettings, Since};
use ambo_testkit::redis::RedisServer;
use bytes::Bytes;

use crate::support::{Node, channel, notices, number, patient, until, within};

/// Frames of a talk over connections that break: so many at least.
const FRAMES: u32 = 700;

/// As far as who speaks may be ahead of who hears: streams of notices keep no more than 200.
const AHEAD: u32 = 100;

/// Breaks connections every few milliseconds until that was enough, and no longer: what waits for
/// them must come to its end on a busy machine, too.
async fn break_connections(server: &RedisServer, is_enough: impl Fn() -> bool) {
    for (round, kind) in ["pubsub", "pubsub", "normal"].iter().cycle().enumerate() {
        if round >= 100 && is_enough() {
            return;
        }
        server.run::<u32>(&["CLIENT", "KILL", "TYPE", kind]).await;
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_over_broken_connections() {
    let server = RedisServer::start().await;
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    let (talk, topic) = (channel(0), notices(0));
    node.follow(&talk, Since::Now).await;
    node.follow(&topic, Since::Now).await;
    let bus = node.bus.clone();
    let is_enough = || bus.counters().reconnects.total() > 10;
    let (last, heard) = (AtomicU32::new(u32::MAX), AtomicU32::new(0));
    let speaking = async {
        for n in 1.. {
            let is_last = n >= FRAMES && is_enough();
            if is_last {
                last.store(n, Ordering::Relaxed);
            }
            speaker.say(&talk, n, Bytes::from(n.to_string()));
            // Nobody waits for most notices.
            let published = speaker.bus.publish(&topic, Bytes::from(n.to_string()));
            if n % 3 == 0 {
                published.await.unwrap();
            }
            if is_last {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            while n > heard.load(Ordering::Relaxed) + AHEAD {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let hearing = async {
        let (mut frames, mut told) = (Vec::new(), Vec::new());
        while heard.load(Ordering::Relaxed) < last.load(Ordering::Relaxed) {
            let entry = node.next().await;
            if entry.topic == talk { &mut frames } else { &mut told }.push(number(&entry));
            heard.store(frames.len().min(told.len()) as u32, Ordering::Relaxed);
        }
        (frames, told)
    };
    let breaking = break_connections(&server, is_enough);
    let all = async { tokio::join!(speaking, hearing, breaking) };
    let ((), (frames, told), ()) = within(all, "the end of the talk").await;
    let said: Vec<_> = (1..=last.into_inner()).collect();
    assert_eq!((&frames, &told), (&said, &said));
    let counters = node.bus.counters();
    assert_eq!(counters.lost.total(), 0, "{counters:?}");
}

/// What was heard of a talk that goes on while the engine goes down and comes back.
struct Heard {
    frames: Vec<u32>,
    /// The last frame that was heard before the engine died, at least.
    before: u32,
    /// What a newcomer gets afterwards.
    kept: Vec<u32>,
}

/// The last frame that was said before the engine dies.
const SAID: u32 = 300;

async fn talk_over_a_restart(server: &mut RedisServer) -> Heard {
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    let (talk, topic) = (channel(0), notices(0));
    node.follow(&talk, Since::Now).await;
    node.follow(&topic, Since::Now).await;
    let mut told = Vec::new();
    for n in 1..=50 {
        speaker.bus.publish(&topic, Bytes::from(n.to_string())).await.unwrap();
    }
    let last = AtomicU32::new(0);
    let speaking = async {
        speaker.speak(&talk, 1..=SAID, 2).await;
        let before = last.load(Ordering::Relaxed);
        server.kill();
        // In the midst of the outage, and retried until it is over.
        let notice = speaker.bus.publish(&topic, Bytes::from_static(b"51"));
        speaker.speak(&talk, SAID + 1..=500, 2).await;
        server.restart().await;
        notice.await.unwrap();
        speaker.speak(&talk, 501..=800, 2).await;
        before
    };
    let hearing = async {
        let mut frames = Vec::new();
        while frames.last() != Some(&800) || told.last() != Some(&51) {
            let entry = node.next().await;
            if entry.topic == talk { &mut frames } else { &mut told }.push(number(&entry));
            last.store(frames.last().copied().unwrap_or_default(), Ordering::Relaxed);
        }
        frames
    };
    let (before, frames) = tokio::join!(speaking, within(hearing, "the end of the talk"));
    assert_eq!(told, (1..=51).collect::<Vec<_>>());
    // A newcomer finds a stream that can be gone on from.
    let kept = node.follow(&talk, Since::Kept).await.iter().map(number).collect();
    Heard { frames, before, kept }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_forgets_nothing_may_be_restarted_unheard() {
    let mut server = RedisServer::start_durable().await;
    let Heard { frames, kept, .. } = talk_over_a_restart(&mut server).await;
    assert_eq!(frames, (1..=800).collect::<Vec<_>>());
    assert_eq!(kept, frames);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_forgets_may_be_restarted_while_all_go_on() {
    let mut server = RedisServer::start().await;
    let Heard { frames, before, kept } = talk_over_a_restart(&mut server).await;
    assert!(frames.is_sorted_by(|one, next| one < next), "{frames:?}");
    // What was in the stream and not yet heard when it died is gone with it.
    let missing: Vec<_> = (1..=800).filter(|n| !frames.contains(n)).collect();
    assert!(missing.iter().all(|n| (before + 1..=SAID).contains(n)), "{missing:?}");
    assert_eq!(kept.last(), Some(&800));
    assert!(kept.windows(2).all(|two| two[0] + 1 == two[1]), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_may_be_emptied_while_all_go_on() {
    let server = RedisServer::start().await;
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    let (talk, topic) = (channel(0), notices(0));
    node.follow(&talk, Since::Now).await;
    node.follow(&topic, Since::Now).await;
    let speaking = async {
        for n in 1..=400_u32 {
            speaker.say(&talk, n, Bytes::from(n.to_string()));
            speaker.bus.publish(&topic, Bytes::from(n.to_string())).await.unwrap();
            if n % 100 == 50 {
                server.run::<()>(&["FLUSHALL"]).await;
                server.run::<()>(&["SCRIPT", "FLUSH"]).await;
            }
        }
    };
    let hearing = async {
        let (mut frames, mut told) = (Vec::new(), Vec::new());
        while frames.len() + told.len() < 800 {
            let entry = node.next().await;
            if entry.topic == talk { &mut frames } else { &mut told }.push(number(&entry));
        }
        (frames, told)
    };
    let ((), (frames, told)) = tokio::join!(speaking, within(hearing, "the end of the talk"));
    assert_eq!(frames, (1..=400).collect::<Vec<_>>());
    assert_eq!(told, (1..=400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_hangs_is_waited_for() {
    let server = RedisServer::start().await;
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    node.follow(&channel(0), Since::Now).await;
    node.follow(&notices(0), Since::Now).await;
    speaker.speak(&channel(0), 1..=100, 1).await;
    node.hear_until(100).await;
    server.pause();
    let notice = speaker.bus.publish(&notices(0), Bytes::from_static(b"1"));
    speaker.speak(&channel(0), 101..=300, 10).await;
    server.resume();
    let mut heard = Vec::new();
    while heard.len() < 201 {
        let entry = node.next().await;
        if entry.topic == channel(0) {
            heard.push(number(&entry));
        } else {
            heard.insert(0, 0);
        }
    }
    assert_eq!(heard, [0].into_iter().chain(101..=300).collect::<Vec<_>>());
    notice.await.unwrap();
    // What was sent before and read after the pause is not taken twice.
    speaker.bus.publish(&notices(0), Bytes::from_static(b"2")).await.unwrap();
    assert_eq!(number(&node.next().await), 2);
    assert_eq!(node.follow(&notices(0), Since::Kept).await.len(), 2);
}

/// What was sent and not answered is sent again, when its stream has let some of it go already.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_again_is_there_once_though_its_stream_is_short() {
    let server = RedisServer::start().await;
    let (speaker, mut node) = (Node::at(&server.url()).await, Node::at(&server.url()).await);
    let topic = notices(0);
    node.follow(&topic, Since::Now).await;
    for round in 0..3 {
        server.pause();
        let published: Vec<_> = (1..=600)
            .map(|n| speaker.bus.publish(&topic, Bytes::from((round * 1_000 + n).to_string())))
            .collect();
        // Until the first attempt is given up: the engine will read it all the same.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.resume();
        for notice in published {
            within(notice, "the notice").await.unwrap();
        }
        let mut heard = Vec::new();
        while heard.last() != Some(&(round * 1_000 + 600)) {
            heard.push(number(&node.next().await));
        }
        assert!(heard.is_sorted_by(|one, next| one < next), "{heard:?}");
        assert!(heard.len() == 600 || node.bus.counters().lost.total() > 0, "{heard:?}");
    }
    assert_eq!(node.follow(&topic, Since::Kept).await.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_too_long_is_given_up() {
    let mut server = RedisServer::start().await;
    let settings = BusSettings {
        history_span: Duration::from_millis(300),
        notice_patience: Duration::from_millis(600),
        ..patient()
    };
    let speaker = Node::with(&server.url(), settings).await;
    server.kill();
    let begun = Instant::now();
    let notice = speaker.bus.publish(&notices(0), Bytes::from_static(b"1"));
    speaker.speak(&channel(0), 1..=100, 1).await;
    let fault = within(notice, "the fault").await.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Unavailable { .. }), "{fault:?}");
    assert!(fault.source.to_string().contains("not published in time"), "{}", fault.source);
    assert!(begun.elapsed() >= Duration::from_millis(600));
    until("the drop", async || speaker.bus.counters().dropped.total() == 100).await;
    server.restart().await;
    let mut node = Node::at(&server.url()).await;
    node.follow(&channel(0), Since::Now).await;
    // What comes later is told, as soon as it is told in time.
    let mut said = 100;
    until("a frame", async || {
        said += 1;
        speaker.say(&channel(0), said, Bytes::from(said.to_string()));
        node.heard.try_recv().is_ok_and(|entry| (101..=said).contains(&number(&entry)))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_waits_for_an_engine_that_comes_back_soon() {
    let mut server = RedisServer::start().await;
    let mut node = Node::at(&server.url()).await;
    node.follow(&channel(1), Since::Now).await;
    server.kill();
    let bus = node.bus.clone();
    let following = tokio::spawn(async move { bus.follow(channel(0), Since::Kept).await });
    server.restart().await;
    within(following, "the answer").await.unwrap().unwrap();
    node.speak(&channel(0), 1..=10, 0).await;
    node.hear_until(10).await;

    let hasty = BusSettings { follow_patience: Duration::from_secs(1), ..patient() };
    let hasty = Node::with(&server.url(), hasty).await;
    server.kill();
    let fault = within(hasty.bus.follow(notices(0), Since::Kept), "the fault").await.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Unavailable { .. }), "{fault:?}");
    server.restart().await;
    // It is connected again when it follows something else.
    until("silence", async || {
        hasty.bus.follow(channel(2), Since::Now).await.is_ok()
            && crate::support::followers(&server, &notices(0)).await == 0
    })
    .await;
    until("sound", async || crate::support::followers(&server, &channel(0)).await == 1).await;
}
