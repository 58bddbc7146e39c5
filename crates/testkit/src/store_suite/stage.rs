//! What the cases are played on: fresh names, short words for changes, and a whole view.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ambo_app::ports::{Page, Store};
use ambo_core::rules::{OfSession, Seen, Wanted};
use ambo_core::{
    Applied, Change, Connection, ConnectionId, EndGuard, Language, Millis, Moment, QualityTier,
    Role, Secret, Session, SessionId, SourceAddress, Speaker, UserId,
};

use super::{Ended, LimitClock, Subject};

/// A store, a time and names that nobody else uses.
#[derive(Clone)]
pub struct Stage {
    pub(super) store: Arc<dyn Store>,
    pub(super) ended: Ended,
    pub(super) clock: LimitClock,
    pub(super) now: Millis,
    names: Arc<Names>,
}

/// All that the port shows of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) session: Option<Session>,
    pub(super) members: Vec<Connection>,
    pub(super) languages: Vec<(Language, u32)>,
}

struct Names {
    run: u64,
    next: AtomicU64,
}

/// A session's life in these cases, unless they say otherwise.
pub(super) const LIFE: Millis = Millis::from_mins(120);
/// Places in a session, unless a case says otherwise.
pub(super) const PLACES: u32 = 500;

pub(super) fn en() -> Language {
    Language::parse("en").unwrap()
}

pub(super) fn es() -> Language {
    Language::parse("es").unwrap()
}

pub(super) fn de() -> Language {
    Language::parse("de").unwrap()
}

pub(super) fn ann() -> UserId {
    UserId::parse("ann").unwrap()
}

pub(super) fn seconds(count: u64) -> Millis {
    Millis::from_secs(count)
}

