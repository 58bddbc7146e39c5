//! After the end of a session: who tells everybody, who takes over, and what is left.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use ambo_app::ports::{FaultKind, Page, Store, Totals};
use ambo_core::rules::{Told, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Secret, SessionId};
use ambo_store_dynamodb::{DynamoStore, Tables};
use ambo_testkit::dynamo::{DynamoServer, Engine};
use aws_sdk_dynamodb::types::AttributeValue;
use common::between::{Between, Mishap, refusal};
use common::{
    admit, carry, connection_id, done, end, leave, listeners, open, own, seen, session_id, touch,
    watched,
};

/// Two stores in the same tables, as two instances of a function are.
async fn two() -> (DynamoStore, DynamoStore) {
    let (server, tables) = common::tables(Engine::Dynoxide).await;
    let store = || DynamoStore::new(server.client(), tables.clone());
    (store(), store())
}

/// A store that finds everything late at once.
fn impatient(store: DynamoStore) -> DynamoStore {
    store.with_patience(Millis::ZERO)
}

async fn with_three(store: &DynamoStore) {
    done(store, open("a", "s")).await;
    for id in ["l1", "l2", "l3"] {
        done(store, admit("a", id)).await;
    }
}

fn ids(members: &[Connection]) -> Vec<&str> {
    members.iter().map(|member| member.id.as_str()).collect()
}

async fn listed(store: &DynamoStore, session: &SessionId) -> usize {
    store.members(session, Page { after: None, limit: 100 }).await.unwrap().len()
}

#[tokio::test]
async fn of_two_that_end_a_session_one_tells_and_the_other_leaves_it_alone() {
    let (one, other) = two().await;
    let session = session_id("a");
    with_three(&one).await;
    assert_eq!(one.to_be_told(&session).await.unwrap(), [], "it has not ended");
    done(&one, end("a")).await;
    done(&other, end("a")).await;
    let told = one.to_be_told(&session).await.unwrap();
    assert_eq!(ids(&told), ["l1", "l2", "l3", "s"]);
    assert_eq!(other.to_be_told(&session).await.unwrap(), []);
    other.forget(&session).await.unwrap();
    assert_eq!(listed(&one, &session).await, 4, "who does not tell does not forget");
    assert_eq!(ids(&one.to_be_told(&session).await.unwrap()), ids(&told), "the claim is one's own");
    one.forget(&session).await.unwrap();
    assert_eq!(listed(&one, &session).await, 0);
    assert_eq!(other.to_be_told(&session).await.unwrap(), []);
}

#[tokio::test]
async fn the_sweep_takes_over_from_who_died() {
    for has_claimed in [false, true] {
        let (one, sweep) = two().await;
        let session = session_id("a");
        with_three(&one).await;
        done(&one, end("a")).await;
        if has_claimed {
            one.to_be_told(&session).await.unwrap();
        }
        assert_eq!(sweep.unfinished(10).await.unwrap(), [], "it is given its time");
        let sweep = impatient(sweep);
        assert_eq!(sweep.unfinished(10).await.unwrap(), std::slice::from_ref(&session));
        assert_eq!(sweep.unfinished(0).await.unwrap(), []);
        assert_eq!(sweep.to_be_told(&session).await.unwrap().len(), 4);
        sweep.forget(&session).await.unwrap();
        assert_eq!(sweep.unfinished(10).await.unwrap(), []);
        done(&sweep, open("a", "s")).await;
    }
}

/// An index that shows one who has gone, and not the last one that came.
async fn behind() -> (DynamoStore, Between) {
    let (store, between) = watched().await;
    with_three(&store).await;
    assert_eq!(listed(&store, &session_id("a")).await, 4);
    done(&store, leave("a", "l1")).await;
    done(&store, admit("a", "l4")).await;
    done(&store, end("a")).await;
    (store, between)
}

#[tokio::test]
async fn who_joined_just_before_the_end_is_waited_for_and_told() {
    let (store, between) = behind().await;
    between.will("Query", [Mishap::Behind, Mishap::Behind]);
    let told = store.to_be_told(&session_id("a")).await.unwrap();
    assert_eq!(ids(&told), ["l2", "l3", "l4", "s"]);
    assert_eq!(between.requests("Query").len(), 4, "it looked again until all were there");
}

