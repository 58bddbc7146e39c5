//! Golden conversations (`protocol/transcripts`): the machine is given what the server says in
//! them, and must say what the client says.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use ambo_client::{
    AudioFrame, Command, ConnectQuery, Control, Effect, ErrorBody, Failure, Frame, Framing, Input,
    Kind, Language, Machine, Message, Millis, QualityTier, Refused, Role, SessionId, SocketId,
    Timing,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// One person of a conversation, on as many connections as it takes.
struct Player {
    machine: Machine,
    now: u64,
    /// What the machine wants and the transcript has not yet shown.
    wanted: VecDeque<Effect>,
    /// The machine's sockets by the transcript's names.
    sockets: BTreeMap<String, SocketId>,
    opened: Vec<SocketId>,
    /// What `$name` stands for.
    names: BTreeMap<String, Value>,
}

/// Replays a transcript for everybody in it.
fn replay(transcript: &str) -> Result<(), String> {
    let lines = transcript.lines().filter(|line| !line.trim().is_empty());
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    // What is said without some ability, is not said to us.
    let lines: Vec<Value> = lines.filter(|line| line["without"].is_null()).collect();
    if lines.first().is_some_and(|line| line["clients"] == false) {
        return Ok(());
    }
    let mut people: Vec<&str> = lines.iter().filter_map(person).collect();
    people.sort_unstable();
    people.dedup();
    people.into_iter().try_for_each(|who| replay_as(who, &lines))
}

fn person(line: &Value) -> Option<&str> {
    line["conn"].as_str()?.split('/').next()
}

fn replay_as(who: &str, lines: &[Value]) -> Result<(), String> {
    let is_mine = |line: &&Value| person(line).is_none_or(|speaks| speaks == who);
    let first = lines.iter().filter(is_mine).find_map(|line| line["query"].as_object());
    let role = role(first.ok_or_else(|| format!("{who} never connects"))?);
    let mut player = Player {
        machine: Machine::new(role, Timing::default()),
        now: 0,
        wanted: VecDeque::new(),
        sockets: BTreeMap::new(),
        opened: Vec::new(),
        names: BTreeMap::from([("$session".to_owned(), json!(ID))]),
    };
    player.give(Input::Start);
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| is_mine(line)) {
        player.line(line).map_err(|error| format!("line {}, {who}: {error}", at + 1))?;
    }
    match player.unsaid() {
        Some(effect) => Err(format!("{who} says more: {effect:?}")),
        None => Ok(()),
    }
}

fn role(query: &Map<String, Value>) -> Role {
    let text = |name: &str| query.get(name).and_then(Value::as_str);
    let language = |name: &str| text(name).and_then(Language::parse);
    let session = text("sessionId").map(|_| SessionId::parse(ID).unwrap());
    if text("targetLanguage").is_some() {
        let language = language("targetLanguage").unwrap();
        return Role::Listener { session: session.unwrap(), language };
    }
    let quality = text("qualityTier").and_then(QualityTier::parse);
    Role::Speaker {
        session,
        language: language("sourceLanguage").unwrap_or(Language::parse("en").unwrap()),
        quality: quality.unwrap_or(QualityTier::Standard),
    }
}

impl Player {
    fn give(&mut self, input: Input) {
        let effects = self.machine.handle(input, Millis(self.now), 7);
        self.wanted.extend(effects);
    }

    fn line(&mut self, line: &Value) -> Result<(), String> {
        if let Some(span) = line["advance"].as_str() {
            self.pass(millis(span));
            return Ok(());
        }
        let Some(name) = line["conn"].as_str() else { return Ok(()) };
        if line["do"] == "connect" {
            let framing = if line["offer"] == "ambo.v1" { Framing::Binary } else { Framing::Json };
            return self.connects(name, line["query"].as_object().unwrap(), framing);
        }
        let socket = *self.sockets.get(name).ok_or_else(|| format!("{name} is not open"))?;
        match (line["do"].as_str(), line["quiet"].as_bool()) {
            (Some("close"), _) => return self.closes(socket),
            (Some("vanish"), _) => {
                self.give(Input::Closed { socket, code: None, reason: String::new() });
            }
            (_, Some(true)) => {}
            _ => return self.says_or_hears(socket, line),
        }
        Ok(())
    }

