//! The first message: as soon as the connection is open, and nothing missed until then.

use ambo_core::Millis;
use serde_json::{Value, json};

use crate::line::Line;
use crate::world::{World, join};

/// A connection that is not open for the first so many posts.
const NOT_YET: [u16; 3] = [410, 410, 410];

/// A newcomer whose `$connect` is answered and whose first message is still under way.
async fn newcomer(world: &World, session: &str) -> Value {
    assert_eq!(world.knock("eva", None, &join(session, "es")).await["statusCode"], 200);
    world.take_orders().remove(0)
}

#[tokio::test]
async fn it_is_posted_once_the_connection_is_open() {
    let world = World::new().await;
    let session = world.session().await;
    world.answer("eva", &NOT_YET);
    world.join("eva", &session, "es").await;
    assert_eq!(world.listeners().await, 1);
}

#[tokio::test]
async fn one_that_never_opens_is_a_lost_member() {
    let world = World::new().await;
    let session = world.session().await;
    let order = newcomer(&world, &session).await;
    world.answer("eva", &[410; 9]);
    world.give("connection", order).await;
    assert_eq!(world.listeners().await, 0);
    let left: Vec<String> = Vec::new();
    assert_eq!(world.types("eva"), left);
}

#[tokio::test]
async fn one_that_cannot_be_taken_out_is_not_closed_and_left_to_the_sweep() {
    let line = Line::open().await;
    let world = World::through(&line).await;
    let create = [("action", "createSession"), ("sourceLanguage", "en")];
    world.knock("ann", Some("ann"), &create).await;
    let order = world.take_orders().remove(0);
    world.answer("ann", &[403]);
    line.refuse("TransactWriteItems", "sessions-");
    world.give("connection", order).await;
    let nothing: Vec<String> = Vec::new();
    assert_eq!(world.types("ann"), nothing, "the close would be told as a goodbye");
    world.clock.advance(Millis::from_secs(90));
    world.sweep().await;
    assert_eq!(world.types("ann"), ["closed"]);
}

#[tokio::test]
async fn what_changed_meanwhile_is_told_after_it() {
    let world = World::new().await;
    let session = world.session().await;
    let order = newcomer(&world, &session).await;
    world.answer("eva", &[410]);
    world.clock.advance(Millis(5));
    let pause = json!({ "action": "controlSession", "command": "pause" });
    world.say("connection", "ann", pause).await;
    assert!(world.take("eva").is_empty(), "it was not open");
    world.give("connection", order).await;
    let told = world.take("eva");
    assert_eq!(told[0]["type"], "sessionJoined");
    assert_eq!(told[1]["type"], "broadcastState");
    assert_eq!(told[1]["broadcastState"]["isPaused"], true);
    assert_eq!(world.listeners().await, 1, "who is not open yet is not gone");
}

#[tokio::test]
async fn what_changed_while_a_listener_refreshed_is_told_after_it() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    let query = [
        ("action", "refreshConnection"),
        ("role", "listener"),
        ("sessionId", &*session),
        ("targetLanguage", "es"),
    ];
    assert_eq!(world.knock("eva/2", None, &query).await["statusCode"], 200);
    let order = world.take_orders().remove(0);
    world.answer("eva/2", &[410]);
    world.clock.advance(Millis(5));
    world.say("connection", "ann", json!({ "action": "controlSession", "command": "mute" })).await;
    assert!(world.take("eva/2").is_empty(), "it was not open");
    world.give("connection", order).await;
    let told = world.take("eva/2");
    assert_eq!(told[0]["type"], "connectionRefreshComplete");
    assert_eq!(told[1]["broadcastState"]["isMuted"], true);
}

#[tokio::test]
async fn an_end_that_came_before_it_is_told_after_it() {
    let world = World::new().await;
    let session = world.session().await;
    let order = newcomer(&world, &session).await;
    world.answer("eva", &[410]);
    world.say("connection", "ann", json!({ "action": "endSession" })).await;
    assert!(world.take("eva").is_empty(), "it was not open");
    world.give("connection", order).await;
    assert_eq!(world.types("eva"), ["sessionJoined", "sessionEnded", "closed"]);
}

#[tokio::test]
async fn others_hear_of_a_speakers_return_after_the_speaker() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.part("ann", 1006).await;
    let lost = world.take("eva");
    assert_eq!(
        (&lost[0]["type"], &lost[0]["reason"]),
        (&json!("sessionPaused"), &json!("speakerLost"))
    );
    let query = [("action", "refreshConnection"), ("role", "speaker"), ("sessionId", &session)];
    assert_eq!(world.knock("ann/2", Some("ann"), &query).await["statusCode"], 200);
    assert!(world.take("eva").is_empty());
    world.run_orders().await;
    assert_eq!(world.types("ann/2"), ["connectionRefreshComplete"]);
    assert_eq!(world.types("eva"), ["sessionResumed"]);
}

#[tokio::test]
async fn a_join_that_is_news_is_told_to_the_speaker_once_a_second() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    assert_eq!(statuses(&world), [(json!("newLanguage"), json!(1))]);
    // The clock stands still, so the second turn never comes.
    world.join("max", &session, "es").await;
    assert_eq!(statuses(&world).len(), 1);
    world.clock.advance(Millis::from_secs(1));
    world.join("kim", &session, "es").await;
    assert_eq!(statuses(&world)[1..], [(json!("listenerCountChange"), json!(3))]);
}

#[tokio::test]
async fn of_those_who_refresh_only_one_that_was_not_there_is_news() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    assert_eq!(statuses(&world).len(), 1);
    world.clock.advance(Millis::from_mins(100));
    world.say("heartbeat", "eva", json!({ "action": "heartbeat" })).await;
    let token = world.take("eva")[1]["refreshToken"].as_str().unwrap().to_owned();
    let refresh = [
        ("action", "refreshConnection"),
        ("role", "listener"),
        ("sessionId", &*session),
        ("targetLanguage", "es"),
    ];
    let proven: Vec<_> = refresh.into_iter().chain([("refreshToken", &*token)]).collect();
    world.connect("eva/2", None, &proven).await;
    assert_eq!(statuses(&world).len(), 1, "it was counted before");
    world.clock.advance(Millis::from_secs(1));
    world.connect("max", None, &refresh).await;
    assert_eq!(statuses(&world)[1..], [(json!("listenerCountChange"), json!(2))]);
}

/// What the speaker was told of listeners unasked: why, and how many there are.
fn statuses(world: &World) -> Vec<(Value, Value)> {
    let asked = world.stub.asked.lock();
    let posted = asked.iter().filter(|asked| asked.path.ends_with("/ann"));
    let posted = posted.map(|asked| serde_json::from_str::<Value>(&asked.body).unwrap());
    let told =
        posted.map(|status| (status["updateReason"].clone(), status["listenerCount"].clone()));
    told.collect()
}
