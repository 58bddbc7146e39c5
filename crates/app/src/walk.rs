//! The walk: limits → identity → load → decide → commit → outcome.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;

use ambo_core::event::{Arrival, Event, Via};
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::{self, Actor, Identified, Seen, Terms, Toll};
use ambo_core::{Applied, Change, Decision, Refusal, Stamp, UserId};
use futures_util::future::join_all;

use crate::Outcome;
use crate::ports::{FaultKind, Keys, Outbox, Paid, Store, StoreFault, Unidentified};

/// Attempts at one event. Ten session ids are tried; any other change goes stale only when
/// somebody else's was applied in between, which ten times in a row means a bug.
const MAX_ATTEMPTS: usize = 10;

/// The session server without its sockets.
pub struct App {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Arc<dyn Outbox>,
    keys: Arc<dyn Keys>,
    terms: Terms,
}

impl App {
    /// An app over these ports.
    pub fn new(
        store: Arc<dyn Store>,
        outbox: Arc<dyn Outbox>,
        keys: Arc<dyn Keys>,
        terms: Terms,
    ) -> Self {
        Self { store, outbox, keys, terms }
    }

    /// What the deployment allows.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The store behind the walk, for probes and metrics.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Walks one event to its outcome. Nothing is stored by a refused one.
    pub async fn handle(&self, arrival: &Arrival) -> Outcome {
        match self.walk(arrival).await {
            Ok(decision) => Outcome {
                answer: Ok(decision.reply),
                notices: decision.notices,
                grant: decision.grant,
            },
            Err(refusal) => Outcome::refused(refusal),
        }
    }

    /// Ends every session whose time, or whose lost speaker's, is over. `stamp` makes a stamp for
    /// each.
    pub async fn sweep(&self, stamp: impl Fn() -> Stamp) -> Result<usize, StoreFault> {
        const PAGE: usize = 100;
        let mut ended = 0;
        let mut after = None;
        loop {
            let page = self.store.due(stamp().now, after.as_ref(), PAGE).await?;
            // Together, so that ends that wait for one disk wait once, and that no audience that
            // is slow to be told delays the next session's.
            let looks = page.iter().map(|id| self.look(Arrival::of_session(id.clone(), stamp())));
            ended += join_all(looks).await.into_iter().sum::<usize>();
            if page.len() < PAGE {
                return Ok(ended);
            }
            after = page.last().cloned();
        }
    }

    /// Looks at one session's time; how many sessions ended by it.
    async fn look(&self, arrival: Arrival) -> usize {
        let outcome = self.handle(&arrival).await;
        self.notify(&outcome.notices, arrival.stamp.now).await;
        outcome.notices.len()
    }

    async fn walk(&self, arrival: &Arrival) -> Result<Decision, Refusal> {
        let event = self.understand(arrival).await?;
        let user = self.identify(event, arrival).await?;
        let actor = Actor {
            connection: &arrival.connection,
            source: arrival.source,
            user: user.as_ref(),
            stamp: &arrival.stamp,
            attempt: 0,
        };
        self.pay(&rules::tolls(event, arrival.via, &actor), arrival).await?;
        let decided = self.settle(event, actor, arrival).await;
        match decided {
            Err(refusal) if is_join(event) && rules::is_guess(&refusal) => {
                Err(self.refused_join(refusal, arrival).await)
            }
            decided => decided,
        }
    }

