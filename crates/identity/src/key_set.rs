//! An issuer's public keys, as its JWKS document (RFC 7517) tells them.

use ambo_core::refusal::Unauthorized;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use crate::token::{MAX_KID_LEN, Shown};

/// The most keys kept of one issuer, in the order of its document. Issuers publish two to ten;
/// each costs memory for as long as the server runs.
pub(crate) const MAX_KEYS: usize = 64;

/// The keys that can verify what we accept. Others in the document are passed over, so that an
/// issuer may publish keys for other uses beside.
#[derive(Default)]
pub(crate) struct KeySet(Vec<Key>);

struct Key {
    kid: String,
    /// The only algorithm this key is used with, told by its type, not by a token.
    algorithm: Algorithm,
    decoding: DecodingKey,
}

impl KeySet {
    /// The keys of a document.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(document)?;
        let jwks = document.keys.into_iter();
        let jwks = jwks.filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        Ok(Self(jwks.filter_map(|jwk| jwk.key()).take(MAX_KEYS).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The key a token names; `None` when there is none of that name. A key of another type than
    /// the token's algorithm wants refuses the token: asking the issuer again would not help.
    pub(crate) fn find(&self, shown: &Shown<'_>) -> Result<Option<&DecodingKey>, Unauthorized> {
        let mut named = self.0.iter().filter(|key| key.kid == shown.kid).peekable();
        if named.peek().is_none() {
            return Ok(None);
        }
        // RFC 7517 §4.5 lets keys of different types share a name.
        let key = named.find(|key| key.algorithm == shown.algorithm);
        key.map(|key| Some(&key.decoding)).ok_or(Unauthorized::InvalidToken)
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    /// The key, if it is one that we verify with.
    fn key(self) -> Option<Key> {
        // RFC 9864 calls EdDSA with this curve Ed25519, and a key may say either.
        let (algorithm, names, decoding) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => (Algorithm::RS256, ["RS256"].as_slice(), self.rsa()?),
            ("EC", Some("P-256")) => (Algorithm::ES256, ["ES256"].as_slice(), self.p256()?),
            ("OKP", Some("Ed25519")) => {
                (Algorithm::EdDSA, ["EdDSA", "Ed25519"].as_slice(), self.ed25519()?)
            }
            _ => return None,
        };
        let is_for_this = self.alg.is_none_or(|alg| names.contains(&alg.as_str()));
        let is_for_signatures = self.usage.is_none_or(|usage| usage == "sig")
            && self.key_ops.is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let kid = self.kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID_LEN)?;
        (is_for_this && is_for_signatures).then_some(Key { kid, algorithm, decoding })
    }

    /// 2,048 to 8,192 bits: less is broken (RFC 7518 §3.3), more costs us a verification's time.
    fn rsa(&self) -> Option<DecodingKey> {
        let (n, e) = (bytes(self.n.as_ref()?)?, bytes(self.e.as_ref()?)?);
        let is_sound = (256..=1_024).contains(&n.len()) && (1..=8).contains(&e.len());
        is_sound.then(|| DecodingKey::from_rsa_raw_components(&n, &e))
    }

    fn p256(&self) -> Option<DecodingKey> {
        let (x, y) = (bytes(self.x.as_ref()?)?, bytes(self.y.as_ref()?)?);
        (x.len() == 32 && y.len() == 32).then(|| {
            // SEC 1 §2.3.3: an uncompressed point.
            DecodingKey::from_ec_der(&[&[4], x.as_slice(), y.as_slice()].concat())
        })
    }

    fn ed25519(&self) -> Option<DecodingKey> {
        let x = bytes(self.x.as_ref()?)?;
        (x.len() == 32).then(|| DecodingKey::from_ed_der(&x))
    }
}

fn bytes(text: &String) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(text).ok()
}
