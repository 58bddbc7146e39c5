//! Anything in any order: the machine never panics, never hangs, and keeps its promises.

use ambo_core::event::Command as Control;
use proptest::prelude::*;
use serde_json::json;

use super::bench::{Bench, ID, frame, state};
use crate::effect::Effect;
use crate::event::Event;
use crate::input::{Command, Failure, Input, SocketId};

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Answer,
    Opened(u64),
    Welcome(u64, Option<u32>),
    RefreshRequired(u64),
    Closed(u64, Option<u16>),
    Failed(u64),
    Refused(u64, &'static str),
    Hear(u64, u32),
    Garbage(u64, String),
    Say(u8),
    Control(Control),
    Wake,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    // Names of sockets that may be open, were open, or never will be.
    let socket = || 1..12_u64;
    let codes = prop::sample::select(vec![1000_u16, 1001, 1006, 1008, 1011, 1012, 1013, 4000]);
    let refusals = vec!["SESSION_NOT_FOUND", "SESSION_FULL", "CONNECTION_NOT_FOUND", "NEW"];
    let controls = vec![Control::Pause, Control::Resume, Control::Mute, Control::Unmute];
    prop_oneof![
        4 => (0..20_000_u64).prop_map(Step::Pass),
        4 => Just(Step::Answer),
        4 => socket().prop_map(Step::Opened),
        6 => (socket(), prop::option::of(0..50_u32)).prop_map(|(s, last)| Step::Welcome(s, last)),
        2 => socket().prop_map(Step::RefreshRequired),
        2 => (socket(), prop::option::of(codes)).prop_map(|(s, code)| Step::Closed(s, code)),
        2 => socket().prop_map(Step::Failed),
        1 => (socket(), prop::sample::select(refusals)).prop_map(|(s, c)| Step::Refused(s, c)),
        6 => (socket(), 0..60_u32).prop_map(|(s, sequence)| Step::Hear(s, sequence)),
        1 => (socket(), ".{0,40}").prop_map(|(s, text)| Step::Garbage(s, text)),
        6 => any::<u8>().prop_map(Step::Say),
        1 => prop::sample::select(controls).prop_map(Step::Control),
        1 => Just(Step::Wake),
        1 => Just(Step::End),
    ]
}

fn play(bench: &mut Bench, is_speaker: bool, step: Step) {
    match step {
        Step::Pass(millis) => bench.pass(millis),
        Step::Answer => bench.answer(),
        Step::Opened(socket) => bench.opened(socket),
        Step::Welcome(socket, last) if is_speaker => {
            bench.created(socket);
            bench.speaker_back(socket, last, &state(false, false));
        }
        Step::Welcome(socket, _) => {
            bench.joined(socket);
            bench.listener_back(socket, "es");
        }
        Step::RefreshRequired(socket) => bench.told_to_refresh(socket),
        Step::Closed(socket, code) => bench.closed(socket, code, ""),
        Step::Failed(socket) => {
            let failure = Failure::Unreachable("x".into());
            bench.give(Input::Failed { socket: SocketId(socket), failure });
        }
        Step::Refused(socket, code) => bench.refused(socket, code, json!({ "sessionId": ID })),
        Step::Hear(socket, sequence) => bench.hear(socket, sequence),
        Step::Garbage(socket, text) => bench.raw(socket, &text),
        Step::Say(byte) => bench.command(Command::Send(frame(byte))),
        Step::Control(control) => bench.command(Command::Control { control, message: None }),
        Step::Wake => bench.command(Command::Wake),
        Step::End => bench.command(Command::End { reason: None }),
    }
}

/// What must hold over all effects of a life.
fn examine(effects: &[Effect]) -> Result<(), TestCaseError> {
    let (mut open, mut ever) = (std::collections::BTreeSet::new(), 0);
    let (mut last_heard, mut is_over) = (None, false);
    for effect in effects {
        prop_assert!(!is_over, "nothing comes after Closed: {effect:?}");
        match effect {
            Effect::Open { socket, .. } => {
                prop_assert!(socket.0 > ever, "names are not used twice");
                ever = socket.0;
                open.insert(*socket);
                // One that serves, one that is opened; failed ones are not closed by an effect.
            }
            Effect::Text { socket, .. }
            | Effect::Ping { socket }
            | Effect::Audio { socket, .. } => {
                prop_assert!(open.contains(socket), "{effect:?} on a socket that is gone");
            }
            Effect::Close { socket, .. } | Effect::Abort { socket } => {
                prop_assert!(open.remove(socket), "{effect:?} twice");
            }
            Effect::Deliver(Event::Audio(frame)) => {
                prop_assert!(last_heard.is_none_or(|last| frame.sequence > last));
                last_heard = Some(frame.sequence);
            }
            Effect::Deliver(Event::Closed(_)) => is_over = true,
            Effect::Deliver(_) => {}
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_breaks_a_listener(steps in prop::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new_listener();
        bench.give(Input::Start);
        let mut effects = bench.effects.clone();
        for step in steps {
            bench.effects.clear();
            play(&mut bench, false, step);
            effects.extend(bench.effects.clone());
        }
        examine(&effects)?;
    }

    #[test]
    fn no_order_of_events_breaks_a_speaker(steps in prop::collection::vec(step(), 1..120)) {
        let mut bench = Bench::new_speaker();
        bench.give(Input::Start);
        let mut effects = bench.effects.clone();
        for step in steps {
            bench.effects.clear();
            play(&mut bench, true, step);
            effects.extend(bench.effects.clone());
        }
        examine(&effects)?;
    }
}
