//! Hears what is published to the topics that are followed, and hands it on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::StoreFault;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::Msg;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::{debug, warn};

use super::following::{Answer, Followings, Heard, Task, Wish};
use super::reading::{self, Backlog, Backlogs, Kept};
use super::subscriber::{Subscriber, Told};
use super::topic::{Entry, EntryId, Since, Topic};
use super::{BusCounters, BusSettings};
use crate::Engine;

/// Readings under way at a time. With the page's size it bounds what they hold.
const READINGS: usize = 16;

/// Between two attempts to connect, or to read.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the connection is asked whether it lives.
const PING_EVERY: Duration = Duration::from_secs(2);

/// How often topics of which nothing was heard are looked at, in pings. The nodes of a cluster
/// pass messages on to each other on a best effort: the last one before a silence may be lost.
const PINGS_A_DOUBT: u32 = 5;

/// Messages heard in one go, before anything else gets its turn.
const TOGETHER: usize = 64;

/// What is asked of a reader.
pub(super) enum Order {
    Follow { topic: Topic, since: Since, answer: Answer },
    Unfollow(Topic),
}

/// The task that hears for all topics of a node.
pub(super) struct Reader {
    engine: Engine,
    counters: Arc<BusCounters>,
    backlogs: Arc<Backlogs>,
    followings: Followings,
    readings: FuturesUnordered<Reading>,
    /// What was read and waits for room in the receiver.
    read: VecDeque<(Task, VecDeque<Kept>)>,
    heard: mpsc::Sender<Entry>,
}

type Reading = Pin<Box<dyn Future<Output = (Task, Result<Found, StoreFault>)> + Send>>;

enum Found {
    Backlog(Backlog),
    Page(Vec<Kept>),
}

/// Nobody wants to hear anything any more.
struct End;

impl Reader {
    pub(super) fn new(
        engine: Engine,
        settings: &BusSettings,
        counters: Arc<BusCounters>,
        heard: mpsc::Sender<Entry>,
    ) -> Self {
        Self {
            engine,
            counters,
            backlogs: Arc::new(Backlogs::new(settings)),
            followings: Followings::default(),
            readings: FuturesUnordered::new(),
            read: VecDeque::new(),
            heard,
        }
    }

