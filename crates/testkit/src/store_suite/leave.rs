//! Departures.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{Applied, Change, Connection, Role, Session, Speaker};

use super::Stage;
use super::stage::{PLACES, done, es, seconds};

fn drop_of(connection: &Connection, session: &Session) -> Change {
    Change::Drop { connection: connection.id.clone(), session: session.id.clone() }
}

pub async fn a_listener_goes_once(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let members = stage.admitted(&session, 2).await;
    let view = stage.done(&session.id, &drop_of(&members[0], &session)).await;
    assert_eq!((view.listeners(), view.languages.clone()), (1, vec![(es(), 1)]));
    assert_eq!(stage.own(&members[0].id).await, None);
    let view = stage.done(&session.id, &drop_of(&members[1], &session)).await;
    assert_eq!((view.listeners(), view.languages), (0, Vec::new()));
    assert_eq!(view.members, [speaker]);
    // Its place is free again, for itself too.
    let view = stage.done(&session.id, &stage.admit(&members[0], 1)).await;
    assert_eq!(view.listeners(), 1);
}

pub async fn who_is_no_listener_cannot_be_dropped(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let (there, _) = stage.opened().await;
    stage.admitted(&session, 2).await;
    let foreign = stage.admitted_one(&there).await;
    let nobody = stage.listener(&session, es());
    let (absent, _) = stage.draft();
    let before = stage.view(&session.id).await;
    for connection in [&speaker, &foreign, &nobody] {
        for session in [&session, &absent] {
            let change = drop_of(connection, session);
            assert_eq!(stage.commit(&change).await, Applied::Done, "nothing is to be done");
        }
    }
    assert_eq!(stage.view(&session.id).await, before);
    assert_eq!(stage.view(&there.id).await.listeners(), 1);
}

pub async fn a_lost_speaker_is_awaited(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let members = stage.admitted(&session, 2).await;
    let stage = stage.after(seconds(5));
    let view = stage.done(&session.id, &stage.lose(&speaker, &session)).await;
    let lost = Speaker::Lost { until: stage.now + seconds(30) };
    let expected =
        Session { speaker: lost, last_state_change: stage.now, listeners: 2, ..session.clone() };
    assert_eq!(view.session(), &expected);
    assert_eq!(view.members.len(), 2);
    assert_eq!(stage.own(&speaker.id).await, None);
    assert!(members.iter().all(|member| view.member(&member.id).is_some()));
    // Listeners may come while it is awaited.
    let newcomer = stage.listener(&session, es());
    assert_eq!(stage.done(&session.id, &stage.admit(&newcomer, PLACES)).await.listeners(), 3);
    // A second loss of what is lost is another one.
    stage.stale(&session.id, &stage.after(seconds(1)).lose(&speaker, &session)).await;
}

pub async fn only_the_current_speaker_can_be_lost(stage: Stage) {
    let (session, old) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    let new = stage.speaker(&session);
    let was = Speaker::Present(old.id.clone());
    stage.done(&session.id, &stage.attach(&new, was)).await;
    // Else listeners would be told that a speaker is lost who is there.
    for other in [&old, &listener, &stage.speaker(&session)] {
        stage.stale(&session.id, &stage.lose(other, &session)).await;
    }
    let (absent, nobody) = stage.draft();
    stage.stale(&absent.id, &stage.lose(&nobody, &absent)).await;
    stage.done(&session.id, &stage.lose(&new, &session)).await;
}

pub async fn a_lost_and_an_attached_speaker_leave_one_or_none(stage: Stage) {
    for _ in 0..50 {
        let (session, old) = stage.opened().await;
        let new = stage.speaker(&session);
        let attach = stage.attach(&new, Speaker::Present(old.id.clone()));
        let outcomes = stage.race([stage.lose(&old, &session), attach]).await;
        assert_eq!(done(&outcomes), 1, "each saw what the other changed: {outcomes:?}");
        let view = stage.view(&session.id).await;
        match &view.session().speaker {
            Speaker::Present(id) => {
                assert_eq!((id, outcomes[1]), (&new.id, Applied::Done));
                assert_eq!(view.members, [new]);
            }
            Speaker::Lost { .. } => {
                assert_eq!(outcomes[0], Applied::Done);
                assert_eq!(view.members, []);
            }
        }
    }
}

pub async fn a_storm_of_departures_leaves_the_truth(stage: Stage) {
    let (session, _) = stage.opened().await;
    let leaving = stage.admitted(&session, 30).await;
    let staying = stage.admitted(&session, 10).await;
    let coming: Vec<_> = (0..30).map(|_| stage.listener(&session, es())).collect();
    let mut changes = Vec::new();
    for round in 0..3 {
        changes.extend(leaving.iter().map(|connection| drop_of(connection, &session)));
        if round < 2 {
            changes.extend(coming.iter().map(|connection| stage.admit(connection, PLACES)));
        }
    }
    let count = changes.len();
    assert_eq!(done(&stage.race(changes).await), count);
    let view = stage.view(&session.id).await;
    assert_eq!(view.listeners(), 40);
    for member in staying.iter().chain(&coming) {
        assert!(view.member(&member.id).is_some());
    }
    assert_eq!(view.members.iter().filter(|member| member.role == Role::Speaker).count(), 1);
}
