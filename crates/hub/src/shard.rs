//! Who writes: one task for each shard, which owns its groups and never waits for a socket.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::counters::Counters;
use crate::group::Group;
use crate::hub::Sessions;
use crate::outlet::Outlet;
use crate::session::Session;
use crate::settings::HubSettings;

/// The side of a shard that others see.
#[derive(Debug)]
pub(crate) struct Shard {
    index: usize,
    common: Arc<Common>,
    inbox: Mutex<Inbox>,
    bell: Notify,
}

/// What all shards of a hub share.
#[derive(Debug)]
pub(crate) struct Common {
    pub settings: HubSettings,
    pub counters: Counters,
}

#[derive(Debug, Default)]
struct Inbox {
    /// Sessions in which something has happened.
    sessions: Vec<Arc<Session>>,
    /// Outlets whose sockets have room again.
    writable: Vec<Arc<Outlet>>,
    /// Outlets to look at in every sweep.
    watched: Vec<Arc<Outlet>>,
    is_stopped: bool,
}

/// Sockets written to before other tasks have their turn: about a millisecond of work.
const SEATS_PER_TURN: usize = 128;

impl Shard {
    pub fn new(index: usize, common: Arc<Common>) -> Arc<Self> {
        Arc::new(Self { index, common, inbox: Mutex::default(), bell: Notify::new() })
    }

    pub fn index(&self) -> usize {
        self.index
    }

    pub fn settings(&self) -> &HubSettings {
        &self.common.settings
    }

    pub fn counters(&self) -> &Counters {
        &self.common.counters
    }

    pub fn now(&self) -> Instant {
        self.common.settings.clock.now()
    }

    /// Something has happened in this session.
    pub fn list(&self, session: Arc<Session>) {
        self.post(|inbox| inbox.sessions.push(session));
    }

    /// This outlet's socket has room again.
    pub fn wake_writable(&self, outlet: Arc<Outlet>) {
        self.post(|inbox| inbox.writable.push(outlet));
    }

    /// This outlet is to be looked at in every sweep.
    pub fn watch(&self, outlet: Arc<Outlet>) {
        self.post(|inbox| inbox.watched.push(outlet));
    }

    /// Ends the task, and lets go of all that waited for it.
    pub fn stop(&self) {
        self.post(|inbox| *inbox = Inbox { is_stopped: true, ..Inbox::default() });
    }

    /// All that has come in, unless it has been stopped.
    fn take(&self) -> Option<Inbox> {
        let mut inbox = self.inbox.lock();
        (!inbox.is_stopped).then(|| mem::take(&mut *inbox))
    }

    fn post(&self, change: impl FnOnce(&mut Inbox)) {
        let mut inbox = self.inbox.lock();
        if inbox.is_stopped {
            return;
        }
        change(&mut inbox);
        drop(inbox);
        self.bell.notify_one();
    }
}

/// The task's own side of a shard.
pub(crate) struct Worker {
    shard: Arc<Shard>,
    groups: HashMap<u64, Group>,
    /// Groups with something to deliver at their due time, in the order they have their turns.
    ready: VecDeque<u64>,
    writable: VecDeque<Arc<Outlet>>,
    watched: Vec<Arc<Outlet>>,
    next_sweep: Instant,
    /// The first shard also trims the histories of sessions in which nothing happens.
    sessions: Option<Arc<Sessions>>,
}

/// What the task does after a turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another turn, after the other tasks have had theirs.
    Again,
    /// Nothing until then, unless the bell rings.
    Rest(Instant),
    Stop,
}

impl Worker {
    pub fn new(shard: Arc<Shard>, sessions: Option<Arc<Sessions>>) -> Self {
        let next_sweep = shard.now() + shard.settings().sweep;
        Self {
            shard,
            groups: HashMap::new(),
            ready: VecDeque::new(),
            writable: VecDeque::new(),
            watched: Vec::new(),
            next_sweep,
            sessions,
        }
    }

    pub async fn run(mut self) {
        let shard = Arc::clone(&self.shard);
        loop {
            match self.turn(shard.now()) {
                Next::Stop => return,
                Next::Again => tokio::task::yield_now().await,
                Next::Rest(until) => {
                    let rest = until.saturating_duration_since(shard.now());
                    // A clock turned by hand does not say how long to sleep.
                    let rest = rest.min(shard.settings().sweep);
                    let _ = tokio::time::timeout(rest, shard.bell.notified()).await;
                }
            }
        }
    }

    /// A bounded piece of work.
    pub fn turn(&mut self, now: Instant) -> Next {
        let Some(inbox) = self.shard.take() else { return Next::Stop };
        self.watched.extend(inbox.watched);
        self.writable.extend(inbox.writable);
        for session in inbox.sessions {
            self.absorb(session, now);
        }
        let is_busy = self.resume_some() | self.deliver_some(now);
        if now >= self.next_sweep {
            self.sweep(now);
        }
        if is_busy {
            return Next::Again;
        }
        let due = self.ready.iter().filter_map(|number| self.groups[number].due());
        Next::Rest(due.chain([self.next_sweep]).min().unwrap_or(now))
    }

    fn absorb(&mut self, session: Arc<Session>, now: Instant) {
        let number = session.number;
        let group = self.groups.entry(number).or_insert_with(|| Group::new(session));
        group.absorb(&self.shard, now);
        if group.is_empty() {
            let group = self.groups.remove(&number);
            if group.is_some_and(|group| group.is_listed) {
                self.ready.retain(|ready| *ready != number);
            }
        } else if group.due().is_some() && !mem::replace(&mut group.is_listed, true) {
            self.ready.push_back(number);
        }
    }

    /// Goes on with sockets that have room again; says whether more wait.
    fn resume_some(&mut self) -> bool {
        let some = self.writable.len().min(SEATS_PER_TURN);
        for outlet in self.writable.drain(..some) {
            outlet.resume();
        }
        !self.writable.is_empty()
    }

    /// Gives the groups that are due their turns; says whether some may be due after it.
    fn deliver_some(&mut self, now: Instant) -> bool {
        let mut left = SEATS_PER_TURN;
        while left > 0 {
            let is_due = |number: &u64| self.groups[number].due().is_some_and(|due| due <= now);
            let Some(at) = self.ready.iter().position(is_due) else { return false };
            let Some(number) = self.ready.remove(at) else { return false };
            let Some(group) = self.groups.get_mut(&number) else { return false };
            if !group.deliver(&self.shard, &mut left) {
                self.ready.push_back(number);
                return true;
            }
            // What has happened meanwhile was left where it was.
            group.is_listed = false;
            let session = group.session();
            self.absorb(session, now);
        }
        true
    }

    fn sweep(&mut self, now: Instant) {
        self.watched.retain(|outlet| outlet.inspect(now));
        self.watched.shrink_to(SEATS_PER_TURN);
        if let Some(sessions) = &self.sessions {
            sessions.read().values().for_each(|session| session.trim(now));
        }
        self.next_sweep = now + self.shard.settings().sweep;
    }
}

#[cfg(test)]
impl Worker {
    /// Whether it remembers nobody.
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.ready.is_empty() && self.watched.is_empty()
    }
}