    /// Hears until the bus or its receiver is dropped, on one connection after the other.
    pub(super) async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        while let Ok(mut subscriber) = self.connect(&mut orders).await {
            for key in self.followings.keys() {
                subscriber.subscribe(key.clone());
            }
            if let Err(End) = self.listen(&mut subscriber, &mut orders).await {
                return;
            }
            self.counters.reconnects.one();
        }
    }

    /// A new connection, however long it takes. Topics begun meanwhile wait for it.
    async fn connect(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<Subscriber, End> {
        let engine = self.engine.clone();
        let mut connecting = Box::pin(connect(&engine));
        let heard = self.heard.clone();
        loop {
            tokio::select! {
                connection = &mut connecting => return Ok(connection),
                order = orders.recv() => match order.ok_or(End)? {
                    Order::Follow { topic, since, answer } => {
                        self.followings.begin(topic.key(&self.engine), topic, since, answer);
                    }
                    Order::Unfollow(topic) => {
                        self.followings.end(&topic.key(&self.engine));
                    }
                },
                () = heard.closed() => return Err(End),
            }
        }
    }

    /// Hears on one connection until it breaks.
    async fn listen(
        &mut self,
        subscriber: &mut Subscriber,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Result<(), End> {
        let heard = self.heard.clone();
        let mut pings = pings();
        let mut pinged = 0;
        loop {
            self.begin_readings();
            tokio::select! {
                told = subscriber.next() => match told {
                    Told::Message(message) => self.hear_all(&message, subscriber),
                    Told::Subscribed(keys) => {
                        keys.iter().for_each(|key| self.followings.doubt(key));
                    }
                    Told::Broken(error) => {
                        warn!(
                            component = "bus",
                            operation = "hear",
                            ?error,
                            "the bus's connection is made anew"
                        );
                        // An engine that refuses something refuses it again at once.
                        if error.is_some_and(|error| error.code().is_some()) {
                            tokio::time::sleep(PAUSE).await;
                        }
                        return Ok(());
                    }
                },
                order = orders.recv() => self.obey(order.ok_or(End)?, subscriber),
                Some((task, found)) = self.readings.next() => self.found(task, found, subscriber),
                room = heard.reserve(), if !self.read.is_empty() => {
                    self.hand_on(room.map_err(|_| End)?);
                }
                _ = pings.tick() => {
                    subscriber.ping();
                    pinged += 1;
                    if self.engine.is_cluster() && pinged % PINGS_A_DOUBT == 0 {
                        self.followings.doubt_quiet();
                    }
                }
                () = heard.closed() => return Err(End),
            }
        }
    }

    fn obey(&mut self, order: Order, subscriber: &mut Subscriber) {
        match order {
            Order::Follow { topic, since, answer } => {
                let key = topic.key(&self.engine);
                self.followings.begin(key.clone(), topic, since, answer);
                subscriber.subscribe(key);
            }
            Order::Unfollow(topic) => self.leave(topic.key(&self.engine), subscriber),
        }
    }

    fn leave(&mut self, key: String, subscriber: &mut Subscriber) {
        if self.followings.end(&key).is_some() {
            subscriber.unsubscribe(key);
        }
    }

    /// Hears a message and those that have come with it.
    fn hear_all(&mut self, message: &Msg, subscriber: &mut Subscriber) {
        self.hear(message);
        for _ in 0..TOGETHER {
            let Some(next) = subscriber.next_message() else { return };
            self.hear(&next);
        }
    }

    /// Hands an entry on that was just told, if it is the next of its topic and there is room.
    /// Else it is read from its stream when its turn comes: waiting here would fill the memory
    /// with what the connection brings.
    fn hear(&mut self, message: &Msg) {
        let key = message.get_channel_name();
        let Some((before, id, payload)) = parse(message.get_payload_bytes()) else {
            warn!(
                component = "bus",
                operation = "hear",
                channel = key,
                "a message on the bus is none of its own"
            );
            return;
        };
        let Ok(room) = self.heard.try_reserve() else {
            return self.followings.miss(key, id);
        };
        match self.followings.hear(key, before, id) {
            Heard::Next(topic) => {
                self.counters.heard.one();
                room.send(Entry { topic, id, payload });
            }
            Heard::Known => self.counters.duplicates.one(),
            Heard::Later | Heard::Foreign => {}
        }
    }

    fn begin_readings(&mut self) {
        // What was read already goes first.
        while self.read.is_empty()
            && self.readings.len() < READINGS
            && let Some(task) = self.followings.next()
        {
            let (engine, backlogs) = (self.engine.clone(), Arc::clone(&self.backlogs));
            self.readings.push(Box::pin(async move {
                let found = read(&engine, &backlogs, &task).await;
                if found.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
                (task, found)
            }));
        }
    }

    fn found(&mut self, task: Task, found: Result<Found, StoreFault>, subscriber: &mut Subscriber) {
        let is_wanted = match found {
            Ok(Found::Backlog(backlog)) => self.followings.open(&task, backlog),
            Ok(Found::Page(page)) => {
                let page = self.followings.fill(&task, page, &self.counters);
                if page.is_empty() {
                    self.followings.settle(&task);
                } else {
                    self.read.push_back((task, page.into()));
                }
                return;
            }
            Err(fault) => {
                debug!(
                    component = "bus",
                    operation = "read",
                    error = %format_args!("{fault}: {}", fault.source),
                    "a stream could not be read"
                );
                self.followings.retry(&task)
            }
        };
        if is_wanted.is_none() {
            self.leave(task.key, subscriber);
        }
    }

    /// Hands on one entry of what was read.
    fn hand_on(&mut self, room: mpsc::Permit<'_, Entry>) {
        let Some((task, page)) = self.read.front_mut() else { return };
        if self.followings.has(&task.key, task.number)
            && let Some(Kept { id, payload, .. }) = page.pop_front()
        {
            self.counters.heard.one();
            room.send(Entry { topic: task.topic.clone(), id, payload });
            if !page.is_empty() {
                return;
            }
        }
        self.followings.settle(task);
        self.read.pop_front();
    }
}

async fn connect(engine: &Engine) -> Subscriber {
    loop {
        match engine.pubsub().await {
            Ok(connection) => return Subscriber::new(connection),
            Err(fault) => debug!(
                component = "bus",
                operation = "connect",
                error = %format_args!("{fault}: {}", fault.source),
                "the bus is not connected"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read(engine: &Engine, backlogs: &Backlogs, task: &Task) -> Result<Found, StoreFault> {
    match task.wish {
        Wish::Backlog(since) => backlogs.read(engine, &task.topic, since).await.map(Found::Backlog),
        Wish::Page { after, .. } => reading::page(engine, &task.key, after).await.map(Found::Page),
    }
}

/// What the scripts publish: the id of the entry before, its own, and its payload.
fn parse(message: &[u8]) -> Option<(EntryId, EntryId, Bytes)> {
    let mut parts = message.splitn(3, |byte| *byte == b' ');
    let before = EntryId::parse(parts.next()?)?;
    let id = EntryId::parse(parts.next()?)?;
    Some((before, id, Bytes::copy_from_slice(parts.next()?)))
}

fn pings() -> Interval {
    let mut pings = tokio::time::interval(PING_EVERY);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings
}
