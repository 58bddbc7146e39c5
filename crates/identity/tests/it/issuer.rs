//! When an issuer is asked, what is kept of its answers, and what happens when there are none.

use std::sync::Arc;
use std::time::Duration;

use ambo_core::Millis;
use ambo_identity::{FETCH_EVERY, Identity, Oidc, OidcError, OidcSettings, REFRESH_AFTER, Renewal};
use serde_json::json;

use crate::world::{AUDIENCE, Answer, INVALID, Issuer, NOW, Signer};
use crate::world::{Unavailable, Verdict, user, verdict};

const SECOND: Millis = Millis(1_000);

/// Waits until a request made in the background has been answered.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be so");
}

#[tokio::test]
async fn an_unknown_kid_is_asked_for_once_in_thirty_seconds() {
    let signer = Signer::ed25519("known");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let good = signer.token(&issuer.claims());
    assert_eq!(verdict(&oidc, &good, NOW).await, user("ann"));
    assert_eq!(issuer.asked(), 1);
    for n in 0..20 {
        let invented = Signer::ed25519(&format!("kid{n}")).token(&issuer.claims());
        let now = NOW + Millis(n * 1_000);
        assert_eq!(verdict(&oidc, &invented, now).await, INVALID, "after {n} s");
    }
    assert_eq!(issuer.asked(), 1, "the first answer is younger than thirty seconds");
    let invented = Signer::ed25519("x").token(&issuer.claims());
    assert_eq!(verdict(&oidc, &invented, NOW + FETCH_EVERY - Millis(1)).await, INVALID);
    assert_eq!(issuer.asked(), 1);
    assert_eq!(verdict(&oidc, &invented, NOW + FETCH_EVERY).await, INVALID);
    assert_eq!(issuer.asked(), 2);
    assert_eq!(verdict(&oidc, &invented, NOW + FETCH_EVERY + SECOND).await, INVALID);
    assert_eq!(verdict(&oidc, &good, NOW + FETCH_EVERY + SECOND).await, user("ann"));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_new_key_is_found_and_a_removed_one_forgotten() {
    let (old, new) = (Signer::p256("2026-10"), Signer::p256("2026-11"));
    let issuer = Issuer::with_keys(&[old.jwk()]).await;
    let oidc = issuer.believer();
    assert_eq!(verdict(&oidc, &old.token(&issuer.claims()), NOW).await, user("ann"));
    issuer.publish(&[old.jwk(), new.jwk()]);
    let later = NOW + FETCH_EVERY;
    assert_eq!(verdict(&oidc, &new.token(&issuer.claims()), later).await, user("ann"));
    assert_eq!(verdict(&oidc, &old.token(&issuer.claims()), later).await, user("ann"));
    assert_eq!(issuer.asked(), 2);
    // The old key goes. It is noticed when the keys are an hour old.
    issuer.publish(&[new.jwk()]);
    let mut claims = issuer.claims();
    claims["exp"] = json!(2_000_000_000);
    let in_an_hour = later + REFRESH_AFTER;
    assert_eq!(verdict(&oidc, &old.token(&claims), in_an_hour).await, user("ann"));
    until(async || verdict(&oidc, &old.token(&claims), in_an_hour).await == INVALID).await;
    assert_eq!(verdict(&oidc, &new.token(&claims), in_an_hour).await, user("ann"));
    assert_eq!(issuer.asked(), 3);
}

#[tokio::test]
async fn who_cannot_renew_keys_meanwhile_renews_them_first() {
    let (old, new) = (Signer::p256("2026-10"), Signer::p256("2026-11"));
    let issuer = Issuer::with_keys(&[old.jwk()]).await;
    let settings = OidcSettings { renewal: Renewal::First, ..issuer.settings() };
    let oidc = Oidc::new(settings).unwrap();
    let mut claims = issuer.claims();
    claims["exp"] = json!(2_000_000_000);
    let (known, other) = (old.token(&claims), new.token(&claims));
    assert_eq!(verdict(&oidc, &known, NOW).await, user("ann"));
    let nearly = NOW + REFRESH_AFTER - Millis(1);
    assert_eq!((verdict(&oidc, &known, nearly).await, issuer.asked()), (user("ann"), 1));
    // An issuer that fails is waited for once, and takes nothing away.
    issuer.say("/jwks", Answer::Status(503));
    for _ in 0..2 {
        assert_eq!(verdict(&oidc, &known, NOW + REFRESH_AFTER).await, user("ann"));
        assert_eq!(issuer.asked(), 2);
    }
    issuer.publish(&[new.jwk()]);
    let later = NOW + REFRESH_AFTER + FETCH_EVERY;
    assert_eq!(verdict(&oidc, &known, later).await, INVALID);
    assert_eq!((verdict(&oidc, &other, later).await, issuer.asked()), (user("ann"), 3));
}

#[tokio::test]
async fn a_crowd_shares_one_request() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::start().await;
    let jwks = json!({ "keys": [signer.jwk()] }).to_string();
    issuer.say("/jwks", Answer::Slowly(Duration::from_millis(200), jwks));
    let oidc = Arc::new(issuer.believer());
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (oidc, token) = (Arc::clone(&oidc), signer.token(&issuer.claims()));
        // Moments a little out of order, as they come from many tasks.
        let now = NOW + Millis(n * 37 % 50);
        crowd.spawn(async move { verdict(&*oidc, &token, now).await });
    }
    while let Some(verdict) = crowd.join_next().await {
        assert_eq!(verdict.unwrap(), user("ann"));
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn the_first_of_a_crowd_may_hang_up() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::start().await;
    let jwks = json!({ "keys": [signer.jwk()] }).to_string();
    issuer.say("/jwks", Answer::Slowly(Duration::from_millis(200), jwks));
    let oidc = Arc::new(issuer.believer());
    let token = signer.token(&issuer.claims());
    let first = tokio::spawn({
        let (oidc, token) = (Arc::clone(&oidc), token.clone());
        async move { verdict(&*oidc, &token, NOW).await }
    });
    until(async || issuer.asked() == 1).await;
    first.abort();
    assert_eq!(verdict(&*oidc, &token, NOW).await, user("ann"));
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn an_issuer_that_fails_takes_no_key_away() {
    let signer = Signer::ed25519("known");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let oidc = issuer.believer();
    let mut claims = issuer.claims();
    claims["exp"] = json!(2_000_000_000);
    assert_eq!(verdict(&oidc, &signer.token(&claims), NOW).await, user("ann"));
    issuer.say("/jwks", Answer::HangUp);
    // A week of failing, used every day.
    for day in 1..=7 {
        let now = NOW + Millis::from_mins(day * 24 * 60);
        let before = issuer.asked();
        // Nothing is asked while the question of the day before waits for its answer.
        until(async || {
            assert_eq!(verdict(&oidc, &signer.token(&claims), now).await, user("ann"), "day {day}");
            issuer.asked() > before
        })
        .await;
    }
    // For a key nobody knows, nobody can tell.
    let now = NOW + Millis::from_mins(8 * 24 * 60);
    let stranger = Signer::ed25519("unknown").token(&claims);
    until(async || verdict(&oidc, &stranger, now).await == Unavailable(FETCH_EVERY)).await;
    let before = issuer.asked();
    let soon = now + Millis::from_secs(20);
    assert_eq!(verdict(&oidc, &stranger, soon).await, Unavailable(Millis::from_secs(10)));
    assert_eq!(issuer.asked(), before);
    issuer.publish(&[signer.jwk()]);
    assert_eq!(verdict(&oidc, &stranger, now + FETCH_EVERY).await, INVALID);
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_unavailable_until_it_is() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::start().await;
    issuer.say("/jwks", Answer::Status(503));
    let oidc = issuer.believer();
    let token = signer.token(&issuer.claims());
    assert_eq!(verdict(&oidc, &token, NOW).await, Unavailable(FETCH_EVERY));
    issuer.publish(&[signer.jwk()]);
    let soon = NOW + FETCH_EVERY - Millis(1);
    assert_eq!(verdict(&oidc, &token, soon).await, Unavailable(SECOND), "at least a second");
    assert_eq!(issuer.asked(), 1);
    assert_eq!(verdict(&oidc, &token, NOW + FETCH_EVERY).await, user("ann"));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_good_asks_nobody() {
    let issuer = Issuer::start().await;
    let oidc = issuer.believer();
    let token = Signer::ed25519("e").token_with(&json!({ "alg": "none", "kid": "e" }), &json!({}));
    assert_eq!(verdict(&oidc, &token, NOW).await, INVALID);
    assert_eq!(issuer.asked(), 0);
}

#[tokio::test]
async fn a_clock_set_back_does_not_stop_the_asking() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::start().await;
    let oidc = issuer.believer();
    let mut claims = issuer.claims();
    claims["exp"] = json!(2_000_000_000);
    let token = signer.token(&claims);
    assert!(matches!(verdict(&oidc, &token, NOW).await, Unavailable(_)));
    issuer.publish(&[signer.jwk()]);
    let yesterday = NOW - Millis::from_mins(24 * 60);
    assert_eq!(verdict(&oidc, &token, yesterday).await, user("ann"));
}

#[tokio::test]
async fn every_bad_answer_is_unavailable_and_keeps_what_was_known() {
    let signer = Signer::ed25519("known");
    let stranger = Signer::ed25519("unknown");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let secret = json!({ "kty": "oct", "kid": "unknown", "k": "c2VjcmV0" });
    let elsewhere = Issuer::with_keys(&[stranger.jwk()]).await;
    let too_large = format!(r#"{{"keys":[{}],"pad":"{}"}}"#, stranger.jwk(), "x".repeat(300_000));
    let answers = [
        Answer::Status(404),
        Answer::Status(500),
        Answer::Status(204),
        Answer::Redirect(format!("{}/jwks", elsewhere.base)),
        Answer::Document(String::new()),
        Answer::Document("<html>".into()),
        Answer::Document("[]".into()),
        Answer::Document("{}".into()),
        Answer::Document(r#"{"keys":{}}"#.into()),
        Answer::Document(r#"{"keys":[]}"#.into()),
        Answer::Document(json!({ "keys": [secret] }).to_string()),
        Answer::Document(too_large),
        Answer::Endless,
        Answer::HangUp,
    ];
    let oidc = issuer.believer();
    let mut claims = issuer.claims();
    claims["exp"] = json!(2_000_000_000);
    assert_eq!(verdict(&oidc, &signer.token(&claims), NOW).await, user("ann"));
    for (n, answer) in answers.into_iter().enumerate() {
        issuer.say("/jwks", answer);
        let now = NOW + Millis::from_mins(n as u64 + 1);
        let unknown = verdict(&oidc, &stranger.token(&claims), now).await;
        assert_eq!(unknown, Unavailable(FETCH_EVERY), "answer {n}");
        assert_eq!(verdict(&oidc, &signer.token(&claims), now).await, user("ann"), "answer {n}");
    }
    assert_eq!(elsewhere.asked(), 0, "redirections are not followed");
}

#[tokio::test]
async fn a_silent_issuer_is_given_up() {
    let issuer = Issuer::start().await;
    issuer.say("/jwks", Answer::Silence);
    let token = Signer::ed25519("e").token(&issuer.claims());
    let started = std::time::Instant::now();
    let verdict = verdict(&issuer.believer(), &token, NOW).await;
    assert!(matches!(verdict, Unavailable(_)), "{verdict:?}");
    let took = started.elapsed();
    assert!((4..30).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn keys_we_cannot_use_are_passed_over() {
    let good = Signer::ed25519("good");
    let mut keys = vec![
        json!(7),
        json!({}),
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "a", "x": "AA", "y": "AA" }),
        json!({ "kty": "quantum", "kid": "b" }),
        json!({ "kty": "RSA", "kid": "short", "n": "AQAB", "e": "AQAB" }),
        json!({ "kty": "RSA", "kid": "none" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "c", "x": "!" }),
    ];
    // Each of these is good but for one thing; the last one is a repetition, and loses.
    let spoilt = [
        ("use", json!("enc")),
        ("key_ops", json!(["encrypt"])),
        ("alg", json!("ES256")),
        ("kid", json!("")),
        ("kid", json!(null)),
    ];
    let bad = Signer::ed25519("bad");
    for (name, value) in &spoilt {
        let mut key = bad.jwk();
        key[name] = value.clone();
        keys.push(key);
    }
    keys.push(good.jwk());
    let mut usual = Signer::ed25519("good").jwk();
    usual["key_ops"] = json!(["verify"]);
    usual["alg"] = json!("Ed25519");
    keys.push(usual);
    let issuer = Issuer::with_keys(&keys).await;
    let oidc = issuer.believer();
    assert_eq!(verdict(&oidc, &good.token(&issuer.claims()), NOW).await, user("ann"));
    assert_eq!(verdict(&oidc, &bad.token(&issuer.claims()), NOW).await, INVALID);
}

#[tokio::test]
async fn two_keys_of_different_types_may_share_a_name() {
    let (p256, ed25519) = (Signer::p256("same"), Signer::ed25519("same"));
    let issuer = Issuer::with_keys(&[p256.jwk(), ed25519.jwk()]).await;
    let oidc = issuer.believer();
    assert_eq!(verdict(&oidc, &p256.token(&issuer.claims()), NOW).await, user("ann"));
    assert_eq!(verdict(&oidc, &ed25519.token(&issuer.claims()), NOW).await, user("ann"));
}

#[tokio::test]
async fn a_document_may_hold_so_many_keys_and_no_more() {
    let signers: Vec<_> = (0..65).map(|n| Signer::ed25519(&format!("k{n}"))).collect();
    let keys: Vec<_> = signers.iter().map(Signer::jwk).collect();
    let issuer = Issuer::with_keys(&keys).await;
    let oidc = issuer.believer();
    assert_eq!(verdict(&oidc, &signers[63].token(&issuer.claims()), NOW).await, user("ann"));
    assert_eq!(verdict(&oidc, &signers[64].token(&issuer.claims()), NOW).await, INVALID);
}

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An issuer that is asked where its keys are.
fn discovering(issuer: &Issuer) -> Oidc {
    Oidc::new(OidcSettings::new(&issuer.base, vec![AUDIENCE.into()])).unwrap()
}

#[tokio::test]
async fn an_issuer_says_itself_where_its_keys_are() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let jwks_uri = format!("{}/jwks", issuer.base);
    let document = json!({ "issuer": issuer.base, "jwks_uri": jwks_uri, "more": {} });
    issuer.say(DISCOVERY, Answer::Document(document.to_string()));
    let oidc = discovering(&issuer);
    assert_eq!(verdict(&oidc, &signer.token(&issuer.claims()), NOW).await, user("ann"));
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn a_discovery_document_is_not_believed_blindly() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let jwks_uri = format!("{}/jwks", issuer.base);
    let documents = [
        json!({ "issuer": "https://elsewhere.example.org", "jwks_uri": jwks_uri }),
        json!({ "issuer": format!("{}/", issuer.base), "jwks_uri": jwks_uri }),
        json!({ "issuer": issuer.base, "jwks_uri": "http://192.0.2.1/jwks" }),
        json!({ "issuer": issuer.base, "jwks_uri": "file:///etc/passwd" }),
        json!({ "issuer": issuer.base, "jwks_uri": "" }),
        json!({ "issuer": issuer.base }),
        json!([]),
    ];
    for document in documents {
        issuer.say(DISCOVERY, Answer::Document(document.to_string()));
        let oidc = discovering(&issuer);
        let verdict = verdict(&oidc, &signer.token(&issuer.claims()), NOW).await;
        assert!(matches!(verdict, Verdict::Unavailable(_)), "{document}: {verdict:?}");
    }
}

#[tokio::test]
async fn keys_can_be_had_before_the_first_speaker_comes() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with_keys(&[signer.jwk()]).await;
    let identity = Identity::oidc(issuer.settings()).unwrap();
    identity.warm(NOW).await;
    issuer.say("/jwks", Answer::HangUp);
    assert_eq!(verdict(&identity, &signer.token(&issuer.claims()), NOW).await, user("ann"));
    assert_eq!(issuer.asked(), 1);
    assert_eq!(identity.jwks_json(), None);
}

#[test]
fn what_cannot_work_is_said_at_the_start() {
    let settings = OidcSettings::new("https://id.example.org", vec![]);
    assert!(matches!(Oidc::new(settings), Err(OidcError::NoAudience)));
    for issuer in ["", "id.example.org", "http://id.example.org"] {
        let settings = OidcSettings::new(issuer, vec![AUDIENCE.into()]);
        assert!(matches!(Oidc::new(settings), Err(OidcError::Address(_))), "{issuer}");
    }
    let settings = OidcSettings {
        jwks_url: Some("http://id.example.org/jwks".into()),
        ..OidcSettings::new("https://id.example.org", vec![AUDIENCE.into()])
    };
    let error = Oidc::new(settings).unwrap_err().to_string();
    assert!(error.contains("must be https"), "{error}");
}
