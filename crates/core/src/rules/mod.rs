//! The rules: one verb, one file. Each takes what was seen and says what is to be done.
//!
//! [`decide`] is the only way in. [`wanted`] says what an event must see first, [`tolls`] which
//! limits it must pay and [`authorize`] whether it needs a user.

mod age;
mod authorize;
mod control;
mod create;
mod disconnect;
mod expire;
mod heartbeat;
mod join;
mod refresh;
mod retune;
mod seen;
mod status;
mod tolls;

#[cfg(test)]
mod fixtures;

pub use authorize::{Identified, authorize, needs_user};
pub use seen::{OfSession, Seen, Told, Wanted, wanted};
pub use status::{StatusPulse, UpdateReason};
pub use tolls::{Toll, is_guess, toll_of_message, tolls, tolls_when_seen};

use crate::connection::ConnectionId;
use crate::decision::Decision;
use crate::event::Event;
use crate::language::Languages;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::stamp::Stamp;
use crate::text::{SourceAddress, UserId};
use crate::words::Words;

/// Who acts, and when.
#[derive(Clone, Debug)]
pub struct Actor<'a> {
    /// The connection the event concerns.
    pub connection: &'a ConnectionId,
    /// Where it comes from.
    pub source: SourceAddress,
    /// The verified user, where the event needed one.
    pub user: Option<&'a UserId>,
    /// When, and with which randomness.
    pub stamp: &'a Stamp,
    /// How often this event was decided before, each time on what turned out to be stale.
    pub attempt: usize,
}

/// What a deployment allows.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Its numbers.
    pub limits: Limits,
    /// Its languages.
    pub languages: Languages,
    /// The words of its session ids.
    pub words: Words,
}

/// Decides an event on what was seen.
pub fn decide(
    event: &Event,
    actor: &Actor<'_>,
    terms: &Terms,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    match event {
        Event::Create { source_language, quality } => {
            create::decide(*source_language, *quality, actor, terms)
        }
        Event::Join { session, target } => join::decide(session, *target, actor, terms, seen),
        Event::RefreshSpeaker { session } => refresh::speaker(session, actor, terms, seen),
        Event::RefreshListener { session, target, token, last_sequence } => {
            let token = token.as_ref();
            let asked = refresh::Asked { session, target: *target, token, after: *last_sequence };
            refresh::listener(&asked, actor, terms, seen)
        }
        Event::Heartbeat => heartbeat::decide(actor, terms, seen),
        Event::Control { command, message } => {
            control::decide(*command, message.as_ref(), actor, seen)
        }
        Event::ChangeLanguage { session, target } => {
            retune::decide(session.as_ref(), *target, actor, terms, seen)
        }
        Event::Status => status::decide(actor, seen),
        Event::End { reason } => expire::by_speaker(reason.as_ref(), actor, seen),
        Event::Disconnect(departure) => disconnect::decide(*departure, actor, terms, seen),
        Event::Age => age::decide(actor, terms, seen),
        Event::Drain { deadline } => age::drain(*deadline, actor, seen),
        Event::Expire { .. } => expire::by_time(actor, seen),
        Event::Close { session } => expire::by_operator(session, seen),
    }
}
