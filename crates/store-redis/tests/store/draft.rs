//! Sessions, connections and changes in a few words.

use ambo_core::{
    Change, Connection, ConnectionId, EndGuard, Language, Millis, Moment, QualityTier, Role,
    Session, SessionId, SourceAddress, Speaker, UserId,
};

pub const NOW: Millis = Millis(1_700_000_000_000);
pub const LIFE: Millis = Millis::from_mins(120);
pub const GRACE: Millis = Millis::from_secs(30);

/// A session of this name, and its speaker's connection.
pub fn session(name: &str) -> (Session, Connection) {
    let id = SessionId::parse(&format!("{name}-session-100")).unwrap();
    let speaker = ConnectionId::parse(&format!("nodea.{name}")).unwrap();
    let session = Session {
        id: id.clone(),
        owner: UserId::parse("ann").unwrap(),
        source_language: language("en"),
        quality: QualityTier::Standard,
        created_at: NOW,
        expires_at: NOW + LIFE,
        paused: false,
        muted: false,
        last_state_change: NOW,
        speaker: Speaker::Present(speaker.clone()),
        listeners: 0,
    };
    (session, Connection::new(speaker, id, Role::Speaker, source(), NOW))
}

/// A listener by this id.
pub fn listener(session: &Session, id: &str) -> Connection {
    let role = Role::Listener { target: language("es") };
    let id = ConnectionId::parse(id).unwrap();
    Connection::new(id, session.id.clone(), role, source(), NOW)
}

pub fn open((session, connection): &(Session, Connection)) -> Change {
    Change::Open { session: session.clone(), connection: connection.clone() }
}

pub fn admit(connection: &Connection) -> Change {
    Change::Admit { connection: connection.clone(), max: 500, now: NOW }
}

pub fn lose(speaker: &Connection) -> Change {
    let (session, connection) = (speaker.session.clone(), speaker.id.clone());
    let moment = Moment { after: NOW, at: NOW + Millis(1) };
    Change::Lose { session, connection, until: NOW + GRACE, moment }
}

pub fn end(session: &Session) -> Change {
    Change::End { session: session.id.clone(), guard: EndGuard::Present }
}

fn language(code: &str) -> Language {
    Language::parse(code).unwrap()
}

fn source() -> SourceAddress {
    SourceAddress::of([192, 0, 2, 1].into())
}
