//! Telling a speaker who listens, without being asked.
//!
//! No process sees all of a session, so nobody can keep a pulse of it. Two things stand in for it:
//! the sweep tells every speaker once a minute, and a join that is news is told by the invocation
//! that delivered its first message. A limit in the store keeps those a second apart.

use std::time::Duration;

use ambo_app::ports::Paid;
use ambo_core::limits::{Identity, LimitKey};
use ambo_core::notice::Status;
use ambo_core::rules::{OfSession, Toll, UpdateReason, Wanted};
use ambo_core::{ConnectionId, Language, Operation, Session, Speaker};
use ambo_wire::ServerMessage;

use crate::context::Context;

/// Tells the speaker of a join, if it is news.
pub(crate) async fn after_join(
    context: &Context,
    session: &Session,
    languages: &[(Language, u32)],
    target: Language,
) {
    let Speaker::Present(speaker) = &session.speaker else { return };
    let Some(reason) = news(languages, target) else { return };
    if !is_my_turn(context, speaker).await {
        return;
    }
    let named = OfSession::Named(session.id.clone());
    let wanted = Wanted { session: named, languages: true, ..Wanted::default() };
    // Seen after the turn was taken, so that it includes all who left theirs to this one.
    let Ok(seen) = context.app().store().load(&wanted).await else { return };
    let Some(found) = &seen.session else { return };
    let status = Status::of(found, seen.languages, context.clock.now());
    tell(context, speaker, &status, reason).await;
}

/// Posts a status to a speaker.
pub(crate) async fn tell(
    context: &Context,
    speaker: &ConnectionId,
    status: &Status,
    reason: UpdateReason,
) {
    let message = ServerMessage::of_status(status, reason).encode(context.clock.now());
    context.connections.post_among(speaker, &message).await;
}

/// Whether a join in this language is worth a word: the first in it, or one that takes the count
/// over the next of those marks that lie just above ten per cent apart.
fn news(languages: &[(Language, u32)], target: Language) -> Option<UpdateReason> {
    let in_target = languages.iter().find(|(language, _)| *language == target);
    if in_target.is_some_and(|(_, count)| *count == 1) {
        return Some(UpdateReason::NewLanguage);
    }
    let count: u32 = languages.iter().map(|(_, count)| count).sum();
    is_mark(count).then_some(UpdateReason::ListenerCountChange)
}

fn is_mark(count: u32) -> bool {
    let mut mark = 0;
    while mark < count {
        mark += mark / 10 + 1;
    }
    mark == count && count > 0
}

/// Waits for a turn once. Whoever gets one in between sees what this one would have told.
async fn is_my_turn(context: &Context, speaker: &ConnectionId) -> bool {
    let identity = Identity::Connection(speaker.clone());
    let toll = Toll::Take(LimitKey { operation: Operation::Status, identity });
    let app = context.app();
    let rate = context.limits.rate(Operation::Status);
    for is_last in [false, true] {
        match app.store().pay(&toll, rate, context.clock.now()).await {
            Ok(Paid::Yes) => return true,
            Ok(Paid::Wait(span)) if !is_last => {
                tokio::time::sleep(Duration::from_millis(span.0)).await;
            }
            Ok(Paid::Wait(_)) | Err(_) => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_a_language_and_every_tenth_more_are_news() {
        let parse = |code| Language::parse(code).unwrap();
        let (de, es) = (parse("de"), parse("es"));
        use UpdateReason::{ListenerCountChange, NewLanguage};
        let cases = [
            (vec![(es, 1)], Some(NewLanguage)),
            (vec![(de, 200), (es, 1)], Some(NewLanguage)),
            (vec![(es, 2)], Some(ListenerCountChange)),
            (vec![(de, 5), (es, 4)], Some(ListenerCountChange)),
            (vec![(es, 11)], None),
            (vec![(es, 12)], Some(ListenerCountChange)),
            (vec![(es, 13)], None),
            (vec![(de, 200)], None),
        ];
        for (languages, expected) in cases {
            assert_eq!(news(&languages, es), expected, "{languages:?}");
        }
    }

    #[test]
    fn marks_are_more_than_a_tenth_apart_and_not_much_more() {
        let marks: Vec<u32> = (1..=1_000).filter(|count| is_mark(*count)).collect();
        assert_eq!(marks[..12], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14]);
        for pair in marks.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            assert!((to - from) * 10 > from && (to - from - 1) * 10 <= from, "{pair:?}");
        }
    }
}
