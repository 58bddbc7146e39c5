//! `$disconnect` is best effort: it may never come, come twice, late, or before `$connect` is done.
//! Counts are right after the next sweep at the latest.

use std::time::Duration;

use ambo_core::Millis;
use ambo_testkit::contract::Client;
use ambo_testkit::gateway::Disconnects;
use fastrand::Rng;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::{Functions, World, manual, the_machine};

const LANGUAGES: [&str; 4] = ["de", "es", "fr", "en"];

#[tokio::test]
async fn counts_are_right_after_the_next_sweep_whatever_became_of_disconnects() {
    const RUNS: u64 = 180;
    let _alone = the_machine().await;
    let clock = manual();
    let world = World::start(Functions::InProcess(clock.clone()), &UNLIMITED).await;
    let pass = |seconds| clock.advance(Millis::from_secs(seconds));
    for seed in 0..RUNS {
        let mut run = Run::play(&world, seed).await;
        // Long enough for the silent to be taken as lost, and not for those who are heard.
        pass(60);
        run.beat(&world).await;
        pass(60);
        world.gateway.settle().await;
        world.sweep().await;
        if run.speaker.is_none() {
            pass(60);
            world.sweep().await;
        }
        run.holds(&world).await;
        run.end(&world).await;
    }
}

#[tokio::test]
async fn so_they_are_with_the_real_bootstrap() {
    const RUNS: u64 = 20;
    let _alone = the_machine().await;
    let settings: Vec<_> = UNLIMITED.into_iter().chain([("SPEAKER_GRACE", "1s")]).collect();
    let world = World::start(Functions::Processes, &settings).await;
    let mut runs = Vec::new();
    for seed in 1_000..1_000 + RUNS {
        runs.push(Run::play(&world, seed).await);
    }
    join_all(runs.iter_mut().map(|run| run.beat(&world))).await;
    // From here on who is silent is lost: after longer than it takes to hear all who stayed, on a
    // machine that is busy with other things.
    world.deploy_again("disconnect", ("HEARTBEAT_TIMEOUT", "30s"));
    world
        .sweep_until("all counts", async || {
            join_all(runs.iter_mut().map(|run| run.beat(&world))).await;
            join_all(runs.iter().map(|run| run.is_right(&world))).await.into_iter().all(|is| is)
        })
        .await;
    for run in runs {
        run.holds(&world).await;
        run.end(&world).await;
    }
}

const UNLIMITED: [(&str, &str); 5] = [
    ("RATE_LIMIT_HEARTBEATS_PER_MIN", "0"),
    ("RATE_LIMIT_SESSIONS_PER_HOUR", "0"),
    ("RATE_LIMIT_JOINS_PER_MIN", "0"),
    ("RATE_LIMIT_CONNECTS_PER_MIN", "0"),
    ("RATE_LIMIT_CONTROL_PER_SEC", "0"),
];

/// A session and who stayed in it.
struct Run {
    seed: u64,
    session: String,
    /// Is gone in some runs.
    speaker: Option<Client>,
    /// With whether they have been told of the end.
    stayed: Vec<(Client, bool)>,
}

impl Run {
    /// Some join, with some mishap each, and some of them leave, all at once.
    async fn play(world: &World, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        mishap(world, &mut rng);
        let (speaker, session) = world.speak().await;
        let mut clients = Vec::new();
        for _ in 0..rng.usize(1..=5) {
            mishap(world, &mut rng);
            let language = rng.choice(LANGUAGES).unwrap();
            clients.push(world.listen(&session, language).await);
        }
        let (mut stayed, mut leaving) = (Vec::new(), Vec::new());
        for client in clients {
            match rng.u8(0..3) {
                0 => stayed.push((client, false)),
                1 => leaving.push(client),
                _ => client.vanish(),
            }
        }
        join_all(leaving.into_iter().map(|client| client.leave(1000))).await;
        let mut speaker = Some(speaker);
        if rng.u8(0..4) == 0 {
            speaker.take().unwrap().vanish();
        }
        Self { seed, session, speaker, stayed }
    }

    /// All who stayed are heard, until they are told of the end that follows a lost speaker.
    async fn beat(&mut self, world: &World) {
        if self.speaker.is_none() && world.counted(&self.session).await.is_none() {
            return;
        }
        let speaker = self.speaker.iter_mut().map(|client| (client, None));
        let listeners = self.stayed.iter_mut().map(|member| (&mut member.0, Some(&mut member.1)));
        let beats = speaker.chain(listeners).map(async |(client, told)| {
            if told.as_ref().is_some_and(|told| **told) {
                return;
            }
            client.send(&json!({ "action": "heartbeat" })).await;
            loop {
                let answer = client.json().await;
                match answer["type"].as_str() {
                    Some("heartbeatAck" | "error") => return,
                    Some("sessionEnded") => return *told.unwrap() = true,
                    _ => {}
                }
            }
        });
        join_all(beats).await;
    }

    fn expected(&self) -> Option<(u32, u32)> {
        let stayed = self.stayed.len() as u32;
        self.speaker.as_ref().map(|_| (stayed, stayed))
    }

    async fn is_right(&self, world: &World) -> bool {
        world.counted(&self.session).await == self.expected()
    }

    async fn holds(&self, world: &World) {
        let counted = world.counted(&self.session).await;
        assert_eq!(counted, self.expected(), "counted and there, in run {}", self.seed);
    }

    /// Everybody who stayed is told of the end, once.
    async fn end(self, world: &World) {
        let Self { speaker, stayed, session, .. } = self;
        let mut told = stayed;
        if let Some(mut speaker) = speaker {
            speaker.send(&json!({ "action": "endSession" })).await;
            told.push((speaker, false));
        }
        for (mut client, is_told) in told {
            if !is_told {
                client.json_of("sessionEnded").await;
            }
            assert_eq!(client.closed().await.0, 1000);
        }
        assert_eq!(world.counted(&session).await, None);
    }
}

fn mishap(world: &World, rng: &mut Rng) {
    let disconnects = match rng.u8(0..5) {
        0 => Disconnects::Once,
        1 => Disconnects::Never,
        2 => Disconnects::Twice,
        3 => Disconnects::Late(Duration::from_millis(rng.u64(1..30))),
        _ => Disconnects::Early,
    };
    world.gateway.change(|knobs| knobs.disconnects = disconnects);
}
