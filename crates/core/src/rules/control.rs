//! The speaker pauses, resumes, mutes or unmutes.

use alloc::vec::Vec;

use super::{Actor, Seen};
use crate::change::Change;
use crate::decision::{Decision, Reply};
use crate::event::{Command, ShownText};
use crate::notice::{Audience, Notice, Tidings, Turn};
use crate::refusal::Refusal;
use crate::session::Session;

/// The change is guarded by the state that was seen, so that of two commands at once the second
/// is decided again on the first one's outcome, and both take effect.
pub(super) fn decide(
    command: Command,
    message: Option<&ShownText>,
    actor: &Actor<'_>,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let (own, session) = seen.spoken()?;
    let was = (session.paused, session.muted);
    let (becomes, turn) = match command {
        Command::Pause => ((true, session.muted), Turn::Paused),
        Command::Resume => ((false, session.muted), Turn::Resumed),
        Command::Mute => ((session.paused, true), Turn::Muted),
        Command::Unmute => ((session.paused, false), Turn::Unmuted),
    };
    let moment = session.moment(actor.stamp.now);
    let (change, last_state_change) = if was == becomes {
        (None, session.last_state_change)
    } else {
        let (session, connection) = (session.id.clone(), own.id.clone());
        (Some(Change::Steer { session, connection, was, becomes, moment }), moment.at)
    };
    let (paused, muted) = becomes;
    let state = Session { paused, muted, last_state_change, ..session.clone() }.broadcast_state();
    let tidings = Tidings::Broadcast { turn, state, message: message.cloned() };
    let audience = Audience::Listeners(session.id.clone());
    Ok(Decision {
        change,
        reply: Some(Reply::State { session: session.id.clone(), state }),
        notices: Vec::from([Notice { audience, tidings }]),
        grant: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::World;
    use crate::session::Speaker;
    use crate::stamp::Millis;

    fn with_flags(world: &World, paused: bool, muted: bool) -> Seen {
        let mut seen = world.seen_by_speaker();
        let session = seen.session.as_mut().unwrap();
        (session.paused, session.muted) = (paused, muted);
        seen
    }

    #[test]
    fn each_command_turns_its_own_flag_and_leaves_the_other() {
        use Command::{Mute, Pause, Resume, Unmute};
        let world = World::new();
        let cases = [
            (Pause, (false, false), (true, false), Turn::Paused),
            (Pause, (false, true), (true, true), Turn::Paused),
            (Resume, (true, true), (false, true), Turn::Resumed),
            (Mute, (true, false), (true, true), Turn::Muted),
            (Unmute, (false, true), (false, false), Turn::Unmuted),
            (Pause, (true, false), (true, false), Turn::Paused),
            (Unmute, (false, false), (false, false), Turn::Unmuted),
        ];
        for (command, was, becomes, turn) in cases {
            let seen = with_flags(&world, was.0, was.1);
            let decision = decide(command, None, &world.ann("c1"), &seen).unwrap();
            let Some(Reply::State { state, .. }) = decision.reply else { panic!() };
            assert_eq!((state.is_paused, state.is_muted), becomes, "{command:?} {was:?}");
            assert_eq!(decision.change.is_some(), was != becomes);
            assert_eq!(state.last_state_change == world.now(), was != becomes);
            let Tidings::Broadcast { turn: said, .. } = decision.notices[0].tidings else {
                panic!()
            };
            assert_eq!(said, turn);
        }
    }

    #[test]
    fn a_command_comes_after_what_was_before_it_on_a_clock_that_is_behind() {
        let world = World::new();
        let mut seen = world.seen_by_speaker();
        let later = world.now() + Millis::from_secs(3);
        seen.session.as_mut().unwrap().last_state_change = later;
        let decision = decide(Command::Mute, None, &world.ann("c1"), &seen).unwrap();
        let Some(Change::Steer { moment, .. }) = decision.change else { panic!() };
        assert_eq!((moment.after, moment.at), (later, later + Millis(1)));
        let Some(Reply::State { state: replied, .. }) = decision.reply else { panic!() };
        let Tidings::Broadcast { state: told, .. } = decision.notices[0].tidings else { panic!() };
        assert_eq!((replied.last_state_change, told), (moment.at, replied));
    }

    #[test]
    fn listeners_are_shown_the_speakers_words() {
        let world = World::new();
        let words = ShownText::parse("Back in five minutes").unwrap();
        let seen = world.seen_by_speaker();
        let decision = decide(Command::Pause, Some(&words), &world.ann("c1"), &seen).unwrap();
        let Tidings::Broadcast { message, .. } = &decision.notices[0].tidings else { panic!() };
        assert_eq!(message.as_ref(), Some(&words));
        assert!(matches!(decision.notices[0].audience, Audience::Listeners(_)));
    }

    #[test]
    fn only_the_speakers_current_connection_steers() {
        let world = World::new();
        let mut superseded = world.seen_by_speaker();
        superseded.session.as_mut().unwrap().speaker =
            Speaker::Present(crate::rules::fixtures::connection_id("c7"));
        let ended = Seen { session: None, ..world.seen_by_speaker() };
        let cases = [
            (world.seen_by_listener(), Refusal::Forbidden),
            (world.seen(), Refusal::ConnectionNotFound),
            (superseded, Refusal::ConnectionNotFound),
            (ended, Refusal::ConnectionNotFound),
        ];
        for (seen, expected) in cases {
            let refused = decide(Command::Mute, None, &world.ann("c1"), &seen);
            assert_eq!(refused, Err(expected));
        }
    }
}
