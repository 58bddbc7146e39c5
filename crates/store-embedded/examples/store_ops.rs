//! What the store's operations cost here: `cargo run --release -p ambo-store-embedded --example
//! store_ops [directory]`. The directory must be on the disk in question; by default it is a
//! temporary one.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a tool, run by hand")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambo_app::ports::Store;
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::{OfSession, Toll, Wanted};
use ambo_core::{
    Applied, Bucket, Change, Connection, ConnectionId, EndGuard, Language, Millis, QualityTier,
    Rate, Role, Session, SessionId, SourceAddress, Speaker, UserId,
};
use ambo_store_embedded::{EmbeddedSettings, EmbeddedStore};

const NOW: Millis = Millis(1_700_000_000_000);
const WRITERS: usize = 64;
const OPENS_EACH: usize = 300;
const SESSIONS: usize = 100;
const JOINS_EACH: usize = 2_000;

fn session_id(number: usize) -> SessionId {
    let word: String =
        format!("{number:08}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
    SessionId::parse(&format!("{word}-bench-100")).unwrap()
}

fn opening(number: usize) -> Change {
    let (id, connection) = (session_id(number), connection_id("s", number));
    let session = Session {
        id: id.clone(),
        owner: UserId::parse("ann").unwrap(),
        source_language: Language::parse("en").unwrap(),
        quality: QualityTier::Standard,
        created_at: NOW,
        expires_at: NOW + Millis::from_mins(120),
        paused: false,
        muted: false,
        last_state_change: NOW,
        speaker: Speaker::Present(connection.clone()),
        listeners: 0,
    };
    let connection = Connection::new(connection, id, Role::Speaker, source(number), NOW);
    Change::Open { session, connection }
}

fn connection_id(kind: &str, number: usize) -> ConnectionId {
    ConnectionId::parse(&format!("{kind}{number:016x}")).unwrap()
}

fn source(number: usize) -> SourceAddress {
    SourceAddress::of(std::net::Ipv4Addr::from(number as u32).into())
}

/// What a join asks of the store: three limits, a look, an admission.
async fn join(store: &EmbeddedStore, session: usize, number: usize) {
    let target = Language::parse(["es", "de", "fr"][number % 3]).unwrap();
    let id = connection_id("l", number);
    let rate = Rate::new(1_000_000, Millis::from_mins(1));
    let key = |operation| LimitKey { operation, identity: Identity::Source(source(number % 999)) };
    for toll in [
        Toll::Take(key(Operation::Connect)),
        Toll::Show(key(Operation::RefusedJoin)),
        Toll::Take(key(Operation::JoinSession)),
    ] {
        store.pay(&toll, rate, NOW).await.unwrap();
    }
    let of = OfSession::Named(session_id(session));
    let wanted = Wanted { session: of, own: Some(id.clone()), ..Wanted::default() };
    assert!(store.load(&wanted).await.unwrap().session.is_some());
    let role = Role::Listener { target };
    let connection = Connection::new(id, session_id(session), role, source(number), NOW);
    let change = Change::Admit { connection, max: u32::MAX, now: NOW };
    assert_eq!(store.commit(&change).await.unwrap(), Applied::Done);
}

async fn beat(store: &EmbeddedStore, number: usize) {
    let id = connection_id("l", number);
    let own = Some(id.clone());
    let wanted = Wanted { session: OfSession::OwnIfSpeaker, own, ..Wanted::default() };
    let row = store.load(&wanted).await.unwrap().own.unwrap();
    let change = Change::Touch {
        connection: id,
        was_seen: row.seen_at,
        seen_at: row.seen_at + Millis::from_secs(30),
        beats: Bucket(7),
        told: None,
        warned: false,
        extend: None,
    };
    assert_eq!(store.commit(&change).await.unwrap(), Applied::Done);
}

/// Runs `each` in `tasks` tasks, `times` times in each, and prints what came of it.
async fn measure<F>(name: &str, tasks: usize, times: usize, each: impl Fn(usize) -> F)
where
    F: Future<Output = Vec<Duration>> + Send + 'static,
{
    let cpu = cpu_time();
    let begun = Instant::now();
    let running: Vec<_> = (0..tasks).map(|task| tokio::spawn(each(task))).collect();
    let mut spans = Vec::new();
    for task in running {
        spans.extend(task.await.unwrap());
    }
    let (wall, cpu) = (begun.elapsed(), cpu_time() - cpu);
    spans.sort_unstable();
    let count = (tasks * times) as f64;
    let at = |share: f64| spans[((spans.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<34} {:>9.0}/s  cpu {:>6.2} us each  p50 {:>9.1?}  p99 {:>9.1?}",
        count / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        at(0.5),
        at(0.99),
    );
}

/// The CPU time of this process so far, in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib = line.split_ascii_whitespace().next().and_then(|kib| kib.parse::<usize>().ok());
    kib.unwrap_or_default() * 1_024
}

async fn timed(run: impl Future<Output = ()>) -> Duration {
    let begun = Instant::now();
    run.await;
    begun.elapsed()
}

async fn in_memory(store: Arc<EmbeddedStore>) {
    for number in 0..SESSIONS {
        store.commit(&opening(number)).await.unwrap();
    }
    let before = memory();
    for (name, joins) in
        [("join (3 limits, look, admit)", true), ("heartbeat (look, touch)", false)]
    {
        measure(name, SESSIONS, JOINS_EACH, |session| {
            let store = Arc::clone(&store);
            async move {
                let mut spans = Vec::with_capacity(JOINS_EACH);
                for at in 0..JOINS_EACH {
                    let number = session * JOINS_EACH + at;
                    spans.push(if joins {
                        timed(join(&store, session, number)).await
                    } else {
                        timed(beat(&store, number)).await
                    });
                }
                spans
            }
        })
        .await;
        // With what the tool itself needs: the times it took, and its tasks.
        let each = memory().saturating_sub(before) / (SESSIONS * JOINS_EACH);
        println!("{:<34} {each} bytes a listener at most", "memory");
    }
}

async fn durable(store: Arc<EmbeddedStore>, opens: bool) {
    let name = if opens { "open, 64 writers" } else { "end, 64 writers" };
    measure(name, WRITERS, OPENS_EACH, |writer| {
        let store = Arc::clone(&store);
        async move {
            let mut spans = Vec::with_capacity(OPENS_EACH);
            for at in 0..OPENS_EACH {
                let number = 1_000_000 + writer * OPENS_EACH + at;
                let change = if opens {
                    opening(number)
                } else {
                    Change::End { session: session_id(number), guard: EndGuard::Present }
                };
                let commit = async {
                    assert_eq!(store.commit(&change).await.unwrap(), Applied::Done);
                };
                spans.push(timed(commit).await);
            }
            spans
        }
    })
    .await;
}

#[tokio::main]
async fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let given = std::env::args_os().nth(1).map(PathBuf::from);
    let directory = given.unwrap_or_else(|| temporary.path().to_owned());
    let settings = EmbeddedSettings { directory, speaker_grace: Millis::from_secs(30), now: NOW };
    let begun = Instant::now();
    let store = Arc::new(EmbeddedStore::open(&settings).unwrap());
    println!("opened a new directory in {:?}", begun.elapsed());
    in_memory(Arc::clone(&store)).await;
    durable(Arc::clone(&store), true).await;
    store.close().await.unwrap();
    drop(store);
    let begun = Instant::now();
    let store = Arc::new(EmbeddedStore::open(&settings).unwrap());
    let found = store.totals().await.unwrap().sessions;
    println!("opened again with {found} sessions in {:?}", begun.elapsed());
    durable(Arc::clone(&store), false).await;
    store.close().await.unwrap();
}