    /// The event, once the attempt itself has been paid for. An unknown action comes first, then
    /// the limit on attempts, then what is wrong with the parameters.
    async fn understand<'a>(&self, arrival: &'a Arrival) -> Result<&'a Event, Refusal> {
        if arrival.via == Via::Message && arrival.intent.is_err() {
            self.pay(&[rules::toll_of_message(&arrival.connection)], arrival).await?;
        }
        if let Err(refusal @ (Refusal::InvalidAction | Refusal::InvalidMessage)) = &arrival.intent {
            return Err(refusal.clone());
        }
        if arrival.via == Via::Connect {
            self.pay(&[source_toll(Operation::Connect, arrival)], arrival).await?;
        }
        match &arrival.intent {
            Ok(event) => Ok(event),
            Err(refusal) if arrival.via == Via::Connect && rules::is_guess(refusal) => {
                Err(self.refused_join(refusal.clone(), arrival).await)
            }
            Err(refusal) => Err(refusal.clone()),
        }
    }

    async fn identify(&self, event: &Event, arrival: &Arrival) -> Result<Option<UserId>, Refusal> {
        if !rules::needs_user(event) {
            return Ok(None);
        }
        let identified = match &arrival.token {
            None => Identified::Nobody,
            Some(token) => match self.keys.identify(token, arrival.stamp.now).await {
                Ok(user) => Identified::User(user),
                Err(Unidentified::Refused(why)) => Identified::Refused(why),
                Err(Unidentified::Unavailable { retry_after, source }) => {
                    let retry_after = retry_after.as_secs_ceil().max(1);
                    tracing::error!(
                        component = "identity",
                        operation = "identify",
                        errorCode = "SERVICE_UNAVAILABLE",
                        error = %chain(&*source),
                        "a speaker cannot be identified"
                    );
                    return Err(Refusal::ServiceUnavailable { service: "identity", retry_after });
                }
            },
        };
        rules::authorize(event, identified)
    }

    /// Load, decide, commit; again from the start while somebody else was quicker.
    async fn settle(
        &self,
        event: &Event,
        mut actor: Actor<'_>,
        arrival: &Arrival,
    ) -> Result<Decision, Refusal> {
        let wanted = rules::wanted(event, &arrival.connection, arrival.source);
        let mut has_paid = false;
        for attempt in 0..MAX_ATTEMPTS {
            actor.attempt = attempt;
            let seen: Seen = self.store.load(&wanted).await.map_err(|f| refusal_of(&f, "load"))?;
            if !has_paid {
                // A refresh may turn out to be a join only when another took the place it saw.
                let tolls = rules::tolls_when_seen(event, &actor, &seen);
                self.pay(&tolls, arrival).await?;
                has_paid = !tolls.is_empty();
            }
            let decision = rules::decide(event, &actor, &self.terms, &seen)?;
            let Some(change) = &decision.change else { return Ok(decision) };
            match self.commit(change).await? {
                Applied::Done => return Ok(decision),
                Applied::Stale => {}
            }
        }
        tracing::error!(
            component = "app",
            operation = "settle",
            errorCode = "INTERNAL_ERROR",
            event = event.name(),
            attempts = MAX_ATTEMPTS,
            "an event went stale at every attempt"
        );
        Err(Refusal::Internal)
    }

    async fn commit(&self, change: &Change) -> Result<Applied, Refusal> {
        self.store.commit(change).await.map_err(|fault| refusal_of(&fault, change.name()))
    }

    /// Pays tolls in their order; the first that cannot be paid refuses the event.
    async fn pay(&self, tolls: &[Toll], arrival: &Arrival) -> Result<(), Refusal> {
        for toll in tolls {
            let (Toll::Take(key) | Toll::Show(key)) = toll;
            let rate = self.terms.limits.rate(key.operation);
            let paid = self.store.pay(toll, rate, arrival.stamp.now).await;
            if let Paid::Wait(span) = paid.map_err(|fault| refusal_of(&fault, "pay"))? {
                let retry_after = span.as_secs_ceil().max(1);
                return Err(Refusal::RateLimitExceeded { operation: key.operation, retry_after });
            }
        }
        Ok(())
    }

    /// What one who named no session is told: that, or that it is to stop guessing.
    async fn refused_join(&self, refusal: Refusal, arrival: &Arrival) -> Refusal {
        let toll = source_toll(Operation::RefusedJoin, arrival);
        self.pay(&[toll], arrival).await.err().unwrap_or(refusal)
    }
}

fn source_toll(operation: Operation, arrival: &Arrival) -> Toll {
    Toll::Take(LimitKey { operation, identity: Identity::Source(arrival.source) })
}

/// Whether guesses at a session's id can be made this way.
fn is_join(event: &Event) -> bool {
    matches!(event, Event::Join { .. } | Event::RefreshListener { .. })
}

/// A fault is logged here, once, with all it knows; the client learns only what concerns it.
fn refusal_of(fault: &StoreFault, operation: &str) -> Refusal {
    let refusal = match fault.kind {
        FaultKind::Transient => Refusal::ServiceUnavailable { service: "store", retry_after: 1 },
        FaultKind::Unavailable { retry_after } | FaultKind::Contended { retry_after } => {
            let retry_after = retry_after.as_secs_ceil().max(1);
            Refusal::ServiceUnavailable { service: "store", retry_after }
        }
        FaultKind::Broken => Refusal::Internal,
    };
    tracing::error!(
        component = "store",
        operation,
        errorCode = refusal.code(),
        error = %chain(fault),
        "the store failed"
    );
    refusal
}

/// An error with everything that caused it, on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}
