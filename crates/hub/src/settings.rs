//! Everything about the hub that a deployment may choose, with the reasons for the defaults.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::audio::{Audio, Framing};
use crate::clock::Clock;
use crate::tick::DeliveryTick;

/// What a hub is started with.
pub struct HubSettings {
    /// Tasks that write to sockets. One a core: writing is nearly all system calls.
    pub shards: usize,
    /// Makes the whole WebSocket frame; called at most once a frame and framing.
    pub encode: fn(&Audio, Framing) -> Bytes,
    /// The close frame for a listener that stayed behind.
    pub slow_close: Bytes,
    /// Told of every delivery: from a frame's arrival to the last write of it on a shard.
    /// Boxed, because it carries the histogram it records into.
    pub fanout: Option<Box<dyn Fn(Duration) + Send + Sync>>,
    /// What a channel remembers.
    pub history: HistoryLimits,
    /// What may wait for one socket.
    pub queue: QueueLimits,
    /// How frames are gathered into one write, unless a session says otherwise.
    pub tick: DeliveryTick,
    /// How often late listeners and lingering sockets are looked for.
    pub sweep: Duration,
    /// Where `now` comes from.
    pub clock: Clock,
}

/// What a channel remembers for those who come back.
#[derive(Clone, Copy, Debug)]
pub struct HistoryLimits {
    /// The greatest age of a frame. A refresh takes a second or two; ten leave room for a bad one.
    pub span: Duration,
    /// Frames at most: ten seconds of 10 ms frames.
    pub frames: usize,
    /// Payload bytes at most: ten seconds of uncompressed stereo would be 2 MiB.
    pub bytes: usize,
}

/// What may wait for one socket.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Audio frames. Twice the history, so that a replay and what follows it both fit.
    pub frames: usize,
    /// Bytes of audio. They are shared with all other listeners, so they are not paid for each.
    pub bytes: usize,
    /// Bytes of control messages, which are never dropped: past this the connection is.
    pub control_bytes: usize,
    /// How long a listener may stay behind before it is closed.
    pub slow_after: Duration,
    /// How long a closing socket may take to write what waits and to see the peer go.
    pub linger: Duration,
}

impl HubSettings {
    /// The defaults, with what has none.
    pub fn new(encode: fn(&Audio, Framing) -> Bytes, slow_close: Bytes) -> Self {
        Self {
            shards: std::thread::available_parallelism().map_or(1, usize::from),
            encode,
            slow_close,
            fanout: None,
            history: HistoryLimits::default(),
            queue: QueueLimits::default(),
            tick: DeliveryTick::Auto,
            sweep: Duration::from_millis(250),
            clock: Clock::real(),
        }
    }
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self { span: Duration::from_secs(10), frames: 1_000, bytes: 4 << 20 }
    }
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self {
            frames: 2_000,
            bytes: 8 << 20,
            control_bytes: 256 << 10,
            slow_after: Duration::from_secs(10),
            linger: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("shards", &self.shards)
            .field("history", &self.history)
            .field("queue", &self.queue)
            .field("tick", &self.tick)
            .field("sweep", &self.sweep)
            .finish_non_exhaustive()
    }
}
