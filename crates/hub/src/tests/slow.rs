//! A listener that does not keep up loses its oldest audio, then its place; others lose nothing.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_oldest_audio_goes_and_never_a_control_message_or_half_a_frame() {
    let mut world = World::new(|settings| settings.queue.frames = 3);
    let (slow, quick) = (world.seated(4), world.seated(ALL));
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1)); // one byte of it is written
    world.hub.tell(&session(), word("c1;")).unwrap();
    for sequence in 2..=6 {
        world.hub.publish(&voice, audio(sequence));
        world.settle();
    }
    world.hub.tell(&session(), word("c2;")).unwrap();
    world.settle();
    assert_eq!(quick.pipe.written(), "g0;a1;c1;a2;a3;a4;a5;a6;c2;");
    assert_eq!(slow.pipe.written(), "g0;a");
    slow.pipe.make_room(ALL);
    world.settle();
    assert_eq!(slow.pipe.written(), "g0;a1;c1;a5;a6;c2;");
    assert_eq!(world.count(|counters| &counters.dropped_slow), 3);
    assert_eq!(world.count(|counters| &counters.slow_consumers), 0);
}

#[test]
fn bytes_are_bounded_too() {
    let mut world = World::new(|settings| settings.queue.bytes = 10);
    let slow = world.seated(3);
    let voice = world.hub.voice(&session()).unwrap();
    for sequence in 1..=9 {
        world.hub.publish(&voice, audio(sequence));
        world.settle();
    }
    slow.pipe.make_room(ALL);
    world.settle();
    assert_eq!(slow.pipe.written(), "g0;a7;a8;a9;");
}

#[test]
fn one_that_stays_behind_is_told_and_closed() {
    let mut world = World::new(|_| {});
    let slow = world.seated(4);
    let voice = world.hub.voice(&session()).unwrap();
    for sequence in 1..=10 {
        world.hub.publish(&voice, audio(sequence));
        world.settle();
        world.pass(SECOND);
    }
    assert_eq!(slow.outlet.why(), None, "ten seconds are allowed");
    world.pass(SECOND);
    assert_eq!(slow.outlet.why(), Some(Why::SlowConsumer));
    assert_eq!(world.count(|counters| &counters.slow_consumers), 1);
    assert_eq!(world.count(|counters| &counters.dropped_slow), 9);
    slow.pipe.make_room(ALL);
    world.settle();
    assert_eq!(slow.pipe.written(), "g0;a1;slow;");
    assert!(slow.pipe.is_finished());
    world.pass(2 * SECOND);
    assert!(slow.pipe.is_shut());
    assert_eq!(world.hub.count(&session()), 0);
}

#[test]
fn one_whose_socket_takes_nothing_more_is_shut_down_all_the_same() {
    let mut world = World::new(|_| {});
    let slow = world.seated(3);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    world.pass(11 * SECOND);
    assert_eq!(slow.outlet.why(), Some(Why::SlowConsumer));
    assert!(!slow.pipe.is_shut());
    world.pass(2 * SECOND);
    assert!(slow.pipe.is_shut());
    assert_eq!(world.hub.count(&session()), 0);
}

#[test]
fn one_that_always_loses_half_does_not_stay_for_ever() {
    let mut world = World::new(|settings| settings.queue.frames = 4);
    let slow = world.seated(4);
    let voice = world.hub.voice(&session()).unwrap();
    let mut sequence = 0;
    while slow.outlet.why().is_none() {
        sequence += 1;
        assert!(sequence < 100, "its oldest frame is never old, but what it lost is");
        world.hub.publish(&voice, audio(sequence));
        slow.pipe.make_room(2);
        world.pass(SECOND / 2);
    }
    assert_eq!(slow.outlet.why(), Some(Why::SlowConsumer));
}

#[test]
fn one_that_catches_up_in_time_starts_afresh() {
    let mut world = World::new(|settings| settings.queue.frames = 2);
    let slow = world.seated(3);
    let voice = world.hub.voice(&session()).unwrap();
    for round in 0..5 {
        for sequence in 1..=5 {
            world.hub.publish(&voice, audio(round * 5 + sequence));
            world.settle();
            world.pass(SECOND);
        }
        slow.pipe.make_room(ALL);
        world.settle();
        slow.pipe.fill_up();
    }
    assert_eq!(slow.outlet.why(), None);
}

#[test]
fn a_backlog_of_control_messages_is_the_end() {
    let mut world = World::new(|settings| settings.queue.control_bytes = 100);
    let (slow, quick) = (world.seated(3), world.seated(ALL));
    for _ in 0..10 {
        world.hub.tell(&session(), word("0123456789;")).unwrap();
        world.settle();
    }
    assert_eq!(slow.outlet.why(), Some(Why::Overrun));
    assert!(slow.pipe.is_shut());
    assert_eq!(quick.outlet.why(), None);
    assert_eq!(world.hub.count(&session()), 1);
}

#[test]
fn a_queue_gives_its_buffer_back() {
    let mut world = World::new(|_| {});
    let slow = world.seated(3);
    let voice = world.hub.voice(&session()).unwrap();
    for sequence in 1..=500 {
        world.hub.publish(&voice, audio(sequence));
    }
    world.settle();
    assert!(slow.outlet.room_for_waiting() >= 500);
    slow.pipe.make_room(ALL);
    world.settle();
    assert_eq!(slow.outlet.room_for_waiting(), 0);
}

#[test]
fn what_is_sent_is_cut_anywhere_and_comes_whole() {
    for room in 1..=5 {
        let mut world = World::new(|_| {});
        let listener = world.seated(0);
        let voice = world.hub.voice(&session()).unwrap();
        for sequence in 1..=100 {
            world.hub.publish(&voice, audio(sequence));
            listener.pipe.make_room(room);
            world.settle();
        }
        let frames: String = (1..=100).map(|sequence| format!("a{sequence};")).collect();
        for _ in 0..400 {
            listener.pipe.make_room(room);
            world.settle();
        }
        assert_eq!(listener.pipe.written(), format!("g0;{frames}"));
    }
}

/// Sizes that the memory of an idle listener is made of.
#[test]
fn an_idle_listener_is_small() {
    assert!(size_of::<Outlet>() <= 320, "{}", size_of::<Outlet>());
    assert!(size_of::<crate::group::Seat>() <= 16);
}
