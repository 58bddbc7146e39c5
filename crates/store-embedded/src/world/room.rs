//! One session with its members, and what they are looked up by.

use std::collections::BTreeMap;
use std::ops::Bound;

use ambo_core::rules::Told;
use ambo_core::{
    Connection, ConnectionId, Language, Millis, Role, Session, SourceAddress, Speaker,
};
use tokio::sync::oneshot;

/// A session that has not ended. Its count is the count of its listeners at any moment, since
/// both change in [`insert`](Self::insert) and [`remove`](Self::remove) and nowhere else.
pub(super) struct Room {
    pub(super) session: Session,
    /// Set while its end is being written; see [`World`](super::World).
    pub(super) ending: Option<Waiters>,
    members: BTreeMap<ConnectionId, Member>,
    languages: BTreeMap<Language, u32>,
    /// Listeners that were told to refresh, the longest told first.
    told: BTreeMap<(SourceAddress, Language, u64), ConnectionId>,
    /// Counts the listeners that were told, so that they have an order.
    turns: u64,
}

/// Those who wait until a write is settled; they wake when this is dropped.
#[derive(Default)]
pub(super) struct Waiters(Vec<oneshot::Sender<()>>);

struct Member {
    record: Connection,
    /// When it was told to refresh, among the others of its session.
    turn: u64,
}

impl Room {
    pub(super) fn new(session: Session, speaker: Option<Connection>) -> Self {
        let mut room = Self {
            session: Session { listeners: 0, ..session },
            ending: None,
            members: BTreeMap::new(),
            languages: BTreeMap::new(),
            told: BTreeMap::new(),
            turns: 0,
        };
        if let Some(speaker) = speaker {
            room.insert(speaker);
        }
        room
    }

    pub(super) fn member(&self, id: &ConnectionId) -> Option<&Connection> {
        self.members.get(id).map(|member| &member.record)
    }

    /// The member, if it is a listener.
    pub(super) fn listener(&self, id: &ConnectionId) -> Option<&Connection> {
        self.member(id).filter(|record| record.role.target().is_some())
    }

    pub(super) fn member_ids(&self) -> impl Iterator<Item = &ConnectionId> {
        self.members.keys()
    }

    pub(super) fn languages(&self) -> Vec<(Language, u32)> {
        self.languages.iter().map(|(language, count)| (*language, *count)).collect()
    }

    pub(super) fn longest_told(&self, told: &Told) -> Option<&Connection> {
        let of = |turn| (told.source, told.target, turn);
        let (_, id) = self.told.range(of(0)..=of(u64::MAX)).next()?;
        self.member(id)
    }

    /// Members in order of their ids.
    pub(super) fn page(&self, after: Option<&ConnectionId>, limit: usize) -> Vec<Connection> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let members = self.members.range::<ConnectionId, _>((start, Bound::Unbounded));
        members.take(limit).map(|(_, member)| member.record.clone()).collect()
    }

    /// When time ends it, if nothing happens.
    pub(super) fn deadline(&self) -> Millis {
        match self.session.speaker {
            Speaker::Present(_) => self.session.expires_at,
            Speaker::Lost { until } => self.session.expires_at.min(until),
        }
    }

    /// Adds a member, or replaces what is kept of it.
    pub(super) fn insert(&mut self, record: Connection) {
        self.remove(&record.id);
        if let Role::Listener { target } = record.role {
            self.session.listeners += 1;
            *self.languages.entry(target).or_default() += 1;
        }
        let turn = self.turn_of(&record);
        self.members.insert(record.id.clone(), Member { record, turn });
    }

    pub(super) fn remove(&mut self, id: &ConnectionId) -> Option<Connection> {
        let Member { record, turn } = self.members.remove(id)?;
        if let Role::Listener { target } = record.role {
            self.session.listeners -= 1;
            self.leave_language(target);
            self.told.remove(&(record.source, target, turn));
        }
        Some(record)
    }

    /// Changes what is kept of a member but its language, and whether it was told.
    pub(super) fn note(&mut self, id: &ConnectionId, change: impl FnOnce(&mut Connection)) {
        let Some(member) = self.members.get_mut(id) else { return };
        let was_told = member.record.told.is_some();
        change(&mut member.record);
        if !was_told && member.record.told.is_some() {
            let record = member.record.clone();
            let turn = self.turn_of(&record);
            if let Some(member) = self.members.get_mut(id) {
                member.turn = turn;
            }
        }
    }

    /// Changes a listener's language; its turn among the told stays.
    pub(super) fn retune(&mut self, id: &ConnectionId, target: Language) {
        let Some(member) = self.members.get_mut(id) else { return };
        let Role::Listener { target: was } = member.record.role else { return };
        member.record.role = Role::Listener { target };
        let (source, turn) = (member.record.source, member.turn);
        if let Some(told) = self.told.remove(&(source, was, turn)) {
            self.told.insert((source, target, turn), told);
        }
        self.leave_language(was);
        *self.languages.entry(target).or_default() += 1;
    }

    fn leave_language(&mut self, language: Language) {
        if let Some(count) = self.languages.get_mut(&language) {
            *count -= 1;
            if *count == 0 {
                self.languages.remove(&language);
            }
        }
    }

    /// The turn of a listener that was told, newly given; 0 for all others.
    fn turn_of(&mut self, record: &Connection) -> u64 {
        let (Role::Listener { target }, Some(_)) = (record.role, record.told) else { return 0 };
        self.turns += 1;
        self.told.insert((record.source, target, self.turns), record.id.clone());
        self.turns
    }
}

impl Waiters {
    pub(super) fn wait(&mut self) -> oneshot::Receiver<()> {
        let (waker, turn) = oneshot::channel();
        self.0.push(waker);
        turn
    }
}
