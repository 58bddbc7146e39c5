//! A session ends: by its speaker, by time, by the operator.

use alloc::vec::Vec;

use super::{Actor, Seen};
use crate::change::{Change, EndGuard};
use crate::decision::Decision;
use crate::event::ShownText;
use crate::notice::{Audience, EndReason, Notice, Tidings};
use crate::refusal::Refusal;
use crate::session::Session;
use crate::session_id::SessionId;

/// The speaker ends it.
pub(super) fn by_speaker(
    message: Option<&ShownText>,
    _actor: &Actor<'_>,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let (own, session) = seen.spoken()?;
    let guard = EndGuard::SpokenBy(own.id.clone());
    Ok(end(session, guard, EndReason::SpeakerEnded, message))
}

/// Its time, or its lost speaker's, is over; or it is not yet.
pub(super) fn by_time(actor: &Actor<'_>, seen: &Seen) -> Result<Decision, Refusal> {
    let now = actor.stamp.now;
    let Some(session) = &seen.session else { return Ok(Decision::default()) };
    let grace_over = EndGuard::GraceOverAt(now);
    Ok(if session.is_expired(now) {
        end(session, EndGuard::ExpiredAt(now), EndReason::Expired, None)
    } else if grace_over.holds(session) {
        end(session, grace_over, EndReason::SpeakerLost, None)
    } else {
        Decision::default()
    })
}

/// The operator ends it.
pub(super) fn by_operator(id: &SessionId, seen: &Seen) -> Result<Decision, Refusal> {
    let absent = || Refusal::SessionNotFound { session: id.clone() };
    let session = seen.session.as_ref().ok_or_else(absent)?;
    Ok(end(session, EndGuard::Present, EndReason::ClosedByOperator, None))
}

fn end(
    session: &Session,
    guard: EndGuard,
    reason: EndReason,
    message: Option<&ShownText>,
) -> Decision {
    let audience = Audience::Everyone(session.id.clone());
    let tidings = Tidings::Ended { reason, message: message.cloned() };
    Decision {
        change: Some(Change::End { session: session.id.clone(), guard }),
        notices: Vec::from([Notice { audience, tidings }]),
        ..Decision::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, id};
    use crate::session::Speaker;
    use crate::stamp::Millis;

    fn reason(decision: &Decision) -> Option<EndReason> {
        decision.notices.first().map(|notice| match notice.tidings {
            Tidings::Ended { reason, .. } => reason,
            ref other => panic!("{other:?}"),
        })
    }

    #[test]
    fn time_ends_a_session_when_it_expires_or_its_lost_speaker_stays_away() {
        let world = World::new();
        let now = world.now();
        let lost = |until| Speaker::Lost { until };
        let present = world.session().speaker;
        let second = Millis::from_secs(1);
        let cases = [
            (now + second, present.clone(), None),
            (now, present, Some(EndReason::Expired)),
            (now + second, lost(now + second), None),
            (now + second, lost(now), Some(EndReason::SpeakerLost)),
            (now - second, lost(now), Some(EndReason::Expired)),
        ];
        for (expires_at, speaker, expected) in cases {
            let session = Session { expires_at, speaker, ..world.session() };
            let seen = Seen { session: Some(session), ..Seen::default() };
            let decision = by_time(&world.anyone("c"), &seen).unwrap();
            assert_eq!(reason(&decision), expected, "{seen:?}");
            assert_eq!(decision.change.is_some(), expected.is_some());
        }
        let nothing = by_time(&world.anyone("c"), &Seen::default());
        assert_eq!(nothing, Ok(Decision::default()));
    }

    #[test]
    fn only_the_speaker_and_the_operator_end_it_by_a_word() {
        let world = World::new();
        let actor = world.ann("c1");
        let ended = by_speaker(None, &actor, &world.seen_by_speaker()).unwrap();
        assert_eq!(reason(&ended), Some(EndReason::SpeakerEnded));
        let refused = by_speaker(None, &actor, &world.seen_by_listener());
        assert_eq!(refused, Err(Refusal::Forbidden));
        let closed = by_operator(&id(), &world.seen()).unwrap();
        assert_eq!(reason(&closed), Some(EndReason::ClosedByOperator));
        let absent = by_operator(&id(), &Seen::default());
        assert_eq!(absent, Err(Refusal::SessionNotFound { session: id() }));
    }
}
