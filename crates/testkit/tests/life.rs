//! The life of sessions and members through the whole walk.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use ambo_app::ports::{StoreFault, Totals};
use ambo_core::event::{Command, Departure, Via};
use ambo_core::notice::{EndReason, Turn};
use ambo_core::{Change, Connection, EndGuard, Event, Limits, Millis, Refusal, Reply, Role};
use ambo_core::{ConnectionId, Moment, SessionId, Speaker, Tidings, UserId};
use ambo_store_embedded::EmbeddedStore;
use ambo_testkit::world::{Dice, Meddle, Meddler, World, language, source, without_rates};

fn world() -> World {
    World::with_limits(EmbeddedStore::in_memory(), without_rates())
}

/// A world, and the meddler in its store.
fn meddled() -> (World, Meddler) {
    let store = Meddler::new(EmbeddedStore::in_memory());
    (World::with_limits(store.clone(), without_rates()), store)
}

fn turns(world: &World, connection: &ConnectionId) -> Vec<Turn> {
    let turn = |tidings: Tidings| match tidings {
        Tidings::Broadcast { turn, .. } => Some(turn),
        Tidings::Ended { .. }
        | Tidings::RefreshRequired(_)
        | Tidings::Warning { .. }
        | Tidings::Superseded => None,
    };
    world.hall.heard(connection).into_iter().filter_map(turn).collect()
}

fn ends(world: &World, connection: &ConnectionId) -> Vec<EndReason> {
    let reason = |tidings: Tidings| match tidings {
        Tidings::Ended { reason, .. } => Some(reason),
        Tidings::Broadcast { .. }
        | Tidings::RefreshRequired(_)
        | Tidings::Warning { .. }
        | Tidings::Superseded => None,
    };
    world.hall.heard(connection).into_iter().filter_map(reason).collect()
}

/// The next change of a session that was made just now.
fn first(world: &World) -> Moment {
    let now = world.clock.now();
    Moment { after: now, at: now + Millis(1) }
}

fn lost(world: &World, session: &SessionId, connection: &ConnectionId) -> Change {
    let (until, moment) = (world.clock.now() + Millis::from_secs(30), first(world));
    Change::Lose { session: session.clone(), connection: connection.clone(), until, moment }
}

async fn listeners(world: &World) -> u64 {
    world.store().totals().await.unwrap().listeners
}

#[tokio::test]
async fn an_id_that_is_taken_is_tried_again_ten_times() {
    let (world, store) = meddled();
    // Entropy that repeats gives each event the same ten ids.
    world.load_dice(Dice::stuck(1));
    for nth in 1..=10 {
        let before = store.commits();
        world.creates("ann").await.unwrap();
        assert_eq!(store.commits() - before, nth, "tries");
    }
    assert_eq!(world.creates("ann").await.unwrap_err(), Refusal::Internal);
    assert_eq!(world.store().totals().await.unwrap().sessions, 10);
    world.load_dice(Dice::new(2));
    world.creates("ann").await.unwrap();
}

#[tokio::test]
async fn of_two_commands_at_once_both_take_effect() {
    let (world, store) = meddled();
    let (session, speaker) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    store.will([Meddle::First(Change::Steer {
        session: session.clone(),
        connection: speaker.clone(),
        was: (false, false),
        becomes: (false, true),
        moment: first(&world),
    })]);
    let answer = world.commands(&speaker, Command::Pause).await.unwrap();
    let Some(Reply::State { state, .. }) = answer else { panic!("{answer:?}") };
    assert!(state.is_paused && state.is_muted);
    assert_eq!(turns(&world, &listener), [Turn::Paused]);
}

#[tokio::test]
async fn a_join_is_decided_again_on_what_others_did_meanwhile() {
    let limits = Limits { max_listeners: 1, ..without_rates() };
    let store = Meddler::new(EmbeddedStore::in_memory());
    let world = World::with_limits(store.clone(), limits);
    let (session, speaker) = world.creates("ann").await.unwrap();
    let role = Role::Listener { target: language("es") };
    let now = world.clock.now();
    let quicker = Connection::new(world.connection(), session.clone(), role, source(2), now);
    store.will([Meddle::First(Change::Admit { connection: quicker, max: 1, now })]);
    assert_eq!(world.joins(&session).await.unwrap_err().code(), "SESSION_FULL");
    let guard = EndGuard::SpokenBy(speaker);
    store.will([Meddle::First(Change::End { session: session.clone(), guard })]);
    let (other, _) = world.creates("ann").await.unwrap();
    assert_eq!(world.joins(&session).await.unwrap_err().code(), "SESSION_NOT_FOUND");
    world.joins(&other).await.unwrap();
}