impl Stage {
    pub(super) fn new(subject: &Subject) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        // The time is the true one: a store may throw away by itself what is long over.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let run = (since.as_micros() as u64).rotate_left(20)
            ^ (u64::from(std::process::id()) << 44)
            ^ RUNS.fetch_add(1, Ordering::Relaxed);
        Self {
            store: Arc::clone(&subject.store),
            ended: subject.ended,
            clock: subject.clock,
            now: Millis(since.as_millis() as u64),
            names: Arc::new(Names { run, next: AtomicU64::new(0) }),
        }
    }

    /// The same stage at a later time.
    pub(super) fn after(&self, span: Millis) -> Self {
        Self { now: self.now + span, ..self.clone() }
    }

    /// The same stage with its clock set back.
    pub(super) fn before(&self, span: Millis) -> Self {
        Self { now: self.now - span, ..self.clone() }
    }

    fn next(&self) -> u64 {
        self.names.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn session_id(&self) -> SessionId {
        let text = format!("t{}-{}-100", letters(self.names.run), letters(self.next()));
        SessionId::parse(&text).unwrap()
    }

    pub(super) fn connection_id(&self) -> ConnectionId {
        ConnectionId::parse(&format!("{:x}.{:x}", self.names.run, self.next())).unwrap()
    }

    /// An address that nobody else comes from.
    pub(super) fn source(&self) -> SourceAddress {
        let network = self.names.run.wrapping_add(self.next() << 32);
        SourceAddress::of(std::net::Ipv6Addr::from(u128::from(network) << 64).into())
    }

    /// A session that is not there yet, and its speaker's connection.
    pub(super) fn draft(&self) -> (Session, Connection) {
        let (id, connection) = (self.session_id(), self.connection_id());
        let session = Session {
            id: id.clone(),
            owner: ann(),
            source_language: en(),
            quality: QualityTier::Standard,
            created_at: self.now,
            expires_at: self.now + LIFE,
            paused: false,
            muted: false,
            last_state_change: self.now,
            speaker: Speaker::Present(connection.clone()),
            listeners: 0,
        };
        let speaker = Connection::new(connection, id, Role::Speaker, self.source(), self.now);
        (session, speaker)
    }

    /// A session that is there, and its speaker's connection.
    pub(super) async fn opened(&self) -> (Session, Connection) {
        let (session, connection) = self.draft();
        let open = Change::Open { session: session.clone(), connection: connection.clone() };
        assert_eq!(self.commit(&open).await, Applied::Done);
        (session, connection)
    }

    /// A connection for the speaker of a session.
    pub(super) fn speaker(&self, session: &Session) -> Connection {
        let id = self.connection_id();
        Connection::new(id, session.id.clone(), Role::Speaker, self.source(), self.now)
    }

    /// A listener that is no member yet.
    pub(super) fn listener(&self, session: &Session, target: Language) -> Connection {
        let (id, role) = (self.connection_id(), Role::Listener { target });
        Connection::new(id, session.id.clone(), role, self.source(), self.now)
    }

    /// Listeners that are members.
    pub(super) async fn admitted(&self, session: &Session, count: usize) -> Vec<Connection> {
        let mut admitted = Vec::new();
        for _ in 0..count {
            let listener = self.listener(session, es());
            assert_eq!(self.commit(&self.admit(&listener, PLACES)).await, Applied::Done);
            admitted.push(listener);
        }
        admitted
    }

    /// A listener that is a member.
    pub(super) async fn admitted_one(&self, session: &Session) -> Connection {
        self.admitted(session, 1).await.remove(0)
    }

    pub(super) fn admit(&self, connection: &Connection, max: u32) -> Change {
        Change::Admit { connection: connection.clone(), max, now: self.now }
    }

    /// A speaker's new connection. Where the speaker is there, the state does not change.
    pub(super) fn attach(&self, connection: &Connection, was: Speaker) -> Change {
        Change::Attach {
            connection: connection.clone(),
            owner: ann(),
            was,
            expires_at: self.now + LIFE,
            now: self.now,
            moment: Moment { after: self.now, at: self.now },
        }
    }

    /// The connection of a speaker that comes back to a session that awaits it.
    pub(super) fn come_back(&self, connection: &Connection, session: &Session) -> Change {
        Change::Attach {
            connection: connection.clone(),
            owner: ann(),
            was: session.speaker.clone(),
            expires_at: self.now + LIFE,
            now: self.now,
            moment: session.moment(self.now),
        }
    }

    pub(super) fn carry(&self, from: &Connection, to: &Connection) -> Change {
        Change::Move { from: from.id.clone(), to: to.clone(), now: self.now }
    }

    /// A sign of life at this stage's time, on what is kept of the connection.
    pub(super) fn touch(&self, row: &Connection) -> Change {
        Change::Touch {
            connection: row.id.clone(),
            was_seen: row.seen_at,
            seen_at: self.now,
            beats: row.beats,
            told: None,
            warned: false,
            extend: None,
        }
    }

    /// What tells a connection to refresh.
    pub(super) fn tell(&self, row: &Connection, secret: u8) -> Change {
        Change::Touch {
            connection: row.id.clone(),
            was_seen: row.seen_at,
            seen_at: row.seen_at,
            beats: row.beats,
            told: Some(Secret([secret; 16])),
            warned: false,
            extend: None,
        }
    }

    /// The loss of this speaker, as it is decided on what was seen of the session.
    pub(super) fn lose(&self, speaker: &Connection, session: &Session) -> Change {
        Change::Lose {
            session: session.id.clone(),
            connection: speaker.id.clone(),
            until: self.now + seconds(30),
            moment: session.moment(self.now),
        }
    }

    pub(super) async fn commit(&self, change: &Change) -> Applied {
        self.store.commit(change).await.unwrap()
    }

    /// The change is applied, and repeating it changes nothing.
    pub(super) async fn done(&self, session: &SessionId, change: &Change) -> View {
        assert_eq!(self.commit(change).await, Applied::Done, "{change:?}");
        let after = self.view(session).await;
        assert_eq!(self.commit(change).await, Applied::Done, "repeated: {change:?}");
        assert_eq!(self.view(session).await, after, "repeated: {change:?}");
        after
    }

    /// The change's guard fails, and nothing is changed.
    pub(super) async fn stale(&self, session: &SessionId, change: &Change) {
        let before = self.view(session).await;
        assert_eq!(self.commit(change).await, Applied::Stale, "{change:?}");
        assert_eq!(self.view(session).await, before, "{change:?}");
    }

    pub(super) async fn end(&self, session: &SessionId) {
        let change = Change::End { session: session.clone(), guard: EndGuard::Present };
        assert_eq!(self.commit(&change).await, Applied::Done);
    }

    pub(super) async fn load(&self, wanted: &Wanted) -> Seen {
        self.store.load(wanted).await.unwrap()
    }

    pub(super) async fn session(&self, id: &SessionId) -> Option<Session> {
        self.load(&of_session(id)).await.session
    }

    pub(super) async fn own(&self, id: &ConnectionId) -> Option<Connection> {
        self.load(&Wanted { own: Some(id.clone()), ..Wanted::default() }).await.own
    }

    /// Everything of a session. The count is held against the members at every look.
    pub(super) async fn view(&self, id: &SessionId) -> View {
        let seen = self.load(&Wanted { languages: true, ..of_session(id) }).await;
        let members = if seen.session.is_some() { self.members(id, 100).await } else { Vec::new() };
        let listeners = members.iter().filter(|member| member.role != Role::Speaker).count();
        if let Some(session) = &seen.session {
            assert_eq!(session.listeners as usize, listeners, "the count is the members");
            let spoken: u32 = seen.languages.iter().map(|(_, count)| count).sum();
            assert_eq!(session.listeners, spoken, "the count is the sum of the languages");
        }
        View { session: seen.session, members, languages: seen.languages }
    }

    /// All members over all pages, in order of their ids.
    pub(super) async fn members(&self, id: &SessionId, limit: usize) -> Vec<Connection> {
        let mut members: Vec<Connection> = Vec::new();
        loop {
            let after = members.last().map(|member| member.id.clone());
            let page = Page { after: after.as_ref(), limit };
            let page = self.store.members(id, page).await.unwrap();
            assert!(page.len() <= limit, "a page of {} for {limit}", page.len());
            let is_last = page.is_empty();
            members.extend(page);
            if is_last {
                members.sort_by(|a, b| a.id.cmp(&b.id));
                return members;
            }
        }
    }

    /// Runs all of them at once, each in a task of its own.
    pub(super) async fn at_once<T, F>(&self, runs: impl IntoIterator<Item = F>) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let tasks: Vec<_> = runs.into_iter().map(tokio::spawn).collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes
    }

    /// Commits all of them at once.
    pub(super) async fn race(&self, changes: impl IntoIterator<Item = Change>) -> Vec<Applied> {
        let commit = |change: Change| {
            let store = Arc::clone(&self.store);
            async move { store.commit(&change).await.unwrap() }
        };
        self.at_once(changes.into_iter().map(commit)).await
    }
}

impl View {
    /// The session, which is there.
    pub(super) fn session(&self) -> &Session {
        self.session.as_ref().unwrap()
    }

    /// The member, if it is there.
    pub(super) fn member(&self, id: &ConnectionId) -> Option<&Connection> {
        self.members.iter().find(|member| member.id == *id)
    }

    pub(super) fn listeners(&self) -> u32 {
        self.session().listeners
    }
}

pub(super) fn of_session(id: &SessionId) -> Wanted {
    Wanted { session: OfSession::Named(id.clone()), ..Wanted::default() }
}

/// How many were done.
pub(super) fn done(outcomes: &[Applied]) -> usize {
    outcomes.iter().filter(|applied| **applied == Applied::Done).count()
}

/// A number in letters, since session ids have no digits to spare.
fn letters(mut number: u64) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}
