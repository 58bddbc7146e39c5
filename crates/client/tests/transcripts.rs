//! Golden conversations: the machine is given what the server says in them, and must say what
//! the client says.
//!
//! A transcript is a file of JSON lines in `protocol/transcripts`, each with `from` ("client" or
//! "server") and one of
//!
//! - `connect`: an object of query parameters (client; the token does not matter),
//! - `text`: a message as an object,
//! - `binary`: a frame in hexadecimal digits (a client's capture time does not matter),
//! - `close`: a close code, perhaps with `reason`.
//!
//! `connection` tells connections apart, 1 if it is left out. Other fields are for the reader.
//! A file whose first line has `"clients": false` is not for clients: no good client would say
//! what is said there.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::path::Path;

use ambo_client::{
    AudioFrame, Command, ConnectQuery, Control, Effect, Frame, Framing, Input, Language, Machine,
    Message, Millis, QualityTier, Role, SessionId, SocketId, Timing,
};
use serde_json::{Map, Value};

struct Player {
    machine: Machine,
    now: u64,
    /// What the machine wants and the transcript has not yet shown.
    wanted: VecDeque<Effect>,
    /// The machine's sockets by the transcript's numbers.
    sockets: Vec<(u64, SocketId)>,
    opened: Vec<SocketId>,
}

fn replay(transcript: &str) -> Result<(), String> {
    let lines: Vec<Value> = transcript
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    if lines.first().is_some_and(|line| line["clients"] == false) {
        return Ok(());
    }
    let Some(first) = lines.iter().find_map(|line| line["connect"].as_object()) else {
        return Err("nobody connects".into());
    };
    let mut player = Player {
        machine: Machine::new(role(first), Timing::default()),
        now: 0,
        wanted: VecDeque::new(),
        sockets: Vec::new(),
        opened: Vec::new(),
    };
    player.give(Input::Start);
    for (at, line) in lines.iter().enumerate() {
        player.line(line).map_err(|error| format!("line {}: {error}", at + 1))?;
    }
    let says = |effect: &Effect| {
        matches!(effect, Effect::Open { .. } | Effect::Text { .. } | Effect::Audio { .. })
    };
    match player.wanted.iter().find(|effect| says(effect)) {
        Some(effect) => Err(format!("the machine says more: {effect:?}")),
        None => Ok(()),
    }
}

fn role(connect: &Map<String, Value>) -> Role {
    let text = |name: &str| connect.get(name).and_then(Value::as_str);
    let language = |name: &str| text(name).and_then(Language::parse);
    let session = text("sessionId").and_then(SessionId::parse);
    let quality = text("qualityTier").and_then(QualityTier::parse);
    match (text("action"), text("role")) {
        (Some("joinSession"), _) => Role::Listener {
            session: session.unwrap(),
            language: language("targetLanguage").unwrap(),
        },
        _ => Role::Speaker {
            session,
            language: language("sourceLanguage").unwrap_or(Language::parse("en").unwrap()),
            quality: quality.unwrap_or(QualityTier::Standard),
        },
    }
}

impl Player {
    fn give(&mut self, input: Input) {
        let effects = self.machine.handle(input, Millis(self.now), 7);
        self.wanted.extend(effects);
    }

    fn line(&mut self, line: &Value) -> Result<(), String> {
        let connection = line["connection"].as_u64().unwrap_or(1);
        match line["from"].as_str() {
            Some("client") => self.client(connection, line),
            Some("server") => self.server(connection, line),
            _ => Ok(()),
        }
    }

    fn server(&mut self, connection: u64, line: &Value) -> Result<(), String> {
        let socket = self.socket(connection)?;
        if !self.opened.contains(&socket) {
            self.opened.push(socket);
            self.give(Input::Opened { socket, framing: Framing::Binary });
        }
        if line["text"].is_object() {
            self.give(Input::Text { socket, text: line["text"].to_string() });
        } else if let Some(hex) = line["binary"].as_str() {
            self.give(Input::Binary { socket, bytes: bytes(hex).into() });
        } else if let Some(code) = line["close"].as_u64() {
            let reason = line["reason"].as_str().unwrap_or_default().into();
            self.give(Input::Closed { socket, code: u16::try_from(code).ok(), reason });
        }
        Ok(())
    }

