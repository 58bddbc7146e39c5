//! `ambo-bench idle`: the memory of listeners that only listen.

use anyhow::Result;
use clap::Args;

use crate::process::Process;
use crate::target::{Target, Tuning};

/// Memory for each listener that only listens.
#[derive(Args)]
pub struct Idle {
    /// Listeners.
    #[arg(long, default_value_t = 10_000)]
    listeners: usize,
    /// Which server.
    #[arg(long, default_value = "hub")]
    target: Target,
    #[command(flatten)]
    tuning: Tuning,
}

impl Idle {
    /// Prints the resident memory of the server's process, beyond what it had without listeners.
    pub fn run(self) -> Result<()> {
        let mut server = Process::start(&self.target.arguments(&self.tuning))?;
        let port = server.hear()?;
        // A few listeners first, so that what is allocated once is there.
        let mut few = Process::start(&["listen", self.target.name(), &port, "50"])?;
        few.hear()?;
        let before = server.resident()?;
        let count = self.listeners.to_string();
        let mut many = Process::start(&["listen", self.target.name(), &port, &count])?;
        many.hear()?;
        let after = server.resident()?;
        let bytes = after.saturating_sub(before) / self.listeners as u64;
        println!("{} listeners: {bytes} bytes each ({before} -> {after})", self.listeners);
        Ok(())
    }
}
