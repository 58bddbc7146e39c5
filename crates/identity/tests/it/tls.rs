//! Keys over TLS: from an issuer whose certificate is trusted, and from no other.
//!
//! Whom a process trusts is settled by its environment, so the believer is this very program, run
//! again with another one.

use std::sync::Arc;

use ambo_core::event::Token;
use ambo_identity::{Oidc, OidcSettings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::world::{AUDIENCE, Issuer, NOW, Signer, verdict};

#[tokio::test]
async fn only_a_trusted_certificate_will_do() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let issuer = Issuer::start_with(Some(TlsAcceptor::from(Arc::new(config)))).await;
    let signer = Signer::p256("p");
    issuer.publish(&[signer.jwk()]);
    let token = signer.token(&issuer.claims());

    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, cert.pem()).unwrap();
    let other = folder.path().join("other.pem");
    let stranger = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    for (roots, expected) in [(&trusted, r#"User("ann")"#), (&other, "Unavailable(Millis(30000))")]
    {
        let mut believer = tokio::process::Command::new(std::env::current_exe().unwrap());
        believer.args(["--exact", "--nocapture", "tls::believer"]);
        believer.env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
        believer.env("AMBO_TEST_ISSUER", &issuer.base).env("AMBO_TEST_TOKEN", &*token.0);
        let output = believer.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(expected), "{roots:?}: {output:?}");
    }
    assert_eq!(issuer.asked(), 1);
}

/// Says what it makes of a token, when the test above runs it; does nothing by itself.
#[tokio::test]
async fn believer() {
    let (Ok(issuer), Ok(token)) =
        (std::env::var("AMBO_TEST_ISSUER"), std::env::var("AMBO_TEST_TOKEN"))
    else {
        return;
    };
    let jwks_url = Some(format!("{issuer}/jwks"));
    let settings = OidcSettings { jwks_url, ..OidcSettings::new(issuer, vec![AUDIENCE.into()]) };
    let oidc = Oidc::new(settings).unwrap();
    println!("{:?}", verdict(&oidc, &Token(token.into()), NOW).await);
}
