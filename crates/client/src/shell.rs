//! The tokio shell: runs a machine, and does what it says.

use std::collections::HashMap;
use std::sync::Arc;

use ambo_core::Millis;
use ambo_wire::ConnectQuery;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Duration, Instant, sleep_until, timeout};

use crate::effect::Effect;
use crate::event::{Closed, Event};
use crate::events::{Events, Queue};
use crate::input::{Command, Failure, Input, SocketId};
use crate::machine::{Machine, Role};
use crate::server::Server;
use crate::socket::{Outgoing, Socket};
use crate::timing::Timing;
use crate::tokens::Tokens;

/// Commands that wait for the machine. A program that is faster waits in turn.
const COMMANDS: usize = 64;
/// Reports that wait for the machine. A socket that is faster waits, and so its server.
const INPUTS: usize = 256;
/// Time for the last close frames to leave. A line that takes none is left to itself.
const FAREWELL: Duration = Duration::from_secs(5);
/// Messages that wait to be written. The machine hands out fewer frames at once than that.
const OUTGOING: usize = 256;

/// Starts a client, and waits until it is a member of its session.
pub(crate) async fn start(
    server: &Server,
    tokens: Option<Tokens>,
    role: Role,
    timing: Timing,
) -> Result<(mpsc::Sender<Command>, String, Events), Closed> {
    let (events, queue) = Events::new();
    let (commands, commanded) = mpsc::channel(COMMANDS);
    let (inputs, reported) = mpsc::channel(INPUTS);
    let (begun, beginning) = oneshot::channel();
    let shell = Shell {
        machine: Machine::new(role, timing),
        server: server.clone(),
        tokens,
        queue,
        inputs,
        lines: HashMap::new(),
        sockets: JoinSet::new(),
        begun: Some(begun),
        epoch: Instant::now(),
        entropy: entropy(),
    };
    tokio::spawn(shell.run(commanded, reported));
    let gone = Closed::Failed(Failure::Unreachable("the client was stopped".into()));
    let session = beginning.await.unwrap_or(Err(gone))?;
    Ok((commands, session, events))
}

#[derive(Debug)]
struct Shell {
    machine: Machine,
    server: Server,
    tokens: Option<Tokens>,
    queue: Arc<Queue>,
    inputs: mpsc::Sender<Input>,
    lines: HashMap<SocketId, Line>,
    sockets: JoinSet<()>,
    /// Told once: the session's id, or why there is none.
    begun: Option<oneshot::Sender<Result<String, Closed>>>,
    epoch: Instant,
    /// Drawn once and counted on: the machine's dice make every number of it a random one.
    entropy: u64,
}

/// The way to a socket's task.
#[derive(Debug)]
struct Line {
    outgoing: mpsc::Sender<Outgoing>,
    task: AbortHandle,
}

impl Shell {
    async fn run(
        mut self,
        mut commanded: mpsc::Receiver<Command>,
        mut reported: mpsc::Receiver<Input>,
    ) {
        let mut closed = self.take(Input::Start);
        let mut is_held = true;
        while closed.is_none() {
            let deadline = self.machine.deadline().map(|at| self.instant(at));
            let input = tokio::select! {
                Some(input) = reported.recv() => input,
                command = commanded.recv(), if is_held => match command {
                    Some(command) => Input::Command(command),
                    // Nobody holds the client any more.
                    None => {
                        is_held = false;
                        Input::Command(Command::End { reason: None })
                    }
                },
                () = sleep_until(deadline.unwrap_or(self.epoch)), if deadline.is_some() => {
                    Input::Tick
                }
            };
            closed = self.take(input);
            while self.sockets.try_join_next().is_some() {}
        }
        // Close frames still have to leave; reports interest nobody any more.
        drop(reported);
        self.lines.clear();
        let farewell = async { while self.sockets.join_next().await.is_some() {} };
        let _ = timeout(FAREWELL, farewell).await;
        if let Some(event) = closed {
            self.queue.push(event);
        }
    }

    /// Hands an input to the machine and does what it says; tells the last event.
    fn take(&mut self, input: Input) -> Option<Event> {
        let now = Millis(u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX));
        self.entropy = self.entropy.wrapping_add(1);
        let effects = self.machine.handle(input, now, self.entropy);
        let mut last = None;
        for effect in effects {
            match effect {
                Effect::Open { socket, query } => self.open(socket, query),
                Effect::Text { socket, text } => self.write(socket, Outgoing::Text(text)),
                Effect::Audio { socket, message } => self.write(socket, Outgoing::Audio(message)),
                Effect::Ping { socket } => self.write(socket, Outgoing::Ping),
                Effect::Close { socket, code } => {
                    self.write(socket, Outgoing::Close(code));
                    self.lines.remove(&socket);
                }
                Effect::Abort { socket } => {
                    if let Some(line) = self.lines.remove(&socket) {
                        line.task.abort();
                    }
                }
                Effect::Deliver(event) => last = self.deliver(event).or(last),
            }
        }
        last
    }

    fn open(&mut self, id: SocketId, query: ConnectQuery) {
        let (outgoing, waiting) = mpsc::channel(OUTGOING);
        let (server, tokens) = (self.server.clone(), self.tokens.clone());
        let socket = Socket { id, server, tokens, inputs: self.inputs.clone() };
        let task = self.sockets.spawn(socket.run(query, waiting));
        self.lines.insert(id, Line { outgoing, task });
    }

    fn write(&mut self, socket: SocketId, message: Outgoing) {
        let Some(line) = self.lines.get(&socket) else { return };
        // A socket whose task has ended reports that itself. One that does not drain is as good
        // as dead, and the server's silence will tell.
        if line.outgoing.try_send(message).is_err() {
            tracing::debug!(socket = socket.0, "a message could not be written");
        }
    }

    /// Passes an event on, but for the last one, which waits for the sockets.
    fn deliver(&mut self, event: Event) -> Option<Event> {
        let beginning = match &event {
            Event::SessionCreated { session_id, .. }
            | Event::SessionTaken { session_id, .. }
            | Event::SessionJoined { session_id, .. } => Some(Ok(session_id.clone())),
            Event::Closed(closed) => Some(Err(closed.clone())),
            _ => None,
        };
        if let (Some(beginning), true) = (beginning, self.begun.is_some())
            && let Some(begun) = self.begun.take()
        {
            let _ = begun.send(beginning);
        }
        if matches!(event, Event::Closed(_)) {
            return Some(event);
        }
        self.queue.push(event);
        None
    }

    fn instant(&self, at: Millis) -> Instant {
        // Far enough for every deadline the machine can have.
        self.epoch.checked_add(Duration::from_millis(at.0)).unwrap_or(self.epoch)
    }
}

fn entropy() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness clients may come back together; that is all.
    let _ = getrandom::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}
