//! What a node stands on: the embedded store, or a cluster's engine.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{Outbox, Store};
use ambo_core::Millis;
use ambo_store_embedded::{EmbeddedSettings, EmbeddedStore};
use ambo_store_redis::{Engine, RedisSettings, RedisStore};
use anyhow::Context;

use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterOutbox};
use crate::node::Node;
use crate::outbox::LocalOutbox;
use crate::settings::{Settings, StoreKind};

/// A store, the way to others, and what must be closed after them.
pub(crate) struct Backing {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Arc<dyn Outbox>,
    /// How long the store may miss a session before it is taken to have ended.
    pub(crate) missing: Millis,
    pub(crate) resilience: ambo_resilience::Settings,
    pub(crate) kept: Kept,
}

/// What is closed when the node stops.
pub(crate) enum Kept {
    Embedded(Arc<EmbeddedStore>),
    Cluster(Arc<Cluster>),
}

/// How long a node waits before it looks again for an engine that does not answer.
const ENGINE_RETRY: Duration = Duration::from_secs(2);

/// How long an engine that has forgotten a session may take to be told of it again. Its speaker's
/// node does that within two rounds of two seconds.
const PATIENCE_WITH_ENGINE: Millis = Millis::from_secs(10);

/// An engine across a network comes back by itself, and must not be avoided for long when it has.
const ENGINE_REST: Duration = Duration::from_secs(2);

impl Backing {
    pub(crate) async fn open(
        settings: &Settings,
        clock: &Clock,
        local: LocalOutbox,
    ) -> anyhow::Result<Self> {
        match &settings.store {
            StoreKind::Embedded => Self::embedded(settings, clock, local).await,
            StoreKind::Redis(redis) => {
                let redis = (**redis).clone().with_key_prefix(&settings.store_prefix)?;
                Self::cluster(&redis, clock, local).await
            }
        }
    }

    async fn embedded(
        settings: &Settings,
        clock: &Clock,
        local: LocalOutbox,
    ) -> anyhow::Result<Self> {
        let opening = EmbeddedSettings {
            directory: settings.data_dir.clone(),
            speaker_grace: settings.limits().speaker_grace,
            now: clock.now(),
        };
        let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(&opening));
        let store = Arc::new(opened.await?.context("the store cannot be opened")?);
        Ok(Self {
            store: Arc::clone(&store) as Arc<dyn Store>,
            outbox: Arc::new(local),
            missing: Millis::from_secs(1),
            resilience: ambo_resilience::Settings::default(),
            kept: Kept::Embedded(store),
        })
    }

    async fn cluster(
        redis: &RedisSettings,
        clock: &Clock,
        local: LocalOutbox,
    ) -> anyhow::Result<Self> {
        let engine = reach(redis).await?;
        let store = Arc::new(RedisStore::new(engine.clone()));
        let (held, clock) = (Arc::clone(&store), clock.clone());
        let cluster = Cluster::join(engine, held, local, clock).await?;
        let open_for = ENGINE_REST;
        Ok(Self {
            store,
            outbox: Arc::new(ClusterOutbox(Arc::clone(&cluster))),
            missing: PATIENCE_WITH_ENGINE,
            resilience: ambo_resilience::Settings { open_for, ..Default::default() },
            kept: Kept::Cluster(cluster),
        })
    }
}

impl Kept {
    pub(crate) fn cluster(&self) -> Option<Arc<Cluster>> {
        match self {
            Self::Embedded(_) => None,
            Self::Cluster(cluster) => Some(Arc::clone(cluster)),
        }
    }

    /// Sees to it that what this node signs is good at the others.
    pub(crate) async fn agree_on(&self, issuer: Option<String>) -> anyhow::Result<()> {
        match (self, issuer) {
            (Self::Cluster(cluster), Some(issuer)) => cluster.agree_on(issuer).await,
            (Self::Embedded(_), _) | (Self::Cluster(_), None) => Ok(()),
        }
    }

    /// Writes what is left, and gives up what others would wait for.
    pub(crate) async fn close(&self, node: &Node) -> anyhow::Result<()> {
        match self {
            Self::Embedded(store) => store.close().await.context("the store could not be closed"),
            // An engine that is away needs no goodbye: the node's lease runs out.
            Self::Cluster(cluster) => {
                let _ = cluster.quit(node).await;
                Ok(())
            }
        }
    }
}

/// Waits for the engine: a node that is started together with it may be the quicker one.
async fn reach(redis: &RedisSettings) -> anyhow::Result<Engine> {
    loop {
        match Engine::connect(redis).await {
            Ok(engine) => return Ok(engine),
            Err(fault) if fault.kind == ambo_app::ports::FaultKind::Broken => {
                return Err(fault).context("store: the engine refuses this node");
            }
            Err(fault) => {
                tracing::error!(
                    component = "cluster",
                    operation = "connect",
                    errorCode = "SERVICE_UNAVAILABLE",
                    engine = redis.address(),
                    error = %format_args!("{fault}: {}", fault.source),
                    "the engine of the cluster does not answer; trying again"
                );
                tokio::time::sleep(ENGINE_RETRY).await;
            }
        }
    }
}
