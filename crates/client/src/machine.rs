//! The machine: inputs in, effects out. It has no socket, no clock and no randomness of its own.
//!
//! ```text
//!            ┌──────────── Down (waits) ◀───────────┐
//!            ▼                                      │ lost
//! Idle ─▶ Opening ── first message ──▶ Up ──────────┤
//!            │                          ▲           │ ended, left, refused
//!            └─ refused ─▶ Done ◀───────┼───────────┘
//!                                       │ switched
//!            beside Up: Refresh { Opening | Waiting }
//! ```
//!
//! A refresh makes before it breaks: the second socket is opened while the first one serves, and
//! becomes the first when the server has answered on it.

mod connect;
mod hear;
mod receive;
mod refresh;
mod speak;

use ambo_core::{Language, Millis, QualityTier, SessionId};
use ambo_wire::server_message::State;

use crate::backoff::Backoff;
use crate::dice::Dice;
use crate::effect::{Effect, Message};
use crate::event::{Closed, Event};
use crate::frames::Frames;
use crate::input::{Command, Framing, Input, SocketId};
use crate::order::Order;
use crate::pulse::{Due, Pulse};
use crate::timing::Timing;

/// What a client is in its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes a session, or takes one up, and speaks in it.
    Speaker {
        /// The session to take up; `None` makes one.
        session: Option<SessionId>,
        /// What is spoken.
        language: Language,
        /// What the session is to be.
        quality: QualityTier,
    },
    /// Joins a session and hears it.
    Listener {
        /// Which.
        session: SessionId,
        /// What to hear.
        language: Language,
    },
}

/// One member of one session, over as many connections as it takes.
#[derive(Debug)]
pub struct Machine {
    timing: Timing,
    session: Option<String>,
    part: Part,
    link: Link,
    refresh: Option<Refresh>,
    backoff: Backoff,
    /// The first loss since there was a steady connection.
    lost_at: Option<Millis>,
    leaving: Option<Leaving>,
    /// The `lastStateChange` of the newest state of the broadcast that the server has told.
    state_changed_at: u64,
    sockets: u64,
    now: Millis,
    dice: Dice,
    effects: Vec<Effect>,
}

/// What only a speaker or only a listener has.
#[derive(Debug)]
enum Part {
    Speaker(Box<Speaking>),
    Listener(Hearing),
}

#[derive(Debug)]
struct Speaking {
    language: Language,
    quality: QualityTier,
    frames: Frames,
    /// What the server says.
    state: State,
    /// What the user wants and the server has not confirmed.
    wish: Wish,
    /// Commands that the server has not yet answered. Until it has, its word is on older wishes.
    unanswered: u32,
    /// The user wants to know who listens, and was not told since.
    asks_status: bool,
}

#[derive(Debug, Default)]
struct Wish {
    paused: Option<Steering>,
    muted: Option<Steering>,
}

#[derive(Clone, Debug)]
struct Steering {
    is_on: bool,
    /// For the listeners.
    message: Option<String>,
}

#[derive(Debug)]
struct Hearing {
    /// What the user wants to hear.
    target: String,
    /// What the server has agreed to.
    confirmed: Option<String>,
    /// What it was last asked for on the present connection; `None` after a refusal.
    told: Option<String>,
    refresh_token: Option<String>,
    order: Order,
}

/// The connection that serves, or the way to it.
#[derive(Debug)]
enum Link {
    Idle,
    Opening(Opening),
    Up(Up),
    Down { retry_at: Millis, not_before: Millis },
    Done,
}

/// A socket whose first message is awaited.
#[derive(Clone, Debug)]
struct Opening {
    socket: SocketId,
    /// `None` until the handshake is done.
    framing: Option<Framing>,
    until: Millis,
}

#[derive(Debug)]
struct Up {
    socket: SocketId,
    framing: Framing,
    /// From when on there was a connection without a gap.
    since: Millis,
    pulse: Pulse,
    /// Frames the shell has not yet written.
    in_flight: usize,
    /// A second socket came to nothing, but the server may have moved the member to it, though
    /// its answer never came; this one is superseded then, and what it carries is lost.
    may_be_superseded: bool,
    /// The server has said that it has no record of this connection.
    is_forgotten: bool,
}

