//! The leases of the nodes, against real servers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::{Duration, Instant};

use ambo_core::Millis;
use ambo_store_redis::{
    Bus, BusSettings, Claim, Engine, EngineMark, Forgotten, Leases, NodeId, RedisSettings, Topic,
};
use ambo_testkit::redis::{RedisCluster, RedisServer};
use bytes::Bytes;

/// Long enough that no test is slower than a lease by accident, where it must hold.
const LONG: Millis = Millis::from_secs(60);

/// Short enough to be waited for.
const SHORT: Millis = Millis(300);

/// An engine that is waited for, on however slow a machine.
async fn engine(url: &str) -> Engine {
    let settings = RedisSettings::parse(url).unwrap().with_call_timeout(Duration::from_secs(30));
    Engine::connect(&settings).await.unwrap()
}

fn node(number: u8) -> NodeId {
    NodeId::random([number; 16])
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come to be");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_node_lives_as_long_as_it_renews() {
    let server = RedisServer::start().await;
    let engine = engine(&server.url()).await;
    let (long, short) = (Leases::new(engine.clone(), LONG), Leases::new(engine, SHORT));
    assert_eq!((long.alive().await.unwrap(), long.dead().await.unwrap()), (vec![], vec![]));

    assert!(!long.renew(&node(1)).await.unwrap().was_known);
    assert!(!short.renew(&node(2)).await.unwrap().was_known);
    until("the end of a lease", async || long.dead().await.unwrap() == [node(2)]).await;
    assert_eq!(long.alive().await.unwrap(), [node(1)]);

    // It was only slow: nobody has taken on its estate, so nothing is missing of it.
    let renewed = long.renew(&node(2)).await.unwrap();
    assert!(renewed.was_known);
    assert_eq!(long.renew(&node(1)).await.unwrap(), renewed);
    assert_eq!(long.dead().await.unwrap(), []);
    assert_eq!(long.alive().await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_estate_is_one_survivors_at_a_time() {
    let server = RedisServer::start().await;
    let engine = engine(&server.url()).await;
    let (long, short) = (Leases::new(engine.clone(), LONG), Leases::new(engine, SHORT));
    let (dead, one, two) = (node(1), node(2), node(3));
    assert_eq!(long.claim(&dead, &one).await.unwrap(), Claim::Void, "never heard of");
    short.renew(&dead).await.unwrap();
    until("the end of a lease", async || long.dead().await.unwrap() == [dead.clone()]).await;

    let claims = tokio::join!(long.claim(&dead, &one), long.claim(&dead, &two));
    let (holder, other) = match (claims.0.unwrap(), claims.1.unwrap()) {
        (Claim::Yours, Claim::Taken) => (one, two),
        (Claim::Taken, Claim::Yours) => (two, one),
        claims => panic!("{claims:?}"),
    };
    assert_eq!(long.claim(&dead, &holder).await.unwrap(), Claim::Yours, "held on to");
    assert_eq!(long.forget(&dead, &other).await.unwrap(), Forgotten::Kept);
    assert!(long.dead().await.unwrap().contains(&dead));
    assert_eq!(long.forget(&dead, &holder).await.unwrap(), Forgotten::Gone);
    assert_eq!(long.dead().await.unwrap(), []);
    assert_eq!(long.claim(&dead, &other).await.unwrap(), Claim::Void);
    // Should it live after all, it learns that it must begin anew.
    assert!(!long.renew(&dead).await.unwrap().was_known);
}

#[tokio::test]
async fn a_survivor_that_dies_is_followed_by_another() {
    let server = RedisServer::start().await;
    let engine = engine(&server.url()).await;
    let (long, short) = (Leases::new(engine.clone(), LONG), Leases::new(engine, SHORT));
    let (dead, one, two) = (node(1), node(2), node(3));
    short.renew(&dead).await.unwrap();
    until("a claim", async || short.claim(&dead, &one).await.unwrap() == Claim::Yours).await;
    until("its end", async || long.claim(&dead, &two).await.unwrap() == Claim::Yours).await;
    assert_eq!(short.claim(&dead, &one).await.unwrap(), Claim::Taken);
    assert_eq!(short.forget(&dead, &one).await.unwrap(), Forgotten::Kept);
    assert_eq!(short.forget(&dead, &two).await.unwrap(), Forgotten::Gone);
}

#[tokio::test]
async fn a_node_that_comes_back_keeps_its_place_and_learns_of_the_claim() {
    let server = RedisServer::start().await;
    let engine = engine(&server.url()).await;
    let (long, short) = (Leases::new(engine.clone(), LONG), Leases::new(engine, SHORT));
    let (slow, survivor) = (node(1), node(2));
    short.renew(&slow).await.unwrap();
    until("a claim", async || long.claim(&slow, &survivor).await.unwrap() == Claim::Yours).await;
    assert!(!long.renew(&slow).await.unwrap().was_known, "its estate was touched");
    assert!(long.renew(&slow).await.unwrap().was_known);
    assert_eq!(long.claim(&slow, &survivor).await.unwrap(), Claim::Void);
    assert_eq!(long.forget(&slow, &survivor).await.unwrap(), Forgotten::Kept);
    assert_eq!(long.alive().await.unwrap(), [slow]);
}

#[tokio::test]
async fn a_node_that_leaves_takes_its_inbox_along() {
    let server = RedisServer::start().await;
    let engine = engine(&server.url()).await;
    let leases = Leases::new(engine.clone(), LONG);
    leases.renew(&node(1)).await.unwrap();
    let (bus, _heard) = Bus::start(engine, BusSettings::default());
    let inbox = Topic::Node(node(1));
    bus.publish(&inbox, Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(leases.forget(&node(1), &node(1)).await.unwrap(), Forgotten::Gone);
    assert_eq!(leases.forget(&node(1), &node(1)).await.unwrap(), Forgotten::Gone, "repeated");
    assert_eq!(leases.alive().await.unwrap(), []);
    assert_eq!(bus.last(&inbox).await.unwrap(), None);
    let keys: Vec<String> = server.run(&["KEYS", "*"]).await;
    assert_eq!(keys, ["ambo:{nodes}:epoch"]);
}

/// Renews until the engine answers.
async fn mark(leases: &Leases) -> (bool, EngineMark) {
    let mut found = None;
    until("an answer", async || {
        let renewed = leases.renew(&node(1)).await;
        found = renewed.ok().map(|renewed| (renewed.was_known, renewed.engine));
        found.is_some()
    })
    .await;
    found.unwrap()
}

#[tokio::test]
async fn each_life_of_an_engine_has_its_mark() {
    let mut server = RedisServer::start_durable().await;
    let leases = Leases::new(engine(&server.url()).await, LONG);
    let (_, first) = mark(&leases).await;
    assert_eq!(mark(&leases).await, (true, first.clone()));

    server.kill();
    assert!(leases.renew(&node(1)).await.is_err());
    server.restart().await;
    let (was_known, second) = mark(&leases).await;
    assert!(was_known, "the server has kept it");
    assert_ne!(first, second);

    server.run::<()>(&["FLUSHALL"]).await;
    let (was_known, third) = mark(&leases).await;
    assert!(!was_known);
    assert!(third != first && third != second);
    // All nodes see the same engine.
    let other = Leases::new(engine(&server.url()).await, LONG);
    assert_eq!(mark(&other).await, (true, third));
}

#[tokio::test]
async fn a_cluster_has_a_mark_that_each_of_its_servers_changes() {
    let mut cluster = RedisCluster::start().await;
    let leases = Leases::new(engine(&cluster.url()).await, LONG);
    let (was_known, first) = mark(&leases).await;
    assert!(!was_known);
    assert_eq!(mark(&leases).await, (true, first.clone()));
    // A server that has not got the leases: they go on without it, and the mark waits for it.
    let slot: u32 = cluster.servers[0].run(&["CLUSTER", "KEYSLOT", "{nodes}"]).await;
    let server = &mut cluster.servers[if slot < 8_192 { 2 } else { 0 }];
    server.kill();
    assert_eq!(mark(&leases).await, (true, first.clone()));
    server.restart().await;
    until("a new mark", async || mark(&leases).await.1 != first).await;
}
