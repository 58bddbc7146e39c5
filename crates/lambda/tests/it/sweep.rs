//! `$disconnect`, and the sweep that finds what it does not tell.

use ambo_core::Millis;
use serde_json::json;

use crate::line::Line;
use crate::world::{World, disconnect_event, join};

#[tokio::test]
async fn a_listener_leaves_once_however_often_that_is_told() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.join("max", &session, "es").await;
    world.part("eva", 1001).await;
    world.part("eva", 1001).await;
    assert_eq!(world.listeners().await, 1);
}

#[tokio::test]
async fn a_speakers_goodbye_ends_the_session_and_a_loss_is_borne_for_a_while() {
    let world = World::new().await;
    for (code, ends) in [(1000, true), (1001, true), (1005, false), (1006, false), (4000, false)] {
        let session = world.session().await;
        world.join("eva", &session, "es").await;
        world.part("ann", code).await;
        let told = world.take("eva");
        if ends {
            assert_eq!(told[0]["reason"], "speakerEnded", "{code}");
            continue;
        }
        assert_eq!((told.len(), &told[0]["reason"]), (1, &json!("speakerLost")), "{code}");
        world.clock.advance(Millis::from_secs(29));
        world.sweep().await;
        assert!(world.types("eva").is_empty(), "{code}");
        world.clock.advance(Millis::from_secs(1));
        world.sweep().await;
        assert_eq!(world.types("eva"), ["sessionEnded", "closed"], "{code}");
    }
}

#[tokio::test]
async fn a_connection_that_api_gateway_closed_for_its_age_did_not_say_goodbye() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.give("disconnect", disconnect_event("ann", 1001, 7_200_000)).await;
    assert_eq!(world.take("eva")[0]["reason"], "speakerLost");
}

#[tokio::test]
async fn who_is_silent_lapses() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.join("max", &session, "es").await;
    let beat = json!({ "action": "heartbeat" });
    world.clock.advance(Millis::from_secs(89));
    world.sweep().await;
    assert_eq!(world.listeners().await, 2);
    for connection in ["ann", "eva"] {
        world.say("heartbeat", connection, beat.clone()).await;
    }
    world.clock.advance(Millis::from_secs(10));
    world.sweep().await;
    assert_eq!(world.types("max"), ["closed"]);
    assert_eq!(world.listeners().await, 1);
}

#[tokio::test]
async fn who_is_heard_while_the_sweep_reads_the_roll_stays() {
    let line = Line::open().await;
    let world = World::through(&line).await;
    let session = world.session().await;
    for listener in ["eva", "max"] {
        world.join(listener, &session, "es").await;
    }
    world.clock.advance(Millis::from_secs(90));
    let beat = json!({ "action": "heartbeat" });
    world.say("heartbeat", "ann", beat.clone()).await;
    let mut page = line.hold("Scan", "connections-");
    let heard = async {
        page.done().await;
        world.say("heartbeat", "eva", beat).await;
        drop(page);
    };
    tokio::join!(world.sweep(), heard);
    assert_eq!(world.types("eva"), ["heartbeatAck"]);
    assert_eq!(world.types("max"), ["closed"]);
    assert_eq!(world.listeners().await, 1);
}

#[tokio::test]
async fn a_speaker_that_cannot_be_taken_out_is_not_closed_and_tried_again() {
    let line = Line::open().await;
    let world = World::through(&line).await;
    let session = world.session().await;
    world.clock.advance(Millis::from_secs(90));
    world.join("eva", &session, "es").await;
    line.refuse("TransactWriteItems", "sessions-");
    world.sweep().await;
    let nothing: Vec<String> = Vec::new();
    assert_eq!(world.types("ann"), nothing, "the close would be told as a goodbye");
    world.sweep().await;
    assert_eq!(world.types("ann"), ["closed"]);
    world.part("ann", 1000).await;
    let told = world.take("eva");
    assert_eq!((told.len(), &told[0]["reason"]), (1, &json!("speakerLost")));
}

