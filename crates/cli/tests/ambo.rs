//! The binary as people use it: a server, a speaker and a listener in processes of their own.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Output, Stdio};

use support::{Running, ambo, ignore, port_in};

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for a line of standard output with this in it.
    fn until(&mut self, wanted: &str) -> (String, BufReader<ChildStdout>) {
        let mut output = BufReader::new(self.0.stdout.take().unwrap());
        loop {
            let mut line = String::new();
            let read = output.read_line(&mut line).unwrap();
            assert!(read > 0, "{wanted:?} never came; {}", self.complaint());
            if line.contains(wanted) {
                return (line, output);
            }
        }
    }

    fn complaint(&mut self) -> String {
        let mut text = String::new();
        let _ = self.0.kill();
        if let Some(mut errors) = self.0.stderr.take() {
            let _ = errors.read_to_string(&mut text);
        }
        text
    }
}

struct Server {
    process: Running,
    folder: tempfile::TempDir,
    address: String,
}

impl Server {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Running::start(
            ambo()
                .args(["serve", "--listen", "127.0.0.1:0", "--drain-period", "0", "--data-dir"])
                .arg(folder.path())
                .args(flags),
        );
        // The log says where it listens.
        let mut log = BufReader::new(process.0.stderr.take().unwrap());
        let port = port_in(&mut log, "\"ready\"");
        ignore(log);
        Self { process, folder, address: format!("ws://127.0.0.1:{port}/ws") }
    }

    fn speak(&self, file: &Path) -> Command {
        let mut command = ambo();
        command.args(["speak", "--wait-for", "1", "--server", &self.address, "--file"]).arg(file);
        command.arg("--data-dir").arg(self.folder.path());
        command
    }

    fn listen(&self, session: &str) -> Command {
        let mut command = ambo();
        command.args(["listen", session, "--language", "es", "--server", &self.address]);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn outcome(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn id_in(line: &str) -> String {
    let is_id = |word: &&str| word.matches('-').count() == 2 && !word.contains(':');
    line.split_whitespace().find(is_id).unwrap().to_owned()
}

/// Two and a half seconds that are not the same anywhere.
fn talk(path: &Path) -> Vec<i16> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let samples: Vec<i16> = (0..40_123_u32).map(|n| (n.wrapping_mul(40_503) >> 3) as i16).collect();
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    samples
}

#[test]
fn what_is_spoken_is_heard_sample_by_sample_over_refreshes() {
    let server = Server::start(&[
        "--connection-refresh=1s",
        "--connection-warning=30s",
        "--connection-max-duration=60s",
    ]);
    let (spoken, heard) = (server.path("talk.wav"), server.path("heard.wav"));
    let samples = talk(&spoken);
    let mut speaker = Running::start(&mut server.speak(&spoken));
    let (line, mut rest) = speaker.until("is open");
    let output = server.listen(&id_in(&line)).arg("--out").arg(&heard).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", outcome(&output).1);
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.contains("126 frames, none missing"), "{summary}");
    assert!(outcome(&output).1.contains("moved to a new connection"), "{}", outcome(&output).1);
    assert_eq!(speaker.code(), Some(0));
    let mut said = String::new();
    rest.read_to_string(&mut said).unwrap();
    assert!(said.contains("Spoke 00:02 in 126 frames."), "{said}");
    let recorded: Vec<i16> =
        hound::WavReader::open(&heard).unwrap().samples().map(Result::unwrap).collect();
    assert_eq!(recorded, samples);
}

#[test]
fn each_end_has_its_exit_code_and_a_sentence() {
    let server = Server::start(&[]);
    let spoken = server.path("talk.wav");
    talk(&spoken);
    let check = |mut command: Command, code: i32, sentence: &str| {
        let (given, said) = outcome(&command.output().unwrap());
        assert_eq!(given, Some(code), "{said}");
        assert!(said.contains(sentence), "{said}");
    };
    check(server.listen("no-such-999"), 3, "There is no such session");
    check(server.listen("nosuch"), 2, "expected an id such as faithful-shepherd-427");
    let mut command = server.listen("no-such-999");
    command.args(["--out", "heard.mp3"]);
    check(command, 2, "name it .wav");
    check(server.speak(&server.path("none.wav")), 1, "No such file");
    check(server.speak(&server.path("issuer-key.pem")), 2, "neither WAV nor Ogg Opus");
    let mut command = server.speak(&spoken);
    command.args(["--token", "a.b.c"]);
    check(command, 3, "ambo token --user NAME");
    let mut command = ambo();
    command.args(["listen", "no-such-999", "--language", "es", "--server", "ws://127.0.0.1:9/ws"]);
    check(command, 4, "ambo serve");
    let mut command = ambo();
    command.args(["listen", "no-such-999", "--language", "es", "--server", "http://host/"]);
    check(command, 2, "--server");
    let mut command = ambo();
    command.args(["speak", "--server", "ws://example.org/ws", "--file"]).arg(&spoken);
    check(command, 2, "speaking needs a token");
    let mut command = ambo();
    command.args(["check-config", "--connection-refresh", "soon"]);
    check(command, 2, "connection_refresh");
}

#[test]
fn a_printed_token_opens_a_session_and_ctrl_c_ends_it() {
    let server = Server::start(&[]);
    let spoken = server.path("talk.wav");
    talk(&spoken);
    let output = ambo()
        .args(["token", "--user", "ann", "--ttl", "5m", "--data-dir"])
        .arg(server.folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", outcome(&output).1);
    let token = String::from_utf8(output.stdout).unwrap();
    let mut command = ambo();
    command.args(["speak", "--loop", "--server", &server.address, "--file"]).arg(&spoken);
    command.args(["--token", token.trim()]);
    let mut speaker = Running::start(&mut command);
    let (line, _rest) = speaker.until("is open");
    let heard = server.path("heard.wav");
    let mut listener = Running::start(server.listen(&id_in(&line)).arg("--out").arg(&heard));
    // Until something is in the file.
    while std::fs::metadata(&heard).map_or(0, |file| file.len()) < 30_000 {
        std::thread::yield_now();
    }
    listener.terminate();
    assert_eq!(listener.code(), Some(0));
    assert!(hound::WavReader::open(&heard).unwrap().len() > 10_000);
    speaker.terminate();
    assert_eq!(speaker.code(), Some(0));
    let (code, said) = outcome(&server.listen(&id_in(&line)).output().unwrap());
    assert_eq!(code, Some(3), "the session is over: {said}");
}

#[test]
fn the_demo_is_heard_by_the_command_it_prints() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Running::start(
        ambo()
            .args(["serve", "--demo", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path()),
    );
    let (line, _rest) = server.until(" listen ");
    let (_, command) = line.split_once(" listen ").unwrap();
    let heard = folder.path().join("heard.wav");
    let output = ambo()
        .arg("listen")
        .args(command.split_whitespace())
        .args(["--for", "1s", "--out"])
        .arg(&heard)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", outcome(&output).1);
    assert!(hound::WavReader::open(&heard).unwrap().len() > 8_000);
    server.terminate();
    assert_eq!(server.code(), Some(0));
}

#[test]
fn a_server_that_is_told_to_stop_does() {
    let mut server = Server::start(&[]);
    server.process.terminate();
    assert_eq!(server.process.code(), Some(0));
}
