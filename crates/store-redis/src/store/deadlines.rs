//! When sessions are due, and how many there are.
//!
//! The index names each session by the earliest moment at which time may end it. What may bring
//! that moment forward, or make a session, is announced there first; what puts it off is not, and
//! found out when somebody looks.

use std::collections::HashSet;

use ambo_app::ports::{FaultKind, StoreFault, Totals};
use ambo_core::{Millis, Session, SessionId, Speaker};
use futures_util::future::try_join_all;

use super::{RedisStore, keys, row};
use crate::fault::malformed;

/// So many sessions are looked at at the same time.
const BATCH: usize = 256;

/// A session whose times cannot be read is looked at again after so long.
const ANOTHER_LOOK: Millis = Millis::from_mins(1);

/// A session that may be due.
struct Candidate {
    id: SessionId,
    /// When that was announced, empty if long ago; only compared.
    announced: String,
}

/// When time ends a session, if nothing happens.
pub(super) fn deadline(session: &Session) -> Millis {
    match session.speaker {
        Speaker::Present(_) => session.expires_at,
        Speaker::Lost { until } => session.expires_at.min(until),
    }
}

impl RedisStore {
    pub(super) async fn find_due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        let mut candidates = self.candidates(now).await?;
        candidates.retain(|candidate| after.is_none_or(|after| candidate.id > *after));
        candidates.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let mut due = Vec::new();
        for some in candidates.chunks(BATCH.min(limit.max(1))) {
            let looks = some.iter().map(|candidate| self.is_due(candidate, now));
            let found = try_join_all(looks).await?;
            let found = some.iter().zip(found).filter(|(_, is_due)| *is_due);
            due.extend(found.map(|(candidate, _)| candidate.id.clone()));
            if due.len() >= limit {
                break;
            }
        }
        due.truncate(limit);
        Ok(due)
    }

    /// Counts what the index names and what is there.
    pub(super) async fn count_all(&self) -> Result<Totals, StoreFault> {
        let [due, _] = keys::deadlines(&self.engine);
        let (mut cursor, mut counted) = (0_u64, HashSet::new());
        let mut totals = Totals::default();
        loop {
            let mut scan = redis::cmd("ZSCAN");
            scan.arg(&due).arg(cursor).arg("COUNT").arg(BATCH);
            let page: (u64, Vec<(String, String)>) = self.engine.run(scan).await?;
            // A scan may name the same one twice.
            let ids = page.1.into_iter().map(|(id, _)| id).filter(|id| counted.insert(id.clone()));
            let ids: Vec<_> = ids.filter_map(|id| SessionId::parse(&id)).collect();
            let listeners = try_join_all(ids.iter().map(|id| self.listeners(id))).await?;
            for count in listeners.into_iter().flatten() {
                totals.sessions += 1;
                totals.listeners += count;
            }
            cursor = page.0;
            if cursor == 0 {
                return Ok(totals);
            }
        }
    }

    /// Says that a session may be due as early as this.
    pub(super) async fn announce(
        &self,
        session: &SessionId,
        earliest: Millis,
    ) -> Result<(), StoreFault> {
        let (keys, args) = (keys::deadlines(&self.engine), (session.as_str(), earliest.0));
        self.engine.invoke::<u8>(&self.steps.announce, &keys, args).await.map(drop)
    }

    /// When something was announced of a session last, to be asked before one looks at it.
    pub(super) async fn announced(&self, session: &SessionId) -> Result<String, StoreFault> {
        let [_, announced] = keys::deadlines(&self.engine);
        let mut read = redis::cmd("ZSCORE");
        read.arg(announced).arg(session.as_str());
        Ok(self.engine.run::<Option<String>>(read).await?.unwrap_or_default())
    }

    /// Notes what was seen of a session since: its deadline, or that it is gone. Says whether it
    /// did: nothing is noted of what was announced a moment ago.
    pub(super) async fn correct(
        &self,
        session: &SessionId,
        announced: &str,
        deadline: Option<Millis>,
    ) -> Result<bool, StoreFault> {
        let deadline = deadline.map_or_else(String::new, |deadline| deadline.0.to_string());
        let args = (session.as_str(), announced, deadline);
        let keys = keys::deadlines(&self.engine);
        self.engine.invoke(&self.steps.correct, &keys, args).await
    }

    async fn candidates(&self, now: Millis) -> Result<Vec<Candidate>, StoreFault> {
        let keys = keys::deadlines(&self.engine);
        let listed: Vec<String> = self.engine.invoke(&self.steps.candidates, &keys, now.0).await?;
        let pairs = listed.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(malformed("a list of candidates"));
        }
        let candidate = |pair: &[String]| {
            Some(Candidate { id: SessionId::parse(&pair[0])?, announced: pair[1].clone() })
        };
        // What is no id names no session.
        Ok(pairs.filter_map(candidate).collect())
    }

    async fn is_due(&self, candidate: &Candidate, now: Millis) -> Result<bool, StoreFault> {
        let deadline = match self.deadline_of(&candidate.id).await {
            Err(fault) if fault.kind == FaultKind::Broken => {
                return self.put_off(candidate, now, &fault).await.map(|()| false);
            }
            deadline => deadline?,
        };
        let is_due = deadline.is_some_and(|deadline| deadline <= now);
        if !is_due {
            self.correct(&candidate.id, &candidate.announced, deadline).await?;
        }
        Ok(is_due)
    }

    async fn deadline_of(&self, session: &SessionId) -> Result<Option<Millis>, StoreFault> {
        let [session, _, _] = keys::session(&self.engine, session);
        let mut read = redis::cmd("HMGET");
        read.arg(session).arg("speaker").arg("until").arg("expires");
        let fields: [Option<String>; 3] = self.engine.run(read).await?;
        match fields {
            [None, None, None] => Ok(None),
            [Some(speaker), Some(until), Some(expires)] => {
                let (until, expires) = (row::millis(&until)?, row::millis(&expires)?);
                Ok(Some(if speaker.is_empty() { expires.min(until) } else { expires }))
            }
            _ => Err(malformed("a session without its times")),
        }
    }

    /// Goes past a session that nobody can read, which must keep no other from ending. It is told
    /// of when it is put off, by one node for all, and not at each of their many looks.
    async fn put_off(
        &self,
        candidate: &Candidate,
        now: Millis,
        fault: &StoreFault,
    ) -> Result<(), StoreFault> {
        let again = Some(now + ANOTHER_LOOK);
        if self.correct(&candidate.id, &candidate.announced, again).await? {
            tracing::warn!(
                component = "store",
                operation = "due",
                correlationId = %candidate.id,
                error = %fault.source,
                "a session cannot be read, nor ended; it is looked at again in a minute"
            );
        }
        Ok(())
    }

    /// How many listeners a session has; nothing where it is gone or cannot be read.
    async fn listeners(&self, session: &SessionId) -> Result<Option<u64>, StoreFault> {
        let [session, _, _] = keys::session(&self.engine, session);
        let mut read = redis::cmd("HGET");
        read.arg(session).arg("listeners");
        match self.engine.run(read).await {
            Err(fault) if fault.kind == FaultKind::Broken => Ok(None),
            listeners => listeners,
        }
    }
}
