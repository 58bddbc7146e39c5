//! The settings of the server: one table, three sources, one typed outcome.
//!
//! A setting is taken from its flag (`--connection-refresh 100m`), else from its environment
//! variable (`AMBO_CONNECTION_REFRESH=100m`), else from the file named by `--config` or
//! `AMBO_CONFIG` (`connection_refresh = "100m"`), else from the table ([`TABLE`]). Every mistake is
//! told at once.

mod check;
mod kind;
mod limits;
mod problem;
mod render;
mod secret;
mod sources;
mod table;

pub use kind::StoreKind;
pub use problem::{Origin, Problem, Problems};
pub use render::{args, defaults_toml, markdown};
pub use secret::Secret;
pub use sources::Sources;
pub use table::{Setting, Settings, TABLE};

use sources::Given;

/// What the command line of this process, its environment and its file say.
pub fn load(sources: &Sources) -> Result<Settings, Problems> {
    let mut problems = Vec::new();
    let given = Given::collect(sources, &mut problems);
    let settings = Settings::read(&given, &mut problems);
    let settings = settings.map(|settings| check::all(settings, &given, &mut problems));
    match settings {
        Some(settings) if problems.is_empty() => Ok(settings),
        _ => Err(Problems(problems)),
    }
}

impl Default for Settings {
    /// What an empty command line, environment and file give.
    fn default() -> Self {
        load(&Sources::default()).unwrap_or_else(|problems| unreachable!("{problems}"))
    }
}

#[cfg(test)]
mod tests;
