//! `ambo-bench fanout`: the CPU time of a delivered frame, beside the floor's.

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::process::Process;
use crate::publish::Round;
use crate::running::Running;
use crate::table::{Row, median, print};
use crate::target::{Target, Tuning};

/// CPU time for each delivered frame, in rounds that alternate with the floor's.
#[derive(Args)]
pub struct Fanout {
    /// Listeners of each server.
    #[arg(long, default_value_t = 1_000)]
    pub listeners: usize,
    /// Bytes of audio in a frame.
    #[arg(long, default_value_t = 160)]
    pub frame: usize,
    /// Frames a second.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// Frames published at once.
    #[arg(long, default_value_t = 1)]
    pub burst: u32,
    /// Length of one round.
    #[arg(long, default_value_t = 4)]
    pub seconds: u32,
    /// Rounds of each server.
    #[arg(long, default_value_t = 7)]
    pub rounds: usize,
    /// What stands beside the floor.
    #[arg(long, default_value = "server")]
    pub target: Target,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// A server, and the listeners it has.
struct Pair {
    server: Running,
    listeners: Process,
}

/// What one round has shown.
struct Shown {
    micros_per_frame: f64,
    p50: f64,
    p99: f64,
}

/// The rounds of the floor and of the target.
pub struct Compared([Vec<Shown>; 2]);

/// The most a frame may cost, in frames of the floor.
const BAR: f64 = 1.15;
/// The same for five that wait together.
const BURST_BAR: f64 = 0.4;

impl Fanout {
    /// Runs all rounds and prints the medians.
    pub fn run(self) -> Result<()> {
        print(&[self.measure()?.row(&self)]);
        Ok(())
    }

    /// Runs all rounds.
    pub fn measure(&self) -> Result<Compared> {
        let mut pairs = [Target::Floor, self.target]
            .into_iter()
            .map(|target| Pair::start(target, self))
            .collect::<Result<Vec<_>>>()?;
        let mut results = [Vec::new(), Vec::new()];
        for n in 0..=self.rounds {
            for (pair, results) in pairs.iter_mut().zip(&mut results) {
                let result = pair.run(self)?;
                // The first round warms up.
                if n > 0 {
                    results.push(result);
                }
            }
        }
        Ok(Compared(results))
    }

    fn round(&self) -> Round {
        let Self { frame, rate, burst, seconds, .. } = *self;
        Round { frame, rate, burst, seconds }
    }
}

impl Compared {
    /// The medians.
    pub fn row(&self, of: &Fanout) -> Row {
        let Self([floor, target]) = self;
        let ratio =
            |(target, floor): (&Shown, &Shown)| target.micros_per_frame / floor.micros_per_frame;
        let ratios = || target.iter().zip(floor).map(ratio);
        let (middle, least) = (median(ratios()), ratios().fold(f64::INFINITY, f64::min));
        let most = ratios().fold(0.0, f64::max);
        let words = [target, floor].map(|results| {
            let cpu = median(results.iter().map(|result| result.micros_per_frame));
            let p50 = median(results.iter().map(|result| result.p50)) / 1_000.0;
            let p99 = median(results.iter().map(|result| result.p99)) / 1_000.0;
            format!("{cpu:.2} us, p50 {p50:.0} ms, p99 {p99:.0} ms")
        });
        let [target, floor] = words;
        let figure = format!(
            "{middle:.2} ({least:.2} to {most:.2}); {}: {target}; floor: {floor}",
            of.target.name()
        );
        let burst = if of.burst > 1 { format!(" by {}", of.burst) } else { String::new() };
        let what = format!(
            "CPU of a frame / the floor's, {} listeners x {}/s{burst}, {} bytes",
            of.listeners, of.rate, of.frame
        );
        match of.burst {
            1 => Row::at_most(&what, figure, middle, BAR, ""),
            5 => Row::at_most(&what, figure, middle, BURST_BAR, ""),
            _ => Row::free(&what, figure),
        }
    }
}

impl Pair {
    fn start(target: Target, of: &Fanout) -> Result<Self> {
        let server = Running::start(target, &of.tuning)?;
        let listeners = server.listeners(of.listeners)?;
        Ok(Self { server, listeners })
    }

    fn run(&mut self, of: &Fanout) -> Result<Shown> {
        let round = of.round();
        self.listeners.say(&round.to_string())?;
        let cpu = self.server.publish(round)?;
        let heard = self.listeners.hear()?;
        let heard: Vec<f64> = heard.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [frames, p50, p99] = heard[..] else { bail!("no answer of the load") };
        let all = (of.listeners * round.frames() as usize) as f64;
        ensure!(frames == all, "{frames} frames arrived of {all}");
        Ok(Shown { micros_per_frame: cpu / frames, p50, p99 })
    }
}
