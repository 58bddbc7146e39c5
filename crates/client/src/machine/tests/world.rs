//! A speaker, a server and a listener on lines that are slow, break, and are told to move:
//! every frame is heard once, in order, and an end is an end.

use std::collections::VecDeque;

use ambo_core::{Millis, QualityTier, SessionId};
use ambo_wire::{AudioFrame, ConnectQuery};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;

use super::bench::{ID, frame, language, state};
use crate::dice::Dice;
use crate::effect::{Effect, Message};
use crate::event::{Closed, Event};
use crate::input::{Command, Failure, Frame, Framing, Input, SocketId};
use crate::machine::{Machine, Role};
use crate::timing::Timing;

const STEP: u64 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Speaker,
    Listener,
}

/// One connection. What is on its way arrives later, or never when the line breaks.
struct Line {
    who: Who,
    socket: SocketId,
    query: ConnectQuery,
    up: VecDeque<(u64, Up)>,
    down: VecDeque<(u64, Input)>,
    is_broken: bool,
    is_member: bool,
    is_told: bool,
}

enum Up {
    Hello,
    Frame(Bytes),
    Ping,
    Text(String),
    Close,
}

struct World {
    now: u64,
    dice: Dice,
    speaker: Machine,
    listener: Machine,
    lines: Vec<Line>,
    /// What the server has heard, in order; it forgets nothing.
    kept: Vec<AudioFrame>,
    /// The lines that speak and hear.
    voice: Option<usize>,
    seat: Option<usize>,
    /// Whether new lines may fail.
    is_rough: bool,
    /// How the session ended.
    ended: Option<&'static str>,
    heard: Vec<Bytes>,
    trouble: Vec<Event>,
}

impl World {
    fn new(seed: u64) -> Self {
        // Long enough for any run of bad luck: what is too old is dropped by intent.
        let queue_span = Millis::from_mins(10);
        let longest_retry = Millis(3_000);
        let timing = || Timing { longest_retry, queue_span, ..Timing::default() };
        let quality = QualityTier::Standard;
        let speaker = Role::Speaker { session: None, language: language("en"), quality };
        let session = SessionId::parse(ID).unwrap();
        let listener = Role::Listener { session, language: language("es") };
        Self {
            now: 0,
            dice: Dice::new(seed),
            speaker: Machine::new(speaker, timing()),
            listener: Machine::new(listener, timing()),
            lines: Vec::new(),
            kept: Vec::new(),
            voice: None,
            seat: None,
            is_rough: true,
            ended: None,
            heard: Vec::new(),
            trouble: Vec::new(),
        }
    }

    /// One in which both are members.
    fn begun(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.give(Who::Speaker, Input::Start);
        world.give(Who::Listener, Input::Start);
        while world.voice.is_none() || world.seat.is_none() {
            world.step();
        }
        // The replies are on their way.
        (0..50).for_each(|_| world.step());
        world
    }

    fn one_in(&mut self, chances: u64) -> bool {
        self.dice.up_to(Millis(chances - 1)).0 == 0
    }

    fn give(&mut self, who: Who, input: Input) {
        let entropy = self.dice.up_to(Millis(u64::MAX - 1)).0;
        let machine = match who {
            Who::Speaker => &mut self.speaker,
            Who::Listener => &mut self.listener,
        };
        for effect in machine.handle(input, Millis(self.now), entropy) {
            self.effect(who, effect);
        }
    }

