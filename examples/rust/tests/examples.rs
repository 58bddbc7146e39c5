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
use tokio::process::Command;

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

#[tokio::test(flavor = "multi_thread")]
async fn what_the_listener_hears_is_what_the_speaker_spoke() {
    let folder = TempDir::new().unwrap();
    let server = serve(&folder).await;
    let address = format!("ws://{}/ws", server.address());
    let (spoken, heard) = (folder.path().join("spoken.wav"), folder.path().join("heard.wav"));
    talk(&spoken);

    let mut speaker = Command::new(env!("CARGO_BIN_EXE_speaker"))
        .args(["--wait-for", "1", "--server", &address, "--file"])
        .arg(&spoken)
        .env("AMBO_TOKEN", token(&folder))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(speaker.stdout.take().unwrap()).lines();
    let session = lines.next_line().await.unwrap().unwrap();
    let listener = Command::new(env!("CARGO_BIN_EXE_listener"))
        .args([&session, "--language", "es", "--server", &address, "--out"])
        .arg(&heard)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&listener.stderr);
    assert!(listener.status.success(), "{said}");
    assert!(speaker.wait().await.unwrap().success());
    assert!(said.contains("moved to a new connection"), "{said}");
    assert!(samples(&heard) == samples(&spoken), "not what was spoken");
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
