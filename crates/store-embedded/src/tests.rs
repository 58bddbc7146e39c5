//! What only the inside can bring about: a file that may not grow.

use ambo_app::ports::{FaultKind, Store};
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{
    Applied, Change, Connection, ConnectionId, EndGuard, Language, Millis, QualityTier, Role,
    Session, SessionId, SourceAddress, Speaker, UserId,
};

use super::{EmbeddedSettings, EmbeddedStore};

const NOW: Millis = Millis(1_700_000_000_000);

fn settings(directory: &tempfile::TempDir) -> EmbeddedSettings {
    EmbeddedSettings {
        directory: directory.path().to_owned(),
        speaker_grace: Millis::from_secs(30),
        now: NOW,
    }
}

fn open(number: usize) -> Change {
    let id = SessionId::parse(&format!("full-disk-{}", 100 + number)).unwrap();
    let connection = ConnectionId::parse(&format!("c{number}")).unwrap();
    let session = Session {
        id: id.clone(),
        // Long, so that pages fill quickly.
        owner: UserId::parse(&"o".repeat(250)).unwrap(),
        source_language: Language::parse("en").unwrap(),
        quality: QualityTier::Standard,
        created_at: NOW,
        expires_at: NOW + Millis::from_mins(120),
        paused: false,
        muted: false,
        last_state_change: NOW,
        speaker: Speaker::Present(connection.clone()),
        listeners: 0,
    };
    let source = SourceAddress::from_bytes([1; 16]);
    let connection = Connection::new(connection, id, Role::Speaker, source, NOW);
    Change::Open { session, connection }
}

fn id_of(change: &Change) -> SessionId {
    let Change::Open { session, .. } = change else { panic!("{change:?}") };
    session.id.clone()
}

async fn is_seen(store: &EmbeddedStore, id: &SessionId) -> bool {
    let wanted = Wanted { session: OfSession::Named(id.clone()), ..Wanted::default() };
    store.load(&wanted).await.unwrap().session.is_some()
}

#[tokio::test]
async fn a_full_disk_refuses_new_sessions_keeps_the_old_and_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let limit = |database: &super::Database| database.limit_to_pages(12);
    let store = EmbeddedStore::open_with(&settings(&directory), limit).unwrap();
    let mut kept = Vec::new();
    let (refused, fault) = loop {
        let change = open(kept.len());
        match store.commit(&change).await {
            Ok(applied) => assert_eq!(applied, Applied::Done),
            Err(fault) => break (change, fault),
        }
        kept.push(change);
    };
    assert!(matches!(fault.kind, FaultKind::Unavailable { .. }), "{fault:?}");
    assert!(kept.len() > 10 && kept.len() < 200, "{}", kept.len());
    assert!(!is_seen(&store, &id_of(&refused)).await, "never a half-written session");
    assert_eq!(store.totals().await.unwrap().sessions, kept.len() as u64);
    assert!(store.check().await.is_err());
    assert!(store.commit(&refused).await.is_err(), "the reservation was undone, and fails again");

    for change in &kept {
        let end = Change::End { session: id_of(change), guard: EndGuard::Present };
        assert_eq!(store.commit(&end).await.unwrap(), Applied::Done);
    }
    store.check().await.unwrap();
    assert_eq!(store.commit(&refused).await.unwrap(), Applied::Done);
    assert!(is_seen(&store, &id_of(&refused)).await);
    drop(store);
    let store = EmbeddedStore::open(&settings(&directory)).unwrap();
    assert_eq!(store.totals().await.unwrap().sessions, 1);
    assert!(is_seen(&store, &id_of(&refused)).await);
}

#[tokio::test]
async fn a_disk_that_is_back_is_noticed_without_a_new_session() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(&settings(&directory)).unwrap();
    let operator = rusqlite::Connection::open(directory.path().join(super::DATABASE_FILE)).unwrap();
    operator.execute_batch("BEGIN IMMEDIATE").unwrap();
    let fault = store.commit(&open(1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "somebody holds the file: {fault:?}");
    assert!(store.check().await.is_err());
    operator.execute_batch("ROLLBACK").unwrap();
    for _ in 0..1_000 {
        if store.check().await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the probe did not find the disk");
}
