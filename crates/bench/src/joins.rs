//! `ambo-bench joins`: what it costs the server that somebody comes, and goes.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::running::Running;
use crate::table::{Row, median, print};
use crate::target::{Target, Tuning};

/// CPU time for each listener that joins.
#[derive(Args)]
pub struct Joins {
    /// Listeners of one round.
    #[arg(long, default_value_t = 2_000)]
    pub listeners: usize,
    /// Rounds of each server.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// What stands beside a bare accept(2).
    #[arg(long, default_value = "server")]
    pub target: Target,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// CPU time in microseconds.
struct Spent {
    join: f64,
    leave: f64,
}

/// In which the last of them is done with.
const REST: Duration = Duration::from_millis(500);

impl Joins {
    /// Prints the figures.
    pub fn run(self) -> Result<()> {
        print(&self.measure()?);
        Ok(())
    }

    /// Joins and leaves, and the floor's beside them.
    pub fn measure(&self) -> Result<Vec<Row>> {
        let mut servers = [Target::Floor, self.target]
            .into_iter()
            .map(|target| Running::start(target, &self.tuning))
            .collect::<Result<Vec<_>>>()?;
        let mut spent = [Vec::new(), Vec::new()];
        for n in 0..=self.rounds {
            for (server, spent) in servers.iter_mut().zip(&mut spent) {
                let round = self.round(server)?;
                // The first round warms up.
                if n > 0 {
                    spent.push(round);
                }
            }
        }
        let [floor, target] = &spent;
        let bare = median(floor.iter().map(|round| round.join));
        let join = median(target.iter().map(|round| round.join));
        let leave = median(target.iter().map(|round| round.leave));
        let joins = format!(
            "{:.0} ({join:.0} us each; a bare accept: {bare:.0} us)",
            (1_000_000.0 / join).round()
        );
        Ok(vec![
            Row::free("joins in a CPU second", joins),
            Row::free("CPU of a leave", format!("{leave:.0} us")),
        ])
    }

    fn round(&self, server: &mut Running) -> Result<Spent> {
        let start = server.cpu()?;
        let listeners = server.listeners(self.listeners)?;
        let joined = server.cpu()?;
        drop(listeners);
        thread::sleep(REST);
        let left = server.cpu()?;
        let each = |micros: f64| micros / self.listeners as f64;
        Ok(Spent { join: each(joined - start), leave: each(left - joined) })
    }
}
