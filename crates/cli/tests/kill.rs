//! The server is killed five times during a talk, and everybody comes back by themselves.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambo_client::{
    Event, Events, Language, Listener, ListenerOptions, Server, SessionId, Speaker, SpeakerOptions,
    Tokens,
};
use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_testkit::ports::free_port;
use support::{Running, ambo};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// How soon everybody must be back once the server is.
const BACK_WITHIN: Duration = Duration::from_secs(5);
/// Clients wait longer for a server that falls over again within two seconds of being back.
const STEADY: Duration = Duration::from_millis(2_500);
const KILLS: usize = 5;

fn serve(folder: &TempDir, port: u16) -> Running {
    let child = ambo()
        .args(["serve", "--log", "warn", "--listen", &format!("127.0.0.1:{port}")])
        .arg("--data-dir")
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

async fn answers(port: u16) {
    let start = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "the server does not answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until the listener has this frame. A server that was given no time for seconds may sit on
/// more than a speaker keeps; whether it is given some is not what is tried here.
async fn arrives(frame: u32, latest: &AtomicU32) {
    let start = Instant::now();
    while latest.load(Ordering::Relaxed) < frame {
        assert!(start.elapsed() < Duration::from_secs(60), "frame {frame} does not arrive");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Passes on what matters; hands out the frames at the end.
async fn follow(
    mut events: Events,
    back: mpsc::UnboundedSender<()>,
    latest: Arc<AtomicU32>,
) -> Vec<u32> {
    let mut frames = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Audio(frame) => {
                let frame = u32::from_be_bytes(frame.payload[..].try_into().unwrap());
                frames.push(frame);
                latest.store(frame, Ordering::Relaxed);
            }
            Event::Reconnected(_) => back.send(()).unwrap(),
            _ => {}
        }
    }
    frames
}

fn tokens(folder: &TempDir) -> Tokens {
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    Tokens::ask(move || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let (now, ttl) = (Millis(since.as_millis() as u64), Millis::from_mins(5));
        let token = issuer.issue("ann", ttl, now).unwrap();
        async move { Ok(String::from(token.0)) }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_five_times_is_no_end_of_the_talk() {
    let folder = TempDir::new().unwrap();
    let port = free_port();
    let mut server = serve(&folder, port);
    answers(port).await;
    let address = Server::parse(&format!("ws://127.0.0.1:{port}/ws")).unwrap();
    let (en, es) = (Language::parse("en").unwrap(), Language::parse("es").unwrap());
    let speaking = SpeakerOptions::new(tokens(&folder), en);
    let (speaker, events) = Speaker::connect(&address, speaking).await.unwrap();
    let (sender, mut speaker_back) = mpsc::unbounded_channel();
    let (said, latest) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    tokio::spawn(follow(events, sender, Arc::default()));
    let session = SessionId::parse(speaker.session_id()).unwrap();
    let listening = ListenerOptions::new(session, es);
    let (listener, events) = Listener::connect(&address, listening).await.unwrap();
    let (sender, mut listener_back) = mpsc::unbounded_channel();
    let heard = tokio::spawn(follow(events, sender, Arc::clone(&latest)));

    let is_over = Arc::new(AtomicBool::new(false));
    let (may_end, saying) = (Arc::clone(&is_over), Arc::clone(&said));
    let talk = tokio::spawn(async move {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        let mut spoken = 0_u32;
        loop {
            beat.tick().await;
            spoken += 1;
            speaker.send(spoken.to_be_bytes().to_vec()).await.unwrap();
            saying.store(spoken, Ordering::Relaxed);
            if may_end.load(Ordering::Relaxed) {
                speaker.end(None).await.unwrap();
                return spoken;
            }
        }
    });
    for _ in 0..KILLS {
        tokio::time::sleep(STEADY).await;
        arrives(said.load(Ordering::Relaxed), &latest).await;
        let killed = Instant::now();
        drop(server);
        server = serve(&folder, port);
        answers(port).await;
        // Clients wait for as long as the server was away, and a second more.
        let within = BACK_WITHIN + killed.elapsed();
        timeout(within, speaker_back.recv()).await.expect("the speaker is not back");
        timeout(within, listener_back.recv()).await.expect("the listener is not back");
    }
    is_over.store(true, Ordering::Relaxed);
    let spoken = talk.await.unwrap();
    let heard = timeout(Duration::from_secs(60), heard).await.unwrap().unwrap();
    drop(listener);
    let expected: Vec<u32> = (1..=spoken).collect();
    assert!(heard == expected, "{} of {spoken} frames", heard.len());
}
