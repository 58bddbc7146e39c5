//! Everything at once, on several threads. What cannot be foretold is not asked; what must hold
//! whatever happened is.

use std::sync::Arc;

use ambo_app::ports::{Page, Store, Totals};
use ambo_core::event::{Command, Departure, Via};
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{ConnectionId, Event, Limits, Millis, Role, SessionId, Speaker, Tidings};
use parking_lot::Mutex;

use crate::world::{Call, Dice, World, language, without_rates};

const TASKS: u64 = 8;
const STEPS: usize = 80;
const PLACES: u32 = 12;

struct Storm {
    world: World,
    sessions: Mutex<Vec<(SessionId, &'static str)>>,
    /// Everybody who ever was there.
    everybody: Mutex<Vec<ConnectionId>>,
}

fn limits() -> Limits {
    Limits {
        max_listeners: PLACES,
        session_max_duration: Millis::from_secs(1_000),
        speaker_grace: Millis::from_secs(20),
        connection_refresh: Millis::from_secs(50),
        ..without_rates()
    }
}

impl Storm {
    fn new(store: impl Store + 'static, seed: u64) -> Self {
        let world = World::with_limits(store, limits());
        world.load_dice(Dice::new(seed));
        Self { world, sessions: Mutex::default(), everybody: Mutex::default() }
    }

    fn any_session(&self, dice: &mut Dice) -> Option<(SessionId, &'static str)> {
        let sessions = self.sessions.lock();
        // Mostly the latest ones, which are likely to be there still.
        let at = sessions.len().checked_sub(1 + dice.below(3).min(sessions.len() - 1))?;
        Some(sessions[at].clone())
    }

    async fn happens(&self, call: &Call, mine: &mut Vec<ConnectionId>) {
        self.everybody.lock().push(call.connection.clone());
        match self.world.happens(call).await {
            Ok(_) => mine.push(call.connection.clone()),
            Err(refusal) => assert!(refusal.status() != 500, "{refusal:?}"),
        }
    }

    /// One thing that one task does. A connection's own events come one after the other, as they
    /// do from a socket; everything else is at once.
    async fn step(&self, dice: &mut Dice, mine: &mut Vec<ConnectionId>) {
        let roll = dice.below(100);
        if roll < 4 || self.sessions.lock().is_empty() {
            let user = ["ann", "bob"][dice.below(2)];
            let (session, connection) = self.world.creates(user).await.unwrap();
            self.everybody.lock().push(connection.clone());
            self.sessions.lock().push((session, user));
            return mine.push(connection);
        }
        let Some((session, user)) = self.any_session(dice) else { return };
        let place = dice.below(2) as u32;
        match roll {
            4..35 => self.happens(&self.world.join(&session, "es").from(place), mine).await,
            35..43 => self.happens(&self.world.take_up(&session, user), mine).await,
            43..55 => {
                let of = self.one_of(mine, dice);
                let token = of.and_then(|of| self.world.token_heard(&of));
                self.happens(&self.world.go_on(&session, token).from(place), mine).await;
            }
            55..58 => self.world.clock.advance(Millis::from_secs(5)),
            58..61 => drop(self.world.sweep().await),
            61 => {
                let close = Event::Close { session };
                let _ = self.world.on(&self.world.connection(), Via::Server, close).await;
            }
            _ => {
                let Some(who) = self.one_of(mine, dice) else { return };
                self.acts(&who, roll, dice).await;
            }
        }
    }

    async fn acts(&self, who: &ConnectionId, roll: usize, dice: &mut Dice) {
        let event = match roll {
            62..75 => return self.world.leaves(who, Departure::Lost).await,
            75 => return self.world.leaves(who, Departure::Clean).await,
            76..84 => {
                let deadline = self.world.clock.now() + Millis::from_secs(5);
                drop(self.world.on(who, Via::Server, Event::Drain { deadline }).await);
                return;
            }
            84..90 => Event::Heartbeat,
            90..95 => {
                let commands = [Command::Pause, Command::Resume, Command::Mute, Command::Unmute];
                Event::Control { command: commands[dice.below(4)], message: None }
            }
            95 => Event::End { reason: None },
            _ => Event::ChangeLanguage { session: None, target: language(["es", "de"][roll % 2]) },
        };
        if let Err(refusal) = self.world.says(who, event).await {
            assert!(refusal.status() != 500, "{refusal:?}");
        }
    }