    fn client(&mut self, connection: u64, line: &Value) -> Result<(), String> {
        if let Some(connect) = line["connect"].as_object() {
            return self.connects(connection, connect);
        }
        let socket = self.socket(connection)?;
        if let Some(text) = line["text"].as_object() {
            return self.says(socket, text);
        }
        if let Some(hex) = line["binary"].as_str() {
            return self.speaks(socket, &bytes(hex));
        }
        if line["close"].is_u64() {
            let closes = |effect: &Effect| matches!(effect, Effect::Close { socket: closed, .. } if *closed == socket);
            if !self.wanted.iter().any(closes) {
                self.give(Input::Command(Command::Leave));
            }
            return self.take("a close", closes).map(drop);
        }
        Ok(())
    }

    fn connects(&mut self, number: u64, connect: &Map<String, Value>) -> Result<(), String> {
        let is_open = |effect: &Effect| matches!(effect, Effect::Open { .. });
        self.wait_for(is_open);
        let Effect::Open { socket, query } = self.take("a connect", is_open)? else {
            return Ok(());
        };
        self.sockets.push((number, socket));
        let given = parameters(&query);
        for (name, value) in connect.iter().filter(|(name, _)| *name != "token") {
            let expected = value.as_str().map_or(value.to_string(), str::to_owned);
            let is_same = given.iter().any(|(key, value)| key == name && *value == expected);
            if !is_same {
                return Err(format!("{name} should be {expected}, in {given:?}"));
            }
        }
        Ok(())
    }

    fn says(&mut self, socket: SocketId, expected: &Map<String, Value>) -> Result<(), String> {
        let action = expected["action"].as_str().unwrap_or_default().to_owned();
        let is_it = move |effect: &Effect| match effect {
            Effect::Text { socket: on, text } => {
                let said: Value = serde_json::from_str(text).unwrap();
                *on == socket && said["action"] == action
            }
            _ => false,
        };
        if !self.wanted.iter().any(&is_it) {
            match command(expected) {
                Some(command) => self.give(Input::Command(command)),
                None => self.wait_for(&is_it),
            }
        }
        let Effect::Text { text, .. } = self.take("a message", is_it)? else { return Ok(()) };
        let said: Value = serde_json::from_str(&text).unwrap();
        let differs = |(name, value): &(&String, &Value)| said[name.as_str()] != **value;
        match expected.iter().filter(|(name, _)| *name != "timestamp").find(differs) {
            Some((name, value)) => Err(format!("{name} should be {value}, in {said}")),
            None => Ok(()),
        }
    }

    fn speaks(&mut self, socket: SocketId, expected: &[u8]) -> Result<(), String> {
        let expected = AudioFrame::parse(&expected.to_vec().into(), usize::MAX).unwrap();
        let is_audio = |effect: &Effect| matches!(effect, Effect::Audio { .. });
        // What the server has not heard goes out again by itself.
        if !self.wanted.iter().any(is_audio) {
            let AudioFrame { kind, captured_micros, payload, .. } = expected.clone();
            let frame = Frame { kind, captured_micros, payload };
            self.give(Input::Command(Command::Send(frame)));
        }
        let Effect::Audio { socket: on, message: Message::Binary(bytes) } =
            self.take("a frame", is_audio)?
        else {
            return Err("audio should be binary".into());
        };
        self.give(Input::Written { socket: on, frames: 1 });
        let said = AudioFrame::parse(&bytes, usize::MAX).unwrap();
        let captured_micros = expected.captured_micros;
        if (on, AudioFrame { captured_micros, ..said.clone() }) == (socket, expected.clone()) {
            Ok(())
        } else {
            Err(format!("{said:?} should be {expected:?}"))
        }
    }

    /// Lets time pass, on a line that answers pings, until the machine wants it or a minute is
    /// over.
    fn wait_for(&mut self, is_it: impl Fn(&Effect) -> bool) {
        let until = self.now + 60_000;
        while !self.wanted.iter().any(&is_it) {
            let Some(at) = self.machine.deadline().filter(|at| at.0 <= until) else { return };
            self.now = self.now.max(at.0);
            self.give(Input::Tick);
            let ping = |effect: &Effect| matches!(effect, Effect::Ping { .. });
            while let Some(at) = self.wanted.iter().position(ping) {
                let Some(Effect::Ping { socket }) = self.wanted.remove(at) else { return };
                self.give(Input::Pong { socket });
            }
        }
    }

