//! Posts that go wrong.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ambo_core::Millis;
use futures_util::future::join_all;
use serde_json::json;

use crate::world::{World, join, path_of};

async fn pause(world: &World) {
    world.clock.advance(Millis::from_secs(1));
    let pause = json!({ "action": "controlSession", "command": "pause" });
    world.say("connection", "ann", pause).await;
}

#[tokio::test]
async fn a_busy_service_is_asked_again_and_a_broken_one_not_for_ever() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.join("max", &session, "es").await;
    world.join("kim", &session, "es").await;
    world.answer("eva", &[429, 500, 503]);
    world.answer("max", &[500; 40]);
    world.answer("kim", &[403; 40]);
    pause(&world).await;
    assert_eq!(world.types("eva"), ["sessionPaused"]);
    assert!(world.types("max").is_empty() && world.types("kim").is_empty());
    assert_eq!(world.listeners().await, 3, "who cannot be reached may still be there");
}

#[tokio::test]
async fn one_that_is_gone_has_departed_unless_it_is_so_young_that_it_may_not_be_open() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("old=", &session, "es").await;
    world.clock.advance(Millis::from_secs(31));
    world.join("young=", &session, "es").await;
    world.answer("old=", &[410]);
    world.answer("young=", &[410]);
    pause(&world).await;
    assert_eq!(world.listeners().await, 1);
    pause(&world).await;
    assert_eq!(world.types("young="), ["sessionPaused"]);
    assert!(world.types("old=").is_empty());
}

#[tokio::test]
async fn one_slow_listener_delays_nobody() {
    let world = World::new().await;
    let session = world.session().await;
    for number in 0..12 {
        world.join(&format!("c{number}"), &session, "es").await;
    }
    world.stub.plan.lock().slow.insert(path_of("c3"), Duration::from_secs(30));
    let start = Instant::now();
    let end = async {
        world.say("connection", "ann", json!({ "action": "endSession" })).await;
    };
    let watch = async {
        while !(0..12).filter(|number| *number != 3).all(|number| {
            let path = path_of(&format!("c{number}"));
            world
                .stub
                .asked
                .lock()
                .iter()
                .any(|asked| asked.path == path && asked.method == "DELETE")
        }) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    };
    let ((), others) = tokio::join!(end, watch);
    let all = start.elapsed();
    assert!(others + Duration::from_millis(500) < all, "others {others:?}, all {all:?}");
    assert!(all < Duration::from_secs(20), "a post that hangs is given up: {all:?}");
}

#[tokio::test]
async fn one_that_is_busy_and_slow_has_one_time_for_all_attempts() {
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.stub.plan.lock().slow.insert(path_of("eva"), Duration::from_millis(1_400));
    world.answer("eva", &[500; 9]);
    let start = Instant::now();
    pause(&world).await;
    let took = start.elapsed();
    assert!(took < Duration::from_secs(5), "as long as four attempts: {took:?}");
}

#[tokio::test]
async fn however_many_sessions_end_at_once_a_process_has_so_many_calls_under_way() {
    const SESSIONS: usize = 4;
    const LISTENERS: usize = 40;
    let world = World::new().await;
    for at in 0..SESSIONS {
        let session = world.session().await;
        let ids: Vec<_> = (0..LISTENERS).map(|number| format!("l{at}-{number}")).collect();
        let query = join(&session, "es");
        join_all(ids.iter().map(|id| world.knock(id, None, &query))).await;
        world.part("ann", 1006).await;
    }
    world.take_orders();
    // Long enough for all to be under way together.
    world.stub.plan.lock().latency = Duration::from_millis(100);
    world.clock.advance(Millis::from_secs(30));
    world.stub.asked.lock().clear();
    world.sweep().await;
    // On a slow machine some are given up for their time; the stub sees that a little after the
    // next has come.
    let given_up = world.stub.given_up.load(Ordering::Relaxed);
    let most = world.stub.most_under_way.load(Ordering::Relaxed);
    assert!(most <= 100 + given_up, "{most}, {given_up} given up");
    let told = world.stub.asked.lock().iter().filter(|asked| asked.method == "DELETE").count();
    assert!(told + given_up >= SESSIONS * LISTENERS, "each is closed: {told}, {given_up} given up");
}
