//! How long to wait after a failure.

use ambo_core::Millis;

use crate::dice::Dice;
use crate::timing::Timing;

/// Counts failures in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait before coming back after a loss: anything up to 1, 2, 4 … 30 s ("full jitter"),
    /// so that the listeners of a hall do not come back together; but not much longer than it has
    /// been `away`, since a server that was gone for a moment is soon back. One that takes
    /// connections only to fall over again is away all the time. What the server asked for is
    /// obeyed, and spread by the first retry.
    pub fn after_loss(
        &mut self,
        retry_after: Option<Millis>,
        away: Millis,
        timing: &Timing,
        dice: &mut Dice,
    ) -> Millis {
        let wait = dice.up_to(self.ladder(timing).min(timing.first_retry + away));
        match retry_after {
            Some(asked) => wait.max(asked + dice.up_to(timing.first_retry)),
            None => wait,
        }
    }

    /// The wait before the next try to refresh: 1, 2, 4 … 30 s. The old connection still serves,
    /// and the server has spread its requests already.
    pub fn after_failed_refresh(&mut self, retry_after: Option<Millis>, timing: &Timing) -> Millis {
        self.ladder(timing).max(retry_after.unwrap_or_default())
    }

    /// Failures so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    fn ladder(&mut self, timing: &Timing) -> Millis {
        let factor = 1_u64.checked_shl(self.failures).unwrap_or(u64::MAX);
        self.failures = self.failures.saturating_add(1);
        Millis(timing.first_retry.0.saturating_mul(factor)).min(timing.longest_retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Millis = Millis::from_mins(60);

    #[test]
    fn a_refresh_is_tried_again_after_1_2_4_up_to_30_s() {
        let (mut backoff, timing) = (Backoff::default(), Timing::default());
        let mut wait = || backoff.after_failed_refresh(None, &timing).as_secs_ceil();
        let waits: Vec<_> = (0..80).map(|_| wait()).collect();
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(waits.last(), Some(&30));
    }

    #[test]
    fn a_loss_is_waited_out_with_full_jitter() {
        let timing = Timing::default();
        for (failures, most) in [(0, 1), (1, 2), (4, 16), (5, 30), (90, 30)] {
            let waits = (0..200).map(|seed| {
                let wait =
                    Backoff { failures }.after_loss(None, LONG, &timing, &mut Dice::new(seed));
                assert!(wait <= Millis::from_secs(most));
                wait.0
            });
            let spread: std::collections::BTreeSet<_> = waits.map(|ms| ms / (most * 250)).collect();
            assert!(spread.len() >= 4, "the whole span is used: {spread:?}");
        }
    }

    #[test]
    fn what_the_server_asks_for_is_obeyed() {
        let timing = Timing::default();
        let asked = Some(Millis::from_secs(12));
        for seed in 0..100 {
            let wait = Backoff::default().after_loss(asked, LONG, &timing, &mut Dice::new(seed));
            assert!((12_000..=13_000).contains(&wait.0), "{wait}");
        }
        assert_eq!(Backoff::default().after_failed_refresh(asked, &timing), Millis(12_000));
    }

    #[test]
    fn one_that_was_gone_for_a_moment_is_soon_back() {
        let (timing, away) = (Timing::default(), Millis(1_500));
        for seed in 0..200 {
            let mut backoff = Backoff { failures: 9 };
            let wait = backoff.after_loss(None, away, &timing, &mut Dice::new(seed));
            assert!(wait <= timing.first_retry + away, "{wait}");
        }
    }
}
