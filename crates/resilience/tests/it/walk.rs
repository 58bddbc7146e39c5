//! Behind the walk: what clients are told while something is down.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::App;
use ambo_app::ports::{Keys, Paid};
use ambo_core::event::{Arrival, Event, Via};
use ambo_core::{
    Entropy, Language, Languages, Limits, Millis, Operation, QualityTier, Refusal, Reply,
    SessionId, SourceAddress, Stamp, Terms, Token, Words,
};
use ambo_identity::{Identity, LocalIssuer, OidcSettings};
use ambo_resilience::BreakerState;

use crate::world::Fate::{DoneButLost, Hangs, Transient, Unavailable, Works};
use crate::world::{Counting, NOW, Wrapped, pass, wrapped};

struct World {
    app: App,
    wrapped: Wrapped,
    token: Token,
    _folder: tempfile::TempDir,
}

impl World {
    /// Everything works.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = LocalIssuer::open(folder.path()).unwrap();
        let token = issuer.issue("ann", Millis::from_mins(60), NOW).unwrap();
        let wrapped = wrapped();
        let app = Self::app(&wrapped, Arc::new(issuer));
        Self { app, wrapped, token, _folder: folder }
    }

    fn app(wrapped: &Wrapped, keys: Arc<dyn Keys>) -> App {
        let terms = Terms {
            limits: Limits::default(),
            languages: Languages::every(),
            words: Words::builtin(),
        };
        App::new(wrapped.store.clone(), Arc::new(Counting::default()), keys, terms)
    }

    async fn ask(&self, connection: &str, event: Event) -> Result<Reply, Refusal> {
        let mut bytes = [0; Entropy::LEN];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = connection.bytes().fold(at as u8, |hash, byte| hash.wrapping_mul(31) ^ byte);
        }
        let arrival = Arrival {
            connection: ambo_core::ConnectionId::parse(connection).unwrap(),
            source: SourceAddress::of("192.0.2.1".parse().unwrap()),
            via: Via::Connect,
            token: Some(self.token.clone()),
            intent: Ok(event),
            stamp: Stamp { now: NOW, entropy: Entropy(bytes) },
        };
        self.app.handle(&arrival).await.answer.map(|reply| reply.unwrap())
    }

    async fn speak(&self, connection: &str) -> Result<SessionId, Refusal> {
        let source_language = Language::parse("en").unwrap();
        let event = Event::Create { source_language, quality: QualityTier::Standard };
        self.ask(connection, event).await.map(|reply| match reply {
            Reply::Created { session, .. } => session,
            other => panic!("{other:?}"),
        })
    }

    async fn listen(&self, connection: &str, session: &SessionId) -> Result<(), Refusal> {
        let event =
            Event::Join { session: session.clone(), target: Language::parse("es").unwrap() };
        self.ask(connection, event).await.map(drop)
    }
}

