//! The store on Redis or Valkey.
//!
//! ```text
//! {id}:session  {id}:members  {id}:told    one slot: every change of a session is one script
//! connection:<id>        → session         where a connection is a member, or is about to be
//! {deadlines}:due        session by the earliest moment at which time may end it
//! node:<id>:sessions     session whose members' sockets the node may hold
//! limit:<name>           a token bucket
//! ```
//!
//! The session is the truth. Everything outside its slot is written before it and may say too much,
//! never too little: a pointer to a session that does not have the member, a deadline that is too
//! early, a node that holds nobody. Whoever follows it looks at the session.
//!
//! *Invariant*: a connection is a member of the session that its pointer names, or of none.

mod claims;
mod commit;
mod deadlines;
mod keys;
mod load;
mod members;
mod nodes;
mod row;
mod scripts;

use ambo_app::ports::{Page, Paid, Store, StoreFault, Totals};
use ambo_core::rules::{Seen, Toll, Wanted};
use ambo_core::{Applied, Change, Connection, Millis, Rate, SessionId};
use async_trait::async_trait;

use crate::Engine;
use scripts::{Steps, Verbs};

/// What is kept of a session beyond its end by time, for a sweep that comes late.
const AFTERLIFE: Millis = Millis::from_secs(3_600);

/// No bucket, and no key, is kept longer: a year, the longest span in a server's settings, and a
/// day. Keeps every sum far within what a script's numbers hold.
const LONGEST_LIFE: Millis = Millis::from_mins(366 * 24 * 60);

/// The store of a cluster. Any number of nodes use one engine at the same time.
pub struct RedisStore {
    engine: Engine,
    verbs: Verbs,
    steps: Steps,
}

impl RedisStore {
    /// The store behind this engine.
    pub fn new(engine: Engine) -> Self {
        Self { engine, verbs: Verbs::new(), steps: Steps::new() }
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn load(&self, wanted: &Wanted) -> Result<Seen, StoreFault> {
        self.look_at(wanted).await
    }

    async fn commit(&self, change: &Change) -> Result<Applied, StoreFault> {
        self.apply(change).await
    }

    /// By the engine's clock, which all nodes share; `now` is not asked.
    async fn pay(&self, toll: &Toll, rate: Rate, _now: Millis) -> Result<Paid, StoreFault> {
        if rate.is_off() {
            return Ok(Paid::Yes);
        }
        let (key, verb) = match toll {
            Toll::Take(key) => (key, "take"),
            Toll::Show(key) => (key, "show"),
        };
        let longest = LONGEST_LIFE.0.saturating_mul(1_000);
        let [interval, span] =
            [rate.interval_micros(), rate.span_micros()].map(|micros| micros.min(longest));
        let keys = [keys::bucket(&self.engine, key)];
        let args = (interval, span, verb);
        let wait: u64 = self.engine.invoke(&self.steps.pay, &keys, args).await?;
        Ok(if wait == 0 { Paid::Yes } else { Paid::Wait(Millis(wait)) })
    }

    async fn due(
        &self,
        now: Millis,
        after: Option<&SessionId>,
        limit: usize,
    ) -> Result<Vec<SessionId>, StoreFault> {
        self.find_due(now, after, limit).await
    }

    async fn members(
        &self,
        session: &SessionId,
        page: Page<'_>,
    ) -> Result<Vec<Connection>, StoreFault> {
        self.page_of(session, page).await
    }

    /// Nothing: an `End` leaves nothing behind.
    async fn forget(&self, _session: &SessionId) -> Result<(), StoreFault> {
        Ok(())
    }

    async fn totals(&self) -> Result<Totals, StoreFault> {
        self.count_all().await
    }

    /// Writes, since an engine may answer and yet take nothing: a replica, a full memory or disk.
    async fn check(&self) -> Result<(), StoreFault> {
        let mut write = redis::cmd("SET");
        write.arg(self.engine.key("check")).arg(1).arg("PX").arg(60_000);
        self.engine.run(write).await
    }
}

/// How long keys are kept for something that ends by itself at `expires_at`. By spans, not
/// moments: the engine's clock need not be that of the nodes.
fn life(expires_at: Millis, now: Millis) -> u64 {
    (expires_at.since(now) + AFTERLIFE).min(LONGEST_LIFE).0
}
