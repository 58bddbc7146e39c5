//! Members, what is due, totals.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use std::collections::BTreeSet;

use ambo_app::ports::Page;
use ambo_core::{Change, Millis, SessionId};

use super::Stage;
use super::stage::{LIFE, es, seconds};

/// All that is due and ours, over pages of `limit`.
async fn due(
    stage: &Stage,
    now: Millis,
    ours: &BTreeSet<SessionId>,
    limit: usize,
) -> Vec<SessionId> {
    let mut due: Vec<SessionId> = Vec::new();
    let mut after = None;
    loop {
        let page = stage.store.due(now, after.as_ref(), limit).await.unwrap();
        assert!(page.len() <= limit);
        assert!(page.windows(2).all(|pair| pair[0] < pair[1]), "in order of id");
        assert!(page.first().is_none_or(|first| after.as_ref().is_none_or(|after| first > after)));
        due.extend(page.iter().filter(|id| ours.contains(*id)).cloned());
        match page.last() {
            Some(last) => after = Some(last.clone()),
            None => return due,
        }
    }
}

pub async fn members_come_in_pages(stage: Stage) {
    let (session, speaker) = stage.opened().await;
    let mut expected: Vec<_> = stage.admitted(&session, 25).await;
    expected.push(speaker);
    expected.sort_by(|a, b| a.id.cmp(&b.id));
    for limit in [1, 7, 13, 26, 100] {
        assert_eq!(stage.members(&session.id, limit).await, expected, "pages of {limit}");
    }
    assert_eq!(stage.members(&stage.session_id(), 10).await, []);
}

pub async fn who_stays_is_listed_once_while_others_go(stage: Stage) {
    let (session, _) = stage.opened().await;
    let members = stage.admitted(&session, 20).await;
    let mut seen: Vec<ambo_core::ConnectionId> = Vec::new();
    let mut gone = BTreeSet::new();
    loop {
        let page = Page { after: seen.last(), limit: 4 };
        let page = stage.store.members(&session.id, page).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|member| member.id));
        // The last one listed goes, from where the next page must find its way; and another one.
        let last = seen.last().cloned().unwrap();
        let other = members[gone.len() % members.len()].id.clone();
        for connection in [last, other] {
            gone.insert(connection.clone());
            stage.commit(&Change::Drop { connection, session: session.id.clone() }).await;
        }
    }
    let unique: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(unique.len(), seen.len(), "nobody twice");
    for member in members.iter().filter(|member| !gone.contains(&member.id)) {
        assert!(unique.contains(&member.id), "nobody who stayed is missing");
    }
}

pub async fn what_is_due_comes_in_order_and_in_pages(stage: Stage) {
    let (mut expired, mut lost, mut living) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let grace_over = stage.now + seconds(30);
    for _ in 0..12 {
        let (session, speaker) = stage.opened().await;
        stage.done(&session.id, &stage.lose(&speaker, &session)).await;
        lost.insert(session.id);
        expired.insert(stage.opened().await.0.id);
        living.insert(stage.after(LIFE).opened().await.0.id);
    }
    let ours: BTreeSet<_> = expired.iter().chain(&lost).chain(&living).cloned().collect();
    for limit in [1, 5, 100] {
        assert_eq!(due(&stage, grace_over - Millis(1), &ours, limit).await, []);
        let found = due(&stage, grace_over, &ours, limit).await;
        assert_eq!(found, Vec::from_iter(lost.clone()), "grace is over, pages of {limit}");
        let found = due(&stage, stage.now + LIFE, &ours, limit).await;
        let expected: BTreeSet<_> = expired.union(&lost).cloned().collect();
        assert_eq!(found, Vec::from_iter(expected), "expired, pages of {limit}");
    }
    for id in &lost {
        stage.end(id).await;
    }
    let found = due(&stage, stage.now + LIFE, &ours, 100).await;
    assert_eq!(found, Vec::from_iter(expired), "what has ended is not due");
}

pub async fn what_was_extended_or_found_is_no_longer_due(stage: Stage) {
    let (session, old) = stage.opened().await;
    let ours = BTreeSet::from([session.id.clone()]);
    let it = [session.id.clone()];
    let end = stage.now + LIFE;
    assert_eq!(due(&stage, end, &ours, 10).await, it);
    let lost = stage.done(&session.id, &stage.lose(&old, &session)).await;
    let grace_over = stage.now + seconds(30);
    assert_eq!(due(&stage, grace_over, &ours, 10).await, it);

    let stage = stage.after(seconds(10));
    let new = stage.speaker(&session);
    stage.done(&session.id, &stage.come_back(&new, lost.session())).await;
    assert_eq!(due(&stage, grace_over, &ours, 10).await, []);
    assert_eq!(due(&stage, end, &ours, 10).await, []);
    assert_eq!(due(&stage, stage.now + LIFE, &ours, 10).await, it);
    let until = stage.now + LIFE + seconds(60);
    let Change::Touch { connection, was_seen, seen_at, beats, told, warned, .. } =
        stage.touch(&new)
    else {
        unreachable!()
    };
    let extend = Some((session.id.clone(), until));
    let touch = Change::Touch { connection, was_seen, seen_at, beats, told, warned, extend };
    stage.done(&session.id, &touch).await;
    assert_eq!(due(&stage, stage.now + LIFE, &ours, 10).await, []);
    assert_eq!(due(&stage, until, &ours, 10).await, it);
}

pub async fn totals_count_what_there_is(stage: Stage) {
    for _ in 0..3 {
        let (session, _) = stage.opened().await;
        stage.admitted(&session, 4).await;
        let (ended, _) = stage.opened().await;
        stage.admitted(&ended, 4).await;
        stage.end(&ended.id).await;
        let dropped = stage.listener(&session, es());
        stage.commit(&stage.admit(&dropped, 500)).await;
        let drop = Change::Drop { connection: dropped.id, session: session.id };
        stage.commit(&drop).await;
    }
    // Others may be at work in a shared store.
    let totals = stage.store.totals().await.unwrap();
    assert!(totals.sessions >= 3 && totals.listeners >= 12, "{totals:?}");
    stage.store.check().await.unwrap();
}