    fn says_or_hears(&mut self, socket: SocketId, line: &Value) -> Result<(), String> {
        if let Some(message) = line["send"].as_object() {
            return self.says(socket, message);
        }
        if line["sendBinary"].is_object() {
            return self.speaks(socket, &frame(&line["sendBinary"]));
        }
        if line["expect"].is_object() {
            let text = self.whole(&line["expect"]).to_string();
            self.give(Input::Text { socket, text });
        } else if line["expectBinary"].is_object() {
            let bytes = frame(&line["expectBinary"]).encode();
            self.give(Input::Binary { socket, bytes });
        } else if let Some(code) = line["expectClose"].as_u64() {
            let reason = line["reason"].as_str().unwrap_or_default().into();
            self.give(Input::Closed { socket, code: u16::try_from(code).ok(), reason });
        } else if let Some(status) = line["refused"].as_u64() {
            let body: ErrorBody = serde_json::from_value(self.whole(&line["body"])).unwrap();
            let refused = Refused { status: status as u16, ..Refused::of(body) };
            let failure = Failure::Refused(Box::new(refused));
            self.give(Input::Failed { socket, failure });
        } else {
            return Err(format!("no client does this: {line}"));
        }
        Ok(())
    }

    fn connects(
        &mut self,
        name: &str,
        expected: &Map<String, Value>,
        framing: Framing,
    ) -> Result<(), String> {
        let is_open = |effect: &Effect| matches!(effect, Effect::Open { .. });
        self.wait_for(is_open);
        let Effect::Open { socket, query } = self.take("a connect", is_open)? else {
            return Ok(());
        };
        let given = parameters(&query);
        for (name, value) in expected.iter().filter(|(name, _)| *name != "token") {
            let expected = self.value(name, value);
            let expected = expected.as_str().map_or(expected.to_string(), str::to_owned);
            // What the server made up, such as a refresh token, is not worth a comparison.
            let is_free = value.as_str().is_some_and(|text| text.starts_with("$_"));
            if !is_free && given.get(name) != Some(&expected) {
                return Err(format!("{name} should be {expected}, in {given:?}"));
            }
        }
        self.sockets.insert(name.to_owned(), socket);
        self.opened.push(socket);
        self.give(Input::Opened { socket, framing });
        Ok(())
    }

