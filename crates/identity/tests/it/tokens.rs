//! Which tokens are believed: one table for each thing a token must hold.

use ambo_core::Millis;
use ambo_core::event::Token;
use ambo_identity::{Dialect, MAX_TOKEN_LEN, Oidc, OidcSettings};
use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::world::{AUDIENCE, EXPIRED, INVALID, Issuer, NOW, NOW_SECS, Signer, base64};
use crate::world::{Verdict, user, verdict};

/// The claims with one changed; null takes it away.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

#[tokio::test]
async fn each_algorithm_is_believed_with_its_own_key() {
    let signers = [Signer::rsa("r"), Signer::p256("p"), Signer::ed25519("e")];
    let jwks: Vec<Value> = signers.iter().map(Signer::jwk).collect();
    let issuer = Issuer::with_keys(&jwks).await;
    let oidc = issuer.believer();
    for signer in &signers {
        let token = signer.token(&issuer.claims());
        assert_eq!(verdict(&oidc, &token, NOW).await, user("ann"), "{}", signer.alg());
    }
    for signer in &signers {
        for other in &signers {
            if signer.alg() == other.alg() {
                continue;
            }
            let names = format!("{} signed, {} named", signer.alg(), other.alg());
            // The header names the other's key, with the signer's algorithm or the other's.
            let header = json!({ "alg": signer.alg(), "kid": other.kid });
            let token = signer.token_with(&header, &issuer.claims());
            assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{names}");
            let header = json!({ "alg": other.alg(), "kid": other.kid });
            let token = signer.token_with(&header, &issuer.claims());
            assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{names} wholly");
        }
    }
    assert_eq!(issuer.asked(), 1, "a key of the wrong type is no reason to ask again");
}

#[tokio::test]
async fn claims_must_be_right() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let ann = || user("ann");
    let cases: Vec<(&str, Value, Verdict)> = vec![
        ("exp", json!(NOW_SECS - 29), ann()),
        ("exp", json!(NOW_SECS - 31), EXPIRED),
        ("exp", json!(NOW_SECS - 30), EXPIRED),
        ("exp", json!(NOW_SECS as f64 + 0.5), ann()),
        ("exp", json!(0), EXPIRED),
        ("exp", json!(-1), EXPIRED),
        ("exp", json!(1e300), ann()),
        ("exp", json!("soon"), INVALID),
        ("exp", Value::Null, INVALID),
        ("nbf", json!(NOW_SECS + 29), ann()),
        ("nbf", json!(NOW_SECS + 31), INVALID),
        ("nbf", json!("later"), INVALID),
        ("iss", json!("https://elsewhere.example.org"), INVALID),
        ("iss", json!(format!("{}/", issuer.base)), INVALID),
        ("iss", json!([issuer.base]), INVALID),
        ("iss", Value::Null, INVALID),
        ("aud", json!([AUDIENCE]), ann()),
        ("aud", json!(["other", AUDIENCE]), ann()),
        ("aud", json!(["other"]), INVALID),
        ("aud", json!([]), INVALID),
        ("aud", json!("other"), INVALID),
        ("aud", json!("hallway"), INVALID),
        ("aud", json!(7), INVALID),
        ("aud", Value::Null, INVALID),
        ("sub", json!(""), INVALID),
        ("sub", json!("x".repeat(255)), user(&"x".repeat(255))),
        ("sub", json!("x".repeat(256)), INVALID),
        ("sub", json!(7), INVALID),
        ("sub", Value::Null, INVALID),
        ("token_use", json!("refresh"), ann()),
        ("email", json!("ann@example.org"), ann()),
    ];
    for (name, value, expected) in cases {
        let token = signer.token(&with(issuer.claims(), name, value.clone()));
        assert_eq!(verdict(&oidc, &token, NOW).await, expected, "{name} = {value}");
    }
}

