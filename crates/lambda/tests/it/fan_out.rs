//! Posts that go wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

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

/// How often a test looks that shows nothing while the machine has no time for it: a call that is
/// not done after one and a half seconds is given up, whatever was in its way.
const LOOKS: usize = 5;

#[tokio::test]
async fn one_slow_listener_delays_nobody() {
    for _ in 0..LOOKS {
        if others_are_closed_before_the_slow_one_is_given_up().await {
            return;
        }
    }
    panic!("the others waited for the slow one");
}

async fn others_are_closed_before_the_slow_one_is_given_up() -> bool {
    let world = World::new().await;
    let session = world.session().await;
    for number in 0..12 {
        world.join(&format!("c{number}"), &session, "es").await;
    }
    world.stub.plan.lock().slow.insert(path_of("c3"), Duration::from_secs(3_600));
    let others = async {
        while world.closed() < 12 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let message = json!({ "action": "endSession" });
    let end = world.say("connection", "ann", message);
    // It ends when the slow one is given up, which alone it waits for.
    let end = tokio::time::timeout(Duration::from_secs(60), end);
    tokio::pin!(end);
    tokio::select! {
        biased;
        () = others => {
            end.await.expect("a post that hangs is given up");
            true
        }
        ended = &mut end => {
            ended.expect("a post that hangs is given up");
            false
        }
    }
}

#[tokio::test]
async fn one_that_is_busy_and_slow_has_one_time_for_all_attempts() {
    const BUSY: [u16; 9] = [500; 9];
    let world = World::new().await;
    let session = world.session().await;
    world.join("eva", &session, "es").await;
    world.stub.plan.lock().slow.insert(path_of("eva"), Duration::from_millis(1_400));
    world.answer("eva", &BUSY);
    pause(&world).await;
    let attempts = BUSY.len() - world.stub.plan.lock().statuses[&path_of("eva")].len();
    assert!((1..=2).contains(&attempts), "each had a time of its own: {attempts}");
}

#[tokio::test]
async fn however_many_sessions_end_at_once_a_process_has_so_many_calls_under_way() {
    for _ in 0..LOOKS {
        if everybody_is_closed_by_a_hundred_calls_at_a_time().await {
            return;
        }
    }
    panic!("not everybody was closed");
}

async fn everybody_is_closed_by_a_hundred_calls_at_a_time() -> bool {
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
    let most = world.stub.at_rest().await;
    // The stub sees that one is given up a little after the next has come.
    let given_up = world.stub.given_up.load(Ordering::Relaxed);
    assert!(most <= 100 + given_up, "{most}, {given_up} given up");
    world.closed() == SESSIONS * LISTENERS
}
