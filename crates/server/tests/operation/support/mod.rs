//! What these tests need beside the harness: raw requests, clients at other addresses, a store
//! that fails on command, an issuer that does.

pub mod faulty;
pub mod issuer;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::Store;
use ambo_server::settings::StoreKind;
use ambo_server::{Clock, Server, Settings};
use ambo_store_redis::RedisSettings;
use ambo_testkit::redis::RedisServer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{AMBO, Peer, START, Speaking, World};

/// No healthy server keeps anybody waiting so long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something holds that happens elsewhere.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

impl World {
    /// A server with something round its store.
    pub async fn start_around(
        change: impl FnOnce(&mut Settings),
        around: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> Self {
        let (folder, clock) = (Arc::new(TempDir::new().unwrap()), Clock::manual(START));
        let mut settings = settings(&folder);
        change(&mut settings);
        let server = Server::start_around(&settings, clock.clone(), around).await.unwrap();
        Self { server, clock, settings, folder }
    }

    /// The same connection attempt from another address of this machine.
    pub async fn connect_from(&self, source: &str, target: &str) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse::<IpAddr>().unwrap(), 0)).unwrap();
        let stream = socket.connect(self.address()).await.unwrap();
        let request = format!("ws://{}{target}", self.address()).into_client_request().unwrap();
        let stream = MaybeTlsStream::Plain(stream);
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        Peer { socket, response: response.map(|_| ()) }
    }

    /// A connection that says this is for whom it comes, as a proxy does.
    pub async fn connect_for(&self, client: &str, query: &str) -> Peer {
        let target = format!("/ws?{query}");
        self.knock(&target, &[AMBO, ("x-forwarded-for", client)]).await.unwrap()
    }

    /// A number of the metrics page, by its name and labels as they stand there; 0 where the page
    /// does not have it yet.
    pub async fn metric(&self, sample: &str) -> f64 {
        let (_, _, page) = self.get("/metrics").await;
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a number of the metrics page is this one, moving the clock by a second each
    /// time, as some are counted once a second.
    pub async fn metric_becomes(&self, sample: &str, expected: f64) {
        let start = tokio::time::Instant::now();
        loop {
            let found = self.metric(sample).await;
            if found == expected {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{sample} is {found}, not {expected}");
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What makes a server a node on this engine.
pub fn store_on(engine: &RedisServer) -> StoreKind {
    StoreKind::Redis(Box::new(RedisSettings::parse(&engine.url()).unwrap()))
}

/// The defaults, at any port, on this folder.
pub fn settings(folder: &TempDir) -> Settings {
    let mut settings = Settings::default();
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.data_dir = folder.path().to_owned();
    settings
}

/// Sends bytes and reads all that comes, until the server closes or is silent for too long.
pub async fn send_raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has heard enough may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

/// Reads until the server closes.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(PATIENCE, reading).await.expect("the server does not close");
    String::from_utf8_lossy(&answer).into_owned()
}

/// One answer on a connection that stays open: its head and its body.
pub async fn ask(stream: &mut TcpStream, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let is_whole = |answer: &[u8]| {
        let text = String::from_utf8_lossy(answer).into_owned();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = header(head, "content-length")?.parse::<usize>().unwrap();
        (body.len() >= length).then(|| (head.to_owned(), body.to_owned()))
    };
    let reading = async {
        loop {
            if let Some(parts) = is_whole(&answer) {
                return parts;
            }
            let mut some = [0; 4096];
            let count = stream.read(&mut some).await.unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&answer));
            answer.extend(&some[..count]);
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("no answer")
}

/// The value of a header in the head of an answer.
pub fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// The status in the first line of an answer; 0 for none.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// A request to open a WebSocket, with more header lines.
pub fn upgrade(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

impl Speaking {
    /// The query with which the speaker takes its session up again.
    pub fn refresh(&self, token: &str) -> String {
        let session = &self.session;
        format!("action=refreshConnection&role=speaker&sessionId={session}&token={token}")
    }
}
