//! `ambo-bench`: what a listener costs, beside the floor that no server can beat.
//!
//! Server and listeners run in processes of their own, so that the CPU and memory measured are
//! the server's alone. Each round of Ambo's stands next to one of the floor's, in one run of one
//! tool, because on a shared machine only ratios can be trusted.
// A tool that reports on standard output.
#![allow(clippy::print_stdout)]

mod fanout;
mod floor;
mod idle;
mod listeners;
mod process;
mod publish;
mod target;

use clap::{Parser, Subcommand};

use crate::target::{Target, Tuning};

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU time for each delivered frame, in rounds that alternate with the floor's.
    Fanout(fanout::Fanout),
    /// Memory for each listener that only listens.
    Idle(idle::Idle),
    /// A server in its own process, told what to do by lines on standard input.
    #[command(hide = true)]
    Serve {
        /// Which server.
        target: Target,
        /// How the hub is set.
        #[command(flatten)]
        tuning: Tuning,
    },
    /// Listeners in their own process.
    #[command(hide = true)]
    Listen(listeners::Listen),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Fanout(fanout) => fanout.run(),
        Command::Idle(idle) => idle.run(),
        Command::Serve { target, tuning } => target.serve(&tuning),
        Command::Listen(listen) => listen.run(),
    }
}
