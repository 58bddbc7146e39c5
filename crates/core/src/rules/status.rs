//! Who listens: asked for by the speaker, and pushed when it changes.

use alloc::collections::BTreeSet;

use super::{Actor, Seen};
use crate::decision::{Decision, Reply};
use crate::language::Language;
use crate::notice::Status;
use crate::refusal::Refusal;
use crate::stamp::Millis;

/// However little happens, the speaker hears of it this often.
const PERIOD: Millis = Millis::from_secs(30);
/// However much happens, not more often than this.
const SPACING: Millis = Millis::from_secs(1);
/// A change of the count is worth a word from this share on, in percent of the last count told.
const SHARE: u64 = 10;

pub(super) fn decide(actor: &Actor<'_>, seen: &Seen) -> Result<Decision, Refusal> {
    let (_, session) = seen.spoken()?;
    let status = Status::of(session, seen.languages.clone(), actor.stamp.now);
    Ok(Decision { reply: Some(Reply::Status(status)), ..Decision::default() })
}

/// Why a status is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateReason {
    /// The speaker asked.
    Requested,
    /// It is time.
    Periodic,
    /// The count moved by more than a tenth.
    ListenerCountChange,
    /// Somebody listens in a language nobody did before.
    NewLanguage,
}

impl UpdateReason {
    /// Its name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Periodic => "periodic",
            Self::ListenerCountChange => "listenerCountChange",
            Self::NewLanguage => "newLanguage",
        }
    }
}

/// Decides when a speaker is told who listens without asking.
#[derive(Clone, Debug)]
pub struct StatusPulse {
    told_at: Millis,
    listeners: u32,
    languages: BTreeSet<Language>,
}

impl StatusPulse {
    /// A pulse for a session that has just been made or taken up.
    pub fn new(now: Millis) -> Self {
        Self { told_at: now, listeners: 0, languages: BTreeSet::new() }
    }

    /// Why the status is to be told now, if it is.
    pub fn due(&self, status: &Status, now: Millis) -> Option<UpdateReason> {
        let since = now.since(self.told_at);
        if since < SPACING {
            return None;
        }
        let moved = u64::from(self.listeners.abs_diff(status.listeners)) * 100;
        let is_new =
            |(language, count): &(Language, u32)| *count > 0 && !self.languages.contains(language);
        if status.languages.iter().any(is_new) {
            Some(UpdateReason::NewLanguage)
        } else if moved > u64::from(self.listeners) * SHARE {
            Some(UpdateReason::ListenerCountChange)
        } else if since >= PERIOD {
            Some(UpdateReason::Periodic)
        } else {
            None
        }
    }

    /// Notes what was told, asked for or not.
    pub fn told(&mut self, status: &Status, now: Millis) {
        self.told_at = now;
        self.listeners = status.listeners;
        self.languages = status.languages.iter().map(|(language, _)| *language).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, en, es};

    fn status(world: &World, languages: &[(Language, u32)]) -> Status {
        Status {
            session: world.session().id,
            listeners: languages.iter().map(|(_, count)| count).sum(),
            languages: languages.to_vec(),
            duration: Millis::ZERO,
            state: world.session().broadcast_state(),
        }
    }

    #[test]
    fn the_speaker_is_told_when_it_matters_and_never_twice_a_second() {
        let world = World::new();
        let start = world.now();
        let mut pulse = StatusPulse::new(start);
        let before = status(&world, &[(es(), 100)]);
        pulse.told(&before, start);
        use UpdateReason::{ListenerCountChange, NewLanguage, Periodic};
        type Case<'a> = (u64, &'a [(Language, u32)], Option<UpdateReason>);
        let cases: [Case<'_>; 9] = [
            (999, &[(es(), 500)], None),
            (1_000, &[(es(), 110)], None),
            (1_000, &[(es(), 111)], Some(ListenerCountChange)),
            (1_000, &[(es(), 90)], None),
            (1_000, &[(es(), 89)], Some(ListenerCountChange)),
            (1_000, &[(es(), 100), (en(), 1)], Some(NewLanguage)),
            (1_000, &[(es(), 200), (en(), 1)], Some(NewLanguage)),
            (29_999, &[(es(), 100)], None),
            (30_000, &[(es(), 100)], Some(Periodic)),
        ];
        for (after, languages, expected) in cases {
            let now = start + Millis(after);
            let due = pulse.due(&status(&world, languages), now);
            assert_eq!(due, expected, "{after} ms, {languages:?}");
        }
    }

    #[test]
    fn the_first_listener_is_news_and_so_is_the_last_to_leave() {
        let world = World::new();
        let mut pulse = StatusPulse::new(world.now());
        let later = world.now() + SPACING;
        let one = status(&world, &[(es(), 1)]);
        assert_eq!(pulse.due(&one, later), Some(UpdateReason::NewLanguage));
        pulse.told(&one, later);
        let none = status(&world, &[]);
        assert_eq!(pulse.due(&none, later + SPACING), Some(UpdateReason::ListenerCountChange));
    }

    #[test]
    fn the_count_told_is_the_sum_of_the_languages() {
        let world = World::new();
        let mut seen = world.seen_by_speaker();
        seen.languages = alloc::vec![(en(), 2), (es(), 5)];
        let decision = decide(&world.ann("c1"), &seen).unwrap();
        let Some(Reply::Status(status)) = decision.reply else { panic!() };
        assert_eq!((status.listeners, status.duration), (7, Millis::from_mins(10)));
        let refused = decide(&world.anyone("c2"), &world.seen_by_listener());
        assert_eq!(refused, Err(Refusal::Forbidden));
    }
}
