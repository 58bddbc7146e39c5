//! Garbage of every kind, for a while, from a seed that is printed: it never panics the server.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambo_server::logging;
use fastrand::Rng;
use futures_util::SinkExt;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Peer, World, frame};
use crate::metrics::Page;
use crate::support::{status, upgrade};

/// How long each kind of garbage is thrown.
const SPAN: Duration = Duration::from_millis(1_800);

/// Panics anywhere but in a test.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_ours = |at: &std::panic::Location<'_>| at.file().contains("tests/");
            if !panic.location().is_some_and(is_ours) {
                PANICS.fetch_add(1, Ordering::SeqCst);
                logging::note_panic(panic);
            }
            before(panic);
        }));
    });
}

/// A source of garbage, and a server to throw it at.
struct Thrower<'a> {
    world: &'a World,
    session: &'a str,
    token: &'a str,
    rng: Rng,
    until: Instant,
    thrown: usize,
}

impl Thrower<'_> {
    fn goes_on(&mut self) -> bool {
        self.thrown += 1;
        Instant::now() < self.until
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.rng.usize(..=most);
        (0..len).map(|_| self.rng.u8(..)).collect()
    }

    /// The same with some of it changed, lost, doubled or cut off.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.rng.usize(1..6) {
            if bytes.is_empty() {
                break;
            }
            let at = self.rng.usize(..bytes.len());
            match self.rng.u8(..6) {
                0 => bytes[at] = self.rng.u8(..),
                1 => bytes[at] ^= 1 << self.rng.u8(..8),
                2 => drop(bytes.remove(at)),
                3 => bytes.insert(at, self.rng.u8(..)),
                4 => bytes.truncate(at),
                _ => bytes.extend_from_within(at..),
            }
        }
        bytes
    }

    fn mutated_text(&mut self, text: &str) -> String {
        String::from_utf8_lossy(&self.mutated(text.as_bytes())).into_owned()
    }

    /// Sends bytes on a new connection and takes what comes for a moment.
    async fn throw(&mut self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.world.address()).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = vec![0; 4096];
        let patience = Duration::from_millis(20);
        let read = tokio::time::timeout(patience, stream.read(&mut answer)).await;
        answer.truncate(read.map_or(0, |count| count.unwrap_or(0)));
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn raw_bytes(mut self) -> usize {
        while self.goes_on() {
            let bytes = self.bytes(2_000);
            self.throw(&bytes).await;
        }
        self.thrown
    }

    async fn requests(mut self) -> usize {
        while self.goes_on() {
            let target = format!("/ws?action=joinSession&sessionId={}", self.session);
            let request = upgrade(&target, "Sec-WebSocket-Protocol: ambo.v1\r\n");
            let bytes = self.mutated(request.as_bytes());
            self.throw(&bytes).await;
        }
        self.thrown
    }

    async fn queries(mut self) -> usize {
        let names = [
            "action",
            "token",
            "sessionId",
            "targetLanguage",
            "role",
            "refreshToken",
            "lastSequence",
        ];
        let values = [
            "createSession",
            "joinSession",
            "refreshConnection",
            "speaker",
            "listener",
            "es",
            "%FF%00",
            "4294967296",
            "-1",
            "%",
            "",
            "ß🎙",
        ];
        while self.goes_on() {
            let mut query = String::new();
            for _ in 0..self.rng.usize(..8) {
                let (name, value) =
                    (self.rng.choice(names).unwrap(), self.rng.choice(values).unwrap());
                let value = match self.rng.u8(..4) {
                    0 => self.mutated_text(value),
                    1 => self.session.to_owned(),
                    _ => value.to_owned(),
                };
                let value: String =
                    value.chars().filter(|c| !c.is_control() && *c != ' ').collect();
                query.push_str(&format!("{name}={value}&"));
            }
            let more = if self.rng.bool() { "Sec-WebSocket-Protocol: ambo.v1\r\n" } else { "" };
            let answer = self.throw(upgrade(&format!("/?{query}"), more).as_bytes()).await;
            assert_ne!(status(&answer), 500, "{query}: {answer}");
        }
        self.thrown
    }

    async fn tokens(mut self) -> usize {
        while self.goes_on() {
            let token = if self.rng.bool() {
                self.mutated_text(self.token)
            } else {
                let alphabet = "ABCabc019-_.={}\"\u{fffd}";
                let chars: Vec<char> = alphabet.chars().collect();
                (0..self.rng.usize(..300)).map(|_| *self.rng.choice(&chars).unwrap()).collect()
            };
            let token: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let target = format!("/ws?action=createSession&sourceLanguage=en&token={token}");
            let answer = self.throw(upgrade(&target, "").as_bytes()).await;
            let status = status(&answer);
            assert!([0, 400, 401, 101].contains(&status), "{token}: {answer}");
        }
        self.thrown
    }

    /// Bytes that are no frames, on sockets that are open.
    async fn frames(mut self) -> usize {
        let target = format!("/ws?action=joinSession&sessionId={}&targetLanguage=es", self.session);
        let mut masked = vec![0x82, 0x80 | 20, 0, 0, 0, 0];
        masked.extend(frame(1, b"abcd"));
        while self.goes_on() {
            let mut bytes = upgrade(&target, "Sec-WebSocket-Protocol: ambo.v1\r\n").into_bytes();
            for _ in 0..self.rng.usize(1..5) {
                bytes.extend(if self.rng.bool() { self.mutated(&masked) } else { self.bytes(300) });
            }
            self.throw(&bytes).await;
        }
        self.thrown
    }

    /// Messages that are no JSON, or not the right one, and audio that is none.
    async fn messages(mut self, mut peer: Peer) -> usize {
        let whole = [
            r#"{"action":"heartbeat","timestamp":1}"#.to_owned(),
            r#"{"action":"sendAudio","audioData":"T2dnUw==","sequence":17}"#.to_owned(),
            r#"{"action":"controlSession","command":"pause","message":"Back soon"}"#.to_owned(),
            r#"{"action":"changeLanguage","targetLanguage":"de"}"#.to_owned(),
            r#"{"action":"getSessionStatus"}"#.to_owned(),
            format!(
                r#"{{"action":"refreshConnection","role":"speaker","sessionId":"{}","token":"x"}}"#,
                self.session
            ),
            "[".repeat(4_000),
            r#"{"action":"#.repeat(300),
        ];
        while self.goes_on() {
            let sent = match self.rng.u8(..3) {
                0 => {
                    let whole = frame(self.thrown as u32, b"payload");
                    Message::binary(self.mutated(&whole))
                }
                1 => Message::binary(self.bytes(64)),
                _ => {
                    let text = self.rng.choice(&whole).unwrap();
                    Message::text(self.mutated_text(text))
                }
            };
            peer.socket.send(sent).await.expect("the session was dropped");
            let pause = Duration::from_millis(2);
            if let Ok(answer) = tokio::time::timeout(pause, peer.next()).await {
                let Some(Message::Text(answer)) = answer else { panic!("closed by {answer:?}") };
                let answer: Value = serde_json::from_str(&answer).unwrap();
                assert_ne!(answer["code"], "INTERNAL_ERROR", "{answer}");
            }
        }
        self.thrown
    }
}