#[tokio::test]
async fn who_cannot_be_read_keeps_nobody_from_lapsing_nor_from_being_told() {
    let world = World::new().await;
    let session = world.session().await;
    for listener in ["eva", "max", "zoe"] {
        world.join(listener, &session, "es").await;
    }
    world.spoil("eva").await;
    world.clock.advance(Millis::from_secs(60));
    for connection in ["ann", "zoe"] {
        world.say("heartbeat", connection, json!({ "action": "heartbeat" })).await;
        world.take(connection);
    }
    world.clock.advance(Millis::from_secs(30));
    world.sweep().await;
    assert_eq!(world.types("max"), ["closed"]);
    assert_eq!(world.listeners().await, 2, "one of them is not known to be gone");
    world.say("connection", "ann", json!({ "action": "endSession" })).await;
    for connection in ["ann", "zoe"] {
        assert_eq!(world.types(connection), ["sessionEnded", "closed"], "{connection}");
    }
}

#[tokio::test]
async fn who_is_too_old_is_closed() {
    let world = World::with(&[("HEARTBEAT_TIMEOUT", "0")]).await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.clock.advance(Millis::from_mins(119));
    world.say("heartbeat", "ann", json!({ "action": "heartbeat" })).await;
    world.sweep().await;
    assert!(world.types("eva").is_empty());
    world.clock.advance(Millis::from_mins(1));
    world.sweep().await;
    assert!(world.types("eva").contains(&"closed".to_owned()));
    assert!(world.types("ann").contains(&"closed".to_owned()));
}

#[tokio::test]
async fn a_session_expires_when_its_speaker_gives_no_sign() {
    let world = World::with(&[("HEARTBEAT_TIMEOUT", "0"), ("CONNECTION_MAX_DURATION", "0")]).await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.clock.advance(Millis::from_mins(119));
    world.sweep().await;
    assert!(world.types("eva").is_empty());
    world.clock.advance(Millis::from_mins(1));
    assert_eq!(world.knock("max", None, &join(&session, "es")).await["statusCode"], 404);
    world.sweep().await;
    let told = world.take("eva");
    assert_eq!((&told[0]["reason"], &told[1]), (&json!("expired"), &json!("closed")));
}

#[tokio::test]
async fn what_a_departure_before_connect_left_behind_is_swept_up() {
    let world = World::new().await;
    let session = world.session().await;
    world.part("eva", 1006).await;
    world.knock("eva", None, &join(&session, "es")).await;
    assert_eq!(world.listeners().await, 1, "nobody could know");
    world.clock.advance(Millis::from_secs(60));
    world.say("heartbeat", "ann", json!({ "action": "heartbeat" })).await;
    world.clock.advance(Millis::from_secs(30));
    world.sweep().await;
    assert_eq!(world.listeners().await, 0);
}

#[tokio::test]
async fn the_sweep_counts_and_tells_speakers_who_listens() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.join("max", &session, "de").await;
    world.stub.asked.lock().clear();
    world.clock.advance(Millis::from_secs(30));
    world.sweep().await;
    let told: Vec<serde_json::Value> = {
        let asked = world.stub.asked.lock();
        asked.iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
    };
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["languageDistribution"], json!({ "de": 1, "es": 1 }));
    assert_eq!(told[0]["updateReason"], "periodic", "both languages were news when they came");
    world.clock.advance(Millis::from_secs(30));
    world.sweep().await;
    let asked = world.stub.asked.lock().clone();
    let last: serde_json::Value = serde_json::from_str(&asked.last().unwrap().body).unwrap();
    assert_eq!(last["updateReason"], "periodic");
    assert_eq!(world.metric("ActiveSessions"), [1.0, 1.0]);
    assert_eq!(world.metric("TotalListeners"), [2.0, 2.0]);
    assert_eq!(world.metric("Connections"), [3.0, 3.0]);
}
