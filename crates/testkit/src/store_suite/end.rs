//! Ends, and what comes after them.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Applied, Bucket, Change, Connection, EndGuard, Secret, Session, Speaker};

use super::stage::{LIFE, PLACES, de, done, es, seconds};
use super::{Ended, Stage};

fn end(session: &Session, guard: EndGuard) -> Change {
    Change::End { session: session.id.clone(), guard }
}

pub async fn an_ended_session_is_gone_with_its_connections(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let (other, _) = stage.opened().await;
    let mut members = stage.admitted(&session, 30).await;
    stage.admitted(&other, 2).await;
    members.push(speaker.clone());
    let view = stage.done(&session.id, &end(&session, EndGuard::SpokenBy(speaker.id))).await;
    assert_eq!(view.session, None);
    for member in &members {
        assert_eq!(stage.own(&member.id).await, None);
    }
    let listed = stage.members(&session.id, 7).await;
    match stage.ended {
        Ended::GoneAtOnce => assert_eq!(listed, []),
        Ended::KeptUntilForgotten => {
            members.sort_by(|a, b| a.id.cmp(&b.id));
            assert_eq!(listed, members, "all can be told");
        }
    }
    for _ in 0..2 {
        stage.store.forget(&session.id).await.unwrap();
        assert_eq!(stage.members(&session.id, 7).await, []);
    }
    assert_eq!(stage.view(&other.id).await.listeners(), 2);
    // A connection that was set free may be a member elsewhere.
    let free = Connection { session: other.id.clone(), ..members[0].clone() };
    let role = ambo_core::Role::Listener { target: es() };
    let free = Connection { role, ..free };
    assert_eq!(stage.done(&other.id, &stage.admit(&free, PLACES)).await.listeners(), 3);
}

pub async fn an_end_is_guarded(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    let far = stage.now + LIFE - ambo_core::Millis(1);
    for guard in [
        EndGuard::SpokenBy(listener.id),
        EndGuard::SpokenBy(stage.connection_id()),
        EndGuard::ExpiredAt(far),
        EndGuard::GraceOverAt(far + LIFE),
    ] {
        stage.stale(&session.id, &end(&session, guard)).await;
    }
    stage.done(&session.id, &stage.lose(&speaker, &session)).await;
    for guard in
        [EndGuard::SpokenBy(speaker.id.clone()), EndGuard::GraceOverAt(stage.now + seconds(29))]
    {
        stage.stale(&session.id, &end(&session, guard)).await;
    }
    let over = EndGuard::GraceOverAt(stage.now + seconds(30));
    assert_eq!(stage.done(&session.id, &end(&session, over)).await.session, None);
    let (session, _) = stage.opened().await;
    let expired = end(&session, EndGuard::ExpiredAt(stage.now + LIFE));
    assert_eq!(stage.done(&session.id, &expired).await.session, None);
}

pub async fn nothing_happens_to_a_ghost(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    stage.end(&session.id).await;
    let new = stage.listener(&session, es());
    let (connection, id) = (listener.id.clone(), session.id.clone());
    let ghosts = [
        stage.admit(&listener, PLACES),
        stage.admit(&new, PLACES),
        stage.attach(&stage.speaker(&session), Speaker::Present(speaker.id.clone())),
        stage.attach(&speaker, Speaker::Present(speaker.id.clone())),
        stage.carry(&listener, &new),
        stage.touch(&listener),
        Change::Touch {
            connection: speaker.id.clone(),
            was_seen: speaker.seen_at,
            seen_at: stage.now + seconds(30),
            beats: Bucket(1),
            told: Some(Secret([1; 16])),
            warned: true,
            extend: Some((session.id.clone(), stage.now + LIFE + LIFE)),
        },
        Change::Retune { connection: connection.clone(), session: id.clone(), target: de() },
        Change::Steer {
            session: session.id.clone(),
            connection: speaker.id.clone(),
            was: (false, false),
            becomes: (true, false),
            moment: session.moment(stage.now),
        },
        stage.lose(&speaker, &session),
    ];
    for ghost in ghosts {
        stage.stale(&session.id, &ghost).await;
    }
    stage.done(&session.id, &Change::Drop { connection, session: id }).await;
    let by_speaker = end(&session, EndGuard::SpokenBy(speaker.id.clone()));
    for again in [by_speaker, end(&session, EndGuard::Present)] {
        stage.done(&session.id, &again).await;
    }
    assert_eq!(stage.session(&session.id).await, None);
    for id in [&speaker.id, &listener.id, &new.id] {
        assert_eq!(stage.own(id).await, None);
    }
}

