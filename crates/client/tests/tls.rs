//! `wss://` with roots of one's own.
#![allow(clippy::unwrap_used)]

mod peer;

use std::sync::Arc;

use ambo_client::{Language, Listener, ListenerOptions, Server, SessionId};
use peer::{ID, joined};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn only_a_server_with_a_trusted_certificate_is_spoken_to() {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("wss://localhost:{}/ws", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let Ok(mut stream) = acceptor.accept(listener.accept().await.unwrap().0).await else {
                continue;
            };
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let (_, after) = request.split_once("Sec-WebSocket-Key: ").unwrap();
            let accept = ambo_wire::websocket::accept_key(after.split_once("\r\n").unwrap().0);
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            let welcome = ambo_wire::websocket::text(&joined().to_string());
            stream.write_all(&welcome).await.unwrap();
            tokio::spawn(async move { stream.read(&mut [0; 64]).await });
        }
    });
    let options = || {
        let language = Language::parse("es").unwrap();
        ListenerOptions::new(SessionId::parse(ID).unwrap(), language)
    };
    let trusted = Server::trusting(&address, [own.cert.der().clone()]).unwrap();
    let (listener, _events) = Listener::connect(&trusted, options()).await.unwrap();
    assert_eq!(listener.session_id(), ID);
    let stranger = Server::trusting(&address, [other.cert.der().clone()]).unwrap();
    let error = Listener::connect(&stranger, options()).await.unwrap_err().to_string();
    assert!(error.contains("no TLS with localhost"), "{error}");
}
