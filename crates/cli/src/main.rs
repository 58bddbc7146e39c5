//! The `ambo` binary: serve, token, speak, listen, drain, close, check-config, config.
#![allow(clippy::print_stdout, reason = "a command line talks to people")]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod close;
mod config;
mod demo;
mod door;
mod drain;
mod format;
mod listen;
mod ogg;
mod progress;
mod serve;
mod sink;
mod source;
mod speak;
mod target;
mod token;
mod trouble;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};

use crate::trouble::Trouble;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            eprintln!("ambo: {trouble}");
            trouble.exit_code()
        }
    }
}

fn run(matches: &ArgMatches) -> Result<(), Trouble> {
    match matches.subcommand() {
        Some(("serve", given)) => asynchronously(serve::run(given)),
        Some(("token", given)) => token::run(&parsed(given)?, given),
        Some(("speak", given)) => asynchronously(speak::run(parsed(given)?, given)),
        Some(("listen", given)) => asynchronously(listen::run(parsed(given)?)),
        Some(("drain", given)) => asynchronously(drain::run(parsed(given)?)),
        Some(("close", given)) => asynchronously(close::run(parsed(given)?)),
        Some(("check-config", given)) => config::check(given),
        Some(("config", given)) => config::show(&parsed(given)?),
        _ => Err(Trouble::usage("no such command: see `ambo --help`")),
    }
}

fn parsed<T: FromArgMatches>(given: &ArgMatches) -> Result<T, Trouble> {
    T::from_arg_matches(given).map_err(|error| Trouble::usage(error.to_string()))
}

fn asynchronously(work: impl Future<Output = Result<(), Trouble>>) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Trouble::failed("no threads can be started", error))?;
    let outcome = runtime.block_on(work);
    // A thread that waits for standard input must not hold the process.
    runtime.shutdown_background();
    outcome
}