#[tokio::test]
async fn an_event_that_goes_stale_for_ever_is_given_up() {
    let (world, store) = meddled();
    let (session, speaker) = world.creates("ann").await.unwrap();
    store.will((0..20_u64).map(|turn| {
        let (even, odd) = ((false, false), (false, true));
        let (was, becomes) = if turn % 2 == 0 { (even, odd) } else { (odd, even) };
        let after = world.clock.now() + Millis(turn);
        let moment = Moment { after, at: after + Millis(1) };
        let (session, connection) = (session.clone(), speaker.clone());
        Meddle::First(Change::Steer { session, connection, was, becomes, moment })
    }));
    let before = store.commits();
    let refused = world.commands(&speaker, Command::Pause).await;
    assert_eq!(refused.unwrap_err(), Refusal::Internal);
    assert_eq!(store.commits() - before, 10);
}

#[tokio::test]
async fn faults_of_the_store_are_told_as_what_they_are() {
    let (world, store) = meddled();
    let cases = [
        (StoreFault::transient("x"), "SERVICE_UNAVAILABLE", Some(1)),
        (StoreFault::unavailable(Millis::from_secs(5), "x"), "SERVICE_UNAVAILABLE", Some(5)),
        (StoreFault::broken("x"), "INTERNAL_ERROR", None),
    ];
    for (fault, code, retry_after) in cases {
        store.will([Meddle::FaultBefore(fault)]);
        let refusal = world.creates("ann").await.unwrap_err();
        assert_eq!((refusal.code(), refusal.retry_after()), (code, retry_after));
    }
    assert_eq!(world.store().totals().await.unwrap(), Totals::default());
}

#[tokio::test]
async fn a_join_whose_fate_is_unknown_is_undone_by_its_departure() {
    let (world, store) = meddled();
    let (session, _) = world.creates("ann").await.unwrap();
    store.will([Meddle::FaultAfter(StoreFault::transient("the answer was lost"))]);
    let call = world.join(&session, "es");
    let refusal = world.happens(&call).await.unwrap_err();
    assert_eq!(refusal.code(), "SERVICE_UNAVAILABLE");
    assert_eq!(listeners(&world).await, 1, "though nobody was let in");
    world.leaves(&call.connection, Departure::Lost).await;
    assert_eq!(listeners(&world).await, 0);
}

#[tokio::test]
async fn an_end_is_told_to_everyone_once() {
    let world = world();
    let (session, speaker) = world.creates("ann").await.unwrap();
    let mut members = vec![speaker.clone()];
    for _ in 0..20 {
        members.push(world.joins(&session).await.unwrap());
    }
    let gone = members.pop().unwrap();
    world.leaves(&gone, Departure::Lost).await;
    world.says(&speaker, Event::End { reason: None }).await.unwrap();
    let again = world.says(&speaker, Event::End { reason: None }).await;
    assert_eq!(again.unwrap_err(), Refusal::ConnectionNotFound);
    for departure in [Departure::Clean, Departure::Lost] {
        for member in &members {
            world.leaves(member, departure).await;
        }
    }
    let close = Event::Close { session: session.clone() };
    let closed = world.on(&speaker, Via::Server, close).await;
    assert_eq!(closed.unwrap_err().code(), "SESSION_NOT_FOUND");
    world.clock.advance(Millis::from_mins(600));
    assert_eq!(world.sweep().await, 0);
    for member in &members {
        assert_eq!(ends(&world, member), [EndReason::SpeakerEnded]);
    }
    assert_eq!(ends(&world, &gone), []);
    assert_eq!(world.joins(&session).await.unwrap_err().code(), "SESSION_NOT_FOUND");
    assert_eq!(world.store().totals().await.unwrap(), Totals::default());
}

#[tokio::test]
async fn a_clean_close_ends_and_a_loss_waits() {
    let world = world();
    let (session, speaker) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    world.leaves(&speaker, Departure::Clean).await;
    assert_eq!(ends(&world, &listener), [EndReason::SpeakerEnded]);

    let (session, speaker) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    world.leaves(&speaker, Departure::Lost).await;
    world.leaves(&speaker, Departure::Lost).await;
    assert_eq!(turns(&world, &listener), [Turn::SpeakerLost], "once");
    let newcomer = world.join(&session, "de");
    let answer = world.happens(&newcomer).await.unwrap();
    assert!(matches!(answer, Some(Reply::Joined { state, .. }) if state.is_paused), "{answer:?}");
    world.clock.advance(Millis::from_secs(29));
    assert_eq!(world.sweep().await, 0);
    let back = world.take_up(&session, "ann");
    world.happens(&back).await.unwrap();
    assert_eq!(turns(&world, &listener), [Turn::SpeakerLost, Turn::Resumed]);
    world.clock.advance(Millis::from_secs(60));
    assert_eq!(world.sweep().await, 0);

    world.leaves(&back.connection, Departure::Lost).await;
    world.clock.advance(Millis::from_secs(30));
    assert_eq!(world.sweep().await, 1);
    for connection in [&listener, &newcomer.connection] {
        assert_eq!(ends(&world, connection), [EndReason::SpeakerLost]);
    }
    let late = world.happens(&world.take_up(&session, "ann")).await;
    assert_eq!(late.unwrap_err().code(), "SESSION_NOT_FOUND");
}

