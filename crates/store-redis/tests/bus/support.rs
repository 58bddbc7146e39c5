//! Nodes, topics and talks for the tests of the bus.

use std::time::{Duration, Instant};

use ambo_core::{Language, SessionId};
use ambo_store_redis::{
    Bus, BusSettings, Engine, Entry, EntryId, NodeId, RedisSettings, Since, Topic,
};
use ambo_testkit::redis::RedisServer;
use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::time::MissedTickBehavior;

/// Nothing here takes so long, unless it never happens.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing grows old, and nothing is given up, on a machine that has much else to do.
pub fn patient() -> BusSettings {
    BusSettings { history_span: PATIENCE, follow_patience: PATIENCE, ..BusSettings::default() }
}

/// One end of the bus.
pub struct Node {
    pub bus: Bus,
    pub heard: Receiver<Entry>,
}

impl Node {
    pub async fn at(url: &str) -> Self {
        Self::with(url, patient()).await
    }

    pub async fn with(url: &str, settings: BusSettings) -> Self {
        let redis = RedisSettings::parse(url).unwrap();
        let redis = redis.with_call_timeout(Duration::from_millis(500));
        // A machine with much else to do may not answer in time.
        let connecting = async {
            loop {
                if let Ok(engine) = Engine::connect(&redis).await {
                    return engine;
                }
            }
        };
        let engine = within(connecting, "a connection").await;
        let (bus, heard) = Bus::start(engine, settings);
        Self { bus, heard }
    }

    pub async fn follow(&self, topic: &Topic, since: Since) -> Vec<Entry> {
        self.bus.follow(topic.clone(), since).await.unwrap()
    }

    /// Waits until all that was published is written.
    pub async fn flush(&self) {
        self.bus.flush(PATIENCE).await;
    }

    /// The place of a topic's newest entry; a busy machine may need more than one call to tell.
    pub async fn last(&self, topic: &Topic) -> Option<EntryId> {
        let asking = async {
            loop {
                if let Ok(last) = self.bus.last(topic).await {
                    return last;
                }
            }
        };
        within(asking, "the last entry").await
    }

    pub async fn next(&mut self) -> Entry {
        within(self.heard.recv(), "an entry").await.unwrap()
    }

    /// What is heard of a talk up to this sequence. Fails where the order does.
    pub async fn hear_until(&mut self, sequence: u32) -> Vec<u32> {
        let mut heard: Vec<u32> = Vec::new();
        while heard.last() != Some(&sequence) {
            let entry = self.next().await;
            let number = sequence_of(&entry);
            assert!(heard.last().is_none_or(|last| *last < number), "{number} after {heard:?}");
            heard.push(number);
        }
        heard
    }

    /// Says frames, one each `pace`.
    pub async fn speak(&self, topic: &Topic, frames: std::ops::RangeInclusive<u32>, pace: u64) {
        let mut beat = tokio::time::interval(Duration::from_millis(pace.max(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for sequence in frames {
            if pace > 0 {
                beat.tick().await;
            }
            self.say(topic, sequence, Bytes::from(sequence.to_string()));
        }
    }

    pub fn say(&self, topic: &Topic, sequence: u32, payload: Bytes) {
        let Topic::Audio { session, language } = topic else { panic!("no audio") };
        self.bus.publish_audio(session, *language, sequence, payload);
    }
}

/// The sequence of a frame that was spoken; its place and what is in it must agree.
pub fn sequence_of(entry: &Entry) -> u32 {
    let number = number(entry);
    assert_eq!(entry.id, EntryId::of_sequence(number));
    number
}

/// The number an entry carries.
pub fn number(entry: &Entry) -> u32 {
    std::str::from_utf8(&entry.payload).unwrap().parse().unwrap()
}

pub fn session(number: u32) -> SessionId {
    SessionId::parse(&format!("a-b-{}", 100 + number)).unwrap()
}

/// A channel of its own.
pub fn channel(number: u32) -> Topic {
    Topic::Audio { session: session(number), language: Language::parse("en").unwrap() }
}

pub fn notices(number: u32) -> Topic {
    Topic::Session(session(number))
}

pub fn inbox(number: u8) -> Topic {
    Topic::Node(NodeId::random([number; 16]))
}

/// The key of a topic's stream, which is its channel too.
pub fn key(topic: &Topic) -> String {
    match topic {
        Topic::Audio { session, language } => format!("ambo:{{{session}}}:audio:{language}"),
        Topic::Configuration { session, language } => {
            format!("ambo:{{{session}}}:configuration:{language}")
        }
        Topic::Session(session) => format!("ambo:{{{session}}}:notices"),
        Topic::Node(node) => format!("ambo:node:{{{node}}}:inbox"),
    }
}

/// How many connections follow a topic.
pub async fn followers(server: &RedisServer, topic: &Topic) -> usize {
    let (_, count): (String, usize) = server.run(&["PUBSUB", "NUMSUB", &key(topic)]).await;
    count
}

pub async fn within<T>(future: impl Future<Output = T>, what: &str) -> T {
    let late = |_| panic!("{what} did not come within {PATIENCE:?}");
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(late)
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not come to be within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
