//! The token bucket behind every rate limit.

use crate::stamp::Millis;

/// How many a caller may do in how long, and how many at once. `amount` 0 means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back in [`per`](Self::per).
    pub amount: u32,
    /// The time in which they come back.
    pub per: Millis,
    /// Tokens in a full bucket.
    pub burst: u32,
}

impl Rate {
    /// A rate whose whole amount may be spent at once.
    pub const fn new(amount: u32, per: Millis) -> Self {
        Self { amount, per, burst: amount }
    }

    /// Whether there is no limit.
    pub const fn is_off(&self) -> bool {
        self.amount == 0 || self.per.is_zero()
    }

    /// Microseconds until one token is back: at least one, so that a bucket always fills in time.
    pub const fn interval_micros(&self) -> u64 {
        if self.is_off() {
            return 0;
        }
        let micros = self.per.0.saturating_mul(1_000) / self.amount as u64;
        if micros == 0 { 1 } else { micros }
    }

    /// Microseconds in which an empty bucket becomes full.
    pub const fn span_micros(&self) -> u64 {
        let burst = if self.burst == 0 { 1 } else { self.burst };
        self.interval_micros().saturating_mul(burst as u64)
    }
}

/// A token bucket as one number: the moment, in microseconds, at which it will be full again
/// (the "theoretical arrival time" of the generic cell rate algorithm). The default is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket(pub u64);

impl Bucket {
    /// Takes one token: the bucket after it, or how long until there is one.
    pub fn take(self, rate: Rate, now: Millis) -> Result<Bucket, Millis> {
        if rate.is_off() {
            return Ok(self);
        }
        let now = now.0.saturating_mul(1_000);
        // A clock that was set back must not lock anybody out for longer than an empty bucket.
        let full_at = self.0.min(now.saturating_add(rate.span_micros()));
        let after = full_at.max(now).saturating_add(rate.interval_micros());
        let room_until = now.saturating_add(rate.span_micros());
        if after <= room_until {
            Ok(Bucket(after))
        } else {
            Err(Millis((after - room_until).div_ceil(1_000)))
        }
    }

    /// Whether the bucket is full, so that forgetting it changes nothing.
    pub const fn is_full(self, now: Millis) -> bool {
        self.0 <= now.0.saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(mut bucket: Bucket, rate: Rate, now: Millis, times: u32) -> (Bucket, u32) {
        let mut taken = 0;
        for _ in 0..times {
            if let Ok(after) = bucket.take(rate, now) {
                bucket = after;
                taken += 1;
            }
        }
        (bucket, taken)
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { amount: 2, per: Millis::from_mins(1), burst: 4 };
        let start = Millis(1_700_000_000_000);
        let (bucket, taken) = spend(Bucket::default(), rate, start, 10);
        assert_eq!(taken, 4);
        assert_eq!(bucket.take(rate, start), Err(Millis::from_secs(30)));
        let (bucket, taken) = spend(bucket, rate, start + Millis::from_secs(30), 10);
        assert_eq!(taken, 1);
        let (_, taken) = spend(bucket, rate, start + Millis::from_mins(60), 10);
        assert_eq!(taken, 4, "it never holds more than its burst");
    }

    #[test]
    fn a_client_on_a_thirty_second_beat_with_jitter_is_never_refused() {
        let rate = Rate { amount: 2, per: Millis::from_mins(1), burst: 4 };
        let mut bucket = Bucket::default();
        for beat in 0..1_000_u64 {
            let jitter = beat.wrapping_mul(7_919) % 6_000;
            let now = Millis(1_700_000_000_000 + beat * 30_000 + jitter);
            bucket = bucket.take(rate, now).unwrap();
        }
    }

    #[test]
    fn no_limit_is_no_limit() {
        let off = Rate::new(0, Millis::from_mins(1));
        assert_eq!(spend(Bucket::default(), off, Millis(5), 1_000).1, 1_000);
    }

    #[test]
    fn a_clock_set_back_locks_nobody_out() {
        let rate = Rate::new(60, Millis::from_mins(1));
        let late = Millis(1_700_000_000_000);
        let (bucket, _) = spend(Bucket::default(), rate, late, 60);
        let early = late - Millis::from_mins(600);
        let wait = bucket.take(rate, early).unwrap_err();
        assert!(wait <= Millis::from_secs(1), "{wait}");
    }

    #[test]
    fn a_refused_take_says_when_to_come_back() {
        let rate = Rate::new(100, Millis::from_secs(1));
        let now = Millis(1_700_000_000_000);
        let (bucket, taken) = spend(Bucket::default(), rate, now, 200);
        assert_eq!(taken, 100);
        let wait = bucket.take(rate, now).unwrap_err();
        assert!(bucket.take(rate, now + wait).is_ok());
    }
}
