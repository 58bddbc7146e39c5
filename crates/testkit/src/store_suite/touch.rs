//! Signs of life, and of age.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Applied, Bucket, Change, Connection, Millis, Secret};

use super::Stage;
use super::stage::{LIFE, done, seconds};

/// A touch with other beats, told, warned or extension.
struct With {
    beats: Bucket,
    told: Option<Secret>,
    warned: bool,
    extend: Option<Millis>,
}

const PLAIN: With = With { beats: Bucket(0), told: None, warned: false, extend: None };

fn touch(stage: &Stage, row: &Connection, with: With) -> Change {
    Change::Touch {
        connection: row.id.clone(),
        was_seen: row.seen_at,
        seen_at: stage.now,
        beats: with.beats,
        told: with.told,
        warned: with.warned,
        extend: with.extend.map(|until| (row.session.clone(), until)),
    }
}

pub async fn a_sign_of_life_is_noted(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    let stage = stage.after(seconds(30));
    for row in [speaker, listener] {
        let beats = Bucket(stage.now.0 * 1_000 + 5);
        let change = touch(&stage, &row, With { beats, ..PLAIN });
        let view = stage.done(&session.id, &change).await;
        let expected = Connection { seen_at: stage.now, beats, ..row.clone() };
        assert_eq!(view.member(&row.id), Some(&expected));
        assert_eq!(view.session().expires_at, session.expires_at);
        assert_eq!(stage.own(&row.id).await, Some(expected));
    }
}

pub async fn a_touch_of_what_was_touched_is_stale(stage: Stage) {
    let (session, _) = stage.opened().await;
    let row = stage.admitted_one(&session).await;
    let later = stage.after(seconds(30));
    later.done(&session.id, &touch(&later, &row, PLAIN)).await;
    let latest = stage.after(seconds(60));
    latest.stale(&session.id, &touch(&latest, &row, PLAIN)).await;
    let fresh = stage.own(&row.id).await.unwrap();
    latest.done(&session.id, &touch(&latest, &fresh, PLAIN)).await;
    // A sign of age on a row that has meanwhile shown life.
    latest.stale(&session.id, &stage.tell(&row, 1)).await;

    let nobody = stage.listener(&session, super::stage::es());
    assert_eq!(stage.commit(&touch(&stage, &nobody, PLAIN)).await, Applied::Stale);
    let drop = Change::Drop { connection: row.id.clone(), session: session.id.clone() };
    stage.done(&session.id, &drop).await;
    let fresh = Connection { seen_at: latest.now, ..fresh };
    latest.stale(&session.id, &touch(&stage.after(seconds(90)), &fresh, PLAIN)).await;
    assert_eq!(stage.own(&row.id).await, None, "a ghost is not brought back");
}

pub async fn what_was_told_is_not_taken_back(stage: Stage) {
    let (session, _) = stage.opened().await;
    let row = stage.admitted_one(&session).await;
    let view = stage.done(&session.id, &stage.tell(&row, 1)).await;
    let told = view.member(&row.id).unwrap().clone();
    assert_eq!(told, Connection { told: Some(Secret([1; 16])), ..row.clone() });
    stage.stale(&session.id, &stage.tell(&row, 2)).await;

    let stage = stage.after(seconds(30));
    let second = With { told: Some(Secret([2; 16])), ..PLAIN };
    stage.stale(&session.id, &touch(&stage, &told, second)).await;
    let warning = With { warned: true, ..PLAIN };
    let view = stage.done(&session.id, &touch(&stage, &told, warning)).await;
    let warned = view.member(&row.id).unwrap().clone();
    assert_eq!((warned.told, warned.warned), (Some(Secret([1; 16])), true));

    let stage = stage.after(seconds(30));
    stage.stale(&session.id, &touch(&stage, &warned, With { warned: true, ..PLAIN })).await;
    let view = stage.done(&session.id, &touch(&stage, &warned, PLAIN)).await;
    let kept = view.member(&row.id).unwrap();
    assert_eq!((kept.told, kept.warned), (Some(Secret([1; 16])), true), "silence keeps both");
}

pub async fn a_speakers_sign_of_life_extends_and_never_shortens(stage: Stage) {
    let (session, row) = stage.opened().await;
    let stage = stage.after(seconds(4_000));
    let until = stage.now + LIFE;
    let change = touch(&stage, &row, With { extend: Some(until), ..PLAIN });
    assert_eq!(stage.done(&session.id, &change).await.session().expires_at, until);

    let row = stage.own(&row.id).await.unwrap();
    let stage = stage.after(seconds(30));
    let change = touch(&stage, &row, With { extend: Some(session.expires_at), ..PLAIN });
    assert_eq!(stage.done(&session.id, &change).await.session().expires_at, until);

    let longer = stage.now + LIFE;
    let stale = touch(&stage.after(seconds(60)), &row, With { extend: Some(longer), ..PLAIN });
    stage.stale(&session.id, &stale).await;
}

pub async fn of_many_touches_at_once_one_is_done(stage: Stage) {
    let (session, _) = stage.opened().await;
    let row = stage.admitted_one(&session).await;
    let beats = (1..=20).map(|at| touch(&stage.after(seconds(at)), &row, PLAIN));
    assert_eq!(done(&stage.race(beats).await), 1);
    let row = stage.own(&row.id).await.unwrap();
    let tellings = (1..=20).map(|secret| stage.tell(&row, secret));
    assert_eq!(done(&stage.race(tellings).await), 1, "it is told once");
}
