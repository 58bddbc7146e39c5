//! Changes: what is claimed, noted and announced first, the one script, and what is put in order
//! after it.

use ambo_app::ports::StoreFault;
use ambo_core::{
    Applied, Change, Connection, ConnectionId, EndGuard, Millis, Moment, Session, SessionId, UserId,
};
use futures_util::future::{try_join, try_join3};
use redis::ToRedisArgs;

use super::claims::Claim;
use super::{RedisStore, deadlines, keys, life, row};
use crate::Script;
use crate::fault::malformed;

/// What a session's script answers; see `scripts/prelude.lua`.
struct Step {
    applied: Applied,
    is_extended: bool,
    /// Who is no member any more, and the claim it was one by.
    gone: Vec<(ConnectionId, u64)>,
}

/// The speaker's new place.
struct Attach<'a> {
    connection: &'a Connection,
    owner: &'a UserId,
    was: &'a ambo_core::Speaker,
    expires_at: Millis,
    now: Millis,
    moment: Moment,
}

impl RedisStore {
    pub(super) async fn apply(&self, change: &Change) -> Result<Applied, StoreFault> {
        match change {
            Change::Open { session, connection } => self.open(session, connection).await,
            Change::Admit { connection, max, now } => {
                let args = |claim| [row::row(connection, claim), max.to_string(), text(*now)];
                self.seat(connection, *now, &self.verbs.admit, vec![id(connection)], args).await
            }
            Change::Attach { connection, owner, was, expires_at, now, moment } => {
                let (expires_at, now, moment) = (*expires_at, *now, *moment);
                self.attach(Attach { connection, owner, was, expires_at, now, moment }).await
            }
            Change::Move { from, to, now } => {
                let names = vec![from.as_str().to_owned(), id(to)];
                let args = |claim| [row::row(to, claim), text(*now)];
                self.seat(to, *now, &self.verbs.carry, names, args).await
            }
            Change::Touch { .. } => self.touch(change).await,
            Change::Retune { connection, session, target } => {
                let args = (connection.as_str(), target.as_str());
                self.step(session, &self.verbs.retune, args).await
            }
            Change::Steer { session, connection, was, becomes, moment } => {
                let flags = [was.0, was.1, becomes.0, becomes.1].map(row::flag);
                let args = (connection.as_str(), &flags[..], moment.after.0, moment.at.0);
                self.step(session, &self.verbs.steer, args).await
            }
            Change::Drop { connection, session } => {
                self.step(session, &self.verbs.drop, connection.as_str()).await
            }
            Change::Lose { session, connection, until, moment } => {
                self.announce(session, *until).await?;
                let args = (connection.as_str(), until.0, moment.after.0, moment.at.0);
                self.step(session, &self.verbs.lose, args).await
            }
            Change::End { session, guard } => self.end(session, guard).await,
        }
    }

    async fn open(
        &self,
        session: &Session,
        connection: &Connection,
    ) -> Result<Applied, StoreFault> {
        let (claim, (), ()) = try_join3(
            self.claim(&connection.id, &session.id),
            self.note(&connection.id, &session.id),
            self.announce(&session.id, deadlines::deadline(session)),
        )
        .await?;
        let Some(claim) = claim else { return Ok(Applied::Stale) };
        let life = life(session.expires_at, session.created_at);
        let is_whole = connection.session == session.id && session.is_spoken_by(&connection.id);
        let args = (
            (connection.id.as_str(), session.owner.as_str(), session.created_at.0),
            (row::row(connection, claim.stamp), life),
            if is_whole { row::fields(session) } else { Vec::new() },
        );
        let (step, ()) = try_join(
            self.invoke(&session.id, &self.verbs.open, args),
            self.hold(&connection.id, life),
        )
        .await?;
        Ok(self.settle(&session.id, &connection.id, claim, step).await)
    }

    async fn attach(&self, attach: Attach<'_>) -> Result<Applied, StoreFault> {
        let Attach { connection, owner, was, expires_at, now, moment } = attach;
        let (speaker, until) = row::speaker(was);
        let args = |claim| {
            let life = life(expires_at, now).to_string();
            [
                row::row(connection, claim),
                owner.as_str().to_owned(),
                speaker,
                until,
                text(expires_at),
                text(now),
                life,
                text(moment.after),
                text(moment.at),
            ]
        };
        self.seat(connection, now, &self.verbs.attach, vec![id(connection)], args).await
    }

    /// Makes a connection a member of a session that is there: claims it, then runs the script
    /// with these names and, once the claim is known, these arguments.
    async fn seat<const N: usize>(
        &self,
        connection: &Connection,
        now: Millis,
        script: &Script,
        names: Vec<String>,
        args: impl FnOnce(u64) -> [String; N],
    ) -> Result<Applied, StoreFault> {
        let session = &connection.session;
        let (claim, (), expires_at) = try_join3(
            self.claim(&connection.id, session),
            self.note(&connection.id, session),
            self.expires_at(session),
        )
        .await?;
        let Some(claim) = claim else { return Ok(Applied::Stale) };
        let Some(expires_at) = expires_at else {
            return Ok(self.settle(session, &connection.id, claim, Step::STALE).await);
        };
        let args = args(claim.stamp);
        let (step, ()) = try_join(
            self.invoke(session, script, (names, &args[..])),
            self.hold(&connection.id, life(expires_at, now)),
        )
        .await?;
        Ok(self.settle(session, &connection.id, claim, step).await)
    }

