//! The first message on a new connection.
//!
//! `$connect` cannot post to its own connection: until it has been answered the connection is not
//! open. So it orders the first message from another invocation of the same function, which posts
//! as soon as the connection is open, tells others after it, and makes up for what was told to the
//! session while the newcomer could not hear.

use std::sync::Arc;
use std::time::Duration;

use ambo_core::event::Departure;
use ambo_core::notice::EndReason;
use ambo_core::rules::{OfSession, Seen, Wanted};
use ambo_core::{
    Audience, ConnectionId, Grant, Language, Notice, Refusal, Reply, Session, SessionId,
    SourceAddress, Tidings,
};
use ambo_wire::{Resumed, ServerMessage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::{Aws, Call};
use crate::chain::chain;
use crate::connections::{ALONE, Posted};
use crate::context::Context;
use crate::logging::hashed;
use crate::status;

/// The order's name in an event.
const ORDER: &str = "firstMessage";

/// How long the connection may take to open, in pauses between attempts: 3 s in all.
const PAUSES: [u64; 7] = [50, 50, 100, 200, 400, 800, 1_400];
/// An end that is being told now has reached everybody after so long.
const TOLD_BY_THEN: Duration = Duration::from_secs(2);

/// An order for a first message, as it travels between the two invocations.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FirstMessage {
    connection_id: String,
    /// The message as it is to be sent.
    message: String,
    after: After,
}

/// What follows it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
enum After {
    /// It was a refusal: the connection is closed.
    Close,
    /// It let a member in.
    Stay {
        session_id: String,
        /// The language of a listener that was counted anew, which may be news to the speaker.
        target_language: Option<String>,
        /// The state it was decided on, by the moment of its last change.
        state_change: u64,
        /// What the listeners of the session are told then.
        notices: Vec<String>,
    },
}

/// Carries orders to the function itself.
pub(crate) struct Courier {
    pub(crate) aws: Arc<Aws>,
    /// Where Lambda is.
    pub(crate) endpoint: String,
    /// The function's own name.
    pub(crate) function: String,
}

impl Courier {
    /// Hands an order over; whether Lambda took it.
    pub(crate) async fn take(&self, order: &FirstMessage) -> bool {
        let name: String = form_urlencoded::byte_serialize(self.function.as_bytes()).collect();
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.endpoint);
        let headers = &[("content-type", "application/json"), ("x-amz-invocation-type", "Event")];
        let body = json!({ ORDER: order }).to_string().into_bytes();
        let (service, method, limit) = ("lambda", "POST", ALONE);
        let call = Call { service, method, url: &url, headers, body: &body, limit };
        let error = match self.aws.insist(call).await {
            Ok(200..=299) => return true,
            Ok(status) => format!("status {status}"),
            Err(error) => error,
        };
        tracing::error!(
            component = "connection",
            operation = "orderFirstMessage",
            correlationId = order.connection().as_ref().map(hashed),
            errorCode = "SERVICE_UNAVAILABLE",
            error,
            "a first message could not be ordered"
        );
        false
    }
}

impl FirstMessage {
    /// The order in an event, if it is one.
    pub(crate) fn read(event: &Value) -> Option<Self> {
        serde_json::from_value(event.get(ORDER)?.clone()).ok()
    }

    /// The reply to a connection that was let in, and what others hear after it.
    pub(crate) fn reply(
        context: &Context,
        reply: Reply,
        grant: Option<&Grant>,
        notices: &[Notice],
    ) -> Option<Self> {
        let now = context.clock.now();
        let (session, connection, target) = match &reply {
            Reply::Created { session, connection, .. }
            | Reply::SpeakerRefreshed { session, connection, .. } => (session, connection, None),
            Reply::Joined { session, connection, target, .. }
            | Reply::ListenerRefreshed { session, connection, target, .. } => {
                (session, connection, Some(*target))
            }
            Reply::HeartbeatAck
            | Reply::State { .. }
            | Reply::LanguageChanged { .. }
            | Reply::Status(_) => return None,
        };
        let (Grant::Speak { state, .. } | Grant::Hear { state, .. }) = grant?;
        // Who took over a member's place is counted already.
        let is_moved = notices.iter().any(|notice| notice.tidings == Tidings::Superseded);
        let counted = target.filter(|_| !is_moved);
        let told =
            notices.iter().filter(|notice| matches!(notice.audience, Audience::Listeners(_)));
        let told = told.filter_map(|notice| ServerMessage::of_tidings(&notice.tidings, session));
        Some(Self {
            connection_id: connection.as_str().to_owned(),
            after: After::Stay {
                session_id: session.to_string(),
                target_language: counted.map(|target| target.to_string()),
                state_change: state.last_state_change.0,
                notices: told.map(|message| message.encode(now)).collect(),
            },
            message: ServerMessage::of_reply(reply, Resumed::default()).encode(now),
        })
    }

