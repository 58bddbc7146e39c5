//! What an operator does to a running server: signals, `ambo drain` and `ambo close`.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Running, ambo, ignore, port_in};
use tempfile::TempDir;

const TOKEN: &str = "correct-horse-battery-staple";
/// A close frame's code 1012.
const CLOSED_FOR_RESTART: [u8; 2] = [0x03, 0xf4];

struct Server {
    process: Running,
    folder: Arc<TempDir>,
    port: u16,
    door: String,
}

impl Server {
    fn start() -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()))
    }

    /// A server on this data folder, such as one that another server left.
    fn start_in(folder: Arc<TempDir>) -> Self {
        let mut process = ambo()
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--drain-period", "10m", "--log", "info", "--data-dir"])
            .arg(folder.path())
            .env("AMBO_ADMIN_TOKEN", TOKEN)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let door = port_in(&mut log, "answers operators");
        let port = port_in(&mut log, "\"ready\"");
        ignore(log);
        let (process, door) = (Running(process), format!("http://127.0.0.1:{door}"));
        Self { process, folder, port, door }
    }

    /// A command of an operator who knows where the server is, and its token.
    fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = ambo();
        command.args(arguments).env("AMBO_ADMIN", &self.door).env("AMBO_ADMIN_TOKEN", TOKEN);
        command
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port))
    }

    /// Opens a session by hand: its socket and its id.
    fn speak(&self) -> (TcpStream, String) {
        let mut command = ambo();
        command.args(["token", "--user", "ann", "--data-dir"]).arg(self.folder.path());
        let token = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let mut stream = self.connect().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let request = format!(
            "GET /ws?action=createSession&sourceLanguage=en&token={} HTTP/1.1\r\nHost: x\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            token.trim()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let created = read_until(&mut stream, b"expiresAt");
        let id = created.split("\"sessionId\":\"").nth(1).unwrap().split('"').next().unwrap();
        (stream, id.to_owned())
    }

    /// The page of metrics, which is for operators only where they have a door of their own.
    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.door.strip_prefix("http://").unwrap()).unwrap();
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             Authorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    }
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn read_until(stream: &mut TcpStream, wanted: &[u8]) -> String {
    let mut all = Vec::new();
    while !all.windows(wanted.len()).any(|part| part == wanted) {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend(&some[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn said(output: &Output) -> String {
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    texts.concat()
}

/// Holds a command's exit code and what it says.
fn check(command: &mut Command, code: i32, sentence: &str) {
    let output = command.output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(sentence), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn the_first_signal_drains_and_the_second_ends_it() {
    let mut server = Server::start();
    let (mut speaker, _) = server.speak();
    server.process.terminate();
    read_until(&mut speaker, b"\"reason\":\"drain\"");
    until("it accepts nobody", || server.connect().is_err());
    std::thread::sleep(Duration::from_millis(300));
    assert!(!server.process.is_over(), "it did not wait for its client");

    let start = Instant::now();
    server.process.terminate();
    read_until(&mut speaker, &CLOSED_FOR_RESTART);
    drop(speaker);
    assert_eq!(server.process.code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());

    // The session is still there: a speaker that is awaited.
    let again = Server::start_in(Arc::clone(&server.folder));
    until("the session", || again.metrics().contains("\nactive_sessions 1\n"));
}

#[test]
fn a_session_is_closed_and_its_speaker_told() {
    let server = Server::start();
    let (mut speaker, id) = server.speak();
    check(&mut server.operator(&["close", &id]), 0, &format!("{id} has ended."));
    read_until(&mut speaker, b"\"reason\":\"closedByOperator\"");
    check(&mut server.operator(&["close", &id]), 3, "There is no such session");
}

#[test]
fn each_mistake_has_its_exit_code_and_a_sentence() {
    let server = Server::start();
    check(&mut server.operator(&["close", "nosuch"]), 2, "such as faithful-shepherd-427");
    for command in [&["drain"][..], &["close", "no-such-999"]] {
        let mut nobody = server.operator(command);
        check(nobody.env_remove("AMBO_ADMIN_TOKEN"), 3, "Authentication required");
        let mut wrong = server.operator(command);
        check(wrong.env("AMBO_ADMIN_TOKEN", "wrong"), 3, "AMBO_ADMIN_TOKEN");
        let mut nowhere = server.operator(command);
        check(nowhere.args(["--admin", "http://127.0.0.1:9"]), 4, "AMBO_ADMIN_LISTEN");
        let mut audience = server.operator(command);
        let address = format!("http://127.0.0.1:{}", server.port);
        check(audience.args(["--admin", &address]), 4, "is no admin listener");
        let mut bad = server.operator(command);
        check(bad.args(["--admin", "127.0.0.1:8081"]), 2, "--admin");
    }
}

#[test]
fn a_drain_is_begun_once_and_waited_for() {
    let mut server = Server::start();
    let (mut speaker, _) = server.speak();
    check(&mut server.operator(&["drain"]), 0, "The node leaves: 1 connection, 600 s at most.");
    read_until(&mut speaker, b"\"reason\":\"drain\"");
    let mut waiting = server.operator(&["drain", "--wait"]);
    let mut waiting = waiting.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(waiting.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("The node is leaving already: 1 connection, "), "{line}");
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
    drop(speaker);
    line.clear();
    output.read_to_string(&mut line).unwrap();
    assert!(line.starts_with("The node has stopped"), "{line}");
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    assert_eq!(server.process.code(), Some(0));
}

#[test]
fn a_signal_joins_the_operators_drain_and_the_next_one_ends_it() {
    let mut server = Server::start();
    let (mut speaker, _) = server.speak();
    check(&mut server.operator(&["drain"]), 0, "The node leaves");
    read_until(&mut speaker, b"\"reason\":\"drain\"");
    server.process.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!server.process.is_over(), "the signal ended the drain");
    check(&mut server.operator(&["drain"]), 0, "leaving already: 1 connection");
    server.process.terminate();
    read_until(&mut speaker, &CLOSED_FOR_RESTART);
    drop(speaker);
    assert_eq!(server.process.code(), Some(0));
}
