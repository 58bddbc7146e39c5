//! After the end: who tells everybody, and what is left when they were told.
//!
//! An ended session keeps its row and its connections' until it is forgotten, because they are
//! how the others are reached. Two may end a session at once, and both be told that it is done;
//! so the telling is claimed, and who has claimed it is waited for before the rows go. And nobody's
//! row goes who was not named to be told: where naming them failed, all is left to the sweep.

use ambo_app::ports::StoreFault;
use ambo_core::{Connection, ConnectionId, Millis, SessionId};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::pause::pause;
use crate::rows::{ENDED, SessionRow, millis, parse_session, text};
use crate::write::{Table, Write, Written, delete, write};
use crate::{DynamoStore, clock};

/// Rows that are removed at once.
const ABREAST: usize = 32;
/// Rows looked at in one request, which may ask for a hundred.
const BATCH: usize = 100;
/// Looks at the index until it lists everybody; with their pauses they take about a second.
const LOOKS: u32 = 8;
/// How long whoever ends a session has to tell everybody before another takes over: twice what a
/// function may run. By then the index shows all that was written before the end, too.
pub(crate) const PATIENCE: Millis = Millis::from_secs(60);

/// That nobody else tells of an end at this moment.
const UNCLAIMED: &str =
    "attribute_not_exists(#claimedBy) OR #claimedBy = :me OR #claimedAt <= :late";

/// Those named to be told of an end; `None` while they are looked for, and where that failed.
pub(crate) type Named = Option<Vec<ConnectionId>>;

impl DynamoStore {
    /// Ended sessions that were not forgotten in time, at most `limit` of them: whoever ended them
    /// died on the way. The sweep tells whom [`to_be_told`](Self::to_be_told) names, and forgets.
    pub async fn unfinished(&self, limit: usize) -> Result<Vec<SessionId>, StoreFault> {
        let is_late = "#status = :status AND #endedAt <= :late \
            AND (attribute_not_exists(#claimedAt) OR #claimedAt <= :late)";
        let values = [(":status", text(ENDED)), (":late", millis(self.late()))];
        let mut late = self.ids_where(is_late, values).await?;
        late.truncate(limit);
        Ok(late)
    }

    /// Claims the telling of a session's end, and names all connections it had when it ended.
    /// Nobody, if the session has not ended or another tells them; that one's claim is good for a
    /// minute.
    ///
    /// A connection that was admitted just before the end may not be in the index yet, and one that
    /// went may be there still. So each is looked at, and the missing are waited for: the session
    /// knows how many they are, and nobody joins without hearing of the end.
    pub async fn to_be_told(&self, session: &SessionId) -> Result<Vec<Connection>, StoreFault> {
        self.named.lock().insert(session.clone(), None);
        let members = self.claimed(session).await?;
        let ids = members.iter().map(|member| member.id.clone()).collect();
        self.named.lock().insert(session.clone(), Some(ids));
        Ok(members)
    }

    async fn claimed(&self, session: &SessionId) -> Result<Vec<Connection>, StoreFault> {
        let claim = Write::update(
            Table::Sessions,
            session.as_str(),
            "SET #claimedBy = :me, #claimedAt = :now",
        )
        .when("#status = :ended")
        .when(format!("({UNCLAIMED})"))
        .with(":ended", text(ENDED))
        .with(":me", text(&self.instance))
        .with(":now", millis(clock::now()))
        .with(":late", millis(self.late()));
        let Written::Yes(Some(item)) = write(&self.client, &self.tables, vec![claim]).await? else {
            return Ok(Vec::new());
        };
        let row = parse_session(&item)?;
        let mut members = self.kept(&row).await?;
        // Long after the end the index is up to date: who is missing has been told and removed.
        let looks = if row.ended_at.is_some_and(|at| at <= self.late()) { 1 } else { LOOKS };
        for attempt in 1..looks {
            if members.len() >= row.members() {
                break;
            }
            pause(attempt).await;
            members = self.kept(&row).await?;
        }
        Ok(members)
    }

    /// The connections that the index lists and that are truly there.
    async fn kept(&self, row: &SessionRow) -> Result<Vec<Connection>, StoreFault> {
        let listed = self.everybody(row).await?;
        let mut kept = Vec::with_capacity(listed.len());
        for batch in listed.chunks(BATCH) {
            let look = self.look_alone(batch.iter().map(|member| &member.id)).await?;
            kept.extend(batch.iter().filter(|member| look.is_kept(member)).cloned());
        }
        Ok(kept)
    }

    /// Removes an ended session's connections and then what marks it as ended; that stays for the
    /// sweep while somebody may not be in the index yet, or could not be named to be told.
    pub(crate) async fn forgotten(&self, session: &SessionId) -> Result<(), StoreFault> {
        let named = self.named.lock().get(session).cloned();
        self.remove(session, named).await?;
        // Not before: after a fault, the same are to be removed.
        self.named.lock().remove(session);
        Ok(())
    }

    async fn remove(&self, session: &SessionId, named: Option<Named>) -> Result<(), StoreFault> {
        let look = self.look([session], None).await?;
        let Some(row) = look.row(session) else { return Ok(()) };
        let Some(ended_at) = row.ended_at else { return Ok(()) };
        let (late, claim) = (self.late(), row.claim.as_ref());
        if claim.is_some_and(|claim| claim.by != self.instance && claim.at > late) {
            return Ok(());
        }
        let ids = match named {
            Some(Some(ids)) => ids,
            Some(None) => return Ok(()),
            // Nobody asked whom to tell, so nobody is left to be told.
            None => self.everybody(row).await?.into_iter().map(|member| member.id).collect(),
        };
        let removals: Vec<_> = ids.iter().map(|id| removal(id, session)).collect();
        let removals = removals.into_iter().map(|it| delete(&self.client, &self.tables, it));
        let removals = stream::iter(removals).buffer_unordered(ABREAST);
        let removed: Vec<bool> = removals.try_collect().await?;
        let removed = removed.into_iter().filter(|is_removed| *is_removed).count();
        if removed < row.members() && ended_at > late {
            return Ok(());
        }
        let mark = Write::delete(Table::Sessions, session.as_str())
            .when("#status = :ended AND #createdAt = :createdAt")
            .with(":ended", text(ENDED))
            .with(":createdAt", millis(row.session.created_at));
        delete(&self.client, &self.tables, mark).await.map(drop)
    }

    /// What ended, or was claimed, before this is late.
    fn late(&self) -> Millis {
        clock::now() - self.patience
    }
}

/// The removal of a connection, if it is still of this session: it may have been listed by an
/// index that is behind, and be a member elsewhere by now.
fn removal(member: &ConnectionId, session: &SessionId) -> Write {
    Write::delete(Table::Connections, member.as_str())
        .when("#sessionId = :session")
        .with(":session", text(session.as_str()))
}
