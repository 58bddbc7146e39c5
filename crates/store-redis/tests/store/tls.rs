//! An encrypted way to the engine.

use std::path::Path;

use ambo_app::ports::Store;
use ambo_store_redis::{Engine, RedisStore};
use ambo_testkit::ports::free_port;
use ambo_testkit::redis::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::servers::settings;
use crate::trouble::until;

/// Makes an authority and a certificate of it for this machine, and writes all down.
fn certificates(directory: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    for (name, pem) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(directory.join(name), pem).unwrap();
    }
}

/// A server that has the certificate in this directory, and its port for encrypted calls.
async fn server(directory: &Path, more: &[&str]) -> (RedisServer, u16) {
    let file = |name: &str| directory.join(name).display().to_string();
    let port = free_port();
    let (tls_port, ca) = (port.to_string(), file("ca.pem"));
    let (certificate, key) = (file("cert.pem"), file("key.pem"));
    let tls = [
        ["--tls-auth-clients", "no"],
        ["--tls-port", &tls_port],
        ["--tls-ca-cert-file", &ca],
        ["--tls-cert-file", &certificate],
        ["--tls-key-file", &key],
        // What Sentinels and clusters tell each other, too.
        ["--tls-replication", "yes"],
        ["--tls-cluster", "yes"],
    ];
    (RedisServer::start_with(&[more, tls.as_flattened()].concat()).await, port)
}

#[tokio::test]
async fn an_encrypted_engine_is_trusted_by_its_authority_only() {
    let (directory, strangers) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    certificates(directory.path());
    certificates(strangers.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let (server, port) = server(directory.path(), &["--save", ""]).await;
    let connect = async |url: String| Engine::connect(&settings(&url)).await;

    let url = format!("rediss://localhost:{port}");
    let engine = connect(format!("{url}?ca_file={}", file("ca.pem"))).await.unwrap();
    RedisStore::new(engine.clone()).check().await.unwrap();
    engine.pubsub().await.unwrap();
    let stranger = strangers.path().join("ca.pem");
    for untrusted in [url.clone(), format!("{url}?ca_file={}", stranger.display())] {
        let fault = connect(untrusted).await.map(drop).unwrap_err();
        assert!(fault.source.to_string().contains("certificate"), "{fault:?}");
    }
    let fault = connect(format!("{url}?ca_file=/nowhere")).await.map(drop).unwrap_err();
    assert!(fault.source.to_string().contains("No such file"), "{fault:?}");
    drop(server);
}

/// Reaches an engine, and again after it has closed all connections.
async fn reach_twice(url: &str, server: &RedisServer) {
    until("it is known", async || Engine::connect(&settings(url)).await.is_ok()).await;
    let engine = Engine::connect(&settings(url)).await.unwrap();
    let store = RedisStore::new(engine.clone());
    store.check().await.unwrap();
    server.run::<u32>(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    until("it is reached again", async || store.check().await.is_ok()).await;
    engine.pubsub().await.unwrap();
}

#[tokio::test]
async fn an_encrypted_cluster_is_reached_and_reached_again() {
    let directory = TempDir::new().unwrap();
    certificates(directory.path());
    let bus_port = free_port().to_string();
    let options = ["--save", "", "--cluster-enabled", "yes", "--cluster-port", &bus_port];
    let (server, port) = server(directory.path(), &options).await;
    server.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    until("it is whole", async || {
        server.run::<String>(&["CLUSTER", "INFO"]).await.contains("cluster_state:ok")
    })
    .await;
    let ca = directory.path().join("ca.pem");
    let url = format!("rediss+cluster://localhost:{port}?ca_file={}", ca.display());
    reach_twice(&url, &server).await;
}

#[tokio::test]
async fn an_encrypted_master_is_found_by_an_encrypted_sentinel() {
    let directory = TempDir::new().unwrap();
    certificates(directory.path());
    let (master, master_port) = server(directory.path(), &["--save", ""]).await;
    let (sentinel, port) = server(directory.path(), &["--sentinel"]).await;
    let master_port = master_port.to_string();
    sentinel.run::<()>(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &master_port, "1"]).await;
    let ca = directory.path().join("ca.pem");
    let url = format!("rediss+sentinel://localhost:{port}/main?ca_file={}", ca.display());
    reach_twice(&url, &master).await;
}
