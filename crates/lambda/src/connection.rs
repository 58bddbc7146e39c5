//! The connection function: lets connections in, delivers their first message, and answers most
//! messages.

use std::time::{Duration, Instant};

use ambo_app::Outcome;
use ambo_core::event::{Departure, Via};
use ambo_core::{Arrival, Event, Refusal, Reply, SessionId};
use ambo_wire::{Connecting, SUBPROTOCOL};
use serde_json::Value;

use crate::context::Context;
use crate::event::{GatewayEvent, Kind};
use crate::first_message::FirstMessage;
use crate::keys;
use crate::logging::{hashed, hashed_source};
use crate::message;
use crate::respond;
use crate::settings::Handler;

/// Answers what comes to the connection function.
pub(crate) async fn answer(context: &Context, event: Value) -> Value {
    if let Some(order) = FirstMessage::read(&event) {
        order.deliver(context).await;
        return respond::done();
    }
    let event = GatewayEvent::new(event);
    if event.kind() == Some(Kind::Connect) {
        return connect(context, &event).await;
    }
    message::answer(context, &event, Handler::Connection).await
}

/// `$connect`: in or not.
async fn connect(context: &Context, event: &GatewayEvent) -> Value {
    let Some(connection) = event.connection() else {
        return respond::unknown(Handler::Connection.as_str());
    };
    let start = Instant::now();
    let arrival = Arrival {
        connection,
        source: event.source(),
        via: Via::Connect,
        token: keys::vouched(&event.said()),
        intent: Connecting::parse(&event.query(), None).intent,
        stamp: context.clock.stamp(),
    };
    let outcome = match context.app().handle(&arrival).await {
        Outcome { answer: Err(refusal), .. } => {
            if matches!(refusal, Refusal::ServiceUnavailable { service: "store", .. }) {
                take_back(context, &arrival).await;
            }
            Err(refusal)
        }
        admitted => greet(context, &arrival, admitted).await,
    };
    observe(context, &arrival, &outcome, start.elapsed());
    let is_ambo = event.offers(SUBPROTOCOL);
    match outcome {
        Ok(_) => respond::accepted(is_ambo),
        Err(refusal) => refuse(context, &arrival, &refusal, is_ambo).await,
    }
}

/// Orders the first message. Without one the client would wait for ever, so where it cannot be
/// ordered the member is taken back.
async fn greet(context: &Context, arrival: &Arrival, admitted: Outcome) -> Result<Reply, Refusal> {
    let Outcome { answer, notices, grant } = admitted;
    let reply = answer?.ok_or(Refusal::Internal)?;
    let order = FirstMessage::reply(context, reply.clone(), grant.as_ref(), &notices);
    let order = order.ok_or(Refusal::Internal)?;
    if context.courier.take(&order).await {
        return Ok(reply);
    }
    take_back(context, arrival).await;
    Err(Refusal::ServiceUnavailable { service: "node", retry_after: 1 })
}

/// Takes back what was stored of a connection that will never open, or may have been: a change
/// whose answer did not come in time may have been made. As far as the store can be asked now; the
/// sweep sees to the rest.
async fn take_back(context: &Context, arrival: &Arrival) {
    // Nobody knows of a session that was made for it.
    let how = match arrival.intent {
        Ok(Event::Create { .. }) => Departure::Clean,
        _ => Departure::Lost,
    };
    context.depart(arrival.connection.clone(), arrival.source, how).await;
}

/// Refuses: on the socket for a client that offers the subprotocol, else by HTTP status.
async fn refuse(context: &Context, arrival: &Arrival, refusal: &Refusal, is_ambo: bool) -> Value {
    let order = FirstMessage::refusal(context, &arrival.connection, refusal);
    if is_ambo && context.courier.take(&order).await {
        return respond::accepted(is_ambo);
    }
    respond::refused(refusal, &arrival.connection)
}

/// Logs and measures what became of a new connection.
fn observe(context: &Context, arrival: &Arrival, outcome: &Result<Reply, Refusal>, took: Duration) {
    let metrics = &context.metrics;
    match outcome {
        Ok(Reply::Created { .. }) => metrics.session_created(took),
        Ok(Reply::Joined { .. }) => metrics.listener_joined(took),
        Ok(_) => {}
        Err(refusal) => metrics.refused(refusal),
    }
    metrics.refreshed(&arrival.intent, outcome);
    let error_code = outcome.as_ref().err().map(Refusal::code);
    let session_id = outcome.as_ref().ok().and_then(session_of).map(SessionId::as_str);
    tracing::info!(
        component = "connection",
        operation = arrival.intent.as_ref().map_or("connect", Event::name),
        correlationId = hashed(&arrival.connection),
        durationMs = took.as_millis() as u64,
        errorCode = error_code,
        sessionId = session_id,
        userContext = hashed_source(&arrival.source),
        "{}",
        if error_code.is_none() { "accepted" } else { "refused" }
    );
}

fn session_of(reply: &Reply) -> Option<&SessionId> {
    match reply {
        Reply::Created { session, .. }
        | Reply::Joined { session, .. }
        | Reply::SpeakerRefreshed { session, .. }
        | Reply::ListenerRefreshed { session, .. } => Some(session),
        _ => None,
    }
}