    fn says(&mut self, socket: SocketId, expected: &Map<String, Value>) -> Result<(), String> {
        let action = expected["action"].clone();
        let is_it = move |effect: &Effect| match effect {
            Effect::Text { socket: on, text }
            | Effect::Audio { socket: on, message: Message::Text(text) } => {
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
        let effect = self.take("a message", is_it)?;
        let (Effect::Text { text, .. } | Effect::Audio { message: Message::Text(text), .. }) =
            effect
        else {
            return Ok(());
        };
        let said: Value = serde_json::from_str(&text).unwrap();
        let differs = |(name, value): &(&String, &Value)| {
            // A client need not name its session, nor the time.
            let is_free = matches!(name.as_str(), "timestamp" | "sessionId");
            !is_free && said[name.as_str()] != **value
        };
        match expected.iter().find(differs) {
            Some((name, value)) => Err(format!("{name} should be {value}, in {said}")),
            None => Ok(()),
        }
    }

    fn speaks(&mut self, socket: SocketId, expected: &AudioFrame) -> Result<(), String> {
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
        if (on, &said) == (socket, expected) {
            return Ok(());
        }
        Err(format!("{said:?} should be {expected:?}"))
    }

    fn closes(&mut self, socket: SocketId) -> Result<(), String> {
        let closes = |effect: &Effect| matches!(effect, Effect::Close { socket: closed, .. } if *closed == socket);
        if !self.wanted.iter().any(closes) {
            self.give(Input::Command(Command::Leave));
        }
        self.take("a close", closes).map(drop)
    }

    /// Lets time pass, on lines that answer pings and heartbeats.
    fn pass(&mut self, span: u64) {
        let until = self.now + span;
        while let Some(at) = self.machine.deadline().filter(|at| at.0 <= until) {
            self.tick(at.0);
        }
        self.now = until;
    }

    /// The same, until the machine wants it or a minute is over.
    fn wait_for(&mut self, is_it: impl Fn(&Effect) -> bool) {
        let until = self.now + 60_000;
        while !self.wanted.iter().any(&is_it) {
            let Some(at) = self.machine.deadline().filter(|at| at.0 <= until) else { return };
            self.tick(at.0);
        }
    }

    fn tick(&mut self, at: u64) {
        self.now = self.now.max(at);
        self.give(Input::Tick);
        let ping = |effect: &Effect| matches!(effect, Effect::Ping { .. });
        while let Some(at) = self.wanted.iter().position(ping) {
            let Some(Effect::Ping { socket }) = self.wanted.remove(at) else { return };
            self.give(Input::Pong { socket });
        }
    }

    fn take(&mut self, what: &str, is_it: impl Fn(&Effect) -> bool) -> Result<Effect, String> {
        let at = self.wanted.iter().position(is_it);
        at.and_then(|at| self.wanted.remove(at))
            .ok_or_else(|| format!("{what} is missing; the machine wants {:?}", self.wanted))
    }

    /// What the machine said and the transcript does not know; it may beat as often as it likes.
    fn unsaid(&self) -> Option<&Effect> {
        self.wanted.iter().find(|effect| match effect {
            Effect::Text { text, .. } => !text.contains(r#""heartbeat""#),
            Effect::Open { .. } | Effect::Audio { .. } => true,
            _ => false,
        })
    }

    /// A message of which the transcript names a part.
    fn whole(&mut self, part: &Value) -> Value {
        // When it changed is mostly left open: then all of it is equally new.
        let state = json!({ "isPaused": false, "isMuted": false, "lastStateChange": 1_000_000 });
        let mut whole = json!({
            "sessionId": ID, "sourceLanguage": "en", "targetLanguage": "es", "role": "speaker",
            "qualityTier": "standard", "connectionId": "c", "expiresAt": 1, "timestamp": 1,
            "broadcastState": state, "message": "m", "deadline": 1, "reason": "r",
            "remainingMinutes": 1, "listenerCount": 1, "languageDistribution": {},
            "sessionDuration": 1, "updateReason": "requested", "language": "en", "sequence": 1,
            "audioData": "AAA=",
        });
        for (name, value) in part.as_object().into_iter().flatten() {
            whole[name] = self.value(name, value);
        }
        whole
    }

    /// A value with its names replaced; one that has none yet is made up.
    fn value(&mut self, field: &str, value: &Value) -> Value {
        if let Some(fields) = value.as_object() {
            let inside = |(name, value): (&String, &Value)| (name.clone(), self.value(name, value));
            return fields.iter().map(inside).collect();
        }
        let Some(name) = value.as_str().filter(|text| text.starts_with('$')) else {
            return value.clone();
        };
        let (name, more) = name.split_once('+').unwrap_or((name, "0"));
        let is_number =
            field.starts_with("last") || matches!(field, "timestamp" | "expiresAt" | "deadline");
        let made_up = if is_number { json!(1_000_000) } else { json!(format!("made-up-{field}")) };
        if name == "$_" {
            return made_up;
        }
        let known = self.names.entry(name.to_owned()).or_insert(made_up).clone();
        match (known.as_u64(), more.parse::<u64>()) {
            (Some(number), Ok(more)) => json!(number + more),
            _ => known,
        }
    }
}

const ID: &str = "faithful-shepherd-427";

/// What the user did, so that the client said this; `None` if it says it of itself.
fn command(said: &Map<String, Value>) -> Option<Command> {
    let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(match text("action")?.as_str() {
        "controlSession" => {
            let control = Control::parse(&text("command")?)?;
            Command::Control { control, message: text("message") }
        }
        "changeLanguage" => Command::ChangeLanguage { target: text("targetLanguage")? },
        "getSessionStatus" => Command::Status,
        "endSession" => Command::End { reason: text("reason") },
        "sendAudio" => {
            let payload = STANDARD.decode(text("audioData")?).ok()?.into();
            Command::Send(Frame { kind: Kind::Audio, captured_micros: 0, payload })
        }
        _ => return None,
    })
}

fn frame(line: &Value) -> AudioFrame {
    AudioFrame {
        kind: if line["kind"] == 2 { Kind::Configuration } else { Kind::Audio },
        language: Language::parse(line["language"].as_str().unwrap()).unwrap(),
        sequence: u32::try_from(line["sequence"].as_u64().unwrap()).unwrap(),
        captured_micros: line["captured"].as_u64().unwrap(),
        payload: Bytes::from(STANDARD.decode(line["payload"].as_str().unwrap()).unwrap()),
    }
}

fn parameters(query: &ConnectQuery) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(query.encode().as_bytes()).into_owned().collect()
}

fn millis(span: &str) -> u64 {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let parse = |(unit, millis)| Some(span.strip_suffix(unit)?.parse::<u64>().ok()? * millis);
    units.into_iter().find_map(parse).unwrap()
}

#[test]
fn the_golden_transcripts_are_what_the_machine_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/transcripts");
    let mut failures = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
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

const CONVERSATION: &str = r#"
{"about": "a good speaker and a good listener, who refresh, pause and end"}
{"conn": "ann", "do": "connect", "query": {"action": "createSession", "sourceLanguage": "en"}, "token": "ann", "offer": "ambo.v1"}
{"conn": "ann", "expect": {"type": "sessionCreated", "sessionId": "$session", "timestamp": "$start", "expiresAt": "$start+7200000"}}
{"conn": "eva", "do": "connect", "query": {"action": "joinSession", "sessionId": "$session", "targetLanguage": "es"}, "offer": "ambo.v1"}
{"conn": "eva", "expect": {"type": "sessionJoined"}}
{"conn": "ann", "sendBinary": {"kind": 1, "language": "en", "sequence": 1, "captured": 5, "payload": "AAH/gA=="}}
{"conn": "eva", "expectBinary": {"kind": 1, "language": "en", "sequence": 1, "captured": 5, "payload": "AAH/gA=="}}
{"advance": "100m"}
{"conn": "eva", "send": {"action": "heartbeat"}}
{"conn": "eva", "expect": {"type": "connectionRefreshRequired", "role": "listener", "reason": "age", "refreshToken": "$token"}}
{"conn": "eva/2", "do": "connect", "query": {"action": "refreshConnection", "role": "listener", "sessionId": "$session", "targetLanguage": "es", "refreshToken": "$token", "lastSequence": 1}, "offer": "ambo.v1"}
{"conn": "eva/2", "expect": {"type": "connectionRefreshComplete", "role": "listener", "replayed": 0}}
{"conn": "eva", "do": "close", "code": 1000}
{"conn": "ann", "do": "vanish"}
{"conn": "ann/2", "do": "connect", "query": {"action": "refreshConnection", "role": "speaker", "sessionId": "$session"}, "token": "ann", "offer": "ambo.v1"}
{"conn": "ann/2", "expect": {"type": "connectionRefreshComplete", "role": "speaker", "lastSequence": 1}}
{"conn": "ann/2", "send": {"action": "controlSession", "command": "pause", "message": "soon"}}
{"conn": "eva/2", "send": {"action": "changeLanguage", "targetLanguage": "de"}}
{"conn": "ann/2", "send": {"action": "endSession", "reason": "bye"}}
{"conn": "ann/2", "expect": {"type": "sessionEnded", "reason": "speakerEnded"}}
{"conn": "eva/2", "expect": {"type": "sessionEnded", "reason": "speakerEnded"}}
{"conn": "eva/2", "expectClose": 1000}
"#;

#[test]
fn a_transcript_that_is_right_is_replayed() {
    assert_eq!(replay(CONVERSATION), Ok(()));
}

#[test]
fn a_transcript_that_is_wrong_is_told_by_line() {
    let wrong = CONVERSATION.replacen(r#""sequence": 1"#, r#""sequence": 2"#, 1);
    assert!(replay(&wrong).unwrap_err().starts_with("line 6, ann: AudioFrame"));
    let wrong = CONVERSATION.replace(r#""lastSequence": 1}, "o"#, r#""lastSequence": 9}, "o"#);
    assert!(replay(&wrong).unwrap_err().starts_with("line 11, eva: lastSequence should be 9"));
    let cut = CONVERSATION.lines().take(11).collect::<Vec<_>>().join("\n");
    assert!(replay(&cut).unwrap_err().contains("eva says more"));
}
