//! An engine that refuses what the bus asks of it.

use std::time::{Duration, Instant};

use ambo_store_redis::Since;
use ambo_testkit::redis::RedisServer;

use crate::support::{Node, channel, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_refuses_is_not_asked_again_at_once() {
    let server = RedisServer::start().await;
    let rights = ["nopass", "~*", "resetchannels", "+@all"];
    server.run::<()>(&[&["ACL", "SETUSER", "deaf", "on"], &rights[..]].concat()).await;
    let node = Node::at(&server.url().replace("//", "//deaf:x@")).await;
    let begun = Instant::now();
    let bus = node.bus.clone();
    drop(tokio::spawn(async move { bus.follow(channel(0), Since::Now).await }));
    until("three refusals", async || node.bus.counters().reconnects.total() >= 3).await;
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    server.run::<()>(&["ACL", "SETUSER", "deaf", "allchannels"]).await;
    until("an answer", async || node.bus.follow(channel(0), Since::Now).await.is_ok()).await;
}
