//! Who may do what needs a user.

use crate::event::Event;
use crate::refusal::{Refusal, Unauthorized};
use crate::text::UserId;

/// What the identity provider made of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identified {
    /// There was no token.
    Nobody,
    /// It names this user.
    User(UserId),
    /// It names nobody.
    Refused(Unauthorized),
}

/// Whether a token is looked at at all. A listener's is ignored, whatever it says.
pub fn needs_user(event: &Event) -> bool {
    match event {
        Event::Create { .. } | Event::RefreshSpeaker { .. } => true,
        Event::Join { .. }
        | Event::RefreshListener { .. }
        | Event::Heartbeat
        | Event::Control { .. }
        | Event::ChangeLanguage { .. }
        | Event::Status
        | Event::End { .. }
        | Event::Disconnect(_)
        | Event::Age
        | Event::Drain { .. }
        | Event::Expire { .. }
        | Event::Close { .. } => false,
    }
}

/// The user behind an event, where it needs one.
pub fn authorize(event: &Event, identified: Identified) -> Result<Option<UserId>, Refusal> {
    if !needs_user(event) {
        return Ok(None);
    }
    match identified {
        Identified::User(user) => Ok(Some(user)),
        Identified::Refused(why) => Err(Refusal::Unauthorized(why)),
        Identified::Nobody => Err(Refusal::Unauthorized(Unauthorized::AuthenticationRequired)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::fixtures::{en, id};
    use crate::session::QualityTier;

    #[test]
    fn only_speakers_need_a_user_and_listeners_tokens_are_ignored() {
        let create = Event::Create { source_language: en(), quality: QualityTier::Standard };
        let refresh = Event::RefreshSpeaker { session: id() };
        let join = Event::Join { session: id(), target: en() };
        let ann = UserId::parse("ann").unwrap();
        let refused = |why| Err(Refusal::Unauthorized(why));
        use Identified::{Nobody, Refused, User};
        use Unauthorized::{AuthenticationRequired, InvalidToken, TokenExpired};
        let cases = [
            (&create, User(ann.clone()), Ok(Some(ann.clone()))),
            (&refresh, User(ann.clone()), Ok(Some(ann.clone()))),
            (&create, Nobody, refused(AuthenticationRequired)),
            (&refresh, Nobody, refused(AuthenticationRequired)),
            (&create, Refused(InvalidToken), refused(InvalidToken)),
            (&create, Refused(TokenExpired), refused(TokenExpired)),
            (&join, Nobody, Ok(None)),
            (&join, User(ann), Ok(None)),
            (&join, Refused(InvalidToken), Ok(None)),
        ];
        for (event, identified, expected) in cases {
            assert_eq!(authorize(event, identified.clone()), expected, "{event:?} {identified:?}");
        }
    }
}
