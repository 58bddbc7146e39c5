//! What a look shows.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use ambo_core::rules::{OfSession, Seen, Told, Wanted};
use ambo_core::{Change, Connection, Language};

use super::Stage;
use super::stage::{PLACES, de, en, es, of_session};

pub async fn nothing_is_seen_that_was_not_asked_for(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let listener = stage.admitted_one(&session).await;
    stage.done(&session.id, &stage.tell(&listener, 1)).await;
    assert_eq!(stage.load(&Wanted::default()).await, Seen::default());
    let named = stage.load(&of_session(&session.id)).await;
    assert!(named.session.is_some() && named.own.is_none() && named.languages.is_empty());

    let own = |of: OfSession, own: &Connection| Wanted {
        session: of,
        own: Some(own.id.clone()),
        ..Wanted::default()
    };
    let seen = stage.load(&own(OfSession::OwnIfSpeaker, &listener)).await;
    assert!(seen.own.is_some() && seen.session.is_none(), "a listener's beat touches one row");
    for (of, connection) in [
        (OfSession::OwnIfSpeaker, &speaker),
        (OfSession::Own, &speaker),
        (OfSession::Own, &listener),
    ] {
        let seen = stage.load(&own(of, connection)).await;
        assert_eq!(seen.session.map(|session| session.id), Some(session.id.clone()));
        assert_eq!(seen.own.map(|own| own.id), Some(connection.id.clone()));
    }
    let nobody = stage.listener(&session, es());
    assert_eq!(stage.load(&own(OfSession::Own, &nobody)).await, Seen::default());
    let token = Wanted { named: Some(listener.id.clone()), ..Wanted::default() };
    let seen = stage.load(&token).await;
    assert_eq!(seen.named.map(|named| named.id), Some(listener.id));
}

pub async fn languages_are_counted_in_their_order(stage: Stage) {
    let (session, _) = stage.opened().await;
    for (language, count) in [(es(), 3), (de(), 2), (en(), 1)] {
        for _ in 0..count {
            let listener = stage.listener(&session, language);
            stage.commit(&stage.admit(&listener, PLACES)).await;
        }
    }
    let view = stage.view(&session.id).await;
    assert_eq!(view.languages, [(de(), 2), (en(), 1), (es(), 3)]);
}

/// Which of those that were told is offered to a newcomer like this one.
async fn offered(stage: &Stage, like: &Connection, target: Language) -> Option<Connection> {
    let told = Told { session: like.session.clone(), source: like.source, target };
    stage.load(&Wanted { told: Some(told), ..Wanted::default() }).await.told
}

pub async fn the_longest_told_of_a_place_and_language_is_offered(stage: Stage) {
    let (session, _) = stage.opened().await;
    let source = stage.source();
    let mut members = Vec::new();
    for target in [es(), es(), es(), de()] {
        let member = Connection { source, ..stage.listener(&session, target) };
        stage.done(&session.id, &stage.admit(&member, PLACES)).await;
        members.push(member);
    }
    assert_eq!(offered(&stage, &members[0], es()).await, None, "nobody was told");
    for (at, secret) in [(2, 1), (0, 2), (3, 3)] {
        stage.done(&session.id, &stage.tell(&members[at], secret)).await;
    }
    let id = |found: Option<Connection>| found.map(|found| found.id);
    assert_eq!(id(offered(&stage, &members[0], es()).await), Some(members[2].id.clone()));
    assert_eq!(id(offered(&stage, &members[0], de()).await), Some(members[3].id.clone()));
    assert_eq!(offered(&stage, &members[0], en()).await, None, "another language");
    let elsewhere = stage.listener(&session, es());
    assert_eq!(offered(&stage, &elsewhere, es()).await, None, "another place");
    let (other, _) = stage.opened().await;
    let there = Connection { session: other.id, ..members[0].clone() };
    assert_eq!(offered(&stage, &there, es()).await, None, "another session");

    let next = Connection { source, ..stage.listener(&session, es()) };
    stage.done(&session.id, &stage.carry(&members[2], &next)).await;
    assert_eq!(id(offered(&stage, &next, es()).await), Some(members[0].id.clone()));
    let (connection, session) = (members[0].id.clone(), session.id.clone());
    stage.done(&session, &Change::Drop { connection, session: session.clone() }).await;
    assert_eq!(offered(&stage, &next, es()).await, None, "who went is offered no more");
}

pub async fn who_was_told_is_offered_in_its_new_language(stage: Stage) {
    let (session, _) = stage.opened().await;
    let member = stage.admitted_one(&session).await;
    stage.done(&session.id, &stage.tell(&member, 1)).await;
    let (connection, of) = (member.id.clone(), session.id.clone());
    stage.done(&session.id, &Change::Retune { connection, session: of, target: de() }).await;
    assert_eq!(offered(&stage, &member, es()).await, None);
    let found = offered(&stage, &member, de()).await.unwrap();
    assert_eq!((found.id, found.told), (member.id, Some(ambo_core::Secret([1; 16]))));
}
