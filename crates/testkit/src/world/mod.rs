//! A simulated world round the walk: every event goes through the whole of [`App`], and the shell
//! does with the outcome what a server does, in the order it must: reply, seat, notify.
//!
//! Nothing in it waits for anything but the store, time moves when it is told to, and the same
//! seed makes the same world.

mod hall;
mod issuer;
mod meddler;
mod time;

use std::sync::Arc;

use ambo_app::App;
use ambo_app::ports::Store;
use ambo_core::connection::RefreshToken;
use ambo_core::event::{Command, Departure, Intent, Via};
use ambo_core::{
    Arrival, ConnectionId, Event, Grant, Language, Languages, Limits, Millis, QualityTier, Rate,
    Refusal, Reply, SessionId, SourceAddress, Terms, Tidings, Token, Words,
};
use parking_lot::Mutex;

pub use hall::Hall;
pub use issuer::Issuer;
pub use meddler::{Meddle, Meddler};
pub use time::{Clock, Dice};

/// The walk over a store, with everything round it simulated.
pub struct World {
    app: App,
    /// Everybody's time.
    pub clock: Clock,
    /// Whoever has a socket, and what was heard there.
    pub hall: Arc<Hall>,
    /// Issues the tokens that speakers show.
    pub issuer: Arc<Issuer>,
    dice: Mutex<Dice>,
}

/// One request, as it comes in.
#[derive(Clone, Debug)]
pub struct Call {
    /// The connection it comes on.
    pub connection: ConnectionId,
    /// Where that comes from.
    pub source: SourceAddress,
    /// How it comes.
    pub via: Via,
    /// The token shown.
    pub token: Option<Token>,
    /// What is asked, or why it was not understood.
    pub intent: Intent,
}

/// The answer to a request.
pub type Answer = Result<Option<Reply>, Refusal>;

/// Limits with every rate off, for tests that are not about rates.
pub fn without_rates() -> Limits {
    let off = Rate::new(0, Millis::ZERO);
    Limits {
        sessions: off,
        refused_joins: off,
        joins: off,
        connects: off,
        heartbeats: off,
        control: off,
        audio: off,
        ..Limits::default()
    }
}

/// A language by its code.
pub fn language(code: &str) -> Language {
    Language::parse(code).expect("two letters")
}

/// A source address by a number.
pub fn source(number: u32) -> SourceAddress {
    SourceAddress::of(std::net::Ipv4Addr::from(0xc000_0200 + number).into())
}

impl World {
    /// A world with the default limits and every language.
    pub fn new(store: impl Store + 'static) -> Self {
        Self::with_limits(store, Limits::default())
    }

    /// A world with these limits.
    pub fn with_limits(store: impl Store + 'static, limits: Limits) -> Self {
        let (languages, words) = (Languages::every(), Words::builtin());
        Self::with_terms(store, Terms { limits, languages, words })
    }

    /// A world on these terms.
    pub fn with_terms(store: impl Store + 'static, terms: Terms) -> Self {
        let (hall, issuer) = (Arc::new(Hall::default()), Arc::new(Issuer::default()));
        let app = App::new(
            Arc::new(store),
            Arc::clone(&hall) as Arc<_>,
            Arc::clone(&issuer) as Arc<_>,
            terms,
        );
        let (clock, dice) = (Clock::default(), Mutex::new(Dice::new(1)));
        Self { app, clock, hall, issuer, dice }
    }

    /// The store under the walk.
    pub fn store(&self) -> &dyn Store {
        self.app.store()
    }

    /// The dice all entropy comes from.
    pub fn load_dice(&self, dice: Dice) {
        *self.dice.lock() = dice;
    }

    /// A connection nobody has had.
    pub fn connection(&self) -> ConnectionId {
        let number = self.dice.lock().number();
        ConnectionId::parse(&format!("c{number:016x}")).expect("visible ASCII")
    }

    /// A new connection that asks for something.
    pub fn connect(&self, event: Event) -> Call {
        Call {
            connection: self.connection(),
            source: source(1),
            via: Via::Connect,
            token: None,
            intent: Ok(event),
        }
    }

    /// Lets a request happen, as a server does: the walk, the reply, the seat, the notices.
    pub async fn happens(&self, call: &Call) -> Answer {
        let arrival = Arrival {
            connection: call.connection.clone(),
            source: call.source,
            via: call.via,
            token: call.token.clone(),
            intent: call.intent.clone(),
            stamp: self.dice.lock().stamp(self.clock.now()),
        };
        if call.via == Via::Connect {
            self.hall.comes_from(&call.connection, call.source);
        }
        let outcome = self.app.handle(&arrival).await;
        if let Ok(Some(reply)) = &outcome.answer {
            self.hall.reply(&call.connection, reply);
        }
        if let Some(grant) = &outcome.grant {
            self.seat(&call.connection, grant);
        }
        self.app.notify(&outcome.notices, arrival.stamp.now).await;
        outcome.answer
    }

