//! What an event wants to see.
//!
//! A session that is named is looked at and pointers are followed at the same time; a second look
//! is for those that turn out to be elsewhere.

use std::collections::HashMap;

use ambo_app::ports::StoreFault;
use ambo_core::rules::{OfSession, Seen, Told, Wanted};
use ambo_core::{ConnectionId, SessionId};
use futures_util::future::{OptionFuture, try_join, try_join4};

use super::{RedisStore, keys, row};

/// What to see in one session.
#[derive(Default)]
struct Look<'a> {
    session: Option<Shown>,
    own: Option<&'a ConnectionId>,
    named: Option<&'a ConnectionId>,
    told: Option<&'a Told>,
}

/// When the session itself is shown.
#[derive(Clone, Copy)]
enum Shown {
    Always,
    IfMember,
    IfSpeaker,
}

/// What `scripts/look.lua` answers with: the session's fields, the own row, the named row, the id
/// and the row offered.
type Answer =
    (HashMap<String, String>, Option<String>, Option<String>, Option<String>, Option<String>);

impl RedisStore {
    pub(super) async fn look_at(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        let (own, named) = (wanted.own.as_ref(), wanted.named.as_ref());
        let session = match &wanted.session {
            OfSession::Named(id) => Some(id),
            OfSession::No | OfSession::Own | OfSession::OwnIfSpeaker => None,
        };
        let place = session.or(wanted.told.as_ref().map(|told| &told.session));
        // Rules ask for one session only; a second one would be one more look at the same time.
        let other = wanted.told.as_ref().filter(|told| Some(&told.session) != place);
        let here = Look {
            session: session.map(|_| Shown::Always),
            own,
            named,
            told: wanted.told.as_ref().filter(|told| Some(&told.session) == place),
        };
        let there = Look { told: other, ..Look::default() };
        let (here, there, own_home, named_home) = try_join4(
            self.seen_in(place, here),
            self.seen_in(other.map(|told| &told.session), there),
            self.home_of(own),
            self.home_of(named),
        )
        .await?;
        let mut seen = Seen { told: here.told.or(there.told), ..here };
        self.follow(wanted, place, [own_home, named_home], &mut seen).await?;
        if seen.named.is_some() {
            seen.told = None;
        }
        if !wanted.languages {
            seen.languages.clear();
        }
        Ok(seen)
    }

    /// Looks for those that were not found where one looked first.
    async fn follow(
        &self,
        wanted: &Wanted,
        place: Option<&SessionId>,
        [own_home, named_home]: [Option<SessionId>; 2],
        seen: &mut Seen,
    ) -> Result<(), StoreFault> {
        let is_elsewhere = |home: &&SessionId| Some(*home) != place;
        let own_home = own_home.as_ref().filter(is_elsewhere).filter(|_| seen.own.is_none());
        let named_home = named_home.as_ref().filter(is_elsewhere).filter(|_| seen.named.is_none());
        let session = match wanted.session {
            OfSession::No | OfSession::Named(_) => None,
            OfSession::Own => Some(Shown::IfMember),
            OfSession::OwnIfSpeaker => Some(Shown::IfSpeaker),
        };
        let of_own = Look { session, own: wanted.own.as_ref(), ..Look::default() };
        let of_named = Look { named: wanted.named.as_ref(), ..Look::default() };
        let looks = (self.seen_in(own_home, of_own), self.seen_in(named_home, of_named));
        let (of_own, of_named) = try_join(looks.0, looks.1).await?;
        if own_home.is_some() {
            seen.own = of_own.own;
        }
        if of_own.session.is_some() {
            (seen.session, seen.languages) = (of_own.session, of_own.languages);
        }
        if named_home.is_some() {
            seen.named = of_named.named;
        }
        Ok(())
    }

    async fn home_of(&self, of: Option<&ConnectionId>) -> Result<Option<SessionId>, StoreFault> {
        let home = OptionFuture::from(of.map(|id| self.home(id))).await;
        Ok(home.transpose()?.flatten())
    }

    /// What is to be seen in a session, if there is one to look at.
    async fn seen_in(
        &self,
        session: Option<&SessionId>,
        look: Look<'_>,
    ) -> Result<Seen, StoreFault> {
        let Some(id) = session else { return Ok(Seen::default()) };
        let text = |id: Option<&ConnectionId>| id.map_or("", ConnectionId::as_str).to_owned();
        let when = match look.session {
            None => "never",
            Some(Shown::Always) => "always",
            Some(Shown::IfMember) => "member",
            Some(Shown::IfSpeaker) => "speaker",
        };
        let like = look.told.map_or_else(String::new, |told| {
            format!("{} {} ", row::hex(told.source.as_bytes()), told.target)
        });
        let args = (when, text(look.own), text(look.named), like);
        let keys = keys::session(&self.engine, id);
        let answer: Answer = self.engine.invoke(&self.verbs.look, &keys, args).await?;
        let (fields, own, named, offered, offered_row) = answer;
        let read = |of: Option<&ConnectionId>, row: Option<String>| -> Result<_, StoreFault> {
            let Some((of, row)) = of.zip(row) else { return Ok(None) };
            row::connection(of, id, &row).map(Some)
        };
        let offered = offered.as_deref().map(row::connection_id).transpose()?;
        let is_there = !fields.is_empty();
        Ok(Seen {
            session: if is_there { Some(row::session(id, &fields)?) } else { None },
            own: read(look.own, own)?,
            named: read(look.named, named)?,
            told: read(offered.as_ref(), offered_row)?,
            languages: row::languages(&fields)?,
        })
    }
}
