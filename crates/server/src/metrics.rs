//! Metrics in the Prometheus text format. No label's values are unbounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use ambo_core::{Event, Intent, Refusal};
use ambo_hub::Hub;
use ambo_resilience::Health;

use crate::cluster::Cluster;

/// Seconds; from a tenth of a millisecond to ten seconds, so that p50, p95 and p99 of both a
/// heartbeat and a slow store can be told.
const BUCKETS: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Refresh {
    role: &'static str,
    outcome: &'static str,
}

/// What the server counts and times itself; the hub's and the store's numbers are read when asked.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) session_creation: Histogram,
    pub(crate) listener_join: Histogram,
    pub(crate) heartbeat: Histogram,
    pub(crate) fanout: Histogram,
    pub(crate) active_sessions: Gauge,
    pub(crate) total_listeners: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) draining: Gauge,
    pub(crate) logs_dropped: Arc<AtomicU64>,
    store: Family<Operation, Histogram, fn() -> Histogram>,
    errors: Family<Code, Counter>,
    limits: Family<Operation, Counter>,
    refreshes: Family<Refresh, Counter>,
    excess: Arc<AtomicU64>,
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            session_creation: histogram(),
            listener_join: histogram(),
            heartbeat: histogram(),
            fanout: histogram(),
            active_sessions: Gauge::default(),
            total_listeners: Gauge::default(),
            connections: Gauge::default(),
            draining: Gauge::default(),
            logs_dropped: Arc::default(),
            store: Family::new_with_constructor(histogram as fn() -> Histogram),
            errors: Family::default(),
            limits: Family::default(),
            refreshes: Family::default(),
            excess: Arc::default(),
        };
        metrics.register();
        // An alert sees a first fault only where there was a zero before it.
        metrics.errors.get_or_create(&Code { code: Refusal::Internal.code() }).inc_by(0);
        metrics
    }

    fn register(&mut self) {
        let seconds = || Unit::Seconds;
        let registry = &mut self.registry;
        for (name, help, histogram) in [
            (
                "session_creation_latency",
                "From a createSession to its reply",
                &self.session_creation,
            ),
            ("listener_join_latency", "From a joinSession to its reply", &self.listener_join),
            ("heartbeat_latency", "From a heartbeat to its ack", &self.heartbeat),
            ("fanout_latency", "From a frame's arrival to its last write", &self.fanout),
        ] {
            registry.register_with_unit(name, help, seconds(), histogram.clone());
        }
        let help = "A call of the store";
        registry.register_with_unit("store_latency", help, seconds(), self.store.clone());
        for (name, help, gauge) in [
            ("active_sessions", "Sessions that have not ended", &self.active_sessions),
            ("total_listeners", "Listeners in all sessions", &self.total_listeners),
            ("connections", "Open WebSocket connections", &self.connections),
            ("draining", "1 once the node is to leave", &self.draining),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("connection_errors", "Refusals by code", self.errors.clone());
        let help = "Requests beyond a limit";
        registry.register("rate_limit_exceeded", help, self.limits.clone());
        registry.register("refreshes", "Connection refreshes", self.refreshes.clone());
    }

    /// Adds what the hub and the store's wrappers count by themselves.
    pub(crate) fn watch(
        &mut self,
        hub: Arc<Hub>,
        health: Arc<Health>,
        cluster: Option<Arc<Cluster>>,
    ) {
        let (excess, logs_dropped) = (Arc::clone(&self.excess), Arc::clone(&self.logs_dropped));
        self.registry.register_collector(Box::new(Elsewhere {
            hub,
            health,
            cluster,
            excess,
            logs_dropped,
        }));
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.errors.get_or_create(&Code { code: refusal.code() }).inc();
        if let Refusal::RateLimitExceeded { operation, .. } = refusal {
            self.limits.get_or_create(&Operation { operation: operation.as_str() }).inc();
        }
    }

    /// Counts a refresh, if it is one, by connection or by message.
    pub(crate) fn refreshed<T>(&self, intent: &Intent, outcome: &Result<T, Refusal>) {
        let role = match intent {
            Ok(Event::RefreshSpeaker { .. }) => "speaker",
            Ok(Event::RefreshListener { .. }) => "listener",
            _ => return,
        };
        let outcome = outcome.as_ref().map_or_else(Refusal::code, |_| "completed");
        self.refreshes.get_or_create(&Refresh { role, outcome }).inc();
    }

    /// Counts a frame beyond its connection's limit, which is dropped.
    pub(crate) fn audio_excess(&self) {
        self.excess.fetch_add(1, Ordering::Relaxed);
        self.limits.get_or_create(&Operation { operation: "audio" }).inc();
    }

    pub(crate) fn store_took(&self, operation: &'static str, took: Duration) {
        self.store.get_or_create(&Operation { operation }).observe(took.as_secs_f64());
    }

    /// The page a Prometheus server reads.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut page, &self.registry);
        page
    }
}

/// Numbers that others keep.
struct Elsewhere {
    hub: Arc<Hub>,
    health: Arc<Health>,
    cluster: Option<Arc<Cluster>>,
    excess: Arc<AtomicU64>,
    logs_dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Elsewhere")
    }
}

impl Collector for Elsewhere {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let counters = self.hub.counters();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let health = &self.health;
        let of_cluster = self.cluster.iter().flat_map(|cluster| cluster.counted());
        let of_node = [
            ("audio_frames_in", "Frames that speakers sent.", read(&counters.frames_in)),
            ("audio_frames_out", "Frames handed to listeners.", read(&counters.frames_out)),
            ("slow_consumers", "Listeners closed for lag.", read(&counters.slow_consumers)),
            ("rate_limiter_failures", "Requests a faulty limiter let pass.", health.unlimited()),
            ("store_retries", "Calls of the store made again.", health.retries()),
            ("store_timeouts", "Calls of the store given up.", health.timeouts()),
            ("store_breaker_opened", "Times the store was given a rest.", health.store_opened()),
            ("log_lines_dropped", "Log lines lost to a slow log.", read(&self.logs_dropped)),
            ("panics", "Bugs that stopped a task.", crate::logging::panics()),
        ];
        for (name, help, value) in of_node.into_iter().chain(of_cluster) {
            let counter = ConstCounter::new(value);
            let metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            counter.encode(metric)?;
        }
        let gauge = ConstGauge::new(i64::from(health.store_breaker().as_number()));
        let help = "0 closed, 1 trying, 2 open.";
        let metric = encoder.encode_descriptor("store_breaker", help, None, gauge.metric_type())?;
        gauge.encode(metric)?;

        let dropped = ConstCounter::new(0_u64);
        let help = "Frames dropped.";
        let mut family =
            encoder.encode_descriptor("audio_frames_dropped", help, None, dropped.metric_type())?;
        for (reason, counter) in [
            ("muted", &counters.dropped_muted),
            ("duplicate", &counters.dropped_duplicate),
            ("revoked", &counters.dropped_revoked),
            ("slow", &counters.dropped_slow),
            ("excess", &*self.excess),
        ] {
            let labels = [("reason", reason)];
            ConstCounter::new(read(counter)).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
