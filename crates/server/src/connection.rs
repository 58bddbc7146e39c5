//! One open connection: what is read from it, and what that leads to.

use std::cell::RefCell;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use ambo_core::event::Departure;
use ambo_core::{
    Bucket, ConnectionId, Grant, Millis, Notice, Rate, Refusal, Reply, Role, SessionId,
    SourceAddress,
};
use ambo_hub::{Framing, Outlet, Resume, Socket, Voice};
use ambo_wire::websocket::{self, Decoder, Message, close_code};
use ambo_wire::{Incoming, Resumed, ServerMessage};
use bytes::Bytes;

use crate::departure::{departure, tell_departure};
use crate::live::Live;
use crate::node::{Admission, Node};
use crate::outbox::session_close;
use crate::places::Place;

mod audio;
mod event;

/// A connection that the rules have let in, before its socket is open.
pub(crate) struct Admitted {
    pub(crate) node: Arc<Node>,
    pub(crate) id: ConnectionId,
    pub(crate) source: SourceAddress,
    pub(crate) framing: Framing,
    pub(crate) role: Role,
    pub(crate) session: SessionId,
    pub(crate) reply: Reply,
    pub(crate) grant: Option<Grant>,
    pub(crate) admission: Admission,
    pub(crate) notices: Vec<Notice>,
    pub(crate) place: Place,
    pub(crate) coming: Arc<()>,
}

/// The reading side of an open connection. Kept small: there is one for every listener.
struct Connection {
    node: Arc<Node>,
    live: Arc<Live>,
    framing: Framing,
    decoder: Decoder,
    voice: Option<Voice>,
    audio: Bucket,
    /// Since when it has sent audio beyond its limit without a pause.
    excess_since: Option<Millis>,
    /// How much patience is left with messages beyond their limit.
    patience: Bucket,
    departure: Departure,
    has_said_goodbye: bool,
    _place: Place,
}

/// Messages beyond their limit that are answered before the connection is closed.
const PATIENCE: Rate = Rate::new(300, Millis::from_secs(30));

/// Bytes read at once. On the thread, not on the connection.
const SCRATCH: usize = 16 * 1024;

