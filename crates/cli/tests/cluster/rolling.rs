//! The rolling restart of all nodes during a talk.
//!
//! As large as its promise, with a table of what it took; clients, balancer and nodes share the
//! machine, so nothing else should:
//!
//! ```console
//! $ AMBO_CLUSTER_LISTENERS=3000 cargo test --release -p ambo-cli --test cluster -- --nocapture rolling
//! ```

use std::time::Duration;

use ambo_testkit::cluster::{Audience, Cluster, Signal, Talk};
use tokio::time::Instant;

use crate::stage::{SETTLED, SOON, alone, plan};

/// Nobody hears nothing for longer. A build for debugging, beside whatever else a machine does, is
/// only to show that nobody is forgotten.
const SILENCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 8_000 } else { 500 });
/// Fewer and larger writes than by default: the clients and the balancer are on this machine too,
/// and they take most of it.
const TICK: &str = "100ms";
/// Listeners that a small machine can ask to move in a second, and carry their audio too.
const MOVES_A_SECOND: u64 = 150;

fn listeners() -> usize {
    let given = std::env::var("AMBO_CLUSTER_LISTENERS");
    given.map_or(90, |given| given.parse().expect("AMBO_CLUSTER_LISTENERS is a number"))
}

/// What one node's restart took.
struct Row {
    node: String,
    drained: Duration,
    ready: Duration,
    moved: u32,
    /// The longest that each listener had.
    silences: Vec<Duration>,
    cpu: Duration,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_loses_and_doubles_no_frame_and_nobody_is_left_in_silence() {
    let _machine = alone().await;
    let listeners = listeners();
    let drain =
        Duration::from_secs(2) + Duration::from_secs(listeners as u64) / MOVES_A_SECOND as u32;
    let plan = plan()
        .with("AMBO_DRAIN_PERIOD", format!("{}ms", (2 * drain).as_millis()))
        .with("AMBO_DELIVERY_TICK", TICK);
    let mut cluster = Cluster::start(plan).await;
    let talk = Talk::begin(&cluster.server(), cluster.tokens()).await;
    let languages = ["es", "fr", "de", "en"];
    let audience = Audience::join(&cluster.server(), &talk.session(), &languages, listeners).await;
    talk.counts(listeners, SETTLED).await;
    audience.hears(talk.say(50).await, SOON).await;
    audience.take_silences();
    let begun = Instant::now();
    let mut rows = Vec::new();
    for n in 0..cluster.nodes.len() {
        rows.push(restart(&mut cluster, n, &audience, 2 * drain).await);
        audience.hears(talk.say(10).await, SOON).await;
    }
    let took = begun.elapsed();
    talk.counts(listeners, SETTLED).await;
    let last = talk.fall_silent().await;
    audience.hears(last, SOON).await;
    let said = talk.end().await;
    show(&rows, &audience, said.frames, took, engine_cpu(&cluster).await);
    audience.is_dismissed(&said, "speakerEnded").await;
    audience.is_whole();
    assert_eq!(audience.count(|record| record.returns > 0), 0, "a move is no loss");
    let silence = *rows.iter().flat_map(|row| &row.silences).max().unwrap();
    assert!(silence <= SILENCE, "somebody heard nothing for {silence:?}");
}

async fn restart(cluster: &mut Cluster, n: usize, audience: &Audience, period: Duration) -> Row {
    let moves = |audience: &Audience| audience.0.iter().map(|ear| ear.record().moves).sum::<u32>();
    let before = moves(audience);
    let start = Instant::now();
    cluster.nodes[n].signal(Signal::SIGTERM);
    let (status, cpu) = cluster.nodes[n].ended(period + SOON).await;
    assert!(status.success(), "{status}");
    let drained = start.elapsed();
    cluster.nodes[n].start();
    cluster.ready(n).await;
    let ready = start.elapsed() - drained;
    let moved = moves(audience) - before;
    let mut silences = audience.take_silences();
    silences.sort();
    Row { node: cluster.nodes[n].name().to_owned(), drained, ready, moved, silences, cpu }
}

/// The CPU time of the engine, in seconds.
async fn engine_cpu(cluster: &Cluster) -> f64 {
    let info: String = cluster.engine.run(&["INFO", "cpu"]).await;
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or_default()
    };
    of("used_cpu_user:") + of("used_cpu_sys:")
}

fn show(rows: &[Row], audience: &Audience, frames: u32, took: Duration, engine: f64) {
    let records = audience.records();
    let heard: u64 = records.iter().map(|record| record.heard).sum();
    let lost: u64 = records.iter().map(|record| record.lost).sum();
    let doubled: u64 = records.iter().map(|record| record.doubled).sum();
    println!("{} listeners, {frames} frames said, restarted in {took:.1?}", records.len());
    println!(
        "frames heard {heard}, lost {lost}, doubled {doubled}; CPU of the engine {engine:.1} s"
    );
    println!("node   moved  drained  ready  silence p50  p99   longest  CPU of its life");
    for Row { node, drained, ready, moved, silences, cpu } in rows {
        let silence =
            |part: f64| silences[((silences.len() - 1) as f64 * part) as usize].as_millis();
        println!(
            "{node}  {moved:>5}  {:>6.1}s  {:>4.1}s  {:>9}ms  {:>3}ms  {:>5}ms  {:>14.1}s",
            drained.as_secs_f64(),
            ready.as_secs_f64(),
            silence(0.5),
            silence(0.99),
            silence(1.0),
            cpu.as_secs_f64(),
        );
    }
}
