//! `ambo-bench all`: everything there is a bar for, in about five minutes.

use anyhow::Result;

use crate::fanout::Fanout;
use crate::idle::Idle;
use crate::joins::Joins;
use crate::latency::Latency;
use crate::store::Store;
use crate::table::{Row, print};
use crate::target::{Target, Tuning};

/// Measures the whole server, prints the table, and fails only where nothing could be measured.
pub fn run() -> Result<()> {
    let (target, tuning) = (Target::Server, Tuning::default());
    let mut rows = Vec::new();
    for (listeners, rate, burst) in [(1_000, 50, 1), (10_000, 5, 1), (1_000, 50, 5), (10_000, 5, 5)]
    {
        let fanout = Fanout {
            listeners,
            frame: 160,
            rate,
            burst,
            seconds: 4,
            rounds: 4,
            target,
            tuning: tuning.clone(),
        };
        tell(&mut rows, vec![fanout.measure()?.row(&fanout)]);
    }
    tell(&mut rows, vec![Idle { listeners: 10_000, target, tuning: tuning.clone() }.measure()?]);
    tell(
        &mut rows,
        Latency { listeners: 1_000, rate: 50, seconds: 20, tuning: tuning.clone() }.measure()?,
    );
    tell(
        &mut rows,
        Joins { listeners: 2_000, rounds: 5, target, tuning: tuning.clone() }.measure()?,
    );
    tell(&mut rows, Store { directory: None }.measure()?);
    println!();
    print(&rows);
    Ok(())
}

/// Shows that something has been done.
fn tell(rows: &mut Vec<Row>, new: Vec<Row>) {
    for row in &new {
        eprintln!("{}: {}", row.what, row.figure);
    }
    rows.extend(new);
}
