//! The load: many listeners in one thread, as cheap as reading can be.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::client::Client;
use crate::publish::{Round, captured, micros};
use crate::target::Target;

/// Listeners in their own process.
#[derive(Args)]
pub struct Listen {
    target: Target,
    port: u16,
    listeners: usize,
    /// The sessions they share, parted by commas, where the target has some.
    #[arg(value_delimiter = ',')]
    sessions: Vec<String>,
}

/// What one process of listeners has.
struct Crowd {
    sockets: Vec<TcpStream>,
    /// Bytes each has read in this round.
    read: Vec<usize>,
    epoll: Epoll,
    buffer: Vec<u8>,
}

/// How long a round's last frames may take after it was asked for.
const PATIENCE: Duration = Duration::from_secs(10);

impl Listen {
    /// Connects, then answers each round with the frames that came and their delays.
    pub fn run(self) -> Result<()> {
        let mut crowd = self.connect()?;
        println!("{}", crowd.sockets.len());
        while let Some(round) = crate::publish::next_round()? {
            println!("{}", crowd.listen(round)?);
        }
        Ok(())
    }

    fn connect(&self) -> Result<Crowd> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut sockets = Vec::with_capacity(self.listeners);
        for n in 0..self.listeners {
            let stream = self.enter(n).with_context(|| format!("listener {n}"))?;
            stream.set_nonblocking(true)?;
            epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, n as u64))?;
            sockets.push(stream);
        }
        let read = vec![0; self.listeners];
        Ok(Crowd { sockets, read, epoll, buffer: vec![0; 64 * 1024] })
    }

    /// A socket to which audio will come.
    fn enter(&self, n: usize) -> Result<TcpStream> {
        let session = n.checked_rem(self.sessions.len()).map(|turn| &self.sessions[turn]);
        match (self.target, session) {
            (Target::Floor, _) => Ok(TcpStream::connect(("127.0.0.1", self.port))?),
            (Target::Hub, _) => Client::open(self.port, "")?.0.into_stream(),
            (Target::Server, Some(session)) => Client::join(self.port, session)?.into_stream(),
            (Target::Server, None) => anyhow::bail!("which session?"),
        }
    }
}

impl Crowd {
    /// Reads until everyone has the whole round; gives frames, p50 and p99 in microseconds.
    fn listen(&mut self, round: Round) -> Result<String> {
        let length = Round::wire_length(round.frame);
        let wire_header = length - round.frame - 16;
        let all = self.sockets.len() * round.frames() as usize * length;
        let end = Instant::now() + Duration::from_secs(round.seconds.into()) + PATIENCE;
        let mut delays = Histogram::<u64>::new_with_max(60_000_000, 3)?;
        let mut events = vec![EpollEvent::empty(); 1_024];
        let mut total = 0;
        self.read.fill(0);
        while total < all && Instant::now() < end {
            let ready = self.epoll.wait(&mut events, EpollTimeout::from(500u16))?;
            for event in &events[..ready] {
                let n = event.data() as usize;
                let bytes = self.sockets[n].read(&mut self.buffer)?;
                ensure!(bytes > 0, "the server has closed listener {n}");
                let start = (length - self.read[n] % length) % length;
                let frame = self.buffer[..bytes].get(start..).unwrap_or_default();
                if let Some(captured) = captured(frame, wire_header) {
                    delays.saturating_record(micros().saturating_sub(captured));
                }
                self.read[n] += bytes;
                total += bytes;
            }
        }
        let (p50, p99) = (delays.value_at_quantile(0.5), delays.value_at_quantile(0.99));
        Ok(format!("{} {p50} {p99}", total / length))
    }
}
