//! The server's clock: one that a step of the machine's clock cannot disturb, or one that a test
//! moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ambo_core::{Entropy, Millis, Stamp};
use tokio::sync::Notify;

/// How often time-driven work is looked at.
pub const TICK: Duration = Duration::from_millis(250);

/// Where `now` and the ticks come from.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    System(Anchor),
    Manual(Manual),
}

/// Wall time at the start plus what has passed since. A step of the machine's clock must not age
/// every session and connection at once, so the difference is made up slowly.
#[derive(Debug)]
struct Anchor {
    started: Instant,
    started_at: u64,
    correction: AtomicI64,
}

#[derive(Debug)]
struct Manual {
    now: AtomicU64,
    moved: Notify,
    hub: ambo_hub::Hand,
    hub_clock: ambo_hub::Clock,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        let anchor =
            Anchor { started: Instant::now(), started_at: wall().0, correction: AtomicI64::new(0) };
        Self(Arc::new(Kind::System(anchor)))
    }

    /// A clock that stands still until it is [`advance`](Self::advance)d.
    pub fn manual(now: Millis) -> Self {
        let (hub_clock, hub) = ambo_hub::Clock::by_hand();
        let (now, moved) = (AtomicU64::new(now.0), Notify::new());
        Self(Arc::new(Kind::Manual(Manual { now, moved, hub, hub_clock })))
    }

    /// The moment by which ages and limits are measured.
    pub fn now(&self) -> Millis {
        match &*self.0 {
            Kind::System(anchor) => anchor.now(),
            Kind::Manual(manual) => Millis(manual.now.load(Ordering::Acquire)),
        }
    }

    /// The moment by which others have written their times, such as a token's expiry.
    pub fn wall(&self) -> Millis {
        match &*self.0 {
            Kind::System(_) => wall(),
            Kind::Manual(_) => self.now(),
        }
    }

    /// A stamp for an event that arrives now.
    pub fn stamp(&self) -> Stamp {
        let mut entropy = [0; Entropy::LEN];
        // The operating system's randomness does not fail once it has begun to work, and without
        // it no id or secret may be made: giving up is right.
        getrandom::fill(&mut entropy).unwrap_or_else(|error| panic!("no randomness: {error}"));
        Stamp { now: self.now(), entropy: Entropy(entropy) }
    }

    /// The same clock for the hub.
    pub(crate) fn for_hub(&self) -> ambo_hub::Clock {
        match &*self.0 {
            Kind::System(_) => ambo_hub::Clock::real(),
            Kind::Manual(manual) => manual.hub_clock.clone(),
        }
    }

    /// Waits until it is time to look at what time drives.
    pub(crate) async fn tick(&self) {
        match &*self.0 {
            Kind::System(anchor) => {
                tokio::time::sleep(TICK).await;
                anchor.correct();
            }
            Kind::Manual(manual) => manual.moved.notified().await,
        }
    }

    /// Lets a little real time pass, whatever the clock shows.
    pub(crate) async fn rest(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    /// Moves a manual clock, for tests. Does nothing to the machine's.
    pub fn advance(&self, span: Duration) {
        if let Kind::Manual(manual) = &*self.0 {
            manual.now.fetch_add(span.as_millis() as u64, Ordering::AcqRel);
            manual.hub.turn(span);
            manual.moved.notify_one();
        }
    }
}

impl Anchor {
    fn now(&self) -> Millis {
        let passed = self.started.elapsed().as_millis() as u64;
        let correction = self.correction.load(Ordering::Relaxed);
        Millis((self.started_at + passed).saturating_add_signed(correction))
    }

    /// Makes up at most a tenth of the time passed, so that an hour's step hurts nobody.
    fn correct(&self) {
        let off = wall().0 as i64 - self.now().0 as i64;
        let most = TICK.as_millis() as i64 / 10;
        self.correction.fetch_add(off.clamp(-most, most), Ordering::Relaxed);
    }
}

fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_of_the_machines_clock_is_made_up_slowly() {
        let hour = 3_600_000;
        let anchor = Anchor {
            started: Instant::now(),
            started_at: wall().0 - hour,
            correction: AtomicI64::new(0),
        };
        let before = anchor.now();
        anchor.correct();
        let gained = anchor.now().since(before);
        assert!(gained >= Millis(25) && gained < Millis(1_000), "{gained}");
        for _ in 0..hour / 25 {
            anchor.correct();
        }
        assert!(wall().0.abs_diff(anchor.now().0) < 1_000);
    }

    #[test]
    fn a_manual_clock_moves_by_hand_only() {
        let clock = Clock::manual(Millis(5));
        assert_eq!(clock.now(), Millis(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!((clock.now(), clock.wall()), (Millis(1_005), Millis(1_005)));
    }
}
