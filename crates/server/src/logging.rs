//! Logs: one JSON object a line, and nothing in it that names a person.

use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ambo_app::pseudonym;
use ambo_core::{ConnectionId, SourceAddress};
use tracing::Subscriber;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Keeps the log's writer alive; what is still waiting is written when it is dropped.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
}

/// Lines that were dropped because the log's reader was too slow: a full pipe must not stop the
/// audio.
static DROPPED: OnceLock<Dropped> = OnceLock::new();

#[derive(Debug)]
struct Dropped(tracing_appender::non_blocking::ErrorCounter);

/// Starts logging to standard error with this filter, for the whole process.
pub fn init(filter: &str) -> anyhow::Result<LogGuard> {
    let (writer, worker) = NonBlockingBuilder::default().lossy(true).finish(std::io::stderr());
    let _ = DROPPED.set(Dropped(writer.error_counter()));
    tracing::subscriber::set_global_default(subscriber(filter, writer)?)?;
    std::panic::set_hook(Box::new(note_panic));
    Ok(LogGuard { _worker: worker })
}

/// Copies the number of lost lines to where the metrics read it.
pub(crate) fn report_dropped(to: &AtomicU64) {
    if let Some(Dropped(counter)) = DROPPED.get() {
        to.store(counter.dropped_lines() as u64, Ordering::Relaxed);
    }
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts and logs a panic: where it was, and what it said if that was written when it was built.
/// Anything else it says may hold what no log may.
pub fn note_panic(panic: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let said = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        component = "server",
        operation = "panic",
        errorCode = "PANIC",
        error = said,
        at,
        "a bug: something here panicked; please report it"
    );
}

/// How many panics were noted.
pub(crate) fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The same to any writer, for tests that read the log.
pub fn subscriber<W>(filter: &str, writer: W) -> anyhow::Result<impl Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // What libraries say has none of our fields and may hold whole addresses.
    let ours = filter_fn(|metadata| metadata.target().starts_with("ambo"));
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(writer)
        .finish();
    Ok(lines.with(ours))
}

/// A connection's id as logs and request ids show it.
pub(crate) fn hashed(connection: &ConnectionId) -> String {
    pseudonym::of_connection(connection.as_str())
}

/// A source address as logs show it: the same for one address while the server runs, and no more
/// to be turned back than the key that dies with it.
pub(crate) fn hashed_source(source: &SourceAddress) -> String {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        getrandom::fill(&mut key).unwrap_or_else(|error| panic!("no randomness: {error}"));
        key
    });
    pseudonym::of_source(source, key)
}
