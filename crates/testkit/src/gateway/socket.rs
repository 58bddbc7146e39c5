//! An open connection, until `$disconnect`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::event::{self, Caller};
use super::log::Happening;
use super::{Disconnects, INTEGRATION_TIMEOUT, Shared, moment, new_id};

/// A longer message is sent in several frames; a longer frame is not taken.
const MAX_FRAME_BYTES: usize = 32 * 1024;
pub(super) const MAX_MESSAGE_BYTES: usize = 128 * 1024;
/// How long a client may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(1);

/// An open connection, as `@connections` sees it.
pub(super) struct Live {
    pub(super) caller: Caller,
    commands: UnboundedSender<Command>,
    last_active: AtomicU64,
    disconnects: Disconnects,
}

pub(super) enum Command {
    Post(Bytes),
    Close,
}

impl Live {
    pub(super) fn new(
        caller: Caller,
        disconnects: Disconnects,
    ) -> (Self, UnboundedReceiver<Command>) {
        let (commands, to_do) = unbounded_channel();
        let last_active = AtomicU64::new(caller.connected_at);
        (Self { caller, commands, last_active, disconnects }, to_do)
    }

    /// Whether it is still there to take the command.
    pub(super) fn command(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// Milliseconds since the epoch.
    pub(super) fn last_active(&self) -> u64 {
        self.last_active.load(Ordering::Relaxed)
    }

    fn touch(&self) {
        self.last_active.store(moment::now(), Ordering::Relaxed);
    }
}

/// How a connection ended, in the words of `$disconnect`.
struct Ending {
    code: u16,
    reason: String,
}

impl Ending {
    fn new(code: u16, reason: &str) -> Self {
        Self { code, reason: reason.to_owned() }
    }

    fn of(frame: Option<CloseFrame>) -> Self {
        match frame {
            Some(frame) => Self::new(frame.code.into(), frame.reason.as_str()),
            None => Self::new(1005, "Client-side close frame status not set"),
        }
    }
}

type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

pub(super) async fn run(
    upgrade: OnUpgrade,
    live: Arc<Live>,
    commands: UnboundedReceiver<Command>,
    shared: Arc<Shared>,
) {
    let ending = match upgrade.await {
        Ok(upgraded) => {
            let config = WebSocketConfig::default()
                .max_frame_size(Some(MAX_FRAME_BYTES))
                .max_message_size(Some(MAX_MESSAGE_BYTES));
            let stream = TokioIo::new(upgraded);
            let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
            converse(socket, &live, commands, &shared).await
        }
        Err(_) => Ending::new(1006, ""),
    };
    let connection = live.caller.connection.clone();
    shared.connections.lock().remove(&connection);
    shared.log.add(Happening::Closed { connection, code: ending.code });
    let event = event::disconnect(&live.caller, ending.code, &ending.reason);
    match live.disconnects {
        Disconnects::Never | Disconnects::Early => {}
        Disconnects::Once => tell_disconnected(&shared, &event).await,
        Disconnects::Twice => {
            tokio::join!(tell_disconnected(&shared, &event), tell_disconnected(&shared, &event));
        }
        Disconnects::Late(span) => {
            tokio::time::sleep(span).await;
            tell_disconnected(&shared, &event).await;
        }
    }
}

/// Nobody hears of what goes wrong in it.
pub(super) async fn tell_disconnected(shared: &Shared, event: &Value) {
    let Some(function) = shared.plan.routes.get("$disconnect") else { return };
    if let Some(pool) = shared.function(function) {
        let _ = pool.invoke(event, INTEGRATION_TIMEOUT).await;
    }
}

async fn converse(
    mut socket: Socket,
    live: &Arc<Live>,
    mut commands: UnboundedReceiver<Command>,
    shared: &Arc<Shared>,
) -> Ending {
    let ages = shared.plan.ages;
    let end = Instant::now() + ages.maximum;
    loop {
        let silent_until = Instant::now() + ages.idle;
        let came = tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Post(data)) => {
                    live.touch();
                    if send(&mut socket, data).await.is_err() {
                        return Ending::new(1006, "");
                    }
                    continue;
                }
                Some(Command::Close) | None => {
                    return close(socket, Ending::new(1000, "Connection Closed Normally")).await;
                }
            },
            came = next(&mut socket) => came,
            () = sleep_until(silent_until.min(end)) => {
                return close(socket, Ending::new(1001, "Going away")).await;
            }
        };
        match came {
            Some(Ok(Message::Text(text))) => {
                live.touch();
                let (live, shared) = (live.clone(), shared.clone());
                tokio::spawn(async move { serve(text.as_str(), &live, &shared).await });
            }
            Some(Ok(Message::Close(frame))) => {
                // The answer to it leaves with the next reading.
                let _ = timeout(FAREWELL, socket.next()).await;
                return Ending::of(frame);
            }
            Some(Ok(_)) => return close(socket, Ending::new(1003, "Unsupported data")).await,
            Some(Err(Error::Capacity(_))) => {
                return close(socket, Ending::new(1009, "Message too big")).await;
            }
            Some(Err(_)) | None => return Ending::new(1006, ""),
        }
    }
}

/// The next that is not a ping or a pong: those never go further than this, and keep nothing open.
async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            came => return came,
        }
    }
}

async fn send(socket: &mut Socket, data: Bytes) -> Result<(), Error> {
    let parts = data.len().div_ceil(MAX_FRAME_BYTES).max(1);
    for part in 0..parts {
        let end = data.len().min((part + 1) * MAX_FRAME_BYTES);
        let piece = data.slice(part * MAX_FRAME_BYTES..end);
        let kind = if part == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(piece, OpCode::Data(kind), part + 1 == parts);
        socket.feed(Message::Frame(frame)).await?;
    }
    socket.flush().await
}

async fn close(mut socket: Socket, ending: Ending) -> Ending {
    let reason = ending.reason.as_str().into();
    let frame = CloseFrame { code: ending.code.into(), reason };
    let farewell = async {
        socket.close(Some(frame)).await?;
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, Error>(())
    };
    // A client that does not answer is not waited for.
    let _ = timeout(FAREWELL, farewell).await;
    ending
}

/// One message, to its function.
async fn serve(text: &str, live: &Live, shared: &Shared) {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let action = body["action"].as_str().filter(|action| !action.starts_with('$'));
    let routes = &shared.plan.routes;
    let own = action.and_then(|action| routes.get_key_value(action));
    let Some((route, function)) = own.or_else(|| routes.get_key_value("$default")) else {
        return complain("Forbidden", live);
    };
    let event = event::message(&live.caller, route, text);
    // What it returns goes nowhere: there are no route responses.
    let is_served = match shared.function(function) {
        Some(pool) => pool.invoke(&event, INTEGRATION_TIMEOUT).await.is_ok(),
        None => false,
    };
    if !is_served {
        complain("Internal server error", live);
    }
}

fn complain(message: &str, live: &Live) {
    let complaint = json!({
        "message": message,
        "connectionId": live.caller.connection,
        "requestId": new_id(),
    });
    live.command(Command::Post(complaint.to_string().into()));
}
