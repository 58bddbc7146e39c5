//! The servers that can be measured, each in a process of its own.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::publish::Round;
use crate::{floor, hub, server};

/// A server that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// One write(2) each.
    Floor,
    /// The hub and the codec behind an accept loop of a few lines.
    Hub,
    /// All of Ambo, as `ambo serve` runs it.
    Server,
}

/// How the hub is set, where not as it would be by itself.
#[derive(Args, Clone, Debug, Default)]
pub struct Tuning {
    /// The delivery tick in milliseconds; by the size of the audience if not given.
    #[arg(long)]
    pub tick: Option<u64>,
    /// Tasks that write, of the hub alone; one a core if not given.
    #[arg(long)]
    pub shards: Option<usize>,
    /// The engine of a cluster, of the whole server; the embedded store if not given.
    #[arg(long)]
    pub store: Option<String>,
    /// Where the whole server keeps its key; a folder of its own if not given.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
}

/// What a server's process is told in a line; it answers with microseconds of CPU time.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// All that it has used so far.
    TellCpu,
    /// Publish, and tell what that has used.
    Publish(Round),
}

impl Target {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Hub => "hub",
            Self::Server => "server",
        }
    }

    /// The arguments that start it in a process of its own.
    pub fn arguments(self, tuning: &Tuning) -> Vec<String> {
        let tick = tuning.tick.map(|millis| format!("--tick={millis}"));
        let shards = tuning.shards.map(|shards| format!("--shards={shards}"));
        let store = tuning.store.as_ref().map(|store| format!("--store={store}"));
        let folder = tuning.data_dir.as_ref().map(|dir| format!("--data-dir={}", dir.display()));
        let start = ["serve".to_owned(), self.name().to_owned()];
        let given = [tick, shards, store, folder].into_iter().flatten();
        start.into_iter().chain(given).collect()
    }

    /// Runs it in this process: prints where it is, then answers orders with their CPU time.
    pub fn serve(self, tuning: &Tuning) -> Result<()> {
        match self {
            Self::Floor => floor::serve(),
            Self::Hub => tokio::runtime::Runtime::new()?.block_on(hub::serve(tuning)),
            Self::Server => tokio::runtime::Runtime::new()?.block_on(server::serve(tuning)),
        }
    }
}

impl Order {
    /// The line that says it is time to tell.
    pub const TELL_CPU: &'static str = "cpu";

    /// What this process is told next; nothing when its parent is gone.
    pub fn next() -> Result<Option<Self>> {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim() {
            Self::TELL_CPU => Ok(Some(Self::TellCpu)),
            round => round.parse().map(Self::Publish).map(Some),
        }
    }
}
