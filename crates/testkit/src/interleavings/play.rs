//! One event after the other, each held against the model: the answer, what the store shows, and
//! what everybody has heard. Every change is committed twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::{Answer, Call, Dice, Meddler, World, language, without_rates};
use ambo_app::ports::{Page, Store};
use ambo_core::connection::RefreshToken;
use ambo_core::event::{Command, Departure, Via};
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{ConnectionId, Event, Language, Limits, Millis, Secret, Speaker};

use super::model::{Expected, Model, Person, Shown};
use super::step::{Proof, Step};

const LANGUAGES: [&str; 3] = ["es", "de", "fr"];
const USERS: [&str; 2] = ["ann", "bob"];
const MAX_SESSIONS: usize = 3;

/// Plays a story on a store that is made for it.
pub fn play<M, S>(make: impl FnOnce() -> M, steps: &[Step])
where
    M: Future<Output = S>,
    S: Store + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut play = Play::new(make().await);
        for step in steps {
            play.step(step).await;
            play.check().await;
        }
    });
}

/// Short lives and few places, so that every edge is met often.
fn limits() -> Limits {
    Limits {
        max_listeners: 4,
        session_max_duration: Millis::from_secs(120),
        speaker_grace: Millis::from_secs(10),
        connection_refresh: Millis::from_secs(40),
        connection_warning: Millis::ZERO,
        connection_max_duration: Millis::from_secs(60),
        ..without_rates()
    }
}

/// The world and the model, side by side.
struct Play {
    world: World,
    model: Model,
    ids: Vec<ConnectionId>,
}

impl Play {
    fn new(store: impl Store + 'static) -> Self {
        let store = Meddler::repeating(store);
        let world = World::with_limits(store, limits());
        world.load_dice(Dice::new(7));
        let now = world.clock.now();
        let model = Model { now, limits: limits(), sessions: Vec::new(), people: Vec::new() };
        Self { world, model, ids: Vec::new() }
    }

    fn newcomer(&mut self, call: &Call, source: usize) -> usize {
        self.ids.push(call.connection.clone());
        self.model.people.push(Person { source, member: None, ends: 0 });
        self.ids.len() - 1
    }

    async fn step(&mut self, step: &Step) {
        if let Step::Advance { secs } = step {
            self.world.clock.advance(Millis::from_secs(*secs));
            self.model.now = self.world.clock.now();
            return;
        }
        if let Step::Create { user } = step {
            if self.model.sessions.len() < MAX_SESSIONS {
                self.create(user % USERS.len()).await;
            }
            return;
        }
        if self.model.sessions.is_empty() {
            return;
        }
        let (answer, expected) = self.happens(step).await;
        let answer = answer.map(drop).map_err(|refusal| refusal.code());
        assert_eq!(answer, expected, "{step:?}");
    }

    async fn create(&mut self, user: usize) {
        let call = self.world.create(USERS[user]).from(0);
        let person = self.newcomer(&call, 0);
        let answer = self.world.happens(&call).await.unwrap();
        let Some(ambo_core::Reply::Created { session, .. }) = answer else { panic!("{answer:?}") };
        self.model.create(session, user, person).unwrap();
    }

    async fn happens(&mut self, step: &Step) -> (Answer, Expected) {
        match step {
            Step::Create { .. } | Step::Advance { .. } => (Ok(None), Ok(())),
            Step::Join { .. } | Step::TakeUp { .. } | Step::GoOn { .. } => self.arrives(step).await,
            Step::JoinAgain { who, .. }
            | Step::TakeUpHere { who, .. }
            | Step::GoOnHere { who, .. } => self.returns(who % self.ids.len(), step).await,
            Step::Leave { who, .. }
            | Step::Command { who, .. }
            | Step::ChangeLanguage { who, .. }
            | Step::End { who }
            | Step::Beat { who }
            | Step::Age { who }
            | Step::Drain { who } => self.acts(who % self.ids.len(), step).await,
            Step::Close { session } => {
                let session = self.session(*session);
                let close = Event::Close { session: self.model.sessions[session].id.clone() };
                let answer = self.world.on(&self.ids[0], Via::Server, close).await;
                (answer, self.model.close(session))
            }
            Step::Sweep => {
                assert_eq!(self.world.sweep().await, self.model.sweep());
                (Ok(None), Ok(()))
            }
        }
    }

