//! A machine, a clock that is turned by hand, and what came out.

use ambo_core::{Language, Millis, QualityTier, SessionId};
use ambo_wire::audio::Kind;
use ambo_wire::{AudioFrame, ConnectQuery};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::effect::{Effect, Message};
use crate::event::Event;
use crate::input::{Command, Frame, Framing, Input, SocketId};
use crate::machine::{Machine, Role};
use crate::timing::Timing;

pub const ID: &str = "faithful-shepherd-427";

pub struct Bench {
    pub machine: Machine,
    pub now: u64,
    entropy: u64,
    /// What was not asked about yet.
    pub effects: Vec<Effect>,
}

pub fn language(code: &str) -> Language {
    Language::parse(code).unwrap()
}

pub fn frame(byte: u8) -> Frame {
    Frame { kind: Kind::Audio, captured_micros: u64::from(byte), payload: vec![byte; 4].into() }
}

pub fn state(is_paused: bool, is_muted: bool) -> Value {
    state_at(1, is_paused, is_muted)
}

pub fn state_at(changed_at: u64, is_paused: bool, is_muted: bool) -> Value {
    json!({ "isPaused": is_paused, "isMuted": is_muted, "lastStateChange": changed_at })
}

impl Bench {
    pub fn new(role: Role) -> Self {
        let machine = Machine::new(role, Timing::default());
        Self { machine, now: 0, entropy: 1, effects: Vec::new() }
    }

    pub fn new_speaker() -> Self {
        let (language, quality) = (language("en"), QualityTier::Standard);
        Self::new(Role::Speaker { session: None, language, quality })
    }

    pub fn new_listener() -> Self {
        let session = SessionId::parse(ID).unwrap();
        Self::new(Role::Listener { session, language: language("es") })
    }

    /// A speaker whose session is created, on socket 1.
    pub fn speaker() -> Self {
        let mut bench = Self::new_speaker();
        bench.give(Input::Start);
        bench.opened(1);
        bench.created(1);
        bench.effects.clear();
        bench
    }

    /// A listener who has joined, on socket 1.
    pub fn listener() -> Self {
        let mut bench = Self::new_listener();
        bench.give(Input::Start);
        bench.opened(1);
        bench.joined(1);
        bench.effects.clear();
        bench
    }

    pub fn give(&mut self, input: Input) {
        self.entropy = self.entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let effects = self.machine.handle(input, Millis(self.now), self.entropy);
        self.effects.extend(effects);
    }

    /// Lets time pass, with a tick whenever the machine wants one.
    pub fn pass(&mut self, millis: u64) {
        let (until, mut rounds) = (self.now + millis, 0);
        while let Some(at) = self.machine.deadline().filter(|at| at.0 <= until) {
            rounds = if at.0 > self.now { 0 } else { rounds + 1 };
            assert!(rounds < 5, "the machine goes round in circles at {at}");
            self.now = self.now.max(at.0);
            self.give(Input::Tick);
        }
        self.now = until;
    }

    /// The same on a line that works: pings are answered and frames are written.
    pub fn pass_alive(&mut self, millis: u64) {
        let until = self.now + millis;
        while self.now < until {
            self.pass(100.min(until - self.now));
            self.answer();
        }
    }

    /// Answers pings, and writes frames out.
    pub fn answer(&mut self) {
        let sockets = |effect: &Effect| match effect {
            Effect::Ping { socket } => Some(Input::Pong { socket: *socket }),
            Effect::Audio { socket, .. } => Some(Input::Written { socket: *socket, frames: 1 }),
            _ => None,
        };
        let answers: Vec<_> = self.effects.iter().filter_map(sockets).collect();
        self.effects.retain(|effect| !matches!(effect, Effect::Ping { .. }));
        answers.into_iter().for_each(|input| self.give(input));
    }

    pub fn opened(&mut self, socket: u64) {
        self.give(Input::Opened { socket: SocketId(socket), framing: Framing::Binary });
    }

    pub fn text(&mut self, socket: u64, message: &Value) {
        self.give(Input::Text { socket: SocketId(socket), text: message.to_string() });
    }

    pub fn raw(&mut self, socket: u64, text: &str) {
        self.give(Input::Text { socket: SocketId(socket), text: text.into() });
    }

