//! An honest issuer: it knows the tokens it gave out, and nothing else.

use std::collections::HashMap;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, Token, UserId};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Gives out opaque tokens and knows whose they are.
#[derive(Default)]
pub struct Issuer {
    issued: Mutex<HashMap<Box<str>, (UserId, Millis)>>,
    is_down: Mutex<bool>,
}

impl Issuer {
    /// A token of this user, good before `expires_at`.
    pub fn issue(&self, user: &str, expires_at: Millis) -> Token {
        let mut issued = self.issued.lock();
        let text: Box<str> = format!("token {} of somebody", issued.len()).into();
        let user = UserId::parse(user).expect("a user's name");
        issued.insert(text.clone(), (user, expires_at));
        Token(text)
    }

    /// Stops answering.
    pub fn goes_down(&self) {
        *self.is_down.lock() = true;
    }
}

#[async_trait]
impl Keys for Issuer {
    async fn identify(&self, token: &Token, now: Millis) -> Result<UserId, Unidentified> {
        if *self.is_down.lock() {
            let source = "nobody answers".into();
            return Err(Unidentified::Unavailable { retry_after: Millis::from_secs(7), source });
        }
        match self.issued.lock().get(&token.0) {
            None => Err(Unidentified::Refused(Unauthorized::InvalidToken)),
            Some((_, expires_at)) if *expires_at <= now => {
                Err(Unidentified::Refused(Unauthorized::TokenExpired))
            }
            Some((user, _)) => Ok(user.clone()),
        }
    }
}
