//! What the functions cost beside a Python function that makes the same calls, in one run:
//!
//! ```console
//! $ cargo build --profile bootstrap -p ambo-lambda --bin bootstrap
//! $ AMBO_BOOTSTRAP=target/bootstrap/bootstrap AMBO_PYTHON=.venv/bin/python \
//!     cargo run -p ambo-lambda --example measure
//! ```
//!
//! `AMBO_PYTHON` is a Python 3.11 with boto3; without it only the bootstrap is measured. The double
//! and the database are on the same machine, so times are of use beside each other only, and CPU
//! time is the measure.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "its result")]

#[path = "../tests/end_to_end/services.rs"]
mod services;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/end_to_end/support.rs"]
mod support;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambo_testkit::contract::Client;
use ambo_testkit::gateway::{self, Happening};
use futures_util::future::join_all;
use serde_json::json;

use support::{Functions, World, text};

const STARTS: usize = 21;
/// A first message may wait for a second, so one instance would not do.
const INSTANCES: usize = 4;
/// At once, so that all instances are warm.
const WARM_UP: usize = 20;
const JOINS: usize = 200;
const LISTENERS: usize = 500;
const POST_LATENCY: Duration = Duration::from_millis(20);

/// What the bootstrap must keep, when it was built as above.
const START_BAR: Duration = Duration::from_millis(25);
const JOIN_BAR: Duration = Duration::from_millis(5);
const END_BAR: Duration = Duration::from_secs(3);

const UNLIMITED: [(&str, &str); 4] = [
    ("RATE_LIMIT_HEARTBEATS_PER_MIN", "0"),
    // As in a deployment, they are asked; but nobody is refused.
    ("RATE_LIMIT_JOINS_PER_MIN", "1000000"),
    ("RATE_LIMIT_CONNECTS_PER_MIN", "1000000"),
    ("RATE_LIMIT_CONTROL_PER_SEC", "0"),
];

#[tokio::main]
async fn main() {
    let bootstrap = support::bootstrap();
    println!("| | start to first /next, p50 | CPU of a warm join |");
    println!("|---|---|---|");
    let (start, join) = measure(&bootstrap).await;
    println!("| bootstrap | {} | {} |", millis(start), millis(join));
    if let Some(python) = std::env::var_os("AMBO_PYTHON") {
        let folder = tempfile::TempDir::new().unwrap();
        let program = script(folder.path(), Path::new(&python));
        let (start, join) = measure(&program).await;
        println!("| Python | {} | {} |", millis(start), millis(join));
    }
    let world = World::start(Functions::Processes, &UNLIMITED).await;
    let (told, took) = world.tell_of_the_end(LISTENERS, POST_LATENCY).await;
    println!();
    let each = POST_LATENCY.as_millis();
    println!(
        "{LISTENERS} listeners told of the end, one of them dead, at {each} ms for each post:"
    );
    println!("the last one after {}, the invocation over after {}", millis(told), millis(took));
    let bars = [(start, START_BAR), (join, JOIN_BAR), (took, END_BAR)];
    assert!(bars.iter().all(|(measured, bar)| measured < bar), "over the bar: {bars:?}");
}

fn millis(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1_000.0)
}

/// A program that runs the Python function.
fn script(folder: &Path, python: &Path) -> PathBuf {
    let function = Path::new(env!("CARGO_MANIFEST_DIR")).join("measure/function.py");
    let python = std::path::absolute(python).unwrap();
    let path = folder.join("bootstrap");
    let mut file = std::fs::File::create(&path).unwrap();
    writeln!(file, "#!/bin/sh\nexec '{}' '{}'", python.display(), function.display()).unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A start's median time, and the CPU time of a warm join: its `$connect` and the invocation that
/// delivers the first message.
async fn measure(program: &Path) -> (Duration, Duration) {
    let world = World::start(Functions::Processes, &UNLIMITED).await;
    let env = world.environment("connection");
    let env: Vec<_> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
    let function = || gateway::Function::binary(program, &env).concurrency(INSTANCES);
    for _ in 0..STARTS {
        // Deployed again it has no instance.
        world.gateway.deploy("connection", function());
        world.gateway.invoke("connection", &json!({})).await.unwrap();
    }
    let start = median_start(&world);
    let query = format!("action=createSession&sourceLanguage=en&token={}", world.token("ann"));
    let mut speaker = world.knock(&query, &[]).await.unwrap();
    let session = match tokio::time::timeout(Duration::from_secs(2), speaker.json()).await {
        Ok(created) => text(&created, "sessionId"),
        // The yardstick has one session, whose id is fixed.
        Err(_) => "faithful-shepherd-427".to_owned(),
    };
    let mut listeners = join_all((0..WARM_UP).map(|_| join(&world, &session))).await;
    world.gateway.settle().await;
    let before = world.gateway.cpu_time("connection");
    for _ in 0..JOINS {
        listeners.push(join(&world, &session).await);
    }
    world.gateway.settle().await;
    let spent = world.gateway.cpu_time("connection") - before;
    (start, spent / JOINS as u32)
}

async fn join(world: &World, session: &str) -> Client {
    let query = format!("action=joinSession&sessionId={session}&targetLanguage=es");
    let mut listener = world.knock(&query, &[]).await.unwrap();
    listener.json_of("sessionJoined").await;
    listener
}

fn median_start(world: &World) -> Duration {
    let entries = world.gateway.events().into_iter();
    let mut starts: Vec<_> = entries
        .filter_map(|entry| match entry.happening {
            Happening::Started { function, took } if function == "connection" => Some(took),
            _ => None,
        })
        .collect();
    starts.sort();
    starts[starts.len() / 2]
}
