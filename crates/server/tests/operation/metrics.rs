//! The metrics page: valid, complete, bounded, and right.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use serde_json::json;

use crate::harness::{World, frame};

/// A page, held against the rules of OpenMetrics while it is read.
#[derive(Default)]
pub struct Page {
    /// Type and samples by the family's name.
    families: BTreeMap<String, Family>,
}

#[derive(Default)]
struct Family {
    kind: String,
    unit: Option<String>,
    samples: Vec<Sample>,
}

struct Sample {
    suffix: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Page {
    /// Reads a page; panics where it breaks a rule.
    pub fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("no # EOF at the end");
        let mut page = Self::default();
        let mut current = String::new();
        for line in body.lines() {
            if let Some(described) = line.strip_prefix("# ") {
                let mut words = described.splitn(3, ' ');
                let (what, name, value) = (words.next(), words.next(), words.next());
                let (what, name) = (what.unwrap(), name.unwrap());
                if name != current {
                    assert!(is_name(name) && !page.families.contains_key(name), "again: {line}");
                    current = name.to_owned();
                }
                page.describe(what, name, value.unwrap_or_default());
            } else {
                let family = page.families.get_mut(&current).expect("a sample of nothing");
                family.samples.push(Sample::read(line, &current));
            }
        }
        for (name, family) in &page.families {
            family.check(name);
        }
        page
    }

    fn describe(&mut self, what: &str, name: &str, value: &str) {
        let family = self.families.entry(name.to_owned()).or_default();
        assert!(family.samples.is_empty(), "{name} is described after its samples");
        match what {
            "HELP" => assert!(!value.is_empty() && value.ends_with('.'), "{name}: {value}"),
            "TYPE" => family.kind = value.to_owned(),
            "UNIT" => family.unit = Some(value.to_owned()),
            other => panic!("{other} {name}"),
        }
    }
}

impl Sample {
    fn read(line: &str, family: &str) -> Self {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match name.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
            None => (name, ""),
        };
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} in {family}"));
        let label = |label: &str| {
            let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            assert!(is_name(name), "{line}");
            (name.to_owned(), value.unwrap_or_else(|| panic!("{line}")).to_owned())
        };
        // No value of ours holds a comma; if one did, it would not be read as a label.
        let labels = labels.split(',').filter(|labels| !labels.is_empty()).map(label).collect();
        Self { suffix: suffix.to_owned(), labels, value: value.parse().unwrap() }
    }
}

