//! Time that moves when it is told to, and chance that repeats.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambo_core::{Entropy, Millis, Stamp};

/// A clock that stands still until it is advanced. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<AtomicU64>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(1_700_000_000_000)))
    }
}

impl Clock {
    /// The time.
    pub fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }

    /// Lets time pass.
    pub fn advance(&self, span: Millis) {
        self.0.fetch_add(span.0, Ordering::SeqCst);
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    is_stuck: bool,
}

impl Dice {
    /// Dice that fall differently for every seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, is_stuck: false }
    }

    /// Dice whose entropy is the same for every event, as if the operating system's were broken.
    pub fn stuck(seed: u64) -> Self {
        Self { state: seed, is_stuck: true }
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// A stamp for an event at this moment.
    pub fn stamp(&mut self, now: Millis) -> Stamp {
        let mut source = if self.is_stuck { Self::new(77) } else { Self::new(self.number()) };
        let mut bytes = [0; Entropy::LEN];
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&source.number().to_be_bytes());
        }
        Stamp { now, entropy: Entropy(bytes) }
    }
}
