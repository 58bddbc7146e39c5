//! `ambo check-config` and `ambo config`

use ambo_server::settings::{self, Sources};
use clap::ArgMatches;

use crate::args::Config;
use crate::trouble::Trouble;

/// Reads the configuration and tells every mistake.
pub fn check(matches: &ArgMatches) -> Result<(), Trouble> {
    settings::load(&Sources::of_process(matches))
        .map_err(|problems| Trouble::usage(problems.to_string()))?;
    println!("The configuration is good.");
    Ok(())
}

/// Prints the table of settings.
pub fn show(args: &Config) -> Result<(), Trouble> {
    let text = if args.markdown { settings::markdown() } else { settings::defaults_toml() };
    print!("{text}");
    Ok(())
}
