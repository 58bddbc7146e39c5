//! What waits to be published: bounded, in order, and thrown away when it has grown old.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use ambo_app::ports::StoreFault;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::topic::EntryId;
use super::{BusCounters, RETRY_AFTER};

/// What waits is counted with this much on top of its bytes.
const OVERHEAD: usize = 256;

/// Posts that leave in one write, so that an answer comes before the engine is thought to hang.
const BATCH_POSTS: usize = 512;

/// Bytes that leave in one write, as above.
const BATCH_BYTES: usize = 1 << 20;

/// One thing to be published.
pub(super) struct Post {
    /// Its place among all that this node publishes.
    pub(super) number: u64,
    /// The key of its stream.
    pub(super) stream: String,
    pub(super) payload: Bytes,
    pub(super) born: Instant,
    pub(super) kind: Kind,
}

/// What kind of thing it is.
pub(super) enum Kind {
    /// A frame with its sequence: of use for a short while only.
    Audio(u32),
    /// A notice, and who waits for it to be published.
    Notice { keep: Keep, answer: Answer },
}

/// How much of a stream of notices is kept, and how long after the last.
#[derive(Clone, Copy)]
pub(super) struct Keep {
    pub(super) entries: usize,
    pub(super) ttl: Duration,
}

/// Tells a publisher what became of its notice.
pub(super) type Answer = oneshot::Sender<Result<EntryId, StoreFault>>;

impl Post {
    pub(super) fn is_audio(&self) -> bool {
        matches!(self.kind, Kind::Audio(_))
    }

    /// Its place in its stream, by which the engine knows whether it has it.
    pub(super) fn place(&self) -> u64 {
        match self.kind {
            Kind::Audio(sequence) => sequence.into(),
            Kind::Notice { .. } => self.number,
        }
    }

    /// Tells whoever waits what became of it. Where nobody does, the log is told what is lost.
    pub(super) fn answer(self, result: Result<EntryId, StoreFault>) {
        let Kind::Notice { answer, .. } = self.kind else { return };
        if let Err(Err(fault)) = answer.send(result) {
            tracing::warn!(
                component = "bus",
                operation = "publish",
                stream = self.stream,
                error = %format_args!("{fault}: {}", fault.source),
                "a notice to other nodes is lost"
            );
        }
    }

    fn size(&self) -> usize {
        OVERHEAD + self.stream.len() + self.payload.len()
    }
}

/// The queue between those who publish and the task that writes.
///
/// It consists of lanes, in each of which one batch is under way at a time: that keeps the order.
/// A cluster has a lane for each slot tag, so that one ill shard holds up its own topics only.
pub(super) struct Outgoing {
    queue: Mutex<Queue>,
    ready: Notify,
    bytes: usize,
    span: Duration,
}

#[derive(Default)]
struct Queue {
    lanes: HashMap<Box<str>, Lane>,
    /// Of what waits and what is under way.
    bytes: usize,
    /// Of what is under way.
    under_way: usize,
    /// Lanes that have something and have no batch under way.
    ready: VecDeque<Box<str>>,
    posts: u64,
    closed: bool,
}

/// Audio and notices lie apart, since only audio is thrown away; their numbers keep the order.
#[derive(Default)]
struct Lane {
    audio: VecDeque<Post>,
    notices: VecDeque<Post>,
    /// The size of the batch that is being written.
    under_way: Option<usize>,
}

/// Posts of one lane, to be written in order.
pub(super) struct Batch {
    pub(super) lane: Box<str>,
    pub(super) posts: Vec<Post>,
}

impl Outgoing {
    /// A queue of so many bytes, in which audio lies no longer than `span`.
    pub(super) fn new(bytes: usize, span: Duration) -> Self {
        Self { queue: Mutex::default(), ready: Notify::new(), bytes, span }
    }

    /// Takes on a post. A notice that has no room is answered at once.
    pub(super) fn push(
        &self,
        lane: &str,
        stream: String,
        payload: Bytes,
        kind: Kind,
        counters: &BusCounters,
    ) {
        let mut queue = self.queue.lock();
        queue.posts += 1;
        let post = Post { number: queue.posts, stream, payload, born: Instant::now(), kind };
        let dropped = queue.make_room(lane, self.bytes.saturating_sub(post.size()), self.span);
        counters.dropped.add(dropped);
        if queue.closed || queue.bytes + post.size() > self.bytes {
            drop(queue);
            return refuse(post, counters);
        }
        queue.add(lane, post);
        drop(queue);
        self.ready.notify_one();
    }

    /// The next batch that may be written.
    pub(super) fn take(&self) -> Option<Batch> {
        // What is under way cannot be dropped, so that it must be the smaller part.
        self.queue.lock().take(self.bytes / 4)
    }

    /// Says that a lane's batch is done with, so that its next may be taken.
    pub(super) fn done(&self, lane: &str) {
        self.queue.lock().done(lane);
    }

