//! The commands of docs/QUICKSTART.md, run as they stand there.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ambo_testkit::ports::free_port;
use support::Running;
use tempfile::TempDir;

const GUIDE: &str = include_str!("../../../docs/QUICKSTART.md");
const ID: &str = "faithful-shepherd-427";

/// What a newcomer's terminals share.
struct Desk {
    folder: TempDir,
    port: u16,
}

/// The guide's commands that begin so.
fn commands(start: &str) -> Vec<&'static str> {
    let lines = GUIDE.lines().filter_map(|line| line.strip_prefix("$ "));
    lines.filter(|line| line.starts_with(start)).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Desk {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), port: free_port() }
    }

    /// Runs a line of the guide; only where things lie is different.
    fn run(&self, line: &str) -> Running {
        let folder = Path::new(env!("CARGO_BIN_EXE_ambo")).parent().unwrap();
        let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
        let child = Command::new("sh")
            .args(["-c", &format!("exec {line}")])
            .current_dir(root())
            .env("PATH", path)
            .env("AMBO_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("AMBO_SERVER", format!("ws://127.0.0.1:{}/ws", self.port))
            .env("AMBO_DATA_DIR", self.folder.path())
            .env("AMBO_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Running(child)
    }

    fn wait_for_the_server(&self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(60), "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Speaks and listens as the guide says; holds that every sample was heard.
    fn talk(&self) {
        let mut speaker = self.run(commands("ambo speak")[0]);
        let mut lines = BufReader::new(speaker.0.stdout.take().unwrap()).lines();
        let id = lines.find_map(|line| id_in(&line.unwrap())).expect("no session id was printed");
        let rest = std::thread::spawn(move || lines.map(Result::unwrap).collect::<Vec<_>>());

        let heard = self.folder.path().join("heard.wav");
        let line = commands("ambo listen")[0]
            .replace(ID, &id)
            .replace("heard.wav", heard.to_str().unwrap());
        let mut listener = self.run(&line);
        assert!(listener.0.wait().unwrap().success());
        assert!(speaker.0.wait().unwrap().success());
        rest.join().unwrap();
        assert!(samples(&heard) == samples(&root().join("assets/demo.wav")), "not what was spoken");
    }
}

/// An id such as faithful-shepherd-427 in a line of output.
fn id_in(line: &str) -> Option<String> {
    let is_id = |word: &&str| {
        let parts: Vec<_> = word.split('-').collect();
        matches!(parts[..], [_, _, number] if number.len() == 3 && number.parse::<u32>().is_ok())
    };
    line.split_whitespace().find(is_id).map(str::to_owned)
}

fn samples(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
    let data = bytes.windows(4).position(|four| four == b"data").unwrap();
    bytes.split_off(data + 8)
}

#[test]
fn the_tutorial_does_what_it_says() {
    let desk = Desk::new();
    let _server = desk.run(commands("ambo serve")[0]);
    desk.wait_for_the_server();
    desk.talk();

    let mut token = desk.run(commands("ambo token")[0]);
    let mut printed = String::new();
    token.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(printed.trim().split('.').count(), 3, "not a token: {printed}");
}

#[test]
fn the_tutorials_refresh_loses_nothing() {
    let desk = Desk::new();
    let _server = desk.run(commands("ambo serve")[1]);
    desk.wait_for_the_server();
    desk.talk();
}
