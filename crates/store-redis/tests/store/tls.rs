//! An encrypted way to the engine.

use std::path::Path;

use ambo_app::ports::Store;
use ambo_store_redis::{Engine, RedisStore};
use ambo_testkit::redis::RedisServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

use crate::servers::settings;

/// Makes an authority and a certificate of it for `localhost`, and writes all down.
fn certificates(directory: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = ["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    for (name, pem) in [
        ("ca.pem", authority.pem()),
        ("cert.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
    ] {
        std::fs::write(directory.join(name), pem).unwrap();
    }
}

#[tokio::test]
async fn an_encrypted_engine_is_trusted_by_its_authority_only() {
    let (directory, strangers) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    certificates(directory.path());
    certificates(strangers.path());
    let file = |name: &str| directory.path().join(name).display().to_string();
    let port = ambo_testkit::ports::free_port();
    let server = RedisServer::start_with(&[
        "--save",
        "",
        "--tls-auth-clients",
        "no",
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
    ])
    .await;
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
