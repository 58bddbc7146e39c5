//! The sockets: who sits where, and what was heard there.

use std::collections::{HashMap, HashSet};

use ambo_app::ports::Outbox;
use ambo_core::{Audience, ConnectionId, Millis, Notice, Reply, SessionId, SourceAddress, Tidings};
use async_trait::async_trait;
use parking_lot::Mutex;

/// Everybody's sockets. As the outbox it brings notices to those who sit in a session at that
/// moment; as the hub it tells one who sits down in a session that has ended that it has.
#[derive(Default)]
pub struct Hall(Mutex<Inside>);

#[derive(Default)]
struct Inside {
    sockets: HashMap<ConnectionId, Socket>,
    ended: HashMap<SessionId, Tidings>,
    /// Everything delivered, in order, whoever heard it.
    notices: Vec<Notice>,
}

#[derive(Default)]
struct Socket {
    source: Option<SourceAddress>,
    seat: Option<Seat>,
    replies: Vec<Reply>,
    heard: Vec<Tidings>,
    /// Where it has sat and not gone: it must hear of the end.
    owed: HashSet<SessionId>,
    /// The ends it has heard of. A server closes it then; it does not hear of them twice.
    told: HashSet<SessionId>,
}

struct Seat {
    session: SessionId,
    listens: bool,
}

impl Hall {
    /// Notes where a connection comes from.
    pub fn comes_from(&self, connection: &ConnectionId, source: SourceAddress) {
        self.0.lock().socket(connection).source = Some(source);
    }

    /// Where a connection comes from, if that was noted.
    pub fn source(&self, connection: &ConnectionId) -> Option<SourceAddress> {
        self.0.lock().sockets.get(connection)?.source
    }

    /// Writes a reply.
    pub fn reply(&self, connection: &ConnectionId, reply: &Reply) {
        let mut inside = self.0.lock();
        if let Reply::Created { session, .. } = reply {
            // An id may be used again.
            inside.ended.remove(session);
        }
        inside.socket(connection).replies.push(reply.clone());
    }

    /// Gives a connection its seat. If the session has ended, it hears that at once.
    pub fn seat(&self, connection: &ConnectionId, session: &SessionId, listens: bool) {
        let mut inside = self.0.lock();
        let ended = inside.ended.get(session).cloned();
        let socket = inside.socket(connection);
        match ended {
            Some(tidings) => socket.hear_end(session, &tidings),
            None => {
                socket.owed.insert(session.clone());
                socket.seat = Some(Seat { session: session.clone(), listens });
            }
        }
    }

    /// The socket is closed from outside; it hears nothing any more, and is owed nothing.
    pub fn close(&self, connection: &ConnectionId) {
        let mut inside = self.0.lock();
        let socket = inside.socket(connection);
        socket.seat = None;
        socket.owed.clear();
    }

    /// What was told to a connection without its asking.
    pub fn heard(&self, connection: &ConnectionId) -> Vec<Tidings> {
        self.0.lock().sockets.get(connection).map_or_else(Vec::new, |socket| socket.heard.clone())
    }

    /// What a connection was answered.
    pub fn replies(&self, connection: &ConnectionId) -> Vec<Reply> {
        let inside = self.0.lock();
        inside.sockets.get(connection).map_or_else(Vec::new, |socket| socket.replies.clone())
    }

    /// Everything that was delivered, in order.
    pub fn notices(&self) -> Vec<Notice> {
        self.0.lock().notices.clone()
    }

    /// Those who sit in a session.
    pub fn seated(&self, session: &SessionId) -> HashSet<ConnectionId> {
        let inside = self.0.lock();
        let sits =
            |socket: &Socket| socket.seat.as_ref().is_some_and(|seat| seat.session == *session);
        let seated = inside.sockets.iter().filter(|(_, socket)| sits(socket));
        seated.map(|(connection, _)| connection.clone()).collect()
    }

    /// Those who were let into a session, did not go, were not replaced and have not been told of
    /// its end.
    pub fn owed_an_end(&self, session: &SessionId) -> HashSet<ConnectionId> {
        let inside = self.0.lock();
        let owed = inside.sockets.iter().filter(|(_, socket)| socket.owed.contains(session));
        owed.map(|(connection, _)| connection.clone()).collect()
    }
}

#[async_trait]
impl Outbox for Hall {
    async fn deliver(&self, notice: &Notice, _now: Millis) {
        let mut inside = self.0.lock();
        inside.notices.push(notice.clone());
        match &notice.audience {
            Audience::Connection(connection) => inside.tell(connection, &notice.tidings),
            Audience::Listeners(session) => inside.tell_all(session, &notice.tidings, true),
            Audience::Everyone(session) => {
                inside.tell_all(session, &notice.tidings, false);
                if let Tidings::Ended { .. } = notice.tidings {
                    inside.ended.entry(session.clone()).or_insert(notice.tidings.clone());
                }
            }
        }
    }
}

impl Socket {
    fn hear_end(&mut self, session: &SessionId, tidings: &Tidings) {
        self.seat = None;
        self.owed.remove(session);
        if self.told.insert(session.clone()) {
            self.heard.push(tidings.clone());
        }
    }
}

impl Inside {
    fn socket(&mut self, connection: &ConnectionId) -> &mut Socket {
        self.sockets.entry(connection.clone()).or_default()
    }

    fn tell(&mut self, connection: &ConnectionId, tidings: &Tidings) {
        let socket = self.socket(connection);
        socket.heard.push(tidings.clone());
        if let Tidings::Superseded = tidings {
            socket.seat = None;
            socket.owed.clear();
        }
    }

    fn tell_all(&mut self, session: &SessionId, tidings: &Tidings, listeners_only: bool) {
        for socket in self.sockets.values_mut() {
            let Some(seat) = &socket.seat else { continue };
            if seat.session != *session || (listeners_only && !seat.listens) {
                continue;
            }
            match tidings {
                Tidings::Ended { .. } => socket.hear_end(session, tidings),
                other => socket.heard.push(other.clone()),
            }
        }
    }
}
