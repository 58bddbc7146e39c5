//! An issuer on the loopback, and the keys it signs with.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ambo_app::ports::{Keys, Unidentified};
use ambo_core::event::Token;
use ambo_core::refusal::Unauthorized;
use ambo_core::{Millis, UserId};
use ambo_identity::{Oidc, OidcSettings};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub const NOW: Millis = Millis(1_700_000_000_000);
pub const NOW_SECS: u64 = NOW.0 / 1_000;
pub const AUDIENCE: &str = "hall";

/// An issuer that answers as it is told, and counts how often it is asked.
pub struct Issuer {
    pub base: String,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
}

#[derive(Clone)]
pub enum Answer {
    Document(String),
    Slowly(Duration, String),
    Status(u16),
    Redirect(String),
    Endless,
    HangUp,
    Silence,
}

impl Issuer {
    /// An issuer that knows no page yet.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// The same, behind TLS if there is an acceptor.
    pub async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}", listener.local_addr().unwrap());
        let answers = Arc::<Mutex<HashMap<String, Answer>>>::default();
        let asked = Arc::<AtomicUsize>::default();
        let issuer = Self { base, answers: answers.clone(), asked: asked.clone() };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (answers, asked, tls) = (answers.clone(), asked.clone(), tls.clone());
                tokio::spawn(async move {
                    let Some(tls) = tls else { return answer(socket, answers, asked).await };
                    if let Ok(socket) = tls.accept(socket).await {
                        answer(socket, answers, asked).await;
                    }
                });
            }
        });
        issuer
    }

    /// An issuer with these keys at `/jwks`.
    pub async fn with_keys(keys: &[Value]) -> Self {
        let issuer = Self::start().await;
        issuer.publish(keys);
        issuer
    }

    pub fn publish(&self, keys: &[Value]) {
        self.say("/jwks", Answer::Document(json!({ "keys": keys }).to_string()));
    }

    pub fn say(&self, path: &str, answer: Answer) {
        self.answers.lock().insert(path.into(), answer);
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Somebody who believes it, with the keys' address configured.
    pub fn believer(&self) -> Oidc {
        Oidc::new(self.settings()).unwrap()
    }

    pub fn settings(&self) -> OidcSettings {
        let jwks_url = Some(format!("{}/jwks", self.base));
        OidcSettings { jwks_url, ..OidcSettings::new(&self.base, vec![AUDIENCE.into()]) }
    }

    /// Claims that are good for an hour from [`NOW`].
    pub fn claims(&self) -> Value {
        json!({ "iss": self.base, "aud": AUDIENCE, "sub": "ann", "exp": NOW_SECS + 3_600 })
    }
}

async fn answer(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    answers: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<AtomicUsize>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if socket.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.extend(byte);
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    let answer = answers.lock().get(path).cloned().unwrap_or(Answer::Status(404));
    let head = |status: u16, len: usize| {
        format!("HTTP/1.1 {status} X\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n")
    };
    let text = match answer {
        Answer::Document(text) => head(200, text.len()) + &text,
        Answer::Slowly(span, text) => {
            tokio::time::sleep(span).await;
            head(200, text.len()) + &text
        }
        Answer::Status(status) => head(status, 0),
        Answer::Redirect(to) => {
            format!("HTTP/1.1 302 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
        }
        Answer::Endless => {
            let _ = socket.write_all(b"HTTP/1.1 200 X\r\nconnection: close\r\n\r\n").await;
            while socket.write_all(&[b' '; 65_536]).await.is_ok() {}
            return;
        }
        Answer::HangUp => return,
        Answer::Silence => return tokio::time::sleep(Duration::from_secs(60)).await,
    };
    let _ = socket.write_all(text.as_bytes()).await;
    let _ = socket.shutdown().await;
}

/// A private key, which signs by itself.
pub struct Signer {
    pub kid: String,
    key: Arc<Key>,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// Made once for all tests: it takes a while.
    pub fn rsa(kid: &str) -> Self {
        static KEY: LazyLock<Arc<Key>> =
            LazyLock::new(|| Arc::new(Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())));
        Self { kid: kid.into(), key: KEY.clone() }
    }

    pub fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.into(), key: Arc::new(Key::P256(pair)) }
    }

    pub fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self { kid: kid.into(), key: Arc::new(Key::Ed25519(pair)) }
    }

    pub fn alg(&self) -> &'static str {
        match &*self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
            Key::Ed25519(_) => "EdDSA",
        }
    }

    pub fn jwk(&self) -> Value {
        let kid = &self.kid;
        match &*self.key {
            Key::Rsa(pair) => {
                let n = base64(pair.public_key().modulus().big_endian_without_leading_zero());
                let e = base64(pair.public_key().exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": n, "e": e })
            }
            Key::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y })
            }
            Key::Ed25519(pair) => {
                let x = base64(pair.public_key());
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
            }
        }
    }

    /// A token with this key's own header.
    pub fn token(&self, claims: &Value) -> Token {
        self.token_with(&json!({ "alg": self.alg(), "kid": self.kid, "typ": "JWT" }), claims)
    }

    /// A token with any header, signed all the same.
    pub fn token_with(&self, header: &Value, claims: &Value) -> Token {
        self.token_of(&header.to_string(), &claims.to_string())
    }

    /// A token of any texts, JSON or not.
    pub fn token_of(&self, header: &str, claims: &str) -> Token {
        let message = format!("{}.{}", base64(header), base64(claims));
        let signature = base64(self.sign(message.as_bytes()));
        Token(format!("{message}.{signature}").into())
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &*self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Key::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What became of a token, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    User(String),
    Refused(Unauthorized),
    Unavailable(Millis),
}

pub use Verdict::Unavailable;

pub const INVALID: Verdict = Verdict::Refused(Unauthorized::InvalidToken);
pub const EXPIRED: Verdict = Verdict::Refused(Unauthorized::TokenExpired);

pub fn user(name: &str) -> Verdict {
    Verdict::User(name.into())
}

pub async fn verdict(keys: &impl Keys, token: &Token, now: Millis) -> Verdict {
    let named = |user: UserId| Verdict::User(user.as_str().into());
    match keys.identify(token, now).await {
        Ok(user) => named(user),
        Err(Unidentified::Refused(why)) => Verdict::Refused(why),
        Err(Unidentified::Unavailable { retry_after, .. }) => Unavailable(retry_after),
    }
}
