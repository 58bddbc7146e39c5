//! A connection grows old, or its node is drained: it is told to refresh, and warned, once each.

use alloc::vec::Vec;

use super::{Actor, Seen, Terms};
use crate::change::Change;
use crate::connection::{Connection, RefreshToken};
use crate::decision::Decision;
use crate::limits::Limits;
use crate::notice::{Audience, Notice, RefreshReason, RefreshRequired, Tidings};
use crate::refusal::Refusal;
use crate::stamp::{Millis, Stamp};
use crate::text::Secret;

/// Where no maximum age is set, a connection that was told to refresh is still good this long.
const DEADLINE_WITHOUT_MAXIMUM: Millis = Millis::from_mins(20);

/// What a connection's age calls for.
pub(super) struct Signs {
    pub(super) told: Option<Secret>,
    pub(super) warned: bool,
    pub(super) notices: Vec<Notice>,
}

/// What is due and was not told before, however late it is looked at.
pub(super) fn signs(own: &Connection, limits: &Limits, stamp: &Stamp) -> Signs {
    let age = stamp.now.since(own.connected_at);
    let is_due = |at: Millis| !at.is_zero() && age >= at;
    let max = limits.connection_max_duration;
    let mut signs = Signs { told: None, warned: false, notices: Vec::new() };
    if is_due(limits.connection_refresh) && own.told.is_none() {
        let secret = Secret(stamp.entropy.secret());
        let deadline = if max.is_zero() {
            stamp.now + DEADLINE_WITHOUT_MAXIMUM
        } else {
            own.connected_at + max
        };
        signs.told = Some(secret);
        signs.notices.push(refresh_required(own, secret, RefreshReason::Age, deadline));
    }
    if is_due(limits.connection_warning) && !own.warned {
        let left = (own.connected_at + max).since(stamp.now);
        let remaining_minutes = left.0.div_ceil(60_000);
        signs.warned = true;
        signs.notices.push(to(own, Tidings::Warning { remaining_minutes }));
    }
    signs
}

/// The server's own look at the age.
pub(super) fn decide(actor: &Actor<'_>, terms: &Terms, seen: &Seen) -> Result<Decision, Refusal> {
    let own = seen.own()?;
    let Signs { told, warned, notices } = signs(own, &terms.limits, actor.stamp);
    if notices.is_empty() {
        return Ok(Decision::default());
    }
    let change = Some(mark(own, told, warned));
    Ok(Decision { change, notices, ..Decision::default() })
}

/// The node is being drained. A connection that was told to refresh already is told of the new
/// deadline, as that may be sooner, and in case the first word was lost. Its proof stays the same.
pub(super) fn drain(deadline: Millis, actor: &Actor<'_>, seen: &Seen) -> Result<Decision, Refusal> {
    let own = seen.own()?;
    let secret = own.told.unwrap_or_else(|| Secret(actor.stamp.entropy.secret()));
    let notice = refresh_required(own, secret, RefreshReason::Drain, deadline);
    Ok(Decision {
        change: own.told.is_none().then(|| mark(own, Some(secret), false)),
        notices: Vec::from([notice]),
        ..Decision::default()
    })
}

fn mark(own: &Connection, told: Option<Secret>, warned: bool) -> Change {
    Change::Touch {
        connection: own.id.clone(),
        was_seen: own.seen_at,
        seen_at: own.seen_at,
        beats: own.beats,
        told,
        warned,
        extend: None,
    }
}

fn refresh_required(
    own: &Connection,
    secret: Secret,
    reason: RefreshReason,
    deadline: Millis,
) -> Notice {
    let target = own.role.target();
    let token = target.map(|_| RefreshToken { connection: own.id.clone(), secret });
    let session = own.session.clone();
    let required = RefreshRequired { session, target, token, reason, deadline };
    to(own, Tidings::RefreshRequired(required))
}

