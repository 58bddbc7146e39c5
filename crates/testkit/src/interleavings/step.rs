//! What may happen in a story.
#![allow(missing_docs, reason = "the steps are those of `world`, in the words of the protocol")]

use proptest::prelude::*;

/// Something that happens. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Step {
    Create { user: usize },
    Join { session: usize, target: usize, source: usize },
    JoinAgain { who: usize, session: usize, target: usize },
    TakeUp { session: usize, user: usize },
    TakeUpHere { who: usize, session: usize, user: usize },
    GoOn { session: usize, target: usize, source: usize, proof: Proof },
    GoOnHere { who: usize, session: usize, target: usize, proof: Proof },
    Leave { who: usize, clean: bool },
    Command { who: usize, command: usize },
    ChangeLanguage { who: usize, target: usize },
    End { who: usize },
    Close { session: usize },
    Beat { who: usize },
    Age { who: usize },
    Drain { who: usize },
    Advance { secs: u64 },
    Sweep,
}

#[derive(Clone, Copy, Debug)]
pub enum Proof {
    None,
    Right(usize),
    Forged(usize),
}

/// Stories of up to so many steps as are played in a moment.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = || 0..64_usize;
    let proof = || {
        prop_oneof![any().prop_map(Proof::Right), Just(Proof::None), any().prop_map(Proof::Forged)]
    };
    let step = prop_oneof![
        2 => any().prop_map(|user| Step::Create { user }),
        8 => (any(), any(), any())
            .prop_map(|(session, target, source)| Step::Join { session, target, source }),
        2 => (any(), any(), any())
            .prop_map(|(who, session, target)| Step::JoinAgain { who, session, target }),
        3 => (any(), any()).prop_map(|(session, user)| Step::TakeUp { session, user }),
        2 => (any(), any(), any())
            .prop_map(|(who, session, user)| Step::TakeUpHere { who, session, user }),
        4 => (any(), any(), any(), proof()).prop_map(|(session, target, source, proof)| {
            Step::GoOn { session, target, source, proof }
        }),
        3 => (any(), any(), any(), proof()).prop_map(|(who, session, target, proof)| {
            Step::GoOnHere { who, session, target, proof }
        }),
        5 => (any(), proptest::bool::ANY).prop_map(|(who, clean)| Step::Leave { who, clean }),
        3 => (any(), any()).prop_map(|(who, command)| Step::Command { who, command }),
        2 => (any(), any()).prop_map(|(who, target)| Step::ChangeLanguage { who, target }),
        1 => any().prop_map(|who| Step::End { who }),
        1 => any().prop_map(|session| Step::Close { session }),
        3 => any().prop_map(|who| Step::Beat { who }),
        2 => any().prop_map(|who| Step::Age { who }),
        4 => any().prop_map(|who| Step::Drain { who }),
        4 => (0..30_u64).prop_map(|secs| Step::Advance { secs }),
        2 => Just(Step::Sweep),
    ];
    proptest::collection::vec(step, 1..120)
}
