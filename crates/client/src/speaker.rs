//! A speaker, as programs use it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ambo_core::event::Command as Control;
use ambo_core::{Language, QualityTier, SessionId};
use ambo_wire::audio::Kind;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::event::Closed;
use crate::events::Events;
use crate::input::{Command, Frame};
use crate::machine::Role;
use crate::server::Server;
use crate::shell;
use crate::timing::Timing;
use crate::tokens::Tokens;

/// What a speaker wants.
#[derive(Clone, Debug)]
pub struct SpeakerOptions {
    /// Asked at each connect.
    pub tokens: Tokens,
    /// What is spoken.
    pub language: Language,
    /// What the session is to be.
    pub quality: QualityTier,
    /// A session to take up; `None` makes one.
    pub session: Option<SessionId>,
    /// Limits.
    pub timing: Timing,
}

impl SpeakerOptions {
    /// A new session in this language.
    pub fn new(tokens: Tokens, language: Language) -> Self {
        let (quality, timing) = (QualityTier::Standard, Timing::default());
        Self { tokens, language, quality, session: None, timing }
    }
}

/// The speaker of a session. Clones are the same speaker; when the last one is dropped, what was
/// said is sent and the session ends.
#[derive(Clone, Debug)]
pub struct Speaker {
    commands: mpsc::Sender<Command>,
    session_id: Arc<str>,
    payload_bytes: usize,
    /// The latest capture time given out: it must not go back when the clock does.
    captured: Arc<AtomicU64>,
}

/// Why a frame or a command was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client is done; its last event said why.
    #[error("the client is closed")]
    Closed,
    /// A payload has 1 byte to 32 KiB.
    #[error("a frame has 1 to {limit} bytes, not {given}")]
    Size {
        /// What was given.
        given: usize,
        /// What is allowed.
        limit: usize,
    },
}

impl Speaker {
    /// Creates a session, or takes one up. The first attempt is the only one: what keeps it from
    /// succeeding is often a mistake in the address or the token.
    pub async fn connect(
        server: &Server,
        options: SpeakerOptions,
    ) -> Result<(Self, Events), Closed> {
        let SpeakerOptions { tokens, language, quality, session, timing } = options;
        let payload_bytes = timing.payload_bytes;
        let role = Role::Speaker { session, language, quality };
        let (commands, session, events) = shell::start(server, Some(tokens), role, timing).await?;
        let captured = Arc::new(AtomicU64::new(0));
        Ok((Self { commands, session_id: session.into(), payload_bytes, captured }, events))
    }

    /// What listeners need to join.
    pub fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Says something, captured now. Waits only when the program is far ahead of the client.
    pub async fn send(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.frame(Kind::Audio, payload.into()).await
    }

    /// Tells listeners what their decoders must know. The server gives it to every newcomer.
    pub async fn configure(&self, payload: impl Into<Bytes>) -> Result<(), SendError> {
        self.frame(Kind::Configuration, payload.into()).await
    }

    /// Stops the audio for a while. What is sent meanwhile is not heard.
    pub async fn pause(&self) -> Result<(), SendError> {
        self.control(Control::Pause, None).await
    }

    /// Lets it flow again.
    pub async fn resume(&self) -> Result<(), SendError> {
        self.control(Control::Resume, None).await
    }

    /// Closes the microphone.
    pub async fn mute(&self) -> Result<(), SendError> {
        self.control(Control::Mute, None).await
    }

    /// Opens it again.
    pub async fn unmute(&self) -> Result<(), SendError> {
        self.control(Control::Unmute, None).await
    }

    /// Steers the broadcast, with a text of at most 280 characters for the listeners.
    pub async fn control(
        &self,
        control: Control,
        message: Option<String>,
    ) -> Result<(), SendError> {
        self.command(Command::Control { control, message }).await
    }

    /// Asks who listens; [`Event::Status`](crate::Event::Status) answers, without a connection when
    /// there is one again.
    pub async fn status(&self) -> Result<(), SendError> {
        self.command(Command::Status).await
    }

    /// Sends what is still to be sent, then ends the session for all.
    pub async fn end(&self, reason: Option<String>) -> Result<(), SendError> {
        self.command(Command::End { reason }).await
    }

    /// The network may be back: comes back now if the connection is lost, else checks it.
    pub async fn wake(&self) -> Result<(), SendError> {
        self.command(Command::Wake).await
    }

    async fn frame(&self, kind: Kind, payload: Bytes) -> Result<(), SendError> {
        let (given, limit) = (payload.len(), self.payload_bytes);
        if !(1..=limit).contains(&given) {
            return Err(SendError::Size { given, limit });
        }
        let captured_micros = self.now_micros();
        self.command(Command::Send(Frame { kind, captured_micros, payload })).await
    }

    /// Later than all before: listeners tell a new speaker from an old frame by it.
    fn now_micros(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        let before = self.captured.fetch_max(now, Ordering::Relaxed);
        if now > before { now } else { self.captured.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    async fn command(&self, command: Command) -> Result<(), SendError> {
        self.commands.send(command).await.map_err(|_| SendError::Closed)
    }
}