    async fn touch(&self, change: &Change) -> Result<Applied, StoreFault> {
        let Change::Touch { connection, was_seen, seen_at, beats, told, warned, extend } = change
        else {
            return Ok(Applied::Stale);
        };
        let Some(session) = self.home(connection).await? else { return Ok(Applied::Stale) };
        let until = extend.as_ref().filter(|(of, _)| *of == session).map(|(_, until)| *until);
        let args = (
            (connection.as_str(), was_seen.0, seen_at.0, beats.0),
            (row::secret(told.as_ref()), row::flag(*warned)),
            until.map_or_else(String::new, text),
            until.map_or(0, |until| life(until, *seen_at)),
        );
        self.step(&session, &self.verbs.touch, args).await
    }

    async fn end(&self, session: &SessionId, guard: &EndGuard) -> Result<Applied, StoreFault> {
        let (name, value) = match guard {
            EndGuard::SpokenBy(connection) => ("spoken", connection.as_str().to_owned()),
            EndGuard::ExpiredAt(now) => ("expired", text(*now)),
            EndGuard::GraceOverAt(now) => ("grace", text(*now)),
            EndGuard::Present => ("present", String::new()),
        };
        let announced = self.announced(session).await?;
        let step = self.invoke(session, &self.verbs.end, (name, value)).await?;
        if step.applied == Applied::Done {
            let forgotten = try_join3(
                self.release(session, &step.gone),
                self.unnote(session, &step.gone),
                self.correct(session, &announced, None),
            );
            warn_of(forgotten.await.map(drop));
        }
        Ok(step.applied)
    }

    /// A change of who and what is there already.
    async fn step(
        &self,
        session: &SessionId,
        script: &Script,
        args: impl ToRedisArgs,
    ) -> Result<Applied, StoreFault> {
        let step = self.invoke(session, script, args).await?;
        self.put_in_order(session, &step).await;
        Ok(step.applied)
    }

    /// The same for one that a connection was claimed for: a claim that came to nothing is taken
    /// back, so that the connection is free at once.
    async fn settle(
        &self,
        session: &SessionId,
        connection: &ConnectionId,
        claim: Claim,
        mut step: Step,
    ) -> Applied {
        if step.applied == Applied::Stale && claim.is_first {
            step.gone.push((connection.clone(), claim.stamp));
        }
        self.put_in_order(session, &step).await;
        step.applied
    }

    /// Lets the pointers follow the session. What fails here is only said: the change is done, and
    /// a pointer that was left is found out by whoever follows it.
    async fn put_in_order(&self, session: &SessionId, step: &Step) {
        warn_of(self.release(session, &step.gone).await);
        if step.is_extended {
            warn_of(self.hold_all(session).await);
        }
    }

    async fn invoke(
        &self,
        session: &SessionId,
        script: &Script,
        args: impl ToRedisArgs,
    ) -> Result<Step, StoreFault> {
        let keys = keys::session(&self.engine, session);
        Step::read(self.engine.invoke(script, &keys, args).await?)
    }

    async fn expires_at(&self, session: &SessionId) -> Result<Option<Millis>, StoreFault> {
        let [session, _, _] = keys::session(&self.engine, session);
        let mut read = redis::cmd("HGET");
        read.arg(session).arg("expires");
        let expires: Option<String> = self.engine.run(read).await?;
        expires.as_deref().map(row::millis).transpose()
    }
}

impl Step {
    const STALE: Self = Self { applied: Applied::Stale, is_extended: false, gone: Vec::new() };

    fn read(answer: (u8, u8, Vec<String>)) -> Result<Self, StoreFault> {
        let (applied, is_extended, gone) = answer;
        let applied = match applied {
            1 => Applied::Done,
            0 => Applied::Stale,
            other => return Err(malformed(format_args!("a change that is {other}"))),
        };
        let pairs = gone.chunks_exact(2);
        if !pairs.remainder().is_empty() {
            return Err(malformed("a list of who is gone"));
        }
        let gone = pairs
            .map(|pair| Ok((row::connection_id(&pair[0])?, row::number(&pair[1])?)))
            .collect::<Result<_, StoreFault>>()?;
        Ok(Self { applied, is_extended: is_extended == 1, gone })
    }
}

fn id(connection: &Connection) -> String {
    connection.id.as_str().to_owned()
}

fn text(moment: Millis) -> String {
    moment.0.to_string()
}

fn warn_of(outcome: Result<(), StoreFault>) {
    if let Err(fault) = outcome {
        tracing::warn!(
            component = "store",
            operation = "put_in_order",
            error = %fault.source,
            "what points to a session could not follow its change"
        );
    }
}
