//! The golden conversations of `protocol/transcripts`, replayed; its README says what they mean.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambo_server::settings::{self, Settings, Sources};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{AMBO, Peer, Refused, World};
use crate::support::settle;

#[tokio::test]
async fn every_golden_conversation_is_held() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/transcripts");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let is_transcript = |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl");
    let files: Vec<_> = files.filter(is_transcript).collect();
    assert!(files.len() >= 8);
    for file in files {
        let name = file.file_name().unwrap().display().to_string();
        replay(&name, &std::fs::read_to_string(&file).unwrap()).await;
    }
}

const SMALL: &str = r#"{"about": "", "needs": [], "clients": false}
{"conn": "a", "do": "connect", "query": {"action": "createSession", "sourceLanguage": "en"}, "token": "a"}
{"conn": "a", "expect": {"type": "sessionCreated", "sessionId": "$s", "timestamp": "$x", "expiresAt": "$x+7200000", "a": null}}
{"conn": "a", "send": {"action": "getSessionStatus"}}
{"conn": "a", "expect": {"type": "sessionStatus", "sessionId": "$s", "listenerCount": 0}}"#;

#[tokio::test]
async fn a_conversation_that_went_otherwise_is_told_by_its_line() {
    replay("small", SMALL).await;
    let cases = [
        ("\"$s\", \"listenerCount\"", "\"$x\", \"listenerCount\"", 5),
        ("\"listenerCount\": 0", "\"listenerCount\": 1", 5),
        ("\"listenerCount\": 0", "\"broadcastState\": {\"isPaused\": true}", 5),
        ("\"a\": null", "\"a\": \"$_\"", 3),
        ("\"a\": null", "\"timestamp\": null", 3),
        ("$x+7200000", "$x+7200001", 3),
        ("\"expect\": {\"type\": \"sessionCreated\"", "\"expectBinary\": {\"kind\": \"1\"", 3),
        (
            "{\"type\": \"sessionStatus\", \"sessionId\": \"$s\", \"listenerCount\": 0}",
            "{}, \"do\": \"x\"",
            5,
        ),
    ];
    for (from, to, line) in cases {
        let wrong = SMALL.replacen(from, to, 1);
        assert_ne!(wrong, SMALL, "{from}");
        let told = AssertUnwindSafe(replay("small", &wrong)).catch_unwind().await.unwrap_err();
        let told = told.downcast_ref::<String>().unwrap();
        assert!(told.starts_with(&format!("small, line {line}:")), "{told}");
    }
}

async fn replay(name: &str, text: &str) {
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = lines.next().unwrap();
    assert!(first["about"].is_string() && first["needs"].is_array(), "{name}: {first}");
    let world = World::start(|settings| configure(settings, &first["settings"])).await;
    let mut replayer =
        Replayer { world, conns: HashMap::new(), names: HashMap::new(), sums: Vec::new() };
    for (number, line) in lines.enumerate() {
        let done = AssertUnwindSafe(replayer.line(&line)).catch_unwind().await;
        assert!(done.is_ok(), "{name}, line {}: {line}", number + 2);
    }
    let Replayer { world, conns, .. } = replayer;
    drop(conns);
    world.stop().await;
}

fn configure(settings: &mut Settings, given: &Value) {
    let given = given.as_object().into_iter().flatten();
    let flags = given.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    let sources = Sources { flags: flags.collect(), ..Sources::default() };
    let (listen, data_dir) = (settings.listen, settings.data_dir.clone());
    *settings = settings::load(&sources).unwrap();
    (settings.listen, settings.data_dir) = (listen, data_dir);
}

/// A connection, or what came of the attempt to open it.
enum Conn {
    Open(Box<Peer>),
    Refused(Refused),
}

struct Replayer {
    world: World,
    conns: HashMap<String, Conn>,
    /// The values that names stand for.
    names: HashMap<String, Value>,
    /// Sums that a message should hold: where, which, and what was found.
    sums: Vec<(String, String, Value)>,
}

