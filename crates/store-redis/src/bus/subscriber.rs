//! The connection on which entries are told: what is subscribed to, and whether it lives.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use redis::aio::{PubSub, PubSubSink, PubSubStream};
use redis::{Msg, RedisError, RedisResult};

/// Channels of one command, so that its confirmations hold up nothing for long.
const CHANNELS: usize = 256;

/// A connection that does not answer for so long is as good as broken.
const PATIENCE: Duration = Duration::from_secs(3);

/// One connection for all that a node follows. It does not come back: a new one takes its place.
pub(super) struct Subscriber {
    messages: PubSubStream,
    sink: PubSubSink,
    /// Changes that are to be made, in order.
    changes: VecDeque<(Verb, String)>,
    under_way: Option<Call>,
    ping: Option<Call>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Subscribe,
    Unsubscribe,
}

/// What a connection brings.
pub(super) enum Told {
    /// What was published to a channel.
    Message(Msg),
    /// These channels are subscribed to from now on.
    Subscribed(Vec<String>),
    /// It is of no more use, for this reason if one is known.
    Broken(Option<RedisError>),
}

fn broken(error: RedisError) -> Told {
    Told::Broken(Some(error))
}

/// A call, and the channels that are subscribed to once it has succeeded.
type Call = Pin<Box<dyn Future<Output = RedisResult<Vec<String>>> + Send>>;

impl Subscriber {
    pub(super) fn new(connection: PubSub) -> Self {
        let (sink, messages) = connection.split();
        Self { messages, sink, changes: VecDeque::new(), under_way: None, ping: None }
    }

    pub(super) fn subscribe(&mut self, channel: String) {
        self.changes.push_back((Verb::Subscribe, channel));
    }

    pub(super) fn unsubscribe(&mut self, channel: String) {
        self.changes.push_back((Verb::Unsubscribe, channel));
    }

    /// Asks whether the other end is there.
    pub(super) fn ping(&mut self) {
        let mut sink = self.sink.clone();
        let call = async move { sink.ping::<redis::Value>().await.map(|_| Vec::new()) };
        self.ping.get_or_insert_with(|| Box::pin(in_time(call)));
    }

    /// What happens next. Changes are made one after the other, so that a channel is in the end
    /// what was asked for last. Not before the next call after one was asked for.
    pub(super) async fn next(&mut self) -> Told {
        if self.under_way.is_none() {
            self.under_way = self.next_call();
        }
        let Self { messages, under_way, ping, .. } = self;
        tokio::select! {
            message = messages.next() => message.map_or(Told::Broken(None), Told::Message),
            done = finished(under_way) => done.map_or_else(broken, Told::Subscribed),
            pong = finished(ping) => pong.map_or_else(broken, Told::Subscribed),
        }
    }

    /// A message that has come already.
    pub(super) fn next_message(&mut self) -> Option<Msg> {
        self.messages.next().now_or_never().flatten()
    }

    fn next_call(&mut self) -> Option<Call> {
        let verb = self.changes.front()?.0;
        let mut channels = Vec::new();
        while channels.len() < CHANNELS
            && let Some((_, channel)) = self.changes.pop_front_if(|change| change.0 == verb)
        {
            channels.push(channel);
        }
        let mut sink = self.sink.clone();
        Some(Box::pin(in_time(async move {
            match verb {
                Verb::Subscribe => sink.subscribe(&channels).await.map(|()| channels),
                Verb::Unsubscribe => sink.unsubscribe(&channels).await.map(|()| Vec::new()),
            }
        })))
    }
}

/// The outcome of a call that is then forgotten; never, when there is none.
async fn finished(call: &mut Option<Call>) -> RedisResult<Vec<String>> {
    let Some(running) = call else { return std::future::pending().await };
    let outcome = running.await;
    *call = None;
    outcome
}

async fn in_time(call: impl Future<Output = RedisResult<Vec<String>>>) -> RedisResult<Vec<String>> {
    let late = |_| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    tokio::time::timeout(PATIENCE, call).await.map_err(late)?
}