thread_local! {
    static READ: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

impl Admitted {
    /// Takes the connection up, and leaves it to a task of its own, which is as small as a silent
    /// listener's should be.
    pub(crate) async fn serve(self, socket: Socket, read_ahead: Bytes) {
        let node = Arc::clone(&self.node);
        let (connection, notices) = self.settle(socket);
        node.app.notify(&notices, node.clock.now()).await;
        tokio::spawn(connection.live_out(read_ahead));
    }

    /// The socket never opened: what was decided is told, and then the member is lost.
    pub(crate) async fn abandon(self) {
        self.node.app.notify(&self.notices, self.node.clock.now()).await;
        let arrival = departure(&self.node, &self.id, self.source, Departure::Lost);
        tell_departure(&self.node, arrival).await;
    }

    /// Enters the connection and writes its first message, and after it all that follows.
    fn settle(self, socket: Socket) -> (Connection, Vec<Notice>) {
        let Self { node, id, source, framing, role, session, reply, grant, .. } = self;
        let now = node.clock.now();
        let live = Arc::new(Live {
            id,
            session,
            is_speaker: role == Role::Speaker,
            source,
            outlet: node.hub.outlet(socket),
            opened_at: now,
            heard_at: AtomicU64::new(now.0),
            pinged_at: AtomicU64::new(now.0),
            age_told: AtomicU8::new(0),
            retired_at: AtomicU64::new(0),
        });
        let mut connection = Connection {
            live: Arc::clone(&live),
            framing,
            decoder: Decoder::new(node.sizes.message),
            voice: None,
            audio: Bucket::default(),
            excess_since: None,
            patience: Bucket::default(),
            departure: Departure::Lost,
            has_said_goodbye: false,
            _place: self.place,
            node,
        };
        let is_told = matches!(self.admission, Admission::Ended(_));
        connection.greet(reply, grant, self.admission);
        match connection.node.lives.enter(live) {
            Some(message) if !is_told => connection.tell_end(message),
            Some(_) | None => {}
        }
        drop(self.coming);
        (connection, self.notices)
    }
}

impl Connection {
    /// Writes the reply and seats the grant, in one order with all that is told to the session.
    fn greet(&mut self, reply: Reply, grant: Option<Grant>, admission: Admission) {
        match (admission, grant) {
            (Admission::Floor(voice), _) => {
                let last_sequence = self.node.hub.last_sequence(&self.live.session);
                self.voice = Some(voice);
                self.reply(reply, Resumed { last_sequence, replayed: 0 });
            }
            (Admission::Seat, Some(Grant::Hear { session, target, after, .. })) => {
                let resume = after.map_or(Resume::Live, Resume::After);
                let outlet = &self.live.outlet;
                let greeting = |replayed| self.greeting(reply.clone(), replayed);
                let place = (target, self.framing);
                if self.node.hub.seat(outlet, &session, place, resume, greeting).is_err() {
                    let message = self.node.lives.ended(&session).unwrap_or_default();
                    self.greet_ended(reply, message);
                }
            }
            (Admission::Ended(message), _) => self.greet_ended(reply, message),
            (Admission::Seat | Admission::None, _) => self.reply(reply, Resumed::default()),
        }
    }

    /// A listener's first message: the state in it is that of this moment.
    fn greeting(&self, mut reply: Reply, replayed: usize) -> Bytes {
        if let Reply::Joined { session, state, .. } = &mut reply {
            *state = self.node.lives.latest_state(session, *state);
        }
        let resumed = Resumed { last_sequence: None, replayed: replayed as u32 };
        let message = ServerMessage::of_reply(reply, resumed);
        websocket::text(&message.encode(self.node.clock.now()))
    }

    /// The session ended between the decision and the open socket: both are told, in this order.
    fn greet_ended(&self, reply: Reply, message: Bytes) {
        self.reply(reply, Resumed::default());
        self.tell_end(message);
    }

    fn tell_end(&self, message: Bytes) {
        self.live.outlet.send(message);
        self.live.outlet.close(session_close());
    }

    fn reply(&self, reply: Reply, resumed: Resumed) {
        self.tell(ServerMessage::of_reply(reply, resumed));
    }

    fn tell(&self, message: ServerMessage) {
        self.live.outlet.send(websocket::text(&message.encode(self.node.clock.now())));
    }

    /// Reads until the socket ends, and tells the rules that it has.
    async fn live_out(mut self, read_ahead: Bytes) {
        self.read(read_ahead).await;
        Box::pin(self.leave()).await;
    }

    /// Reads until the socket ends.
    async fn read(&mut self, read_ahead: Bytes) {
        let mut messages = Vec::new();
        let mut flow = self.decode(&read_ahead, &mut messages);
        // It may be a slice of the handshake's whole buffer.
        drop(read_ahead);
        loop {
            for message in messages.drain(..) {
                if self.on_message(message).await.is_break() {
                    flow = ControlFlow::Break(());
                    break;
                }
            }
            if flow.is_break() {
                return self.drain().await;
            }
            // A client that never stops sending must not keep its thread to itself.
            tokio::task::coop::consume_budget().await;
            flow = match self.read_some(&mut messages) {
                Ok(flow) => flow,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // A burst's room is not kept by a connection that has fallen silent.
                    messages = Vec::new();
                    if self.live.outlet.socket().readable().await.is_err() {
                        return;
                    }
                    ControlFlow::Continue(())
                }
                Err(_) => return,
            };
        }
    }

    /// Takes what is there, through a buffer that all connections of this thread share.
    fn read_some(&mut self, messages: &mut Vec<Message>) -> io::Result<ControlFlow<()>> {
        READ.with_borrow_mut(|buffer| {
            let count = self.live.outlet.socket().try_read(buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.live.heard_at.store(self.node.clock.now().0, Ordering::Relaxed);
            Ok(self.decode(&buffer[..count], messages))
        })
    }

    fn decode(&mut self, mut input: &[u8], messages: &mut Vec<Message>) -> ControlFlow<()> {
        loop {
            match self.decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return ControlFlow::Continue(()),
                Err(violation) => {
                    self.live.outlet.close(websocket::close_for(violation));
                    return ControlFlow::Break(());
                }
            }
        }
    }

    /// Nothing more is wanted of this client: its bytes are thrown away until it is gone, or the
    /// outlet ends the socket.
    async fn drain(&mut self) {
        if self.has_said_goodbye && self.live.outlet.is_written() {
            return;
        }
        loop {
            let taken = READ.with_borrow_mut(|buffer| self.live.outlet.socket().try_read(buffer));
            match taken {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.live.outlet.socket().readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    async fn on_message(&mut self, message: Message) -> ControlFlow<()> {
        match message {
            Message::Ping(payload) => self.live.outlet.send(websocket::pong(&payload)),
            Message::Pong(_) => {}
            Message::Close(close) => {
                let code = close.map_or(close_code::NORMAL, |close| close.code);
                let is_goodbye = matches!(code, close_code::NORMAL | close_code::GOING_AWAY);
                // What answers a close of ours is no goodbye of the client's own.
                if is_goodbye && self.live.outlet.why().is_none() {
                    self.departure = Departure::Clean;
                }
                self.has_said_goodbye = true;
                self.live.outlet.close(websocket::close(code, ""));
                return ControlFlow::Break(());
            }
            Message::Binary(frame) => return self.on_frame(&frame),
            Message::Text(text) => match Incoming::parse(&text, &self.node.sizes) {
                Incoming::Audio(sent) => return self.on_sent_audio(sent),
                Incoming::Event { intent, token } => {
                    // Boxed, so that a silent listener's task does not hold room for it.
                    return Box::pin(self.on_event(intent, token)).await;
                }
            },
        }
        ControlFlow::Continue(())
    }

    /// The socket is gone, or soon will be: gives up the seat, and tells the rules. The connection
    /// is open, as far as others can see, until they know.
    async fn leave(self) {
        let Self { node, live, departure: how, voice, _place, .. } = self;
        if let Some(voice) = voice {
            voice.revoke();
        }
        live.outlet.abort();
        let has_moved_on = live.is_speaker && live.retired_at.load(Ordering::Relaxed) != 0;
        match &node.cluster {
            // An engine that went back behind the move would take this for the end of the talk.
            Some(cluster) if has_moved_on && cluster.is_behind().await => {}
            Some(_) | None => {
                let arrival = departure(&node, &live.id, live.source, how);
                tell_departure(&node, arrival).await;
            }
        }
        node.lives.leave(&live);
    }
}

/// Refuses on an open socket, for a client that cannot read a refused handshake.
pub(crate) async fn refuse_in_band(outlet: Arc<Outlet>, refusal: &Refusal, message: Bytes) {
    outlet.send(message);
    let code = match refusal.status() {
        429 | 503 => close_code::TRY_AGAIN_LATER,
        500 => close_code::INTERNAL_ERROR,
        _ => close_code::POLICY_VIOLATION,
    };
    outlet.close(websocket::close(code, refusal.code()));
    outlet.closed().await;
    outlet.abort();
}