    fn effect(&mut self, who: Who, effect: Effect) {
        match effect {
            Effect::Open { socket, query } => self.open(who, socket, query),
            Effect::Text { socket, text } => self.up(who, socket, Up::Text(text)),
            Effect::Audio { socket, message: Message::Binary(bytes) } => {
                self.up(who, socket, Up::Frame(bytes));
                let now = self.now;
                let line = self.line(who, socket);
                line.down.push_back((now, Input::Written { socket, frames: 1 }));
            }
            Effect::Audio { .. } => unreachable!("the lines are binary"),
            Effect::Ping { socket } => self.up(who, socket, Up::Ping),
            Effect::Close { socket, .. } => self.up(who, socket, Up::Close),
            Effect::Abort { socket } => self.line(who, socket).is_broken = true,
            Effect::Deliver(Event::Audio(frame)) => self.heard.push(frame.payload),
            Effect::Deliver(
                event @ (Event::Gap { .. } | Event::Dropped { .. } | Event::Closed(_)),
            ) => self.trouble.push(event),
            Effect::Deliver(_) => {}
        }
    }

    fn open(&mut self, who: Who, socket: SocketId, query: ConnectQuery) {
        let is_first = matches!(query, ConnectQuery::Create { .. } | ConnectQuery::Join { .. });
        let (up, mut down) = (VecDeque::new(), VecDeque::new());
        let at = self.now + self.dice.up_to(Millis(300)).0;
        let fails = !is_first && self.is_rough && self.one_in(3);
        if fails {
            let failure = Failure::Unreachable("x".into());
            down.push_back((at, Input::Failed { socket, failure }));
        } else {
            down.push_back((at, Input::Opened { socket, framing: Framing::Binary }));
        }
        let line = Line {
            who,
            socket,
            query,
            up,
            down,
            is_broken: false,
            is_member: false,
            is_told: false,
        };
        self.lines.push(line);
        if !fails {
            self.up(who, socket, Up::Hello);
        }
    }

    fn line(&mut self, who: Who, socket: SocketId) -> &mut Line {
        let is_meant = |line: &&mut Line| line.who == who && line.socket == socket;
        self.lines.iter_mut().find(is_meant).unwrap()
    }

    fn up(&mut self, who: Who, socket: SocketId, what: Up) {
        let arrives = self.now + 300 + self.dice.up_to(Millis(60)).0;
        let line = self.line(who, socket);
        // A line keeps the order.
        let arrives = line.up.back().map_or(arrives, |(last, _)| arrives.max(*last));
        line.up.push_back((arrives, what));
    }

    fn down(&mut self, at: usize, input: Input) {
        let arrives = self.now + self.dice.up_to(Millis(60)).0;
        let line = &mut self.lines[at];
        let arrives = line.down.back().map_or(arrives, |(last, _)| arrives.max(*last));
        line.down.push_back((arrives, input));
    }

    /// What arrives now, at the server and at the clients.
    fn deliver(&mut self) {
        for at in 0..self.lines.len() {
            while let Some((arrives, _)) = self.lines[at].up.front()
                && *arrives <= self.now
                && !self.lines[at].is_broken
            {
                let (_, what) = self.lines[at].up.pop_front().unwrap();
                self.serve(at, what);
            }
            while let Some((arrives, _)) = self.lines[at].down.front()
                && *arrives <= self.now
                && !self.lines[at].is_broken
            {
                let (_, input) = self.lines[at].down.pop_front().unwrap();
                let who = self.lines[at].who;
                self.give(who, input);
            }
        }
    }

    fn serve(&mut self, at: usize, what: Up) {
        let socket = self.lines[at].socket;
        match what {
            Up::Hello => self.welcome(at),
            Up::Ping => self.down(at, Input::Pong { socket }),
            Up::Frame(bytes) if self.voice == Some(at) => self.publish(&bytes),
            Up::Frame(_) => {}
            Up::Text(text) => self.answer(at, &text),
            Up::Close => {
                self.lines[at].is_broken = true;
                if self.voice == Some(at) {
                    self.end("close");
                }
            }
        }
    }

    fn answer(&mut self, at: usize, text: &str) {
        let asked: serde_json::Value = serde_json::from_str(text).unwrap();
        let is_member = self.ended.is_none() && (self.voice == Some(at) || self.seat == Some(at));
        match asked["action"].as_str() {
            _ if !is_member => self.refuse(at, "CONNECTION_NOT_FOUND"),
            Some("heartbeat") => {
                self.say_to(at, &json!({ "type": "heartbeatAck", "timestamp": 1 }))
            }
            Some("endSession") => self.end("endSession"),
            _ => {}
        }
    }

