//! `ambo-bench fanout`: the CPU time of a delivered frame, beside the floor's.

use anyhow::{Context, Result};
use clap::Args;

use crate::process::Process;
use crate::publish::Round;
use crate::target::{Target, Tuning};

/// CPU time for each delivered frame, in rounds that alternate with the floor's.
#[derive(Args)]
pub struct Fanout {
    /// Listeners of each server.
    #[arg(long, default_value_t = 1_000)]
    listeners: usize,
    /// Bytes of audio in a frame.
    #[arg(long, default_value_t = 160)]
    frame: usize,
    /// Frames a second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Frames published at once.
    #[arg(long, default_value_t = 1)]
    burst: u32,
    /// Length of one round.
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Rounds of each server.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// What stands beside the floor.
    #[arg(long, default_value = "hub")]
    target: Target,
    #[command(flatten)]
    tuning: Tuning,
}

/// A server, and the listeners it has.
struct Pair {
    server: Process,
    listeners: Process,
}

/// What one round has shown.
struct Shown {
    micros_per_frame: f64,
    p50: f64,
    p99: f64,
}

impl Fanout {
    /// Runs all rounds and prints the medians.
    pub fn run(self) -> Result<()> {
        let Self { frame, rate, burst, seconds, .. } = self;
        let round = Round { frame, rate, burst, seconds };
        let mut pairs = [Target::Floor, self.target]
            .map(|target| Pair::start(target, &self.tuning, self.listeners));
        let mut results = [Vec::new(), Vec::new()];
        for n in 0..=self.rounds {
            for (pair, results) in pairs.iter_mut().zip(&mut results) {
                let pair = pair.as_mut().map_err(|error| anyhow::anyhow!("{error:#}"))?;
                let result = pair.run(round, self.listeners)?;
                // The first round warms up.
                if n > 0 {
                    results.push(result);
                }
            }
        }
        self.report(round, &results);
        Ok(())
    }

    fn report(&self, round: Round, [floor, target]: &[Vec<Shown>; 2]) {
        println!(
            "{} listeners, {} bytes, {}/s in bursts of {}, {} rounds of {} s",
            self.listeners, round.frame, round.rate, round.burst, self.rounds, round.seconds
        );
        for (name, results) in [("floor", floor), (self.target.name(), target)] {
            let cpu = median(results.iter().map(|result| result.micros_per_frame));
            let p50 = median(results.iter().map(|result| result.p50)) / 1_000.0;
            let p99 = median(results.iter().map(|result| result.p99)) / 1_000.0;
            println!("{name:>6}: {cpu:6.2} us/frame   p50 {p50:6.1} ms   p99 {p99:6.1} ms");
        }
        let ratio =
            |(target, floor): (&Shown, &Shown)| target.micros_per_frame / floor.micros_per_frame;
        let mut ratios: Vec<_> = target.iter().zip(floor).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let middle = median(ratios.iter().copied());
        println!(
            " ratio: {middle:6.2}   ({:.2} to {:.2})",
            ratios.first().copied().unwrap_or_default(),
            ratios.last().copied().unwrap_or_default()
        );
    }
}

impl Pair {
    fn start(target: Target, tuning: &Tuning, listeners: usize) -> Result<Self> {
        let mut server = Process::start(&target.arguments(tuning))?;
        let port = server.hear()?;
        let count = listeners.to_string();
        let mut listeners = Process::start(&["listen", target.name(), &port, &count])?;
        listeners.hear()?;
        Ok(Self { server, listeners })
    }

    fn run(&mut self, round: Round, listeners: usize) -> Result<Shown> {
        self.listeners.say(&round.to_string())?;
        let cpu: f64 = self.server.ask(&round.to_string())?.parse()?;
        let heard = self.listeners.hear()?;
        let heard: Vec<f64> = heard.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [frames, p50, p99] = heard[..] else { anyhow::bail!("no answer of the load") };
        let all = (listeners * round.frames() as usize) as f64;
        anyhow::ensure!(frames == all, "{frames} frames arrived of {all}");
        Ok(Shown { micros_per_frame: cpu / frames, p50, p99 })
    }
}

/// The middle one.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().context("no value").unwrap_or(f64::NAN)
}
