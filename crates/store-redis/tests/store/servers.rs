//! Servers that the tests of this program share for as long as one of them needs it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use ambo_store_redis::{Engine, RedisSettings, RedisStore};
use ambo_testkit::redis::{RedisCluster, RedisServer};
use tokio::sync::Mutex;

static SERVER: Mutex<Weak<RedisServer>> = Mutex::const_new(Weak::new());
static CLUSTER: Mutex<Weak<RedisCluster>> = Mutex::const_new(Weak::new());

pub async fn server() -> Arc<RedisServer> {
    let mut shared = SERVER.lock().await;
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(RedisServer::start().await);
    *shared = Arc::downgrade(&server);
    server
}

pub async fn cluster() -> Arc<RedisCluster> {
    let mut shared = CLUSTER.lock().await;
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(RedisCluster::start().await);
    *shared = Arc::downgrade(&cluster);
    cluster
}

/// How to reach what is there, on however slow a machine.
pub fn settings(url: &str) -> RedisSettings {
    RedisSettings::parse(url).unwrap().with_call_timeout(Duration::from_secs(30))
}

pub async fn store(url: &str) -> RedisStore {
    RedisStore::new(Engine::connect(&settings(url)).await.unwrap())
}

/// What comes of a future, for a test that is not async itself.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}