    fn say_to(&mut self, at: usize, message: &serde_json::Value) {
        let socket = self.lines[at].socket;
        self.down(at, Input::Text { socket, text: message.to_string() });
    }

    fn refuse(&mut self, at: usize, code: &str) {
        let message = json!({ "type": "error", "code": code, "message": "m", "timestamp": 1 });
        self.say_to(at, &message);
    }

    fn end(&mut self, how: &'static str) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(how);
        let message = json!({
            "type": "sessionEnded", "sessionId": ID, "message": "m", "reason": "speakerEnded",
            "timestamp": 1,
        });
        for at in [self.voice, self.seat].into_iter().flatten() {
            self.say_to(at, &message);
        }
    }

    fn publish(&mut self, bytes: &Bytes) {
        let frame = AudioFrame::parse(bytes, 1_024).unwrap();
        if self.kept.last().is_some_and(|last| frame.sequence <= last.sequence) {
            return;
        }
        self.kept.push(frame.clone());
        for at in 0..self.lines.len() {
            let line = &self.lines[at];
            if line.is_member && line.who == Who::Listener && !line.is_broken {
                let (socket, bytes) = (line.socket, frame.encode());
                self.down(at, Input::Binary { socket, bytes });
            }
        }
    }

    fn welcome(&mut self, at: usize) {
        if self.ended.is_some() {
            return self.refuse(at, "SESSION_NOT_FOUND");
        }
        let last = self.kept.last().map(|frame| frame.sequence);
        let complete = |role: &str| {
            json!({
                "type": "connectionRefreshComplete", "sessionId": ID, "role": role,
                "connectionId": "c", "sourceLanguage": "en", "targetLanguage": "es",
                "broadcastState": state(false, false), "lastSequence": last, "timestamp": 1,
            })
        };
        let (reply, after) = match &self.lines[at].query {
            ConnectQuery::Create { .. } => (
                json!({
                    "type": "sessionCreated", "sessionId": ID, "sourceLanguage": "en",
                    "qualityTier": "standard", "connectionId": "c", "expiresAt": 1,
                    "timestamp": 1,
                }),
                None,
            ),
            ConnectQuery::RefreshSpeaker { .. } => (complete("speaker"), None),
            ConnectQuery::Join { .. } => (
                json!({
                    "type": "sessionJoined", "sessionId": ID, "sourceLanguage": "en",
                    "targetLanguage": "es", "connectionId": "c",
                    "broadcastState": state(false, false), "timestamp": 1,
                }),
                None,
            ),
            ConnectQuery::RefreshListener { last_sequence, .. } => {
                (complete("listener"), Some(last_sequence.unwrap_or(0)))
            }
        };
        let socket = self.lines[at].socket;
        self.down(at, Input::Text { socket, text: reply.to_string() });
        self.lines[at].is_member = true;
        match self.lines[at].who {
            Who::Speaker => self.voice = Some(at),
            Who::Listener => self.seat = Some(at),
        }
        let missed = self.kept.iter().filter(|frame| after.is_some_and(|it| frame.sequence > it));
        let missed: Vec<_> = missed.map(AudioFrame::encode).collect();
        for bytes in missed {
            self.down(at, Input::Binary { socket, bytes });
        }
    }

    /// Something goes wrong, or the server wants somebody to move.
    fn trouble(&mut self) {
        let whole = |at: &usize| !self.lines[*at].is_broken;
        let whole: Vec<_> = (0..self.lines.len()).filter(whole).collect();
        if whole.is_empty() {
            return;
        }
        let at = whole[self.dice.up_to(Millis(whole.len() as u64 - 1)).0 as usize];
        let is_member = self.lines[at].is_member;
        if self.one_in(3) {
            self.break_line(at);
        } else if is_member && !self.lines[at].is_told {
            self.age(at);
        }
    }

