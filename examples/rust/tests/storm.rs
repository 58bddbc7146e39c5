//! A thousand refreshes while the talk goes on: every listener hears every frame, once, in order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambo_client::{
    Closed, Event, Events, Language, Listener, ListenerOptions, Server as Address, SessionId,
    Speaker, SpeakerOptions, Tokens,
};
use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_server::{Clock, Server, Settings};
use tempfile::TempDir;

const LISTENERS: u32 = 40;
const REFRESHES: u32 = 1_000;
/// The whole storm takes some fifteen seconds; a machine that needs this long is not measuring.
const PATIENCE: Duration = Duration::from_secs(120);

async fn serve(folder: &TempDir) -> Server {
    let mut settings = Settings::default();
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.data_dir = folder.path().to_owned();
    // As short as the server's own timers can tell.
    settings.connection_refresh = Duration::from_millis(250);
    settings.rate_limit_connects_per_min = 0;
    Server::start(&settings, Clock::system()).await.unwrap()
}

fn tokens(folder: &TempDir) -> Tokens {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (now, hour) = (Millis(since.as_millis() as u64), Millis::from_mins(60));
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    Tokens::fixed(String::from(issuer.issue("ann", hour, now).unwrap().0))
}

/// What one member went through.
#[derive(Default)]
struct Heard {
    frames: Vec<u32>,
    missing: u32,
}

/// Follows a member to the end of the session.
async fn follow(mut events: Events, refreshes: Arc<AtomicU32>) -> Heard {
    let mut heard = Heard::default();
    while let Some(event) = events.next().await {
        match event {
            Event::Audio(frame) => {
                heard.frames.push(u32::from_be_bytes(frame.payload[..].try_into().unwrap()));
            }
            Event::Gap { frames } => heard.missing += frames,
            Event::Refreshed(_) => {
                refreshes.fetch_add(1, Ordering::Relaxed);
            }
            Event::Closed(why) => assert_eq!(why, Closed::Ended),
            _ => {}
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_refreshes_lose_nothing_and_double_nothing() {
    let folder = TempDir::new().unwrap();
    let server = serve(&folder).await;
    let address = Address::parse(&format!("ws://{}/ws", server.address())).unwrap();
    let (en, es) = (Language::parse("en").unwrap(), Language::parse("es").unwrap());
    let speaking = SpeakerOptions::new(tokens(&folder), en);
    let (speaker, events) = Speaker::connect(&address, speaking).await.unwrap();
    let refreshes = Arc::new(AtomicU32::new(0));
    let of_speaker = Arc::new(AtomicU32::new(0));
    let speaker_done = tokio::spawn(follow(events, Arc::clone(&of_speaker)));

    let session = SessionId::parse(speaker.session_id()).unwrap();
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        let listening = ListenerOptions::new(session.clone(), es);
        let (listener, events) = Listener::connect(&address, listening).await.unwrap();
        listeners.push((listener, tokio::spawn(follow(events, Arc::clone(&refreshes)))));
    }
    let mut spoken = 0_u32;
    let talk = async {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while refreshes.load(Ordering::Relaxed) < REFRESHES {
            beat.tick().await;
            spoken += 1;
            speaker.send(spoken.to_be_bytes().to_vec()).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, talk).await.expect("too few refreshes in the time");
    speaker.end(None).await.unwrap();
    speaker_done.await.unwrap();

    let expected: Vec<u32> = (1..=spoken).collect();
    for (listener, heard) in listeners {
        let heard = heard.await.unwrap();
        drop(listener);
        assert_eq!(heard.missing, 0);
        assert!(heard.frames == expected, "not what was spoken, of {spoken} frames");
    }
    assert!(of_speaker.load(Ordering::Relaxed) >= 10, "{of_speaker:?} refreshes of the speaker");
    server.stop(std::future::ready(())).await.unwrap();
}
