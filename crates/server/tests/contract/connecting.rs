//! §1 Connecting: paths, parameters, tokens, the first message.
//!
//! | sentence | test |
//! |---|---|
//! | one endpoint at `/ws`, `/` and `/prod` | `the_endpoint_answers_at_three_paths` |
//! | values arrive plain or percent-encoded | `values_may_be_percent_encoded` |
//! | createSession, its parameters and default | `a_speaker_creates` |
//! | joinSession, no token | `anyone_joins`, `a_listeners_token_is_ignored` |
//! | refreshConnection of both roles | `both_roles_refresh_by_query` |
//! | the token may come as a header | `the_token_comes_in_the_query_or_in_the_header` |
//! | the form of a session id and of a language | `ids_and_languages_have_one_form` |
//! | unknown, empty and repeated parameters | `parameters_too_many_are_ignored` |
//! | replies at connect are the first message | all of these |

use serde_json::{Value, json};

use crate::harness::{AMBO, START, World};
use crate::support::{create, enter, enter_plain, go_on, has, join, open_world, take_up, text};

#[tokio::test]
async fn the_endpoint_answers_at_three_paths() {
    let world = open_world().await;
    for path in ["/ws", "/", "/prod"] {
        let query = create(&world, "ann");
        let mut plain = world.knock(&format!("{path}?{query}"), &[]).await.unwrap();
        assert_eq!(plain.json().await["type"], "sessionCreated", "{path}");
        assert_eq!(plain.response.headers().get(AMBO.0), None);
        let offers = (AMBO.0, "chat, ambo.v1");
        let mut peer = world.knock(&format!("{path}?{query}"), &[offers]).await.unwrap();
        assert_eq!(peer.json().await["type"], "sessionCreated", "{path}");
        assert_eq!(peer.response.headers()[AMBO.0], "ambo.v1");
    }
    let elsewhere = world.knock(&format!("/else?{}", create(&world, "ann")), &[]).await;
    assert_eq!(elsewhere.err().unwrap().status, 404);
    assert_eq!(world.get("/ws").await.0, 400, "no WebSocket");
}

#[tokio::test]
async fn values_may_be_percent_encoded() {
    let world = open_world().await;
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pair = |(name, value): (&str, &str)| format!("{}={}", encode(name), encode(value));
    let token = world.token("ann");
    let pairs = [("action", "createSession"), ("sourceLanguage", "en"), ("token", &token)];
    let (_speaker, created) = enter(&world, &pairs.map(pair).join("&"), "sessionCreated").await;
    let session = text(&created, "sessionId");
    let pairs = [("action", "joinSession"), ("sessionId", session), ("targetLanguage", "es")];
    enter(&world, &pairs.map(pair).join("&"), "sessionJoined").await;
}

#[tokio::test]
async fn a_speaker_creates() {
    let world = open_world().await;
    for (tier, expected) in [("", "standard"), ("standard", "standard"), ("premium", "premium")] {
        let query = format!("{}&qualityTier={tier}", create(&world, "ann"));
        let (_speaker, created) = enter(&world, &query, "sessionCreated").await;
        let expected = json!({
            "sourceLanguage": "en",
            "qualityTier": expected,
            "expiresAt": START.0 + 2 * 3_600_000,
            "timestamp": START.0,
        });
        has(&created, &expected);
        assert!(!text(&created, "connectionId").is_empty());
    }
}

#[tokio::test]
async fn anyone_joins() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let (_listener, joined) = enter(&world, &join(&speaking.session, "es"), "sessionJoined").await;
    let state = json!({ "isPaused": false, "isMuted": false, "lastStateChange": START.0 });
    let expected = json!({
        "sessionId": speaking.session,
        "sourceLanguage": "en",
        "targetLanguage": "es",
        "broadcastState": state,
        "timestamp": START.0,
    });
    has(&joined, &expected);
    let (_other, other) =
        enter_plain(&world, &join(&speaking.session, "en"), "sessionJoined").await;
    assert_ne!(text(&joined, "connectionId"), text(&other, "connectionId"));
}

#[tokio::test]
async fn a_listeners_token_is_ignored() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let (join, refresh) = (join(&speaking.session, "es"), go_on(&speaking.session, "es"));
    let good = world.token("ann");
    for token in ["garbage", "a.b.c", "%00%ff", &good] {
        enter(&world, &format!("{join}&token={token}"), "sessionJoined").await;
        let refresh = format!("{refresh}&token={token}");
        enter(&world, &refresh, "connectionRefreshComplete").await;
    }
    for value in ["Bearer garbage", "Basic YTpi", "nonsense"] {
        let header = ("authorization", value);
        let mut peer = world.knock(&format!("/ws?{join}"), &[header]).await.unwrap();
        assert_eq!(peer.json().await["type"], "sessionJoined", "{value}");
    }
}