impl Replayer {
    async fn line(&mut self, line: &Value) {
        if let Some(span) = line["advance"].as_str() {
            settle(&self.world).await;
            self.world.pass(span_of(span)).await;
            return settle(&self.world).await;
        }
        let conn = line["conn"].as_str().expect("every line has a connection");
        let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
        match (line["do"].as_str(), keys.as_slice()) {
            (Some("connect"), _) => self.connect(conn, line).await,
            (Some("close"), _) => self.take(conn).leave(number(&line["code"]) as u16).await,
            (Some("vanish"), _) => self.take(conn).vanish(),
            (None, keys) if keys.contains(&"refused") => self.refused(conn, line),
            (None, keys) if keys.iter().any(|key| key.starts_with("send")) => {
                self.send(conn, line).await;
            }
            (None, _) => self.expect(conn, line).await,
            (Some(other), _) => panic!("{other} is unknown"),
        }
    }

    fn peer(&mut self, conn: &str) -> &mut Peer {
        match self.conns.get_mut(conn) {
            Some(Conn::Open(peer)) => peer,
            _ => panic!("{conn} is not open"),
        }
    }

    fn take(&mut self, conn: &str) -> Peer {
        match self.conns.remove(conn) {
            Some(Conn::Open(peer)) => *peer,
            _ => panic!("{conn} is not open"),
        }
    }

    async fn connect(&mut self, conn: &str, line: &Value) {
        let mut pairs = Vec::new();
        for (name, value) in line["query"].as_object().unwrap() {
            let value = match self.filled(value) {
                Value::String(text) => text,
                number => number.to_string(),
            };
            pairs.push(format!("{name}={}", encoded(&value)));
        }
        if let Some(user) = line["token"].as_str() {
            pairs.push(format!("token={}", self.world.token(user)));
        }
        let headers = if line["offer"] == AMBO.1 { &[AMBO][..] } else { &[] };
        let conn_is = match self.world.knock(&format!("/ws?{}", pairs.join("&")), headers).await {
            Ok(peer) => Conn::Open(Box::new(peer)),
            Err(refused) => Conn::Refused(refused),
        };
        self.conns.insert(conn.to_owned(), conn_is);
    }

    fn refused(&mut self, conn: &str, line: &Value) {
        let Some(Conn::Refused(refused)) = self.conns.remove(conn) else {
            panic!("{conn} was not refused");
        };
        assert_eq!(refused.status, number(&line["refused"]) as u16);
        assert_eq!(refused.retry_after.is_some(), matches!(refused.status, 429 | 503));
        self.holds("body", &line["body"], &refused.body);
    }

    async fn send(&mut self, conn: &str, line: &Value) {
        if let Some(text) = line["sendText"].as_str() {
            return self.peer(conn).send_text(text).await;
        }
        if let Some(frame) = line["sendBinary"].as_object() {
            return self.peer(conn).send_binary(frame_of(frame)).await;
        }
        let mut message = self.filled(&line["send"]);
        if let Some(user) = line["token"].as_str() {
            message["token"] = json!(self.world.token(user));
        }
        self.peer(conn).send(message).await;
    }

    async fn expect(&mut self, conn: &str, line: &Value) {
        if line["quiet"] == true {
            return self.peer(conn).quiet().await;
        }
        let wants_status = line["expect"]["type"] == "sessionStatus";
        let came = loop {
            let message = self.peer(conn).next().await;
            if wants_status || !message.as_ref().is_some_and(is_pushed_status) {
                break message;
            }
        };
        match came {
            Some(Message::Text(text)) if !line["expect"].is_null() => {
                let message: Value = serde_json::from_str(&text).unwrap();
                self.holds("message", &line["expect"], &message);
            }
            Some(Message::Binary(bytes)) if !line["expectBinary"].is_null() => {
                self.holds("frame", &line["expectBinary"], &parsed(&bytes));
            }
            Some(Message::Close(Some(close))) if !line["expectClose"].is_null() => {
                let close =
                    json!({ "code": u16::from(close.code), "reason": close.reason.as_str() });
                assert_eq!(close["code"], line["expectClose"]);
                if !line["reason"].is_null() {
                    assert_eq!(close["reason"], line["reason"]);
                }
                // The answer to it leaves with the next reading.
                assert!(self.peer(conn).next().await.is_none());
                self.conns.remove(conn);
            }
            other => panic!("there came {other:?}"),
        }
    }