fn down(retry_after: u64) -> Refusal {
    Refusal::ServiceUnavailable { service: "store", retry_after }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_is_service_unavailable_until_it_is_back() {
    let world = World::new();
    let session = world.speak("c0").await.unwrap();
    world.wrapped.faulty.all(Unavailable);
    for n in 0..5 {
        let refusal = world.listen(&format!("l{n}"), &session).await.unwrap_err();
        assert_eq!(
            (refusal.clone(), refusal.code_and_status()),
            (down(7), ("SERVICE_UNAVAILABLE", 503))
        );
        assert_eq!(refusal.retry_after(), Some(7));
    }
    assert_eq!(world.listen("l", &session).await, Err(down(30)), "the breaker is open");
    assert_eq!(world.speak("c1").await, Err(down(30)), "for speakers too");
    let asked = world.wrapped.faulty.calls("load");
    pass(Duration::from_millis(10_500)).await;
    assert_eq!(world.listen("l", &session).await, Err(down(20)), "rounded up");
    assert_eq!(world.wrapped.faulty.calls("load"), asked);
    pass(Duration::from_millis(19_500)).await;
    assert_eq!(world.listen("l", &session).await, Err(down(7)), "the probe");
    assert_eq!(world.listen("l", &session).await, Err(down(30)));
    world.wrapped.faulty.all(Works);
    pass(Duration::from_secs(30)).await;
    assert_eq!(world.listen("l", &session).await, Ok(()));
    assert_eq!(world.listen("m", &session).await, Ok(()));
    assert_eq!(world.wrapped.health.store_breaker(), BreakerState::Closed);
    let truth = world.wrapped.faulty.truth();
    assert_eq!((truth.sessions, truth.listeners), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_keeps_nobody_waiting_for_long() {
    let world = World::new();
    let session = world.speak("c0").await.unwrap();
    world.wrapped.faulty.always("load", Hangs);
    let started = tokio::time::Instant::now();
    for n in 0..5 {
        assert_eq!(world.listen(&format!("l{n}"), &session).await, Err(down(1)));
    }
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(world.listen("l", &session).await, Err(down(30)));
    assert_eq!(started.elapsed().as_secs(), 10, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_stumbles_is_not_noticed() {
    let world = World::new();
    world.wrapped.faulty.always("load", Works);
    // connect, create; load twice in vain; commit: done, but the answer is lost.
    world.wrapped.faulty.plan(&[Works, Works, Transient, Transient, Works, DoneButLost]);
    let session = world.speak("c0").await.unwrap();
    assert_eq!(world.wrapped.health.retries(), 3);
    // connect, show, join; load; commit: done twice over, and counted once.
    world.wrapped.faulty.plan(&[Works, Works, Works, Works, DoneButLost, DoneButLost]);
    world.listen("l0", &session).await.unwrap();
    let truth = world.wrapped.faulty.truth();
    assert_eq!((truth.sessions, truth.listeners), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_takes_no_new_session_but_every_listener() {
    let world = World::new();
    let session = world.speak("c0").await.unwrap();
    for n in 1..=8 {
        // connect, create, load, open.
        world.wrapped.faulty.plan(&[Works, Works, Works, Unavailable]);
        let refused = if n <= 5 { down(7) } else { down(30) };
        assert_eq!(world.speak(&format!("c{n}")).await, Err(refused), "speaker {n}");
        world.wrapped.faulty.plan(&[]);
        assert_eq!(world.listen(&format!("l{n}"), &session).await, Ok(()), "listener {n}");
    }
    let truth = world.wrapped.faulty.truth();
    assert_eq!((truth.sessions, truth.listeners), (1, 8));
}

#[tokio::test(start_paused = true)]
async fn limits_that_are_down_let_everybody_pass() {
    let world = World::new();
    world.wrapped.faulty.limits_say(Paid::Wait(Millis::from_secs(9)));
    let refused = Refusal::RateLimitExceeded { operation: Operation::Connect, retry_after: 9 };
    assert_eq!(world.speak("c0").await, Err(refused));
    world.wrapped.faulty.always("pay", Unavailable);
    let session = world.speak("c0").await.unwrap();
    for n in 0..20 {
        world.listen(&format!("l{n}"), &session).await.unwrap();
    }
    // Two tolls for the speaker, three for each listener.
    assert_eq!(world.wrapped.health.unlimited(), 62);
    assert_eq!(world.wrapped.faulty.calls("pay"), 1 + 5, "and are left alone");
    assert_eq!(world.wrapped.health.limits_breaker(), BreakerState::Open);
    assert_eq!(world.wrapped.health.store_breaker(), BreakerState::Closed);
}

#[tokio::test]
async fn an_issuer_that_is_down_stops_speakers_and_no_listener() {
    // A port that nobody listens on any more.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = OidcSettings::new(format!("http://{closed}"), vec!["hall".into()]);
    let mut world = World::new();
    let session = world.speak("c0").await.unwrap();
    world.app = World::app(&world.wrapped, Arc::new(Identity::oidc(settings).unwrap()));
    for n in 0..10 {
        let refusal = world.speak(&format!("c{n}")).await.unwrap_err();
        let expected = Refusal::ServiceUnavailable { service: "identity", retry_after: 30 };
        assert_eq!((refusal.status(), refusal), (503, expected));
        // Whatever token a listener brings is not looked at.
        assert_eq!(world.listen(&format!("l{n}"), &session).await, Ok(()));
    }
    assert_eq!(world.wrapped.faulty.truth().listeners, 10);
}
