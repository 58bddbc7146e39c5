//! A node: `ambo serve` in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::Plan;
use super::page::{Page, get};
use super::process::Process;
use crate::ports::free_port;

/// One node. It has its own port, over all its lives, and shares the folder of the speakers' key
/// with the others.
#[derive(Debug)]
pub struct Node {
    name: String,
    program: PathBuf,
    port: u16,
    log: PathBuf,
    settings: Vec<(&'static str, String)>,
    process: Option<Process>,
}

/// Everybody comes from one address here, and thousands at once.
const NO_LIMITS: [&str; 6] = [
    "AMBO_MAX_CONNECTIONS",
    "AMBO_MAX_CONNECTIONS_PER_ADDRESS",
    "AMBO_MAX_LISTENERS_PER_SESSION",
    "AMBO_RATE_LIMIT_SESSIONS_PER_HOUR",
    "AMBO_RATE_LIMIT_JOINS_PER_MIN",
    "AMBO_RATE_LIMIT_CONNECTS_PER_MIN",
];

impl Node {
    pub(super) fn new(name: &str, plan: &Plan, folder: &Path, engine: SocketAddr) -> Self {
        let port = free_port();
        let mut settings: Vec<_> = NO_LIMITS.map(|name| (name, "0".to_owned())).into();
        settings.extend([
            ("AMBO_LISTEN", format!("127.0.0.1:{port}")),
            ("AMBO_STORE", format!("redis://{engine}")),
            ("AMBO_DATA_DIR", Self::data_dir(folder).display().to_string()),
            ("AMBO_LOG", std::env::var("AMBO_CLUSTER_LOG").unwrap_or_else(|_| "warn".into())),
        ]);
        settings.extend(plan.settings.iter().cloned());
        let log = folder.join(format!("{name}.log"));
        Self {
            name: name.to_owned(),
            program: plan.program.clone(),
            port,
            log,
            settings,
            process: None,
        }
    }

    /// The folder that all nodes share.
    pub(super) fn data_dir(folder: &Path) -> PathBuf {
        folder.join("data")
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Changes a setting for its next start.
    pub fn set(&mut self, variable: &'static str, value: impl Into<String>) {
        self.settings.push((variable, value.into()));
    }

    /// Starts it; it is ready a little later.
    pub fn start(&mut self) {
        let mut command = Command::new(&self.program);
        command.arg("serve").envs(self.settings.iter().map(|(name, value)| (name, value)));
        self.process = Some(Process::start(&mut command, &self.log));
    }

    /// Whether it was started and not ended.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Waits for its own end; gives how it ended and the CPU time that its life took.
    pub async fn ended(&mut self, within: Duration) -> (ExitStatus, Duration) {
        self.process.take().unwrap().ended(within).await
    }

    /// The CPU time it has used.
    pub fn cpu(&self) -> Duration {
        self.process.as_ref().map_or(Duration::ZERO, Process::cpu)
    }

    /// The memory it has in use, in bytes.
    pub fn resident(&self) -> u64 {
        self.process.as_ref().map_or(0, Process::resident)
    }

    /// Its metrics, if it answers.
    pub async fn page(&self) -> Option<Page> {
        get(self.address(), "/metrics").await
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Prints the end of its log, for a test that has failed.
    pub(super) fn show_log(&self) {
        const LINES: usize = 60;
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        eprintln!("--- {} (port {}):\n{}", self.name, self.port, last.join("\n"));
    }
}
