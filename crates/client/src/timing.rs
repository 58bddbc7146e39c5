//! Every limit of the client, with its reason.

use ambo_core::Millis;
use ambo_wire::Sizes;

/// How long things may take and how much may wait. The defaults suit the server's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats. A third of the silence that the server bears.
    pub heartbeat: Millis,
    /// How much earlier or later a heartbeat comes, so that clients do not beat together.
    pub heartbeat_jitter: Millis,
    /// Heartbeats that the server takes in a row, if none came for long.
    pub heartbeats_at_once: u32,
    /// Silence of the server after which it is pinged.
    pub ping_after: Millis,
    /// Time for the pong. With `ping_after` it makes the 10 s in which a dead line is noticed.
    pub pong_limit: Millis,
    /// A speaker's `ping_after`: a pong tells what has arrived, and the less is kept, the sooner a
    /// speaker has caught up after a server was killed.
    pub confirm_after: Millis,
    /// Time for a connection to be made and answered, TLS and all.
    pub connect_limit: Millis,
    /// The first wait after a failure; each further one may be twice as long.
    pub first_retry: Millis,
    /// The longest wait: a server that comes back is found soon, and not stormed.
    pub longest_retry: Millis,
    /// A connection that lived this long was a good one: waits begin anew after it. A server that
    /// takes connections only to fall over again does so sooner.
    pub steady_after: Millis,
    /// When a lost connection is given up: no session lives longer without its speaker.
    pub reconnect_limit: Millis,
    /// Time for the server to close a connection that was superseded; it takes 30 s at most.
    pub supersede_limit: Millis,
    /// Time for the server to answer the wish to end the session.
    pub end_limit: Millis,
    /// Audio kept while there is no connection. Older audio would be heard too late to matter.
    pub queue_span: Millis,
    /// The same in bytes: 30 s of CD-quality stereo fit.
    pub queue_bytes: usize,
    /// Frames kept by their number, so that no rate fills the memory.
    pub queue_frames: usize,
    /// The largest payload of a frame, in bytes, as the server has it.
    pub payload_bytes: usize,
    /// Frames in a second when catching up; the server allows 100.
    pub frames_per_second: u32,
    /// Frames at once when catching up; the server allows 200.
    pub frames_at_once: u32,
    /// Frames handed to the shell that it has not yet written: what a stalled line cannot undo.
    pub frames_in_flight: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Millis::from_secs(30),
            heartbeat_jitter: Millis(1_500),
            heartbeats_at_once: 4,
            ping_after: Millis::from_secs(5),
            pong_limit: Millis::from_secs(5),
            confirm_after: Millis::from_secs(2),
            connect_limit: Millis::from_secs(10),
            first_retry: Millis::from_secs(1),
            longest_retry: Millis::from_secs(30),
            steady_after: Millis::from_secs(2),
            reconnect_limit: Millis::from_mins(120),
            supersede_limit: Millis::from_secs(31),
            end_limit: Millis::from_secs(10),
            queue_span: Millis::from_secs(30),
            queue_bytes: 8 * 1024 * 1024,
            queue_frames: 4_096,
            payload_bytes: Sizes::default().audio,
            frames_per_second: 90,
            frames_at_once: 150,
            frames_in_flight: 64,
        }
    }
}
