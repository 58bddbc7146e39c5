//! A sign of life.

use alloc::vec::Vec;

use super::age::{self, Signs};
use super::{Actor, Seen, Terms};
use crate::change::Change;
use crate::decision::{Decision, Reply};
use crate::limits::Operation;
use crate::notice::Notice;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::session_id::SessionId;
use crate::stamp::Millis;

/// One row is touched: the connection's. A speaker's session is extended with it now and then.
pub(super) fn decide(actor: &Actor<'_>, terms: &Terms, seen: &Seen) -> Result<Decision, Refusal> {
    let own = seen.own()?;
    let now = actor.stamp.now;
    let limits = &terms.limits;
    let beats = own.beats.take(limits.heartbeats, now).map_err(|wait| {
        let retry_after = wait.as_secs_ceil().max(1);
        Refusal::RateLimitExceeded { operation: Operation::Heartbeat, retry_after }
    })?;
    let Signs { told, warned, notices } = age::signs(own, limits, actor.stamp);
    let change = Change::Touch {
        connection: own.id.clone(),
        was_seen: own.seen_at,
        seen_at: now.max(own.seen_at),
        beats,
        told,
        warned,
        extend: extension(seen.session.as_ref(), limits.session_max_duration, now),
    };
    let notices: Vec<Notice> = notices;
    Ok(Decision {
        change: Some(change),
        reply: Some(Reply::HeartbeatAck),
        notices,
        ..Decision::default()
    })
}

/// A session lives on while its speaker does: it is extended once half its time is gone, so that
/// a talk costs one write an hour, not one every half minute.
fn extension(session: Option<&Session>, max: Millis, now: Millis) -> Option<(SessionId, Millis)> {
    let session = session.filter(|session| !session.is_expired(now))?;
    let left = session.expires_at.since(now);
    (left.0 < max.0 / 2).then(|| (session.id.clone(), now + max))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Bucket;
    use crate::rules::fixtures::World;

    #[test]
    fn a_heartbeat_touches_the_row_and_is_answered() {
        let world = World::new();
        let seen = Seen { session: None, ..world.seen_by_listener() };
        let decision = decide(&world.anyone("c2"), &world.terms, &seen).unwrap();
        let Some(Change::Touch { was_seen, seen_at, told, warned, extend, .. }) = decision.change
        else {
            panic!()
        };
        let own = seen.own.unwrap();
        assert_eq!((was_seen, seen_at), (own.seen_at, world.now()));
        assert_eq!((told, warned, extend), (None, false, None));
        assert_eq!(decision.reply, Some(Reply::HeartbeatAck));
        assert!(decision.notices.is_empty() && decision.grant.is_none());
    }

    #[test]
    fn a_connection_without_a_record_is_told_so() {
        let world = World::new();
        let refused = decide(&world.anyone("c9"), &world.terms, &Seen::default());
        assert_eq!(refused, Err(Refusal::ConnectionNotFound));
    }

    #[test]
    fn beats_beyond_the_limit_are_refused_with_the_time_to_wait() {
        let world = World::new();
        let mut seen = world.seen_by_listener();
        let rate = world.terms.limits.heartbeats;
        for _ in 0..4 {
            let own = seen.own.as_mut().unwrap();
            own.beats = own.beats.take(rate, world.now()).unwrap();
        }
        let refused = decide(&world.anyone("c2"), &world.terms, &seen);
        let operation = Operation::Heartbeat;
        assert_eq!(refused, Err(Refusal::RateLimitExceeded { operation, retry_after: 30 }));
    }

    #[test]
    fn a_speakers_heartbeat_extends_the_session_once_half_is_gone() {
        let world = World::new();
        let max = world.terms.limits.session_max_duration;
        let later = world.now() + max;
        for (left, expected) in [
            (Millis(max.0 / 2), None),
            (Millis(max.0 / 2 - 1), Some(later)),
            (Millis(1), Some(later)),
            (Millis(0), None),
        ] {
            let mut seen = world.seen_by_speaker();
            seen.session.as_mut().unwrap().expires_at = world.now() + left;
            let decision = decide(&world.ann("c1"), &world.terms, &seen).unwrap();
            let Some(Change::Touch { extend, .. }) = decision.change else { panic!() };
            assert_eq!(extend.map(|(_, at)| at), expected, "{left} left");
        }
    }

    #[test]
    fn a_clock_set_back_does_not_make_a_member_look_silent() {
        let world = World::new();
        let mut seen = world.seen_by_listener();
        let ahead = world.now() + Millis::from_mins(60);
        seen.own.as_mut().unwrap().seen_at = ahead;
        seen.own.as_mut().unwrap().beats = Bucket::default();
        let decision = decide(&world.anyone("c2"), &world.terms, &seen).unwrap();
        assert!(matches!(decision.change, Some(Change::Touch { seen_at, .. }) if seen_at == ahead));
    }
}
