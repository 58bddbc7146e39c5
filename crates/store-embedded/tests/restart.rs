//! What comes back after a restart, and what does not.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use ambo_app::ports::{Page, Paid, Store};
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::Toll;
use ambo_core::{Bucket, Change, Millis, Moment, Rate, Session, Speaker};
use common::*;

#[tokio::test]
async fn the_moments_of_a_session_only_grow_over_restarts_with_the_clock_set_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    done(&store, &opening("calm-lake-100", "s1")).await;
    let lost = Change::Lose {
        session: session_id("calm-lake-100"),
        connection: connection_id("s1"),
        until: NOW + GRACE,
        moment: Moment { after: NOW, at: NOW + Millis(7) },
    };
    done(&store, &lost).await;
    drop(store);
    let earlier = NOW - Millis::from_mins(40);
    let store = open_at(directory.path(), earlier).unwrap();
    let session = seen(&store, "calm-lake-100").await.unwrap();
    assert_eq!(session.last_state_change, NOW + Millis(8));
    assert_eq!(session.speaker, Speaker::Lost { until: earlier + GRACE }, "the true clock waits");
}

#[tokio::test]
async fn sessions_come_back_with_their_speaker_awaited_and_no_listeners() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    done(&store, &opening("calm-lake-100", "s1")).await;
    for id in ["l1", "l2", "l3"] {
        done(&store, &admission(id, "calm-lake-100")).await;
    }
    let steer = Change::Steer {
        session: session_id("calm-lake-100"),
        connection: connection_id("s1"),
        was: (false, false),
        becomes: (true, true),
        moment: Moment { after: NOW, at: NOW + Millis(1) },
    };
    done(&store, &steer).await;
    drop(store);

    let later = NOW + Millis::from_secs(5);
    let store = open_at(directory.path(), later).unwrap();
    let until = later + GRACE;
    let expected = Session {
        paused: true,
        muted: true,
        last_state_change: later,
        speaker: Speaker::Lost { until },
        listeners: 0,
        ..session("calm-lake-100", "s1")
    };
    assert_eq!(seen(&store, "calm-lake-100").await, Some(expected));
    let page = Page { after: None, limit: 10 };
    assert_eq!(store.members(&session_id("calm-lake-100"), page).await.unwrap(), []);
    assert_eq!(store.due(until, None, 10).await.unwrap(), [session_id("calm-lake-100")]);
    let totals = store.totals().await.unwrap();
    assert_eq!((totals.sessions, totals.listeners), (1, 0));

    let attach = attachment("s2", "calm-lake-100", Speaker::Lost { until }, later);
    done(&store, &attach).await;
    done(&store, &admission("l1", "calm-lake-100")).await;
    assert_eq!(seen(&store, "calm-lake-100").await.map(|session| session.listeners), Some(1));
}

#[tokio::test]
async fn what_ended_or_expired_does_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for (id, on) in [("calm-lake-100", "s1"), ("calm-lake-101", "s2"), ("calm-lake-102", "s3")] {
        done(&store, &opening(id, on)).await;
    }
    done(&store, &ending("calm-lake-100")).await;
    let touch = Change::Touch {
        connection: connection_id("s3"),
        was_seen: NOW,
        seen_at: NOW + Millis(1),
        beats: Bucket(0),
        told: None,
        warned: false,
        extend: Some((session_id("calm-lake-102"), NOW + LIFE + LIFE)),
    };
    done(&store, &touch).await;
    store.close().await.unwrap();
    let fault = store.commit(&opening("calm-lake-103", "s4")).await.unwrap_err();
    assert!(matches!(fault.kind, ambo_app::ports::FaultKind::Unavailable { .. }), "closed");
    assert_eq!(seen(&store, "calm-lake-103").await, None);
    store.close().await.unwrap();

    let store = open_at(directory.path(), NOW + LIFE).unwrap();
    assert_eq!(store.totals().await.unwrap().sessions, 1);
    let kept = seen(&store, "calm-lake-102").await.unwrap();
    assert_eq!(kept.expires_at, NOW + LIFE + LIFE, "its speaker had extended it");
    // The expired one is gone from the disk too: a clock that was set back does not revive it.
    drop(store);
    assert_eq!(open(directory.path()).totals().await.unwrap().sessions, 1);
}

#[tokio::test]
async fn what_was_spent_stays_spent() {
    let directory = tempfile::tempdir().unwrap();
    let rate = Rate::new(3, Millis::from_mins(60));
    let of = |operation, identity| Toll::Take(LimitKey { operation, identity });
    let created = of(Operation::CreateSession, Identity::User(user("ann")));
    let guessed = of(Operation::RefusedJoin, Identity::Source(source()));
    let joined = of(Operation::JoinSession, Identity::Source(source()));
    let store = open(directory.path());
    for toll in [&created, &guessed, &joined] {
        for _ in 0..3 {
            assert_eq!(store.pay(toll, rate, NOW).await.unwrap(), Paid::Yes);
        }
    }
    drop(store);
    let store = open(directory.path());
    for toll in [&created, &guessed] {
        assert!(matches!(store.pay(toll, rate, NOW).await.unwrap(), Paid::Wait(_)), "{toll:?}");
    }
    assert_eq!(store.pay(&joined, rate, NOW).await.unwrap(), Paid::Yes, "this one is not kept");
    drop(store);
    let store = open_at(directory.path(), NOW + Millis::from_mins(60)).unwrap();
    assert_eq!(rows(directory.path(), "bucket"), 0, "full ones are not kept");
    drop(store);
}

#[tokio::test]
async fn what_was_spent_reaches_the_disk_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let rate = Rate::new(3, Millis::from_mins(60));
    let identity = Identity::User(user("ann"));
    let toll = Toll::Take(LimitKey { operation: Operation::CreateSession, identity });
    for _ in 0..3 {
        store.pay(&toll, rate, NOW).await.unwrap();
    }
    until("it is written", async || rows(directory.path(), "bucket") == 1).await;
}

#[tokio::test]
async fn operators_can_read_the_file_while_the_server_runs() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    done(&store, &opening("calm-lake-100", "s1")).await;
    assert_eq!(rows(directory.path(), "session"), 1);
    done(&store, &ending("calm-lake-100")).await;
    assert_eq!(rows(directory.path(), "session"), 0);
}

fn rows(directory: &std::path::Path, table: &str) -> i64 {
    let path = directory.join(ambo_store_embedded::DATABASE_FILE);
    let connection = rusqlite::Connection::open(path).unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    connection.query_row(&count, [], |row| row.get(0)).unwrap()
}