    fn break_line(&mut self, at: usize) {
        let (who, socket) = (self.lines[at].who, self.lines[at].socket);
        self.lines[at].is_broken = true;
        // Sometimes nobody is told, and only the silence tells.
        if self.one_in(2) {
            let reason = String::new();
            self.give(who, Input::Closed { socket, code: None, reason });
        }
    }

    fn age(&mut self, at: usize) {
        self.lines[at].is_told = true;
        let required = json!({
            "type": "connectionRefreshRequired", "sessionId": ID, "role": "x", "message": "m",
            "deadline": 1, "reason": "age", "refreshToken": "t.c", "timestamp": 1,
        });
        self.say_to(at, &required);
    }

    fn step(&mut self) {
        self.now += STEP;
        self.deliver();
        for who in [Who::Speaker, Who::Listener] {
            self.give(who, Input::Tick);
        }
    }

    fn say(&mut self, number: u32) {
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        let captured_micros = u64::from(number);
        let said = Frame { payload, captured_micros, ..frame(0) };
        self.give(Who::Speaker, Input::Command(Command::Send(said)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_is_heard_once_in_order_whatever_happens_to_the_lines(seed in any::<u64>()) {
        let mut world = World::begun(seed);
        // 40 s of frames of 20 ms, with something every half second on average.
        for number in 0..2_000 {
            world.say(number);
            for _ in 0..2 {
                if world.one_in(50) {
                    world.trouble();
                }
                world.step();
            }
        }
        for _ in 0..6_000 {
            world.step();
        }
        let expected: Vec<_> =
            (0..2_000_u32).map(|number| Bytes::copy_from_slice(&number.to_be_bytes())).collect();
        prop_assert_eq!(&world.trouble, &[]);
        prop_assert_eq!(world.heard.len(), expected.len());
        prop_assert_eq!(world.heard, expected);
        prop_assert!(world.lines.len() > 6, "there was trouble");
    }

    /// Wherever in the refresh the end falls, and whatever breaks meanwhile, the server hears of
    /// it, after the last word. That is, it is not by the close frame of one who has waited in
    /// vain that the session ends.
    #[test]
    fn an_end_that_falls_into_a_refresh_ends_the_session(seed in any::<u64>()) {
        let mut world = World::begun(seed);
        let first = world.voice.unwrap();
        world.age(first);
        let (ends_at, breaks_at) = (world.dice.up_to(Millis(60)).0, world.dice.up_to(Millis(90)).0);
        let mut said = 0;
        for round in 0..=90 {
            if round <= ends_at {
                world.say(said);
                said += 1;
            }
            if round == ends_at {
                // One that fails again and again is away for longer than anybody waits.
                world.is_rough = false;
                world.give(Who::Speaker, Input::Command(Command::End { reason: None }));
            }
            if round == breaks_at && world.one_in(2) {
                let is_speakers = |at: &usize| world.lines[*at].who == Who::Speaker;
                let lines: Vec<_> = (0..world.lines.len()).filter(is_speakers).collect();
                let at = world.dice.up_to(Millis(lines.len() as u64 - 1)).0 as usize;
                if !world.lines[lines[at]].is_broken {
                    world.break_line(lines[at]);
                }
            }
            (0..2).for_each(|_| world.step());
        }
        for _ in 0..4_000 {
            if world.speaker.is_done() && world.listener.is_done() {
                break;
            }
            world.step();
        }
        prop_assert_eq!(world.ended, Some("endSession"));
        prop_assert_eq!(world.heard.len(), said as usize);
        prop_assert!(world.speaker.is_done() && world.listener.is_done());
        // One whose answer was lost comes back to a session that is over, as it was meant to be.
        let is_meant = |event: &Event| {
            matches!(event, Event::Closed(Closed::Ended | Closed::Left))
        };
        prop_assert!(world.trouble.iter().all(is_meant), "{:?}", world.trouble);
    }
}
