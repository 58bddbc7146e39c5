//! Pointers from connections to sessions.
//!
//! A connection that is about to become a member is claimed for the session first. A claim that
//! points elsewhere stands in the way, unless the session there turns out not to have the
//! connection and the claim is no longer fresh: then nobody's commit can be under way with it.

use ambo_app::ports::StoreFault;
use ambo_core::{ConnectionId, SessionId};
use futures_util::future::try_join_all;

use super::{AFTERLIFE, RedisStore, keys, row};
use crate::fault::malformed;

/// So many pointers are asked for or changed at the same time.
const BATCH: usize = 256;

/// A connection is claimed for a session.
pub(super) struct Claim {
    /// Tells this claim from others of the same connection.
    pub(super) stamp: u64,
    /// Whether the pointer is this claim's own making, to be taken back if nothing comes of it.
    pub(super) is_first: bool,
}

/// What came of a claim, as `scripts/claim.lua` says it.
enum Claimed {
    Yes(Claim),
    /// Another session has it, or is about to.
    InTheWay,
    /// This pointer leads elsewhere and is not fresh.
    Doubtful(String),
}

impl RedisStore {
    /// Claims a connection for a session; nothing when it is another one's.
    pub(super) async fn claim(
        &self,
        connection: &ConnectionId,
        session: &SessionId,
    ) -> Result<Option<Claim>, StoreFault> {
        let doubtful = match self.try_claim(connection, session, "").await? {
            Claimed::Yes(claim) => return Ok(Some(claim)),
            Claimed::InTheWay => return Ok(None),
            Claimed::Doubtful(pointer) => pointer,
        };
        let [_, members, _] = keys::session(&self.engine, &target(&doubtful)?);
        let mut is_member = redis::cmd("HEXISTS");
        is_member.arg(members).arg(connection.as_str());
        if self.engine.run(is_member).await? {
            return Ok(None);
        }
        match self.try_claim(connection, session, &doubtful).await? {
            Claimed::Yes(claim) => Ok(Some(claim)),
            Claimed::InTheWay | Claimed::Doubtful(_) => Ok(None),
        }
    }

    async fn try_claim(
        &self,
        connection: &ConnectionId,
        session: &SessionId,
        replaced: &str,
    ) -> Result<Claimed, StoreFault> {
        let keys = [keys::pointer(&self.engine, connection)];
        let args = (session.as_str(), AFTERLIFE.0, replaced);
        let answer: (u8, String) = self.engine.invoke(&self.steps.claim, &keys, args).await?;
        match answer {
            (0, _) => Ok(Claimed::InTheWay),
            (1, pointer) => Ok(Claimed::Doubtful(pointer)),
            (made @ (2 | 3), stamp) => {
                Ok(Claimed::Yes(Claim { stamp: row::number(&stamp)?, is_first: made == 3 }))
            }
            (other, _) => Err(malformed(format_args!("a claim that is {other}"))),
        }
    }

    /// Keeps a pointer for so many milliseconds from now.
    pub(super) async fn hold(
        &self,
        connection: &ConnectionId,
        life: u64,
    ) -> Result<(), StoreFault> {
        let mut hold = redis::cmd("PEXPIRE");
        hold.arg(keys::pointer(&self.engine, connection)).arg(life);
        self.engine.run::<u8>(hold).await.map(drop)
    }

    /// Keeps the pointers of all members as long as their session, which lives longer than was
    /// known.
    pub(super) async fn hold_all(&self, session: &SessionId) -> Result<(), StoreFault> {
        let [key, _, _] = keys::session(&self.engine, session);
        let mut left = redis::cmd("PTTL");
        left.arg(key);
        // Less than nothing when the session has ended meanwhile.
        let Ok(life) = u64::try_from(self.engine.run::<i64>(left).await?) else { return Ok(()) };
        let ids = self.member_ids(session).await?;
        for some in ids.chunks(BATCH) {
            try_join_all(some.iter().map(|id| self.hold(id, life))).await?;
        }
        Ok(())
    }

    /// Takes pointers away with which connections were members of a session: ids and stamps.
    pub(super) async fn release(
        &self,
        session: &SessionId,
        gone: &[(ConnectionId, u64)],
    ) -> Result<(), StoreFault> {
        for some in gone.chunks(BATCH) {
            try_join_all(some.iter().map(|gone| self.release_one(session, gone))).await?;
        }
        Ok(())
    }

    async fn release_one(
        &self,
        session: &SessionId,
        (connection, stamp): &(ConnectionId, u64),
    ) -> Result<(), StoreFault> {
        let (keys, pointer) =
            ([keys::pointer(&self.engine, connection)], format!("{session} {stamp}"));
        self.engine.invoke::<u8>(&self.steps.release, &keys, pointer).await.map(drop)
    }

    /// The session that a connection's pointer leads to.
    pub(super) async fn home(
        &self,
        connection: &ConnectionId,
    ) -> Result<Option<SessionId>, StoreFault> {
        let mut read = redis::cmd("GET");
        read.arg(keys::pointer(&self.engine, connection));
        let pointer: Option<String> = self.engine.run(read).await?;
        pointer.as_deref().map(target).transpose()
    }
}

fn target(pointer: &str) -> Result<SessionId, StoreFault> {
    let (session, _) = pointer.split_once(' ').ok_or_else(|| malformed("a pointer"))?;
    row::session_id(session)
}
