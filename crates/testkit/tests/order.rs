//! The order of refusals, what they leave behind, and the limits.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ambo_app::ports::{Store, Totals};
use ambo_core::event::{Command, Via};
use ambo_core::refusal::Unauthorized;
use ambo_core::{Change, Event, Language, Languages, Limits, Millis, Operation, Rate, Refusal};
use ambo_core::{SessionId, Terms, Words};
use ambo_store_embedded::EmbeddedStore;
use ambo_testkit::world::{Call, Meddle, Meddler, World, language, without_rates};

const MINUTE: Millis = Millis::from_mins(1);

fn limited(operation: Operation) -> impl Fn(&Refusal) -> bool {
    move |refusal| matches!(refusal, Refusal::RateLimitExceeded { operation: o, .. } if *o == operation)
}

fn parameters() -> Refusal {
    Refusal::InvalidParameters { field: "sourceLanguage", expected: "two letters" }
}

fn absent() -> SessionId {
    SessionId::parse("absent-session-100").unwrap()
}

async fn code(world: &World, call: &Call) -> &'static str {
    world.happens(call).await.map_or_else(|refusal| refusal.code(), |_| "OK")
}

/// A world in which each source connects once and each user creates once a minute, and only
/// English and Spanish are served.
fn strict(store: impl Store + 'static) -> World {
    let once = Rate::new(1, MINUTE);
    let limits = Limits { connects: once, sessions: once, max_listeners: 1, ..without_rates() };
    let languages = Languages::both_ways([language("en"), language("es")]);
    World::with_terms(store, Terms { limits, languages, words: Words::builtin() })
}

#[tokio::test]
async fn creating_is_refused_in_order_and_refusals_store_nothing() {
    let store = Meddler::new(EmbeddedStore::in_memory());
    let world = strict(store.clone());
    // Source 9 has spent its attempt, and Bob his session.
    world.creates("bob").await.unwrap();
    let (commits, totals) = (store.commits(), store.totals().await.unwrap());
    let call = world.create("bob").from(9);
    let unserved = Event::Create { source_language: language("de"), quality: Default::default() };
    let wrong = call.clone().garbled(parameters());
    assert_eq!(code(&world, &wrong).await, "INVALID_PARAMETERS", "this spends the attempt");

    let unknown = call.clone().garbled(Refusal::InvalidAction);
    assert_eq!(code(&world, &unknown).await, "INVALID_ACTION", "before the limit on attempts");
    let refusal = world.happens(&wrong).await.unwrap_err();
    assert!(limited(Operation::Connect)(&refusal), "before the parameters: {refusal:?}");
    let forged = Some(ambo_core::Token("forged".into()));
    let wrong = call.clone().from(10).garbled(parameters()).showing(forged.clone());
    assert_eq!(code(&world, &wrong).await, "INVALID_PARAMETERS", "before the token");
    let spent = Call { intent: Ok(unserved.clone()), ..call };
    let refusal = world.happens(&spent.clone().from(11).showing(forged)).await.unwrap_err();
    let expected = Refusal::Unauthorized(Unauthorized::InvalidToken);
    assert_eq!(refusal, expected, "before the limit of the action");
    let refusal = world.happens(&spent.from(12)).await.unwrap_err();
    assert!(limited(Operation::CreateSession)(&refusal), "before the language: {refusal:?}");
    let german = Call { intent: Ok(unserved), ..world.create("ann").from(13) };
    assert_eq!(code(&world, &german).await, "INVALID_LANGUAGE");

    assert_eq!(store.commits(), commits, "a refused request commits nothing");
    assert_eq!(store.totals().await.unwrap(), totals);
}

