//! Whatever a token or a key set holds, nothing panics and nobody is let in.

use std::sync::LazyLock;

use ambo_app::ports::Keys as _;
use ambo_core::event::Token;
use ambo_identity::LocalIssuer;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::world::{Answer, Issuer, NOW, Signer, base64};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

static LOCAL: LazyLock<(tempfile::TempDir, LocalIssuer, String)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    let jwks: Value = serde_json::from_str(issuer.jwks_json()).unwrap();
    let kid = jwks["keys"][0]["kid"].as_str().unwrap().to_owned();
    (folder, issuer, kid)
});

fn is_let_in(text: &str) -> bool {
    RUNTIME.block_on(LOCAL.1.identify(&Token(text.into()), NOW)).is_ok()
}

/// A JSON value of any shape, a few levels deep.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map("iss|sub|aud|exp|nbf|kid|alg|crit|[a-z]{1,5}", inner, 0..6)
                .prop_map(|map| json!(map)),
        ]
    })
}

/// Tokens found in the wild of fuzzing that are worth keeping.
const SEEDS: &[&str] = &[
    "",
    ".",
    "..",
    "...",
    "eyJhbGciOiJub25lIn0..",
    "eyJhbGciOiJFZERTQSIsImtpZCI6IiJ9.e30.",
    "eyJhbGciOiJFZERTQSIsImNyaXQiOltdfQ.e30.AA",
    "e30.e30.e30",
    "W10.W10.W10",
    "bnVsbA.bnVsbA.bnVsbA",
    "eyJhbGciOg.e30.AA",
    "\u{feff}eyJhbGciOiJFZERTQSJ9.e30.AA",
    "=.=.=",
    "AA==.AA==.AA==",
];

#[test]
fn seeds_are_refused() {
    for seed in SEEDS {
        assert!(!is_let_in(seed), "{seed:?}");
    }
    // Deeper than any parser's stack.
    let deep = base64("[".repeat(10_000));
    assert!(!is_let_in(&format!("{deep}.{deep}.{deep}")));
}

proptest! {
    #[test]
    fn any_text_is_refused(text in any::<String>()) {
        prop_assert!(!is_let_in(&text));
    }

    #[test]
    fn any_bytes_in_the_shape_of_a_token_are_refused(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..5),
    ) {
        let parts: Vec<String> = parts.iter().map(base64).collect();
        prop_assert!(!is_let_in(&parts.join(".")));
    }

    #[test]
    fn any_json_in_the_shape_of_a_token_is_refused(
        header in any_json(), claims in any_json(), signature in any::<[u8; 64]>(),
    ) {
        let parts = [base64(header.to_string()), base64(claims.to_string()), base64(signature)];
        prop_assert!(!is_let_in(&parts.join(".")));
    }

    #[test]
    fn any_claims_behind_a_known_kid_are_refused(
        claims in any_json(), signature in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let header = json!({ "alg": "EdDSA", "kid": LOCAL.2 });
        let parts = [base64(header.to_string()), base64(claims.to_string()), base64(signature)];
        prop_assert!(!is_let_in(&parts.join(".")));
    }

    #[test]
    fn any_signed_claims_are_read_without_harm(claims in any_json()) {
        static SIGNED: LazyLock<(Signer, ambo_identity::Oidc)> = LazyLock::new(|| {
            let signer = Signer::ed25519("e");
            let issuer = RUNTIME.block_on(Issuer::with_keys(&[signer.jwk()]));
            (signer, issuer.believer())
        });
        let (signer, oidc) = &*SIGNED;
        let identified = RUNTIME.block_on(oidc.identify(&signer.token(&claims), NOW));
        prop_assert!(identified.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_key_set_is_read_without_harm(
        keys in prop::collection::vec(any_json(), 0..4), text in any::<String>(),
    ) {
        static ISSUER: LazyLock<Issuer> = LazyLock::new(|| RUNTIME.block_on(Issuer::start()));
        for document in [json!({ "keys": keys }).to_string(), json!(keys).to_string(), text] {
            ISSUER.say("/jwks", Answer::Document(document));
            let token = Signer::ed25519("e").token(&ISSUER.claims());
            let identified = RUNTIME.block_on(ISSUER.believer().identify(&token, NOW));
            prop_assert!(identified.is_err());
        }
    }
}

#[test]
fn the_seeds_of_the_fuzz_target_are_refused() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/token");
    for seed in std::fs::read_dir(seeds).unwrap() {
        let path = seed.unwrap().path();
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
        assert!(!is_let_in(&text), "{}", path.display());
    }
}
