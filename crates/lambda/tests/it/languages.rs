//! Which languages there are, by the services' own word.

use ambo_core::Millis;
use serde_json::json;

use crate::world::{World, join};

/// Something is said, after which the services are asked, where it is time to.
async fn settle(world: &World) {
    world.say("connection", "x", json!({ "action": "getSessionStatus" })).await;
}

async fn takes(world: &World, session: &str, target: &str) -> bool {
    world.clock.advance(Millis::from_secs(1));
    world.knock("y", None, &join(session, target)).await["statusCode"] == 200
}

fn translate(world: &World, status: u16, codes: &[&str]) {
    let languages: Vec<_> = codes.iter().map(|code| json!({ "LanguageCode": code })).collect();
    world.page("/", status, json!({ "Languages": languages }));
}

#[tokio::test]
async fn the_services_are_asked_page_by_page_and_kept_for_a_day() {
    let world = World::new().await;
    translate(&world, 200, &["auto", "en", "sw", "zh", "no", "es"]);
    let page = |codes: &[&str], next: Option<&str>| {
        let voices: Vec<_> = codes.iter().map(|code| json!({ "LanguageCode": code })).collect();
        json!({ "Voices": voices, "NextToken": next })
    };
    let first = "/v1/voices?Engine=neural";
    world.page(first, 200, page(&["sw-KE", "en-GB"], Some("a+b=")));
    let second = "/v1/voices?Engine=neural&NextToken=a%2Bb%3D";
    world.page(second, 200, page(&["cmn-CN", "nb-NO", "de-DE"], None));
    let session = world.session().await;
    settle(&world).await;
    for (target, expected) in
        [("sw", true), ("zh", true), ("no", true), ("en", true), ("es", false), ("de", false)]
    {
        assert_eq!(takes(&world, &session, target).await, expected, "{target}");
    }
    let asked = || world.stub.asked.lock().iter().filter(|asked| asked.path == second).count();
    assert_eq!(asked(), 1);
    translate(&world, 200, &["en", "de"]);
    world.clock.advance(Millis::from_mins(100));
    settle(&world).await;
    assert!(takes(&world, &session, "sw").await, "it is kept");
}

#[tokio::test]
async fn a_voice_for_two_languages_is_one_for_each() {
    let world = World::new().await;
    translate(&world, 200, &["en", "hi", "de"]);
    let kajal = json!({ "LanguageCode": "en-IN", "AdditionalLanguageCodes": ["hi-IN"] });
    world.page("/v1/voices?Engine=neural", 200, json!({ "Voices": [kajal] }));
    let session = world.session().await;
    assert!(takes(&world, &session, "hi").await);
    assert!(!takes(&world, &session, "de").await);
}

#[tokio::test]
async fn nobody_waits_while_they_are_asked() {
    let world = World::new().await;
    translate(&world, 200, &["en", "sw"]);
    world.page("/v1/voices?Engine=neural", 200, json!({ "Voices": [{ "LanguageCode": "sw-KE" }] }));
    let asked = |end: &str| {
        let asked = world.stub.asked.lock();
        asked.iter().position(|asked| asked.path.ends_with(end))
    };
    let create = [("action", "createSession"), ("sourceLanguage", "en")];
    world.knock("ann", Some("ann"), &create).await;
    assert_eq!(asked("/"), None, "a handshake is waited for");
    world.run_orders().await;
    assert!(asked("/ann").is_some() && asked("/ann") < asked("/"));
    let session = world.take("ann")[0]["sessionId"].as_str().unwrap().to_owned();
    assert!(takes(&world, &session, "sw").await, "an answer that came holds at once");
}

#[tokio::test]
async fn while_they_cannot_be_asked_the_last_answer_holds_or_the_table() {
    let world = World::with(&[("SESSION_MAX_DURATION", "100h")]).await;
    let session = world.session().await;
    settle(&world).await;
    assert!(takes(&world, &session, "fr").await, "the table");
    assert!(!takes(&world, &session, "sw").await, "the table has no voice for it");
    translate(&world, 200, &["en", "sw"]);
    world.page("/v1/voices?Engine=neural", 200, json!({ "Voices": [{ "LanguageCode": "sw-KE" }] }));
    settle(&world).await;
    assert!(!takes(&world, &session, "sw").await, "they are left alone for a while");
    world.clock.advance(Millis::from_mins(5));
    settle(&world).await;
    assert!(takes(&world, &session, "sw").await);
    assert!(!takes(&world, &session, "fr").await);
    for (status, codes) in [(500, &["fr"][..]), (200, &[]), (200, &["fr"])] {
        translate(&world, status, codes);
        world.clock.advance(Millis::from_mins(25 * 60));
        settle(&world).await;
        assert!(takes(&world, &session, "sw").await, "{status} {codes:?}");
    }
}
