//! Who stands behind a new connection: what the authorizer found, carried to the rules.
//!
//! The authorizer has verified the token, and API Gateway carries its word to `$connect`. So there
//! the token that the rules are shown is that word, and [`Vouched`] reads it. It is built from
//! nothing a client sends; a message's own token never meets [`Vouched`].

use std::collections::BTreeMap;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::event::Token;
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, UserId};
use async_trait::async_trait;

/// The member of the authorizer's context that names the user.
pub(crate) const USER_ID: &str = "userId";
/// The member that says that nobody could tell who it is.
pub(crate) const IDENTITY: &str = "identity";
/// Its value then.
pub(crate) const UNAVAILABLE: &str = "unavailable";

const USER: &str = "user:";
/// When asking again makes sense: the authorizer asks its issuer at most every 30 s.
const RETRY_AFTER: Millis = Millis::from_secs(30);

/// The authorizer's word as a token for the rules; `None` where it said nothing.
pub(crate) fn vouched(said: &BTreeMap<String, String>) -> Option<Token> {
    if said.get(IDENTITY).is_some_and(|identity| identity == UNAVAILABLE) {
        return Some(Token(UNAVAILABLE.into()));
    }
    said.get(USER_ID).map(|user| Token(format!("{USER}{user}").into()))
}

/// Believes the authorizer.
#[derive(Debug)]
pub(crate) struct Vouched;

#[async_trait]
impl Keys for Vouched {
    async fn identify(&self, token: &Token, _now: Millis) -> Result<UserId, Unidentified> {
        if &*token.0 == UNAVAILABLE {
            let source = "the authorizer could not reach the identity provider".into();
            return Err(Unidentified::Unavailable { retry_after: RETRY_AFTER, source });
        }
        let user = token.0.strip_prefix(USER).and_then(UserId::parse);
        user.ok_or(Unidentified::Refused(Unauthorized::InvalidToken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(members: &[(&str, &str)]) -> BTreeMap<String, String> {
        members.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[tokio::test]
    async fn the_authorizers_word_names_a_user_or_says_that_nobody_can_tell() {
        assert!(vouched(&said(&[("principalId", "anonymous")])).is_none());
        for user in ["ann", "unavailable", "user:ann"] {
            let token = vouched(&said(&[(USER_ID, user)])).unwrap();
            let found = Vouched.identify(&token, Millis(0)).await.unwrap();
            assert_eq!(found.as_str(), user);
        }
        let token = vouched(&said(&[(IDENTITY, UNAVAILABLE), (USER_ID, "ann")])).unwrap();
        let found = Vouched.identify(&token, Millis(0)).await;
        assert!(matches!(found, Err(Unidentified::Unavailable { .. })));
    }

    #[tokio::test]
    async fn anything_else_names_nobody() {
        for text in ["", "ann", "user:", "eyJhbGciOiJub25lIn0.e30."] {
            let found = Vouched.identify(&Token(text.into()), Millis(0)).await;
            assert!(matches!(found, Err(Unidentified::Refused(_))), "{text:?}");
        }
    }
}
