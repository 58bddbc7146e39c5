//! What AWS answers that no server here does: conflicts, throttling, lost answers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{FaultKind, Store as _};
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{Applied, Change, Millis, Moment, Speaker, UserId};
use ambo_resilience::{Resilient, Settings};
use ambo_store_dynamodb::DynamoStore;
use ambo_testkit::dynamo::Engine;
use aws_sdk_dynamodb::types::AttributeValue;
use common::between::{Mishap, canceled, conflict, refusal};
use common::{
    LIFE, admit, carry, connection_id, done, end, leave, listeners, now, open, own, seen,
    session_id, speaker, touch, watched,
};
use serde_json::Value;

/// Everything that happens in a session's life, in its order.
fn life() -> Vec<Change> {
    let opened = open("a", "s");
    let Change::Open { session: first, .. } = &opened else { panic!("{opened:?}") };
    let paused = first.moment(now());
    let lost = Change::Lose {
        session: session_id("a"),
        connection: connection_id("s2"),
        until: now() + Millis::from_secs(30),
        moment: Moment { after: paused.at, at: paused.at + Millis(1) },
    };
    let (was, becomes) = ((false, false), (true, false));
    let (session, connection) = (session_id("a"), connection_id("s"));
    let target = common::language("de");
    vec![
        opened,
        admit("a", "l1"),
        admit("a", "l2"),
        carry("a", "l1", "l3"),
        Change::Retune { connection: connection_id("l3"), session: session_id("a"), target },
        Change::Steer { session, connection, was, becomes, moment: paused },
        Change::Attach {
            connection: speaker("a", "s2"),
            owner: UserId::parse("ann").unwrap(),
            was: Speaker::Present(connection_id("s")),
            expires_at: now() + LIFE,
            now: now(),
            moment: paused,
        },
        leave("a", "l2"),
        lost,
        end("a"),
    ]
}

#[tokio::test]
async fn conflicts_are_tried_again_until_they_pass() {
    let (store, between) = watched().await;
    between.hurdles(5, conflict());
    for change in life() {
        between.will("UpdateItem", [refusal(400, "TransactionConflictException")]);
        done(&store, change).await;
    }
    let all = between.requests("TransactWriteItems");
    let tokens: BTreeSet<_> = all.iter().map(|body| body["ClientRequestToken"].as_str()).collect();
    // Two of the changes are single updates.
    assert_eq!(tokens.len(), life().len() - 2, "one token for each change");
    assert_eq!(all.len(), 6 * tokens.len(), "which its attempts share");
    assert!(!tokens.contains(&None));
}

#[tokio::test]
async fn lost_answers_are_found_out() {
    let (store, between) = watched().await;
    for change in life() {
        between.will("TransactWriteItems", [Mishap::Loss]);
        between.will("UpdateItem", [Mishap::Loss]);
        done(&store, change).await;
    }
    for (id, count) in [("b", 1), ("c", 0)] {
        done(&store, open(id, &format!("{id}s"))).await;
        between.will("TransactWriteItems", [Mishap::Loss]);
        done(&store, admit(id, &format!("{id}l"))).await;
        let row = own(&store, &format!("{id}l")).await.unwrap();
        between.will("UpdateItem", [Mishap::Loss]);
        done(&store, touch(&row)).await;
        if count == 0 {
            between.will("TransactWriteItems", [Mishap::Loss]);
            done(&store, leave(id, &format!("{id}l"))).await;
        }
        assert_eq!(listeners(&store, id).await, count);
    }
}

