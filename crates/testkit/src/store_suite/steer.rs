//! Changes of language, and the speaker's commands.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::{
    Change, Connection, ConnectionId, Language, Millis, Moment, Secret, Session, SessionId, Speaker,
};

use super::Stage;
use super::stage::{de, done, en, es, seconds};

fn retune(connection: &ConnectionId, session: &SessionId, target: Language) -> Change {
    Change::Retune { connection: connection.clone(), session: session.clone(), target }
}

type Flags = (bool, bool);

fn steer(speaker: &Connection, was: Flags, becomes: Flags, moment: Moment) -> Change {
    let (session, connection) = (speaker.session.clone(), speaker.id.clone());
    Change::Steer { session, connection, was, becomes, moment }
}

pub async fn a_listener_changes_its_language(stage: Stage) {
    let (session, _) = stage.opened().await;
    let row = stage.admitted(&session, 2).await.remove(0);
    stage.done(&session.id, &stage.tell(&row, 1)).await;
    let view = stage.done(&session.id, &retune(&row.id, &session.id, de())).await;
    let role = ambo_core::Role::Listener { target: de() };
    let expected = Connection { role, told: Some(Secret([1; 16])), ..row.clone() };
    assert_eq!(view.member(&row.id), Some(&expected), "and nothing else of it");
    assert_eq!((view.listeners(), view.languages), (2, vec![(de(), 1), (es(), 1)]));
    let view = stage.done(&session.id, &retune(&row.id, &session.id, en())).await;
    assert_eq!(view.languages, [(en(), 1), (es(), 1)]);
}

pub async fn only_a_listener_of_the_session_is_retuned(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let (there, _) = stage.opened().await;
    let foreign = stage.admitted_one(&there).await;
    let nobody = stage.connection_id();
    for id in [&speaker.id, &foreign.id, &nobody] {
        stage.stale(&session.id, &retune(id, &session.id, de())).await;
    }
    stage.stale(&session.id, &retune(&foreign.id, &stage.session_id(), de())).await;
    assert_eq!(stage.own(&foreign.id).await, Some(foreign));
}

pub async fn a_command_is_noted(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let stage = stage.after(seconds(5));
    let pause = steer(&speaker, (false, false), (true, false), session.moment(stage.now));
    let view = stage.done(&session.id, &pause).await;
    let expected = Session { paused: true, last_state_change: stage.now, ..session.clone() };
    assert_eq!(view.session(), &expected);
    let stage = stage.after(seconds(5));
    let mute = steer(&speaker, (true, false), (true, true), expected.moment(stage.now));
    let view = stage.done(&session.id, &mute).await;
    let expected = Session { muted: true, last_state_change: stage.now, ..expected };
    assert_eq!(view.session(), &expected);
}

pub async fn only_the_speaker_steers_what_it_saw(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    let nobody = stage.speaker(&session);
    let stage = stage.after(seconds(5));
    let (was, becomes, moment) = ((false, false), (true, false), session.moment(stage.now));
    for other in [&listener, &nobody] {
        stage.stale(&session.id, &steer(other, was, becomes, moment)).await;
    }
    for was in [(true, false), (false, true), (true, true)] {
        stage.stale(&session.id, &steer(&speaker, was, (false, false), moment)).await;
    }
    stage.done(&session.id, &stage.lose(&speaker, &session)).await;
    stage.stale(&session.id, &steer(&speaker, was, becomes, moment)).await;
    let (absent, nobody) = stage.draft();
    stage.stale(&absent.id, &steer(&nobody, was, becomes, moment)).await;
}

pub async fn what_changed_and_changed_back_is_not_what_was_seen(stage: Stage) {
    let (seen, speaker) = stage.opened().await;
    let (id, flow, pause) = (&seen.id, (false, false), (true, false));
    // All of it happens in one millisecond, and the clock of one node is behind.
    let behind = stage.before(seconds(5));
    let paused = stage.done(id, &steer(&speaker, flow, pause, seen.moment(behind.now))).await;
    let moment = paused.session().moment(behind.now);
    let resumed = stage.done(id, &steer(&speaker, pause, flow, moment)).await;
    stage.stale(id, &steer(&speaker, flow, (false, true), seen.moment(stage.now))).await;
    stage.stale(id, &stage.lose(&speaker, &seen)).await;
    let lost = stage.done(id, &stage.lose(&speaker, resumed.session())).await;
    let back = stage.done(id, &behind.come_back(&speaker, lost.session())).await;
    let again = stage.done(id, &stage.lose(&speaker, back.session())).await;
    assert_eq!(again.session().speaker, lost.session().speaker, "awaited until the same moment");
    stage.stale(id, &stage.come_back(&speaker, lost.session())).await;
    let last = stage.done(id, &stage.come_back(&speaker, again.session())).await;
    assert_eq!(last.session().speaker, Speaker::Present(speaker.id));
    let views = [paused, resumed, lost, back, again, last];
    let moments = views.map(|view| view.session().last_state_change);
    let after = seen.last_state_change;
    assert_eq!(moments, [1, 2, 3, 4, 5, 6].map(|later| after + Millis(later)));
}

pub async fn of_two_commands_at_once_one_looks_again(stage: Stage) {
    for _ in 0..20 {
        let (session, speaker) = stage.opened().await;
        let was = (false, false);
        let moment = |at| session.moment(stage.now + seconds(at));
        let pause = steer(&speaker, was, (true, false), moment(1));
        let mute = steer(&speaker, was, (false, true), moment(2));
        assert_eq!(done(&stage.race([pause, mute]).await), 1);
        let now = stage.session(&session.id).await.unwrap();
        assert!(now.paused != now.muted);
        let was = (now.paused, now.muted);
        let again = steer(&speaker, was, (true, true), now.moment(stage.now + seconds(3)));
        stage.done(&session.id, &again).await;
    }
}
