//! The examples as a newcomer runs them, against a real server: what is heard is what was spoken.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_server::{Clock, Server, Settings};
use hound::WavReader;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server whose connections are replaced every second.
async fn serve(folder: &TempDir) -> Server {
    let mut settings = Settings::default();
    settings.listen = "127.0.0.1:0".parse().unwrap();
    settings.data_dir = folder.path().to_owned();
    settings.connection_refresh = std::time::Duration::from_secs(1);
    Server::start(&settings, Clock::system()).await.unwrap()
}

fn token(folder: &TempDir) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let (now, hour) = (Millis(since.as_millis() as u64), Millis::from_mins(60));
    LocalIssuer::open(folder.path()).unwrap().issue("ann", hour, now).unwrap().0.into()
}

/// The first three seconds of the recording that comes with the project.
fn talk(to: &Path) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo.wav");
    let mut whole = WavReader::open(path).unwrap();
    let spec = whole.spec();
    let mut part = hound::WavWriter::create(to, spec).unwrap();
    for sample in whole.samples::<i16>().take(spec.sample_rate as usize * 3) {
        part.write_sample(sample.unwrap()).unwrap();
    }
    part.finalize().unwrap();
}

fn samples(path: &Path) -> Vec<i16> {
    WavReader::open(path).unwrap().samples().map(Result::unwrap).collect()
}

/// A speaker that has told its session.
async fn speaker(folder: &TempDir, address: &str, wait_for: &str) -> (Child, String) {
    let spoken = folder.path().join("spoken.wav");
    talk(&spoken);
    let mut speaker = Command::new(env!("CARGO_BIN_EXE_speaker"))
        .args(["--wait-for", wait_for, "--server", address, "--file"])
        .arg(&spoken)
        .env("AMBO_TOKEN", token(folder))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(speaker.stdout.take().unwrap()).lines();
    let session = lines.next_line().await.unwrap().unwrap();
    (speaker, session)
}

fn listener(folder: &TempDir, address: &str, session: &str) -> Command {
    let mut listener = Command::new(env!("CARGO_BIN_EXE_listener"));
    listener.args([session, "--language", "es", "--server", address, "--out"]);
    listener.arg(folder.path().join("heard.wav")).stderr(Stdio::piped()).kill_on_drop(true);
    listener
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_listener_hears_is_what_the_speaker_spoke() {
    let folder = TempDir::new().unwrap();
    let server = serve(&folder).await;
    let address = format!("ws://{}/ws", server.address());
    let (mut speaker, session) = speaker(&folder, &address, "1").await;
    let listener = listener(&folder, &address, &session).output().await.unwrap();
    let said = String::from_utf8_lossy(&listener.stderr);
    assert!(listener.status.success(), "{said}");
    assert!(speaker.wait().await.unwrap().success());
    assert!(said.contains("moved to a new connection"), "{said}");
    let [heard, spoken] =
        ["heard.wav", "spoken.wav"].map(|name| samples(&folder.path().join(name)));
    assert!(heard == spoken, "not what was spoken");
    server.stop(std::future::ready(())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_session_before_the_first_word_too() {
    let folder = TempDir::new().unwrap();
    let server = serve(&folder).await;
    let address = format!("ws://{}/ws", server.address());
    let (mut speaker, session) = speaker(&folder, &address, "2").await;
    let mut listener = listener(&folder, &address, &session).spawn().unwrap();
    let mut lines = BufReader::new(listener.stderr.take().unwrap()).lines();
    assert!(lines.next_line().await.unwrap().unwrap().contains("listening"));
    let id = speaker.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let mut told = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        told += &line;
    }
    assert!(told.contains("speakerEnded"), "{told}");
    assert!(speaker.wait().await.unwrap().success());
    assert!(listener.wait().await.unwrap().success());
    server.stop(std::future::ready(())).await.unwrap();
}

#[tokio::test]
async fn help_is_there() {
    for program in [env!("CARGO_BIN_EXE_speaker"), env!("CARGO_BIN_EXE_listener")] {
        let output = Command::new(program).arg("--help").output().await.unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("WAV"), "{program}");
    }
}