#[tokio::test]
async fn a_store_that_is_made_anew_for_each_attempt_finds_out_too() {
    // The process that wrote is gone, and the token with it.
    for change in life() {
        let (server, tables) = common::tables(Engine::Dynoxide).await;
        let client = || DynamoStore::new(server.client(), tables.clone());
        for before in life() {
            done(&client(), before.clone()).await;
            if before.name() == change.name() {
                done(&client(), before).await;
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_never_passes_is_a_fault_that_says_when_to_come_back() {
    let (store, between) = watched().await;
    let store = Arc::new(store);
    done(&store, open("a", "s")).await;
    let admission = admit("a", "l");
    let retry_after = Millis::from_secs(1);
    let contended = FaultKind::Contended { retry_after };
    let unavailable = FaultKind::Unavailable { retry_after };
    // As the functions have it, which would try again what is transient; but for its limits.
    let call_limit = Duration::from_secs(60);
    let settings = Settings { call_limit, failures_to_open: 100, ..Settings::default() };
    let Resilient { store: patient, health } = ambo_resilience::wrap(store.clone(), &settings);
    for (mishap, expected) in [
        (conflict(), contended),
        (canceled(&["ThrottlingError", "TransactionConflict"]), contended),
        (canceled(&["None", "ThrottlingError"]), unavailable),
        (refusal(400, "ProvisionedThroughputExceededException"), unavailable),
        (refusal(400, "ThrottlingException"), unavailable),
        (refusal(400, "RequestLimitExceeded"), unavailable),
        (refusal(400, "TransactionInProgressException"), unavailable),
        (refusal(500, "InternalServerError"), unavailable),
    ] {
        between.hurdles(usize::MAX, mishap);
        let before = between.requests("TransactWriteItems").len();
        let fault = patient.commit(&admission).await.unwrap_err();
        assert_eq!(fault.kind, expected, "{fault:?}");
        assert_eq!(between.requests("TransactWriteItems").len() - before, 12, "attempts");
    }
    assert_eq!(health.retries(), 0);
    between.hurdles(0, conflict());
    assert_eq!(listeners(&store, "a").await, 0);
    done(&store, admission).await;
    assert_eq!(listeners(&store, "a").await, 1);
}

#[tokio::test]
async fn what_is_broken_is_not_tried_again() {
    let (store, between) = watched().await;
    done(&store, open("a", "s")).await;
    for mishap in [
        refusal(400, "AccessDeniedException"),
        refusal(400, "ResourceNotFoundException"),
        canceled(&["ValidationError", "None"]),
        canceled(&["TransactionConflict", "ValidationError"]),
    ] {
        let before = between.requests("TransactWriteItems").len();
        between.will("TransactWriteItems", [mishap]);
        let fault = store.commit(&admit("a", "l")).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Broken, "{fault:?}");
        assert_eq!(between.requests("TransactWriteItems").len(), before + 1);
    }
}

#[tokio::test]
async fn a_condition_beside_a_conflict_is_looked_into() {
    let (store, between) = watched().await;
    done(&store, open("a", "s")).await;
    between
        .will("TransactWriteItems", [canceled(&["ConditionalCheckFailed", "TransactionConflict"])]);
    done(&store, admit("a", "l")).await;
    assert_eq!(listeners(&store, "a").await, 1);
}

#[tokio::test]
async fn reads_are_tried_again_and_batches_finished() {
    let (store, between) = watched().await;
    done(&store, open("a", "s")).await;
    let mishaps = [
        refusal(400, "ThrottlingException"),
        Mishap::Unprocessed,
        Mishap::Loss,
        Mishap::Unprocessed,
        refusal(500, "InternalServerError"),
    ];
    between.will("BatchGetItem", mishaps);
    assert!(seen(&store, "a").await.session.is_some());
    between.will("BatchGetItem", vec![Mishap::Unprocessed; 8]);
    let wanted = Wanted { own: Some(connection_id("s")), ..Wanted::default() };
    assert_eq!(store.load(&wanted).await.unwrap_err().kind, FaultKind::Transient);
}

#[tokio::test]
async fn a_change_that_is_overtaken_is_planned_again() {
    let (store, between) = watched().await;
    done(&store, open("a", "s")).await;
    done(&store, admit("a", "l")).await;
    // As if somebody had retuned the listener between the look and the write, and back.
    between.will("TransactWriteItems", vec![canceled(&["ConditionalCheckFailed", "None"]); 3]);
    done(&store, leave("a", "l")).await;
    assert_eq!(listeners(&store, "a").await, 0);
    between.will("TransactWriteItems", vec![canceled(&["ConditionalCheckFailed", "None"]); 10]);
    let fault = store.commit(&admit("a", "m")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "but not for ever");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_a_broken_one() {
    let (server, tables) = common::tables(Engine::Dynoxide).await;
    let store = DynamoStore::new(server.client(), tables.clone());
    done(&store, open("a", "s")).await;
    let update = server.client().update_item().table_name(&tables.sessions);
    let update = update.key("sessionId", string("test-a-100"));
    let update = update.update_expression("REMOVE createdAt");
    update.send().await.unwrap();
    let session = OfSession::Named(session_id("a"));
    let wanted = Wanted { session, ..Wanted::default() };
    let fault = store.load(&wanted).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Broken);
    assert!(fault.source.to_string().contains("createdAt"), "{fault:?}");
}

fn string(text: &str) -> AttributeValue {
    AttributeValue::S(text.into())
}

#[tokio::test]
async fn a_heartbeat_on_what_has_ended_is_stale() {
    let (store, _) = watched().await;
    done(&store, open("a", "s")).await;
    done(&store, admit("a", "l")).await;
    let row = own(&store, "l").await.unwrap();
    done(&store, end("a")).await;
    assert_eq!(store.commit(&touch(&row)).await.unwrap(), Applied::Stale);
    assert_eq!(own(&store, "l").await, None);
}

/// Every name in an expression that is an attribute's.
#[tokio::test]
async fn no_attribute_is_named_bare_and_what_decides_is_read_consistently() {
    let (store, between) = watched().await;
    for change in life() {
        done(&store, change.clone()).await;
        // Sighted, where it was blind.
        store.commit(&change).await.unwrap();
    }
    store.forget(&session_id("a")).await.unwrap();
    store.due(now(), None, 10).await.unwrap();
    store.totals().await.unwrap();
    store.unfinished(10).await.unwrap();
    store.to_be_told(&session_id("a")).await.unwrap();
    let everything = between.everything();
    let mut expressions = Vec::new();
    for (operation, body) in &everything {
        collect(body, &mut expressions);
        if operation == "BatchGetItem" {
            for asked in body["RequestItems"].as_object().unwrap().values() {
                assert_eq!(asked["ConsistentRead"], true);
            }
        }
        if operation == "GetItem" {
            assert_eq!(body["ConsistentRead"], true);
        }
    }
    assert!(expressions.len() > 30, "{expressions:?}");
    for expression in expressions {
        assert_eq!(bare(&expression), [""; 0], "{expression}");
    }
}

fn collect(body: &Value, expressions: &mut Vec<String>) {
    match body {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name.ends_with("Expression") => expressions.push(text.to_owned()),
                    _ => collect(value, expressions),
                }
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| collect(part, expressions)),
        _ => {}
    }
}

/// The words of an expression that are neither its grammar nor placeholders.
fn bare(expression: &str) -> Vec<&str> {
    const GRAMMAR: [&str; 7] =
        ["SET", "REMOVE", "AND", "OR", "attribute_exists", "attribute_not_exists", "if_not_exists"];
    let is_end = |c: char| !(c.is_ascii_alphanumeric() || "_#:".contains(c));
    let words = expression.split(is_end).filter(|word| !word.is_empty());
    words.filter(|word| !word.starts_with(['#', ':']) && !GRAMMAR.contains(word)).collect()
}
