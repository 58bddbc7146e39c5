//! Logs: one JSON object a line, and nothing in it that names a person.

use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use ambo_app::pseudonym;
use ambo_core::{ConnectionId, SourceAddress};
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Starts logging to standard output, which Lambda keeps, for the whole process.
pub(crate) fn init(level: Level) -> anyhow::Result<()> {
    tracing::subscriber::set_global_default(subscriber(level, std::io::stdout))?;
    std::panic::set_hook(Box::new(note_panic));
    Ok(())
}

/// Logs a panic: where it was, and what it said if that was written when it was built. Anything
/// else it says may hold what no log may.
fn note_panic(panic: &PanicHookInfo<'_>) {
    let said = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(
        component = "lambda",
        operation = "panic",
        errorCode = "PANIC",
        error = said,
        at,
        "a bug: something here panicked; please report it"
    );
}

/// The same to any writer, for tests that read the log.
pub fn subscriber<W>(level: Level, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // What libraries say has none of our fields and may hold whole addresses.
    let ours = filter_fn(|metadata| metadata.target().starts_with("ambo"));
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_writer(writer);
    tracing_subscriber::registry().with(LevelFilter::from_level(level)).with(ours).with(lines)
}

/// A connection's id as logs and request ids show it.
pub(crate) fn hashed(connection: &ConnectionId) -> String {
    pseudonym::of_connection(connection.as_str())
}

/// A source address as logs show it: the same for one address while the process lives, and no
/// more to be turned back than the key that dies with it.
pub(crate) fn hashed_source(source: &SourceAddress) -> String {
    static KEY: OnceLock<[u8; 32]> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        let mut key = [0; 32];
        getrandom::fill(&mut key).unwrap_or_else(|error| panic!("no randomness: {error}"));
        key
    });
    pseudonym::of_source(source, key)
}
