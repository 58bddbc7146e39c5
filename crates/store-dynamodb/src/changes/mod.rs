//! Guarded changes: each is one conditional update or one transaction.
//!
//! What a change needs to know is mostly in the change, and then it is written without a look: the
//! conditions are its guard. Some need to know a row, such as the language of a listener that
//! goes; they look first, and a condition pins what they saw. When a condition does not hold, a
//! look tells whether the change holds already, is stale, or was overtaken and is to be tried
//! again.

mod admit;
mod attach;
mod carry;
mod end;
mod leave;
mod lose;
mod open;
mod retune;
mod steer;
mod touch;

use ambo_app::ports::StoreFault;
use ambo_core::{Applied, Change, ConnectionId, SessionId};

use crate::DynamoStore;
use crate::look::Look;
use crate::pause::pause;
use crate::rows::{Item, parse_connection};
use crate::write::{Write, Written, write};

/// Plans tried for one change. Each further one means that somebody else changed a row between a
/// look and a write, or that an ended session is in the way and takes its time.
const PLANS: u32 = 10;

/// What is to be done.
enum Plan {
    /// Nothing: this is what became of it.
    Settled(Applied),
    /// Nothing yet: what is left of an ended session is in the way, and about to be forgotten.
    Wait,
    /// These, all or none.
    Write(Vec<Write>),
}

impl Plan {
    const DONE: Self = Self::Settled(Applied::Done);
    const STALE: Self = Self::Settled(Applied::Stale);
}

impl DynamoStore {
    /// Applies a change.
    pub(crate) async fn apply(&self, change: &Change) -> Result<Applied, StoreFault> {
        let mut plan = match blind(change) {
            Some(plan) => plan,
            None => sighted(change, &self.look_for(change).await?),
        };
        for attempt in 1..=PLANS {
            match plan {
                Plan::Settled(applied) => return Ok(applied),
                Plan::Wait => pause(attempt).await,
                Plan::Write(writes) => {
                    if let Written::Yes(row) = write(&self.client, &self.tables, writes).await? {
                        return self.settled(row).await;
                    }
                }
            }
            plan = sighted(change, &self.look_for(change).await?);
        }
        Err(StoreFault::transient("a change was overtaken at every attempt"))
    }

    async fn look_for(&self, change: &Change) -> Result<Look, StoreFault> {
        let (session, connections) = concerned(change);
        self.look(session, connections.into_iter().flatten()).await
    }

    /// What became of a change that was written. A connection's own row does not know whether its
    /// session has ended: where nothing but that was written, the session has the last word. So a
    /// heartbeat costs one write and one read, and no transaction with the row that all share.
    async fn settled(&self, row: Option<Item>) -> Result<Applied, StoreFault> {
        let Some(row) = row.filter(|row| row.contains_key("connectionId")) else {
            return Ok(Applied::Done);
        };
        let session = parse_connection(&row)?.session;
        let is_there = self.look([&session], None).await?.session(&session).is_some();
        Ok(if is_there { Applied::Done } else { Applied::Stale })
    }
}

/// The session that a change names, and the connections.
fn concerned(change: &Change) -> (Option<&SessionId>, [Option<&ConnectionId>; 2]) {
    match change {
        Change::Open { connection, .. }
        | Change::Admit { connection, .. }
        | Change::Attach { connection, .. } => {
            (Some(&connection.session), [Some(&connection.id), None])
        }
        Change::Move { from, to, .. } => (Some(&to.session), [Some(from), Some(&to.id)]),
        Change::Touch { connection, .. } => (None, [Some(connection), None]),
        Change::Retune { connection, session, .. }
        | Change::Drop { connection, session }
        | Change::Lose { session, connection, .. } => (Some(session), [Some(connection), None]),
        Change::Steer { session, .. } | Change::End { session, .. } => (Some(session), [None; 2]),
    }
}

/// The plan of a change that can do without a look.
fn blind(change: &Change) -> Option<Plan> {
    let plan = match change {
        Change::Open { session, connection } => open::blind(session, connection),
        Change::Admit { connection, max, now } => admit::blind(connection, *max, *now),
        Change::Attach { .. } => attach::blind(change),
        Change::Touch { .. } => touch::blind(change),
        Change::Steer { .. } => steer::blind(change),
        Change::Lose { .. } => lose::blind(change),
        Change::End { session, guard } => end::blind(session, guard),
        Change::Move { .. } | Change::Retune { .. } | Change::Drop { .. } => return None,
    };
    Some(plan)
}

/// The plan of any change, once it was looked.
fn sighted(change: &Change, look: &Look) -> Plan {
    match change {
        Change::Open { session, connection } => open::sighted(session, connection, look),
        Change::Admit { connection, max, now } => admit::sighted(connection, *max, *now, look),
        Change::Attach { .. } => attach::sighted(change, look),
        Change::Move { from, to, now } => carry::sighted(from, to, *now, look),
        Change::Touch { .. } => touch::sighted(change, look),
        Change::Retune { connection, session, target } => {
            retune::sighted(connection, session, *target, look)
        }
        Change::Steer { .. } => steer::sighted(change, look),
        Change::Drop { connection, session } => leave::sighted(connection, session, look),
        Change::Lose { .. } => lose::sighted(change, look),
        Change::End { session, guard } => end::sighted(session, guard, look),
    }
}
