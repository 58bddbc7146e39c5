//! The tool's own processes: started from the same binary, spoken to in lines.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// A child that answers every line with a line. It is ended with this value.
pub struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    /// Starts this binary again with other arguments.
    pub fn start(arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        Self::start_with(arguments, Stdio::inherit())
    }

    /// The same, for a server whose log nobody wants to read.
    pub fn start_unread(arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        Self::start_with(arguments, Stdio::null())
    }

    fn start_with(arguments: &[impl AsRef<OsStr>], log: Stdio) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, input, output })
    }

    /// Says a line and waits for the answer.
    pub fn ask(&mut self, line: &str) -> Result<String> {
        self.say(line)?;
        self.hear()
    }

    /// Says a line.
    pub fn say(&mut self, line: &str) -> Result<()> {
        Ok(writeln!(self.input, "{line}")?)
    }

    /// Waits for a line.
    pub fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.output.read_line(&mut line)? > 0, "a process of the benchmark has ended");
        Ok(line.trim().to_owned())
    }

    /// The memory it has in use, in bytes.
    pub fn resident(&self) -> Result<u64> {
        resident(&self.child.id().to_string())
    }
}

/// The memory that a process has in use, in bytes.
pub fn resident(process: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.context("no VmRSS")?.trim().parse::<u64>()? * 1_024)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of this process so far.
pub fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let (user, system) = (usage.user_time(), usage.system_time());
    let micros = (user.tv_sec() + system.tv_sec()) * 1_000_000 + user.tv_usec() + system.tv_usec();
    Ok(Duration::from_micros(micros as u64))
}
