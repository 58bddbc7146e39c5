//! Every number a rule obeys, in one place. A zero turns the thing off.

use alloc::string::String;

use crate::bucket::Rate;
use crate::connection::ConnectionId;
use crate::stamp::Millis;
use crate::text::{SourceAddress, UserId};

/// The numbers of a deployment. Defaults are those of the wire contract, §5 and §6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Listeners in one session.
    pub max_listeners: u32,
    /// A session's life without a sign of its speaker.
    pub session_max_duration: Millis,
    /// How long a lost speaker is awaited.
    pub speaker_grace: Millis,
    /// The age at which a connection is told to refresh.
    pub connection_refresh: Millis,
    /// The age at which it is warned.
    pub connection_warning: Millis,
    /// The age at which it is closed.
    pub connection_max_duration: Millis,
    /// The silence after which a member is taken as gone.
    pub heartbeat_timeout: Millis,
    /// Sessions created, by user.
    pub sessions: Rate,
    /// Joins that named no session, by source address.
    pub refused_joins: Rate,
    /// Joins, by source address.
    pub joins: Rate,
    /// Connection attempts, by source address.
    pub connects: Rate,
    /// Heartbeats, by connection.
    pub heartbeats: Rate,
    /// Control messages, by connection.
    pub control: Rate,
    /// Audio frames, by connection.
    pub audio: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        let minute = Millis::from_mins(1);
        Self {
            max_listeners: 500,
            session_max_duration: Millis::from_mins(120),
            speaker_grace: Millis::from_secs(30),
            connection_refresh: Millis::from_mins(100),
            connection_warning: Millis::from_mins(105),
            connection_max_duration: Millis::from_mins(120),
            heartbeat_timeout: Millis::from_secs(90),
            sessions: Rate::new(50, Millis::from_mins(60)),
            refused_joins: Rate::new(60, minute),
            joins: Rate::new(600, minute),
            connects: Rate::new(1_200, minute),
            heartbeats: Rate { amount: 2, per: minute, burst: 4 },
            control: Rate::new(10, Millis::from_secs(1)),
            audio: Rate { amount: 100, per: Millis::from_secs(1), burst: 200 },
        }
    }
}

impl Limits {
    /// The rate of an operation.
    pub const fn rate(&self, operation: Operation) -> Rate {
        match operation {
            Operation::CreateSession => self.sessions,
            Operation::RefusedJoin => self.refused_joins,
            Operation::JoinSession => self.joins,
            Operation::Connect => self.connects,
            Operation::Heartbeat => self.heartbeats,
            Operation::Control => self.control,
            Operation::Status => Rate::new(1, Millis::from_secs(1)),
            Operation::Audio => self.audio,
        }
    }
}

/// What is counted by a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Making sessions.
    CreateSession,
    /// Joining what is not there.
    RefusedJoin,
    /// Joining.
    JoinSession,
    /// Connecting at all.
    Connect,
    /// Heartbeats.
    Heartbeat,
    /// Control messages.
    Control,
    /// Telling a speaker who listens without being asked, where no process sees all of a session.
    Status,
    /// Audio frames.
    Audio,
}

impl Operation {
    /// Its name on the wire, in stores and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateSession => "createSession",
            Self::RefusedJoin => "refusedJoin",
            Self::JoinSession => "joinSession",
            Self::Connect => "connect",
            Self::Heartbeat => "heartbeat",
            Self::Control => "control",
            Self::Status => "status",
            Self::Audio => "audio",
        }
    }
}

/// One bucket: what is counted, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LimitKey {
    /// What is counted.
    pub operation: Operation,
    /// For whom.
    pub identity: Identity,
}

/// For whom a limit counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// A user.
    User(UserId),
    /// A source address.
    Source(SourceAddress),
    /// A connection.
    Connection(ConnectionId),
}

impl LimitKey {
    /// The key as text, `{operation}:{type}:{value}`, for stores that keep rows by name.
    pub fn to_text(&self) -> String {
        use core::fmt::Write as _;
        let mut text = String::from(self.operation.as_str());
        match &self.identity {
            Identity::User(user) => {
                text.push_str(":user:");
                text.push_str(user.as_str());
            }
            Identity::Source(source) => {
                text.push_str(":ip:");
                for byte in source.as_bytes() {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "{byte:02x}");
                }
            }
            Identity::Connection(connection) => {
                text.push_str(":connection:");
                text.push_str(connection.as_str());
            }
        }
        text
    }
}
