//! Draining: how quickly clients are asked to move, who is let in meanwhile, and what a store that
//! is slow or away does to it.

use std::future::pending;
use std::time::Duration;

use ambo_core::Millis;
use ambo_server::Clock;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::harness::{Peer, START, World};
use crate::stop::Stopping;
use crate::support::faulty::{Mishap, Mishaps};
use crate::support::{PATIENCE, ask, header, status, until};

const READYZ: &str = "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n";
/// Half of it is less than a silence after which a connection is taken as lost.
const PERIOD: Duration = Duration::from_secs(60);

async fn listeners(world: &World, session: &str, count: usize) -> Vec<Peer> {
    let mut listeners = Vec::new();
    for _ in 0..count {
        listeners.push(world.listen(session, "es").await);
    }
    listeners
}

fn join(world: &World, session: &str) -> String {
    let address = world.address();
    format!("ws://{address}/ws?action=joinSession&sessionId={session}&targetLanguage=es")
}

/// A connection to a server that somebody else holds.
async fn connect(url: &str) -> Peer {
    let (socket, response) = tokio_tungstenite::connect_async(url).await.unwrap();
    Peer { socket, response: response.map(|_| ()) }
}

/// Holds that each is asked to move.
async fn all_asked(peers: &mut [Peer]) {
    for peer in peers {
        assert_eq!(peer.json_of("connectionRefreshRequired").await["reason"], "drain");
    }
}

/// Moves the clock until the test is over.
fn moving(clock: &Clock, step: Duration) -> tokio::task::JoinHandle<()> {
    let clock = clock.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            clock.advance(step);
        }
    })
}

#[tokio::test]
async fn before_the_delay_is_over_it_is_not_ready_but_lets_in_and_then_asks_all() {
    let world = World::start(|settings| {
        settings.drain_delay = Duration::from_secs(5);
        settings.drain_period = PERIOD;
    })
    .await;
    let mut speaking = world.speak().await;
    let address = world.address();
    let join = join(&world, &speaking.session);
    let stopping = Stopping::begin(world, pending());

    // The delay stands still with the clock.
    let mut is_ready = true;
    while is_ready {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (head, body) = ask(&mut stream, READYZ).await;
        is_ready = status(&head) == 200;
        let kept = if is_ready { None } else { Some("close".to_owned()) };
        assert_eq!(header(&head, "connection"), kept);
        assert!(is_ready || body == "draining\n", "{body}");
    }
    let mut late = connect(&join).await;
    speaking.peer.send(serde_json::json!({ "action": "heartbeat" })).await;
    assert_eq!(speaking.peer.json_of("heartbeatAck").await["type"], "heartbeatAck");
    quiet_or_status(&mut speaking.peer).await;

    stopping.clock.advance(Duration::from_secs(5) + PERIOD / 2);
    let asked = speaking.peer.json_of("connectionRefreshRequired").await;
    assert_eq!(asked["deadline"], (START + Millis(65_000)).0);
    all_asked(std::slice::from_mut(&mut late)).await;
    assert!(TcpStream::connect(address).await.is_err(), "it still accepts");
    drop((late, speaking.peer));
    stopping.done().await;
}

/// Holds that nothing but a status arrives for a moment.
async fn quiet_or_status(peer: &mut Peer) {
    let moment = Duration::from_millis(100);
    while let Ok(message) = tokio::time::timeout(moment, peer.json()).await {
        assert_eq!(message["type"], "sessionStatus", "{message}");
    }
}

