//! What can be done to a whole process only: this test binary runs itself again, in a shell that
//! limits it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use ambo_server::{Clock, Server};
use futures_util::SinkExt;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{AMBO, Peer, frame};
use crate::support::{PATIENCE, ask, settings, status};

const FOLDER: &str = "AMBO_TEST_CHILD_FOLDER";

/// Not a test: the server that the tests below start in another process.
#[tokio::test]
async fn serve_as_a_child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mut settings = settings(&TempDir::new().unwrap());
    settings.data_dir = folder.clone().into();
    let server = Server::start(&settings, Clock::system()).await.unwrap();
    let address = server.address().to_string();
    std::fs::write(Path::new(&folder).join("address.new"), address).unwrap();
    std::fs::rename(Path::new(&folder).join("address.new"), Path::new(&folder).join("address"))
        .unwrap();
    std::future::pending::<()>().await;
}

/// A server in a process of its own.
struct Limited {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Limited {
    /// Starts one after a shell has run `limit`.
    async fn start(limit: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let program = std::env::current_exe().unwrap();
        let script = format!("{limit}; exec \"$0\" \"$@\"");
        let child = Command::new("sh")
            .args(["-c", &script])
            .arg(program)
            .args(["child::serve_as_a_child", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        let address = loop {
            if let Ok(address) = std::fs::read_to_string(folder.path().join("address")) {
                break address.parse().unwrap();
            }
            assert!(start.elapsed() < PATIENCE, "the child does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Self { child, folder, address }
    }

    async fn try_connect(&self, query: &str) -> Result<Peer, u16> {
        let mut request =
            format!("ws://{}/ws?{query}", self.address).into_client_request().unwrap();
        request.headers_mut().insert(AMBO.0, AMBO.1.parse().unwrap());
        let connected = tokio_tungstenite::connect_async(request).await;
        let (socket, response) = connected.map_err(|_| 0_u16)?;
        Ok(Peer { socket, response: response.map(|_| ()) })
    }

    /// A session by a user of this number; or the code of the refusal.
    async fn speak(&self, number: usize) -> Result<(Peer, String), String> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let issuer = LocalIssuer::open(self.folder.path()).unwrap();
        let user = format!("{}{number}", "long-name-".repeat(20));
        let now = Millis(now.as_millis() as u64);
        let token = issuer.issue(&user, Millis::from_mins(60), now).unwrap().0;
        let query = format!("action=createSession&sourceLanguage=en&token={token}");
        let mut peer = self.try_connect(&query).await.unwrap();
        let message = peer.json().await;
        match message["code"].as_str() {
            Some(code) => Err(code.to_owned()),
            None => Ok((peer, message["sessionId"].as_str().unwrap().to_owned())),
        }
    }

    async fn listen(&self, session: &str) -> Peer {
        let query = format!("action=joinSession&sessionId={session}&targetLanguage=es");
        let mut peer = self.try_connect(&query).await.unwrap();
        assert_eq!(peer.json().await["type"], "sessionJoined");
        peer
    }

    async fn readyz(&self) -> u16 {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let (head, _) = ask(&mut stream, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        status(&head)
    }
}

async fn hears(speaker: &mut Peer, listener: &mut Peer, sequence: u32) {
    let sent = frame(sequence, b"live");
    speaker.socket.send(Message::binary(sent.clone())).await.unwrap();
    assert_eq!(listener.binary().await, sent);
}

#[tokio::test]
async fn without_files_for_more_sockets_those_that_are_open_go_on() {
    let server = Limited::start("ulimit -n 60").await;
    let (mut speaker, session) = server.speak(0).await.unwrap();
    let mut listener = server.listen(&session).await;
    let mut idle = Vec::new();
    for _ in 0..100 {
        // Those that are not accepted wait in the kernel.
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    for sequence in 1..=5 {
        hears(&mut speaker, &mut listener, sequence).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    drop(idle);
    let mut late = server.listen(&session).await;
    hears(&mut speaker, &mut late, 6).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_a_full_disk_sessions_go_on_and_room_cures_it() {
    // The limit is on each file, in half KiB; writing beyond it fails as on a full disk.
    let server = Limited::start("trap '' XFSZ; ulimit -S -f 400").await;
    let (mut speaker, session) = server.speak(0).await.unwrap();
    let mut listener = server.listen(&session).await;
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 400, "the disk takes everything");
        match server.speak(open.len() + 1).await {
            Ok(session) => open.push(session),
            Err(code) => break code,
        }
    };
    assert_eq!(refused, "SERVICE_UNAVAILABLE");
    assert!(open.len() > 3, "{}", open.len());
    hears(&mut speaker, &mut listener, 1).await;
    let mut late = server.listen(&session).await;
    hears(&mut speaker, &mut late, 2).await;

    let pid = server.child.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    if !lifted.is_ok_and(|status| status.success()) {
        return;
    }
    let start = Instant::now();
    while server.readyz().await != 200 {
        assert!(start.elapsed() < PATIENCE, "room was made, but nobody noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.speak(1_001).await.unwrap();
    hears(&mut speaker, &mut late, 3).await;
}