    pub fn created(&mut self, socket: u64) {
        let message = json!({
            "type": "sessionCreated", "sessionId": ID, "sourceLanguage": "en",
            "qualityTier": "standard", "connectionId": "c1", "expiresAt": 9, "timestamp": 1,
        });
        self.text(socket, &message);
    }

    pub fn joined(&mut self, socket: u64) {
        let message = json!({
            "type": "sessionJoined", "sessionId": ID, "sourceLanguage": "en",
            "targetLanguage": "es", "connectionId": "c1",
            "broadcastState": state(false, false), "timestamp": 1,
        });
        self.text(socket, &message);
    }

    /// The server takes the speaker up on a new socket.
    pub fn speaker_back(&mut self, socket: u64, last: Option<u32>, state: &Value) {
        self.opened(socket);
        let message = json!({
            "type": "connectionRefreshComplete", "sessionId": ID, "role": "speaker",
            "connectionId": "c2", "sourceLanguage": "en", "broadcastState": state,
            "lastSequence": last, "timestamp": 1,
        });
        self.text(socket, &message);
    }

    /// The same for the listener.
    pub fn listener_back(&mut self, socket: u64, target: &str) {
        self.opened(socket);
        let message = json!({
            "type": "connectionRefreshComplete", "sessionId": ID, "role": "listener",
            "connectionId": "c2", "sourceLanguage": "en", "targetLanguage": target,
            "replayed": 2, "timestamp": 1,
        });
        self.text(socket, &message);
    }

    pub fn told_to_refresh(&mut self, socket: u64) {
        let message = json!({
            "type": "connectionRefreshRequired", "sessionId": ID, "role": "listener",
            "message": "please", "deadline": 9, "reason": "age", "targetLanguage": "es",
            "refreshToken": "proof.c1", "timestamp": 1,
        });
        self.text(socket, &message);
    }

    pub fn refused(&mut self, socket: u64, code: &str, details: Value) {
        let mut message = json!({ "type": "error", "code": code, "message": "no", "timestamp": 1 });
        message["details"] = details;
        self.text(socket, &message);
    }

    pub fn closed(&mut self, socket: u64, code: Option<u16>, reason: &str) {
        let reason = reason.into();
        self.give(Input::Closed { socket: SocketId(socket), code, reason });
    }

    pub fn hear(&mut self, socket: u64, sequence: u32) {
        let frame = AudioFrame {
            kind: Kind::Audio,
            language: language("en"),
            sequence,
            captured_micros: u64::from(sequence),
            payload: Bytes::from_static(b"a"),
        };
        self.give(Input::Binary { socket: SocketId(socket), bytes: frame.encode() });
    }

    pub fn command(&mut self, command: Command) {
        self.give(Input::Command(command));
    }

    pub fn say(&mut self, byte: u8) {
        self.command(Command::Send(frame(byte)));
    }

    /// Takes the effects since the last time.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Takes the effects, and tells the events among them.
    pub fn events(&mut self) -> Vec<Event> {
        let event = |effect| match effect {
            Effect::Deliver(event) => Some(event),
            _ => None,
        };
        self.take().into_iter().filter_map(event).collect()
    }

    /// Takes the effects, and tells the frames among them: socket, sequence, first byte.
    pub fn spoken(&mut self) -> Vec<(u64, u32, u8)> {
        let frame = |effect| match effect {
            Effect::Audio { socket, message: Message::Binary(bytes) } => {
                let frame = AudioFrame::parse(&bytes, usize::MAX).unwrap();
                Some((socket.0, frame.sequence, frame.payload[0]))
            }
            _ => None,
        };
        self.take().into_iter().filter_map(frame).collect()
    }

    /// Takes the effects, and tells the messages among them.
    pub fn sent(&mut self) -> Vec<(u64, Value)> {
        let text = |effect| match effect {
            Effect::Text { socket, text } => Some((socket.0, serde_json::from_str(&text).unwrap())),
            _ => None,
        };
        self.take().into_iter().filter_map(text).collect()
    }

    /// Takes the effects, and tells the sockets to be opened.
    pub fn opens(&mut self) -> Vec<(u64, ConnectQuery)> {
        let open = |effect| match effect {
            Effect::Open { socket, query } => Some((socket.0, query)),
            _ => None,
        };
        self.take().into_iter().filter_map(open).collect()
    }
}