    fn one_of(&self, mine: &[ConnectionId], dice: &mut Dice) -> Option<ConnectionId> {
        (!mine.is_empty()).then(|| mine[dice.below(mine.len())].clone())
    }

    async fn never_too_many(&self, dice: &mut Dice) {
        let Some((session, _)) = self.any_session(dice) else { return };
        let wanted = Wanted { session: OfSession::Named(session), ..Wanted::default() };
        if let Some(session) = self.world.store().load(&wanted).await.unwrap().session {
            assert!(session.listeners <= PLACES, "{session:?}");
        }
    }

    /// What a server does in a while: it closes the sockets whose members are elsewhere.
    async fn close_the_superseded(&self) {
        let everybody = self.everybody.lock().clone();
        for who in everybody {
            if self.world.hall.heard(&who).contains(&Tidings::Superseded) {
                self.world.leaves(&who, Departure::Lost).await;
            }
        }
    }

    /// What must hold of a session once everybody has come to rest.
    async fn check(&self, session: &SessionId) -> u64 {
        let store = self.world.store();
        let of = OfSession::Named(session.clone());
        let wanted = Wanted { session: of, languages: true, ..Wanted::default() };
        let seen = store.load(&wanted).await.unwrap();
        let page = Page { after: None, limit: 10_000 };
        let members = store.members(session, page).await.unwrap();
        let seated = self.world.hall.seated(session);
        let ids: Vec<_> = members.iter().map(|member| member.id.clone()).collect();
        assert_eq!(seated, ids.iter().cloned().collect(), "who sits there is a member");
        assert_eq!(self.world.hall.owed_an_end(session), seated, "nobody is left over");
        let Some(seen_session) = seen.session else {
            assert_eq!(members, [], "nothing remains of the ended");
            return 0;
        };
        let (speakers, listeners): (Vec<_>, Vec<_>) =
            members.iter().partition(|member| member.role == Role::Speaker);
        assert_eq!(seen_session.listeners as usize, listeners.len(), "the count is the members");
        assert!(seen_session.listeners <= PLACES);
        let in_languages: u32 = seen.languages.iter().map(|(_, count)| count).sum();
        assert_eq!(in_languages, seen_session.listeners);
        match &seen_session.speaker {
            Speaker::Present(id) => {
                assert_eq!(speakers.iter().map(|one| &one.id).collect::<Vec<_>>(), [id]);
            }
            Speaker::Lost { .. } => assert!(speakers.is_empty()),
        }
        u64::from(seen_session.listeners)
    }

    async fn check_all(&self) {
        let sessions = self.sessions.lock().clone();
        let mut listeners = 0;
        for (session, _) in &sessions {
            listeners += self.check(session).await;
        }
        assert_eq!(self.world.store().totals().await.unwrap().listeners, listeners);
    }

    /// Ends what is left and sees to it that nothing remains, and that each heard of it once.
    async fn finish(&self) {
        let sessions = self.sessions.lock().clone();
        for (session, _) in &sessions {
            let close = Event::Close { session: session.clone() };
            let _ = self.world.on(&self.world.connection(), Via::Server, close).await;
            assert_eq!(self.world.hall.owed_an_end(session).len(), 0, "everybody was told");
        }
        assert_eq!(self.world.store().totals().await.unwrap(), Totals::default());
        let everybody = self.everybody.lock().clone();
        for who in everybody {
            let wanted = Wanted { own: Some(who.clone()), ..Wanted::default() };
            assert_eq!(self.world.store().load(&wanted).await.unwrap().own, None);
            assert!(self.world.ends_heard(&who) <= 1, "told of the end more than once");
        }
    }
}

/// Lets a storm of this seed go over a store that is made for it, and sees to it that nothing is
/// lost and nothing remains.
pub fn rage<M, S>(make: impl FnOnce() -> M, seed: u64)
where
    M: Future<Output = S>,
    S: Store + 'static,
{
    // Shown when the test fails.
    eprintln!("storm with seed {seed}");
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(4).enable_all().build().unwrap().block_on(async {
        let storm = Arc::new(Storm::new(make().await, seed));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let storm = Arc::clone(&storm);
                tokio::spawn(async move {
                    let mut dice = Dice::new(seed.wrapping_mul(1_000) + task);
                    let mut mine = Vec::new();
                    for _ in 0..STEPS {
                        storm.step(&mut dice, &mut mine).await;
                        storm.never_too_many(&mut dice).await;
                        if dice.below(4) == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        storm.close_the_superseded().await;
        storm.check_all().await;
        storm.finish().await;
    });
}
