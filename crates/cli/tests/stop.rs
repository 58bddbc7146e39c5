//! Signals: the first lets clients move elsewhere, the second ends it at once.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ambo"))
            .args(["serve", "--listen", "127.0.0.1:0", "--drain-period", "10m", "--log", "info"])
            .arg("--data-dir")
            .arg(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("\"ready\"") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it does not start");
        }
        std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        Self { process, port: port.parse().unwrap() }
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

/// Opens a session by hand, and gives the socket.
fn speak(server: &Server, folder: &Path) -> TcpStream {
    let token = Command::new(env!("CARGO_BIN_EXE_ambo"))
        .args(["token", "--user", "ann", "--data-dir"])
        .arg(folder)
        .output()
        .unwrap();
    let token = String::from_utf8(token.stdout).unwrap();
    let token = token.trim();
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "GET /ws?action=createSession&sourceLanguage=en&token={token} HTTP/1.1\r\nHost: x\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    read_until(&mut stream, b"sessionCreated");
    stream
}

fn read_until(stream: &mut TcpStream, wanted: &[u8]) {
    let mut all = Vec::new();
    while !all.windows(wanted.len()).any(|part| part == wanted) {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&all));
        all.extend(&some[..count]);
    }
}

#[test]
fn the_first_signal_drains_and_the_second_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let mut speaker = speak(&server, folder.path());
    server.signal("-TERM");
    read_until(&mut speaker, b"\"reason\":\"drain\"");
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.process.try_wait().unwrap().is_none(), "it did not wait for its client");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err(), "it still accepts");

    let start = Instant::now();
    server.signal("-TERM");
    // A close frame with code 1012.
    read_until(&mut speaker, &[0x03, 0xf4]);
    drop(speaker);
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(15), "it took {:?}", start.elapsed());

    // The session is still there: a speaker that is awaited.
    let again = Server::start(folder.path());
    let mut stream = TcpStream::connect(("127.0.0.1", again.port)).unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    std::thread::sleep(Duration::from_millis(1_500));
    stream.write_all(request.as_bytes()).unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("\nactive_sessions 1\n"), "{page}");
}
