//! What lies around the sessions: pointers, deadlines, nodes.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ambo_app::ports::Store;
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{Applied, Connection, ConnectionId, SessionId};
use ambo_store_redis::RedisStore;
use ambo_testkit::redis::RedisServer;

use crate::draft::{GRACE, LIFE, NOW, admit, end, listener, lose, open, session};
use crate::servers::store;

async fn alone() -> (RedisServer, RedisStore) {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    (server, store)
}

async fn own(store: &RedisStore, id: &ConnectionId) -> Option<Connection> {
    let wanted = Wanted { own: Some(id.clone()), ..Wanted::default() };
    store.load(&wanted).await.unwrap().own
}

fn micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64
}

#[tokio::test]
async fn a_claim_bars_others_while_it_is_fresh_and_its_session_lacks_the_connection() {
    let (server, store) = alone().await;
    let draft = session("here");
    store.commit(&open(&draft)).await.unwrap();
    let listener = listener(&draft.0, "nodea.1");
    let pointer = |stamp: u64| format!("there-session-100 {stamp}");
    let claimed = async |stamp: u64| {
        server.run::<()>(&["SET", "ambo:connection:nodea.1", &pointer(stamp)]).await;
        store.commit(&admit(&listener)).await.unwrap()
    };
    // Somebody may be about to make it a member there.
    assert_eq!(claimed(micros() + 60_000_000).await, Applied::Stale);
    assert_eq!(own(&store, &listener.id).await, None);
    // Nobody is: whoever claimed it is gone.
    assert_eq!(claimed(micros() - 6_000_000).await, Applied::Done);
    assert_eq!(own(&store, &listener.id).await, Some(listener.clone()));
    // However old the claim is, a member is not taken away.
    let elsewhere = session("there");
    store.commit(&open(&elsewhere)).await.unwrap();
    let of_here = format!("{} {}", draft.0.id, micros() - 6_000_000);
    server.run::<()>(&["SET", "ambo:connection:nodea.1", &of_here]).await;
    let there = Connection { session: elsewhere.0.id.clone(), ..listener.clone() };
    assert_eq!(store.commit(&admit(&there)).await.unwrap(), Applied::Stale);
}

#[tokio::test]
async fn nothing_remains_of_an_ended_session() {
    let (server, store) = alone().await;
    let draft = session("gone");
    store.commit(&open(&draft)).await.unwrap();
    for at in 0..300 {
        let listener = listener(&draft.0, &format!("node{}.{at}", at % 2));
        store.commit(&admit(&listener)).await.unwrap();
    }
    store.commit(&end(&draft.0)).await.unwrap();
    let left: Vec<String> = server.run(&["KEYS", "*"]).await;
    // What says too much is put right by whoever reads it, if the end came within seconds.
    let around = [
        "ambo:node:node0:sessions",
        "ambo:node:node1:sessions",
        "ambo:node:nodea:sessions",
        "ambo:{deadlines}:announced",
        "ambo:{deadlines}:due",
    ];
    assert!(left.iter().all(|key| around.contains(&key.as_str())), "{left:?}");
    assert_eq!(store.due(NOW + LIFE, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn all_keys_of_a_session_go_by_themselves_long_after_its_time() {
    let (server, store) = alone().await;
    let draft = session("late");
    store.commit(&open(&draft)).await.unwrap();
    store.commit(&lose(&draft.1)).await.unwrap();
    let listener = listener(&draft.0, "nodea.1");
    store.commit(&admit(&listener)).await.unwrap();
    let keys: Vec<String> = server.run(&["KEYS", "ambo:*late*"]).await;
    assert_eq!(keys.len(), 2, "{keys:?}");
    let due_in = LIFE.0 as i64;
    for key in keys.iter().map(String::as_str).chain(["ambo:connection:nodea.1"]) {
        let left: i64 = server.run(&["PTTL", key]).await;
        assert!(left > due_in && left <= due_in + 3_600_000, "{key}: {left}");
    }
}

/// Ends and beginnings at the same time as looks at what is due: none is lost from the index.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_looks_meanwhile_no_session_is_lost_from_what_is_due() {
    let (_server, store) = alone().await;
    let store = Arc::new(store);
    let drafts: Vec<_> = (0..60_u8)
        .map(|at| {
            session(&format!("s{}{}", char::from(b'a' + at / 10), char::from(b'a' + at % 10)))
        })
        .collect();
    let mut expected: Vec<SessionId> = drafts.iter().map(|draft| draft.0.id.clone()).collect();
    expected.sort();
    let looking = {
        let store = Arc::clone(&store);
        // At a moment at which all are candidates, and again at one where none is due.
        tokio::spawn(async move {
            loop {
                for moment in [NOW + LIFE - ambo_core::Millis(1), NOW + GRACE] {
                    store.due(moment, None, 100).await.unwrap();
                }
            }
        })
    };
    let lives = drafts.into_iter().map(|draft| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            assert_eq!(store.commit(&open(&draft)).await.unwrap(), Applied::Done);
            assert_eq!(store.commit(&lose(&draft.1)).await.unwrap(), Applied::Done);
        })
    });
    for life in lives.collect::<Vec<_>>() {
        life.await.unwrap();
    }
    looking.abort();
    assert_eq!(store.due(NOW + GRACE, None, 100).await.unwrap(), expected);
}

