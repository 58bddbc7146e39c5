//! How long frames are held so that several leave in one write.
//!
//! A write of five frames costs what a write of one costs, so a large session is cheaper by
//! whatever it gathers, and a small one should not wait at all.

use std::time::{Duration, Instant};

/// The rhythm in which a session's audio leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryTick {
    /// By the size of the audience: nothing up to [`SMALL`] seats, growing to [`LONGEST`] at
    /// [`LARGE`].
    Auto,
    /// Always this long; zero sends every frame as it comes.
    Fixed(Duration),
}

/// Up to so many seats, frames are not held: their writes take about a millisecond of one core.
pub const SMALL: usize = 200;
/// From so many seats on the longest tick holds: to write every frame of 20 ms by itself would take
/// a third of a core, and as much again of whatever stands between here and the listeners.
pub const LARGE: usize = 1_000;
/// Three frames of 20 ms: the delay is small beside a player's buffer, the writes are a third.
pub const LONGEST: Duration = Duration::from_millis(60);
/// The least a frame waits where there is a tick, so that a sender's burst leaves together even
/// when the tick before it was long ago.
const GATHER: Duration = Duration::from_millis(3);

impl DeliveryTick {
    /// The tick for an audience of so many.
    pub fn interval(self, seats: usize) -> Duration {
        match self {
            Self::Fixed(interval) => interval,
            Self::Auto => {
                let over = seats.clamp(SMALL, LARGE) - SMALL;
                LONGEST * over as u32 / (LARGE - SMALL) as u32
            }
        }
    }
}

/// When a frame that arrives now is to leave, given when the last ones did.
pub(crate) fn due(interval: Duration, last: Option<Instant>, now: Instant) -> Instant {
    if interval.is_zero() {
        return now;
    }
    let gathered = now + GATHER.min(interval);
    last.map_or(gathered, |last| gathered.max(last + interval))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_tick_grows_with_the_audience() {
        for (seats, interval) in [(0, 0), (1, 0), (200, 0), (600, 30), (1_000, 60), (100_000, 60)] {
            assert_eq!(DeliveryTick::Auto.interval(seats), MS * interval, "{seats} seats");
        }
        assert_eq!(DeliveryTick::Fixed(20 * MS).interval(5), 20 * MS);
    }

    #[test]
    fn without_a_tick_nothing_waits() {
        let now = Instant::now();
        assert_eq!(due(Duration::ZERO, Some(now), now), now);
    }

    #[test]
    fn with_a_tick_frames_leave_one_interval_apart_and_a_burst_leaves_together() {
        let now = Instant::now();
        assert_eq!(due(60 * MS, None, now), now + GATHER);
        assert_eq!(due(60 * MS, Some(now), now + 20 * MS), now + 60 * MS);
        assert_eq!(due(60 * MS, Some(now), now + 500 * MS), now + 500 * MS + GATHER);
        assert_eq!(due(MS, None, now), now + MS, "never longer than the tick itself");
    }
}
