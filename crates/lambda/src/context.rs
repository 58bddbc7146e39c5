//! What a function that keeps state is made of. Built once, when the process starts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambo_app::App;
use ambo_app::ports::{Keys, Store};
use ambo_core::event::{Departure, Via};
use ambo_core::{Arrival, Connection, ConnectionId, Event, Limits, SourceAddress, Terms, Words};
use ambo_resilience::{Call, ObservedStore, Resilient};
use ambo_store_dynamodb::DynamoStore;
use ambo_wire::Sizes;
use futures_util::stream::{self, StreamExt as _};
use parking_lot::Mutex;

use crate::aws::Aws;
use crate::clock::Clock;
use crate::connections::{Connections, IN_FLIGHT};
use crate::first_message::Courier;
use crate::languages::{self, LanguageDesk};
use crate::metrics::Metrics;
use crate::outbox::GatewayOutbox;

/// A function's parts.
pub(crate) struct Context {
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sizes: Sizes,
    pub(crate) media_url: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) connections: Arc<Connections>,
    pub(crate) outbox: Arc<GatewayOutbox>,
    pub(crate) courier: Courier,
    /// The store itself, for what only the sweep asks.
    pub(crate) rolls: Arc<DynamoStore>,
    app: Mutex<Arc<App>>,
    store: Arc<dyn Store>,
    keys: Arc<dyn Keys>,
    desk: LanguageDesk,
}

/// What a context is built from.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) media_url: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) aws: Arc<Aws>,
    pub(crate) endpoint: String,
    pub(crate) courier: Courier,
    pub(crate) rolls: Arc<DynamoStore>,
    pub(crate) keys: Arc<dyn Keys>,
    pub(crate) sources: languages::Sources,
}

impl Context {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { clock, metrics, media_url, limits, aws, endpoint, courier, .. } = parts;
        let Parts { rolls, keys, sources, .. } = parts;
        let store = observed(Arc::clone(&rolls), &metrics);
        let connections = Arc::new(Connections::new(Arc::clone(&aws), endpoint));
        let outbox = Arc::new(GatewayOutbox {
            connections: Arc::clone(&connections),
            store: Arc::clone(&store),
            rolls: Arc::clone(&rolls),
            metrics: Arc::clone(&metrics),
            departed: Mutex::default(),
        });
        let languages = languages::known();
        let terms = Terms { limits: limits.clone(), languages, words: Words::builtin() };
        let app = app(&store, &outbox, &keys, terms);
        Self {
            clock,
            metrics,
            sizes: Sizes::default(),
            media_url,
            limits,
            connections,
            outbox,
            courier,
            rolls,
            app: Mutex::new(app),
            store,
            keys,
            desk: LanguageDesk::new(aws, sources),
        }
    }

    /// The walk.
    pub(crate) fn app(&self) -> Arc<App> {
        Arc::clone(&self.app.lock())
    }

    /// Learns which languages there are, where it is time to; events to come are walked by them.
    /// Only where nobody waits any more.
    pub(crate) async fn learn_languages(&self) {
        if let Some(languages) = self.desk.ask(self.clock.now()).await {
            let terms = Terms { languages, ..self.app().terms().clone() };
            *self.app.lock() = app(&self.store, &self.outbox, &self.keys, terms);
        }
    }

    /// A connection is gone, and nobody asked for it: tells the rules, and whoever they say.
    /// Whether the rules could be asked: if not, the member is still there, and its connection
    /// must not be closed, which would be told as a goodbye.
    pub(crate) async fn depart(
        &self,
        connection: ConnectionId,
        source: SourceAddress,
        how: Departure,
    ) -> bool {
        let arrival = Arrival {
            connection,
            source,
            via: Via::Server,
            token: None,
            intent: Ok(Event::Disconnect(how)),
            stamp: self.clock.stamp(),
        };
        let app = self.app();
        // A refusal is a fault that was logged; the sweep sees the same connection again.
        let outcome = app.handle(&arrival).await;
        app.notify(&outcome.notices, self.clock.now()).await;
        outcome.answer.is_ok()
    }

    /// Walks the departures of those who were found gone while others were told.
    pub(crate) async fn settle(&self) {
        let gone: Vec<Connection> = std::mem::take(&mut *self.outbox.departed.lock());
        let depart = async |gone: Connection| {
            self.depart(gone.id, gone.source, Departure::Lost).await;
        };
        stream::iter(gone).for_each_concurrent(IN_FLIGHT, depart).await;
    }
}

fn app(
    store: &Arc<dyn Store>,
    outbox: &Arc<GatewayOutbox>,
    keys: &Arc<dyn Keys>,
    terms: Terms,
) -> Arc<App> {
    let outbox = Arc::clone(outbox);
    Arc::new(App::new(Arc::clone(store), outbox, Arc::clone(keys), terms))
}

/// The store, made to bear faults and measured.
fn observed(rolls: Arc<DynamoStore>, metrics: &Arc<Metrics>) -> Arc<dyn Store> {
    let settings = ambo_resilience::Settings::default();
    let Resilient { store, health } = ambo_resilience::wrap(rolls, &settings);
    let metrics = Arc::clone(metrics);
    let counted = AtomicU64::new(0);
    let took = move |call: Call, took| {
        metrics.store_took(call.as_str(), took);
        let unlimited = health.unlimited();
        let before = counted.fetch_max(unlimited, Ordering::Relaxed);
        if unlimited > before {
            metrics.limiter_failed(unlimited - before);
        }
    };
    Arc::new(ObservedStore::new(store, took))
}
