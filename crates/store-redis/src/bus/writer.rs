//! Writes what waits to be published into the streams.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{FaultKind, StoreFault};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{Cmd, RedisResult};

use super::outgoing::{Batch, Kind, Outgoing, Post};
use super::topic::{EntryId, publishers};
use super::{BusCounters, BusSettings, LONGEST_TALK, RETRY_AFTER};
use crate::engine::{By, Engine, Script};
use crate::fault;

/// Entries of audio that a stream keeps: with the usual 20 ms a frame, twice the history.
const AUDIO_ENTRIES: usize = 1_000;

/// How long a channel's audio is kept after its last frame: longer than any history is of use.
const AUDIO_TTL: Duration = Duration::from_secs(60);

/// The pauses between attempts: short enough to be unheard, long enough not to add to the trouble.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The task that empties the outgoing queue, and the only one of this node that publishes.
pub(super) struct Writer {
    engine: Engine,
    outgoing: Arc<Outgoing>,
    counters: Arc<BusCounters>,
    audio: Script,
    notice: Script,
    /// By which the engine tells the notices of this bus from those of others.
    name: String,
    span: Duration,
    patience: Duration,
}

impl Writer {
    pub(super) fn new(
        engine: Engine,
        settings: &BusSettings,
        outgoing: Arc<Outgoing>,
        counters: Arc<BusCounters>,
    ) -> Self {
        let audio = Script::new(include_str!("lua/publish_audio.lua"));
        let notice = Script::new(include_str!("lua/publish_notice.lua"));
        let name = format!("{:016x}", fastrand::u64(..));
        let (span, patience) = (settings.history_span, settings.notice_patience);
        Self { engine, outgoing, counters, audio, notice, name, span, patience }
    }

    /// Writes until the queue is closed and empty. Each lane has one batch under way, and all that
    /// came in meanwhile is its next: the busier the bus, the fewer the writes.
    pub(super) async fn run(self) {
        let mut batches = FuturesUnordered::new();
        while !self.outgoing.is_over() {
            while let Some(batch) = self.outgoing.take() {
                batches.push(self.send(batch));
            }
            tokio::select! {
                Some(lane) = batches.next() => self.outgoing.done(&lane),
                () = self.outgoing.changed() => {}
            }
        }
    }

    /// Writes a batch, again and again until each of its posts is in its stream or given up.
    /// Says which lane is free again.
    async fn send(&self, batch: Batch) -> Box<str> {
        let mut posts = batch.posts;
        let mut trouble = Trouble::new();
        loop {
            posts = self.worth_sending(posts, &trouble);
            if posts.is_empty() {
                return batch.lane;
            }
            let rest = posts.split_off(posts.len().min(trouble.portion));
            posts = match self.attempt(&posts, trouble.by).await {
                Ok(outcomes) => {
                    trouble.portion = trouble.portion.saturating_mul(2);
                    self.settle(posts, outcomes, &mut trouble)
                }
                Err(fault) => {
                    // What is too much for an engine that is slow now is too much again.
                    trouble.portion = (posts.len() / 2).max(1);
                    trouble.note(&fault);
                    posts
                }
            };
            if !posts.is_empty() {
                tokio::time::sleep(trouble.pause).await;
            }
            posts.extend(rest);
        }
    }

    /// Tries a batch once. What happened to each of its posts, or why nothing is known.
    ///
    /// The engine reads a batch in several goes, between which it may change its mind: it refuses
    /// a post, and then another node brings the script that was missing. So each post names the one
    /// before it in its stream, and is refused where that was.
    async fn attempt(&self, posts: &[Post], by: By) -> Result<Vec<Outcome>, StoreFault> {
        let (mut calls, mut last) = (redis::pipe(), HashMap::new());
        for post in posts {
            let before = last.insert(&post.stream, post.place());
            calls.add_command(self.call(post, before, by));
        }
        self.engine.run_all(calls.ignore_errors()).await
    }

    fn call(&self, post: &Post, before: Option<u64>, by: By) -> Cmd {
        let (place, payload) = (post.place(), &*post.payload);
        let ttl = |span: Duration| span.as_millis() as u64;
        let keys = [post.stream.clone(), publishers(&post.stream)];
        match &post.kind {
            Kind::Audio(_) => {
                let ttls = (ttl(AUDIO_TTL), ttl(LONGEST_TALK));
                self.audio.call(&keys, (place, payload, AUDIO_ENTRIES, ttls, before), by)
            }
            Kind::Notice { keep, .. } => {
                let args = (payload, keep.entries, ttl(keep.ttl), &*self.name, place, before);
                self.notice.call(&keys, args, by)
            }
        }
    }

    /// Answers for what is done. Hands back what must be tried again.
    fn settle(&self, posts: Vec<Post>, outcomes: Vec<Outcome>, trouble: &mut Trouble) -> Vec<Post> {
        let mut left = Vec::new();
        for (post, outcome) in posts.into_iter().zip(outcomes) {
            match outcome {
                Ok(None) => self.counters.refused.one(),
                Ok(Some(id)) => {
                    self.counters.published.one();
                    let id = EntryId::parse(id.as_bytes());
                    post.answer(id.ok_or_else(|| fault::malformed("an id of an entry")));
                }
                Err(error) if error.code() == Some("NOSCRIPT") => {
                    trouble.by = By::Source;
                    left.push(post);
                }
                // The one before is left, too.
                Err(error) if error.code() == Some("AHEAD") => left.push(post),
                Err(error) => {
                    let fault = fault::of(self.engine.address(), error);
                    if fault.kind == FaultKind::Broken {
                        self.give_up(post, fault);
                    } else {
                        trouble.note(&fault);
                        left.push(post);
                    }
                }
            }
        }
        left
    }

    /// Gives up what has waited too long.
    fn worth_sending(&self, posts: Vec<Post>, trouble: &Trouble) -> Vec<Post> {
        let (worth, late) = posts.into_iter().partition(|post| {
            let limit = if post.is_audio() { self.span } else { self.patience };
            post.born.elapsed() <= limit
        });
        for post in late {
            let fault = format!("not published in time: {}", trouble.last);
            self.give_up(post, StoreFault::unavailable(RETRY_AFTER, fault));
        }
        worth
    }

    fn give_up(&self, post: Post, fault: StoreFault) {
        if post.is_audio() {
            self.counters.dropped.one();
        }
        post.answer(Err(fault));
    }
}

/// An entry's id, or nothing when the stream was that far already.
type Outcome = RedisResult<Option<String>>;

/// What went wrong with a batch so far.
struct Trouble {
    last: String,
    pause: Duration,
    by: By,
    /// So many posts are tried together.
    portion: usize,
}

impl Trouble {
    fn new() -> Self {
        let last = "it waited for others".into();
        Self { last, pause: Duration::ZERO, by: By::Digest, portion: usize::MAX }
    }

    fn note(&mut self, fault: &StoreFault) {
        self.last = format!("{fault}: {}", fault.source);
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}