#[tokio::test]
async fn garbage_of_every_kind_never_panics_the_server() {
    watch_for_panics();
    let seed = std::env::var("AMBO_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut rng = Rng::with_seed(seed.unwrap_or(0x5eed));
    let world = World::start(|settings| {
        settings.rate_limit_connects_per_min = 0;
        settings.rate_limit_joins_per_min = 0;
        settings.rate_limit_refused_joins_per_min = 0;
        settings.rate_limit_control_per_sec = 0;
        settings.rate_limit_audio_per_sec = 0;
        settings.rate_limit_heartbeats_per_min = 0;
        settings.handshake_timeout = Duration::from_secs(5);
    })
    .await;
    let (speaking, token) = (world.speak().await, world.token("ann"));
    let until = Instant::now() + SPAN;
    let mut thrower = || Thrower {
        world: &world,
        session: &speaking.session,
        token: &token,
        rng: rng.fork(),
        until,
        thrown: 0,
    };
    let listener = world.listen(&speaking.session, "es").await;
    let other = world.speak().await;
    let thrown = tokio::join!(
        thrower().raw_bytes(),
        thrower().requests(),
        thrower().queries(),
        thrower().tokens(),
        thrower().frames(),
        thrower().messages(listener),
        thrower().messages(other.peer),
    );
    println!("thrown: {thrown:?}");

    let mut listener = world.listen(&speaking.session, "es").await;
    let mut speaker = speaking.peer;
    speaker.send_binary(frame(1, b"as if nothing had been")).await;
    assert_eq!(listener.binary().await, frame(1, b"as if nothing had been"));
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "something panicked; see above");
    let page = world.get("/metrics").await.2;
    Page::read(&page);
    assert!(page.contains("\npanics_total 0\n"), "{page}");
    speaker.leave(1000).await;
    listener.json_of("sessionEnded").await;
    drop(listener);
    world.until("nothing is left", |world| world.server.held().connections == 0).await;
}
