//! A server that runs in a process of its own, and who speaks there.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::client::{Client, field};
use crate::process::Process;
use crate::publish::{Round, SETTLE, message};
use crate::target::{Order, Target, Tuning};

/// A running server.
pub struct Running {
    process: Process,
    target: Target,
    port: u16,
    speaker: Option<Speaker>,
}

/// The speaker of the whole server's session, over its socket.
struct Speaker {
    client: Client,
    session: String,
    sequence: u32,
}

impl Running {
    /// Starts a server, and a session where it has some.
    pub fn start(target: Target, tuning: &Tuning) -> Result<Self> {
        let arguments = target.arguments(tuning);
        let mut process = match target {
            Target::Floor | Target::Hub => Process::start(&arguments)?,
            Target::Server => Process::start_unread(&arguments)?,
        };
        let told = process.hear()?;
        let (port, token) = told.split_once(' ').map_or((&*told, None), |(p, t)| (p, Some(t)));
        let port = port.parse()?;
        let speaker = token.map(|token| Speaker::open(port, token)).transpose()?;
        Ok(Self { process, target, port, speaker })
    }

    /// Where it answers.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The session, where it has some.
    pub fn session(&self) -> Option<&str> {
        self.speaker.as_ref().map(|speaker| &*speaker.session)
    }

    /// So many listeners of it, in a process of their own.
    pub fn listeners(&self, count: usize) -> Result<Process> {
        let (port, count) = (self.port.to_string(), count.to_string());
        let mut arguments = vec!["listen", self.target.name(), &port, &count];
        arguments.extend(self.session());
        let mut listeners = Process::start(&arguments)?;
        listeners.hear()?;
        Ok(listeners)
    }

    /// Publishes a round; gives the CPU time that took the server, in microseconds.
    pub fn publish(&mut self, round: Round) -> Result<f64> {
        let Some(speaker) = &mut self.speaker else {
            return Ok(self.process.ask(&round.to_string())?.parse()?);
        };
        let before: f64 = self.process.ask(Order::TELL_CPU)?.parse()?;
        speaker.publish(round)?;
        thread::sleep(SETTLE);
        Ok(self.cpu()? - before)
    }

    /// The CPU time it has used so far, in microseconds.
    pub fn cpu(&mut self) -> Result<f64> {
        Ok(self.process.ask(Order::TELL_CPU)?.parse()?)
    }

    /// The memory it has in use, in bytes.
    pub fn resident(&self) -> Result<u64> {
        self.process.resident()
    }
}

impl Speaker {
    fn open(port: u16, token: &str) -> Result<Self> {
        let query = format!("action=createSession&sourceLanguage=en&token={token}");
        let (client, created) = Client::open(port, &query)?;
        let session = field(&created, "sessionId").context(created)?;
        Ok(Self { client, session, sequence: 0 })
    }

    fn publish(&mut self, round: Round) -> Result<()> {
        for moment in round.moments() {
            thread::sleep(moment.saturating_duration_since(Instant::now()));
            for _ in 0..round.burst {
                self.sequence += 1;
                self.client.send_frame(&message(self.sequence, round.frame))?;
            }
        }
        Ok(())
    }
}
