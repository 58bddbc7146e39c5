//! What is followed, and how far each topic was heard. No IO, no clock.

use std::collections::{HashMap, VecDeque};

use ambo_app::ports::StoreFault;
use tokio::sync::oneshot;

use super::BusCounters;
use super::reading::{Backlog, Kept, PAGE};
use super::topic::{Entry, EntryId, Since, Topic};

/// Tells who follows a topic what is kept of it.
pub(super) type Answer = oneshot::Sender<Result<Vec<Entry>, StoreFault>>;

/// Every followed topic by the key of its stream.
#[derive(Default)]
pub(super) struct Followings {
    all: HashMap<String, Following>,
    /// Topics that are to be read, the longest waiting first.
    due: VecDeque<String>,
    /// How many were ever begun; tells a topic's following from a former one.
    begun: u64,
}

/// One followed topic.
struct Following {
    topic: Topic,
    number: u64,
    /// The last entry handed on; none before the backlog was read.
    last: Option<EntryId>,
    /// Who waits for the backlog.
    waiting: Option<(Since, Answer)>,
    /// The newest entry that was told but could not be handed on, since another comes before it.
    missed: Option<EntryId>,
    state: State,
    /// Whether nothing was told since the last look.
    is_quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing to read.
    Level,
    /// To be read: it is in the queue.
    Due,
    /// Being read, or what was read is being handed on.
    Reading,
    /// The same, and to be read once more.
    ReadingAndDue,
}

/// A reading that is to be made.
pub(super) struct Task {
    pub(super) key: String,
    pub(super) number: u64,
    pub(super) topic: Topic,
    pub(super) wish: Wish,
}

/// What is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Backlog(Since),
    /// What comes after this entry; and an entry of which is known that it does.
    Page {
        after: EntryId,
        missed: Option<EntryId>,
    },
}

/// What to do with an entry that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Hand it on.
    Next(Topic),
    /// Nothing: it was handed on already.
    Known,
    /// Nothing: it will be read from the stream.
    Later,
    /// Nothing: the topic is not followed.
    Foreign,
}

impl Followings {
    /// Begins to follow a topic, instead of a former time.
    pub(super) fn begin(&mut self, key: String, topic: Topic, since: Since, answer: Answer) {
        self.begun += 1;
        let following = Following {
            topic,
            number: self.begun,
            last: None,
            waiting: Some((since, answer)),
            missed: None,
            state: State::Level,
            is_quiet: false,
        };
        self.all.insert(key, following);
    }

    /// Whether it was followed.
    pub(super) fn end(&mut self, key: &str) -> Option<()> {
        self.all.remove(key).map(drop)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.all.keys()
    }

    /// Whether this is still the time a topic is followed.
    pub(super) fn has(&self, key: &str, number: u64) -> bool {
        self.all.get(key).is_some_and(|following| following.number == number)
    }

    /// Wants a topic to be read: entries may have gone by untold.
    pub(super) fn doubt(&mut self, key: &str) {
        let Some(following) = self.all.get_mut(key) else { return };
        match following.state {
            State::Level => {
                following.state = State::Due;
                self.due.push_back(key.into());
            }
            State::Reading => following.state = State::ReadingAndDue,
            State::Due | State::ReadingAndDue => {}
        }
    }

    /// Doubts every topic of which nothing was told since this was called last.
    pub(super) fn doubt_quiet(&mut self) {
        let mut quiet = Vec::new();
        for (key, following) in &mut self.all {
            if std::mem::replace(&mut following.is_quiet, true) && following.last.is_some() {
                quiet.push(key.clone());
            }
        }
        for key in quiet {
            self.doubt(&key);
        }
    }

    /// Takes note of an entry that was told, and of the one before it.
    pub(super) fn hear(&mut self, key: &str, before: EntryId, id: EntryId) -> Heard {
        let Some(following) = self.all.get_mut(key) else { return Heard::Foreign };
        following.is_quiet = false;
        let Some(last) = following.last else {
            following.missed = following.missed.max(Some(id));
            return Heard::Later;
        };
        if id <= last {
            return Heard::Known;
        }
        // One before it that is older than the last handed on means that the stream was emptied.
        if before <= last && matches!(following.state, State::Level | State::Due) {
            following.last = Some(id);
            return Heard::Next(following.topic.clone());
        }
        self.miss(key, id);
        Heard::Later
    }

