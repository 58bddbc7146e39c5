//! `ambo-bench idle`: the memory of listeners that only listen.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::running::Running;
use crate::table::{Row, print};
use crate::target::{Target, Tuning};

/// Memory for each listener that only listens.
#[derive(Args)]
pub struct Idle {
    /// Listeners.
    #[arg(long, default_value_t = 10_000)]
    pub listeners: usize,
    /// Which server.
    #[arg(long, default_value = "server")]
    pub target: Target,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// The most a listener may take, in bytes.
const BAR: f64 = 4096.0;
/// In which what a join leaves behind for a moment is gone.
const REST: Duration = Duration::from_secs(2);

impl Idle {
    /// Prints the figure.
    pub fn run(self) -> Result<()> {
        print(&[self.measure()?]);
        Ok(())
    }

    /// The resident memory of the server's process, beyond what it had without listeners.
    pub fn measure(&self) -> Result<Row> {
        let server = Running::start(self.target, &self.tuning)?;
        // A few listeners first, so that what is allocated once is there.
        let _few = server.listeners(50)?;
        let before = server.resident()?;
        let _many = server.listeners(self.listeners)?;
        thread::sleep(REST);
        let after = server.resident()?;
        let bytes = after.saturating_sub(before) / self.listeners as u64;
        let what = format!("memory of an idle listener, {} of them", self.listeners);
        let (from, to) = (before >> 10, after >> 10);
        let figure = format!("{bytes} bytes (the process: {from} -> {to} KiB)");
        Ok(Row::at_most(&what, figure, bytes as f64, BAR, " bytes"))
    }
}
