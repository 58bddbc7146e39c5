//! Joining.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Applied, Connection, Role};

use super::Stage;
use super::stage::{LIFE, PLACES, de, done, es, seconds};

pub async fn a_listener_is_admitted_and_counted(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let (first, second) = (stage.listener(&session, es()), stage.listener(&session, de()));
    let view = stage.done(&session.id, &stage.admit(&first, PLACES)).await;
    assert_eq!(view.listeners(), 1);
    let view = stage.done(&session.id, &stage.admit(&second, PLACES)).await;
    assert_eq!((view.listeners(), view.members.len()), (2, 3));
    assert_eq!(view.languages, [(de(), 1), (es(), 1)]);
    for member in [speaker, first, second] {
        assert_eq!(stage.own(&member.id).await, Some(member));
    }
}

pub async fn the_same_connection_counts_once_and_keeps_its_age(stage: Stage) {
    let (session, _) = stage.opened().await;
    let first = stage.admitted_one(&session).await;
    let later = stage.after(seconds(60));
    let target = Role::Listener { target: de() };
    let again =
        Connection { role: target, joined_at: later.now, connected_at: later.now, ..first.clone() };
    let view = later.done(&session.id, &later.admit(&again, PLACES)).await;
    assert_eq!(view.listeners(), 1);
    assert_eq!(view.languages, [(de(), 1)], "it hears what it asked for last");
    let kept = stage.own(&first.id).await.unwrap();
    assert_eq!(kept, Connection { role: target, ..first });
}

pub async fn a_full_session_admits_nobody(stage: Stage) {
    let (session, _) = stage.opened().await;
    let members = stage.admitted(&session, 3).await;
    let newcomer = stage.listener(&session, es());
    for max in [0, 1, 3] {
        stage.stale(&session.id, &stage.admit(&newcomer, max)).await;
    }
    assert_eq!(stage.own(&newcomer.id).await, None);
    // A member has its place, whatever the number of places has become.
    stage.done(&session.id, &stage.admit(&members[0], 1)).await;
    let view = stage.done(&session.id, &stage.admit(&newcomer, 4)).await;
    assert_eq!(view.listeners(), 4);
}

pub async fn a_session_that_is_over_admits_nobody(stage: Stage) {
    let (absent, _) = stage.draft();
    let nowhere = stage.listener(&absent, es());
    stage.stale(&absent.id, &stage.admit(&nowhere, PLACES)).await;
    assert_eq!(stage.own(&nowhere.id).await, None);

    let (session, _) = stage.opened().await;
    let late = stage.listener(&session, es());
    let over = stage.after(LIFE);
    stage.stale(&session.id, &over.admit(&late, PLACES)).await;
    let just_before = stage.after(LIFE - ambo_core::Millis(1));
    just_before.done(&session.id, &just_before.admit(&late, PLACES)).await;
}

pub async fn a_connection_is_a_member_of_one_session_only(stage: Stage) {
    let (here, speaker) = stage.opened().await;
    let (there, _) = stage.opened().await;
    let member = stage.admitted_one(&here).await;
    let elsewhere = Connection { session: there.id.clone(), ..member.clone() };
    stage.stale(&there.id, &stage.admit(&elsewhere, PLACES)).await;
    assert_eq!(stage.own(&member.id).await, Some(member), "it was not moved silently");

    let target = Role::Listener { target: es() };
    let as_listener = Connection { role: target, ..speaker.clone() };
    stage.stale(&here.id, &stage.admit(&as_listener, PLACES)).await;
    assert_eq!(stage.own(&speaker.id).await, Some(speaker), "nor is a speaker a listener");
}

pub async fn a_hundred_at_once_fill_twenty_places(stage: Stage) {
    let (session, _) = stage.opened().await;
    let listeners: Vec<_> = (0..100).map(|_| stage.listener(&session, es())).collect();
    let outcomes = stage.race(listeners.iter().map(|listener| stage.admit(listener, 20))).await;
    assert_eq!(done(&outcomes), 20);
    let view = stage.view(&session.id).await;
    assert_eq!((view.listeners(), view.members.len()), (20, 21));
    for (listener, applied) in listeners.iter().zip(outcomes) {
        let is_member = view.member(&listener.id).is_some();
        assert_eq!(is_member, applied == Applied::Done);
    }
}

pub async fn a_connection_that_joins_many_times_at_once_counts_once(stage: Stage) {
    let (session, _) = stage.opened().await;
    let listener = stage.listener(&session, es());
    let outcomes = stage.race((0..32).map(|_| stage.admit(&listener, 1))).await;
    assert_eq!(done(&outcomes), 32);
    assert_eq!(stage.view(&session.id).await.listeners(), 1);
}