#[tokio::test]
async fn the_delay_is_kept_although_nobody_is_connected() {
    let delay = Duration::from_secs(5);
    let world = World::start(|settings| settings.drain_delay = delay).await;
    let address = world.address();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let stopping = Stopping::begin(world, pending());
    while status(&ask(&mut stream, READYZ).await.0) == 200 {}
    // Whoever comes before the balancer has noticed is still answered.
    let mut late = TcpStream::connect(address).await.unwrap();
    let (head, _) = ask(&mut late, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(status(&head), 200);
    assert!(!stopping.is_done(), "it did not wait");
    stopping.clock.advance(delay);
    stopping.done().await;
}

#[tokio::test]
async fn no_more_than_ten_thousand_a_second_are_asked_however_short_the_period() {
    const ALL: usize = 34;
    // By the period alone all would be asked within two milliseconds.
    let world = World::start(|settings| settings.drain_period = Duration::from_millis(4)).await;
    let speaking = world.speak().await;
    let mut waiting = listeners(&world, &speaking.session, ALL - 1).await;
    waiting.push(speaking.peer);
    let stopping = Stopping::begin(world, pending());
    // Ten each millisecond of a clock that moves by hand.
    for expected in [10, 10, 10, 4] {
        let before = waiting.len();
        let start = Instant::now();
        while before - waiting.len() < expected {
            assert!(start.elapsed() < PATIENCE, "{} were asked", before - waiting.len());
            waiting = not_asked(waiting, 1).await;
        }
        waiting = not_asked(waiting, 5).await;
        assert_eq!(before - waiting.len(), expected);
        stopping.clock.advance(Duration::from_millis(1));
    }
    stopping.done().await;
}

/// Those that are not asked to move within some milliseconds.
async fn not_asked(waiting: Vec<Peer>, patience: u64) -> Vec<Peer> {
    let mut left = Vec::new();
    for mut peer in waiting {
        let asked = peer.json_of("connectionRefreshRequired");
        if tokio::time::timeout(Duration::from_millis(patience), asked).await.is_err() {
            left.push(peer);
        }
    }
    left
}

#[tokio::test]
async fn a_slow_store_is_asked_for_many_at_the_same_time() {
    let mishaps = Mishaps::new();
    let change = |settings: &mut ambo_server::Settings| settings.drain_period = PERIOD;
    let world = World::start_around(change, mishaps.around()).await;
    let speaking = world.speak().await;
    let mut peers = listeners(&world, &speaking.session, 40).await;
    mishaps.fail(Mishap::Held, &["load"]);
    let stopping = Stopping::begin(world, pending());
    until("the first waits for the store", async || mishaps.happened() > 0).await;
    // Half of the period, so that all the others are due while it still waits.
    stopping.clock.advance(PERIOD / 2);
    until("forty wait for the store", async || mishaps.happened() >= 40).await;
    mishaps.heal();
    all_asked(&mut peers).await;
    drop((peers, speaking.peer));
    stopping.done().await;
}

#[tokio::test]
async fn whom_the_store_did_not_let_it_ask_is_asked_again() {
    let mishaps = Mishaps::new();
    let change = |settings: &mut ambo_server::Settings| settings.drain_period = PERIOD;
    let world = World::start_around(change, mishaps.around()).await;
    let speaking = world.speak().await;
    let mut peers = listeners(&world, &speaking.session, 2).await;
    mishaps.fail(Mishap::Broken, &["touch"]);
    let stopping = Stopping::begin(world, pending());
    let moving = moving(&stopping.clock, Duration::from_millis(100));
    until("the store fails", async || mishaps.happened() > 0).await;
    mishaps.heal();
    all_asked(&mut peers).await;
    moving.abort();
    drop((peers, speaking.peer));
    stopping.done().await;
}

#[tokio::test]
async fn who_was_being_let_in_when_it_began_is_asked_too() {
    let mishaps = Mishaps::new();
    let change = |settings: &mut ambo_server::Settings| settings.drain_period = PERIOD;
    let world = World::start_around(change, mishaps.around()).await;
    let mut speaking = world.speak().await;
    mishaps.fail(Mishap::Held, &["admit"]);
    let join = join(&world, &speaking.session);
    let late = tokio::spawn(async move { connect(&join).await });
    until("somebody waits for the store", async || mishaps.happened() > 0).await;
    let stopping = Stopping::begin(world, pending());
    speaking.peer.json_of("connectionRefreshRequired").await;
    mishaps.heal();
    let mut late = late.await.unwrap();
    assert_eq!(late.json().await["type"], "sessionJoined");
    all_asked(std::slice::from_mut(&mut late)).await;
    drop((late, speaking.peer));
    stopping.done().await;
}