#[tokio::test]
async fn without_grace_a_loss_ends_at_once() {
    let limits = Limits { speaker_grace: Millis::ZERO, ..without_rates() };
    let world = World::with_limits(EmbeddedStore::in_memory(), limits);
    let (session, speaker) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    world.leaves(&speaker, Departure::Lost).await;
    assert_eq!(ends(&world, &listener), [EndReason::SpeakerLost]);
}

#[tokio::test]
async fn a_sweep_ends_all_that_time_has_ended_however_much() {
    let world = world();
    let mut listening = Vec::new();
    for number in 0..250 {
        let (session, speaker) = world.creates("ann").await.unwrap();
        listening.push((number, world.joins(&session).await.unwrap()));
        if number % 2 == 0 {
            world.leaves(&speaker, Departure::Lost).await;
        }
    }
    world.clock.advance(Millis::from_secs(30));
    assert_eq!(world.sweep().await, 125);
    world.clock.advance(Millis::from_mins(120));
    assert_eq!(world.sweep().await, 125);
    assert_eq!(world.sweep().await, 0);
    for (number, listener) in listening {
        let expected = if number % 2 == 0 { EndReason::SpeakerLost } else { EndReason::Expired };
        assert_eq!(ends(&world, &listener), [expected]);
    }
}

#[tokio::test]
async fn a_superseded_speaker_changes_nothing() {
    let world = world();
    let (session, old) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    let new = world.take_up(&session, "ann");
    let answer = world.happens(&new).await.unwrap();
    assert!(matches!(answer, Some(Reply::SpeakerRefreshed { .. })), "{answer:?}");
    assert_eq!(world.hall.heard(&old), [Tidings::Superseded]);
    for event in [
        Event::Heartbeat,
        Event::Control { command: Command::Mute, message: None },
        Event::Status,
        Event::End { reason: None },
    ] {
        assert_eq!(world.says(&old, event).await, Err(Refusal::ConnectionNotFound));
    }
    for departure in [Departure::Clean, Departure::Lost] {
        world.leaves(&old, departure).await;
    }
    assert_eq!((turns(&world, &listener), ends(&world, &listener)), (vec![], vec![]));
    world.commands(&new.connection, Command::Pause).await.unwrap();
    assert_eq!(turns(&world, &listener), [Turn::Paused]);
}

#[tokio::test]
async fn a_loss_that_races_a_refresh_is_not_announced() {
    let (world, store) = meddled();
    let (session, old) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    let now = world.clock.now();
    let id = world.connection();
    let connection = Connection::new(id, session.clone(), Role::Speaker, source(1), now);
    store.will([Meddle::First(Change::Attach {
        connection,
        owner: UserId::parse("ann").unwrap(),
        was: Speaker::Present(old.clone()),
        expires_at: now + Millis::from_mins(120),
        now,
        moment: first(&world),
    })]);
    world.leaves(&old, Departure::Lost).await;
    assert_eq!(turns(&world, &listener), [], "the speaker is there");
    // The other way round, the refresh finds the speaker lost and says that it is back.
    let (session, old) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    store.will([Meddle::First(lost(&world, &session, &old))]);
    world.happens(&world.take_up(&session, "ann")).await.unwrap();
    assert_eq!(turns(&world, &listener), [Turn::Resumed]);
}

#[tokio::test]
async fn two_speakers_connections_at_once_leave_one() {
    let (world, store) = meddled();
    let (session, old) = world.creates("ann").await.unwrap();
    let now = world.clock.now();
    let rival = Connection::new(world.connection(), session.clone(), Role::Speaker, source(1), now);
    store.will([Meddle::First(Change::Attach {
        connection: rival.clone(),
        owner: UserId::parse("ann").unwrap(),
        was: Speaker::Present(old),
        expires_at: now + Millis::from_mins(120),
        now,
        moment: first(&world),
    })]);
    let mine = world.take_up(&session, "ann");
    world.happens(&mine).await.unwrap();
    assert_eq!(world.hall.heard(&rival.id), [Tidings::Superseded], "the quicker one is replaced");
    world.commands(&mine.connection, Command::Pause).await.unwrap();
    let refused = world.commands(&rival.id, Command::Resume).await;
    assert_eq!(refused.unwrap_err(), Refusal::ConnectionNotFound);
}

