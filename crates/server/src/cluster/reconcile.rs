//! The truth is in the sockets: what the engine knows of this node is compared with them.
//!
//! An engine may forget (it was flushed, or failed over to a replica that was behind), may be told
//! of a death that was none (a process that was stopped for a while), may miss a departure, or may
//! know again what it knew before. Whatever differs twice in a row is put right; once may be a
//! change on its way.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ambo_app::ports::{FaultKind, StoreFault};
use ambo_core::event::Departure;
use ambo_core::notice::Turn;
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{
    Applied, Audience, Change, Connection, ConnectionId, Millis, Moment, Notice, Role, Session,
    SessionId, Speaker, Tidings,
};
use ambo_wire::websocket::{self, close_code};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Cluster;
use super::keeper::lapse;
use crate::live::Live;
use crate::node::Node;

/// Sessions compared, and members put right in each, at the same time.
const AT_ONCE: usize = 16;

/// Connections that were amiss when they were looked at last.
#[derive(Default)]
pub(super) struct Suspects(HashSet<ConnectionId>);

impl Suspects {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One session as the engine has it, beside who is connected here.
struct Comparison<'a> {
    node: &'a Node,
    /// Who was amiss before; everybody, where nothing may wait.
    before: Option<&'a Suspects>,
    /// Whether the engine may have gone back behind what it has told.
    is_behind: bool,
    session: SessionId,
    known: Option<Session>,
    rows: HashMap<ConnectionId, Connection>,
    lives: Vec<Arc<Live>>,
}

/// How a member that is connected here stands with the engine.
enum Standing {
    Right,
    Missing,
    /// Another connection has the speaker's place.
    Superseded,
}

impl Cluster {
    /// Compares all sessions of this node, and puts right what was amiss before.
    pub(super) async fn reconcile(
        &self,
        node: &Node,
        suspects: &mut Suspects,
    ) -> Result<(), StoreFault> {
        let mut sessions: HashMap<SessionId, Vec<Arc<Live>>> = HashMap::new();
        for live in node.lives.all() {
            sessions.entry(live.session.clone()).or_default().push(live);
        }
        // Where nobody is any more, as far as is known here, the engine may know better.
        let noted = self.store.sessions_of(self.id.as_str(), None, usize::MAX).await?;
        for session in node.lives.sessions().into_iter().chain(noted) {
            sessions.entry(session).or_default();
        }
        let before = &*suspects;
        let amiss: Vec<Vec<ConnectionId>> = stream::iter(sessions)
            .map(|(session, lives)| self.reconcile_some(node, session, lives, before))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        suspects.0 = amiss.into_iter().flatten().collect();
        Ok(())
    }

    /// One of many: a session that cannot be read must not hold up the others.
    async fn reconcile_some(
        &self,
        node: &Node,
        session: SessionId,
        lives: Vec<Arc<Live>>,
        before: &Suspects,
    ) -> Result<Vec<ConnectionId>, StoreFault> {
        match self.reconcile_one(node, session.clone(), lives, Some(before)).await {
            Err(fault) if fault.kind == FaultKind::Broken => {
                tell_fault(&session, &fault);
                Ok(Vec::new())
            }
            amiss => amiss,
        }
    }

    /// The same for one member and its session, at once: all members of a session that was lost
    /// may ask at the same time. What cannot be done now is done in a later round.
    pub(crate) async fn bring_back(&self, node: &Node, member: &Live) {
        let session = &member.session;
        let mut lives = node.lives.all();
        lives.retain(|live| live.id == member.id || live.is_speaker && live.session == *session);
        if let Err(fault) = self.reconcile_one(node, session.clone(), lives, None).await {
            tell_fault(session, &fault);
        }
    }

    async fn reconcile_one(
        &self,
        node: &Node,
        session: SessionId,
        lives: Vec<Arc<Live>>,
        before: Option<&Suspects>,
    ) -> Result<Vec<ConnectionId>, StoreFault> {
        let rows = self.store.members_of(&session, self.id.as_str()).await?;
        let rows = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        let known = session_of(node, &session).await?;
        let is_behind = self.is_unsettled();
        let comparison = Comparison { node, before, is_behind, session, known, rows, lives };
        comparison.put_right().await
    }
}

