//! The bus: what is published on one node reaches those who follow the topic on others.
//!
//! The log of a topic is one bounded stream; a published message tells each entry to the nodes
//! that follow the topic, so that nobody polls. Every entry names the one before it: who misses
//! one sees that at the next, and reads the hole from the stream.
//!
//! ```text
//! publish ── outgoing ── writer ══ script: XADD + PUBLISH ══ reader ── Receiver<Entry>
//!                                        stream ──── XRANGE ────┘ holes, backlogs
//! ```

mod counters;
mod following;
mod outgoing;
mod reader;
mod reading;
mod subscriber;
mod topic;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::StoreFault;
use ambo_core::{Language, Millis, SessionId};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

pub use counters::{BusCounters, Count};
pub use topic::{Entry, EntryId, Since, Topic};

use crate::Engine;
use outgoing::{Keep, Kind, Outgoing};
use reader::{Order, Reader};
use reading::Backlogs;
use writer::Writer;

/// When trying again makes sense after the bus itself gave up.
const RETRY_AFTER: Millis = Millis::from_secs(1);

/// What a session was told: enough for a node that was away for minutes. Who begins to follow
/// later needs the last seconds only, and has the rest from the store.
const NOTICES: Keep = Keep { entries: 200, ttl: Duration::from_secs(3 * 60 * 60) };

/// What a node was told: more, since all its connections share it.
const INBOX: Keep = Keep { entries: 1_000, ttl: Duration::from_secs(60 * 60) };

/// The longest talk. In one it may be said once what decoders must know, and it may be silent for
/// long before it goes on where it was.
const LONGEST_TALK: Duration = Duration::from_secs(48 * 60 * 60);

/// The last word to decoders.
const CONFIGURATION: Keep = Keep { entries: 1, ttl: LONGEST_TALK };

/// How a bus behaves.
#[derive(Clone, Debug)]
pub struct BusSettings {
    /// Audio older than this is not sent any more, and no new follower gets it.
    pub history_span: Duration,
    /// Most audio that a new follower of a channel gets, in bytes.
    pub history_bytes: usize,
    /// How long following a topic may take; a connection that broke is made anew within that.
    pub follow_patience: Duration,
    /// How long publishing a notice is tried.
    pub notice_patience: Duration,
    /// Most that waits to be published, in bytes; past that, the oldest audio is dropped.
    pub outgoing_bytes: usize,
    /// Most entries that wait in the receiver. More are left in their streams until there is room.
    pub receiver_entries: usize,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            history_span: Duration::from_secs(10),
            history_bytes: 4 << 20,
            follow_patience: Duration::from_secs(5),
            notice_patience: Duration::from_secs(30),
            outgoing_bytes: 16 << 20,
            receiver_entries: 4_096,
        }
    }
}

/// A node's end of the bus. Clones are the same end; when the last is dropped, what was published
/// is still written, and the receiver runs dry.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

struct Inner {
    engine: Engine,
    backlogs: Backlogs,
    counters: Arc<BusCounters>,
    outgoing: Arc<Outgoing>,
    orders: mpsc::UnboundedSender<Order>,
    follow_patience: Duration,
}

impl Bus {
    /// Starts the tasks of a bus, and hands out where it is heard. Needs no engine that answers.
    /// Once the receiver is dropped, nothing can be followed any more.
    pub fn start(engine: Engine, settings: BusSettings) -> (Self, mpsc::Receiver<Entry>) {
        let (counters, backlogs) = (Arc::<BusCounters>::default(), Backlogs::new(&settings));
        let outgoing = Arc::new(Outgoing::new(settings.outgoing_bytes, settings.history_span));
        let (orders, taken) = mpsc::unbounded_channel();
        let (heard, receiver) = mpsc::channel(settings.receiver_entries);
        let writer =
            Writer::new(engine.clone(), &settings, Arc::clone(&outgoing), Arc::clone(&counters));
        tokio::spawn(writer.run());
        let reader = Reader::new(engine.clone(), &settings, Arc::clone(&counters), heard);
        tokio::spawn(reader.run(taken));
        let follow_patience = settings.follow_patience;
        let inner = Inner { engine, backlogs, counters, outgoing, orders, follow_patience };
        (Self(Arc::new(inner)), receiver)
    }