/// The second socket of a refresh.
#[derive(Debug)]
struct Refresh {
    stage: Stage,
    backoff: Backoff,
}

#[derive(Debug)]
enum Stage {
    Opening(Opening),
    Waiting {
        until: Millis,
        /// A wait that nothing cuts short.
        not_before: Millis,
    },
    /// The server's no would be the same again; the first socket serves until it is closed.
    Refused,
}

/// The session is to be ended by its speaker.
#[derive(Debug)]
struct Leaving {
    reason: Option<String>,
    /// For what is still to be said.
    until: Millis,
    /// Once the server was told: for its answer.
    answer_by: Option<Millis>,
}

/// The socket an input came from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    First,
    Second,
    /// One that was given up. What it does changes nothing.
    Former,
}

impl Machine {
    /// A machine that has not begun; it waits for [`Input::Start`].
    pub fn new(role: Role, timing: Timing) -> Self {
        let (session, part) = match role {
            Role::Speaker { session, language, quality } => {
                (session, Part::Speaker(Box::new(Speaking::new(language, quality))))
            }
            Role::Listener { session, language } => {
                (Some(session), Part::Listener(Hearing::new(language)))
            }
        };
        Self {
            timing,
            session: session.map(|id| id.to_string()),
            part,
            link: Link::Idle,
            refresh: None,
            backoff: Backoff::default(),
            lost_at: None,
            leaving: None,
            state_changed_at: 0,
            sockets: 0,
            now: Millis::ZERO,
            dice: Dice::default(),
            effects: Vec::new(),
        }
    }

    /// Takes an input and tells what is to be done for it, in this order. `now` is any clock that
    /// only goes forward; `entropy` is a fresh random number.
    pub fn handle(&mut self, input: Input, now: Millis, entropy: u64) -> Vec<Effect> {
        if matches!(self.link, Link::Done) {
            return Vec::new();
        }
        self.now = self.now.max(now);
        self.dice = Dice::new(entropy);
        self.take(input);
        self.look_at_the_clock();
        self.speak();
        std::mem::take(&mut self.effects)
    }

    /// When [`Input::Tick`] is wanted at the latest.
    pub fn deadline(&self) -> Option<Millis> {
        let link = match &self.link {
            Link::Opening(opening) => Some(opening.until),
            Link::Up(up) => Some(up.pulse.deadline(&self.timing)),
            Link::Down { retry_at, .. } => Some(*retry_at),
            Link::Idle => None,
            Link::Done => return None,
        };
        let refresh = match self.refresh.as_ref().map(|refresh| &refresh.stage) {
            Some(Stage::Opening(opening)) => Some(opening.until),
            Some(Stage::Waiting { until, .. }) => Some(*until),
            Some(Stage::Refused) | None => None,
        };
        let leaving = self.leaving.as_ref().map(Leaving::deadline);
        [link, refresh, leaving, self.speech_deadline()].into_iter().flatten().min()
    }