    /// Whether nothing waits and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.lock().bytes == 0
    }

    /// Resolves when there may be something to take, or the queue was closed.
    pub(super) async fn changed(&self) {
        self.ready.notified().await;
    }

    /// Takes nothing on any more. What is there is still written.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.ready.notify_one();
    }

    /// Whether nothing will ever come out of it again.
    pub(super) fn is_over(&self) -> bool {
        let queue = self.queue.lock();
        queue.closed && queue.lanes.is_empty()
    }
}

impl Queue {
    /// Throws away a lane's audio that has grown old, and the oldest of all lanes until no more
    /// than so many bytes wait: one that cannot be written takes no other's room. Says how many.
    fn make_room(&mut self, lane: &str, bytes: usize, span: Duration) -> usize {
        let mut dropped = 0;
        if let Some(lane) = self.lanes.get_mut(lane) {
            while lane.audio.front().is_some_and(|oldest| oldest.born.elapsed() > span) {
                self.bytes -= lane.drop_oldest();
                dropped += 1;
            }
        }
        while self.bytes > bytes {
            let lanes = self.lanes.values_mut().filter(|lane| !lane.audio.is_empty());
            let Some(lane) = lanes.min_by_key(|lane| number(&lane.audio)) else { break };
            self.bytes -= lane.drop_oldest();
            dropped += 1;
        }
        dropped
    }

    fn add(&mut self, name: &str, post: Post) {
        if !self.lanes.contains_key(name) {
            self.lanes.insert(name.into(), Lane::default());
        }
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if lane.is_empty() && lane.under_way.is_none() {
            self.ready.push_back(name.into());
        }
        self.bytes += post.size();
        match post.kind {
            Kind::Audio(_) => lane.audio.push_back(post),
            Kind::Notice { .. } => lane.notices.push_back(post),
        }
    }

    /// A batch, if one is ready: of one post at least, and of no more than makes so many bytes
    /// under way.
    fn take(&mut self, bytes: usize) -> Option<Batch> {
        let name = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&name)?;
        let most = BATCH_BYTES.min(bytes.saturating_sub(self.under_way));
        let (mut posts, mut bytes) = (Vec::new(), 0);
        while posts.is_empty() || (posts.len() < BATCH_POSTS && bytes < most) {
            let Some(post) = lane.pop() else { break };
            bytes += post.size();
            posts.push(post);
        }
        lane.under_way = Some(bytes);
        self.under_way += bytes;
        Some(Batch { lane: name, posts })
    }

    fn done(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        let bytes = lane.under_way.take().unwrap_or_default();
        self.bytes -= bytes;
        self.under_way -= bytes;
        if lane.is_empty() {
            self.lanes.remove(name);
        } else {
            self.ready.push_back(name.into());
        }
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.audio.is_empty() && self.notices.is_empty()
    }

    /// What was pushed first.
    fn pop(&mut self) -> Option<Post> {
        if number(&self.audio) < number(&self.notices) {
            self.audio.pop_front()
        } else {
            self.notices.pop_front()
        }
    }

    /// Throws away the oldest audio, and says how large it was.
    fn drop_oldest(&mut self) -> usize {
        self.audio.pop_front().map_or(0, |post| post.size())
    }
}

/// The place of what waits longest.
fn number(queue: &VecDeque<Post>) -> u64 {
    queue.front().map_or(u64::MAX, |post| post.number)
}

/// Tells that there was no room for a post.
fn refuse(post: Post, counters: &BusCounters) {
    if post.is_audio() {
        counters.dropped.one();
    }
    let fault = "too much waits to be published, or the bus is closed";
    post.answer(Err(StoreFault::unavailable(RETRY_AFTER, fault)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_cannot_be_written_leave_room_for_others() {
        let (counters, bytes) = (BusCounters::default(), 40_000);
        let outgoing = Outgoing::new(bytes, Duration::from_secs(10));
        let say = |lane: &str, number| {
            let payload = Bytes::from_static(&[7; 100]);
            outgoing.push(lane, lane.into(), payload, Kind::Audio(number), &counters);
        };
        let ill: Vec<_> = (0..20).map(|n| format!("ill{n}")).collect();
        // Once with little under way, and once with as much as there may be.
        for round in 0..2 {
            for number in 0..20 {
                ill.iter().for_each(|lane| say(lane, round * 20 + number));
            }
            while outgoing.take().is_some() {}
            for number in 0..20 {
                say("well", round * 20 + number);
                let batch = outgoing.take().unwrap();
                assert_eq!((&*batch.lane, batch.posts.len()), ("well", 1));
                assert!(matches!(batch.posts[0].kind, Kind::Audio(it) if it % 20 == number));
                outgoing.done("well");
            }
            assert!(outgoing.queue.lock().bytes <= bytes);
            ill.iter().for_each(|lane| outgoing.done(lane));
        }
        // Nothing is lost count of.
        while let Some(batch) = outgoing.take() {
            outgoing.done(&batch.lane);
        }
        let queue = outgoing.queue.lock();
        assert_eq!((queue.bytes, queue.under_way, queue.lanes.len()), (0, 0, 0));
    }
}