    /// Follows a topic. What is kept and asked for comes back at once; everything after it comes
    /// through the receiver: in order, nothing twice, and nothing missing that the topic's stream
    /// still holds, however often the connection breaks.
    ///
    /// Following a topic again begins anew. Entries of the former time may then still be in the
    /// receiver, as may later entries before the answer was looked at: their ids tell.
    pub async fn follow(&self, topic: Topic, since: Since) -> Result<Vec<Entry>, StoreFault> {
        let gone = || StoreFault::unavailable(RETRY_AFTER, "the topic is followed no more");
        let (answer, answered) = oneshot::channel();
        self.0.orders.send(Order::Follow { topic, since, answer }).map_err(|_| gone())?;
        // When this gives up, the answer has no taker, and the reader forgets the topic.
        match tokio::time::timeout(self.0.follow_patience, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(gone()),
            Err(_) => {
                let fault = "a topic could not be followed in time";
                Err(StoreFault::unavailable(RETRY_AFTER, fault))
            }
        }
    }

    /// Follows a topic no more. What is in the receiver stays there.
    pub fn unfollow(&self, topic: &Topic) {
        // Without a reader nothing is followed.
        let _ = self.0.orders.send(Order::Unfollow(topic.clone()));
    }

    /// Publishes a frame of audio. Never waits. A sequence that is not above the channel's last
    /// one is refused by the engine and counted.
    ///
    /// While the engine is away frames wait: the oldest are dropped and counted when there are too
    /// many, and when they are older than the history span.
    pub fn publish_audio(
        &self,
        session: &SessionId,
        language: Language,
        sequence: u32,
        payload: Bytes,
    ) {
        self.push(&Topic::Audio { session: session.clone(), language }, payload, |_| {
            Kind::Audio(sequence)
        });
    }

    /// Publishes a notice, in the order of the calls on this node. Resolves when it is in the
    /// stream, where it is once; or to a fault when it could not be put there in time, after which
    /// it may be there or not. It is published even if nobody waits for the end.
    ///
    /// Audio has its own way, and is refused here.
    pub fn publish(
        &self,
        topic: &Topic,
        payload: Bytes,
    ) -> impl Future<Output = Result<EntryId, StoreFault>> + use<> {
        let (answer, answered) = oneshot::channel();
        if let Topic::Audio { .. } = topic {
            // Its place in the stream would be above that of every frame to come. Somebody waits.
            let _ = answer.send(Err(StoreFault::broken("a frame was published as a notice")));
        } else {
            self.push(topic, payload, |keep| Kind::Notice { keep, answer });
        }
        async {
            let gone = |_| StoreFault::unavailable(RETRY_AFTER, "the bus has ended");
            answered.await.map_err(gone)?
        }
    }

    /// What is kept of a topic, as a new follower would get it.
    pub async fn kept(&self, topic: &Topic) -> Result<Vec<Entry>, StoreFault> {
        let Inner { engine, backlogs, .. } = &*self.0;
        let backlog = backlogs.read(engine, topic, Since::Kept).await?;
        let entry = |(id, payload)| Entry { topic: topic.clone(), id, payload };
        Ok(backlog.entries.into_iter().map(entry).collect())
    }

    /// Waits until all that was published so far is written, or `patience` is over.
    pub async fn flush(&self, patience: Duration) {
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        let idle = async {
            while !self.0.outgoing.is_idle() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Who has run out of patience leaves the rest to the writer.
        let _ = tokio::time::timeout(patience, idle).await;
    }

    /// Empties topics of one session: what is published from now on begins anew.
    pub async fn clear(&self, topics: &[Topic]) -> Result<(), StoreFault> {
        let keys: Vec<_> = topics.iter().flat_map(|topic| topic.keys(&self.0.engine)).collect();
        self.0.engine.run(redis::cmd("UNLINK").arg(keys).take()).await
    }

    /// The place of a topic's newest entry, if it has any. Of audio it is known for as long as a
    /// talk may last, though the entry is not kept so long.
    pub async fn last(&self, topic: &Topic) -> Result<Option<EntryId>, StoreFault> {
        let engine = &self.0.engine;
        let [stream, publishers] = topic.keys(engine);
        match topic {
            Topic::Audio { .. } => reading::last_sequence(engine, &publishers).await,
            Topic::Configuration { .. } | Topic::Session(_) | Topic::Node(_) => {
                reading::last(engine, &stream).await
            }
        }
    }

    /// What it has counted.
    pub fn counters(&self) -> &BusCounters {
        &self.0.counters
    }

    fn push(&self, topic: &Topic, payload: Bytes, kind: impl FnOnce(Keep) -> Kind) {
        let Inner { engine, outgoing, counters, .. } = &*self.0;
        let keep = match topic {
            Topic::Node(_) => INBOX,
            Topic::Configuration { .. } => CONFIGURATION,
            Topic::Session(_) | Topic::Audio { .. } => NOTICES,
        };
        let lane = if engine.is_cluster() { topic.tag() } else { "" };
        outgoing.push(lane, topic.key(engine), payload, kind(keep), counters);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.outgoing.close();
    }
}
