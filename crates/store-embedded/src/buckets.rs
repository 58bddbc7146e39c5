//! Rate limits' buckets, in memory.

use std::collections::HashMap;

use ambo_app::ports::Paid;
use ambo_core::limits::{Identity, Operation};
use ambo_core::rules::Toll;
use ambo_core::{Bucket, Millis, Rate};
use parking_lot::Mutex;

/// The most buckets kept of one operation. A full bucket need not be kept, so this many sources
/// must have acted within the time one of them needs to be forgotten (a minute for most). At some
/// 100 bytes each, the table of one operation stays below 25 MB.
const MAX_BUCKETS: usize = 250_000;

/// A shelf of no more buckets than this is not swept.
const MIN_SWEEP: usize = 1_024;

/// The buckets of every operation, each operation under a lock of its own.
pub(crate) struct Buckets {
    shelves: [Mutex<Shelf>; Operation::Audio as usize + 1],
    most: usize,
}

/// A bucket that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    pub(crate) operation: Operation,
    pub(crate) identity: Identity,
    pub(crate) bucket: Bucket,
}

struct Shelf {
    buckets: HashMap<Identity, Bucket>,
    /// How many there may be before the full ones are thrown out: twice what was left the last
    /// time, so that a take costs the same on average however many there are.
    sweep_at: usize,
}

impl Buckets {
    pub(crate) fn new() -> Self {
        Self::with_most(MAX_BUCKETS)
    }

    fn with_most(most: usize) -> Self {
        let shelf = || Mutex::new(Shelf { buckets: HashMap::new(), sweep_at: MIN_SWEEP });
        Self { shelves: std::array::from_fn(|_| shelf()), most }
    }

    /// Pays a toll, and says which bucket changed.
    ///
    /// When there are as many buckets as there may be, one that nobody knows yet pays and is not
    /// kept: who is counted stays counted, and a flood of sources bars nobody else.
    pub(crate) fn pay(&self, toll: &Toll, rate: Rate, now: Millis) -> (Paid, Option<Spent>) {
        let (Toll::Take(key) | Toll::Show(key)) = toll;
        if rate.is_off() {
            return (Paid::Yes, None);
        }
        let mut shelf = self.shelves[key.operation as usize].lock();
        let bucket = shelf.buckets.get(&key.identity).copied().unwrap_or_default();
        let after = match bucket.take(rate, now) {
            Ok(after) => after,
            Err(wait) => return (Paid::Wait(wait), None),
        };
        let is_kept = match toll {
            Toll::Take(_) => shelf.keep(&key.identity, after, now, self.most),
            Toll::Show(_) => false,
        };
        let (operation, identity) = (key.operation, key.identity.clone());
        (Paid::Yes, is_kept.then_some(Spent { operation, identity, bucket: after }))
    }

    /// Brings back a bucket that was stored.
    pub(crate) fn restore(&self, spent: Spent, now: Millis) {
        let mut shelf = self.shelves[spent.operation as usize].lock();
        shelf.keep(&spent.identity, spent.bucket, now, self.most);
    }
}

impl Shelf {
    /// Keeps a bucket, if there is room.
    fn keep(&mut self, identity: &Identity, bucket: Bucket, now: Millis, most: usize) -> bool {
        if let Some(kept) = self.buckets.get_mut(identity) {
            *kept = bucket;
            return true;
        }
        if self.buckets.len() >= self.sweep_at.min(most) {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            self.sweep_at = (self.buckets.len() * 2).max(MIN_SWEEP);
            self.buckets.shrink_to(self.sweep_at);
        }
        let has_room = self.buckets.len() < most;
        if has_room {
            self.buckets.insert(identity.clone(), bucket);
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambo_core::{LimitKey, SourceAddress};

    const NOW: Millis = Millis(1_700_000_000_000);

    fn take(buckets: &Buckets, source: u32, rate: Rate, now: Millis) -> Paid {
        let address = SourceAddress::of(std::net::Ipv4Addr::from(source).into());
        let identity = Identity::Source(address);
        let key = LimitKey { operation: Operation::Connect, identity };
        buckets.pay(&Toll::Take(key), rate, now).0
    }

    fn kept(buckets: &Buckets) -> usize {
        buckets.shelves[Operation::Connect as usize].lock().buckets.len()
    }

    #[test]
    fn full_buckets_are_forgotten_and_memory_with_them() {
        let buckets = Buckets::new();
        let rate = Rate::new(60, Millis::from_mins(1));
        for source in 0..100_000 {
            let now = NOW + Millis(u64::from(source));
            assert_eq!(take(&buckets, source, rate, now), Paid::Yes);
        }
        // A second fills each again, and a thousand come a second.
        assert!(kept(&buckets) <= 2 * MIN_SWEEP, "{}", kept(&buckets));
        let shelf = buckets.shelves[Operation::Connect as usize].lock();
        assert!(shelf.buckets.capacity() <= 8 * MIN_SWEEP, "{}", shelf.buckets.capacity());
    }

    #[test]
    fn beyond_the_most_the_known_stay_counted_and_strangers_pass() {
        let buckets = Buckets::with_most(10);
        let once = Rate::new(1, Millis::from_mins(1));
        for source in 0..10 {
            assert_eq!(take(&buckets, source, once, NOW), Paid::Yes);
        }
        for _ in 0..2 {
            assert_eq!(take(&buckets, 99, once, NOW), Paid::Yes);
            assert!(matches!(take(&buckets, 3, once, NOW), Paid::Wait(_)));
        }
        assert_eq!(kept(&buckets), 10);
        let later = NOW + Millis::from_mins(2);
        assert_eq!(take(&buckets, 99, once, later), Paid::Yes);
        assert!(matches!(take(&buckets, 99, once, later), Paid::Wait(_)), "there is room again");
        assert_eq!(kept(&buckets), 1);
    }
}
