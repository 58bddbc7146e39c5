//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::sync::Arc;

use ambo_core::{Operation, Refusal, SourceAddress};
use parking_lot::Mutex;

/// Counts connections by source address. 0 means no limit.
#[derive(Debug)]
pub(crate) struct Places {
    max: u32,
    max_per_source: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    by_source: HashMap<SourceAddress, u32>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// Whose it is; `None` where the peer is a proxy.
    source: Option<SourceAddress>,
    /// For whom the proxy has it now, once it has said so.
    client: Option<SourceAddress>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// The server's.
    InAll,
    /// The address's.
    ForSource,
}

impl NoPlace {
    /// What one who finds no place is told.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::InAll => Refusal::ServiceUnavailable { service: "node", retry_after: 5 },
            // Somebody who has more connections than any hall needs.
            Self::ForSource => {
                Refusal::RateLimitExceeded { operation: Operation::Connect, retry_after: 10 }
            }
        }
    }
}

impl Places {
    pub(crate) fn new(max: u32, max_per_source: u32) -> Arc<Self> {
        Arc::new(Self { max, max_per_source, taken: Mutex::default() })
    }

    /// Takes a place for a socket that was just accepted.
    pub(crate) fn take(self: &Arc<Self>, source: Option<SourceAddress>) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock();
        if self.max != 0 && taken.all >= self.max {
            return Err(NoPlace::InAll);
        }
        if let Some(source) = source {
            self.count(&mut taken, source)?;
        }
        taken.all += 1;
        Ok(Place { places: Arc::clone(self), source, client: None })
    }

    fn count(&self, taken: &mut Taken, source: SourceAddress) -> Result<(), NoPlace> {
        let count = taken.by_source.entry(source).or_default();
        if self.max_per_source != 0 && *count >= self.max_per_source {
            return Err(NoPlace::ForSource);
        }
        *count += 1;
        Ok(())
    }

    /// How many connections there are.
    #[cfg(test)]
    fn len(&self) -> (u32, usize) {
        let taken = self.taken.lock();
        (taken.all, taken.by_source.len())
    }
}

impl Place {
    /// Says for whom the place is, once a proxy has said it.
    pub(crate) fn assign(&mut self, source: SourceAddress) -> Result<(), NoPlace> {
        if self.source.or(self.client).is_none() {
            let mut taken = self.places.taken.lock();
            self.places.count(&mut taken, source)?;
            self.client = Some(source);
        }
        Ok(())
    }

    /// The next request of the same proxy's connection may be another client's.
    pub(crate) fn unassign(&mut self) {
        if let Some(client) = self.client.take() {
            self.places.taken.lock().count_off(client);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= 1;
        if let Some(source) = self.source.or(self.client) {
            taken.count_off(source);
        }
    }
}

impl Taken {
    fn count_off(&mut self, source: SourceAddress) {
        if let Some(count) = self.by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceAddress {
        SourceAddress::of(text.parse().unwrap())
    }

    #[test]
    fn places_are_limited_in_all_and_by_source_and_come_back() {
        let places = Places::new(3, 2);
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        let first = places.take(Some(a)).unwrap();
        let _second = places.take(Some(a)).unwrap();
        assert_eq!(places.take(Some(a)).unwrap_err(), NoPlace::ForSource);
        let third = places.take(Some(b)).unwrap();
        assert_eq!(places.take(Some(b)).unwrap_err(), NoPlace::InAll);
        drop((first, third));
        assert_eq!(places.len(), (1, 1), "an address without connections is forgotten");
        let _again = places.take(Some(a)).unwrap();
    }

    #[test]
    fn behind_a_proxy_the_source_is_counted_once_it_is_known() {
        let places = Places::new(0, 1);
        let a = source("192.0.2.1");
        let mut first = places.take(None).unwrap();
        let mut second = places.take(None).unwrap();
        first.assign(a).unwrap();
        assert_eq!(second.assign(a), Err(NoPlace::ForSource));
        drop((first, second));
        assert_eq!(places.len(), (0, 0));
    }

    #[test]
    fn a_proxys_connection_counts_for_whom_it_carries_now() {
        let places = Places::new(0, 1);
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        let mut proxys = places.take(None).unwrap();
        proxys.assign(a).unwrap();
        proxys.unassign();
        assert_eq!(places.len(), (1, 0));
        proxys.assign(b).unwrap();
        let _its_own = places.take(Some(a)).unwrap();
        assert_eq!(places.take(Some(b)).unwrap_err(), NoPlace::ForSource);
        let mut known = places.take(Some(source("192.0.2.3"))).unwrap();
        known.unassign();
        assert_eq!(places.len(), (3, 3), "whose address is its own keeps it");
    }
}
