//! Voices, gates, ends: and nothing is left of what is over.

use proptest::prelude::*;

use super::*;

#[test]
fn a_new_voice_revokes_the_former() {
    let world = World::new(|_| {});
    let old = world.hub.voice(&session()).unwrap();
    let new = world.hub.voice(&session()).unwrap();
    assert!(old.is_revoked() && !new.is_revoked());
    assert_eq!(world.hub.publish(&old, audio(1)), Published::Revoked);
    assert_eq!(world.hub.publish(&new, audio(1)), Published::Sent(1));
    assert_eq!(world.count(|counters| &counters.dropped_revoked), 1);
}

#[test]
fn a_shut_gate_refuses_and_counts() {
    let mut world = World::new(|_| {});
    let listener = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.set_gate(&session(), Gate::Shut).unwrap();
    assert_eq!(world.hub.publish(&voice, audio(1)), Published::Muted);
    let configuration = frame(Kind::Configuration, 2);
    assert_eq!(world.hub.publish(&voice, configuration), Published::Sent(2));
    world.hub.set_gate(&session(), Gate::Open).unwrap();
    assert_eq!(world.hub.publish(&voice, audio(3)), Published::Sent(3));
    world.settle();
    assert_eq!(listener.pipe.written(), "g0;k2;a3;");
    assert_eq!(world.count(|counters| &counters.dropped_muted), 1);
}

#[test]
fn opening_again_changes_nothing() {
    let world = World::new(|_| {});
    let listener = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.open(&session(), language("fr"), Gate::Shut);
    assert_eq!(world.hub.publish(&voice, audio(1)), Published::Sent(1));
    assert_eq!(voice.language(), language("en"));
    assert_eq!(world.hub.count(&session()), 1);
    drop(listener);
}

#[test]
fn a_move_keeps_the_seat_and_the_counts_follow() {
    let mut world = World::new(|_| {});
    let (mover, stayer) = (world.seated(ALL), world.seated(ALL));
    world.hub.move_seat(&mover.outlet, language("de"), word("moved;")).unwrap();
    assert_eq!(world.hub.languages(&session()), [(language("es"), 1), (language("de"), 1)]);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    assert_eq!(mover.pipe.written(), "g0;moved;a1;");
    world.hub.unseat(&stayer.outlet);
    world.hub.unseat(&stayer.outlet);
    assert_eq!(world.hub.languages(&session()), [(language("de"), 1)]);
    let moved = world.hub.move_seat(&stayer.outlet, language("de"), word("moved;"));
    assert_eq!(moved, Err(SeatError::NoSeat));
}

#[test]
fn a_dead_outlet_gives_its_seat_up_by_itself() {
    let mut world = World::new(|_| {});
    let (gone, left) = (world.seated(ALL), world.seated(ALL));
    gone.outlet.abort();
    assert_eq!(gone.outlet.why(), Some(Why::Aborted));
    assert_eq!(world.hub.count(&session()), 1);
    assert_eq!(world.seat(&gone, Framing::Json, Resume::Live), Err(SeatError::Gone));
    // A peer that is gone shows itself when it is written to.
    left.pipe.shutdown(std::net::Shutdown::Both);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    assert_eq!(left.outlet.why(), Some(Why::Failed));
    assert_eq!(world.hub.count(&session()), 0);
    world.settle();
    assert_eq!((Arc::strong_count(&gone.outlet), Arc::strong_count(&left.outlet)), (1, 1));
}

#[test]
fn a_close_waits_for_what_was_before_it_and_then_for_the_peer() {
    let mut world = World::new(|_| {});
    let listener = world.connect(2);
    listener.outlet.send(word("one;"));
    listener.outlet.close(word("close;"));
    listener.outlet.close(word("again;"));
    listener.outlet.send(word("late;"));
    assert_eq!(listener.outlet.why(), Some(Why::Closed));
    assert!(!listener.pipe.is_finished());
    listener.pipe.make_room(ALL);
    world.settle();
    assert_eq!(listener.pipe.written(), "one;close;");
    assert!(listener.pipe.is_finished());
    world.pass(Duration::from_secs(1));
    assert!(!listener.pipe.is_shut(), "the peer may still answer");
    world.pass(Duration::from_secs(1));
    assert!(listener.pipe.is_shut());
    assert_eq!(Arc::strong_count(&listener.outlet), 1);
}

#[tokio::test]
async fn whoever_waits_for_the_end_is_told_why() {
    let world = World::new(|_| {});
    let listener = world.connect(ALL);
    let outlet = Arc::clone(&listener.outlet);
    let waiting = tokio::spawn(async move { outlet.closed().await });
    tokio::task::yield_now().await;
    listener.outlet.abort();
    assert_eq!(waiting.await.unwrap(), Why::Aborted);
    assert_eq!(listener.outlet.closed().await, Why::Aborted);
}

#[test]
fn an_ended_session_is_gone_for_everyone() {
    let mut world = World::new(|_| {});
    let listener = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    assert_eq!(world.hub.end(&session(), word("ended;"), word("close;")), Ok(1));
    assert_eq!(world.hub.end(&session(), word("ended;"), word("close;")), Err(NotOpen));
    assert_eq!(world.hub.publish(&voice, audio(2)), Published::Revoked);
    assert_eq!(world.hub.voice(&session()).err(), Some(NotOpen));
    assert_eq!(world.hub.tell(&session(), word("more;")), Err(NotOpen));
    let late = world.connect(ALL);
    assert_eq!(world.seat(&late, Framing::Json, Resume::Live), Err(SeatError::NotOpen));
    world.settle();
    assert_eq!(listener.pipe.written(), "g0;a1;ended;close;");
    assert_eq!(listener.pipe.writes(), 2, "all of it in one write");
    assert_eq!(listener.outlet.why(), Some(Why::Ended));
    assert_eq!(late.pipe.written(), "");
    assert_eq!(world.hub.sessions(), 0);
}