impl Family {
    fn check(&self, name: &str) {
        let allowed: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{name} is of type {other:?}"),
        };
        if let Some(unit) = &self.unit {
            assert!(name.ends_with(&format!("_{unit}")), "{name} in {unit}");
        }
        let mut seen = HashSet::new();
        for sample in &self.samples {
            assert!(allowed.contains(&sample.suffix.as_str()), "{name}{}", sample.suffix);
            assert!(seen.insert((&sample.suffix, &sample.labels)), "{name} twice");
            assert!(sample.value >= 0.0, "{name} {}", sample.value);
        }
        if self.kind == "histogram" {
            self.check_histogram(name);
        }
    }

    fn check_histogram(&self, name: &str) {
        let mut at = (f64::NEG_INFINITY, 0.0);
        for sample in &self.samples {
            match sample.suffix.as_str() {
                "_bucket" => {
                    let (_, le) = sample.labels.iter().find(|(name, _)| name == "le").unwrap();
                    let le: f64 = le.parse().unwrap();
                    let is_next = le > at.0 && sample.value >= at.1;
                    assert!(is_next, "{name}: {le} {} after {at:?}", sample.value);
                    at = (le, sample.value);
                    if le == f64::INFINITY {
                        at = (f64::NEG_INFINITY, 0.0);
                    }
                }
                _ => assert_eq!(at.0, f64::NEG_INFINITY, "{name}: no bucket for the rest"),
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(is_good)
}

/// What must be there, under the contract's names.
const NAMES: [(&str, &str, &[&str]); 15] = [
    ("session_creation_latency_seconds", "histogram", &[]),
    ("listener_join_latency_seconds", "histogram", &[]),
    ("heartbeat_latency_seconds", "histogram", &[]),
    ("fanout_latency_seconds", "histogram", &[]),
    ("store_latency_seconds", "histogram", &["operation"]),
    ("active_sessions", "gauge", &[]),
    ("total_listeners", "gauge", &[]),
    ("connections", "gauge", &[]),
    ("draining", "gauge", &[]),
    ("connection_errors", "counter", &["code"]),
    ("rate_limit_exceeded", "counter", &["operation"]),
    ("audio_frames_in", "counter", &[]),
    ("audio_frames_out", "counter", &[]),
    ("audio_frames_dropped", "counter", &["reason"]),
    ("refreshes", "counter", &["outcome", "role"]),
];

/// A conversation of which every number is known: a speaker, three listeners.
async fn conversation(world: &World) {
    let mut speaking = world.speak().await;
    let join = format!("action=joinSession&sessionId={}&targetLanguage=es", speaking.session);
    let mut listeners = Vec::new();
    for language in ["es", "es", "de"] {
        listeners.push(world.listen(&speaking.session, language).await);
    }
    for sequence in 1..=5 {
        speaking.peer.send_binary(frame(sequence, b"word")).await;
    }
    speaking.peer.send_binary(frame(5, b"twice")).await;
    for listener in &mut listeners {
        for sequence in 1..=5 {
            assert_eq!(listener.binary().await, frame(sequence, b"word"));
        }
    }
    speaking.peer.send(json!({ "action": "controlSession", "command": "mute" })).await;
    speaking.peer.json_of("broadcastState").await;
    speaking.peer.send_binary(frame(6, b"muted")).await;
    for _ in 0..5 {
        listeners[0].send(json!({ "action": "heartbeat" })).await;
    }
    for kind in ["sessionMuted", "heartbeatAck"] {
        listeners[0].json_of(kind).await;
    }
    assert_eq!(listeners[0].json_of("error").await["code"], "RATE_LIMIT_EXCEEDED");

    let nowhere = "action=joinSession&sessionId=calm-lake-100&targetLanguage=es";
    assert_eq!(world.refused(nowhere).await.status, 404);
    assert_eq!(world.refused("action=sing").await.status, 400);
    assert_eq!(world.refused(&join.replace("=es", "=zz")).await.status, 400);
    let refresh = join.replace("joinSession", "refreshConnection&role=listener");
    let mut moved = world.connect(&refresh).await;
    moved.json_of("connectionRefreshComplete").await;
    let stranger = speaking.refresh(&world.token("ben"));
    assert_eq!(world.refused(&stranger).await.status, 403);
    // By message, too.
    let own = json!({ "action": "refreshConnection", "role": "speaker",
        "sessionId": speaking.session, "token": world.token("ann") });
    speaking.peer.send(own).await;
    speaking.peer.json_of("connectionRefreshComplete").await;
    check_values(world).await;
    speaking.peer.leave(1000).await;
}

async fn check_values(world: &World) {
    for (sample, expected) in [
        ("active_sessions", 1.0),
        ("total_listeners", 4.0),
        ("connections", 5.0),
        ("session_creation_latency_seconds_count", 1.0),
        ("listener_join_latency_seconds_count", 3.0),
        ("heartbeat_latency_seconds_count", 5.0),
        ("audio_frames_in_total", 7.0),
        ("audio_frames_out_total", 15.0),
        ("audio_frames_dropped_total{reason=\"duplicate\"}", 1.0),
        ("audio_frames_dropped_total{reason=\"muted\"}", 1.0),
        ("audio_frames_dropped_total{reason=\"slow\"}", 0.0),
        ("audio_frames_dropped_total{reason=\"excess\"}", 0.0),
        ("connection_errors_total{code=\"SESSION_NOT_FOUND\"}", 1.0),
        ("connection_errors_total{code=\"INVALID_ACTION\"}", 1.0),
        ("connection_errors_total{code=\"UNSUPPORTED_LANGUAGE\"}", 1.0),
        ("connection_errors_total{code=\"FORBIDDEN\"}", 1.0),
        ("connection_errors_total{code=\"RATE_LIMIT_EXCEEDED\"}", 1.0),
        ("connection_errors_total{code=\"INTERNAL_ERROR\"}", 0.0),
        ("rate_limit_exceeded_total{operation=\"heartbeat\"}", 1.0),
        ("refreshes_total{role=\"listener\",outcome=\"completed\"}", 1.0),
        ("refreshes_total{role=\"speaker\",outcome=\"completed\"}", 1.0),
        ("refreshes_total{role=\"speaker\",outcome=\"FORBIDDEN\"}", 1.0),
        ("store_latency_seconds_count{operation=\"open\"}", 1.0),
        ("store_latency_seconds_count{operation=\"admit\"}", 4.0),
        ("store_breaker", 0.0),
    ] {
        world.metric_becomes(sample, expected).await;
    }
}

#[tokio::test]
async fn the_page_is_complete_valid_and_right() {
    let world = World::start(|_| {}).await;
    Page::read(&world.get("/metrics").await.2);
    conversation(&world).await;
    world.metric_becomes("active_sessions", 0.0).await;
    world.metric_becomes("connections", 0.0).await;
    let page = Page::read(&world.get("/metrics").await.2);
    for (name, kind, labels) in NAMES {
        let family = page.families.get(name).unwrap_or_else(|| panic!("{name} is not there"));
        assert_eq!(family.kind, kind, "{name}");
        assert!(!family.samples.is_empty(), "{name} has no sample");
        for sample in &family.samples {
            let found: BTreeSet<&str> = sample
                .labels
                .iter()
                .map(|(name, _)| name.as_str())
                .filter(|l| *l != "le")
                .collect();
            assert_eq!(found, labels.iter().copied().collect(), "{name}");
        }
    }
    // Answers of milliseconds fall into buckets between which p50, p95 and p99 can be told.
    let bounds = |name: &str| {
        let buckets = page.families[name].samples.iter();
        let le = |sample: &Sample| sample.labels.iter().find(|l| l.0 == "le").map(|l| l.1.clone());
        let bounds: Vec<f64> = buckets.filter_map(le).map(|le| le.parse().unwrap()).collect();
        bounds
    };
    for name in ["session_creation", "listener_join", "heartbeat", "fanout"] {
        let bounds = bounds(&format!("{name}_latency_seconds"));
        for wanted in [0.005, 0.05, 0.1, 1.0] {
            assert!(bounds.contains(&wanted), "{name} has no bound at {wanted} s: {bounds:?}");
        }
    }
}

#[tokio::test]
async fn no_label_grows_with_what_clients_send() {
    let world = World::start(|_| {}).await;
    let count = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let knock = async |n: u32| {
        for query in [
            format!("action=joinSession&sessionId=calm-lake-{}&targetLanguage=es", 100 + n),
            format!("action=sing{n}"),
            format!("action=createSession&sourceLanguage=en&token=a{n}.b.c"),
            format!("action=joinSession&sessionId=no{n}&targetLanguage=x{n}"),
            format!("action=refreshConnection&role=r{n}&sessionId=calm-lake-{}", 100 + n),
        ] {
            world.refused(&query).await;
        }
    };
    knock(0).await;
    let speaking = world.speak().await;
    world.listen(&speaking.session, "es").await.vanish();
    world.pass(Duration::from_secs(2)).await;
    world.metric_becomes("total_listeners", 0.0).await;
    let before = count(&world.get("/metrics").await.2);
    for n in 1..8 {
        knock(n).await;
        world.listen(&speaking.session, ["fr", "it", "pt"][n as usize % 3]).await.vanish();
    }
    world.metric_becomes("total_listeners", 0.0).await;
    let after = world.get("/metrics").await.2;
    assert_eq!(count(&after), before, "{after}");
    Page::read(&after);
}

#[tokio::test]
async fn the_guide_names_every_metric_and_no_other() {
    let world = World::start(|_| {}).await;
    conversation(&world).await;
    let page = Page::read(&world.get("/metrics").await.2);
    let guide = include_str!("../../../../docs/operations.md");
    let (_, table) = guide.split_once("| metric | type | what it says |\n").unwrap();
    let mut named = BTreeMap::new();
    for row in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for name in cells[1].split(", ") {
            let name = name.trim_matches('`').split('{').next().unwrap();
            named.insert(name, cells[2]);
        }
    }
    let kinds = page.families.iter().map(|(name, family)| (name.as_str(), family.kind.as_str()));
    assert_eq!(named, kinds.collect());
}