#[tokio::test]
async fn the_index_forgets_the_ended_once_their_announcement_is_old() {
    let (server, store) = alone().await;
    let draft = session("old");
    store.commit(&open(&draft)).await.unwrap();
    let age = (micros() - 6_000_000).to_string();
    let id = draft.0.id.as_str();
    server.run::<()>(&["ZADD", "ambo:{deadlines}:announced", &age, id]).await;
    server.run::<()>(&["ZADD", "ambo:node:nodea:sessions", &age, id]).await;
    store.commit(&end(&draft.0)).await.unwrap();
    let left: Vec<String> = server.run(&["KEYS", "*"]).await;
    assert_eq!(left, Vec::<String>::new());
    // And who ended without a word to the index is put right by who looks.
    store.commit(&open(&draft)).await.unwrap();
    server.run::<()>(&["DEL", "ambo:{old-session-100}:session"]).await;
    server.run::<()>(&["ZADD", "ambo:{deadlines}:announced", &age, id]).await;
    assert_eq!(store.due(NOW + LIFE, None, 10).await.unwrap(), []);
    let left: u32 = server.run(&["ZCARD", "ambo:{deadlines}:due"]).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_node_is_known_by_its_sessions_and_their_members() {
    let (_server, store) = alone().await;
    let (first, second) = (session("first"), session("second"));
    for draft in [&first, &second] {
        store.commit(&open(draft)).await.unwrap();
    }
    let foreign = listener(&first.0, "nodeb.1");
    store.commit(&admit(&foreign)).await.unwrap();
    let ids = [first.0.id.clone(), second.0.id.clone()];
    assert_eq!(store.sessions_of("nodea", None, 10).await.unwrap(), ids);
    assert_eq!(store.sessions_of("nodea", None, 1).await.unwrap(), ids[..1]);
    assert_eq!(store.sessions_of("nodea", Some(&ids[0]), 10).await.unwrap(), ids[1..]);
    assert_eq!(store.sessions_of("nodeb", None, 10).await.unwrap(), ids[..1]);
    assert_eq!(store.sessions_of("node", None, 10).await.unwrap(), []);
    assert_eq!(store.members_of(&ids[0], "nodea").await.unwrap(), [first.1]);
    assert_eq!(store.members_of(&ids[0], "nodeb").await.unwrap(), [foreign]);
    assert_eq!(store.members_of(&ids[1], "nodeb").await.unwrap(), []);
    store.forget_node("nodea").await.unwrap();
    assert_eq!(store.sessions_of("nodea", None, 10).await.unwrap(), []);
    assert_eq!(store.sessions_of("nodeb", None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_session_in_one_look_is_seen_too() {
    let (_server, store) = alone().await;
    let (first, second) = (session("one"), session("two"));
    for draft in [&first, &second] {
        store.commit(&open(draft)).await.unwrap();
    }
    let wanted = Wanted {
        session: OfSession::Named(first.0.id.clone()),
        own: Some(second.1.id.clone()),
        named: Some(first.1.id.clone()),
        ..Wanted::default()
    };
    let seen = store.load(&wanted).await.unwrap();
    assert_eq!(
        (seen.session, seen.own, seen.named),
        (Some(first.0), Some(second.1), Some(first.1))
    );
}

#[tokio::test]
async fn a_node_does_not_leave_what_has_ended_long_before_it_dies() {
    let (server, store) = alone().await;
    let (ended, lives) = (session("ended"), session("lives"));
    for draft in [&ended, &lives] {
        store.commit(&open(draft)).await.unwrap();
        let listener = listener(&draft.0, &format!("nodeb.{}", draft.0.id));
        store.commit(&admit(&listener)).await.unwrap();
    }
    // Whoever left before the end, or came just before it, is not forgotten with it.
    store.commit(&end(&ended.0)).await.unwrap();
    let both = [ended.0.id.clone(), lives.0.id.clone()];
    store.forget_ended("nodeb").await.unwrap();
    assert_eq!(store.sessions_of("nodeb", None, 10).await.unwrap(), both);
    let age = (micros() - 6_000_000).to_string();
    for id in &both {
        server.run::<()>(&["ZADD", "ambo:node:nodeb:sessions", &age, id.as_str()]).await;
    }
    store.forget_ended("nodeb").await.unwrap();
    assert_eq!(store.sessions_of("nodeb", None, 10).await.unwrap(), both[1..]);
}
