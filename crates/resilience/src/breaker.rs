//! The circuit breaker: a small machine of values, which is told the time.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What a call that comes while another one probes is told to wait: a probe takes that long at
/// most, or not much longer.
const PROBING_WAIT: Duration = Duration::from_secs(1);

/// Whether calls are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// All of them.
    Closed,
    /// One, to see; the others not.
    HalfOpen,
    /// None.
    Open,
}

impl BreakerState {
    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "halfOpen",
            Self::Open => "open",
        }
    }

    /// Its value for a gauge: the more, the worse.
    pub const fn as_number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

/// Opens after failures in a row; then lets one call through to see whether it may close again.
pub(crate) struct Breaker {
    failures_to_open: u32,
    open_for: Duration,
    inside: Mutex<Inside>,
}

struct Inside {
    state: State,
    opened: u64,
}

#[derive(Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// A probe is under way; `until` is when it might begin.
    HalfOpen {
        until: Instant,
    },
}

/// What a call's end did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    None,
    Opened,
    Closed,
}

impl Breaker {
    pub(crate) fn new(failures_to_open: u32, open_for: Duration) -> Self {
        let inside = Inside { state: State::Closed { failures: 0 }, opened: 0 };
        // None would mean that it opens before anything has failed.
        let failures_to_open = failures_to_open.max(1);
        Self { failures_to_open, open_for, inside: Mutex::new(inside) }
    }

    pub(crate) fn state(&self) -> BreakerState {
        match self.inside.lock().state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// How often it has opened, a failed probe included.
    pub(crate) fn opened(&self) -> u64 {
        self.inside.lock().opened
    }

    /// Lets a call through, or says how long there is no use in asking.
    pub(crate) fn enter(&self, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut inside = self.inside.lock();
        let is_probe = match inside.state {
            State::Closed { .. } => false,
            State::Open { until } if now < until => return Err(until - now),
            State::Open { until } => {
                inside.state = State::HalfOpen { until };
                true
            }
            State::HalfOpen { .. } => return Err(PROBING_WAIT),
        };
        Ok(Pass { breaker: self, is_probe })
    }

    fn settle(&self, is_probe: bool, has_failed: bool, now: Instant) -> Turn {
        let mut inside = self.inside.lock();
        let failures = match (inside.state, is_probe) {
            (State::Closed { failures }, false) => failures,
            (State::HalfOpen { .. }, true) if has_failed => self.failures_to_open,
            (State::HalfOpen { .. }, true) => {
                inside.state = State::Closed { failures: 0 };
                return Turn::Closed;
            }
            // Let through before it opened; what has happened since counts more.
            _ => return Turn::None,
        };
        let failures = if has_failed { failures.saturating_add(1) } else { 0 };
        if failures < self.failures_to_open {
            inside.state = State::Closed { failures };
            return Turn::None;
        }
        inside.state = State::Open { until: now + self.open_for };
        inside.opened += 1;
        Turn::Opened
    }
}

/// The right to make one call. One that is dropped before its end, as when a client hangs up,
/// counts for nothing; if it was the probe, the next call is.
pub(crate) struct Pass<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

impl Pass<'_> {
    pub(crate) fn succeeded(self, now: Instant) -> Turn {
        self.breaker.settle(self.is_probe, false, now)
    }

    pub(crate) fn failed(self, now: Instant) -> Turn {
        self.breaker.settle(self.is_probe, true, now)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        let mut inside = self.breaker.inside.lock();
        // A probe that was settled has left this state.
        if let State::HalfOpen { until } = inside.state {
            inside.state = State::Open { until };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_FOR: Duration = Duration::from_secs(30);

    fn breaker() -> Breaker {
        Breaker::new(5, OPEN_FOR)
    }

    fn fail(breaker: &Breaker, times: usize, now: Instant) -> Vec<Turn> {
        let fail = || breaker.enter(now).map(|pass| pass.failed(now)).unwrap();
        (0..times).map(|_| fail()).collect()
    }

    #[test]
    fn five_failures_in_a_row_open_it() {
        let (breaker, now) = (breaker(), Instant::now());
        assert_eq!(fail(&breaker, 4, now), [Turn::None; 4]);
        assert_eq!(breaker.enter(now).unwrap().succeeded(now), Turn::None);
        assert_eq!(fail(&breaker, 4, now), [Turn::None; 4]);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(fail(&breaker, 1, now), [Turn::Opened]);
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn an_open_one_says_how_long() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, 5, now);
        assert_eq!(breaker.enter(now).err(), Some(OPEN_FOR));
        let later = now + Duration::from_millis(29_999);
        assert_eq!(breaker.enter(later).err(), Some(Duration::from_millis(1)));
        assert!(breaker.enter(now + OPEN_FOR).is_ok());
    }

    #[test]
    fn one_probe_decides() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, 5, now);
        let then = now + OPEN_FOR;
        let probe = breaker.enter(then).unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(breaker.enter(then).err(), Some(PROBING_WAIT), "only one");
        assert_eq!(probe.failed(then), Turn::Opened);
        assert_eq!(breaker.enter(then).err(), Some(OPEN_FOR), "from the start");
        let then = then + OPEN_FOR;
        let probe = breaker.enter(then).unwrap();
        assert_eq!(probe.succeeded(then), Turn::Closed);
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(breaker.opened(), 2);
        assert_eq!(fail(&breaker, 4, then), [Turn::None; 4], "nothing is held against it");
    }

    #[test]
    fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
        let (breaker, now) = (breaker(), Instant::now());
        fail(&breaker, 5, now);
        let then = now + OPEN_FOR;
        drop(breaker.enter(then).unwrap());
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.enter(then).unwrap().succeeded(then), Turn::Closed);
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let (breaker, now) = (breaker(), Instant::now());
        let (slow, slower) = (breaker.enter(now).unwrap(), breaker.enter(now).unwrap());
        let given_up = breaker.enter(now).unwrap();
        fail(&breaker, 5, now);
        assert_eq!(slow.succeeded(now), Turn::None);
        assert_eq!(breaker.state(), BreakerState::Open);
        let probe = breaker.enter(now + OPEN_FOR).unwrap();
        assert_eq!(slower.failed(now), Turn::None);
        drop(given_up);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert_eq!(probe.succeeded(now + OPEN_FOR), Turn::Closed);
    }
}