#[tokio::test]
async fn an_expired_token_that_was_never_good_is_invalid() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let expired = with(issuer.claims(), "exp", json!(NOW_SECS - 600));
    for name in ["iss", "aud", "sub"] {
        let token = signer.token(&with(expired.clone(), name, json!("")));
        assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{name}");
    }
    let forged = Signer::ed25519("e").token(&expired);
    assert_eq!(verdict(&oidc, &forged, NOW).await, INVALID);
    assert_eq!(verdict(&oidc, &signer.token(&expired), NOW).await, EXPIRED);
}

#[tokio::test]
async fn headers_must_be_right() {
    let (signer, rsa) = (Signer::ed25519("e"), Signer::rsa("r"));
    let issuer = Issuer::with_keys(&[signer.jwk(), rsa.jwk()]).await;
    let oidc = issuer.believer();
    let long = "k".repeat(300);
    let headers = [
        json!({ "alg": "EdDSA" }),
        json!({ "alg": "EdDSA", "kid": "" }),
        json!({ "alg": "EdDSA", "kid": 7 }),
        json!({ "alg": "EdDSA", "kid": long }),
        json!({ "alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false }),
        json!({ "alg": "EdDSA", "kid": "e", "crit": [] }),
        json!({ "alg": "none", "kid": "e" }),
        json!({ "alg": "NONE", "kid": "e" }),
        json!({ "alg": "", "kid": "e" }),
        json!({ "alg": "eddsa", "kid": "e" }),
        json!({ "kid": "e" }),
        json!([]),
        json!("EdDSA"),
    ];
    for header in headers {
        let token = signer.token_with(&header, &issuer.claims());
        assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{header}");
    }
    // A key that a token brings itself, or says where to get, is nobody's.
    let thief = Signer::ed25519("e");
    let jku = format!("{}/thief", issuer.base);
    let header = json!({ "alg": "EdDSA", "kid": "e", "jwk": thief.jwk(), "jku": jku });
    let token = thief.token_with(&header, &issuer.claims());
    assert_eq!(verdict(&oidc, &token, NOW).await, INVALID);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn neither_unsigned_nor_symmetric_tokens_are_believed() {
    let (signer, rsa) = (Signer::ed25519("e"), Signer::rsa("r"));
    let issuer = Issuer::with_keys(&[signer.jwk(), rsa.jwk()]).await;
    let oidc = issuer.believer();
    let claims = base64(issuer.claims().to_string());
    for kid in ["e", "r"] {
        for alg in ["none", "None", "EdDSA", "RS256"] {
            let header = base64(json!({ "alg": alg, "kid": kid }).to_string());
            let token = Token(format!("{header}.{claims}.").into());
            assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{alg} without a signature");
        }
    }
    // The classic: the public key, known to all, as the secret of an HMAC.
    for (kid, name) in [("e", "x"), ("r", "n")] {
        let jwk = if kid == "e" { signer.jwk() } else { rsa.jwk() };
        let text = jwk[name].as_str().unwrap().to_owned();
        use base64::Engine as _;
        let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
        for secret in [text.as_bytes(), &bytes, jwk.to_string().as_bytes()] {
            let header = base64(json!({ "alg": "HS256", "kid": kid }).to_string());
            let message = format!("{header}.{claims}");
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let signature = base64(hmac::sign(&key, message.as_bytes()));
            let token = Token(format!("{message}.{signature}").into());
            assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{kid}");
        }
    }
}

#[tokio::test]
async fn a_damaged_token_is_invalid() {
    let signer = Signer::p256("p");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let good = signer.token(&issuer.claims());
    assert_eq!(verdict(&oidc, &good, NOW).await, user("ann"));
    for end in 0..good.0.len() {
        let token = Token(good.0[..end].into());
        assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "cut at {end}");
    }
    // The last character of a P-256 signature carries bits that must be zero, so each change counts.
    for at in 0..good.0.len() {
        let mut bytes = good.0.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let token = Token(String::from_utf8(bytes).unwrap().into());
        let verdict = verdict(&oidc, &token, NOW).await;
        assert!(!matches!(verdict, Verdict::User(_)), "changed at {at}");
    }
    for text in ["", ".", "..", "...", "a.b.c", "Bearer x", "\0", "é.é.é", "e30.e30.e30"] {
        assert_eq!(verdict(&oidc, &Token(text.into()), NOW).await, INVALID, "{text:?}");
    }
    let twice = Token(format!("{}.{}", good.0, good.0).into());
    assert_eq!(verdict(&oidc, &twice, NOW).await, INVALID);
}

#[tokio::test]
async fn a_token_has_a_largest_size() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let padded = |len: usize| signer.token(&with(issuer.claims(), "pad", json!("x".repeat(len))));
    assert_eq!(verdict(&oidc, &padded(11_000), NOW).await, user("ann"));
    let huge = padded(MAX_TOKEN_LEN);
    assert!(huge.0.len() > MAX_TOKEN_LEN);
    assert_eq!(verdict(&oidc, &huge, NOW).await, INVALID);
}

#[tokio::test]
async fn claims_given_twice_void_a_token() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let header = r#"{"alg":"EdDSA","kid":"e"}"#;
    let claims = issuer.claims().to_string();
    assert_eq!(verdict(&oidc, &signer.token_of(header, &claims), NOW).await, user("ann"));
    for again in [r#"{"sub":"eve","#, r#"{"iss":"x","#, r#"{"aud":"x","#, r#"{"exp":1,"#] {
        let token = signer.token_of(header, &claims.replacen('{', again, 1));
        assert_eq!(verdict(&oidc, &token, NOW).await, INVALID, "{again}");
    }
    for text in ["", "{}", "[]", "null", "7", "{", "\u{0}"] {
        assert_eq!(verdict(&oidc, &signer.token_of(header, text), NOW).await, INVALID, "{text}");
        assert_eq!(verdict(&oidc, &signer.token_of(text, &claims), NOW).await, INVALID, "{text}");
    }
}