    /// Takes note of an entry that was told and cannot be handed on now.
    pub(super) fn miss(&mut self, key: &str, id: EntryId) {
        let Some(following) = self.all.get_mut(key) else { return };
        following.missed = following.missed.max(Some(id));
        let is_new = following.last.is_some_and(|last| id > last);
        if is_new && following.state == State::Level {
            self.doubt(key);
        }
    }

    /// The next reading that is to be made.
    pub(super) fn next(&mut self) -> Option<Task> {
        loop {
            let key = self.due.pop_front()?;
            // A topic that was followed anew waits for its subscription, and is then due again.
            let Some(following) = self.all.get_mut(&key).filter(|it| it.state == State::Due) else {
                continue;
            };
            following.state = State::Reading;
            let missed = following.missed.take();
            let wish = match (following.last, &following.waiting) {
                (Some(after), _) => Wish::Page { after, missed },
                (None, Some((since, _))) => Wish::Backlog(*since),
                (None, None) => continue,
            };
            let (number, topic) = (following.number, following.topic.clone());
            return Some(Task { key, number, topic, wish });
        }
    }

    /// Answers the one who waits with the backlog. Nothing when nobody waits any more.
    pub(super) fn open(&mut self, task: &Task, backlog: Backlog) -> Option<()> {
        let Some(following) = self.current(task) else { return Some(()) };
        following.last = Some(backlog.top);
        let (_, answer) = following.waiting.take()?;
        let topic = &following.topic;
        let entries = backlog.entries.into_iter();
        let entries = entries.map(|(id, payload)| Entry { topic: topic.clone(), id, payload });
        answer.send(Ok(entries.collect())).ok()?;
        self.settle(task);
        Some(())
    }

    /// What of a page is to be handed on. Call [`settle`](Self::settle) once it is.
    pub(super) fn fill(
        &mut self,
        task: &Task,
        mut page: Vec<Kept>,
        counters: &BusCounters,
    ) -> Vec<Kept> {
        let Wish::Page { missed, .. } = task.wish else { return Vec::new() };
        let Some(following) = self.current(task) else { return Vec::new() };
        if page.len() == PAGE {
            following.state = State::ReadingAndDue;
        }
        let last = following.last.unwrap_or_default();
        page.retain(|entry| entry.id > last);
        match page.first() {
            Some(first) if first.after > last => counters.lost.one(),
            Some(_) => counters.healed.one(),
            // It was told, but went with its stream before it was read.
            None if missed > Some(last) => counters.lost.one(),
            None => {}
        }
        following.last = page.last().map_or(following.last, |newest| Some(newest.id));
        page
    }

    /// Ends a reading whose entries are handed on.
    pub(super) fn settle(&mut self, task: &Task) {
        let Some(following) = self.current(task) else { return };
        let is_due = following.state == State::ReadingAndDue || following.missed > following.last;
        following.state = State::Level;
        if is_due {
            self.doubt(&task.key);
        }
    }

    /// Ends a reading that failed, and wants it again. Nothing when nobody waits any more.
    pub(super) fn retry(&mut self, task: &Task) -> Option<()> {
        let Some(following) = self.current(task) else { return Some(()) };
        if let Wish::Page { missed, .. } = task.wish {
            following.missed = following.missed.max(missed);
        }
        following.state = State::Level;
        let is_wanted = following.waiting.as_ref().is_none_or(|(_, answer)| !answer.is_closed());
        self.doubt(&task.key);
        is_wanted.then_some(())
    }

    /// The topic of a reading, if it is still followed as it was.
    fn current(&mut self, task: &Task) -> Option<&mut Following> {
        self.all.get_mut(&task.key).filter(|following| following.number == task.number)
    }
}
