//! A connection is gone.

use alloc::vec::Vec;

use super::{Actor, Seen, Terms};
use crate::change::{Change, EndGuard};
use crate::connection::{Connection, Role};
use crate::decision::Decision;
use crate::event::Departure;
use crate::notice::{Audience, EndReason, Notice, Tidings, Turn};
use crate::refusal::Refusal;
use crate::session::{Session, Speaker};
use crate::stamp::Millis;

/// A connection without a record (superseded, or its session over) changes nothing by going.
pub(super) fn decide(
    departure: Departure,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let Some(own) = &seen.own else { return Ok(Decision::default()) };
    if own.role != Role::Speaker {
        let (connection, session) = (own.id.clone(), own.session.clone());
        let change = Some(Change::Drop { connection, session });
        return Ok(Decision { change, ..Decision::default() });
    }
    let spoken = seen.session.as_ref().filter(|session| session.is_spoken_by(&own.id));
    let Some(session) = spoken else { return Ok(Decision::default()) };
    let grace = terms.limits.speaker_grace;
    Ok(match departure {
        Departure::Clean => end(session, own, EndReason::SpeakerEnded),
        Departure::Lost if grace.is_zero() => end(session, own, EndReason::SpeakerLost),
        Departure::Lost => lose(session, own, grace, actor.stamp.now),
    })
}

fn end(session: &Session, own: &Connection, reason: EndReason) -> Decision {
    let guard = EndGuard::SpokenBy(own.id.clone());
    let audience = Audience::Everyone(session.id.clone());
    let tidings = Tidings::Ended { reason, message: None };
    Decision {
        change: Some(Change::End { session: session.id.clone(), guard }),
        notices: Vec::from([Notice { audience, tidings }]),
        ..Decision::default()
    }
}

fn lose(session: &Session, own: &Connection, grace: Millis, now: Millis) -> Decision {
    let (until, moment) = (now + grace, session.moment(now));
    let speaker = Speaker::Lost { until };
    let after = Session { speaker, last_state_change: moment.at, ..session.clone() };
    let state = after.broadcast_state();
    let audience = Audience::Listeners(session.id.clone());
    let tidings = Tidings::Broadcast { turn: Turn::SpeakerLost, state, message: None };
    let (session, connection) = (session.id.clone(), own.id.clone());
    Decision {
        change: Some(Change::Lose { session, connection, until, moment }),
        notices: Vec::from([Notice { audience, tidings }]),
        ..Decision::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, connection_id};

    fn leave(world: &World, departure: Departure, seen: &Seen) -> Decision {
        decide(departure, &world.anyone("c1"), &world.terms, seen).unwrap()
    }

    #[test]
    fn a_listener_is_dropped_however_it_went() {
        let world = World::new();
        for departure in [Departure::Clean, Departure::Lost] {
            let decision = leave(&world, departure, &world.seen_by_listener());
            assert!(matches!(decision.change, Some(Change::Drop { .. })));
            assert!(decision.notices.is_empty());
        }
    }

    #[test]
    fn a_speaker_that_says_goodbye_ends_the_session() {
        let world = World::new();
        let decision = leave(&world, Departure::Clean, &world.seen_by_speaker());
        let guard = EndGuard::SpokenBy(connection_id("c1"));
        assert!(matches!(decision.change, Some(Change::End { guard: g, .. }) if g == guard));
        let said = &decision.notices[0].tidings;
        assert!(matches!(said, Tidings::Ended { reason: EndReason::SpeakerEnded, .. }));
    }

    #[test]
    fn a_lost_speaker_is_awaited_and_listeners_see_a_pause() {
        let world = World::new();
        let decision = leave(&world, Departure::Lost, &world.seen_by_speaker());
        let expected = world.now() + Millis::from_secs(30);
        assert!(matches!(decision.change, Some(Change::Lose { until, .. }) if until == expected));
        let Tidings::Broadcast { turn, state, .. } = decision.notices[0].tidings else { panic!() };
        assert_eq!(turn, Turn::SpeakerLost);
        assert!(state.is_paused && state.last_state_change == world.now());
    }

    #[test]
    fn a_loss_comes_after_what_was_before_it_but_is_awaited_by_the_true_clock() {
        let world = World::new();
        let mut seen = world.seen_by_speaker();
        let later = world.now() + Millis::from_secs(3);
        seen.session.as_mut().unwrap().last_state_change = later;
        let decision = leave(&world, Departure::Lost, &seen);
        let Some(Change::Lose { until, moment, .. }) = decision.change else { panic!() };
        assert_eq!(until, world.now() + Millis::from_secs(30));
        assert_eq!((moment.after, moment.at), (later, later + Millis(1)));
        let Tidings::Broadcast { state, .. } = decision.notices[0].tidings else { panic!() };
        assert_eq!(state.last_state_change, moment.at);
    }

    #[test]
    fn without_grace_a_lost_speaker_ends_the_session() {
        let mut world = World::new();
        world.terms.limits.speaker_grace = Millis::ZERO;
        let decision = leave(&world, Departure::Lost, &world.seen_by_speaker());
        let said = &decision.notices[0].tidings;
        assert!(matches!(said, Tidings::Ended { reason: EndReason::SpeakerLost, .. }));
    }

    #[test]
    fn one_whose_place_was_taken_changes_nothing() {
        let world = World::new();
        let mut superseded = world.seen_by_speaker();
        superseded.session.as_mut().unwrap().speaker = Speaker::Present(connection_id("c7"));
        let ended = Seen { session: None, ..world.seen_by_speaker() };
        for seen in [superseded, ended, world.seen()] {
            for departure in [Departure::Clean, Departure::Lost] {
                assert_eq!(leave(&world, departure, &seen), Decision::default());
            }
        }
    }
}