#[tokio::test]
async fn both_roles_refresh_by_query() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let session = speaking.session.as_str();
    let state = json!({ "isPaused": false, "isMuted": false, "lastStateChange": START.0 });
    let query = take_up(&world, session, "ann");
    let (_speaker, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
    let expected = json!({
        "sessionId": session,
        "role": "speaker",
        "sourceLanguage": "en",
        "broadcastState": state,
        "lastSequence": null,
    });
    has(&refreshed, &expected);
    let query = format!("{}&lastSequence=4294967295", go_on(session, "es"));
    let (_listener, refreshed) = enter(&world, &query, "connectionRefreshComplete").await;
    let expected = json!({
        "sessionId": session,
        "role": "listener",
        "sourceLanguage": "en",
        "targetLanguage": "es",
        "replayed": 0,
    });
    has(&refreshed, &expected);
}

#[tokio::test]
async fn the_token_comes_in_the_query_or_in_the_header() {
    let world = open_world().await;
    let query = "/ws?action=createSession&sourceLanguage=en";
    let bearer = format!("Bearer {}", world.token("ann"));
    for value in [bearer.clone(), bearer.replace("Bearer", "bearer")] {
        let header = ("authorization", value.as_str());
        for query in [query.to_owned(), format!("{query}&token=")] {
            let mut peer = world.knock(&query, &[header]).await.unwrap();
            assert_eq!(peer.json().await["type"], "sessionCreated", "{query}");
        }
    }
    let header = ("authorization", bearer.as_str());
    let refused = world.knock(&format!("{query}&token=garbage"), &[header]).await.err().unwrap();
    assert_eq!(refused.body["message"], "Invalid token", "the query's token counts");
    for value in ["Basic YTpi", "Bearer", "Bearer ", "nonsense"] {
        let refused = world.knock(query, &[("authorization", value)]).await.err().unwrap();
        assert_eq!(refused.body["message"], "Authentication required", "{value}");
    }
}

#[tokio::test]
async fn ids_and_languages_have_one_form() {
    let world = open_world().await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..20 {
        // Every message is held against the schema, and with it every id against its pattern.
        let speaking = world.speak().await;
        assert!(ids.insert(speaking.session));
    }
    let good = ids.iter().next().unwrap();
    let malformed = [
        good.to_uppercase(),
        format!("%20{good}"),
        format!("{good}%20"),
        good.replace('-', "_"),
        format!("{good}1"),
        format!("x-{good}"),
        "faithful-shepherd-099".to_owned(),
        "faithful-shepherd-1000".to_owned(),
        "faithful-shepherd".to_owned(),
        "faithful--427".to_owned(),
        "fa%C3%AEthful-shepherd-427".to_owned(),
        "a".repeat(5_000),
    ];
    for id in malformed {
        let refused = world.refused(&join(&id, "es")).await;
        assert_eq!((refused.status, refused.code()), (400, "INVALID_SESSION_ID"), "{id}");
    }
    for language in ["EN", "e", "eng", "e1", "%20en", "en%20", "%C3%A9", "english", "e-"] {
        let refused = world.refused(&join(good, language)).await;
        assert_eq!(refused.code(), "INVALID_PARAMETERS", "{language}");
        assert_eq!(refused.body["details"], json!({ "field": "targetLanguage" }));
    }
}

#[tokio::test]
async fn parameters_too_many_are_ignored() {
    let world = open_world().await;
    let speaking = world.speak().await;
    let query = join(&speaking.session, "es");
    let query = format!("x=1&{query}&targetLanguage=de&action=createSession&sessionId=x&&=&y");
    let (_listener, joined) = enter(&world, &query, "sessionJoined").await;
    assert_eq!(joined["targetLanguage"], "es");
    let refused = world.refused(&format!("targetLanguage=&{query}")).await;
    assert_eq!(refused.body["details"]["field"], "targetLanguage", "an empty one is absent");
    let last = format!("{}&lastSequence=&refreshToken=", go_on(&speaking.session, "es"));
    let (_listener, refreshed) = enter(&world, &last, "connectionRefreshComplete").await;
    assert_ne!(refreshed["replayed"], Value::Null);
}

#[tokio::test]
async fn the_query_is_limited_by_the_headers_size_alone() {
    let world = World::start(|settings| settings.max_header_size = 32 * 1024).await;
    let query = format!("{}&x={}", create(&world, "ann"), "x".repeat(16_000));
    enter(&world, &query, "sessionCreated").await;
}