#[tokio::test]
async fn who_is_not_shown_in_time_is_left_to_the_sweep() {
    let (store, between) = behind().await;
    let session = session_id("a");
    between.will("Query", vec![Mishap::Behind; 8]);
    assert_eq!(ids(&store.to_be_told(&session).await.unwrap()), ["l2", "l3", "s"]);
    store.forget(&session).await.unwrap();
    // It is shown by now, and was not told.
    assert_eq!(listed(&store, &session).await, 1);
    let sweep = impatient(store);
    let late = sweep.unfinished(10).await.unwrap();
    assert_eq!(late, std::slice::from_ref(&session), "the mark stays");
    assert_eq!(ids(&sweep.to_be_told(&session).await.unwrap()), ["l4"]);
    sweep.forget(&session).await.unwrap();
    assert_eq!(sweep.unfinished(10).await.unwrap(), []);
}

#[tokio::test]
async fn an_end_that_could_not_be_told_is_left_to_the_sweep() {
    for failing in ["UpdateItem", "Query", "BatchGetItem"] {
        let (store, between) = watched().await;
        let session = session_id("a");
        with_three(&store).await;
        done(&store, end("a")).await;
        between.will(failing, [refusal(400, "AccessDeniedException")]);
        store.to_be_told(&session).await.unwrap_err();
        store.forget(&session).await.unwrap();
        assert_eq!(listed(&store, &session).await, 4, "nobody was told: {failing}");
        let sweep = impatient(store);
        // Nor is it given up when the sweep does not get through either.
        between.will(failing, [refusal(400, "AccessDeniedException")]);
        sweep.to_be_told(&session).await.unwrap_err();
        sweep.forget(&session).await.unwrap();
        assert_eq!(sweep.unfinished(10).await.unwrap(), std::slice::from_ref(&session));
        assert_eq!(sweep.to_be_told(&session).await.unwrap().len(), 4);
        sweep.forget(&session).await.unwrap();
        assert_eq!(sweep.unfinished(10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn nobody_is_waited_for_once_the_index_must_show_everybody() {
    let (store, between) = behind().await;
    let sweep = impatient(store);
    between.will("Query", vec![Mishap::Behind; 8]);
    let before = between.requests("Query").len();
    assert_eq!(ids(&sweep.to_be_told(&session_id("a")).await.unwrap()), ["l2", "l3", "s"]);
    assert_eq!(between.requests("Query").len(), before + 1);
}

/// Takes from a connection's row what it cannot be read without.
async fn spoil(server: &DynamoServer, tables: &Tables, connection: &str) {
    let update = server.client().update_item().table_name(&tables.connections);
    let update = update.key("connectionId", AttributeValue::S(connection.into()));
    update.update_expression("REMOVE seenAt").send().await.unwrap();
}

#[tokio::test]
async fn who_cannot_be_read_keeps_no_other_untold() {
    for (spoilt, others) in [("l2", ["l1", "l3", "s"]), ("s", ["l1", "l2", "l3"])] {
        let (server, tables) = common::tables(Engine::Dynoxide).await;
        let store = DynamoStore::new(server.client(), tables.clone());
        let session = session_id("a");
        with_three(&store).await;
        spoil(server, &tables, spoilt).await;
        let wanted = Wanted { own: Some(connection_id(spoilt)), ..Wanted::default() };
        assert_eq!(store.load(&wanted).await.unwrap_err().kind, FaultKind::Broken, "by itself");
        assert_eq!(listed(&store, &session).await, 3);
        done(&store, end("a")).await;
        assert_eq!(ids(&store.to_be_told(&session).await.unwrap()), others);
        store.forget(&session).await.unwrap();
        assert_eq!(listed(&store, &session).await, 0);
        // One seems to be missing, so the rest is the sweep's, which comes to an end.
        let sweep = impatient(store);
        assert_eq!(sweep.unfinished(10).await.unwrap(), std::slice::from_ref(&session));
        assert_eq!(sweep.to_be_told(&session).await.unwrap(), []);
        sweep.forget(&session).await.unwrap();
        assert_eq!(sweep.unfinished(10).await.unwrap(), []);
    }
}

#[tokio::test]
async fn who_cannot_be_read_is_passed_over_on_the_roll() {
    let (server, tables) = common::tables(Engine::Dynoxide).await;
    let store = DynamoStore::new(server.client(), tables.clone());
    with_three(&store).await;
    for spoilt in ["l1", "s"] {
        spoil(server, &tables, spoilt).await;
    }
    let (mut called, mut from) = (Vec::new(), None);
    loop {
        // Some of these pages have nobody on them.
        let page = store.connections(from, 1).await.unwrap();
        called.extend(page.connections);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    called.sort_by(|one, other| one.id.cmp(&other.id));
    assert_eq!(ids(&called), ["l2", "l3"]);
}

#[tokio::test]
async fn a_count_that_cannot_be_read_keeps_no_other_from_being_counted() {
    let (server, tables) = common::tables(Engine::Dynoxide).await;
    let store = DynamoStore::new(server.client(), tables.clone());
    with_three(&store).await;
    done(&store, open("b", "t")).await;
    let update = server.client().update_item().table_name(&tables.sessions);
    let update = update.key("sessionId", AttributeValue::S(session_id("b").to_string()));
    let update = update.update_expression("SET listenerCount = :count");
    let update = update.expression_attribute_values(":count", AttributeValue::S("many".into()));
    update.send().await.unwrap();
    assert_eq!(store.totals().await.unwrap(), Totals { sessions: 2, listeners: 3 });
}

#[tokio::test]
async fn what_a_late_index_shows_is_not_removed_from_where_it_is_now() {
    let (store, between) = watched().await;
    with_three(&store).await;
    done(&store, open("b", "t")).await;
    assert_eq!(listed(&store, &session_id("a")).await, 4);
    // The index still shows it where it was.
    done(&store, leave("a", "l1")).await;
    done(&store, admit("b", "l1")).await;
    done(&store, end("a")).await;
    between.will("Query", [Mishap::Behind]);
    store.forget(&session_id("a")).await.unwrap();
    assert_eq!(listeners(&store, "b").await, 1);
    assert_eq!(own(&store, "l1").await.unwrap().session, session_id("b"));
}

#[tokio::test]
async fn a_late_index_offers_nobody_who_is_gone() {
    let (store, between) = watched().await;
    with_three(&store).await;
    for (at, id) in ["l1", "l2"].into_iter().enumerate() {
        let row = own(&store, id).await.unwrap();
        let told = Some(Secret([at as u8; 16]));
        let Change::Touch { connection, was_seen, beats, .. } = touch(&row) else { panic!() };
        let (seen_at, warned, extend) = (was_seen, false, None);
        let tell = Change::Touch { connection, was_seen, seen_at, beats, told, warned, extend };
        done(&store, tell).await;
    }
    let told = Told { session: session_id("a"), source: common::source(), target: lang() };
    let wanted = Wanted { told: Some(told), ..Wanted::default() };
    let offered = store.load(&wanted).await.unwrap().told.unwrap();
    assert_eq!(offered.id.as_str(), "l1");
    done(&store, carry("a", "l1", "l9")).await;
    between.will("Query", [Mishap::Behind]);
    let offered = store.load(&wanted).await.unwrap().told.unwrap();
    assert_eq!(offered.id.as_str(), "l2");
}

fn lang() -> ambo_core::Language {
    common::language("es")
}

#[tokio::test]
async fn what_is_left_of_an_ended_session_is_waited_for() {
    let (store, _) = watched().await;
    with_three(&store).await;
    done(&store, open("b", "t")).await;
    done(&store, end("a")).await;
    assert_eq!(seen(&store, "a").await.session, None);
    assert_eq!(own(&store, "l1").await, None);
    // Its row is still there, for whoever tells it of the end.
    let (change, session) = (admit("b", "l1"), session_id("a"));
    let (joined, forgotten) = tokio::join!(store.commit(&change), store.forget(&session));
    forgotten.unwrap();
    assert_eq!(joined.unwrap(), Applied::Done);
    assert_eq!(listeners(&store, "b").await, 1);
    // Its id is not free before.
    done(&store, end("b")).await;
    assert_eq!(store.commit(&open("b", "u")).await.unwrap(), Applied::Stale);
    store.forget(&session_id("b")).await.unwrap();
    done(&store, open("b", "u")).await;
}