#[tokio::test]
async fn joining_is_refused_in_order_and_refusals_store_nothing() {
    let store = Meddler::new(EmbeddedStore::in_memory());
    let world = strict(store.clone());
    let (session, _) = world.creates("ann").await.unwrap();
    world.happens(&world.join(&session, "es").from(2)).await.unwrap();
    let commits = store.commits();
    let cases = [
        (world.join(&absent(), "de"), "SESSION_NOT_FOUND", "before the language"),
        (world.join(&session, "de"), "UNSUPPORTED_LANGUAGE", "before the capacity"),
        (world.join(&session, "es"), "SESSION_FULL", "last of all"),
        (world.go_on(&absent(), None), "SESSION_NOT_FOUND", "as a join"),
        (world.go_on(&session, None), "SESSION_FULL", "as a join"),
    ];
    for (at, (call, expected, why)) in cases.into_iter().enumerate() {
        assert_eq!(code(&world, &call.from(20 + at as u32)).await, expected, "{why}");
    }
    world.clock.advance(Millis::from_mins(120));
    let late = world.join(&session, "de").from(30);
    assert_eq!(code(&world, &late).await, "SESSION_NOT_FOUND", "expired, though still there");
    assert_eq!(store.commits(), commits);
    assert_eq!(store.totals().await.unwrap(), Totals { sessions: 1, listeners: 1 });
}

#[tokio::test]
async fn a_speakers_refresh_is_refused_in_order() {
    let world = strict(EmbeddedStore::in_memory());
    let (session, _) = world.creates("ann").await.unwrap();
    let nobody = world.take_up(&absent(), "bob").showing(None).from(20);
    assert_eq!(code(&world, &nobody).await, "UNAUTHORIZED");
    let gone = world.take_up(&absent(), "bob").from(21);
    assert_eq!(code(&world, &gone).await, "SESSION_NOT_FOUND", "before the owner");
    let foreign = world.take_up(&session, "bob").from(22);
    assert_eq!(code(&world, &foreign).await, "FORBIDDEN");
    assert_eq!(code(&world, &world.take_up(&session, "ann").from(23)).await, "OK");
}

#[tokio::test]
async fn tokens_are_told_apart_and_a_listeners_is_not_looked_at() {
    let world = World::new(EmbeddedStore::in_memory());
    let (session, _) = world.creates("ann").await.unwrap();
    let old = world.issuer.issue("ann", world.clock.now());
    let cases = [
        (None, Unauthorized::AuthenticationRequired),
        (Some(old), Unauthorized::TokenExpired),
        (Some(ambo_core::Token("x".into())), Unauthorized::InvalidToken),
    ];
    for (token, why) in cases {
        let refusal = world.happens(&world.create("ann").showing(token)).await.unwrap_err();
        assert_eq!(refusal, Refusal::Unauthorized(why));
    }
    world.issuer.goes_down();
    let refusal = world.happens(&world.create("ann")).await.unwrap_err();
    assert_eq!(refusal, Refusal::ServiceUnavailable { service: "identity", retry_after: 7 });
    let forged = Some(ambo_core::Token("x".into()));
    world.happens(&world.join(&session, "es").showing(forged)).await.unwrap();
}

#[tokio::test]
async fn sessions_are_limited_by_user_whatever_the_address() {
    let world = World::new(EmbeddedStore::in_memory());
    for number in 0..50 {
        world.happens(&world.create("ann").from(number)).await.unwrap();
    }
    let refusal = world.happens(&world.create("ann").from(99)).await.unwrap_err();
    let operation = Operation::CreateSession;
    assert_eq!(refusal, Refusal::RateLimitExceeded { operation, retry_after: 72 });
    world.creates("bob").await.unwrap();
    world.clock.advance(Millis::from_secs(72));
    world.creates("ann").await.unwrap();
}

#[tokio::test]
async fn guesses_are_limited_by_source_however_they_are_made() {
    let limits = Limits { refused_joins: Rate::new(6, MINUTE), ..Limits::default() };
    let world = World::with_limits(EmbeddedStore::in_memory(), limits);
    let (session, speaker) = world.creates("ann").await.unwrap();
    let malformed = || Refusal::InvalidSessionId { given: "x".into() };
    for _ in 0..2 {
        let guess = world.join(&absent(), "es");
        assert_eq!(code(&world, &guess).await, "SESSION_NOT_FOUND");
        let guess = world.go_on(&absent(), None);
        assert_eq!(code(&world, &guess).await, "SESSION_NOT_FOUND");
        let guess = world.join(&session, "es").garbled(malformed());
        assert_eq!(code(&world, &guess).await, "INVALID_SESSION_ID");
    }
    // Right or wrong, this address waits; and learns nothing.
    for call in [
        world.join(&absent(), "es"),
        world.join(&session, "es"),
        world.go_on(&session, None),
        world.go_on(&absent(), None),
        world.join(&session, "es").garbled(malformed()),
    ] {
        let refusal = world.happens(&call).await.unwrap_err();
        assert!(limited(Operation::RefusedJoin)(&refusal), "{refusal:?}");
    }
    // Nobody else does, and neither does the speaker behind the same address.
    world.happens(&world.join(&session, "es").from(2)).await.unwrap();
    assert_eq!(code(&world, &world.take_up(&session, "ann")).await, "OK");
    assert_eq!(world.commands(&speaker, Command::Pause).await.unwrap_err().status(), 404);
    world.clock.advance(Millis::from_secs(10));
    assert_eq!(code(&world, &world.join(&session, "es")).await, "OK");
}

