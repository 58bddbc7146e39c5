//! Making sessions.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Applied, Change, Connection, Session, Speaker, UserId};

use super::Stage;
use super::stage::{done, seconds};

fn open(session: &Session, connection: &Connection) -> Change {
    Change::Open { session: session.clone(), connection: connection.clone() }
}

pub async fn an_opened_session_is_seen_with_its_speaker(stage: Stage) {
    let (session, speaker) = stage.draft();
    assert_eq!(stage.session(&session.id).await, None);
    assert_eq!(stage.own(&speaker.id).await, None);
    let view = stage.done(&session.id, &open(&session, &speaker)).await;
    assert_eq!(view.session(), &session);
    assert_eq!(view.members, std::slice::from_ref(&speaker));
    assert_eq!(view.languages, []);
    assert_eq!(stage.own(&speaker.id).await, Some(speaker));
}

pub async fn an_id_is_taken_once(stage: Stage) {
    let (session, _) = stage.opened().await;
    let other = stage.speaker(&session);
    let claimed = Session { speaker: Speaker::Present(other.id.clone()), ..session.clone() };
    stage.stale(&session.id, &open(&claimed, &other)).await;
    let bob = UserId::parse("bob").unwrap();
    stage.stale(&session.id, &open(&Session { owner: bob, ..claimed }, &other)).await;
    assert_eq!(stage.own(&other.id).await, None);
    // Expired is not ended: the id is free when the session is gone.
    let stage = stage.after(super::stage::LIFE + seconds(1));
    let (late, late_speaker) = stage.draft();
    let late = Session { id: session.id.clone(), ..late };
    let late_speaker = Connection { session: session.id.clone(), ..late_speaker };
    stage.stale(&session.id, &open(&late, &late_speaker)).await;
}

pub async fn an_opening_is_whole_or_nothing(stage: Stage) {
    let (elsewhere, speaker) = stage.opened().await;
    let listener = stage.admitted_one(&elsewhere).await;
    for taken in [speaker.id, listener.id] {
        let (draft, connection) = stage.draft();
        let session = Session { speaker: Speaker::Present(taken.clone()), ..draft };
        let connection = Connection { id: taken.clone(), ..connection };
        stage.stale(&session.id, &open(&session, &connection)).await;
        assert_eq!(stage.session(&session.id).await, None, "not even the session");
        assert_eq!(stage.own(&taken).await.map(|own| own.session), Some(elsewhere.id.clone()));
    }
}

pub async fn of_many_openings_of_one_id_one_is_done(stage: Stage) {
    let (session, _) = stage.draft();
    let drafts: Vec<_> = (0..20).map(|_| stage.speaker(&session)).collect();
    let changes = drafts.iter().map(|speaker| {
        let present = Speaker::Present(speaker.id.clone());
        open(&Session { speaker: present, ..session.clone() }, speaker)
    });
    let outcomes = stage.race(changes).await;
    assert_eq!(done(&outcomes), 1);
    let winner = outcomes.iter().position(|applied| *applied == Applied::Done).unwrap();
    let view = stage.view(&session.id).await;
    assert_eq!(view.members, [drafts[winner].clone()]);
    assert!(view.session().is_spoken_by(&drafts[winner].id));
}
