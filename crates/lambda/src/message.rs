//! A message on an open connection. Its answer is posted: what a function returns to API Gateway
//! reaches nobody.

use std::time::{Duration, Instant};

use ambo_app::Outcome;
use ambo_core::event::Via;
use ambo_core::{Arrival, ConnectionId, Event, Intent, Refusal, Reply, Token};
use ambo_wire::{ErrorBody, Incoming, Resumed, ServerMessage};
use serde_json::{Value, json};

use crate::context::Context;
use crate::event::{GatewayEvent, Kind};
use crate::logging::{hashed, hashed_source};
use crate::respond;
use crate::settings::Handler;

/// Answers a message, if it is one of those that API Gateway routes to this function.
pub(crate) async fn answer(context: &Context, event: &GatewayEvent, by: Handler) -> Value {
    let (Some(Kind::Message), Some(connection)) = (event.kind(), event.connection()) else {
        return respond::unknown(by.as_str());
    };
    let start = Instant::now();
    let asked = Asked::read(context, event, by);
    let arrival = Arrival {
        connection,
        source: event.source(),
        via: Via::Message,
        token: asked.token,
        intent: asked.intent,
        stamp: context.clock.stamp(),
    };
    let app = context.app();
    let Outcome { answer, notices, .. } = app.handle(&arrival).await;
    context.metrics.refreshed(&arrival.intent, &answer);
    observe(context, &arrival, &answer);
    if let Some(message) = said(context, &arrival.connection, answer, asked.is_audio) {
        let message = message.encode(context.clock.now());
        // A connection that is gone meanwhile has its own event, or falls silent.
        context.connections.post(&arrival.connection, &message).await;
    }
    let took = start.elapsed();
    if matches!(arrival.intent, Ok(Event::Heartbeat)) {
        context.metrics.heartbeat_answered(took);
    }
    log(&arrival, took);
    app.notify(&notices, context.clock.now()).await;
    context.settle().await;
    // A heartbeat names no language, and its function has no right to ask for them.
    if by != Handler::Heartbeat {
        context.learn_languages().await;
    }
    respond::done()
}

/// A message, as far as this function may understand it.
struct Asked {
    intent: Intent,
    token: Option<Token>,
    is_audio: bool,
}

impl Asked {
    fn read(context: &Context, event: &GatewayEvent, by: Handler) -> Self {
        match Incoming::parse(&event.body(), &context.sizes) {
            // It goes elsewhere, but costs its connection what any message does.
            Incoming::Audio(_) => {
                Self { intent: Err(Refusal::InvalidAction), token: None, is_audio: true }
            }
            Incoming::Event { intent: Ok(event), .. } if !is_routed(&event, by) => {
                Self { intent: Err(Refusal::InvalidAction), token: None, is_audio: false }
            }
            Incoming::Event { intent, token } => Self { intent, token, is_audio: false },
        }
    }
}

/// Whether API Gateway routes such a message to this function. One that came to another was
/// misrouted, and a function does nothing that it has no rights for.
fn is_routed(event: &Event, by: Handler) -> bool {
    match event {
        Event::Heartbeat => by == Handler::Heartbeat,
        Event::RefreshSpeaker { .. } | Event::RefreshListener { .. } => by == Handler::Refresh,
        Event::Control { .. }
        | Event::ChangeLanguage { .. }
        | Event::Status
        | Event::End { .. } => by == Handler::Connection,
        // No message means these.
        Event::Create { .. }
        | Event::Join { .. }
        | Event::Disconnect(_)
        | Event::Age
        | Event::Drain { .. }
        | Event::Expire { .. }
        | Event::Close { .. } => false,
    }
}

/// What the sender is told.
fn said(
    context: &Context,
    connection: &ConnectionId,
    answer: Result<Option<Reply>, Refusal>,
    is_audio: bool,
) -> Option<ServerMessage> {
    let request_id = Some(hashed(connection));
    match answer {
        Ok(reply) => Some(ServerMessage::of_reply(reply?, Resumed::default())),
        Err(Refusal::InvalidAction) if is_audio => Some(ServerMessage::Error(
            audio_goes_elsewhere(context.media_url.as_deref(), request_id),
        )),
        Err(refusal) => Some(ServerMessage::of_refusal(&refusal, request_id)),
    }
}

/// API Gateway charges each message to each listener and takes no binary ones: audio has a server
/// of its own.
fn audio_goes_elsewhere(media_url: Option<&str>, request_id: Option<String>) -> ErrorBody {
    let message = match media_url {
        Some(url) => format!("Audio is not sent to this endpoint but to {url}"),
        None => "Audio is not sent to this endpoint, and this deployment names no other.".into(),
    };
    let details = media_url.map(|url| json!({ "mediaUrl": url }));
    ErrorBody { details, message, ..ErrorBody::of(&Refusal::InvalidAction, request_id) }
}

fn observe(context: &Context, arrival: &Arrival, answer: &Result<Option<Reply>, Refusal>) {
    let Err(refusal) = answer else { return };
    context.metrics.refused(refusal);
    tracing::info!(
        component = "connection",
        operation = arrival.intent.as_ref().map_or("message", Event::name),
        correlationId = hashed(&arrival.connection),
        errorCode = refusal.code(),
        userContext = hashed_source(&arrival.source),
        "refused"
    );
}

fn log(arrival: &Arrival, took: Duration) {
    tracing::debug!(
        component = "connection",
        operation = arrival.intent.as_ref().map_or("message", Event::name),
        correlationId = hashed(&arrival.connection),
        durationMs = took.as_millis() as u64,
        "answered"
    );
}
