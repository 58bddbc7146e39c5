//! `ambo-bench latency`: how long an answer takes while audio flows to everybody.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use hdrhistogram::Histogram;

use crate::client::Client;
use crate::process::Process;
use crate::publish::Round;
use crate::running::Running;
use crate::table::{Row, print};
use crate::target::{Target, Tuning};

/// How long a heartbeat and a join take, while listeners receive audio.
#[derive(Args)]
pub struct Latency {
    /// Listeners that receive it.
    #[arg(long, default_value_t = 1_000)]
    pub listeners: usize,
    /// Frames a second.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// How long.
    #[arg(long, default_value_t = 20)]
    pub seconds: u32,
    #[command(flatten)]
    pub tuning: Tuning,
}

/// Who asks, in a process of its own.
#[derive(Args)]
pub struct Probe {
    port: u16,
    session: String,
    /// The port of the echo.
    echo: u16,
}

/// Milliseconds.
struct Delays {
    p50: f64,
    p99: f64,
    count: u64,
}

/// Listeners that beat, one after the other.
const BEATING: usize = 20;
/// Between one heartbeat and the next, and between one echo and the next.
const BEAT_EVERY: Duration = Duration::from_millis(10);
/// Between one join and the next.
const JOIN_EVERY: Duration = Duration::from_millis(25);
/// The most a heartbeat's answer may take, in milliseconds.
const BEAT_BAR: f64 = 5.0;
/// The most a join may take, in milliseconds.
const JOIN_BAR: f64 = 50.0;
/// Bytes of a frame, and of an echo.
const FRAME: usize = 160;

impl Latency {
    /// Prints the figures.
    pub fn run(self) -> Result<()> {
        print(&self.measure()?);
        Ok(())
    }

    /// The same questions without audio, and while it flows; and beside both a bare echo.
    pub fn measure(&self) -> Result<Vec<Row>> {
        let mut server = Running::start(Target::Server, &self.tuning)?;
        let mut listeners = server.listeners(self.listeners)?;
        let mut echo = Process::start(&["echo"])?;
        let session = server.session().context("no session")?;
        let (port, echo_port) = (server.port().to_string(), echo.hear()?);
        let mut probe = Process::start(&["probe", &port, session, &echo_port])?;
        let quiet = Delays::all(&probe.ask("5")?)?;
        let round = Round { frame: FRAME, rate: self.rate, burst: 1, seconds: self.seconds };
        listeners.say(&round.to_string())?;
        // The probe is done before the audio is.
        probe.say(&self.seconds.saturating_sub(1).max(1).to_string())?;
        server.publish(round)?;
        let loud = Delays::all(&probe.hear()?)?;
        let heard = listeners.hear()?;
        let frames: u64 = heard.split(' ').next().unwrap_or_default().parse()?;
        let all = self.listeners as u64 * u64::from(round.frames());
        ensure!(frames == all, "{frames} frames arrived of {all}");
        Ok(self.rows(&quiet, &loud))
    }

    fn rows(&self, quiet: &[Delays; 3], loud: &[Delays; 3]) -> Vec<Row> {
        let of = |what: &str| format!("{what}, {} listeners x {}/s", self.listeners, self.rate);
        let row = |n: usize, what: &str, bar: f64| {
            let figure = loud[n].words(&quiet[n]);
            Row::at_most(&of(what), figure, loud[n].p99, bar, " ms")
        };
        vec![
            row(0, "p99 of heartbeatAck", BEAT_BAR),
            row(1, "p99 of sessionJoined", JOIN_BAR),
            Row::free(&of("p99 of a bare echo beside them"), loud[2].words(&quiet[2])),
        ]
    }
}

impl Delays {
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |share| histogram.value_at_quantile(share) as f64 / 1_000.0;
        Self { p50: at(0.5), p99: at(0.99), count: histogram.len() }
    }

    /// Three of them, as a probe tells them.
    fn all(line: &str) -> Result<[Self; 3]> {
        let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let of = |n: &[f64]| Self { p50: n[0], p99: n[1], count: n[2] as u64 };
        let delays: Vec<_> = numbers.chunks_exact(3).map(of).collect();
        delays.try_into().map_err(|_| anyhow!("not what a probe says: {line}"))
    }

    fn words(&self, quiet: &Self) -> String {
        let Self { p50, p99, count } = self;
        let (q50, q99) = (quiet.p50, quiet.p99);
        format!(
            "{p99:.2} ms, p50 {p50:.2} ms, of {count} (without audio {q99:.2} ms, p50 {q50:.2} ms)"
        )
    }
}

impl Probe {
    /// Asks for as many seconds as each line says, and answers it with the delays.
    pub fn run(self) -> Result<()> {
        let beating = (0..BEATING).map(|_| Client::join(self.port, &self.session));
        let mut beating: Vec<_> = beating.collect::<Result<_>>()?;
        let mut echo = TcpStream::connect(("127.0.0.1", self.echo))?;
        echo.set_nodelay(true)?;
        for line in std::io::stdin().lines() {
            let span = Duration::from_secs(line?.trim().parse()?);
            let delays = self.ask(span, &mut beating, &mut echo)?;
            let words = delays.map(|Delays { p50, p99, count }| format!("{p50} {p99} {count}"));
            println!("{}", words.join(" "));
        }
        Ok(())
    }

    fn ask(
        &self,
        span: Duration,
        beating: &mut [Client],
        echo: &mut TcpStream,
    ) -> Result<[Delays; 3]> {
        let failed = |_| anyhow!("a thread of the probe panicked");
        thread::scope(|scope| {
            let beats = scope.spawn(|| {
                let mut turn = (0..beating.len()).cycle();
                timed(span, BEAT_EVERY, || beating[turn.next().unwrap_or_default()].beat())
            });
            let joins = scope.spawn(|| {
                timed(span, JOIN_EVERY, || Client::join(self.port, &self.session).map(drop))
            });
            let mut buffer = [0; FRAME];
            let echoes = timed(span, BEAT_EVERY, || {
                echo.write_all(&buffer)?;
                Ok(echo.read_exact(&mut buffer)?)
            });
            let beats = beats.join().map_err(failed)?;
            let joins = joins.join().map_err(failed)?;
            Ok([beats?, joins?, echoes?])
        })
    }
}

/// Asks again and again, each time at its moment, one question after the other.
fn timed(span: Duration, every: Duration, mut ask: impl FnMut() -> Result<()>) -> Result<Delays> {
    let mut delays = Histogram::<u64>::new_with_max(60_000_000, 3)?;
    let start = Instant::now();
    for n in 0..(span.as_micros() / every.as_micros()) as u32 {
        thread::sleep((start + every * n).saturating_duration_since(Instant::now()));
        let asked = Instant::now();
        ask()?;
        delays.saturating_record(asked.elapsed().as_micros() as u64);
    }
    Ok(Delays::of(&delays))
}

/// Gives back to one client what it sends: the delay that is the machine's own.
pub fn echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut buffer = [0; FRAME];
    while stream.read_exact(&mut buffer).is_ok() {
        stream.write_all(&buffer)?;
    }
    Ok(())
}