impl Comparison<'_> {
    /// Puts right what was amiss before too; names what is amiss now.
    async fn put_right(mut self) -> Result<Vec<ConnectionId>, StoreFault> {
        let mut amiss = Vec::new();
        let lives = std::mem::take(&mut self.lives);
        let mut lives: Vec<_> = lives.into_iter().filter(|live| is_a_members(live)).collect();
        // The speaker first: without a session there is nothing to be admitted to.
        lives.sort_by_key(|live| !live.is_speaker);
        let mut missing = Vec::new();
        for live in lives {
            match self.standing(&live).await? {
                Standing::Right => {}
                _ if !self.was_amiss(&live.id) => amiss.push(live.id.clone()),
                Standing::Superseded => live.retire(self.node.clock.now()),
                Standing::Missing if live.is_speaker => self.bring_back_speaker(&live).await?,
                Standing::Missing => missing.push(live),
            }
        }
        stream::iter(missing.iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |live| self.bring_back_listener(live))
            .await?;
        self.let_go_strangers(&mut amiss).await;
        Ok(amiss)
    }

    fn was_amiss(&self, id: &ConnectionId) -> bool {
        self.before.is_none_or(|before| before.0.contains(id))
    }

    /// How a member stands. A speaker whose place another connection has is superseded, and its
    /// notice has been lost; unless that connection is the older one, whose place it took.
    async fn standing(&mut self, live: &Live) -> Result<Standing, StoreFault> {
        let has_row = self.rows.remove(&live.id).is_some();
        let speaker = self.known.as_ref().filter(|_| live.is_speaker).map(|known| &known.speaker);
        Ok(match speaker {
            Some(Speaker::Present(there)) if *there == live.id => Standing::Right,
            Some(Speaker::Present(there))
                if self.is_behind && self.is_older(there, live).await? =>
            {
                Standing::Missing
            }
            Some(Speaker::Present(_)) => Standing::Superseded,
            Some(Speaker::Lost { .. }) => Standing::Missing,
            None if has_row && !live.is_speaker => Standing::Right,
            None => Standing::Missing,
        })
    }

    /// Whether a member was connected before this one.
    async fn is_older(&self, id: &ConnectionId, live: &Live) -> Result<bool, StoreFault> {
        let wanted = Wanted { named: Some(id.clone()), ..Wanted::default() };
        let named = self.node.app.store().load(&wanted).await?.named;
        Ok(named.is_some_and(|named| named.connected_at < live.opened_at))
    }

    /// Writes a lost session again, or takes its speaker's place up again.
    async fn bring_back_speaker(&mut self, live: &Live) -> Result<(), StoreFault> {
        let now = self.node.clock.now();
        let Some(record) = self.node.lives.record(&self.session) else { return Ok(()) };
        let connection = connection_of(live, Role::Speaker);
        let expires_at = now + self.node.limits().session_max_duration;
        let change = match &self.known {
            None => Change::Open {
                session: Session {
                    speaker: Speaker::Present(live.id.clone()),
                    listeners: 0,
                    expires_at: record.expires_at.max(now + self.node.limits().speaker_grace),
                    ..record
                },
                connection,
            },
            Some(known) => Change::Attach {
                connection,
                // Should somebody else have been given this id since, it is stale.
                owner: record.owner,
                was: known.speaker.clone(),
                expires_at,
                now,
                moment: known.moment(now),
            },
        };
        if self.node.app.store().commit(&change).await? == Applied::Stale {
            return Ok(());
        }
        tracing::warn!(
            component = "cluster",
            operation = "reconcile",
            correlationId = %self.session,
            change = change.name(),
            "a session that the engine had lost was written again"
        );
        if let Change::Attach { was: Speaker::Lost { .. }, moment, .. } = change {
            self.tell_resumed(moment.at).await;
        }
        self.known = Some(match change {
            Change::Open { session, .. } => session,
            _ => return Ok(()),
        });
        Ok(())
    }

    /// Listeners were told that the speaker is lost; it is not.
    async fn tell_resumed(&self, at: Millis) {
        let Some(known) = &self.known else { return };
        let now = self.node.clock.now();
        let turn = if known.paused { Turn::Paused } else { Turn::Resumed };
        let mut state = known.broadcast_state();
        (state.is_paused, state.last_state_change) = (known.paused, at);
        let audience = Audience::Listeners(self.session.clone());
        let tidings = Tidings::Broadcast { turn, state, message: None };
        self.node.app.notify(&[Notice { audience, tidings }], now).await;
    }

    /// Counts a listener again. One for whom there is no place any more may try elsewhere.
    async fn bring_back_listener(&self, live: &Arc<Live>) -> Result<(), StoreFault> {
        let Some(target) = live.outlet.language() else { return Ok(()) };
        if self.known.is_none() {
            return Ok(());
        }
        let connection = connection_of(live, Role::Listener { target });
        let row = connection.clone();
        let (max, now) = (self.node.limits().max_listeners, self.node.clock.now());
        let max = if max == 0 { u32::MAX } else { max };
        match self.node.app.store().commit(&Change::Admit { connection, max, now }).await? {
            Applied::Stale if self.is_full(max).await? => {
                live.outlet.close(websocket::close(close_code::TRY_AGAIN_LATER, "session full"));
            }
            // The session has ended, or another round finds out more.
            Applied::Stale => {}
            // It may have left in between, before it was counted.
            Applied::Done if !is_a_members(live) => {
                lapse(self.node, row, Departure::Lost).await;
            }
            Applied::Done => {}
        }
        Ok(())
    }

    async fn is_full(&self, max: u32) -> Result<bool, StoreFault> {
        let found = session_of(self.node, &self.session).await?;
        Ok(found.is_some_and(|session| session.listeners >= max))
    }

    /// Members that nobody here is: their departure has been missed. Those of a session that has
    /// ended go as its speaker went: it is to end again, and nobody is awaited.
    async fn let_go_strangers(&mut self, amiss: &mut Vec<ConnectionId>) {
        let now = self.node.clock.now();
        // The longest between being let in and being connected.
        let opening = Millis(self.node.pace.handshake_timeout.as_millis() as u64) + BEGINNING;
        let has_ended = self.node.lives.ended(&self.session).is_some();
        let how = if has_ended { Departure::Clean } else { Departure::Lost };
        let mut strangers = Vec::new();
        for (id, row) in std::mem::take(&mut self.rows) {
            if now.since(row.connected_at) < opening || self.node.lives.find(&id).is_some() {
                continue;
            }
            // Whoever has taken that speaker's place since may not have told the engine again.
            let may_be_replaced = self.is_behind && row.role == Role::Speaker && !has_ended;
            if self.was_amiss(&id) && !may_be_replaced {
                strangers.push(row);
            } else {
                amiss.push(id);
            }
        }
        let lapses = stream::iter(strangers).map(|row| lapse(self.node, row, how));
        lapses.buffer_unordered(AT_ONCE).for_each(async |_| {}).await;
    }
}

