//! A listener, as programs use it.

use std::sync::Arc;

use ambo_core::{Language, SessionId};
use tokio::sync::mpsc;

use crate::event::Closed;
use crate::events::Events;
use crate::input::Command;
use crate::machine::Role;
use crate::server::Server;
use crate::shell;
use crate::speaker::SendError;
use crate::timing::Timing;

/// What a listener wants.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Where to listen.
    pub session: SessionId,
    /// What to hear.
    pub language: Language,
    /// Limits.
    pub timing: Timing,
}

impl ListenerOptions {
    /// This session in this language.
    pub fn new(session: SessionId, language: Language) -> Self {
        Self { session, language, timing: Timing::default() }
    }
}

/// A listener of a session. Clones are the same listener; it leaves when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Listener {
    commands: mpsc::Sender<Command>,
    session_id: Arc<str>,
}

impl Listener {
    /// Joins. The first attempt is the only one: what keeps it from succeeding is often a mistake
    /// in the address or the id.
    pub async fn connect(
        server: &Server,
        options: ListenerOptions,
    ) -> Result<(Self, Events), Closed> {
        let ListenerOptions { session, language, timing } = options;
        let role = Role::Listener { session, language };
        let (commands, session, events) = shell::start(server, None, role, timing).await?;
        Ok((Self { commands, session_id: session.into() }, events))
    }

    /// The session.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Hears another language from now on.
    pub async fn change_language(&self, language: Language) -> Result<(), SendError> {
        self.command(Command::ChangeLanguage { target: language.to_string() }).await
    }

    /// Goes.
    pub async fn leave(&self) -> Result<(), SendError> {
        self.command(Command::Leave).await
    }

    /// The network may be back: comes back now if the connection is lost, else checks it.
    pub async fn wake(&self) -> Result<(), SendError> {
        self.command(Command::Wake).await
    }

    async fn command(&self, command: Command) -> Result<(), SendError> {
        self.commands.send(command).await.map_err(|_| SendError::Closed)
    }
}
