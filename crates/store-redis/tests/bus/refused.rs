//! An engine that refuses what the bus asks of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambo_store_redis::Since;
use ambo_testkit::redis::RedisServer;
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::support::{Node, channel, notices, number, until, within};

/// What calls of scripts begin with, after their number of words.
const CALL: &[u8] = b"\r\n$7\r\nEVALSHA\r\n";

/// Lies between a node and its engine, and lets the first of several calls that travel together
/// pass by itself when it is told to.
#[derive(Default)]
struct Gate {
    is_shut: AtomicBool,
    opened: Notify,
}

impl Gate {
    /// A gate before this server, and the URL of the way through it.
    async fn before(server: &RedisServer) -> (Arc<Self>, String) {
        let address = server.url().replace("redis://", "");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let gate = Arc::<Self>::default();
        let watched = Arc::clone(&gate);
        tokio::spawn(async move {
            while let Ok((node, _)) = listener.accept().await {
                let server = TcpStream::connect(&address).await.unwrap();
                tokio::spawn(Arc::clone(&watched).pass(node, server));
            }
        });
        (gate, url)
    }

    async fn pass(self: Arc<Self>, node: TcpStream, server: TcpStream) {
        let (mut asked, mut answers) = node.into_split();
        let (mut answered, mut server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut answered, &mut answers).await });
        let mut bytes = Vec::new();
        while asked.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            let calls = bytes.windows(CALL.len()).enumerate().filter(|(_, some)| *some == CALL);
            let calls: Vec<_> = calls.map(|(at, _)| at).collect();
            if self.is_shut.load(Ordering::Relaxed) && !calls.is_empty() {
                let Some(second) = calls.get(1) else { continue };
                let rest =
                    bytes.split_off(bytes[..*second].iter().rposition(|b| *b == b'*').unwrap());
                server.write_all(&bytes).await.unwrap();
                self.opened.notified().await;
                bytes = rest;
            }
            if server.write_all(&std::mem::take(&mut bytes)).await.is_err() {
                return;
            }
        }
    }

    fn open(&self) {
        self.is_shut.store(false, Ordering::Relaxed);
        self.opened.notify_one();
    }
}

/// The engine does not know a script when it reads the first call, and does when it reads the rest.
#[tokio::test]
async fn what_is_refused_is_not_overtaken() {
    let server = RedisServer::start().await;
    let (gate, url) = Gate::before(&server).await;
    let (speaker, mut node) = (Node::at(&url).await, Node::at(&server.url()).await);
    let (talk, topic) = (channel(0), notices(0));
    node.follow(&talk, Since::Now).await;
    node.follow(&topic, Since::Now).await;
    let refusal = async || {
        let stats: String = server.run(&["INFO", "errorstats"]).await;
        stats.contains("errorstat_NOSCRIPT")
    };
    let let_through = async |script: &str| {
        within(until("a refusal", refusal), "a refusal").await;
        server.run::<String>(&["SCRIPT", "LOAD", script]).await;
        gate.open();
    };
    gate.is_shut.store(true, Ordering::Relaxed);
    server.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    // In one batch, as nothing is waited for.
    let published = [1, 2, 3].map(|n: u32| speaker.bus.publish(&topic, Bytes::from(n.to_string())));
    let_through(include_str!("../../src/bus/lua/publish_notice.lua")).await;
    for (n, published) in (1..).zip(published) {
        let (entry, id) = (node.next().await, published.await.unwrap());
        assert_eq!((number(&entry), entry.id), (n, id));
    }
    gate.is_shut.store(true, Ordering::Relaxed);
    server.run::<()>(&["CONFIG", "RESETSTAT"]).await;
    for n in 0..3 {
        speaker.say(&talk, n, Bytes::from(n.to_string()));
    }
    let_through(include_str!("../../src/bus/lua/publish_audio.lua")).await;
    assert_eq!(node.hear_until(2).await, [0, 1, 2]);
}

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
