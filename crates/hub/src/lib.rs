//! Audio fan-out, and the writing side of every socket.
//!
//! A speaker's [`Voice`] publishes frames to the session's floor channel; a listener's [`Outlet`]
//! takes a seat there. A frame is encoded at most once per [`Framing`] and its bytes are shared by
//! every socket. Control messages and audio leave a socket through the same [`Outlet`], in order.
//!
//! ```text
//! publish, tell, end ─┐ one lock a session, no IO under it
//! seat, leave ────────┴► lane per shard ─► shard: all that waits, one write a socket
//!                                             └─ blocked? queue, drop oldest, close when too late
//! ```
//!
//! *Invariant*: what a session does (publish, tell, seat, leave, end) has one order, made by the
//! session's lock, and every seat sees its part of that order: nothing twice, nothing missing.
//! *Invariant*: no lock is held across an await, and no seat waits for another seat's socket.
//! *Invariant*: control messages are never dropped; audio is, oldest first, never half a frame.
//!
//! Read in this order: [`socket`], [`outlet`], `shard` and `group` (who writes when), `session`,
//! `channel` and `history` (what is written), [`tick`], [`hub`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod audio;
mod channel;
pub mod clock;
pub mod counters;
mod group;
mod history;
pub mod hub;
mod lane;
pub mod outlet;
mod session;
pub mod settings;
mod shard;
pub mod socket;
pub mod tick;

pub use audio::{Audio, Frame, Framing, Kind};
pub use clock::{Clock, Hand};
pub use counters::Counters;
pub use hub::{Hub, NotOpen, Resume, SeatError};
pub use outlet::{Outlet, Why};
pub use session::{Gate, Published, Voice};
pub use settings::{HistoryLimits, HubSettings, QueueLimits};
pub use socket::Socket;
pub use tick::DeliveryTick;

#[cfg(test)]
mod tests;
