//! `ambo-bench cluster`: what it costs that listeners sit on other nodes than their speaker.
//!
//! The engine is a `redis-server` of its own without persistence; nodes, listeners and engine are
//! processes of one machine, so delays are those of a machine that does everything at once.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tempfile::TempDir;

use crate::client::{Client, field};
use crate::process::Process;
use crate::publish::{Round, SETTLE, message};
use crate::table::{Row, median, print};
use crate::target::{Order, Target, Tuning};

/// What a cluster's bus and engine cost.
#[derive(Args)]
pub struct Cluster {
    /// Sizes of the clusters that are measured, in nodes.
    #[arg(long, value_delimiter = ',', default_value = "1,3,6")]
    pub nodes: Vec<usize>,
    /// Sessions that are spoken in at the same time, all on the first node.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub sessions: Vec<usize>,
    /// Listeners of each session on each node.
    #[arg(long, default_value_t = 10)]
    pub listeners: usize,
    /// Frames a second of each session.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// Bytes of audio in a frame.
    #[arg(long, default_value_t = 160)]
    pub frame: usize,
    /// Seconds of a round.
    #[arg(long, default_value_t = 4)]
    pub seconds: u32,
    /// Rounds of each cluster, after one that warms up.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Listeners that join the first session of each cluster at the end, to measure that.
    #[arg(long, default_value_t = 2_000)]
    pub joins: usize,
}

/// A redis-server of this benchmark's own.
struct Engine {
    child: Child,
    port: u16,
    _folder: TempDir,
}

/// One node, and those who listen there.
struct Node {
    process: Process,
    port: u16,
    token: String,
    listeners: Option<Process>,
}

/// A running cluster, and what is spoken in it.
struct Running {
    engine: Engine,
    nodes: Vec<Node>,
    speakers: Vec<Client>,
    sessions: Vec<String>,
    sequence: u32,
    _folder: TempDir,
}

/// One round: microseconds of CPU time for each published frame, and delays in microseconds.
struct Spent {
    speakers_node: f64,
    other_node: Option<f64>,
    engine: f64,
    here: [f64; 2],
    there: Option<[f64; 2]>,
}

impl Cluster {
    /// Measures each cluster and prints the medians.
    pub fn run(self) -> Result<()> {
        let mut rows = Vec::new();
        for nodes in &self.nodes {
            for sessions in &self.sessions {
                rows.extend(self.measure(*nodes, *sessions)?);
            }
        }
        print(&rows);
        Ok(())
    }

    fn measure(&self, nodes: usize, sessions: usize) -> Result<Vec<Row>> {
        let mut running = Running::start(nodes, sessions, self.listeners)?;
        let mut spent = Vec::new();
        for n in 0..=self.rounds {
            let round = running.round(self.round())?;
            if n > 0 {
                spent.push(round);
            }
        }
        let name = format!("{nodes} nodes, {sessions} sessions x {} listeners", self.listeners);
        let of = |figure: fn(&Spent) -> f64| median(spent.iter().map(figure));
        let mut cpu = format!(
            "{:.0} us in the engine, {:.0} at the speaker's node",
            of(|s| s.engine),
            of(|s| s.speakers_node)
        );
        let mut delay = delay("at the speaker's node", spent.iter().map(|s| s.here));
        if nodes > 1 {
            let other = median(spent.iter().filter_map(|s| s.other_node));
            cpu.push_str(&format!(", {other:.0} at each other"));
            delay.push_str("; ");
            delay.push_str(&self::delay("at another", spent.iter().filter_map(|s| s.there)));
        }
        let joins = running.joins(self.joins)?;
        Ok(vec![
            Row::free(&format!("{name}: CPU of a frame"), cpu),
            Row::free(&format!("{name}: delay"), delay),
            Row::free(&format!("{name}: joins"), joins),
        ])
    }

    fn round(&self) -> Round {
        Round { frame: self.frame, rate: self.rate, burst: 1, seconds: self.seconds }
    }
}

/// The medians of p50 and p99 in milliseconds.
fn delay(place: &str, delays: impl Iterator<Item = [f64; 2]> + Clone) -> String {
    let [p50, p99] = [0, 1].map(|which| median(delays.clone().map(|d| d[which])) / 1_000.0);
    format!("p50 {p50:.1} ms, p99 {p99:.1} {place}")
}

impl Running {
    fn start(nodes: usize, sessions: usize, listeners: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let engine = Engine::start()?;
        let url = format!("redis://127.0.0.1:{}", engine.port);
        let tuning = Tuning {
            store: Some(url),
            data_dir: Some(folder.path().to_owned()),
            ..Tuning::default()
        };
        // One after the other: the first makes the key that all of them sign with.
        let nodes = (0..nodes).map(|_| Node::start(&tuning)).collect::<Result<Vec<_>>>()?;
        let (speakers, ids) = open_sessions(&nodes[0], sessions)?;
        let mut running =
            Self { engine, nodes, speakers, sessions: ids, sequence: 0, _folder: folder };
        for node in &mut running.nodes {
            node.listeners = Some(listen(node.port, listeners * sessions, &running.sessions)?);
        }
        Ok(running)
    }

