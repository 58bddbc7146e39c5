//! Many nodes at once.

use std::sync::Arc;

use ambo_app::ports::Store;
use ambo_core::{Applied, Change};
use ambo_store_redis::RedisStore;

use crate::draft::{NOW, listener, open, session};
use crate::servers::{cluster, server, store};

/// Two thousand at three nodes want the five hundred places of a session.
async fn five_hundred_of_two_thousand(name: &str, url: &str) {
    let mut nodes: Vec<Arc<RedisStore>> = Vec::new();
    for _ in 0..3 {
        nodes.push(Arc::new(store(url).await));
    }
    let draft = session(name);
    assert_eq!(nodes[0].commit(&open(&draft)).await.unwrap(), Applied::Done);
    let joins: Vec<_> = (0..2_000)
        .map(|at| {
            let node = Arc::clone(&nodes[at % 3]);
            let connection = listener(&draft.0, &format!("node{}.{name}{at}", at % 3));
            let admit = Change::Admit { connection, max: 500, now: NOW };
            tokio::spawn(async move { node.commit(&admit).await.unwrap() })
        })
        .collect();
    let mut admitted = [0; 3];
    for (at, join) in joins.into_iter().enumerate() {
        admitted[at % 3] += usize::from(join.await.unwrap() == Applied::Done);
    }
    assert_eq!(admitted.iter().sum::<usize>(), 500);
    for (at, admitted) in admitted.into_iter().enumerate() {
        let held = nodes[0].members_of(&draft.0.id, &format!("node{at}")).await.unwrap();
        assert_eq!(held.len(), admitted, "who was told to be a member is one");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_places_are_taken_on_one_server() {
    let server = server().await;
    five_hundred_of_two_thousand("crowdone", &server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_the_places_are_taken_on_a_cluster() {
    let cluster = cluster().await;
    five_hundred_of_two_thousand("crowdmany", &cluster.url()).await;
}
