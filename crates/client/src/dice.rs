//! Randomness from a number that the edge drew.

use ambo_core::Millis;

/// Draws as many numbers as one input may need from the one it came with (SplitMix64).
#[derive(Clone, Debug, Default)]
pub(crate) struct Dice(u64);

impl Dice {
    pub fn new(entropy: u64) -> Self {
        Self(entropy)
    }

    /// A span from nothing to `most`, each as likely.
    pub fn up_to(&mut self, most: Millis) -> Millis {
        let share = u128::from(self.next()) * (u128::from(most.0) + 1);
        // The upper half of the product is at most `most`.
        Millis((share >> 64) as u64)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_never_longer_than_asked_and_reaches_both_ends() {
        let mut dice = Dice::new(7);
        let draws: Vec<_> = (0..1_000).map(|_| dice.up_to(Millis(3)).0).collect();
        assert!((0..=3).all(|span| draws.contains(&span)));
        assert!(draws.iter().all(|span| *span <= 3));
        assert_eq!(dice.up_to(Millis::ZERO), Millis::ZERO);
    }
}