    /// The session, once it is known.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether [`Event::Closed`] was delivered.
    pub fn is_done(&self) -> bool {
        matches!(self.link, Link::Done)
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Start => self.start(),
            Input::Opened { socket, framing } => self.opened(socket, framing),
            Input::Text { socket, text } => self.text(socket, &text),
            Input::Binary { socket, bytes } => self.binary(socket, &bytes),
            Input::Ping { socket } => self.heard(socket),
            Input::Pong { socket } => self.ponged(socket),
            Input::Written { socket, frames } => self.written(socket, frames),
            Input::Closed { socket, code, reason } => self.closed(socket, code, &reason),
            Input::Failed { socket, failure } => self.failed(socket, failure),
            Input::Command(command) => self.command(command),
            Input::Tick => {}
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Send(frame) => self.say(frame),
            Command::Control { control, message } => self.control(control, message),
            Command::Status => self.ask_status(),
            Command::End { reason } => self.end(reason),
            Command::ChangeLanguage { target } => self.change_language(target),
            Command::Leave => self.leave(),
            Command::Wake => self.wake(),
        }
    }

    fn look_at_the_clock(&mut self) {
        // First the refresh: what becomes of a lost link depends on it.
        self.look_at_the_refresh();
        self.look_at_the_link();
        self.look_at_the_end();
    }

    fn look_at_the_link(&mut self) {
        match &mut self.link {
            Link::Idle | Link::Done => {}
            Link::Opening(opening) if opening.until <= self.now => self.opening_too_slow(),
            Link::Opening(_) => {}
            Link::Down { retry_at, .. } if *retry_at <= self.now => self.open_again(),
            Link::Down { .. } => {}
            Link::Up(up) => {
                let socket = up.socket;
                while let Link::Up(up) = &mut self.link {
                    match up.pulse.due(self.now, &self.timing, &mut self.dice) {
                        None => break,
                        Some(Due::Ping) => self.effects.push(Effect::Ping { socket }),
                        Some(Due::Beat) => self.beat(socket),
                        Some(Due::Lost) => self.silent(socket),
                    }
                }
            }
        }
    }

    fn origin(&self, socket: SocketId) -> Origin {
        let first = match &self.link {
            Link::Opening(opening) => Some(opening.socket),
            Link::Up(up) => Some(up.socket),
            Link::Idle | Link::Down { .. } | Link::Done => None,
        };
        if first == Some(socket) {
            return Origin::First;
        }
        match self.refresh.as_ref().map(|refresh| &refresh.stage) {
            Some(Stage::Opening(opening)) if opening.socket == socket => Origin::Second,
            _ => Origin::Former,
        }
    }

    /// Whether a second socket waits for its first message.
    fn is_moving(&self) -> bool {
        matches!(self.refresh.as_ref().map(|refresh| &refresh.stage), Some(Stage::Opening(_)))
    }

    /// Whether the server may have moved the member away from the connection that serves.
    fn may_be_superseded(&self) -> bool {
        self.is_moving() || matches!(&self.link, Link::Up(up) if up.may_be_superseded)
    }

    /// Whether no newer state is known: one message may overtake another. What is as new is the
    /// same state told again, perhaps in answer to the user.
    fn is_newest(&mut self, state: State) -> bool {
        let is_newest = state.last_state_change >= self.state_changed_at;
        self.state_changed_at = self.state_changed_at.max(state.last_state_change);
        is_newest
    }

    fn deliver(&mut self, event: Event) {
        self.effects.push(Effect::Deliver(event));
    }

    /// The last thing a machine does.
    fn finish(&mut self, closed: Closed) {
        let link = std::mem::replace(&mut self.link, Link::Done);
        match link {
            Link::Up(Up { socket, .. }) => {
                self.effects.push(Effect::Close { socket, code: NORMAL })
            }
            Link::Opening(opening) => self.drop_attempt(&opening, &closed),
            Link::Idle | Link::Down { .. } => {}
            Link::Done => return,
        }
        if let Some(Stage::Opening(opening)) = self.refresh.take().map(|refresh| refresh.stage) {
            self.drop_attempt(&opening, &closed);
        }
        self.deliver(Event::Closed(closed));
    }

    /// The server may have moved the member to a socket that has not said so yet: who leaves by
    /// wish says it there too, or a speaker would be awaited.
    fn drop_attempt(&mut self, opening: &Opening, closed: &Closed) {
        let socket = opening.socket;
        self.effects.push(match (closed, opening.framing) {
            (Closed::Left, Some(_)) => Effect::Close { socket, code: NORMAL },
            _ => Effect::Abort { socket },
        });
    }

    fn send_text(&mut self, socket: SocketId, text: String) {
        self.effects.push(Effect::Text { socket, text });
    }

    fn send_audio(&mut self, socket: SocketId, message: Message) {
        self.effects.push(Effect::Audio { socket, message });
    }
}

/// All was said; for a speaker's serving connection it ends the session.
const NORMAL: u16 = 1000;

#[cfg(test)]
mod tests;
