//! `ambo-bench`: what a listener costs, beside the floor that no server can beat.
//!
//! Server and listeners run in processes of their own, so that the CPU and memory measured are
//! the server's alone. Each round of Ambo's stands next to one of the floor's, in one run of one
//! tool, because on a shared machine only ratios can be trusted.
// A tool that reports on standard output.
#![allow(clippy::print_stdout)]

mod all;
mod client;
mod cluster;
mod fanout;
mod floor;
mod hub;
mod idle;
mod joins;
mod latency;
mod listeners;
mod process;
mod publish;
mod running;
mod server;
mod store;
mod table;
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
    /// Everything there is a bar for, in about five minutes.
    All,
    /// CPU time for each delivered frame, in rounds that alternate with the floor's.
    Fanout(fanout::Fanout),
    /// Memory for each listener that only listens.
    Idle(idle::Idle),
    /// How long a heartbeat and a join take, while listeners receive audio.
    Latency(latency::Latency),
    /// CPU time for each listener that joins.
    Joins(joins::Joins),
    /// What a cluster's bus and engine cost; needs redis-server.
    Cluster(cluster::Cluster),
    /// What the store's operations cost.
    Store(store::Store),
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
    /// Who asks, in a process of its own.
    #[command(hide = true)]
    Probe(latency::Probe),
    /// A bare echo.
    #[command(hide = true)]
    Echo,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::All => all::run(),
        Command::Fanout(fanout) => fanout.run(),
        Command::Idle(idle) => idle.run(),
        Command::Latency(latency) => latency.run(),
        Command::Joins(joins) => joins.run(),
        Command::Cluster(cluster) => cluster.run(),
        Command::Store(store) => store.run(),
        Command::Serve { target, tuning } => target.serve(&tuning),
        Command::Listen(listen) => listen.run(),
        Command::Probe(probe) => probe.run(),
        Command::Echo => latency::echo(),
    }
}
