//! Metrics as log lines that CloudWatch reads (the embedded metric format): no call is made for
//! them.

use std::time::Duration;

use ambo_core::{Event, Intent, Refusal};
use serde_json::{Map, Value, json};

use crate::clock::Clock;

const NAMESPACE: &str = "SessionManagement";

/// Where lines go.
type Sink = Box<dyn Fn(&str) + Send + Sync>;

/// Writes a line for each observation. Alarms know no dimensions, so a metric that has one is
/// counted without it too.
pub(crate) struct Metrics {
    clock: Clock,
    sink: Sink,
}

impl Metrics {
    pub(crate) fn new(clock: Clock, sink: Sink) -> Self {
        Self { clock, sink }
    }

    pub(crate) fn session_created(&self, took: Duration) {
        self.took("SessionCreationLatency", took, &[]);
    }

    pub(crate) fn listener_joined(&self, took: Duration) {
        self.took("ListenerJoinLatency", took, &[]);
    }

    pub(crate) fn heartbeat_answered(&self, took: Duration) {
        self.took("HeartbeatLatency", took, &[]);
    }

    /// From the first post of a notice to its last.
    pub(crate) fn fanned_out(&self, took: Duration) {
        self.took("FanoutLatency", took, &[]);
    }

    pub(crate) fn store_took(&self, operation: &'static str, took: Duration) {
        self.took("StoreLatency", took, &[("Operation", operation)]);
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.count("ConnectionErrors", 1, &[("Code", refusal.code())]);
        if let Refusal::RateLimitExceeded { operation, .. } = refusal {
            self.count("RateLimitExceeded", 1, &[("Operation", operation.as_str())]);
        }
    }

    /// Limits that could not be asked, and let pass.
    pub(crate) fn limiter_failed(&self, times: u64) {
        self.count("RateLimiterFailures", times, &[]);
    }

    /// Counts a refresh, if it is one, by connection or by message.
    pub(crate) fn refreshed<T>(&self, intent: &Intent, outcome: &Result<T, Refusal>) {
        let role = match intent {
            Ok(Event::RefreshSpeaker { .. }) => "speaker",
            Ok(Event::RefreshListener { .. }) => "listener",
            _ => return,
        };
        let outcome = outcome.as_ref().map_or_else(Refusal::code, |_| "completed");
        self.count("Refreshes", 1, &[("Role", role), ("Outcome", outcome)]);
    }

    /// How much there is, by the sweep.
    pub(crate) fn totals(&self, sessions: u64, listeners: u64, connections: u64) {
        self.count("ActiveSessions", sessions, &[]);
        self.count("TotalListeners", listeners, &[]);
        self.count("Connections", connections, &[]);
    }

    fn took(&self, name: &str, took: Duration, dimensions: &[(&str, &str)]) {
        self.emit(name, "Milliseconds", json!(took.as_secs_f64() * 1_000.0), dimensions);
    }

    fn count(&self, name: &str, count: u64, dimensions: &[(&str, &str)]) {
        self.emit(name, "Count", json!(count), dimensions);
    }

    fn emit(&self, name: &str, unit: &str, value: Value, dimensions: &[(&str, &str)]) {
        let mut sets = vec![json!([])];
        if !dimensions.is_empty() {
            sets.push(dimensions.iter().map(|(name, _)| *name).collect());
        }
        let metadata = json!({
            "Timestamp": self.clock.now().0,
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": sets,
                "Metrics": [{ "Name": name, "Unit": unit }],
            }],
        });
        let mut line = Map::from_iter([("_aws".to_owned(), metadata), (name.to_owned(), value)]);
        for (dimension, value) in dimensions {
            line.insert((*dimension).to_owned(), json!(value));
        }
        (self.sink)(&Value::Object(line).to_string());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ambo_core::{Millis, Operation};
    use parking_lot::Mutex;

    use super::*;

    fn lines(observe: impl Fn(&Metrics)) -> Vec<Value> {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let clock = Clock::manual(Millis(1_700_000_000_000));
        let metrics = Metrics::new(
            clock,
            Box::new(move |line| sink.lock().push(serde_json::from_str(line).unwrap())),
        );
        observe(&metrics);
        std::mem::take(&mut *lines.lock())
    }

    /// What CloudWatch demands: every metric and dimension is a member of the line, a metric a
    /// number, a dimension a text.
    fn assert_sound(line: &Value) {
        let metadata = &line["_aws"];
        assert!(metadata["Timestamp"].is_u64(), "{line}");
        let directives = metadata["CloudWatchMetrics"].as_array().unwrap();
        assert_eq!(directives.len(), 1, "{line}");
        assert_eq!(directives[0]["Namespace"], NAMESPACE);
        let sets = directives[0]["Dimensions"].as_array().unwrap();
        assert_eq!(sets[0], json!([]), "alarms read the metric without dimensions: {line}");
        for name in sets.iter().flat_map(|set| set.as_array().unwrap()) {
            assert!(line[name.as_str().unwrap()].is_string(), "{name} in {line}");
        }
        for metric in directives[0]["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_number(), "{metric} in {line}");
            assert!(["Milliseconds", "Count"].contains(&metric["Unit"].as_str().unwrap()));
        }
    }

    #[test]
    fn every_line_is_one_that_cloudwatch_reads() {
        let spent = Refusal::RateLimitExceeded { operation: Operation::Connect, retry_after: 1 };
        let second = Duration::from_millis(1_500);
        let lines = lines(|metrics| {
            metrics.session_created(second);
            metrics.listener_joined(second);
            metrics.heartbeat_answered(second);
            metrics.fanned_out(second);
            metrics.store_took("load", second);
            metrics.refused(&spent);
            metrics.limiter_failed(2);
            metrics.totals(3, 40, 43);
        });
        lines.iter().for_each(assert_sound);
        let values: Vec<_> = lines
            .iter()
            .map(|line| {
                let name = line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].clone();
                let name = name.as_str().unwrap().to_owned();
                let value = line[&name].as_f64().unwrap();
                (name, value)
            })
            .collect();
        let expected = [
            ("SessionCreationLatency", 1_500.0),
            ("ListenerJoinLatency", 1_500.0),
            ("HeartbeatLatency", 1_500.0),
            ("FanoutLatency", 1_500.0),
            ("StoreLatency", 1_500.0),
            ("ConnectionErrors", 1.0),
            ("RateLimitExceeded", 1.0),
            ("RateLimiterFailures", 2.0),
            ("ActiveSessions", 3.0),
            ("TotalListeners", 40.0),
            ("Connections", 43.0),
        ];
        assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn only_a_refresh_is_counted_as_one() {
        let session = ambo_core::SessionId::parse("gentle-river-100").unwrap();
        let refresh: Intent = Ok(Event::RefreshSpeaker { session });
        let lines = lines(|metrics| {
            metrics.refreshed(&refresh, &Ok(()));
            metrics.refreshed::<()>(&refresh, &Err(Refusal::Forbidden));
            metrics.refreshed(&Ok(Event::Heartbeat), &Ok(()));
        });
        let outcomes: Vec<_> = lines.iter().map(|line| line["Outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["completed", "FORBIDDEN"]);
        assert!(lines.iter().all(|line| line["Role"] == "speaker"));
    }
}
