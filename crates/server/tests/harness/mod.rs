//! A server under test, on a real socket and with a clock that the test moves, and a peer that
//! speaks to it through a WebSocket library that is not ours.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_server::{Clock, Server, Settings};
use ambo_testkit::contract::check_refusal;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// An open connection, from the client's side.
pub use ambo_testkit::contract::Client as Peer;
pub use ambo_testkit::contract::Refused;

/// No answer of a healthy server takes so long, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// The moment at which every test begins.
pub const START: Millis = Millis(1_795_000_000_000);

/// A running server.
pub struct World {
    pub server: Server,
    pub clock: Clock,
    pub settings: Settings,
    pub folder: Arc<TempDir>,
}

impl World {
    /// A server with the defaults, but for what `change` changes.
    pub async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), Clock::manual(START), change).await
    }

    /// A server on this data directory, such as one that another server left.
    pub async fn start_in(
        folder: Arc<TempDir>,
        clock: Clock,
        change: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut settings = Settings::default();
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.data_dir = folder.path().to_owned();
        change(&mut settings);
        let server = Server::start(&settings, clock.clone()).await.unwrap();
        Self { server, clock, settings, folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Moves the clock in steps no longer than a second, so that the timers see every age.
    pub async fn pass(&self, span: Duration) {
        let mut left = span;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.clock.advance(step);
            tokio::task::yield_now().await;
            left -= step;
        }
    }

    /// A token for this user, good for a day.
    pub fn token(&self, user: &str) -> String {
        let issuer = LocalIssuer::open(self.folder.path()).unwrap();
        let day = Millis::from_mins(24 * 60);
        issuer.issue(user, day, self.now()).unwrap().0.into()
    }

    /// Opens a connection with this query, at `/ws`, offering `ambo.v1`.
    pub async fn connect(&self, query: &str) -> Peer {
        self.knock(&format!("/ws?{query}"), &[AMBO]).await.unwrap()
    }

    /// The same without the subprotocol.
    pub async fn connect_plain(&self, query: &str) -> Peer {
        self.knock(&format!("/ws?{query}"), &[]).await.unwrap()
    }

    /// A connection attempt with these headers.
    pub async fn knock(&self, target: &str, headers: &[(&str, &str)]) -> Result<Peer, Refused> {
        let come = Peer::knock(&format!("ws://{}{target}", self.address()), headers).await;
        if let Err(Refused { body, .. }) = &come
            && !body.is_null()
        {
            check_refusal(body);
        }
        come
    }

    /// A refusal of a client that does not offer the subprotocol.
    pub async fn refused(&self, query: &str) -> Refused {
        match self.knock(&format!("/ws?{query}"), &[]).await {
            Err(refused) => refused,
            Ok(_) => panic!("{query} was accepted"),
        }
    }

    /// A session by `ann`, spoken in English.
    pub async fn speak(&self) -> Speaking {
        let query = format!("action=createSession&sourceLanguage=en&token={}", self.token("ann"));
        let mut peer = self.connect(&query).await;
        let created = peer.json().await;
        assert_eq!(created["type"], "sessionCreated", "{created}");
        Speaking { peer, session: created["sessionId"].as_str().unwrap().to_owned() }
    }

    /// A listener of a session, after its `sessionJoined`.
    pub async fn listen(&self, session: &str, language: &str) -> Peer {
        let query = format!("action=joinSession&sessionId={session}&targetLanguage={language}");
        let mut peer = self.connect(&query).await;
        let joined = peer.json().await;
        assert_eq!(joined["type"], "sessionJoined", "{joined}");
        peer
    }

    /// Waits until something holds that the server does in its own time.
    pub async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let start = tokio::time::Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops at once.
    pub async fn stop(self) {
        self.server.stop(std::future::ready(())).await.unwrap();
    }

    /// An HTTP request without a body: status, headers and body of the answer.
    pub async fn get(&self, path: &str) -> (u16, String, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }
}

pub const AMBO: (&str, &str) = ("sec-websocket-protocol", "ambo.v1");

/// A speaker and its session.
pub struct Speaking {
    pub peer: Peer,
    pub session: String,
}

/// A binary frame of English audio.
pub fn frame(sequence: u32, payload: &[u8]) -> Vec<u8> {
    frame_of(1, b"en", sequence, payload)
}

/// A binary frame.
pub fn frame_of(kind: u8, language: &[u8; 2], sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, kind, language[0], language[1]];
    frame.extend(sequence.to_be_bytes());
    frame.extend(1_795_000_000_000_000_u64.to_be_bytes());
    frame.extend(payload);
    frame
}
