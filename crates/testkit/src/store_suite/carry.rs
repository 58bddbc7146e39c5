//! A listener goes on on another connection.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Applied, Change, Connection, Role, Session};

use super::Stage;
use super::stage::{LIFE, de, done, es, seconds};

/// The next connection of a listener.
fn next(stage: &Stage, session: &Session, old: &Connection) -> Connection {
    Connection { joined_at: old.joined_at, source: old.source, ..stage.listener(session, es()) }
}

pub async fn a_moved_member_is_counted_once(stage: Stage) {
    let (session, _) = stage.opened().await;
    let old = stage.admitted(&session, 2).await.remove(0);
    let stage = stage.after(seconds(600));
    let role = Role::Listener { target: de() };
    let new = Connection { role, ..next(&stage, &session, &old) };
    let view = stage.done(&session.id, &stage.carry(&old, &new)).await;
    assert_eq!((view.listeners(), view.member(&new.id)), (2, Some(&new)));
    assert_eq!(view.languages, [(de(), 1), (es(), 1)]);
    assert_eq!(stage.own(&old.id).await, None);
    // The old connection's departure comes late and changes nothing.
    let drop = Change::Drop { connection: old.id.clone(), session: session.id.clone() };
    assert_eq!(stage.done(&session.id, &drop).await, view);
    // There is a place for it even in a full session.
    let newer = next(&stage, &session, &new);
    assert_eq!(stage.done(&session.id, &stage.carry(&new, &newer)).await.listeners(), 2);
    stage.stale(&session.id, &stage.admit(&stage.listener(&session, es()), 2)).await;
}

pub async fn moving_onto_a_member_makes_two_one(stage: Stage) {
    let (session, _) = stage.opened().await;
    let members = stage.admitted(&session, 3).await;
    let (old, present) = (&members[0], &members[1]);
    let to = Connection { joined_at: old.joined_at, ..present.clone() };
    let view = stage.done(&session.id, &stage.carry(old, &to)).await;
    assert_eq!((view.listeners(), view.members.len()), (2, 3));
    assert_eq!(view.member(&present.id), Some(&to));
    assert_eq!(view.member(&old.id), None);
}

pub async fn only_a_listener_of_the_session_is_moved(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let (there, there_speaker) = stage.opened().await;
    let (member, foreign) = (stage.admitted_one(&session).await, stage.admitted_one(&there).await);
    let (nobody, new) = (stage.listener(&session, es()), stage.listener(&session, es()));
    for from in [&nobody, &speaker, &foreign, &there_speaker] {
        stage.stale(&session.id, &stage.carry(from, &new)).await;
    }
    for taken in [&speaker, &foreign, &there_speaker] {
        let to = Connection { id: taken.id.clone(), ..new.clone() };
        stage.stale(&session.id, &stage.carry(&member, &to)).await;
    }
    stage.stale(&session.id, &stage.after(LIFE).carry(&member, &new)).await;
    let (absent, _) = stage.draft();
    let nowhere = stage.listener(&absent, es());
    stage.stale(&absent.id, &stage.carry(&member, &nowhere)).await;
    for id in [&new.id, &nowhere.id] {
        assert_eq!(stage.own(id).await, None);
    }
    assert_eq!(stage.own(&foreign.id).await, Some(foreign));
}

pub async fn a_repeated_move_is_stale_once_it_asks_for_more(stage: Stage) {
    let (session, _) = stage.opened().await;
    let members = stage.admitted(&session, 2).await;
    let (old, present) = (&members[0], &members[1]);
    let drop = Change::Drop { connection: old.id.clone(), session: session.id.clone() };
    stage.done(&session.id, &drop).await;
    // The one to be moved went first: what is left must not be taken as moved and retuned.
    let to = Connection { role: Role::Listener { target: de() }, ..present.clone() };
    stage.stale(&session.id, &stage.carry(old, &to)).await;
    assert_eq!(stage.view(&session.id).await.languages, [(es(), 1)]);
}

pub async fn of_two_moves_of_one_member_one_is_done(stage: Stage) {
    for _ in 0..20 {
        let (session, _) = stage.opened().await;
        let old = stage.admitted_one(&session).await;
        let rivals: Vec<_> = (0..4).map(|_| next(&stage, &session, &old)).collect();
        let outcomes = stage.race(rivals.iter().map(|rival| stage.carry(&old, rival))).await;
        assert_eq!(done(&outcomes), 1);
        let view = stage.view(&session.id).await;
        assert_eq!(view.listeners(), 1);
        let winner = outcomes.iter().position(|applied| *applied == Applied::Done).unwrap();
        assert!(view.member(&rivals[winner].id).is_some());
    }
}

pub async fn a_move_and_a_departure_leave_one_member_or_none(stage: Stage) {
    for _ in 0..50 {
        let (session, _) = stage.opened().await;
        let old = stage.admitted_one(&session).await;
        let new = next(&stage, &session, &old);
        let drop = Change::Drop { connection: old.id.clone(), session: session.id.clone() };
        let mut outcomes = stage.race([stage.carry(&old, &new), drop.clone(), drop]).await;
        let moved = outcomes.remove(0);
        assert_eq!(done(&outcomes), 2, "a departure is always done");
        let view = stage.view(&session.id).await;
        let expected = u32::from(moved == Applied::Done);
        assert_eq!(view.listeners(), expected, "{moved:?}");
        assert_eq!(view.member(&new.id).is_some(), moved == Applied::Done);
    }
    // And two sessions' worth of moves at once keep both counts.
    let (session, _) = stage.opened().await;
    let members = stage.admitted(&session, 40).await;
    let moves = members.iter().map(|old| stage.carry(old, &next(&stage, &session, old)));
    assert_eq!(done(&stage.race(moves).await), 40);
    let view = stage.view(&session.id).await;
    assert_eq!((view.listeners(), view.members.len()), (40, 41));
    assert!(members.iter().all(|old| view.member(&old.id).is_none()));
    stage.stale(&session.id, &stage.admit(&stage.listener(&session, es()), 40)).await;
}