    /// The same on an open connection, or by the server itself.
    pub async fn on(&self, connection: &ConnectionId, via: Via, event: Event) -> Answer {
        let (connection, intent) = (connection.clone(), Ok(event));
        let source = self.hall.source(&connection).unwrap_or_else(|| source(1));
        self.happens(&Call { connection, source, via, token: None, intent }).await
    }

    /// A message on an open connection.
    pub async fn says(&self, connection: &ConnectionId, event: Event) -> Answer {
        self.on(connection, Via::Message, event).await
    }

    /// The speaker's command.
    pub async fn commands(&self, connection: &ConnectionId, command: Command) -> Answer {
        self.says(connection, Event::Control { command, message: None }).await
    }

    /// A socket closes.
    pub async fn leaves(&self, connection: &ConnectionId, departure: Departure) {
        self.hall.close(connection);
        self.on(connection, Via::Server, Event::Disconnect(departure)).await.expect("no refusal");
    }

    /// This user makes a session in English: its id, and the speaker's connection.
    pub async fn creates(&self, user: &str) -> Result<(SessionId, ConnectionId), Refusal> {
        let call = self.create(user);
        match self.happens(&call).await? {
            Some(Reply::Created { session, .. }) => Ok((session, call.connection)),
            other => panic!("{other:?}"),
        }
    }

    /// The request of [`creates`](Self::creates).
    pub fn create(&self, user: &str) -> Call {
        let (source_language, quality) = (language("en"), QualityTier::Standard);
        let token = Some(self.issuer.issue(user, self.clock.now() + Millis::from_mins(600)));
        Call { token, ..self.connect(Event::Create { source_language, quality }) }
    }

    /// Somebody joins in Spanish.
    pub async fn joins(&self, session: &SessionId) -> Result<ConnectionId, Refusal> {
        let call = self.join(session, "es");
        self.happens(&call).await.map(|_| call.connection)
    }

    /// The request of [`joins`](Self::joins), in any language.
    pub fn join(&self, session: &SessionId, target: &str) -> Call {
        self.connect(Event::Join { session: session.clone(), target: language(target) })
    }

    /// A speaker's request to take up a session on a new connection.
    pub fn take_up(&self, session: &SessionId, user: &str) -> Call {
        let token = Some(self.issuer.issue(user, self.clock.now() + Millis::from_mins(600)));
        Call { token, ..self.connect(Event::RefreshSpeaker { session: session.clone() }) }
    }

    /// A listener's request to go on on a new connection, in Spanish.
    pub fn go_on(&self, session: &SessionId, token: Option<RefreshToken>) -> Call {
        let (session, target) = (session.clone(), language("es"));
        self.connect(Event::RefreshListener { session, target, token, last_sequence: None })
    }

    /// Ends what time has ended.
    pub async fn sweep(&self) -> usize {
        let stamp = || self.dice.lock().stamp(self.clock.now());
        self.app.sweep(stamp).await.expect("the store works")
    }

    /// How often a connection was told that its session has ended.
    pub fn ends_heard(&self, connection: &ConnectionId) -> usize {
        let is_end = |tidings: &Tidings| matches!(tidings, Tidings::Ended { .. });
        self.hall.heard(connection).iter().filter(|tidings| is_end(tidings)).count()
    }

    /// The token a connection was given when it was last told to refresh.
    pub fn token_heard(&self, connection: &ConnectionId) -> Option<RefreshToken> {
        self.hall.heard(connection).into_iter().rev().find_map(|tidings| match tidings {
            Tidings::RefreshRequired(required) => required.token,
            Tidings::Broadcast { .. }
            | Tidings::Ended { .. }
            | Tidings::Warning { .. }
            | Tidings::Superseded => None,
        })
    }

    fn seat(&self, connection: &ConnectionId, grant: &Grant) {
        match grant {
            Grant::Speak { session, .. } => self.hall.seat(connection, session, false),
            Grant::Hear { session, .. } => self.hall.seat(connection, session, true),
        }
    }
}

impl Call {
    /// From another source.
    pub fn from(self, number: u32) -> Self {
        Self { source: source(number), ..self }
    }

    /// On this connection.
    pub fn on(self, connection: &ConnectionId) -> Self {
        Self { connection: connection.clone(), ..self }
    }

    /// With another token, or none.
    pub fn showing(self, token: Option<Token>) -> Self {
        Self { token, ..self }
    }

    /// Not understood.
    pub fn garbled(self, refusal: Refusal) -> Self {
        Self { intent: Err(refusal), ..self }
    }
}