fn to(own: &Connection, tidings: Tidings) -> Notice {
    Notice { audience: Audience::Connection(own.id.clone()), tidings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::World;

    /// What a listener of this age is told, by names.
    fn told_at(world: &World, age: Millis, told: bool, warned: bool) -> Vec<&'static str> {
        let mut own = world.listener("c2");
        own.connected_at = world.now() - age;
        own.told = told.then_some(Secret([1; 16]));
        own.warned = warned;
        let seen = Seen { own: Some(own), ..Seen::default() };
        let decision = decide(&world.anyone("c2"), &world.terms, &seen).unwrap();
        assert_eq!(decision.change.is_some(), !decision.notices.is_empty());
        let name = |notice: &Notice| match &notice.tidings {
            Tidings::RefreshRequired(_) => "refresh",
            Tidings::Warning { .. } => "warning",
            other => panic!("{other:?}"),
        };
        decision.notices.iter().map(name).collect()
    }

    #[test]
    fn refresh_and_warning_come_once_at_their_age_however_late() {
        let world = World::new();
        let cases: [(u64, bool, bool, &[&str]); 8] = [
            (99, false, false, &[]),
            (100, false, false, &["refresh"]),
            (104, true, false, &[]),
            (105, true, false, &["warning"]),
            (106, true, true, &[]),
            (119, false, false, &["refresh", "warning"]),
            (500, false, true, &["refresh"]),
            (500, true, true, &[]),
        ];
        for (minutes, told, warned, expected) in cases {
            let said = told_at(&world, Millis::from_mins(minutes), told, warned);
            assert_eq!(said, expected, "{minutes} min, told {told}, warned {warned}");
        }
    }

    #[test]
    fn zero_turns_each_off() {
        let mut world = World::new();
        world.terms.limits.connection_refresh = Millis::ZERO;
        assert_eq!(told_at(&world, Millis::from_mins(110), false, false), ["warning"]);
        world.terms.limits.connection_warning = Millis::ZERO;
        assert!(told_at(&world, Millis::from_mins(110), false, false).is_empty());
    }

    #[test]
    fn a_warning_counts_whole_minutes_and_never_below_zero() {
        let world = World::new();
        for (age, expected) in [(105, 15), (119, 1), (120, 0), (500, 0)] {
            let mut own = world.listener("c2");
            own.connected_at = world.now() - Millis::from_mins(age);
            own.told = Some(Secret([1; 16]));
            let signs = signs(&own, &world.terms.limits, &world.stamp);
            let said = &signs.notices[0].tidings;
            assert_eq!(said, &Tidings::Warning { remaining_minutes: expected }, "{age} min");
        }
    }

    #[test]
    fn only_a_listener_is_given_a_token_and_the_change_keeps_its_secret() {
        let world = World::new();
        let deadline = world.now() + Millis::from_secs(30);
        for (seen, is_listener) in
            [(world.seen_by_listener(), true), (world.seen_by_speaker(), false)]
        {
            let decision = drain(deadline, &world.anyone("c"), &seen).unwrap();
            let Some(Change::Touch { told: Some(kept), .. }) = decision.change else { panic!() };
            let Tidings::RefreshRequired(said) = &decision.notices[0].tidings else { panic!() };
            assert_eq!((said.reason, said.deadline), (RefreshReason::Drain, deadline));
            assert_eq!(said.target.is_some(), is_listener);
            assert_eq!(said.token.as_ref().map(|token| token.secret), is_listener.then_some(kept));
        }
    }

    #[test]
    fn one_that_was_told_hears_of_a_drain_with_the_proof_it_has() {
        let world = World::new();
        let own = world.told_listener("c2");
        let seen = Seen { own: Some(own.clone()), ..world.seen() };
        let decision = drain(world.now(), &world.anyone("c2"), &seen).unwrap();
        assert_eq!(decision.change, None);
        let Tidings::RefreshRequired(said) = &decision.notices[0].tidings else { panic!() };
        assert_eq!((said.reason, said.deadline), (RefreshReason::Drain, world.now()));
        assert_eq!(said.token.as_ref().map(|token| token.secret), own.told);
    }

    #[test]
    fn the_deadline_is_the_maximum_age_or_a_while_where_there_is_none() {
        let mut world = World::new();
        let mut own = world.listener("c2");
        own.connected_at = world.now() - Millis::from_mins(101);
        let deadline = |world: &World| {
            let signs = signs(&own, &world.terms.limits, &world.stamp);
            let Tidings::RefreshRequired(said) = &signs.notices[0].tidings else { panic!() };
            said.deadline
        };
        assert_eq!(deadline(&world), own.connected_at + Millis::from_mins(120));
        world.terms.limits.connection_max_duration = Millis::ZERO;
        assert_eq!(deadline(&world), world.now() + DEADLINE_WITHOUT_MAXIMUM);
    }
}
