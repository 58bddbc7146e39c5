//! `ambo serve`

use ambo_server::settings::{self, Settings, Sources};
use ambo_server::{Clock, Server, logging};
use clap::ArgMatches;
use sd_notify::NotifyState;

use crate::demo::Demo;
use crate::target;
use crate::trouble::Trouble;

/// Serves until it is told to stop.
pub async fn run(matches: &ArgMatches) -> Result<(), Trouble> {
    let sources = Sources::of_process(matches);
    let settings =
        settings::load(&sources).map_err(|problems| Trouble::usage(problems.to_string()))?;
    let is_demo = matches.get_flag("demo");
    let _log = logging::init(log(&settings, &sources, is_demo))?;
    if is_demo {
        Demo::check(&settings)?;
    }
    let server = Server::start(&settings, Clock::system()).await?;
    let demo = if is_demo { Some(Demo::start(&server, &settings).await?) } else { None };
    // Without systemd nobody is there to be told.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    target::interrupted().await;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    if let Some(demo) = demo {
        demo.end().await;
    }
    Ok(server.stop(target::interrupted()).await?)
}

/// A demo is for eyes: unless somebody wants the log, it has only what goes wrong.
fn log<'a>(settings: &'a Settings, sources: &Sources, is_demo: bool) -> &'a str {
    let is_wanted =
        sources.flags.contains_key("log") || sources.environment.contains_key("AMBO_LOG");
    if is_demo && !is_wanted && settings.log == Settings::default().log {
        "warn"
    } else {
        &settings.log
    }
}
