//! Tokens of an issuer elsewhere, and what happens when it is not there.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Refused, World, frame};
use crate::support::PATIENCE;
use crate::support::issuer::{AUDIENCE, Issuer, Signer};

async fn world_of(issuer: &Issuer) -> World {
    let base = issuer.base.clone();
    World::start(move |settings| {
        settings.oidc_issuer = Some(base);
        settings.oidc_audience = vec!["another-app".into(), AUDIENCE.into()];
    })
    .await
}

fn create(token: &str) -> String {
    format!("action=createSession&sourceLanguage=en&token={token}")
}

fn is_unavailable(refused: &Refused) {
    assert_eq!((refused.status, refused.code()), (503, "SERVICE_UNAVAILABLE"), "{refused:?}");
    assert_eq!(refused.body["details"]["service"], "identity", "{refused:?}");
    let retry_after = refused.retry_after.unwrap();
    assert!((1..=30).contains(&retry_after), "{refused:?}");
    assert_eq!(refused.body["details"]["retryAfter"], retry_after, "{refused:?}");
}

#[tokio::test]
async fn speakers_with_tokens_of_the_issuer_speak() {
    let (rsa, p256) = (Signer::rs256("rsa-1"), Signer::es256("ec-1"));
    let stranger = Signer::es256("ec-1");
    let issuer = Issuer::start(&[&rsa, &p256]).await;
    let world = world_of(&issuer).await;
    for signer in [&rsa, &p256] {
        let mut speaker = world.connect(&create(&signer.token(&issuer.claims("ann")))).await;
        assert_eq!(speaker.json().await["type"], "sessionCreated");
        speaker.leave(1000).await;
    }
    let good = issuer.claims("ann");
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = good.clone();
        claims[name] = value;
        p256.token(&claims)
    };
    for (token, message) in [
        (stranger.token(&good), "Invalid token"),
        (with("aud", json!("somebody-else")), "Invalid token"),
        (with("iss", json!("https://id.example.org")), "Invalid token"),
        (with("sub", json!("")), "Invalid token"),
        (with("exp", json!(1_000)), "Token expired"),
        (Signer::es256("ec-2").token(&good), "Invalid token"),
    ] {
        let refused = world.refused(&create(&token)).await;
        assert_eq!((refused.status, refused.code()), (401, "UNAUTHORIZED"));
        assert_eq!(refused.body["message"], message);
    }
    let refused = world.refused("action=createSession&sourceLanguage=en").await;
    assert_eq!(refused.body["message"], "Authentication required");
    assert_eq!(world.get("/.well-known/jwks.json").await.0, 404, "the keys are not ours");

    // A session is its user's, whichever of the issuer's keys signed.
    let mut speaker = world.connect(&create(&rsa.token(&good))).await;
    let session = speaker.json().await["sessionId"].as_str().unwrap().to_owned();
    let refresh = |token: &str| {
        format!("action=refreshConnection&role=speaker&sessionId={session}&token={token}")
    };
    let refused = world.refused(&refresh(&p256.token(&issuer.claims("ben")))).await;
    assert_eq!((refused.status, refused.code()), (403, "FORBIDDEN"));
    let mut again = world.connect(&refresh(&p256.token(&good))).await;
    assert_eq!(again.json().await["type"], "connectionRefreshComplete");
}

#[tokio::test]
async fn while_the_issuer_is_down_speakers_wait_and_listeners_do_not() {
    let (old, new) = (Signer::es256("old"), Signer::es256("new"));
    let issuer = Issuer::start(&[&old]).await;
    let world = world_of(&issuer).await;
    let claims = issuer.claims("ann");
    let mut speaker = world.connect(&create(&old.token(&claims))).await;
    let session = speaker.json().await["sessionId"].as_str().unwrap().to_owned();

    issuer.fall_silent();
    world.clock.advance(Duration::from_secs(40));
    let query = create(&new.token(&claims));
    let waiting = world.refused(&query);
    tokio::pin!(waiting);
    let listening = async {
        let mut listener = world.listen(&session, "es").await;
        speaker.send_binary(frame(1, b"unmoved")).await;
        assert_eq!(listener.binary().await, frame(1, b"unmoved"));
        // Keys that are known outlive the issuer.
        let mut second = world.connect(&create(&old.token(&claims))).await;
        assert_eq!(second.json().await["type"], "sessionCreated");
    };
    tokio::select! {
        biased;
        () = listening => {}
        refused = &mut waiting => panic!("a listener waited for the issuer, too: {refused:?}"),
    }
    is_unavailable(&tokio::time::timeout(PATIENCE, waiting).await.unwrap());
    // It is not asked again for a while, so nobody waits.
    let asked = issuer.asked();
    is_unavailable(&world.refused(&query).await);
    assert_eq!(issuer.asked(), asked);

    issuer.publish(&[&old, &new]);
    world.clock.advance(Duration::from_secs(40));
    let mut speaker = world.connect(&query).await;
    assert_eq!(speaker.json().await["type"], "sessionCreated", "it is back");
}

#[tokio::test]
async fn an_issuer_that_was_never_there_keeps_nobody_from_starting() {
    let key = Signer::es256("k");
    let issuer = Issuer::start(&[&key]).await;
    issuer.fail();
    let world = world_of(&issuer).await;
    let query = create(&key.token(&issuer.claims("ann")));
    is_unavailable(&world.refused(&query).await);
    assert_eq!(world.get("/readyz").await.0, 200, "listeners are served");
    issuer.publish(&[&key]);
    world.clock.advance(Duration::from_secs(40));
    let mut speaker = world.connect(&query).await;
    assert_eq!(speaker.json().await["type"], "sessionCreated");
}