#[tokio::test]
async fn cognito_tokens_say_what_they_are_for() {
    const POOL: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12Cd34E";
    let signer = Signer::rsa("r");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let settings = OidcSettings {
        jwks_url: issuer.settings().jwks_url,
        ..OidcSettings::new(POOL, vec!["client1".into(), "client2".into()])
    };
    assert_eq!(settings.dialect, Dialect::Cognito);
    let oidc = Oidc::new(settings).unwrap();
    let ann = || user("ann");
    let cases = [
        (json!({ "token_use": "id", "aud": "client1" }), ann()),
        (json!({ "token_use": "id", "aud": "client2" }), ann()),
        (json!({ "token_use": "id", "aud": "other" }), INVALID),
        (json!({ "token_use": "id", "client_id": "client1" }), INVALID),
        (json!({ "token_use": "access", "client_id": "client1" }), ann()),
        (json!({ "token_use": "access", "client_id": "other" }), INVALID),
        (json!({ "token_use": "access", "aud": "client1" }), INVALID),
        (json!({ "token_use": "access", "client_id": "client1", "aud": "other" }), INVALID),
        (json!({ "token_use": "access", "client_id": "client1", "aud": "client1" }), ann()),
        (json!({ "token_use": "refresh", "client_id": "client1", "aud": "client1" }), INVALID),
        (json!({ "client_id": "client1", "aud": "client1" }), INVALID),
        (json!({ "token_use": 7, "aud": "client1" }), INVALID),
    ];
    for (mut claims, expected) in cases {
        let shown = claims.to_string();
        claims["iss"] = json!(POOL);
        claims["sub"] = json!("ann");
        claims["exp"] = json!(NOW_SECS + 60);
        let token = signer.token(&claims);
        assert_eq!(verdict(&oidc, &token, NOW).await, expected, "{shown}");
        assert_ne!(verdict(&oidc, &token, NOW + Millis::from_secs(91)).await, ann(), "{shown}");
    }
}
