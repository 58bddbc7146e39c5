//! What happens while the disk is slow. An operator's open transaction holds the writer up, so that
//! each test decides when a write goes through, or (after a second) fails.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{FaultKind, Store, StoreFault};
use ambo_core::rules::Wanted;
use ambo_core::{Applied, Change, EndGuard, Millis, Moment, Speaker};
use ambo_store_embedded::EmbeddedStore;
use common::*;
use tokio::task::JoinHandle;

const ID: &str = "calm-lake-100";

struct SlowDisk(rusqlite::Connection);

impl SlowDisk {
    fn hold(directory: &Path) -> Self {
        let path = directory.join(ambo_store_embedded::DATABASE_FILE);
        let operator = rusqlite::Connection::open(path).unwrap();
        operator.busy_timeout(Duration::from_secs(5)).unwrap();
        operator.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(operator)
    }

    fn release(self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

type Committing = JoinHandle<Result<Applied, StoreFault>>;

/// Commits in a task of its own, and gives it time to come to the disk.
async fn start(store: &Arc<EmbeddedStore>, change: Change) -> Committing {
    let store = Arc::clone(store);
    let task = tokio::spawn(async move { store.commit(&change).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    task
}

async fn applied(task: Committing) -> Applied {
    task.await.unwrap().unwrap()
}

fn clean_close() -> Change {
    let guard = EndGuard::SpokenBy(connection_id("s1"));
    Change::End { session: session_id(ID), guard }
}

#[tokio::test]
async fn a_session_is_not_seen_before_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let disk = SlowDisk::hold(directory.path());
    let first = start(&store, opening(ID, "s1")).await;
    let again = start(&store, opening(ID, "s1")).await;
    assert!(!first.is_finished() && !again.is_finished());

    assert_eq!(seen(&store, ID).await, None);
    let own = Wanted { own: Some(connection_id("s1")), ..Wanted::default() };
    assert_eq!(store.load(&own).await.unwrap().own, None);
    assert_eq!(store.totals().await.unwrap().sessions, 0);
    assert_eq!(store.due(NOW + LIFE + LIFE, None, 10).await.unwrap(), []);
    let stale = [
        opening(ID, "s2"),
        opening("calm-lake-101", "s1"),
        admission("l1", ID),
        attachment("s2", ID, Speaker::Present(connection_id("s1")), NOW),
    ];
    for change in stale {
        assert_eq!(store.commit(&change).await.unwrap(), Applied::Stale, "{change:?}");
    }
    disk.release();
    assert_eq!(applied(first).await, Applied::Done);
    assert_eq!(applied(again).await, Applied::Done);
    assert!(seen(&store, ID).await.is_some());
    done(&store, &admission("l1", ID)).await;
}

#[tokio::test]
async fn a_session_that_was_not_written_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let disk = SlowDisk::hold(directory.path());
    let fault = store.commit(&opening(ID, "s1")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert_eq!(seen(&store, ID).await, None);
    disk.release();
    // The id and the connection are both free again.
    done(&store, &opening(ID, "s2")).await;
    done(&store, &opening("calm-lake-101", "s1")).await;
}

#[tokio::test]
async fn a_session_goes_on_until_its_end_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    done(&store, &opening(ID, "s1")).await;
    done(&store, &admission("l1", ID)).await;
    let disk = SlowDisk::hold(directory.path());
    let end = start(&store, clean_close()).await;
    let second = start(&store, ending(ID)).await;
    let was = Speaker::Present(connection_id("s1"));
    let attach = start(&store, attachment("s2", ID, was, NOW)).await;
    for task in [&end, &second, &attach] {
        assert!(!task.is_finished());
    }

    // Listeners come, beat, move and go as ever, and nobody waits for the disk.
    assert_eq!(seen(&store, ID).await.map(|session| session.listeners), Some(1));
    done(&store, &admission("l2", ID)).await;
    let (from, to) = (connection_id("l1"), listener("l3", ID));
    done(&store, &Change::Move { from, to, now: NOW }).await;
    let (connection, session) = (connection_id("l2"), session_id(ID));
    done(&store, &Change::Drop { connection, session }).await;
    assert_eq!(seen(&store, ID).await.map(|session| session.listeners), Some(1));
    assert!(!end.is_finished(), "they waited for the disk");

    disk.release();
    assert_eq!(applied(end).await, Applied::Done);
    assert_eq!(applied(second).await, Applied::Done);
    assert_eq!(applied(attach).await, Applied::Stale, "there is nothing left to speak in");
    assert_eq!(seen(&store, ID).await, None);
    assert_eq!(store.commit(&admission("l4", ID)).await.unwrap(), Applied::Stale);
    assert_eq!(store.totals().await.unwrap(), ambo_app::ports::Totals::default());
}

#[tokio::test]
async fn a_session_whose_end_was_not_written_is_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    done(&store, &opening(ID, "s1")).await;
    let disk = SlowDisk::hold(directory.path());
    let end = start(&store, clean_close()).await;
    done(&store, &admission("l1", ID)).await;
    let was = Speaker::Present(connection_id("s1"));
    let attach = start(&store, attachment("s2", ID, was, NOW)).await;
    let fault = end.await.unwrap().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert_eq!(applied(attach).await, Applied::Done, "it waited, and there is a session");
    let session = seen(&store, ID).await.unwrap();
    assert!(session.is_spoken_by(&connection_id("s2")));
    assert_eq!(session.listeners, 1);
    disk.release();
    // The first speaker's end is stale by now; the session's own is not.
    assert_eq!(store.commit(&clean_close()).await.unwrap(), Applied::Stale);
    done(&store, &ending(ID)).await;
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_nothing_half_done() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    done(&store, &opening(ID, "s1")).await;
    let disk = SlowDisk::hold(directory.path());
    let tasks =
        [start(&store, opening("calm-lake-101", "s2")).await, start(&store, ending(ID)).await];
    for task in tasks {
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    disk.release();
    store.close().await.unwrap();
    assert_eq!(seen(&store, ID).await, None);
    assert!(seen(&store, "calm-lake-101").await.is_some());
    drop(store);
    let store = open(directory.path());
    assert_eq!(seen(&store, ID).await, None, "memory and disk agree");
    assert!(seen(&store, "calm-lake-101").await.is_some());
}

#[tokio::test]
async fn what_changed_while_the_disk_failed_is_written_later() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    done(&store, &opening(ID, "s1")).await;
    let disk = SlowDisk::hold(directory.path());
    let steer = Change::Steer {
        session: session_id(ID),
        connection: connection_id("s1"),
        was: (false, false),
        becomes: (true, false),
        moment: Moment { after: NOW, at: NOW + Millis(1) },
    };
    done(&store, &steer).await;
    // The writer's patience ends, and the first attempt has failed.
    until("the writer fails", async || store.check().await.is_err()).await;
    disk.release();
    until("the writer is back", async || store.check().await.is_ok()).await;
    drop(store);
    let session = seen(&open(directory.path()), ID).await.unwrap();
    assert_eq!((session.paused, session.muted), (true, false));
}
