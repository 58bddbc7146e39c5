//! The speaker goes on on another connection.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Change, Connection, Role, Session, Speaker, UserId};

use super::Stage;
use super::stage::{LIFE, ann, done, es, seconds};

fn on(connection: &Connection) -> Speaker {
    Speaker::Present(connection.id.clone())
}

pub async fn a_new_connection_takes_the_speakers_place(stage: Stage) {
    let (session, old) = stage.opened().await;
    stage.admitted(&session, 2).await;
    let stage = stage.after(seconds(600));
    let new = stage.speaker(&session);
    let view = stage.done(&session.id, &stage.attach(&new, on(&old))).await;
    let expected = Session {
        speaker: on(&new),
        expires_at: stage.now + LIFE,
        listeners: 2,
        ..session.clone()
    };
    assert_eq!(view.session(), &expected, "and its state did not change");
    assert_eq!(view.members.len(), 3);
    assert_eq!(view.member(&new.id), Some(&new));
    assert_eq!(stage.own(&old.id).await, None);
    // What the old connection does from here on changes nothing.
    stage.stale(&session.id, &stage.lose(&old, &session)).await;
    stage.stale(&session.id, &stage.touch(&old)).await;
}

pub async fn the_speakers_present_connection_stays(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let stage = stage.after(seconds(600));
    let again = Connection { connected_at: stage.now, ..speaker.clone() };
    let view = stage.done(&session.id, &stage.attach(&again, on(&speaker))).await;
    assert_eq!(view.members, [speaker], "it is as old as it was");
    assert_eq!(view.session().expires_at, stage.now + LIFE);
    assert_eq!(view.session().last_state_change, session.last_state_change);
}

pub async fn a_lost_speaker_comes_back(stage: Stage) {
    let (session, old) = stage.opened().await;
    let lost = stage.done(&session.id, &stage.lose(&old, &session)).await;
    let stage = stage.after(seconds(10));
    let new = stage.speaker(&session);
    let view = stage.done(&session.id, &stage.come_back(&new, lost.session())).await;
    assert_eq!(view.session().speaker, on(&new));
    assert_eq!(view.session().last_state_change, stage.now);
    assert_eq!(view.members, [new]);
    // Even on the connection it was lost on, if that turns out to be there.
    let back = stage.after(seconds(5));
    let (session, speaker) = back.opened().await;
    let lost = back.done(&session.id, &back.lose(&speaker, &session)).await;
    let view = back.done(&session.id, &back.come_back(&speaker, lost.session())).await;
    assert_eq!((view.session().speaker.clone(), view.members.len()), (on(&speaker), 1));
}

pub async fn only_the_owner_attaches_and_only_to_what_it_saw(stage: Stage) {
    let (session, old) = stage.opened().await;
    let (other_session, other_speaker) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    let new = stage.speaker(&session);
    let attach = |owner: &str, was: Speaker| {
        let (owner, expires_at) = (UserId::parse(owner).unwrap(), stage.now + LIFE + LIFE);
        let (connection, now, moment) = (new.clone(), stage.now, session.moment(stage.now));
        Change::Attach { connection, owner, was, expires_at, now, moment }
    };
    stage.stale(&session.id, &attach("bob", on(&old))).await;
    stage.stale(&session.id, &attach("ann", on(&listener))).await;
    stage.stale(&session.id, &attach("ann", Speaker::Lost { until: stage.now })).await;
    let over = stage.after(LIFE);
    stage.stale(&session.id, &over.attach(&new, on(&old))).await;
    stage.stale(&session.id, &over.attach(&old, on(&old))).await;
    assert_eq!(stage.own(&new.id).await, None);

    let as_speaker = Connection { role: Role::Speaker, ..listener };
    stage.stale(&session.id, &stage.attach(&as_speaker, on(&old))).await;
    let foreign = Connection { session: session.id.clone(), ..other_speaker.clone() };
    stage.stale(&session.id, &stage.attach(&foreign, on(&old))).await;
    assert_eq!(stage.view(&other_session.id).await.members, [other_speaker]);

    let (absent, nobody) = stage.draft();
    stage.stale(&absent.id, &stage.attach(&nobody, on(&nobody))).await;
    assert_eq!(stage.own(&nobody.id).await, None);
}

pub async fn an_attach_never_shortens_a_session(stage: Stage) {
    let (session, old) = stage.opened().await;
    let new = stage.speaker(&session);
    let change = Change::Attach {
        connection: new.clone(),
        owner: ann(),
        was: on(&old),
        expires_at: stage.now + seconds(1),
        now: stage.now,
        moment: session.moment(stage.now),
    };
    let view = stage.done(&session.id, &change).await;
    assert_eq!(view.session().expires_at, session.expires_at);
    assert_eq!(view.session().speaker, on(&new));
}

pub async fn of_two_new_speaker_connections_one_is_current(stage: Stage) {
    for _ in 0..20 {
        let (session, old) = stage.opened().await;
        stage.admitted(&session, 1).await;
        let rivals: Vec<_> = (0..4).map(|_| stage.speaker(&session)).collect();
        let changes = rivals.iter().map(|rival| stage.attach(rival, on(&old)));
        let outcomes = stage.race(changes).await;
        assert_eq!(done(&outcomes), 1);
        let view = stage.view(&session.id).await;
        let speakers: Vec<_> =
            view.members.iter().filter(|member| member.role == Role::Speaker).collect();
        assert_eq!(speakers.len(), 1);
        assert_eq!(view.session().speaker, on(speakers[0]));
        assert_eq!(view.languages, [(es(), 1)]);
    }
}