#[tokio::test]
async fn a_listener_with_its_token_is_not_barred_by_its_neighbours() {
    let limits = Limits { refused_joins: Rate::new(1, MINUTE), ..Limits::default() };
    let world = World::with_limits(EmbeddedStore::in_memory(), limits);
    let (session, _) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    let deadline = world.clock.now() + MINUTE;
    world.on(&listener, Via::Server, Event::Drain { deadline }).await.unwrap();
    world.happens(&world.join(&absent(), "es")).await.unwrap_err();
    let token = world.token_heard(&listener);
    assert!(token.is_some());
    world.happens(&world.go_on(&session, token)).await.unwrap();
}

#[tokio::test]
async fn joins_and_attempts_are_limited_by_source() {
    let limits =
        Limits { joins: Rate::new(3, MINUTE), connects: Rate::new(5, MINUTE), ..Limits::default() };
    let world = World::with_limits(EmbeddedStore::in_memory(), limits);
    let (session, _) = world.creates("ann").await.unwrap();
    for _ in 0..3 {
        world.joins(&session).await.unwrap();
    }
    let refusal = world.joins(&session).await.unwrap_err();
    assert!(limited(Operation::JoinSession)(&refusal), "{refusal:?}");
    let refusal = world.joins(&session).await.unwrap_err();
    assert!(limited(Operation::Connect)(&refusal), "{refusal:?}");
    world.happens(&world.join(&session, "es").from(2)).await.unwrap();
}

#[tokio::test]
async fn a_refresh_that_turns_into_a_join_pays_as_one() {
    let limits = Limits { joins: Rate::new(2, MINUTE), ..Limits::default() };
    let store = Meddler::new(EmbeddedStore::in_memory());
    let world = World::with_limits(store.clone(), limits);
    let (session, _) = world.creates("ann").await.unwrap();
    let told = world.joins(&session).await.unwrap();
    world.joins(&session).await.unwrap();
    let deadline = world.clock.now() + MINUTE;
    world.on(&told, Via::Server, Event::Drain { deadline }).await.unwrap();
    // It sees one whose place it may take, but that one is gone when it does.
    let (connection, of) = (told, session.clone());
    store.will([Meddle::First(Change::Drop { connection, session: of })]);
    let refusal = world.happens(&world.go_on(&session, None)).await.unwrap_err();
    assert!(limited(Operation::JoinSession)(&refusal), "{refusal:?}");
}

#[tokio::test]
async fn heartbeats_and_commands_are_limited_by_connection() {
    let world = World::new(EmbeddedStore::in_memory());
    let (session, speaker) = world.creates("ann").await.unwrap();
    let (one, other) = (world.joins(&session).await.unwrap(), world.joins(&session).await.unwrap());
    for _ in 0..4 {
        world.says(&one, Event::Heartbeat).await.unwrap();
        world.clock.advance(Millis(1));
    }
    let refusal = world.says(&one, Event::Heartbeat).await.unwrap_err();
    assert!(limited(Operation::Heartbeat)(&refusal), "{refusal:?}");
    world.says(&other, Event::Heartbeat).await.unwrap();
    world.clock.advance(Millis::from_secs(30));
    world.says(&one, Event::Heartbeat).await.unwrap();

    for _ in 0..10 {
        world.says(&speaker, Event::Status).await.unwrap();
    }
    let refusal = world.says(&speaker, Event::Status).await.unwrap_err();
    assert!(limited(Operation::Control)(&refusal), "{refusal:?}");
    let change = Event::ChangeLanguage { session: None, target: Language::parse("de").unwrap() };
    world.says(&one, change).await.unwrap();
}
