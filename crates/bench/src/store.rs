//! `ambo-bench store`: what the store's operations cost here, without a server round them.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use ambo_app::ports::Store as _;
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::{OfSession, Toll, Wanted};
use ambo_core::{
    Applied, Bucket, Change, Connection, ConnectionId, EndGuard, Language, Millis, QualityTier,
    Rate, Role, Session, SessionId, SourceAddress, Speaker, UserId,
};
use ambo_store_embedded::{EmbeddedSettings, EmbeddedStore};
use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::process::{cpu, resident};
use crate::table::{Row, print};

/// What the store's operations cost.
#[derive(Args)]
pub struct Store {
    /// A folder on the disk in question, for a new database; a temporary one if not given.
    pub directory: Option<PathBuf>,
}

const NOW: Millis = Millis(1_700_000_000_000);
const WRITERS: usize = 64;
const OPENS_EACH: usize = 300;
const SESSIONS: usize = 100;
const JOINS_EACH: usize = 2_000;
/// The number of the first session that is opened for its durability.
const FIRST_DURABLE: usize = 1_000_000;

/// How often each of these tasks does it.
#[derive(Clone, Copy)]
struct Load {
    tasks: usize,
    times: usize,
}

/// Joins and heartbeats: many sessions, all in memory.
const CROWD: Load = Load { tasks: SESSIONS, times: JOINS_EACH };
/// Sessions that open and end: on the disk.
const TURNOVER: Load = Load { tasks: WRITERS, times: OPENS_EACH };

impl Store {
    /// Prints the figures.
    pub fn run(self) -> Result<()> {
        print(&self.measure()?);
        Ok(())
    }

    /// Joins and heartbeats, then opening and ending, and opening the database again.
    pub fn measure(&self) -> Result<Vec<Row>> {
        let temporary = tempfile::tempdir()?;
        let directory = self.directory.clone().unwrap_or_else(|| temporary.path().to_owned());
        let settings =
            EmbeddedSettings { directory, speaker_grace: Millis::from_secs(30), now: NOW };
        tokio::runtime::Runtime::new()?.block_on(measure(&settings))
    }
}

async fn measure(settings: &EmbeddedSettings) -> Result<Vec<Row>> {
    let store = Arc::new(EmbeddedStore::open(settings)?);
    for number in 0..SESSIONS {
        commit(&store, &opening(number)?).await?;
    }
    let before = resident("self")?;
    let joins = timed("store: join (3 limits, look, admit)", CROWD, &store, |store, number| {
        Box::pin(async move { join(&store, number / JOINS_EACH, number).await })
    });
    let joins = joins.await?;
    let beats = timed("store: heartbeat (look, touch)", CROWD, &store, |store, number| {
        Box::pin(async move { beat(&store, number).await })
    });
    let beats = beats.await?;
    // With what the tool itself needs: the times it took, and its tasks.
    let each = resident("self")?.saturating_sub(before) / (SESSIONS * JOINS_EACH) as u64;
    let memory = Row::free("store: memory of a listener", format!("{each} bytes at most"));
    let opens = timed("store: open, 64 writers, durable", TURNOVER, &store, |store, number| {
        Box::pin(async move { commit(&store, &opening(FIRST_DURABLE + number)?).await })
    });
    let opens = opens.await?;
    store.close().await?;
    drop(store);
    let begun = Instant::now();
    let store = Arc::new(EmbeddedStore::open(settings)?);
    let (took, found) = (begun.elapsed(), store.totals().await?.sessions);
    let again = format!("{took:.1?} with {found} sessions");
    let again = Row::free("store: opened again", again);
    let ends = timed("store: end, 64 writers, durable", TURNOVER, &store, |store, number| {
        Box::pin(async move {
            let session = session_id(FIRST_DURABLE + number)?;
            commit(&store, &Change::End { session, guard: EndGuard::Present }).await
        })
    });
    let ends = ends.await?;
    store.close().await?;
    Ok(vec![joins, beats, memory, opens, ends, again])
}