#[test]
fn a_session_of_the_same_id_is_another_session() {
    let mut world = World::new(|_| {});
    let old = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.end(&session(), word("ended;"), word("close;")).unwrap();
    world.hub.open(&session(), language("en"), Gate::Open);
    let new = world.seated(ALL);
    assert_eq!(world.hub.publish(&voice, audio(1)), Published::Revoked);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    assert_eq!(old.pipe.written(), "g0;ended;close;");
    assert_eq!(new.pipe.written(), "g0;a1;");
}

#[test]
fn of_a_seat_in_another_session_the_former_is_left() {
    let mut world = World::new(|_| {});
    let other = SessionId::parse("other-session-100").unwrap();
    world.hub.open(&other, language("en"), Gate::Open);
    let movers: Vec<_> = (0..6).map(|_| world.seated(ALL)).collect();
    world.settle();
    for mover in &movers[1..4] {
        let seat = (language("es"), Framing::Binary);
        world.hub.seat(&mover.outlet, &other, seat, Resume::Live, |_| word("other;")).unwrap();
    }
    assert_eq!((world.hub.count(&session()), world.hub.count(&other)), (3, 3));
    let (here, there) = (world.hub.voice(&session()).unwrap(), world.hub.voice(&other).unwrap());
    world.hub.publish(&here, audio(1));
    world.hub.publish(&there, audio(2));
    world.settle();
    for (n, mover) in movers.iter().enumerate() {
        let expected = if (1..4).contains(&n) { "g0;other;a2;" } else { "g0;a1;" };
        assert_eq!(mover.pipe.written(), expected, "{n}");
    }
}

/// Everyone seated when the end comes gets exactly one end and one close; who left before may
/// get one at most; and afterwards nothing refers to any of them.
fn end_in_order(leavers: &[usize], turns: usize, room: usize) {
    const SEATS: usize = 500;
    let mut world = World::new(|_| {});
    let listeners: Vec<_> = (0..SEATS).map(|_| world.seated(room)).collect();
    let (before, after) = leavers.split_at(leavers.len() / 2);
    before.iter().for_each(|n| world.hub.unseat(&listeners[*n].outlet));
    (0..turns).for_each(|turn| world.turn(turn % 2));
    world.hub.end(&session(), word("ended;"), word("close;")).unwrap();
    (0..turns).for_each(|turn| world.turn(turn % 2));
    after.iter().for_each(|n| listeners[*n].outlet.abort());
    world.settle();
    listeners.iter().for_each(|listener| listener.pipe.make_room(1 << 40));
    world.settle();
    for (n, listener) in listeners.iter().enumerate() {
        let written = listener.pipe.written();
        if before.contains(&n) {
            assert_eq!(written, "g0;");
        } else if !after.contains(&n) {
            assert_eq!(written, "g0;ended;close;");
        } else {
            assert!("g0;ended;close;".starts_with(&written));
        }
    }
    world.pass(Duration::from_secs(3));
    for listener in listeners {
        assert_eq!(Arc::strong_count(&listener.outlet), 1);
    }
    assert!(world.workers.iter().all(Worker::is_idle));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]
    #[test]
    fn five_hundred_seats_end_once_in_every_order(
        leavers in Just((0..500usize).collect::<Vec<_>>()).prop_shuffle(),
        count in 0usize..500,
        turns in 0usize..10,
        room in prop_oneof![Just(ALL), Just(0), 1usize..12],
    ) {
        end_in_order(&leavers[..count], turns, room);
    }
}

#[test]
fn of_sessions_that_are_over_and_of_a_hub_that_is_gone_nothing_is_left() {
    let mut world = World::new(|_| {});
    let listeners: Vec<_> = (0..20).map(|_| world.seated(3)).collect();
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    listeners.iter().for_each(|listener| listener.outlet.abort());
    world.pass(Duration::from_secs(1));
    assert!(world.workers.iter().all(Worker::is_idle), "all have left");
    let pending = world.seated(0);
    drop(world);
    for listener in listeners.iter().chain([&pending]) {
        assert!(Arc::strong_count(&listener.outlet) <= 2, "its own waker at most");
    }
}

#[test]
fn what_was_spoken_elsewhere_is_heard_once_whatever_the_gate() {
    let mut world = World::new(|_| {});
    let listener = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.set_gate(&session(), Gate::Shut).unwrap();
    for sequence in [1, 2] {
        assert_eq!(world.hub.relay(&session(), audio(sequence)), Ok(Published::Sent(sequence)));
    }
    world.hub.set_gate(&session(), Gate::Open).unwrap();
    assert_eq!(world.hub.publish(&voice, audio(2)), Published::Duplicate);
    assert_eq!(world.hub.publish(&voice, audio(3)), Published::Sent(3));
    assert_eq!(world.hub.relay(&session(), audio(3)), Ok(Published::Duplicate));
    world.settle();
    assert_eq!(listener.pipe.written(), "g0;a1;a2;a3;");
}

#[test]
fn only_an_empty_session_is_closed_without_a_word() {
    let mut world = World::new(|_| {});
    let listener = world.seated(ALL);
    world.hub.close(&session());
    assert_eq!(world.hub.sessions(), 1);
    world.hub.unseat(&listener.outlet);
    world.hub.close(&session());
    world.settle();
    assert_eq!(world.hub.sessions(), 0);
    assert_eq!(world.hub.relay(&session(), audio(1)), Err(NotOpen));
    assert_eq!(listener.pipe.written(), "g0;");
}
