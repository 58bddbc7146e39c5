//! §5 at once: many listeners, many ends, and everything in every order.
//!
//! | sentence | test |
//! |---|---|
//! | every listener gets exactly one `sessionEnded`, then a close | `each_of_five_hundred_that_is_alive_hears_the_end_once` |
//! | counts equal the members present and do not drift | the same |
//! | no record of the session's connections remains | the same, and `until_empty` everywhere |
//! | a join that races the end gets 404, or `sessionJoined` and then `sessionEnded` | `a_join_that_races_the_end_is_refused_or_told` |
//! | admission is guarded: never more than there are places | `no_more_are_admitted_than_there_are_places` |
//! | a refresh that races another, or the end | `refreshes_that_race_leave_one_speaker` |

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{AMBO, Peer, Speaking, World};
use crate::support::{
    Dice, go_on, is_alive, join, open_world, patient, rest_of, secs, settle, status, take_up, text,
    unlimited, until_empty, until_listeners,
};

/// How a session comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    Said,
    Left,
    Lost,
    Expired,
}

async fn crowd(world: &World, session: &str, count: usize) -> Vec<Peer> {
    let languages = ["es", "de", "fr", "en", "pt"];
    let mut listeners = Vec::new();
    for some in (0..count).collect::<Vec<_>>().chunks(25) {
        let joining = some.iter().map(|number| world.listen(session, languages[number % 5]));
        listeners.extend(join_all(joining).await);
    }
    listeners
}

/// Gone, in one way or another.
async fn go(peer: Peer, way: usize) {
    match way {
        0 => peer.leave(1000).await,
        1 => peer.leave(4000).await,
        _ => peer.vanish(),
    }
}

/// Counts the ends that were told; whoever heard one was closed with 1000 after it.
fn ends((messages, code): &(Vec<Value>, Option<u16>)) -> usize {
    let is_end = |message: &&Value| message["type"] == "sessionEnded";
    let count = messages.iter().filter(is_end).count();
    if count > 0 {
        assert_eq!(messages.last().unwrap()["type"], "sessionEnded");
        assert_eq!(*code, Some(1000));
    }
    count
}

async fn bring_to_an_end(world: &World, mut speaking: Speaking, end: End) {
    match end {
        End::Said => {
            speaking.peer.send(json!({ "action": "endSession" })).await;
            assert_eq!(ends(&rest_of(speaking.peer).await), 1);
        }
        End::Left => speaking.peer.leave(1001).await,
        End::Lost => {
            speaking.peer.vanish();
            world.until("it is noticed", |world| world.server.held().connections > 0).await;
            for _ in 0..35 {
                settle(world).await;
                world.clock.advance(secs(1));
            }
        }
        End::Expired => {
            world.clock.advance(secs(600));
            assert_eq!(ends(&rest_of(speaking.peer).await), 1);
        }
    }
}

