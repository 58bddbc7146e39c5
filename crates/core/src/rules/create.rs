//! A speaker makes a session.

use super::{Actor, Terms};
use crate::change::Change;
use crate::connection::{Connection, Role};
use crate::decision::{Decision, Grant, Reply};
use crate::language::Language;
use crate::refusal::{Refusal, Unauthorized};
use crate::session::{QualityTier, Session, Speaker};

pub(super) fn decide(
    source_language: Language,
    quality: QualityTier,
    actor: &Actor<'_>,
    terms: &Terms,
) -> Result<Decision, Refusal> {
    let anonymous = Refusal::Unauthorized(Unauthorized::AuthenticationRequired);
    let owner = actor.user.ok_or(anonymous)?.clone();
    if !terms.languages.has_source(source_language) {
        return Err(Refusal::InvalidLanguage { language: source_language });
    }
    let now = actor.stamp.now;
    // Whether the id is free is decided by the write; each attempt tries another.
    let id = terms.words.session_id(actor.stamp.entropy.number(actor.attempt));
    let session = Session {
        id: id.clone(),
        owner,
        source_language,
        quality,
        created_at: now,
        expires_at: now + terms.limits.session_max_duration,
        paused: false,
        muted: false,
        last_state_change: now,
        speaker: Speaker::Present(actor.connection.clone()),
        listeners: 0,
    };
    let connection =
        Connection::new(actor.connection.clone(), id.clone(), Role::Speaker, actor.source, now);
    let reply = Reply::Created {
        session: id.clone(),
        source_language,
        quality,
        connection: actor.connection.clone(),
        expires_at: session.expires_at,
    };
    let state = session.broadcast_state();
    Ok(Decision {
        change: Some(Change::Open { session, connection }),
        reply: Some(reply),
        grant: Some(Grant::Speak { session: id, language: source_language, state }),
        ..Decision::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{World, en};

    #[test]
    fn a_session_is_made_with_its_speaker_in_one_change() {
        let world = World::new();
        let decision = decide(en(), QualityTier::Premium, &world.ann("c1"), &world.terms).unwrap();
        let Some(Change::Open { session, connection }) = decision.change else {
            panic!("{decision:?}");
        };
        assert_eq!(session.speaker, Speaker::Present(connection.id));
        assert_eq!(connection.session, session.id);
        assert_eq!(session.expires_at, world.now() + world.terms.limits.session_max_duration);
        assert_eq!((session.listeners, session.quality), (0, QualityTier::Premium));
        assert!(session.broadcast_state().is_live());
    }

    #[test]
    fn each_attempt_tries_another_id() {
        let world = World::new();
        let mut ids = std::collections::HashSet::new();
        for attempt in 0..10 {
            let actor = Actor { attempt, ..world.ann("c1") };
            let decision = decide(en(), QualityTier::Standard, &actor, &world.terms).unwrap();
            let Some(Reply::Created { session, .. }) = decision.reply else { panic!() };
            assert!(ids.insert(session), "attempt {attempt}");
        }
    }

    #[test]
    fn nothing_is_made_without_a_user_or_in_a_language_that_is_not_served() {
        let world = World::new();
        let zz = Language::parse("zz").unwrap();
        let refused = decide(zz, QualityTier::Standard, &world.ann("c1"), &world.terms);
        assert_eq!(refused, Err(Refusal::InvalidLanguage { language: zz }));
        let refused = decide(en(), QualityTier::Standard, &world.anyone("c1"), &world.terms);
        let why = Unauthorized::AuthenticationRequired;
        assert_eq!(refused, Err(Refusal::Unauthorized(why)));
    }
}
