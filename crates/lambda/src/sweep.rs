//! The sweep, every minute: what no event tells.

use ambo_app::ports::StoreFault;
use ambo_core::event::Departure;
use ambo_core::notice::{EndReason, Status};
use ambo_core::rules::{OfSession, UpdateReason, Wanted};
use ambo_core::{Audience, Connection, Millis, Notice, Role, Tidings};
use futures_util::stream::{self, StreamExt as _};

use crate::chain::chain;
use crate::connections::IN_FLIGHT;
use crate::context::Context;
use crate::status;

/// Connections read at once.
const PAGE: i32 = 500;
/// Ends picked up in one sweep.
const MAX_UNFINISHED: usize = 100;

/// Ends what is over, takes out who is gone, tells speakers who is left, and counts.
pub(crate) async fn run(context: &Context) {
    let ended = context.app().sweep(|| context.clock.stamp()).await;
    note("sessions that are over cannot be ended now", ended.map(|_| ()));
    note("ends that were half told are left so", finish(context).await);
    let mut rolls = Rolls::default();
    let called = rolls.call(context).await;
    let is_whole = called.is_ok();
    note("some connections were not looked at", called);
    rolls.tell_speakers(context, is_whole).await;
    context.settle().await;
    count(context, &rolls, is_whole).await;
}

/// Logs what failed. The next sweep tries again.
fn note(what: &'static str, outcome: Result<(), StoreFault>) {
    if let Err(fault) = outcome {
        tracing::warn!(
            component = "sweep",
            operation = "sweep",
            error = chain(&fault),
            "{what}; tried again in a minute"
        );
    }
}

/// Tells the ends that somebody began to tell and did not finish. How they came about is not
/// known any more.
async fn finish(context: &Context) -> Result<(), StoreFault> {
    let app = context.app();
    let finish = async |session| {
        let tidings = Tidings::Ended { reason: EndReason::SpeakerEnded, message: None };
        let notice = Notice { audience: Audience::Everyone(session), tidings };
        app.notify(&[notice], context.clock.now()).await;
    };
    let unfinished = context.rolls.unfinished(MAX_UNFINISHED).await?;
    stream::iter(unfinished).for_each_concurrent(IN_FLIGHT, finish).await;
    Ok(())
}

/// All connections, as the sweep found them.
#[derive(Default)]
struct Rolls {
    speakers: Vec<Connection>,
    connections: u64,
}

impl Rolls {
    /// Calls everybody, page by page, and takes out who does not answer any more.
    async fn call(&mut self, context: &Context) -> Result<(), StoreFault> {
        let mut from = None;
        loop {
            let page = context.rolls.connections(from, PAGE).await?;
            let now = context.clock.now();
            let (gone, here): (Vec<_>, Vec<_>) = page
                .connections
                .into_iter()
                .partition(|connection| is_over(context, connection, now));
            here.into_iter().for_each(|connection| self.enter(connection));
            let lapse = |connection| lapse(context, connection);
            stream::iter(gone).for_each_concurrent(IN_FLIGHT, lapse).await;
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    fn enter(&mut self, connection: Connection) {
        self.connections += 1;
        if connection.role == Role::Speaker {
            self.speakers.push(connection);
        }
    }

    /// Tells each speaker who listens. Of a roll that is not whole, nothing is told.
    async fn tell_speakers(&self, context: &Context, is_whole: bool) {
        if !is_whole {
            return;
        }
        let tell = |speaker: &Connection| self.tell_speaker(context, speaker.clone());
        let all = self.speakers.iter().map(tell);
        stream::iter(all).for_each_concurrent(IN_FLIGHT, |told| told).await;
    }

    async fn tell_speaker(&self, context: &Context, speaker: Connection) {
        let named = OfSession::Named(speaker.session.clone());
        let wanted = Wanted { session: named, languages: true, ..Wanted::default() };
        let Ok(seen) = context.app().store().load(&wanted).await else { return };
        let Some(session) = seen.session.filter(|found| found.is_spoken_by(&speaker.id)) else {
            return;
        };
        let status = Status::of(&session, seen.languages, context.clock.now());
        // Whatever else may have changed, no sweep knows what another one told.
        status::tell(context, &speaker.id, &status, UpdateReason::Periodic).await;
    }
}

/// Whether a connection has been silent for too long, or is too old.
fn is_over(context: &Context, connection: &Connection, now: Millis) -> bool {
    let limits = &context.limits;
    let is_over = |span: Millis, limit: Millis| !limit.is_zero() && span >= limit;
    is_over(now.since(connection.seen_at), limits.heartbeat_timeout)
        || is_over(now.since(connection.connected_at), limits.connection_max_duration)
}

/// Takes a member out, then closes what may be left of its connection. In this order, and not
/// without the first: a close is told as a goodbye, which must find nothing to end.
///
/// The page that listed it may be old by now: who was heard meanwhile stays, and who is no member
/// any more has left, moved, or is being told of the end.
async fn lapse(context: &Context, listed: Connection) {
    let wanted = Wanted { own: Some(listed.id), ..Wanted::default() };
    let own = match context.app().store().load(&wanted).await {
        Ok(seen) => seen.own,
        Err(fault) => return note("somebody silent was not looked at", Err(fault)),
    };
    let Some(own) = own.filter(|own| is_over(context, own, context.clock.now())) else { return };
    if context.depart(own.id.clone(), own.source, Departure::Lost).await {
        context.connections.delete(&own.id).await;
    }
}

async fn count(context: &Context, rolls: &Rolls, is_whole: bool) {
    match context.app().store().totals().await {
        Ok(totals) if is_whole => {
            context.metrics.totals(totals.sessions, totals.listeners, rolls.connections);
        }
        Ok(_) => {}
        Err(fault) => note("nothing was counted", Err(fault)),
    }
}
