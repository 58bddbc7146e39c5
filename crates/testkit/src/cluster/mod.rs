//! A cluster of real processes: an engine, nodes, a balancer before them, a speaker and an
//! audience behind it. Everything that can happen to a process or to a line can be made to happen.
//!
//! Speaker and audience are the library clients, which come back by themselves; each listener's
//! [`Record`] holds every promise that is about audio as it is heard.

mod audience;
mod balancer;
mod node;
mod page;
mod process;
mod record;
mod talk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ambo_client::{Server, Tokens};
use ambo_core::Millis;
use ambo_identity::LocalIssuer;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::redis::RedisServer;

pub use audience::{Audience, Ear};
pub use balancer::{Balancer, Way};
pub use nix::sys::signal::Signal;
pub use node::Node;
pub use page::{Page, get};
pub use record::Record;
pub use talk::{Said, Talk};

/// What a cluster is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The `ambo` binary.
    pub program: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// How they reach the engine.
    pub line: Line,
    /// What the engine knows after it was killed.
    pub memory: Memory,
    /// Settings, by the names of their variables, beside those of [`Node`].
    pub settings: Vec<(&'static str, String)>,
}

/// How nodes reach the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// As they are.
    Direct,
    /// Each over a relay of its own, which can be cut.
    Relayed,
}

/// What an engine knows after it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing.
    Short,
    /// All that it was told.
    Durable,
}

/// Engine, nodes and balancer. All end with it.
pub struct Cluster {
    /// What the nodes share.
    pub engine: RedisServer,
    /// The nodes, in the order of the balancer's backends.
    pub nodes: Vec<Node>,
    /// What the clients know.
    pub balancer: Balancer,
    /// Each node's way to the engine, if relayed.
    pub lines: Vec<Balancer>,
    folder: TempDir,
}

/// How long a process may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);

impl Plan {
    /// Three nodes of this program, next to their engine.
    pub fn new(program: &str) -> Self {
        let (line, memory) = (Line::Direct, Memory::Short);
        Self { program: program.into(), nodes: 3, line, memory, settings: Vec::new() }
    }

    /// The same with another setting.
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((variable, value.into()));
        self
    }

    /// The same with lines to the engine that can be cut.
    pub fn relayed(self) -> Self {
        Self { line: Line::Relayed, ..self }
    }

    /// The same with an engine that writes down each change before it answers.
    pub fn durable(self) -> Self {
        Self { memory: Memory::Durable, ..self }
    }
}

impl Cluster {
    /// Starts everything, and waits until all nodes are ready.
    pub async fn start(plan: Plan) -> Self {
        raise_limits();
        let folder = TempDir::new().unwrap();
        let engine = match plan.memory {
            Memory::Short => RedisServer::start().await,
            Memory::Durable => RedisServer::start_durable().await,
        };
        let engine_address = ([127, 0, 0, 1], engine.port()).into();
        let mut lines = Vec::new();
        let mut nodes = Vec::new();
        for n in 0..plan.nodes {
            let address = match plan.line {
                Line::Direct => engine_address,
                Line::Relayed => {
                    lines.push(Balancer::relay(engine_address).await);
                    lines[n].address()
                }
            };
            nodes.push(Node::new(&format!("node{n}"), &plan, folder.path(), address));
        }
        nodes.iter_mut().for_each(Node::start);
        let addresses: Vec<_> = nodes.iter().map(Node::address).collect();
        let balancer = Balancer::between(&addresses).await;
        let cluster = Self { engine, nodes, balancer, lines, folder };
        for n in 0..plan.nodes {
            cluster.ready(n).await;
        }
        cluster
    }

    /// Waits until a node is ready in the balancer's eyes.
    pub async fn ready(&self, n: usize) {
        let name = format!("{} is ready", self.nodes[n].name());
        until(&name, START, || self.balancer.is_ready(n)).await;
    }

    /// Where clients connect.
    pub fn server(&self) -> Server {
        self.server_at(self.balancer.address())
    }

    /// One node, past the balancer.
    pub fn server_of(&self, n: usize) -> Server {
        self.server_at(self.nodes[n].address())
    }

    /// Any address where clients may connect.
    pub fn server_at(&self, address: SocketAddr) -> Server {
        Server::parse(&format!("ws://{address}/ws")).unwrap()
    }

    /// Tokens of a speaker.
    pub fn tokens(&self) -> Tokens {
        let issuer = LocalIssuer::open(&Node::data_dir(self.folder.path())).unwrap();
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let (now, hour) = (Millis(since.as_millis() as u64), Millis::from_mins(60));
        Tokens::fixed(String::from(issuer.issue("ann", hour, now).unwrap().0))
    }

    /// Waits until so many connections are open at the nodes that run.
    pub async fn holds(&self, connections: usize, within: Duration) {
        let start = Instant::now();
        loop {
            let mut sum = 0.0;
            for node in self.nodes.iter().filter(|node| node.is_running()) {
                sum += node.page().await.map_or(0.0, |page| page.value("connections"));
            }
            if sum as usize == connections {
                return;
            }
            assert!(start.elapsed() < within, "{sum} connections, not {connections}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.nodes.iter().for_each(Node::show_log);
        }
    }
}

/// Waits until something holds; fails with `what` when it does not.
pub async fn until(what: &str, within: Duration, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Lets this process, and those it starts, open as many files as the system allows.
fn raise_limits() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}