/// Writes the newest state again that was told of a session spoken here, should the engine have
/// gone back behind it: clients take no older one any more.
pub(crate) async fn keep_state(node: &Node, found: &Session, speaker: &ConnectionId) {
    let told = node.lives.latest_state(&found.id, found.broadcast_state());
    let moment = Moment { after: found.last_state_change, at: told.last_state_change };
    if moment.at <= moment.after {
        return;
    }
    let change = Change::Steer {
        session: found.id.clone(),
        connection: speaker.clone(),
        was: (found.paused, found.muted),
        becomes: (told.is_paused, told.is_muted),
        moment,
    };
    // Stale, where the state was changed since it was looked at; a fault is for the next round.
    let _ = node.app.store().commit(&change).await;
}

/// How long it may take to follow a session for a newcomer, before the socket is opened.
const BEGINNING: Millis = Millis::from_secs(5);

async fn session_of(node: &Node, session: &SessionId) -> Result<Option<Session>, StoreFault> {
    let wanted = Wanted { session: OfSession::Named(session.clone()), ..Wanted::default() };
    Ok(node.app.store().load(&wanted).await?.session)
}

fn tell_fault(session: &SessionId, fault: &StoreFault) {
    tracing::warn!(
        component = "cluster",
        operation = "reconcile",
        correlationId = %session,
        error = %format_args!("{fault}: {}", fault.source),
        "a session cannot be looked after now"
    );
}

/// Whether a connection is still its member's own, as far as is known here.
fn is_a_members(live: &Live) -> bool {
    live.retired_at.load(Ordering::Relaxed) == 0 && live.outlet.why().is_none()
}

fn connection_of(live: &Live, role: Role) -> Connection {
    Connection::new(live.id.clone(), live.session.clone(), role, live.source, live.opened_at)
}
