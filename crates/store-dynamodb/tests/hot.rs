//! A session that everybody joins at the same moment.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use ambo_app::ports::Store as _;
use ambo_core::{Applied, Change};
use ambo_store_dynamodb::DynamoStore;
use ambo_testkit::dynamo::Engine;
use common::between::conflict;
use common::{admit, done, leave, listeners, open, store, watched};

const JOINS: usize = 500;

async fn at_once(store: &Arc<DynamoStore>, changes: Vec<Change>) -> Vec<Applied> {
    let commit = |change: Change| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.commit(&change).await.unwrap() })
    };
    let tasks: Vec<_> = changes.into_iter().map(commit).collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes
}

/// Everybody joins, every tenth says it twice, and every other leaves again.
async fn everybody_joins(store: DynamoStore) {
    let store = Arc::new(store);
    done(&store, open("a", "s")).await;
    let joins = (0..JOINS).map(|at| admit("a", &format!("l{at}")));
    let twice = (0..JOINS).step_by(10).map(|at| admit("a", &format!("l{at}")));
    let outcomes = at_once(&store, joins.chain(twice).collect()).await;
    assert!(outcomes.iter().all(|applied| *applied == Applied::Done));
    assert_eq!(listeners(&store, "a").await, JOINS);
    assert_eq!(store.commit(&admit("a", "late")).await.unwrap(), Applied::Stale);
    let leaves = (0..JOINS).step_by(2).map(|at| leave("a", &format!("l{at}"))).collect();
    at_once(&store, leaves).await;
    assert_eq!(listeners(&store, "a").await, JOINS / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_lost_or_counted_twice_on_dynoxide() {
    everybody_joins(store(Engine::Dynoxide).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_lost_or_counted_twice_on_dynamodb_local() {
    everybody_joins(store(Engine::DynamoDbLocal).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_where_every_transaction_conflicts_four_times() {
    let (store, between) = watched().await;
    between.hurdles(4, conflict());
    everybody_joins(store).await;
}