pub async fn what_has_not_ended_is_not_forgotten(stage: Stage) {
    let (session, _) = stage.opened().await;
    stage.admitted(&session, 3).await;
    let before = stage.view(&session.id).await;
    stage.store.forget(&session.id).await.unwrap();
    assert_eq!(stage.view(&session.id).await, before);
    stage.store.forget(&stage.session_id()).await.unwrap();
}

pub async fn an_id_is_free_again_after_the_end(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    stage.admitted(&session, 2).await;
    stage.end(&session.id).await;
    stage.store.forget(&session.id).await.unwrap();
    let stage = stage.after(seconds(1));
    let (draft, _) = stage.draft();
    let again = Session { id: session.id.clone(), ..draft };
    let connection = stage.speaker(&again);
    let again = Session { speaker: Speaker::Present(connection.id.clone()), ..again };
    let open = Change::Open { session: again.clone(), connection: connection.clone() };
    let view = stage.done(&again.id, &open).await;
    assert_eq!((view.session(), &view.members), (&again, &vec![connection]));
    // The late word of the first session's speaker does not end the second one.
    stage.stale(&again.id, &end(&session, EndGuard::SpokenBy(speaker.id))).await;
}

pub async fn no_join_outlives_the_end(stage: Stage) {
    for _ in 0..10 {
        let (session, speaker) = stage.opened().await;
        let early = stage.admitted(&session, 5).await;
        let joining: Vec<_> = (0..20).map(|_| stage.listener(&session, es())).collect();
        let end = end(&session, EndGuard::SpokenBy(speaker.id.clone()));
        let mut changes: Vec<_> =
            joining.iter().map(|listener| stage.admit(listener, PLACES)).collect();
        changes.insert(7, end.clone());
        changes.insert(14, end);
        let outcomes = stage.race(changes).await;
        assert_eq!((outcomes[7], outcomes[14]), (Applied::Done, Applied::Done));
        assert_eq!(stage.session(&session.id).await, None);
        for connection in early.iter().chain(&joining) {
            assert_eq!(stage.own(&connection.id).await, None, "no record remains");
        }
        stage.store.forget(&session.id).await.unwrap();
        assert_eq!(stage.members(&session.id, 100).await, []);
        let late: Vec<Connection> = (0..3).map(|_| stage.listener(&session, es())).collect();
        let late = late.iter().map(|listener| stage.admit(listener, PLACES));
        assert_eq!(done(&stage.race(late).await), 0);
    }
}

pub async fn an_end_and_an_attach_at_once_agree(stage: Stage) {
    for _ in 0..20 {
        let (session, old) = stage.opened().await;
        let new = stage.speaker(&session);
        let attach = stage.attach(&new, Speaker::Present(old.id.clone()));
        let end = end(&session, EndGuard::SpokenBy(old.id.clone()));
        let outcomes = stage.race([end, attach]).await;
        assert_eq!(done(&outcomes), 1, "{outcomes:?}");
        let is_there = stage.session(&session.id).await.is_some();
        assert_eq!(is_there, outcomes[1] == Applied::Done);
        assert_eq!(stage.own(&new.id).await.is_some(), is_there);
    }
}
