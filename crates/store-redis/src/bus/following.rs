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

#[cfg(test)]
mod tests {
    use ambo_core::SessionId;
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "topic";

    /// What can happen to a topic and to those who hear of it.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        /// An entry is published, and told.
        Told,
        /// An entry is published, and told while there is no room for it.
        Crowded,
        /// An entry is published, and its telling is lost.
        Untold,
        /// What was told last is told again.
        Repeated,
        /// A reading begins, reads, ends, and what it found is handed on.
        Begin,
        Read,
        Land,
        HandOn,
        Fail,
        /// The connection was made anew.
        Reconnect,
        /// Only so many entries are left.
        Trim(usize),
        Flush,
    }

    fn happening() -> impl Strategy<Value = Happening> {
        use Happening::{Begin, Crowded, Fail, Flush, HandOn, Land, Read, Reconnect, Repeated};
        prop_oneof![
            20 => Just(Happening::Told),
            3 => Just(Crowded),
            3 => Just(Happening::Untold),
            2 => Just(Repeated),
            10 => Just(Begin),
            10 => Just(Read),
            10 => Just(Land),
            10 => Just(HandOn),
            1 => Just(Fail),
            1 => Just(Reconnect),
            1 => (0_usize..20).prop_map(Happening::Trim),
            1 => Just(Flush),
        ]
    }

    /// A stream, a follower of it, and a reading under way.
    #[derive(Default)]
    struct Play {
        stream: Vec<(EntryId, EntryId)>,
        published: u64,
        thrown_away: usize,
        followings: Followings,
        answer: Option<oneshot::Receiver<Result<Vec<Entry>, StoreFault>>>,
        running: Option<(Task, Option<Found>)>,
        found: Option<(Task, Vec<Kept>)>,
        is_untold: bool,
        heard: Vec<EntryId>,
        counters: BusCounters,
    }

    enum Found {
        Backlog(Backlog),
        Page(Vec<Kept>),
    }

    impl Play {
        fn publish(&mut self) -> (EntryId, EntryId) {
            self.published += 1;
            let before = self.stream.last().map_or(EntryId::START, |(_, id)| *id);
            let entry = (before, EntryId(self.published, 1));
            self.stream.push(entry);
            entry
        }

        fn tell(&mut self, (before, id): (EntryId, EntryId)) {
            if let Heard::Next(_) = self.followings.hear(KEY, before, id) {
                self.heard.push(id);
            }
        }

        fn happen(&mut self, happening: Happening) {
            match happening {
                Happening::Told => {
                    let entry = self.publish();
                    self.tell(entry);
                }
                Happening::Crowded => {
                    let (_, id) = self.publish();
                    self.followings.miss(KEY, id);
                }
                Happening::Untold => {
                    self.publish();
                    self.is_untold = true;
                }
                Happening::Repeated => {
                    let last = self.stream.last().copied();
                    last.into_iter().for_each(|entry| self.tell(entry));
                }
                Happening::Begin if self.running.is_none() && self.found.is_none() => {
                    self.running = self.followings.next().map(|task| (task, None));
                }
                Happening::Read => self.read(),
                Happening::Land => self.land(),
                Happening::HandOn => {
                    let Some((task, page)) = self.found.take() else { return };
                    self.heard.extend(page.iter().map(|entry| entry.id));
                    self.followings.settle(&task);
                }
                Happening::Fail => {
                    if let Some((task, _)) = self.running.take() {
                        self.followings.retry(&task).unwrap();
                    }
                }
                Happening::Reconnect => self.followings.doubt(KEY),
                Happening::Trim(left) => {
                    let surplus = self.stream.len().saturating_sub(left);
                    self.thrown_away += self.stream.drain(..surplus).len();
                }
                Happening::Flush => {
                    self.thrown_away += self.stream.drain(..).len();
                }
                Happening::Begin => {}
            }
        }

        fn read(&mut self) {
            let Some((task, found @ None)) = &mut self.running else { return };
            let kept = |(after, id): &(EntryId, EntryId)| Kept {
                id: *id,
                after: *after,
                payload: bytes::Bytes::new(),
            };
            *found = Some(match task.wish {
                Wish::Backlog(_) => Found::Backlog(Backlog {
                    top: self.stream.last().map_or(EntryId::START, |(_, id)| *id),
                    entries: self.stream.iter().map(|(_, id)| (*id, bytes::Bytes::new())).collect(),
                }),
                Wish::Page { after, .. } => {
                    let page = self.stream.iter().filter(|(_, id)| *id > after);
                    Found::Page(page.take(PAGE).map(kept).collect())
                }
            });
        }

        fn land(&mut self) {
            let Some((task, Some(found))) = self.running.take_if(|(_, found)| found.is_some())
            else {
                return;
            };
            match found {
                Found::Backlog(backlog) => {
                    self.followings.open(&task, backlog).unwrap();
                    let answer = self.answer.take().unwrap().try_recv().unwrap().unwrap();
                    self.heard.extend(answer.iter().map(|entry| entry.id));
                }
                Found::Page(page) => {
                    let page = self.followings.fill(&task, page, &self.counters);
                    self.found = Some((task, page));
                }
            }
        }
    }

    proptest! {
        /// Whatever happens: nothing twice, nothing out of order, and in the end everything that
        /// the stream holds. Where nothing was thrown away, that is everything.
        #[test]
        fn all_is_heard_once(happenings in proptest::collection::vec(happening(), 0..250)) {
            let mut play = Play::default();
            let (answer, answered) = oneshot::channel();
            let topic = Topic::Session(SessionId::parse("a-b-100").unwrap());
            play.answer = Some(answered);
            play.followings.begin(KEY.into(), topic, Since::Kept, answer);
            play.followings.doubt(KEY);
            for happening in happenings {
                play.happen(happening);
            }
            // Only a new connection tells that something may have gone by untold.
            if play.is_untold {
                play.followings.doubt(KEY);
            }
            for _ in 0..100 {
                use Happening::{Begin, HandOn, Land, Read};
                [Begin, Read, Land, HandOn].into_iter().for_each(|it| play.happen(it));
            }
            prop_assert!(play.running.is_none() && play.followings.due.is_empty());
            prop_assert!(play.heard.is_sorted_by(|one, next| one < next), "{:?}", play.heard);
            for (_, id) in &play.stream {
                prop_assert!(play.heard.contains(id), "{id} of {:?}", play.heard);
            }
            if play.thrown_away == 0 {
                prop_assert_eq!(play.heard.len() as u64, play.published);
                prop_assert_eq!(play.counters.lost.total(), 0);
            }
        }
    }
}
