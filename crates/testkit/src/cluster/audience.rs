//! Listeners, and what they heard.

use std::sync::Arc;
use std::time::Duration;

use ambo_client::{Closed, Language, Listener, ListenerOptions, Server, SessionId};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::record::Record;
use super::talk::{Said, follow};
use super::until;

/// Listeners of one session.
#[derive(Debug, Default)]
pub struct Audience(pub Vec<Ear>);

/// One of them.
#[derive(Debug)]
pub struct Ear {
    /// The client.
    pub listener: Listener,
    record: Arc<Mutex<Record>>,
    task: AbortHandle,
}

/// Handshakes at the same time.
const AT_ONCE: usize = 64;

impl Ear {
    /// Joins.
    pub async fn join(server: &Server, session: SessionId, language: &str) -> Result<Self, Closed> {
        Self::of(server, ListenerOptions::new(session, Language::parse(language).unwrap())).await
    }

    /// The same with other limits.
    pub async fn of(server: &Server, options: ListenerOptions) -> Result<Self, Closed> {
        let language = options.language.to_string();
        let (listener, events) = Listener::connect(server, options).await?;
        let record = Arc::new(Mutex::new(Record::up(&language)));
        let task = tokio::spawn(follow(events, Arc::clone(&record))).abort_handle();
        Ok(Self { listener, record, task })
    }

    /// What it went through so far.
    pub fn record(&self) -> Record {
        self.record.lock().clone()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Audience {
    /// So many listeners, in these languages by turns.
    pub async fn join(
        server: &Server,
        session: &SessionId,
        languages: &[&str],
        count: usize,
    ) -> Self {
        let ears = stream::iter(0..count)
            .map(|n| Ear::join(server, session.clone(), languages[n % languages.len()]))
            .buffer_unordered(AT_ONCE);
        Self(ears.map(Result::unwrap).collect().await)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they went through.
    pub fn records(&self) -> Vec<Record> {
        self.0.iter().map(Ear::record).collect()
    }

    /// How many have a connection.
    pub fn up(&self) -> usize {
        self.count(|record| record.is_up)
    }

    /// How many something is true of.
    pub fn count(&self, is_true: impl Fn(&Record) -> bool) -> usize {
        self.0.iter().filter(|ear| is_true(&ear.record.lock())).count()
    }

    /// The longest silence that each had to bear since this was last asked for.
    pub fn take_silences(&self) -> Vec<Duration> {
        let silences = self.0.iter().map(|ear| {
            let mut record = ear.record.lock();
            let silence = record.silence;
            record.forget_silence();
            silence
        });
        silences.collect()
    }

    /// Waits until everybody has heard this frame, or a later one.
    pub async fn hears(&self, number: u32, within: Duration) {
        let what = || {
            let late = self.0.iter().find(|ear| ear.record.lock().last < number);
            late.map(|ear| format!("{number} is heard by {:?}", Brief(&ear.record())))
        };
        let start = tokio::time::Instant::now();
        while let Some(what) = what() {
            assert!(start.elapsed() < within, "not within {within:?}: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until something is true of everybody.
    pub async fn all(&self, what: &str, within: Duration, is_true: impl Fn(&Record) -> bool) {
        until(what, within, || self.count(&is_true) == self.len()).await;
    }

    /// Everybody has heard every frame since their first, in order, once.
    pub fn is_whole(&self) {
        for record in self.records() {
            let heard = Brief(&record);
            assert!(record.lost == 0, "lost frames: {heard:?}");
            assert!(record.doubled == 0, "doubled frames: {heard:?}");
        }
    }

    /// Nothing came twice or out of order, whatever was lost.
    pub fn is_ordered(&self) {
        for record in self.records() {
            assert!(record.doubled == 0, "doubled frames: {:?}", Brief(&record));
        }
    }

    /// The talk is over: everybody is told so once, and by nothing else.
    pub async fn is_dismissed(&self, said: &Said, reason: &str) {
        let within = Duration::from_secs(20);
        self.all("everybody is told of the end", within, |record| record.closed.is_some()).await;
        for record in self.records() {
            let heard = Brief(&record);
            assert!(record.ends == [reason], "ends: {heard:?}");
            assert!(record.closed == Some(Closed::Ended), "closed: {heard:?}");
            assert!(record.last == said.frames, "{} were said: {heard:?}", said.frames);
        }
        assert_eq!(said.record.closed, Some(Closed::Ended), "{:?}", Brief(&said.record));
        assert_eq!(said.record.ends, [reason]);
    }
}

/// A record in one line.
struct Brief<'a>(&'a Record);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Record { first, last, heard, lost, doubled, moves, returns, is_up, .. } = self.0;
        let Record { language, turns, ends, closed, troubles, .. } = self.0;
        write!(
            f,
            "{heard} of {first:?}..={last} in {language}, {lost} lost, {doubled} doubled, \
             {moves} moves, {returns} returns, up {is_up}, {turns:?}, {ends:?}, {closed:?}, \
             {troubles:?}"
        )
    }
}