    /// Holds that a value is what is expected, and learns what the names in it stand for.
    fn holds(&mut self, place: &str, expected: &Value, found: &Value) {
        self.suits(place, expected, found);
        // A sum may stand before the name in it.
        for (place, sum, found) in std::mem::take(&mut self.sums) {
            assert_eq!(Some(found), self.value(&sum), "{place} should be {sum}");
        }
    }

    fn suits(&mut self, place: &str, expected: &Value, found: &Value) {
        match expected {
            Value::Object(fields) => {
                for (name, expected) in fields {
                    self.suits(&format!("{place}.{name}"), expected, &found[name]);
                }
            }
            Value::String(text) if text == "$_" => assert_ne!(*found, Value::Null, "{place}"),
            Value::String(text) if text.starts_with('$') && text.contains('+') => {
                self.sums.push((place.to_owned(), text.clone(), found.clone()));
            }
            Value::String(text) if text.starts_with('$') => {
                assert_ne!(*found, Value::Null, "{place}");
                let known = self.value(text).unwrap_or_else(|| found.clone());
                assert_eq!(*found, known, "{place} should be {text}");
                self.names.entry(text.clone()).or_insert(known);
            }
            expected => assert_eq!(found, expected, "{place}"),
        }
    }

    /// What a name, or a name with a number added, stands for.
    fn value(&self, text: &str) -> Option<Value> {
        match text.split_once('+') {
            None => self.names.get(text).cloned(),
            Some((name, more)) => {
                let more: u64 = more.parse().unwrap();
                Some(json!(number(self.names.get(name)?) + more))
            }
        }
    }

    /// A value to be sent, with what its names stand for.
    fn filled(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if text.starts_with('$') => {
                self.value(text).unwrap_or_else(|| panic!("{text} is not known"))
            }
            Value::Object(fields) => {
                let filled = |(name, value): (&String, &Value)| (name.clone(), self.filled(value));
                Value::Object(fields.iter().map(filled).collect())
            }
            other => other.clone(),
        }
    }
}

fn is_pushed_status(message: &Message) -> bool {
    let Message::Text(text) = message else { return false };
    let message: Value = serde_json::from_str(text).unwrap();
    message["type"] == "sessionStatus" && message["updateReason"] != "requested"
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn span_of(text: &str) -> Duration {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let amount: u64 = digits.parse().unwrap();
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        unit => panic!("{unit} is no unit of time"),
    };
    Duration::from_millis(amount * millis)
}

fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let one = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn frame_of(fields: &Map<String, Value>) -> Vec<u8> {
    let language = fields["language"].as_str().unwrap().as_bytes();
    let mut frame = vec![1, number(&fields["kind"]) as u8];
    frame.extend(language);
    frame.extend((number(&fields["sequence"]) as u32).to_be_bytes());
    frame.extend(number(&fields["captured"]).to_be_bytes());
    frame.extend(STANDARD.decode(fields["payload"].as_str().unwrap()).unwrap());
    frame
}

fn parsed(frame: &[u8]) -> Value {
    assert_eq!(frame[0], 1, "the version");
    json!({
        "kind": frame[1],
        "language": std::str::from_utf8(&frame[2..4]).unwrap(),
        "sequence": u32::from_be_bytes(frame[4..8].try_into().unwrap()),
        "captured": u64::from_be_bytes(frame[8..16].try_into().unwrap()),
        "payload": STANDARD.encode(&frame[16..]),
    })
}