type Doing = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Has many tasks do something, each with numbers of its own, and says what came of it.
async fn timed(
    what: &str,
    Load { tasks, times }: Load,
    store: &Arc<EmbeddedStore>,
    each: fn(Arc<EmbeddedStore>, usize) -> Doing,
) -> Result<Row> {
    let (before, begun) = (cpu()?, Instant::now());
    let running = (0..tasks).map(|task| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut spans = Vec::with_capacity(times);
            for at in 0..times {
                let begun = Instant::now();
                each(Arc::clone(&store), task * times + at).await?;
                spans.push(begun.elapsed());
            }
            anyhow::Ok(spans)
        })
    });
    let running: Vec<_> = running.collect();
    let mut spans = Vec::with_capacity(tasks * times);
    for task in running {
        spans.extend(task.await??);
    }
    let (wall, cpu) = (begun.elapsed(), cpu()? - before);
    spans.sort_unstable();
    let count = (tasks * times) as f64;
    let at = |share: f64| spans[((spans.len() - 1) as f64 * share) as usize];
    let figure = format!(
        "{:.0}/s, CPU {:.1} us each, p50 {:.1?}, p99 {:.1?}",
        count / wall.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / count,
        at(0.5),
        at(0.99),
    );
    Ok(Row::free(what, figure))
}

fn session_id(number: usize) -> Result<SessionId> {
    let word: String =
        format!("{number:08}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
    SessionId::parse(&format!("{word}-bench-100")).context("a session id")
}

fn opening(number: usize) -> Result<Change> {
    let (id, connection) = (session_id(number)?, connection_id("s", number)?);
    let session = Session {
        id: id.clone(),
        owner: UserId::parse("ann").context("a user")?,
        source_language: Language::parse("en").context("a language")?,
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
    Ok(Change::Open { session, connection })
}

fn connection_id(kind: &str, number: usize) -> Result<ConnectionId> {
    ConnectionId::parse(&format!("{kind}{number:016x}")).context("a connection id")
}

fn source(number: usize) -> SourceAddress {
    SourceAddress::of(std::net::Ipv4Addr::from(number as u32).into())
}

/// What a join asks of the store: three limits, a look, an admission.
async fn join(store: &EmbeddedStore, session: usize, number: usize) -> Result<()> {
    let target = Language::parse(["es", "de", "fr"][number % 3]).context("a language")?;
    let id = connection_id("l", number)?;
    let rate = Rate::new(1_000_000, Millis::from_mins(1));
    let key = |operation| LimitKey { operation, identity: Identity::Source(source(number % 999)) };
    for toll in [
        Toll::Take(key(Operation::Connect)),
        Toll::Show(key(Operation::RefusedJoin)),
        Toll::Take(key(Operation::JoinSession)),
    ] {
        store.pay(&toll, rate, NOW).await?;
    }
    let of = OfSession::Named(session_id(session)?);
    let wanted = Wanted { session: of, own: Some(id.clone()), ..Wanted::default() };
    ensure!(store.load(&wanted).await?.session.is_some(), "the session is gone");
    let role = Role::Listener { target };
    let connection = Connection::new(id, session_id(session)?, role, source(number), NOW);
    let change = Change::Admit { connection, max: u32::MAX, now: NOW };
    commit(store, &change).await
}

async fn beat(store: &EmbeddedStore, number: usize) -> Result<()> {
    let id = connection_id("l", number)?;
    let own = Some(id.clone());
    let wanted = Wanted { session: OfSession::OwnIfSpeaker, own, ..Wanted::default() };
    let row = store.load(&wanted).await?.own.context("a connection")?;
    let change = Change::Touch {
        connection: id,
        was_seen: row.seen_at,
        seen_at: row.seen_at + Millis::from_secs(30),
        beats: Bucket(7),
        told: None,
        warned: false,
        extend: None,
    };
    commit(store, &change).await
}

async fn commit(store: &EmbeddedStore, change: &Change) -> Result<()> {
    let applied = store.commit(change).await?;
    ensure!(applied == Applied::Done, "{applied:?}: {change:?}");
    Ok(())
}