#[tokio::test]
async fn a_listener_goes_on_on_a_new_connection_without_a_place() {
    let limits = Limits { max_listeners: 2, ..without_rates() };
    let world = World::with_limits(EmbeddedStore::in_memory(), limits);
    let (session, _) = world.creates("ann").await.unwrap();
    let (old, _) = (world.joins(&session).await.unwrap(), world.joins(&session).await.unwrap());
    world.clock.advance(Millis::from_mins(100));
    for _ in 0..3 {
        world.on(&old, Via::Server, Event::Age).await.unwrap();
        world.says(&old, Event::Heartbeat).await.unwrap();
    }
    assert_eq!(world.hall.heard(&old).len(), 1, "told once");
    let token = world.token_heard(&old).unwrap();
    let new = world.go_on(&session, Some(token.clone()));
    let answer = world.happens(&new).await.unwrap();
    assert!(matches!(answer, Some(Reply::ListenerRefreshed { .. })), "{answer:?}");
    assert_eq!(listeners(&world).await, 2);
    assert_eq!(world.hall.heard(&old).last(), Some(&Tidings::Superseded));
    world.leaves(&old, Departure::Lost).await;
    assert_eq!(listeners(&world).await, 2, "the old connection's end changes nothing");
    // A token is good once.
    let again = world.happens(&world.go_on(&session, Some(token))).await;
    assert_eq!(again.unwrap_err().code(), "SESSION_FULL");
}

#[tokio::test]
async fn without_a_token_only_one_that_was_told_is_taken_as_the_one_moved() {
    let limits = Limits { max_listeners: 2, ..without_rates() };
    let world = World::with_limits(EmbeddedStore::in_memory(), limits);
    let (session, _) = world.creates("ann").await.unwrap();
    let told = world.joins(&session).await.unwrap();
    world.joins(&session).await.unwrap();
    let deadline = world.clock.now() + Millis::from_secs(30);
    let refused = world.happens(&world.go_on(&session, None)).await;
    assert_eq!(refused.unwrap_err().code(), "SESSION_FULL", "nobody was told");
    world.on(&told, Via::Server, Event::Drain { deadline }).await.unwrap();
    let elsewhere = world.happens(&world.go_on(&session, None).from(2)).await;
    assert_eq!(elsewhere.unwrap_err().code(), "SESSION_FULL", "another address");
    world.happens(&world.go_on(&session, None)).await.unwrap();
    assert_eq!(world.hall.heard(&told).last(), Some(&Tidings::Superseded));
    assert_eq!(listeners(&world).await, 2);
}

#[tokio::test]
async fn a_session_lives_as_long_as_its_speaker_beats() {
    let world = world();
    let (session, speaker) = world.creates("ann").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    for _ in 0..20 {
        world.clock.advance(Millis::from_mins(59));
        world.says(&listener, Event::Heartbeat).await.unwrap();
        assert_eq!(world.sweep().await, 0);
        world.clock.advance(Millis::from_mins(2));
        world.says(&speaker, Event::Heartbeat).await.unwrap();
    }
    world.clock.advance(Millis::from_mins(119));
    world.says(&listener, Event::Heartbeat).await.unwrap();
    assert_eq!(world.sweep().await, 0);
    world.clock.advance(Millis::from_mins(1));
    assert_eq!(world.sweep().await, 1, "a listener's beat extends nothing");
}

#[tokio::test]
async fn a_member_counts_once_and_stays_what_it_is() {
    let world = world();
    let (session, speaker) = world.creates("ann").await.unwrap();
    let (other, _) = world.creates("bob").await.unwrap();
    let listener = world.joins(&session).await.unwrap();
    for _ in 0..3 {
        world.happens(&world.join(&session, "de").on(&listener)).await.unwrap();
    }
    assert_eq!(listeners(&world).await, 1);
    let answer = world.says(&speaker, Event::Status).await.unwrap();
    let Some(Reply::Status(status)) = answer else { panic!("{answer:?}") };
    assert_eq!(status.languages, [(language("de"), 1)]);
    for call in [
        world.join(&other, "es").on(&listener),
        world.join(&session, "es").on(&speaker),
        world.go_on(&other, None).on(&listener),
        world.take_up(&session, "ann").on(&listener),
    ] {
        assert_eq!(world.happens(&call).await, Err(Refusal::Forbidden), "{call:?}");
    }
    assert_eq!(listeners(&world).await, 1);
}
