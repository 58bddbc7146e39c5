//! The golden conversations of `protocol/transcripts`; the README there says what they mean.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::schema;
use super::{Client, Refused};

/// The subprotocol that clients may offer.
const SUBPROTOCOL: &str = "ambo.v1";

/// What a runtime can do that not every one can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Its time can be moved.
    Clock,
    /// It speaks `ambo.v1`.
    Subprotocol,
    /// It refuses handshakes.
    Refusals,
    /// It says in the body of a refused handshake why.
    RefusalBodies,
    /// It carries audio.
    Audio,
    /// It chooses the codes of its close frames.
    CloseCodes,
    /// It acts by its own timers, not only when a client is heard.
    Timers,
}

impl Ability {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Clock,
        Self::Subprotocol,
        Self::Refusals,
        Self::RefusalBodies,
        Self::Audio,
        Self::CloseCodes,
        Self::Timers,
    ];

    /// Its name in the files.
    const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Subprotocol => SUBPROTOCOL,
            Self::Refusals => "refusals",
            Self::RefusalBodies => "refusalBodies",
            Self::Audio => "audio",
            Self::CloseCodes => "closeCodes",
            Self::Timers => "timers",
        }
    }

    /// Those that a field of a line names.
    fn listed(names: &Value) -> Vec<Self> {
        let names = names.as_array().into_iter().flatten();
        let parse = |name: &Value| {
            let found = Self::ALL.into_iter().find(|ability| *name == ability.name());
            found.unwrap_or_else(|| panic!("nobody knows {name}"))
        };
        names.map(parse).collect()
    }
}

/// A runtime under test.
#[expect(async_fn_in_trait, reason = "conversations are held in one task")]
pub trait Stage {
    /// A connection attempt with this query, which offers the subprotocol if there is one.
    async fn knock(&self, query: &str, offer: Option<&str>) -> Result<Client, Refused>;

    /// A token for this user.
    fn token(&self, user: &str) -> String;

    /// Lets so much time pass, once the runtime has taken in what was sent to it.
    async fn pass(&self, span: Duration);
}

/// All conversations, by the names of their files.
pub fn conversations() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol/transcripts");
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "jsonl") {
            let name = path.file_name().unwrap().display().to_string();
            all.push((name, std::fs::read_to_string(path).unwrap()));
        }
    }
    assert!(all.len() >= 8, "some conversations are missing");
    all.sort();
    all
}

/// Holds a conversation on the stage that `set` makes from its settings, as far as that stage is
/// able to; whether it was at all.
pub async fn converse<S: Stage>(
    (name, text): (&str, &str),
    abilities: &[Ability],
    set: impl AsyncFnOnce(&Value) -> S,
) -> bool {
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let first = lines.next().unwrap();
    assert!(first["about"].is_string() && first["needs"].is_array(), "{name}: {first}");
    let is_able =
        |needs: &Value| Ability::listed(needs).iter().all(|ability| abilities.contains(ability));
    if !is_able(&first["needs"]) {
        return false;
    }
    let mut replayer = Replayer {
        stage: set(&first["settings"]).await,
        abilities: abilities.to_vec(),
        conns: HashMap::new(),
        names: HashMap::new(),
        sums: Vec::new(),
    };
    for (number, line) in lines.enumerate() {
        let without = !line["without"].is_null() && is_able(&line["without"]);
        if without || !is_able(&line["needs"]) {
            continue;
        }
        let done = AssertUnwindSafe(replayer.line(&line)).catch_unwind().await;
        assert!(done.is_ok(), "{name}, line {}: {line}", number + 2);
    }
    true
}

/// A connection, or what came of the attempt to open it.
enum Conn {
    Open(Box<Client>),
    Refused(Refused),
}

struct Replayer<S> {
    stage: S,
    abilities: Vec<Ability>,
    conns: HashMap<String, Conn>,
    /// The values that names stand for.
    names: HashMap<String, Value>,
    /// Sums that a message should hold: where, which, and what was found.
    sums: Vec<(String, String, Value)>,
}

impl<S: Stage> Replayer<S> {
    async fn line(&mut self, line: &Value) {
        if let Some(span) = line["advance"].as_str() {
            return self.stage.pass(span_of(span)).await;
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

    fn client(&mut self, conn: &str) -> &mut Client {
        match self.conns.get_mut(conn) {
            Some(Conn::Open(client)) => client,
            _ => panic!("{conn} is not open"),
        }
    }

    fn take(&mut self, conn: &str) -> Client {
        match self.conns.remove(conn) {
            Some(Conn::Open(client)) => *client,
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
            pairs.push(format!("token={}", self.stage.token(user)));
        }
        let conn_is = match self.stage.knock(&pairs.join("&"), line["offer"].as_str()).await {
            Ok(client) => Conn::Open(Box::new(client)),
            Err(refused) => Conn::Refused(refused),
        };
        self.conns.insert(conn.to_owned(), conn_is);
    }

    fn refused(&mut self, conn: &str, line: &Value) {
        let Some(Conn::Refused(refused)) = self.conns.remove(conn) else {
            panic!("{conn} was not refused");
        };
        assert_eq!(refused.status, number(&line["refused"]) as u16);
        if !self.abilities.contains(&Ability::RefusalBodies) {
            return;
        }
        schema::check_refusal(&refused.body);
        assert_eq!(refused.retry_after.is_some(), matches!(refused.status, 429 | 503));
        self.holds("body", &line["body"], &refused.body);
    }

    async fn send(&mut self, conn: &str, line: &Value) {
        if let Some(text) = line["sendText"].as_str() {
            return self.client(conn).send_text(text).await;
        }
        if let Some(frame) = line["sendBinary"].as_object() {
            return self.client(conn).send_binary(frame_of(frame)).await;
        }
        let mut message = self.filled(&line["send"]);
        if let Some(user) = line["token"].as_str() {
            message["token"] = json!(self.stage.token(user));
        }
        self.client(conn).send(&message).await;
    }

    async fn expect(&mut self, conn: &str, line: &Value) {
        if line["quiet"] == true {
            return self.client(conn).quiet().await;
        }
        let came = loop {
            let message = self.client(conn).next().await;
            if !message.as_ref().is_some_and(|message| is_beside(message, &line["expect"])) {
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
                assert!(self.client(conn).next().await.is_none());
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

/// Whether a message is a status that was not asked for, where none is expected.
fn is_beside(message: &Message, expected: &Value) -> bool {
    let Message::Text(text) = message else { return false };
    let message: Value = serde_json::from_str(text).unwrap();
    let is_expected =
        expected["type"] == "sessionStatus" && expected["updateReason"] != "requested";
    message["type"] == "sessionStatus" && message["updateReason"] != "requested" && !is_expected
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
