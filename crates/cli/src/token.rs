//! `ambo token`

use ambo_server::Clock;
use clap::ArgMatches;

use crate::args::Token;
use crate::target;
use crate::trouble::Trouble;

/// Prints a token.
pub fn run(args: &Token, matches: &ArgMatches) -> Result<(), Trouble> {
    let issuer = target::issuer(&target::data_dir(matches)?)?;
    let token = issuer.issue(&args.user, target::millis(args.ttl), Clock::system().wall());
    let token = token.map_err(|error| Trouble::usage(error.to_string()))?;
    println!("{}", token.0);
    Ok(())
}
