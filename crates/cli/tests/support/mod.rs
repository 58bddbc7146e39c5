//! The binary, in processes of its own.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, Read};
use std::process::{Child, Command, Stdio};

/// The command line, whatever the environment of a developer says.
pub fn ambo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambo"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AMBO_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// A process that is gone when the test is.
pub struct Running(pub Child);

impl Running {
    pub fn terminate(&self) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    pub fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end, and gives the exit code.
    pub fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself. If not, nothing is tidied up: this is SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The port in the next line of a server's log that has this in it.
pub fn port_in(log: &mut impl BufRead, wanted: &str) -> u16 {
    let mut line = String::new();
    while !line.contains(wanted) {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "{wanted:?} never came");
    }
    let (_, port) = line.split_once("127.0.0.1:").unwrap();
    let port: String = port.chars().take_while(char::is_ascii_digit).collect();
    port.parse().unwrap()
}

/// Reads on, so that a server is never kept waiting by its log.
pub fn ignore(mut log: impl Read + Send + 'static) {
    std::thread::spawn(move || log.read_to_end(&mut Vec::new()));
}
