//! What waits for one socket.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{MAX_SLICES, Why};
use crate::session::Place;
use crate::settings::QueueLimits;
use crate::socket::Socket;

/// What waits for one socket, how far the first of it is written, and what the socket is up to.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    /// Bytes of the first entry that are already written. Here, so that dropping and writing
    /// can never disagree about it.
    head_written: usize,
    audio_frames: usize,
    audio_bytes: usize,
    control_bytes: usize,
    /// When the oldest frame came that was dropped since the queue was last empty: what was
    /// dropped was never sent, so it goes on ageing until the listener has caught up.
    dropped_since: Option<Instant>,
    pub state: State,
    pub place: Option<Place>,
    /// The socket is full, and the shard will be woken when it is not.
    pub is_blocked: bool,
    /// The shard looks at it at every sweep.
    pub is_watched: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum State {
    #[default]
    Open,
    /// Takes no more; the socket lives until all is written and the peer has gone, or until then.
    Closing { why: Why, deadline: Instant },
    /// The socket is shut down.
    Dead(Why),
}

/// One whole WebSocket frame.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub bytes: Bytes,
    pub sort: Sort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Must arrive.
    Control,
    /// May be dropped.
    Audio,
}

#[derive(Debug)]
struct Entry {
    piece: Piece,
    queued_at: Instant,
}

impl Piece {
    pub fn control(bytes: Bytes) -> Self {
        Self { bytes, sort: Sort::Control }
    }
}

impl Queue {
    /// Whether a write may go to the socket directly.
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty() && !self.is_blocked
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    pub fn extend(&mut self, pieces: impl IntoIterator<Item = Piece>, now: Instant) {
        for piece in pieces {
            match piece.sort {
                Sort::Control => self.control_bytes += piece.bytes.len(),
                Sort::Audio => {
                    self.audio_frames += 1;
                    self.audio_bytes += piece.bytes.len();
                }
            }
            self.entries.push_back(Entry { piece, queued_at: now });
        }
    }

    /// Queues what is left of `pieces` after their first `written` bytes. Those may be more than
    /// none only if nothing waits.
    pub fn extend_after(&mut self, written: usize, pieces: &[Piece], now: Instant) {
        let mut written = written;
        let mut rest = pieces;
        while let [first, others @ ..] = rest
            && written >= first.bytes.len()
        {
            written -= first.bytes.len();
            rest = others;
        }
        self.extend(rest.iter().cloned(), now);
        if written > 0 {
            self.head_written = written;
        }
    }

    /// One system call with all that waits.
    pub fn write_to(&mut self, socket: &Socket) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let mut used = 0;
        for (slice, entry) in slices.iter_mut().zip(&self.entries) {
            *slice = IoSlice::new(&entry.piece.bytes);
            used += 1;
        }
        slices[0].advance(self.head_written);
        let written = socket.try_write_vectored(&slices[..used])?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(written);
        Ok(written)
    }

    /// How long the oldest unsent data has waited.
    pub fn age(&self, now: Instant) -> Duration {
        let head = self.entries.front().map(|entry| entry.queued_at);
        let oldest = self.dropped_since.into_iter().chain(head).min();
        oldest.map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest))
    }

    /// Drops the oldest audio until the rest may stay; says how many frames that were.
    pub fn trim(&mut self, limits: &QueueLimits) -> u64 {
        let mut dropped = 0;
        let mut at = usize::from(self.head_written > 0);
        while self.audio_frames > limits.frames || self.audio_bytes > limits.bytes {
            match self.entries.get(at) {
                None => break,
                Some(entry) if entry.piece.sort == Sort::Control => at += 1,
                Some(_) => {
                    self.drop_at(at);
                    dropped += 1;
                }
            }
        }
        dropped
    }

    /// Drops all audio but a half-written frame; says how many frames that were.
    pub fn drop_audio(&mut self) -> u64 {
        let nothing = QueueLimits { frames: 0, bytes: 0, ..QueueLimits::default() };
        self.trim(&nothing)
    }

    /// Nothing waits any more: the buffer is given back, for most queues never fill again.
    pub fn rest(&mut self) {
        self.entries = VecDeque::new();
        self.dropped_since = None;
    }

    pub fn clear(&mut self) {
        self.rest();
        (self.head_written, self.audio_frames) = (0, 0);
        (self.audio_bytes, self.control_bytes) = (0, 0);
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(head) = self.entries.front() {
            let left = head.piece.bytes.len() - self.head_written;
            if written < left {
                self.head_written += written;
                return;
            }
            written -= left;
            self.head_written = 0;
            if let Some(entry) = self.entries.pop_front() {
                self.forget(&entry.piece);
            }
        }
    }

    fn drop_at(&mut self, at: usize) {
        if let Some(entry) = self.entries.remove(at) {
            self.forget(&entry.piece);
            self.dropped_since.get_or_insert(entry.queued_at);
        }
    }

    fn forget(&mut self, piece: &Piece) {
        match piece.sort {
            Sort::Control => self.control_bytes -= piece.bytes.len(),
            Sort::Audio => {
                self.audio_frames -= 1;
                self.audio_bytes -= piece.bytes.len();
            }
        }
    }
}

#[cfg(test)]
impl Queue {
    pub fn room(&self) -> usize {
        self.entries.capacity()
    }
}