async fn killed_and_ended(count: usize, end: End, dice: &mut Dice) {
    let world = World::start(|settings| {
        patient(settings);
        unlimited(settings);
        settings.session_max_duration = secs(600);
    })
    .await;
    let mut speaking = world.speak().await;
    let session = speaking.session.clone();
    let mut listeners = crowd(&world, &session, count).await;
    // A part goes before the end, and the count says so.
    for _ in 0..count / 4 {
        let gone = listeners.swap_remove(dice.below(listeners.len()));
        go(gone, dice.below(3)).await;
    }
    until_listeners(&mut speaking.peer, listeners.len() as u64).await;
    let told = status(&mut speaking.peer).await;
    let sum: u64 =
        told["languageDistribution"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, listeners.len() as u64);
    // A part goes at the very moment of it; who stays hears it once.
    let mut going = Vec::new();
    for _ in 0..count / 4 {
        going.push((listeners.swap_remove(dice.below(listeners.len())), dice.below(3)));
    }
    let staying = join_all(listeners.into_iter().map(rest_of));
    let going = join_all(going.into_iter().map(|(peer, way)| go(peer, way)));
    let (heard, _, ()) = tokio::join!(staying, going, bring_to_an_end(&world, speaking, end));
    assert!(heard.iter().all(|heard| ends(heard) == 1), "{end:?}");
    assert_eq!(world.refused(&join(&session, "es")).await.code(), "SESSION_NOT_FOUND");
    until_empty(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_five_hundred_that_is_alive_hears_the_end_once() {
    let mut dice = Dice::thrown();
    killed_and_ended(500, End::Said, &mut dice).await;
    for end in [End::Left, End::Lost, End::Expired, End::Said] {
        killed_and_ended(100, end, &mut dice).await;
    }
}

/// Everything that comes on a connection attempt, or the code of its refusal.
async fn attempt(world: &World, query: &str) -> Result<(Vec<Value>, Option<u16>), String> {
    match world.knock(&format!("/ws?{query}"), &[]).await {
        Ok(peer) => Ok(rest_of(peer).await),
        Err(refused) => Err(refused.code().to_owned()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_races_the_end_is_refused_or_told() {
    let world = open_world().await;
    let (mut joined, mut refused) = (0, 0);
    for round in 0..30 {
        let mut speaking = world.speak().await;
        let session = speaking.session.clone();
        let queries = [join(&session, "es"), go_on(&session, "de"), join(&session, "en")];
        let attempts = (0..12).map(|number| attempt(&world, &queries[number % 3]));
        let end = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            speaking.peer.send(json!({ "action": "endSession" })).await;
            ends(&rest_of(speaking.peer).await)
        };
        let (attempts, told) = tokio::join!(join_all(attempts), end);
        assert_eq!(told, 1);
        for attempt in attempts {
            match attempt {
                Ok(heard) => {
                    assert_eq!(ends(&heard), 1, "{heard:?}");
                    assert!(matches!(
                        text(&heard.0[0], "type"),
                        "sessionJoined" | "connectionRefreshComplete"
                    ));
                    joined += 1;
                }
                Err(code) => {
                    assert_eq!(code, "SESSION_NOT_FOUND");
                    refused += 1;
                }
            }
        }
    }
    // How many of each is up to the machine.
    eprintln!("{joined} joined and were told, {refused} came too late");
    until_empty(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_are_admitted_than_there_are_places() {
    let world = World::start(|settings| {
        unlimited(settings);
        settings.max_listeners_per_session = 20;
    })
    .await;
    let mut speaking = world.speak().await;
    let query = format!("/ws?{}", join(&speaking.session, "es"));
    let attempts = join_all((0..100).map(|_| world.knock(&query, &[AMBO]))).await;
    let mut admitted = Vec::new();
    for attempt in attempts {
        let mut peer = attempt.unwrap();
        let first = peer.json().await;
        match text(&first, "type") {
            "sessionJoined" => admitted.push(peer),
            _ => assert_eq!(first["code"], "SESSION_FULL", "{first}"),
        }
    }
    assert_eq!(admitted.len(), 20);
    assert_eq!(status(&mut speaking.peer).await["listenerCount"], 20);
    admitted.pop().unwrap().vanish();
    until_listeners(&mut speaking.peer, 19).await;
    world.listen(&speaking.session, "es").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refreshes_that_race_leave_one_speaker() {
    let world = open_world().await;
    for round in 0..10 {
        let speaking = world.speak().await;
        let session = speaking.session.clone();
        let mut listener = world.listen(&session, "es").await;
        let query = format!("/ws?{}", take_up(&world, &session, "ann"));
        let attempts = join_all((0..5).map(|_| world.knock(&query, &[AMBO]))).await;
        let mut speakers = vec![speaking.peer];
        for attempt in attempts {
            let mut peer = attempt.unwrap();
            assert_eq!(peer.json().await["type"], "connectionRefreshComplete");
            speakers.push(peer);
        }
        let mut current = Vec::new();
        for (number, peer) in speakers.iter_mut().enumerate() {
            let sequence = number as u32 + 1;
            peer.send_binary(crate::harness::frame(sequence, b"x")).await;
            let answer = peer.ask(json!({ "action": "heartbeat" })).await;
            if answer["type"] == "heartbeatAck" {
                current.push(number);
            }
        }
        assert_eq!(current.len(), 1, "{current:?}");
        let heard = listener.binary().await;
        assert_eq!(heard[7], current[0] as u8 + 1, "only the speaker has the floor");
        // All others go, in whatever way, and the session goes on.
        let mut speaker = speakers.swap_remove(current[0]);
        for (number, peer) in speakers.into_iter().enumerate() {
            go(peer, (number + round) % 3).await;
        }
        is_alive(&mut listener).await;
        is_alive(&mut speaker).await;
        speaker.leave(1000).await;
        assert_eq!(ends(&rest_of(listener).await), 1);
    }
    until_empty(&world).await;
}
