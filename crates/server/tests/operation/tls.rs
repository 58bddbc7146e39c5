//! TLS by certificate files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ambo_server::{Clock, Server, Settings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{Connector, connect_async_tls_with_config};

use crate::harness::{AMBO, Peer, START, World, frame};
use crate::support::{PATIENCE, read_to_end, settings};

/// A certificate for `localhost`, written where the server reads it.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    cert.der().clone()
}

fn trusting(certificate: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

struct Secure {
    world: World,
    files: TempDir,
    certificate: CertificateDer<'static>,
}

impl Secure {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let files = TempDir::new().unwrap();
        let certificate = write_certificate(files.path());
        let world = World::start(|settings| {
            settings.tls_cert = Some(files.path().join("cert.pem"));
            settings.tls_key = Some(files.path().join("key.pem"));
            change(settings);
        })
        .await;
        Self { world, files, certificate }
    }

    async fn try_connect(
        &self,
        certificate: &CertificateDer<'static>,
        query: &str,
    ) -> Option<Peer> {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest;
        let port = self.world.address().port();
        let mut request =
            format!("wss://localhost:{port}/ws?{query}").into_client_request().unwrap();
        request.headers_mut().insert(AMBO.0, AMBO.1.parse().unwrap());
        let connector = Some(Connector::Rustls(trusting(certificate)));
        let connected = connect_async_tls_with_config(request, None, true, connector).await;
        let (socket, response) = connected.ok()?;
        Some(Peer { socket, response: response.map(|_| ()) })
    }

    async fn connect(&self, query: &str) -> Peer {
        self.try_connect(&self.certificate, query).await.unwrap()
    }

    /// A TLS stream over which nothing was said yet.
    async fn stream(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.world.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(trusting(&self.certificate)).connect(name, stream).await.unwrap()
    }
}

#[tokio::test]
async fn audio_reaches_many_tls_listeners_byte_for_byte() {
    let secure = Secure::start().await;
    let token = secure.world.token("ann");
    let create = format!("action=createSession&sourceLanguage=en&token={token}");
    let mut speaker = secure.connect(&create).await;
    let session = speaker.json().await["sessionId"].as_str().unwrap().to_owned();
    let join = format!("action=joinSession&sessionId={session}&targetLanguage=es");
    let mut listeners = Vec::new();
    for _ in 0..40 {
        let mut listener = secure.connect(&join).await;
        assert_eq!(listener.json().await["type"], "sessionJoined");
        listeners.push(listener);
    }
    // From a byte to more than a TLS record holds.
    let payloads: Vec<Vec<u8>> =
        [1, 160, 4_000, 16_384, 32_768].map(|size: usize| vec![size as u8; size]).into();
    for (sequence, payload) in (1..).zip(&payloads) {
        speaker.send_binary(frame(sequence, payload)).await;
    }
    for listener in &mut listeners {
        for (sequence, payload) in (1..).zip(&payloads) {
            assert!(listener.binary().await == frame(sequence, payload), "frame {sequence}");
        }
    }
    speaker.leave(1000).await;
    for mut listener in listeners {
        assert_eq!(listener.json().await["type"], "sessionEnded");
        assert_eq!(listener.closed().await.0, 1000);
    }
    secure.world.until("nothing is left", |world| world.server.held().connections == 0).await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_drops_nobody() {
    let secure = Secure::start().await;
    let token = secure.world.token("ann");
    let create = format!("action=createSession&sourceLanguage=en&token={token}");
    let mut speaker = secure.connect(&create).await;
    let session = speaker.json().await["sessionId"].as_str().unwrap().to_owned();
    let join = format!("action=joinSession&sessionId={session}&targetLanguage=es");
    let mut listener = secure.connect(&join).await;
    listener.json_of("sessionJoined").await;

    // In the middle of a renewal the files do not fit each other: the old pair stays.
    std::fs::write(secure.files.path().join("cert.pem"), "no certificate").unwrap();
    secure.world.pass(Duration::from_secs(3)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    secure.connect("action=joinSession").await;

    let renewed = write_certificate(secure.files.path());
    let mut tries = 0;
    let mut late = loop {
        secure.world.pass(Duration::from_secs(2)).await;
        if let Some(peer) = secure.try_connect(&renewed, &join).await {
            break peer;
        }
        tries += 1;
        assert!(tries < 100, "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    late.json_of("sessionJoined").await;
    assert!(secure.try_connect(&secure.certificate, &join).await.is_none(), "the old one is gone");
    speaker.send_binary(frame(1, b"still here")).await;
    assert_eq!(listener.binary().await, frame(1, b"still here"));
    assert_eq!(late.binary().await, frame(1, b"still here"));
}

#[tokio::test]
async fn who_does_not_finish_the_handshake_is_cut() {
    // Within it, those who do finish must have done so.
    let limit = Duration::from_secs(2);
    let secure = Secure::start_with(|settings| settings.handshake_timeout = limit).await;
    let mut silent = TcpStream::connect(secure.world.address()).await.unwrap();
    let mut plain = TcpStream::connect(secure.world.address()).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut polite = secure.stream().await;
    read_to_end(&mut silent).await;
    read_to_end(&mut plain).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, polite.read_to_end(&mut answer)).await.unwrap();
    let mut stream = secure.stream().await;
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test]
async fn wrong_files_stop_the_start_and_are_named() {
    let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = |name: &str| files.path().join(name);
    write_certificate(files.path());
    std::fs::rename(path("key.pem"), path("other.pem")).unwrap();
    write_certificate(files.path());
    std::fs::write(path("empty.pem"), "").unwrap();
    for (cert, key, named) in [
        ("none.pem", "key.pem", ["tls_cert", "none.pem"]),
        ("empty.pem", "key.pem", ["tls_cert", "empty.pem"]),
        ("key.pem", "key.pem", ["tls_cert", "key.pem"]),
        ("cert.pem", "none.pem", ["tls_key", "none.pem"]),
        ("cert.pem", "empty.pem", ["tls_key", "empty.pem"]),
        ("cert.pem", "other.pem", ["tls_key", "does not fit"]),
    ] {
        let mut settings = settings(&folder);
        (settings.tls_cert, settings.tls_key) = (Some(path(cert)), Some(path(key)));
        let error = match Server::start(&settings, Clock::manual(START)).await {
            Ok(_) => panic!("{cert} and {key} were taken"),
            Err(error) => format!("{error:#}"),
        };
        for word in named {
            assert!(error.contains(word), "{cert} and {key}: {error}");
        }
    }
}
