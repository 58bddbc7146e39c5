//! The network edge: slow, greedy and confused clients, proxies, and an address that is taken.

use std::sync::Arc;
use std::time::Duration;

use ambo_server::{Clock, Server, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::harness::{Peer, START, World};
use crate::support::{ask, header, read_to_end, send_raw, settings, status, upgrade};

const SHORT: Duration = Duration::from_millis(300);

/// Holds that the server closes this, which was opened after `start`, when [`SHORT`] is over.
async fn is_cut(mut stream: TcpStream, start: Instant, what: &str) {
    read_to_end(&mut stream).await;
    let took = start.elapsed();
    assert!(took >= SHORT, "{what}: cut after {took:?}");
}

#[tokio::test]
async fn who_does_not_finish_a_request_is_cut() {
    let world = World::start(|settings| settings.handshake_timeout = SHORT).await;
    let start = Instant::now();
    let silent = TcpStream::connect(world.address()).await.unwrap();
    let mut half = TcpStream::connect(world.address()).await.unwrap();
    half.write_all(b"GET /ws?action=joinSession HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut kept = TcpStream::connect(world.address()).await.unwrap();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();

    let dribble = TcpStream::connect(world.address()).await.unwrap();
    let dribbling = async {
        let (mut reading, mut writing) = dribble.into_split();
        let request = upgrade("/ws?action=joinSession", "");
        let mut left = request.bytes();
        for byte in &mut left {
            tokio::time::sleep(SHORT / 10).await;
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
            let mut some = [0; 512];
            let moment = Duration::from_millis(1);
            let read = tokio::time::timeout(moment, reading.read(&mut some)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
        assert!(left.len() > 0, "a byte now and then keeps it waiting");
    };
    tokio::join!(
        is_cut(silent, start, "silence"),
        is_cut(half, start, "half a request"),
        is_cut(kept, start, "an idle connection"),
        dribbling
    );
}

#[tokio::test]
async fn headers_have_a_limit() {
    let world = World::start(|_| {}).await;
    let ask = |target: &str, more: &str| {
        let request = upgrade(target, &format!("Connection: close\r\n{more}"));
        let address = world.address();
        async move { status(&send_raw(address, request.as_bytes()).await) }
    };
    let long = "x".repeat(20 * 1024);
    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let join = "/ws?action=joinSession";
    assert_eq!(ask(join, &format!("X-Long: {long}\r\n")).await, 431);
    assert_eq!(ask(join, &lines(200)).await, 431);
    assert!([414, 431].contains(&ask(&format!("{join}&x={long}"), "").await));
    // What real clients send is far below.
    assert_eq!(ask(&format!("{join}&token={}", &long[..12 * 1024]), &lines(20)).await, 400);
    // Such as TLS where there is none.
    let answer = send_raw(world.address(), b"\x16\x03\x01\x00garbage\r\n\r\n").await;
    assert_eq!(status(&answer), 400, "{answer}");
}

#[tokio::test]
async fn a_body_that_nobody_asked_for_is_not_waited_for() {
    let world = World::start(|_| {}).await;
    let start = Instant::now();
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let request = b"POST /ws HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nfirst";
    stream.write_all(request).await.unwrap();
    assert_eq!(status(&read_to_end(&mut stream).await), 405);
    assert!(start.elapsed() < world.settings.handshake_timeout, "it waited {:?}", start.elapsed());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_asks_and_does_not_read_is_cut() {
    let world = World::start(|settings| {
        settings.heartbeat_interval = Duration::from_millis(500);
        settings.heartbeat_timeout = Duration::from_secs(1);
    })
    .await;
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let request = b"GET /listen.js HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    let start = Instant::now();
    // First its own buffers fill, and those of the server; then nothing moves until it is cut.
    let error = loop {
        match tokio::time::timeout(Duration::from_millis(100), stream.writable()).await {
            Ok(Ok(())) => match stream.try_write(&request) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => break error,
            },
            Ok(Err(error)) => break error,
            Err(_) => {}
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it keeps its place for ever");
    };
    assert!(start.elapsed() > SHORT, "{error} after {:?}", start.elapsed());
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let world = World::start(|settings| settings.max_connections = 4).await;
    let speaking = world.speak().await;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(world.listen(&speaking.session, "es").await);
    }
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (503, Some("5".into())));

    listeners.pop().unwrap().leave(1000).await;
    world.until("the place is free", |world| world.server.held().connections == 3).await;
    listeners.push(world.listen(&speaking.session, "es").await);
}

#[tokio::test]
async fn connections_are_limited_by_address() {
    let world = World::start(|settings| settings.max_connections_per_address = 2).await;
    let speaking = world.speak().await;
    let _listener = world.listen(&speaking.session, "es").await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert_eq!((status(&answer), header(&answer, "retry-after")), (429, Some("10".into())));
    if cfg!(target_os = "linux") {
        let join =
            format!("/ws?action=joinSession&sessionId={}&targetLanguage=es", speaking.session);
        let mut other = world.connect_from("127.0.0.2", &join).await;
        assert_eq!(other.json().await["type"], "sessionJoined", "others are not concerned");
    }
}

/// A server behind a trusted proxy, a speaker who came through it, and the query of a join.
async fn behind_a_proxy(max_connections_per_address: u32) -> (World, Peer, String) {
    let world = World::start(|settings| {
        settings.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        settings.max_connections_per_address = max_connections_per_address;
    })
    .await;
    let query = format!("action=createSession&sourceLanguage=en&token={}", world.token("ann"));
    let mut speaker = world.connect_for("198.51.100.1", &query).await;
    let session = speaker.json().await["sessionId"].as_str().unwrap().to_owned();
    let join = format!("action=joinSession&sessionId={session}&targetLanguage=es");
    (world, speaker, join)
}

#[tokio::test]
async fn behind_a_trusted_proxy_limits_go_by_the_client() {
    let (world, _speaker, join) = behind_a_proxy(2).await;
    let mut open = Vec::new();
    for client in ["203.0.113.9", "evil, 203.0.113.9", "203.0.113.10", "2001:db8::1"] {
        let mut peer = world.connect_for(client, &join).await;
        assert_eq!(peer.json().await["type"], "sessionJoined", "{client}");
        open.push(peer);
    }
    // The third of one client, whatever it claims before the proxy's own word.
    for client in ["203.0.113.9", "203.0.113.10, 203.0.113.9"] {
        let mut peer = world.connect_for(client, &join).await;
        assert_eq!(peer.error().await, "RATE_LIMIT_EXCEEDED", "{client}");
        assert_eq!(peer.closed().await.0, 1013);
    }
    // One that is refused by status too, and the /64 of an IPv6 client is one client.
    let _second = world.connect_for("2001:db8::2", &join).await;
    let target = format!("/ws?{join}");
    let refused = world.knock(&target, &[("x-forwarded-for", "2001:db8::ffff")]).await;
    let refused = refused.err().unwrap();
    assert_eq!((refused.status, refused.retry_after), (429, Some(10)));
}

#[tokio::test]
async fn a_proxys_connection_may_carry_one_client_after_the_other() {
    let (world, _speaker, join) = behind_a_proxy(1).await;
    let mut stream = TcpStream::connect(world.address()).await.unwrap();
    for (client, query, refused) in
        [("198.51.100.1", &*join, 429), ("203.0.113.9", "action=joinSession", 400)]
    {
        let request = upgrade(&format!("/ws?{query}"), &format!("X-Forwarded-For: {client}\r\n"));
        assert_eq!(status(&ask(&mut stream, &request).await.0), refused, "{client}");
    }
    let mut request = format!("ws://x/ws?{join}").into_client_request().unwrap();
    request.headers_mut().insert("x-forwarded-for", "203.0.113.10".parse().unwrap());
    let carried = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut other = world.connect_for("203.0.113.9", &join).await;
    assert_eq!(other.json().await["type"], "sessionJoined");
    let mut second = world.connect_for("203.0.113.10", &join).await;
    assert_eq!(second.error().await, "RATE_LIMIT_EXCEEDED");
    drop(carried);
}

#[tokio::test]
async fn a_stranger_who_names_another_address_is_not_believed() {
    let world = World::start(|settings| settings.rate_limit_connects_per_min = 3).await;
    let mut codes = Vec::new();
    for client in 1..=5 {
        let header = format!("203.0.113.{client}");
        let headers = [("x-forwarded-for", header.as_str())];
        let refused = world.knock("/ws?action=joinSession", &headers).await.err().unwrap();
        codes.push(refused.status);
    }
    assert_eq!(codes, [400, 400, 400, 429, 429]);
}

async fn start_error(settings: &Settings) -> String {
    match Server::start(settings, Clock::manual(START)).await {
        Ok(_) => panic!("it started"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test]
async fn a_start_that_cannot_be_says_why() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&folder);
    settings.listen = taken.local_addr().unwrap();
    let error = start_error(&settings).await;
    let expected = format!("listen: {} cannot be bound", settings.listen);
    assert!(error.contains(&expected) && error.contains("in use"), "{error}");

    settings.listen = "192.0.2.1:80".parse().unwrap();
    let error = start_error(&settings).await;
    assert!(error.contains("listen: 192.0.2.1:80 cannot be bound"), "{error}");

    let world = World::start(|_| {}).await;
    let second = self::settings(&world.folder);
    let error = start_error(&second).await;
    assert!(error.contains("another process uses the data directory"), "{error}");
    assert!(error.contains(world.folder.path().to_str().unwrap()), "{error}");
    let folder = Arc::clone(&world.folder);
    world.stop().await;

    // Once it has stopped, the directory is free.
    let world = World::start_in(folder, Clock::manual(START), |_| {}).await;
    world.stop().await;

    let file = TempDir::new().unwrap();
    std::fs::write(file.path().join("file"), "").unwrap();
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.data_dir = file.path().join("file");
    let error = start_error(&settings).await;
    assert!(error.contains("data directory") && error.contains("file"), "{error}");

    settings.data_dir = folder_path(&file);
    settings.oidc_issuer = Some("http://issuer.example.org".into());
    settings.oidc_audience = vec!["hall".into()];
    let error = start_error(&settings).await;
    assert!(error.contains("oidc_issuer cannot be used"), "{error}");
}

fn folder_path(folder: &TempDir) -> std::path::PathBuf {
    folder.path().join("data")
}
