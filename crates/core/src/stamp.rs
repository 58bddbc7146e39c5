//! Time and entropy, made at the edge and handed to the rules as values.

use core::fmt;
use core::ops::{Add, Sub};

/// A moment, or a span, in whole milliseconds; a moment counts from the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Millis = Millis(0);

    /// A span of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// A span of whole minutes.
    pub const fn from_mins(mins: u64) -> Self {
        Self::from_secs(mins.saturating_mul(60))
    }

    /// Whole seconds, rounded up, so that a client never comes back too early.
    pub const fn as_secs_ceil(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    /// The span since `earlier`; nothing when the clock has jumped back.
    pub const fn since(self, earlier: Millis) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether the span is nothing: the way every setting says "off".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl Add for Millis {
    type Output = Millis;

    fn add(self, span: Millis) -> Millis {
        Millis(self.0.saturating_add(span.0))
    }
}

impl Sub for Millis {
    type Output = Millis;

    fn sub(self, span: Millis) -> Millis {
        Millis(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Random bytes from the operating system, enough for every choice one event can ask for.
#[derive(Clone)]
pub struct Entropy(pub [u8; Entropy::LEN]);

impl Entropy {
    /// Ten session ids of eight bytes, and a refresh secret of sixteen.
    pub const LEN: usize = 96;
    const SECRET_AT: usize = 80;

    /// The `n`-th number drawn, for the `n`-th session id tried (0 to 9; further ones repeat).
    pub fn number(&self, n: usize) -> u64 {
        let at = (n % 10) * 8;
        self.0[at..at + 8].iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// Sixteen bytes nobody can guess.
    pub fn secret(&self) -> [u8; 16] {
        let mut secret = [0; 16];
        secret.copy_from_slice(&self.0[Self::SECRET_AT..]);
        secret
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// When an event arrived, and the randomness its rule may use.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// The moment of arrival.
    pub now: Millis,
    /// Fresh randomness, used at most once.
    pub entropy: Entropy,
}