    /// Somebody comes on a new connection.
    async fn arrives(&mut self, step: &Step) -> (Answer, Expected) {
        match step {
            Step::Join { session, target, source } => {
                let (session, target) = (self.session(*session), target % LANGUAGES.len());
                let call = self.join(session, target).from(*source as u32 % 2);
                let person = self.newcomer(&call, source % 2);
                let answer = self.world.happens(&call).await;
                (answer, self.model.join(person, session, target))
            }
            Step::GoOn { session, target, source, proof } => {
                let (session, target) = (self.session(*session), target % LANGUAGES.len());
                let (token, shown) = self.proof(*proof);
                let call = self.go_on(session, target, token).from(*source as u32 % 2);
                let person = self.newcomer(&call, source % 2);
                let answer = self.world.happens(&call).await;
                (answer, self.model.go_on(person, session, target, shown))
            }
            Step::TakeUp { session, user } => {
                let (session, user) = (self.session(*session), user % USERS.len());
                let call = self.world.take_up(&self.model.sessions[session].id, USERS[user]);
                let person = self.newcomer(&call, 1);
                let answer = self.world.happens(&call).await;
                (answer, self.model.take_up(person, session, user))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Somebody asks for the same on a connection that has been there.
    async fn returns(&mut self, who: usize, step: &Step) -> (Answer, Expected) {
        match step {
            Step::JoinAgain { session, target, .. } => {
                let (session, target) = (self.session(*session), target % LANGUAGES.len());
                let call = self.here(who, self.join(session, target), Via::Connect);
                let answer = self.world.happens(&call).await;
                (answer, self.model.join(who, session, target))
            }
            Step::GoOnHere { session, target, proof, .. } => {
                let (session, target) = (self.session(*session), target % LANGUAGES.len());
                let (token, shown) = self.proof(*proof);
                let call = self.here(who, self.go_on(session, target, token), Via::Message);
                let answer = self.world.happens(&call).await;
                (answer, self.model.go_on(who, session, target, shown))
            }
            Step::TakeUpHere { session, user, .. } => {
                let (session, user) = (self.session(*session), user % USERS.len());
                let call = self.world.take_up(&self.model.sessions[session].id, USERS[user]);
                let answer = self.world.happens(&self.here(who, call, Via::Message)).await;
                (answer, self.model.take_up(who, session, user))
            }
            other => panic!("{other:?}"),
        }
    }

    /// Something a connection does that has been there, whatever has become of it.
    async fn acts(&mut self, who: usize, step: &Step) -> (Answer, Expected) {
        let id = self.ids[who].clone();
        let (world, model) = (&self.world, &mut self.model);
        match step {
            Step::Leave { clean, .. } => {
                let departure = if *clean { Departure::Clean } else { Departure::Lost };
                world.leaves(&id, departure).await;
                (Ok(None), model.departs(who, *clean))
            }
            Step::Command { command, .. } => {
                use Command::{Mute, Pause, Resume, Unmute};
                let command = command % 4;
                let said = [Pause, Resume, Mute, Unmute][command];
                (world.commands(&id, said).await, model.command(who, command))
            }
            Step::ChangeLanguage { target, .. } => {
                let target = target % LANGUAGES.len();
                let event =
                    Event::ChangeLanguage { session: None, target: language(LANGUAGES[target]) };
                (world.says(&id, event).await, model.change_language(who, target))
            }
            Step::End { .. } => {
                let answer = world.says(&id, Event::End { reason: None }).await;
                (answer, model.end_by_speaker(who))
            }
            Step::Beat { .. } => {
                let answer = world.says(&id, Event::Heartbeat).await;
                let told = model.beat(who);
                (answer, self.note_told(who, told))
            }
            Step::Age { .. } => {
                let answer = world.on(&id, Via::Server, Event::Age).await;
                let told = model.age(who);
                (answer, self.note_told(who, told))
            }
            _ => {
                let deadline = model.now + Millis::from_secs(5);
                let answer = world.on(&id, Via::Server, Event::Drain { deadline }).await;
                let told = model.drain(who);
                (answer, self.note_told(who, told))
            }
        }
    }

    fn note_told(&mut self, who: usize, told: Result<bool, &'static str>) -> Expected {
        if told? {
            let token = self.world.token_heard(&self.ids[who]);
            let is_speaker =
                self.model.people[who].member.as_ref().is_some_and(|own| own.target.is_none());
            // A speaker has its own token to show; what is kept of it is never told.
            let secret = match token {
                _ if is_speaker => Secret([0; 16]),
                Some(token) => token.secret,
                None => panic!("a listener was told without a token"),
            };
            self.model.was_told(who, secret);
        }
        Ok(())
    }

    fn session(&self, session: usize) -> usize {
        session % self.model.sessions.len()
    }

    fn join(&self, session: usize, target: usize) -> Call {
        self.world.join(&self.model.sessions[session].id, LANGUAGES[target])
    }

    fn go_on(&self, session: usize, target: usize, token: Option<RefreshToken>) -> Call {
        let (session, target) = (&self.model.sessions[session].id, language(LANGUAGES[target]));
        let event =
            Event::RefreshListener { session: session.clone(), target, token, last_sequence: None };
        self.world.connect(event)
    }

    /// The same call on a connection that has been there.
    fn here(&self, who: usize, call: Call, via: Via) -> Call {
        let source = self.model.people[who].source as u32;
        Call { via, ..call.on(&self.ids[who]).from(source) }
    }

    fn proof(&self, proof: Proof) -> (Option<RefreshToken>, Shown) {
        match proof {
            Proof::None => (None, Shown::Nothing),
            Proof::Right(of) => {
                let of = of % self.ids.len();
                match self.world.token_heard(&self.ids[of]) {
                    None => (None, Shown::Nothing),
                    Some(token) => {
                        let shown = Shown::Token(of, token.secret);
                        (Some(token), shown)
                    }
                }
            }
            Proof::Forged(of) => {
                let (of, secret) = (of % self.ids.len(), Secret([0xee; 16]));
                let connection = self.ids[of].clone();
                (Some(RefreshToken { connection, secret }), Shown::Token(of, secret))
            }
        }
    }

    /// Holds the whole world against the model.
    async fn check(&self) {
        let mut listeners = 0;
        for at in 0..self.model.sessions.len() {
            listeners += self.check_session(at).await;
        }
        let totals = self.world.store().totals().await.unwrap();
        assert_eq!(totals.listeners as usize, listeners);
        for (person, id) in self.model.people.iter().zip(&self.ids) {
            assert_eq!(self.world.ends_heard(id), person.ends, "each hears of the end once");
            let wanted = Wanted { own: Some(id.clone()), ..Wanted::default() };
            let own = self.world.store().load(&wanted).await.unwrap().own;
            let member = person.member.as_ref();
            assert_eq!(own.is_some(), member.is_some());
            let (Some(own), Some(member)) = (own, member) else { continue };
            assert_eq!(own.session, self.model.sessions[member.session].id);
            assert_eq!(own.connected_at, member.connected_at);
            assert_eq!(own.told.is_some(), member.told.is_some());
            assert!(member.target.is_none() || own.told == member.told);
            assert_eq!(own.role.target(), member.target.map(|at| language(LANGUAGES[at])));
        }
    }

    async fn check_session(&self, at: usize) -> usize {
        let model = &self.model.sessions[at];
        let session = OfSession::Named(model.id.clone());
        let wanted = Wanted { session, languages: true, ..Wanted::default() };
        let seen = self.world.store().load(&wanted).await.unwrap();
        let page = Page { after: None, limit: 1_000 };
        let members = self.world.store().members(&model.id, page).await.unwrap();
        let seated: BTreeSet<_> = self.world.hall.seated(&model.id).into_iter().collect();
        let expected: BTreeSet<_> =
            self.model.members(at).into_iter().map(|person| self.ids[person].clone()).collect();
        let members: BTreeSet<_> = members.into_iter().map(|member| member.id).collect();
        assert_eq!(members, expected, "members of the session");
        assert_eq!(seated, expected, "who sits in the hall is a member");
        assert_eq!(seen.session.is_none(), model.is_ended);
        let Some(session) = seen.session else { return 0 };

        let listeners = self.model.listeners(at);
        assert_eq!(session.listeners as usize, listeners.len());
        assert!(session.listeners <= self.model.limits.max_listeners);
        let mut languages = BTreeMap::<Language, u32>::new();
        for listener in &listeners {
            let target = self.model.people[*listener].member.as_ref().unwrap().target.unwrap();
            *languages.entry(language(LANGUAGES[target])).or_default() += 1;
        }
        assert_eq!(seen.languages, Vec::from_iter(languages));
        assert_eq!((session.paused, session.muted), (model.paused, model.muted));
        assert_eq!(session.last_state_change, model.changed_at);
        assert_eq!(session.expires_at, model.expires_at);
        let speaker = match (model.speaker, model.awaited_until) {
            (Some(speaker), None) => Speaker::Present(self.ids[speaker].clone()),
            (None, Some(until)) => Speaker::Lost { until },
            both => panic!("the model is confused: {both:?}"),
        };
        assert_eq!(session.speaker, speaker);
        listeners.len()
    }
}