    fn take(&mut self, what: &str, is_it: impl Fn(&Effect) -> bool) -> Result<Effect, String> {
        let at = self.wanted.iter().position(is_it);
        at.and_then(|at| self.wanted.remove(at))
            .ok_or_else(|| format!("{what} is missing; the machine wants {:?}", self.wanted))
    }

    fn socket(&self, connection: u64) -> Result<SocketId, String> {
        let found = self.sockets.iter().rev().find(|(number, _)| *number == connection);
        found.map(|(_, socket)| *socket).ok_or(format!("connection {connection} is not open"))
    }
}

/// What the user did, so that the client said this; `None` if it says it of itself.
fn command(said: &Map<String, Value>) -> Option<Command> {
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(match text("action")?.as_str() {
        "controlSession" => Command::Control {
            control: Control::parse(&text("command")?)?,
            message: text("message"),
        },
        "changeLanguage" => Command::ChangeLanguage { target: text("targetLanguage")? },
        "getSessionStatus" => Command::Status,
        "endSession" => Command::End { reason: text("reason") },
        _ => return None,
    })
}

fn parameters(query: &ConnectQuery) -> Vec<(String, String)> {
    url::form_urlencoded::parse(query.encode().as_bytes()).into_owned().collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn the_golden_transcripts_are_what_the_machine_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/transcripts");
    let Ok(files) = std::fs::read_dir(folder) else { return };
    let mut failures = Vec::new();
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let transcript = std::fs::read_to_string(&path).unwrap();
            if let Err(error) = replay(&transcript) {
                failures.push(format!("{}: {error}", path.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

const SPEAKER: &str = r#"
{"from":"client","connect":{"action":"createSession","sourceLanguage":"en","token":"t"}}
{"from":"server","text":{"type":"sessionCreated","sessionId":"a-b-100","sourceLanguage":"en","qualityTier":"standard","connectionId":"c1","expiresAt":9,"timestamp":1}}
{"from":"client","binary":"0101656e0000000100000000000000ff616263"}
{"from":"client","text":{"action":"controlSession","command":"pause","message":"soon"}}
{"from":"server","text":{"type":"broadcastState","sessionId":"a-b-100","broadcastState":{"isPaused":true,"isMuted":false,"lastStateChange":2},"timestamp":2}}
{"from":"client","text":{"action":"heartbeat"}}
{"from":"server","text":{"type":"heartbeatAck","timestamp":3}}
{"from":"server","text":{"type":"connectionRefreshRequired","sessionId":"a-b-100","role":"speaker","message":"m","deadline":9,"reason":"age","timestamp":4}}
{"from":"client","connection":2,"connect":{"action":"refreshConnection","role":"speaker","sessionId":"a-b-100","token":"t"}}
{"from":"server","connection":2,"text":{"type":"connectionRefreshComplete","sessionId":"a-b-100","role":"speaker","connectionId":"c2","sourceLanguage":"en","broadcastState":{"isPaused":true,"isMuted":false,"lastStateChange":2},"lastSequence":1,"timestamp":5}}
{"from":"client","close":1000}
{"from":"client","connection":2,"text":{"action":"endSession"}}
{"from":"server","connection":2,"text":{"type":"sessionEnded","sessionId":"a-b-100","message":"m","reason":"speakerEnded","timestamp":6}}
"#;

#[test]
fn a_transcript_that_is_right_is_replayed() {
    assert_eq!(replay(SPEAKER), Ok(()));
}

#[test]
fn a_transcript_that_is_wrong_is_told_by_line() {
    let wrong = SPEAKER.replace(r#""lastSequence":1"#, r#""lastSequence":0"#);
    assert!(replay(&wrong).is_ok(), "paused, so nothing is sent again");
    let wrong = SPEAKER.replace("0101656e00000001", "0101656e00000002");
    assert!(replay(&wrong).unwrap_err().starts_with("line 3: AudioFrame"));
    let wrong = SPEAKER.replace(r#""reason":"age""#, r#""reason":7"#);
    assert!(replay(&wrong).unwrap_err().starts_with("line 9: a connect is missing"));
    let cut = SPEAKER.lines().take(9).collect::<Vec<_>>().join("\n");
    assert!(replay(&cut).unwrap_err().contains("says more"));
}