    /// Speaks one round in every session, and asks everybody what it took.
    fn round(&mut self, round: Round) -> Result<Spent> {
        let sessions = self.sessions.len();
        for listeners in self.nodes.iter_mut().filter_map(|node| node.listeners.as_mut()) {
            listeners.say(&round.to_string())?;
        }
        let before = self.cpu()?;
        for moment in round.moments() {
            thread::sleep(moment.saturating_duration_since(Instant::now()));
            self.sequence += 1;
            for speaker in &mut self.speakers {
                speaker.send_frame(&message(self.sequence, round.frame))?;
            }
        }
        thread::sleep(SETTLE);
        let after = self.cpu()?;
        let heard = self.heard()?;
        let frames = f64::from(round.frames()) * sessions as f64;
        let each: Vec<f64> = after.iter().zip(&before).map(|(a, b)| (a - b) / frames).collect();
        let [engine, first, others @ ..] = &each[..] else { bail!("no nodes") };
        let delays = |[_, p50, p99]: &[f64; 3]| [*p50, *p99];
        Ok(Spent {
            speakers_node: *first,
            other_node: (!others.is_empty()).then(|| median(others.iter().copied())),
            engine: *engine,
            here: delays(&heard[0]),
            there: heard.get(1).map(delays),
        })
    }

    /// CPU time in microseconds so far: of the engine, and of each node.
    fn cpu(&mut self) -> Result<Vec<f64>> {
        let engine = self.engine.cpu();
        let nodes =
            self.nodes.iter_mut().map(|node| Ok(node.process.ask(Order::TELL_CPU)?.parse()?));
        std::iter::once(engine).chain(nodes).collect()
    }

    /// Frames, p50 and p99 of the listeners of each node; all of them must have heard the same.
    fn heard(&mut self) -> Result<Vec<[f64; 3]>> {
        let mut heard = Vec::new();
        for listeners in self.nodes.iter_mut().filter_map(|node| node.listeners.as_mut()) {
            let line = listeners.hear()?;
            let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<f64>, _>>()?;
            heard.push(<[f64; 3]>::try_from(&numbers[..]).context("no answer of the load")?);
        }
        let first = heard[0][0];
        ensure!(heard.iter().all(|node| node[0] == first), "frames were lost: {heard:?}");
        Ok(heard)
    }

    /// Lets listeners join over all nodes at the same time, as fast as they can.
    fn joins(&mut self, joins: usize) -> Result<String> {
        let before = self.cpu()?;
        let start = Instant::now();
        let each = joins.div_ceil(self.nodes.len());
        let session = &self.sessions[..1];
        let mut crowds = Vec::new();
        for node in &self.nodes {
            crowds.push(begin_to_listen(node.port, each, session)?);
        }
        for crowd in &mut crowds {
            crowd.hear()?;
        }
        let took = start.elapsed();
        let after = self.cpu()?;
        let count = (each * self.nodes.len()) as f64;
        let engine = (after[0] - before[0]) / count;
        let nodes = (after[1..].iter().sum::<f64>() - before[1..].iter().sum::<f64>()) / count;
        Ok(format!(
            "{engine:.0} us of the engine, {nodes:.0} us of nodes: {:.0} in a second of the \
             engine's CPU; {:.0}/s here",
            1_000_000.0 / engine,
            count / took.as_secs_f64()
        ))
    }
}

impl Node {
    fn start(tuning: &Tuning) -> Result<Self> {
        let mut process = Process::start_unread(&Target::Server.arguments(tuning))?;
        let told = process.hear()?;
        let (port, token) = told.split_once(' ').context("no token")?;
        Ok(Self { process, port: port.parse()?, token: token.to_owned(), listeners: None })
    }
}

fn open_sessions(node: &Node, count: usize) -> Result<(Vec<Client>, Vec<String>)> {
    let query = format!("action=createSession&sourceLanguage=en&token={}", node.token);
    let mut opened = (Vec::new(), Vec::new());
    for _ in 0..count {
        let (client, created) = Client::open(node.port, &query)?;
        opened.1.push(field(&created, "sessionId").context(created)?);
        opened.0.push(client);
    }
    Ok(opened)
}

fn listen(port: u16, count: usize, sessions: &[String]) -> Result<Process> {
    let mut listeners = begin_to_listen(port, count, sessions)?;
    listeners.hear()?;
    Ok(listeners)
}

fn begin_to_listen(port: u16, count: usize, sessions: &[String]) -> Result<Process> {
    let (port, count) = (port.to_string(), count.to_string());
    Process::start(&["listen", Target::Server.name(), &port, &count, &sessions.join(",")])
}

impl Engine {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "no", "--dir"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .context("redis-server is needed: apt-get install redis-server")?;
        let engine = Self { child, port, _folder: folder };
        let start = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(start.elapsed() < Duration::from_secs(10), "redis-server does not answer");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(engine)
    }

    /// The time its one working thread has run, in microseconds.
    fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.child.id()))?;
        let nanos: f64 = stat.split(' ').next().context("no schedstat")?.parse()?;
        Ok(nanos / 1_000.0)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