    /// The refusal of a connection that could not read a refused handshake.
    pub(crate) fn refusal(context: &Context, connection: &ConnectionId, refusal: &Refusal) -> Self {
        let message = ServerMessage::of_refusal(refusal, Some(hashed(connection)));
        Self {
            connection_id: connection.as_str().to_owned(),
            message: message.encode(context.clock.now()),
            after: After::Close,
        }
    }

    fn connection(&self) -> Option<ConnectionId> {
        ConnectionId::parse(&self.connection_id)
    }

    /// Delivers it, and does what follows.
    pub(crate) async fn deliver(self, context: &Context) {
        let Some(connection) = self.connection() else { return };
        let posted = post_once_open(context, &connection, &self.message).await;
        if posted != Posted::Delivered {
            tracing::warn!(
                component = "connection",
                operation = "postFirstMessage",
                correlationId = hashed(&connection),
                "a first message could not be delivered"
            );
        }
        match self.after {
            After::Close => context.connections.delete(&connection).await,
            After::Stay { session_id, target_language, state_change, notices } => {
                let Some(session) = SessionId::parse(&session_id) else { return };
                let outbox = &context.outbox;
                for notice in notices {
                    let now = context.clock.now();
                    outbox.tell_listeners(&session, &notice, now).await;
                }
                if posted == Posted::Delivered {
                    let newcomer = Newcomer {
                        connection,
                        session,
                        target: target_language.and_then(|target| Language::parse(&target)),
                        state_change,
                    };
                    newcomer.catch_up(context).await;
                } else {
                    lost(context, connection).await;
                }
                context.settle().await;
                context.learn_languages().await;
            }
        }
    }
}

/// Posts, and tries again while the connection is not open yet.
async fn post_once_open(context: &Context, connection: &ConnectionId, message: &str) -> Posted {
    for pause in PAUSES {
        match context.connections.post(connection, message).await {
            Posted::Gone => tokio::time::sleep(Duration::from_millis(pause)).await,
            posted => return posted,
        }
    }
    context.connections.post(connection, message).await
}

/// The connection never opened, or its first message could not be delivered: it is as good as
/// gone. What follows from that is for the rules; where they cannot be asked, the sweep asks them.
async fn lost(context: &Context, connection: ConnectionId) {
    let nowhere = SourceAddress::from_bytes([0; 16]);
    if context.depart(connection.clone(), nowhere, Departure::Lost).await {
        context.connections.delete(&connection).await;
    }
}

/// A member that has had its first message.
struct Newcomer {
    connection: ConnectionId,
    session: SessionId,
    target: Option<Language>,
    state_change: u64,
}

impl Newcomer {
    /// Looks at the session once more: what was told between the decision and the open connection
    /// has not reached the newcomer, and all that is told from here on will.
    async fn catch_up(self, context: &Context) {
        let wanted = Wanted {
            session: OfSession::Named(self.session.clone()),
            languages: self.target.is_some(),
            ..Wanted::default()
        };
        let seen = match context.app().store().load(&wanted).await {
            Ok(seen) => seen,
            Err(fault) => {
                tracing::error!(
                    component = "store",
                    operation = "load",
                    correlationId = %self.session,
                    error = chain(&fault),
                    "a newcomer may have missed something"
                );
                return;
            }
        };
        let Some(session) = &seen.session else { return self.tell_end(context).await };
        self.tell_state(context, session).await;
        self.tell_speaker(context, session, &seen).await;
    }

    /// The session has ended meanwhile. Whoever ended it may be telling it just now; if so, the
    /// connection is closed by then.
    async fn tell_end(&self, context: &Context) {
        tokio::time::sleep(TOLD_BY_THEN).await;
        let tidings = Tidings::Ended { reason: EndReason::SpeakerEnded, message: None };
        let Some(message) = ServerMessage::of_tidings(&tidings, &self.session) else { return };
        let message = message.encode(context.clock.now());
        if context.connections.post(&self.connection, &message).await == Posted::Delivered {
            context.connections.delete(&self.connection).await;
        }
    }

    async fn tell_state(&self, context: &Context, session: &Session) {
        let state = session.broadcast_state();
        if self.state_change < state.last_state_change.0 {
            let session = session.id.clone();
            let message =
                ServerMessage::of_reply(Reply::State { session, state }, Resumed::default());
            context.connections.post(&self.connection, &message.encode(context.clock.now())).await;
        }
    }

    async fn tell_speaker(&self, context: &Context, session: &Session, seen: &Seen) {
        if let Some(target) = self.target {
            status::after_join(context, session, &seen.languages, target).await;
        }
    }
}
