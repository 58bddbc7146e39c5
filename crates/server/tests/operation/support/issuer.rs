//! An OpenID Connect issuer on the loopback, and the keys it signs with.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::START;

pub const AUDIENCE: &str = "hall-app-5566";

/// An issuer that answers as it is told.
pub struct Issuer {
    pub base: String,
    mood: Arc<Mutex<Mood>>,
}

#[derive(Default)]
struct Mood {
    documents: HashMap<&'static str, String>,
    is_silent: bool,
    asked: usize,
}

impl Issuer {
    pub async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mood = Arc::<Mutex<Mood>>::default();
        let issuer = Self { base, mood: Arc::clone(&mood) };
        issuer.publish(signers);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&mood)));
            }
        });
        issuer
    }

    /// Answers again, with these keys.
    pub fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        let discovery = json!({ "issuer": self.base, "jwks_uri": format!("{}/keys", self.base) });
        let mut mood = self.mood.lock();
        mood.documents.insert("/.well-known/openid-configuration", discovery.to_string());
        mood.documents.insert("/keys", json!({ "keys": keys }).to_string());
        mood.is_silent = false;
    }

    /// Accepts connections and says nothing on them: the worst way of being down.
    pub fn fall_silent(&self) {
        self.mood.lock().is_silent = true;
    }

    /// How many requests have come.
    pub fn asked(&self) -> usize {
        self.mood.lock().asked
    }

    /// Answers every request with 404.
    pub fn fail(&self) {
        self.mood.lock().documents.clear();
    }

    /// Claims that are good for an hour.
    pub fn claims(&self, user: &str) -> Value {
        let now = START.0 / 1_000;
        json!({ "iss": self.base, "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 3_600 })
    }
}

async fn answer(mut stream: TcpStream, mood: Arc<Mutex<Mood>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        request.extend(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    mood.lock().asked += 1;
    if mood.lock().is_silent {
        return std::future::pending().await;
    }
    let document = mood.lock().documents.get(path).cloned();
    let (status, body) = document.map_or((404, String::new()), |document| (200, document));
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// A private key of an issuer.
pub struct Signer {
    kid: &'static str,
    key: Key,
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Signer {
    pub fn rs256(kid: &'static str) -> Self {
        Self { kid, key: Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()) }
    }

    pub fn es256(kid: &'static str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid, key: Key::P256(pair) }
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        let alg = match self.key {
            Key::Rsa(_) => "RS256",
            Key::P256(_) => "ES256",
        };
        let header = json!({ "alg": alg, "kid": self.kid, "typ": "JWT" }).to_string();
        let message = format!("{}.{}", base64(header), base64(claims.to_string()));
        let signature = base64(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn jwk(&self) -> Value {
        let kid = self.kid;
        match &self.key {
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
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Key::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
        }
    }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
