//! The store's scripts: one verb, one file.

use crate::Script;

/// A script behind the words that all of its kind share.
macro_rules! script {
    ($shared:literal, $name:literal) => {
        Script::new(concat!(
            include_str!(concat!("../scripts/", $shared)),
            "\n",
            include_str!(concat!("../scripts/", $name))
        ))
    };
}

/// The changes of one session, and looks at it. Each works on the keys of one slot.
pub(super) struct Verbs {
    pub(super) open: Script,
    pub(super) admit: Script,
    pub(super) attach: Script,
    pub(super) carry: Script,
    pub(super) touch: Script,
    pub(super) retune: Script,
    pub(super) steer: Script,
    pub(super) drop: Script,
    pub(super) lose: Script,
    pub(super) end: Script,
    pub(super) look: Script,
}

/// What lies outside the sessions, and goes by the engine's clock.
pub(super) struct Steps {
    pub(super) claim: Script,
    pub(super) release: Script,
    pub(super) announce: Script,
    pub(super) candidates: Script,
    pub(super) correct: Script,
    pub(super) note: Script,
    pub(super) unnote: Script,
    pub(super) pay: Script,
}

impl Verbs {
    pub(super) fn new() -> Self {
        Self {
            open: script!("prelude.lua", "open.lua"),
            admit: script!("prelude.lua", "admit.lua"),
            attach: script!("prelude.lua", "attach.lua"),
            carry: script!("prelude.lua", "move.lua"),
            touch: script!("prelude.lua", "touch.lua"),
            retune: script!("prelude.lua", "retune.lua"),
            steer: script!("prelude.lua", "steer.lua"),
            drop: script!("prelude.lua", "drop.lua"),
            lose: script!("prelude.lua", "lose.lua"),
            end: script!("prelude.lua", "end.lua"),
            look: script!("prelude.lua", "look.lua"),
        }
    }
}

impl Steps {
    pub(super) fn new() -> Self {
        Self {
            claim: script!("time.lua", "claim.lua"),
            release: script!("time.lua", "release.lua"),
            announce: script!("time.lua", "announce.lua"),
            candidates: script!("time.lua", "candidates.lua"),
            correct: script!("time.lua", "correct.lua"),
            note: script!("time.lua", "note.lua"),
            unnote: script!("time.lua", "unnote.lua"),
            pay: script!("time.lua", "pay.lua"),
        }
    }
}
