//! `ambo serve`

use ambo_server::settings::{self, Settings, Sources};
use ambo_server::{Clock, Server, logging};
use clap::ArgMatches;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::demo::Demo;
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
    // Where it fails, the log says so once the files are used up.
    let _ = raise_file_limit();
    let server = Server::start(&settings, Clock::system()).await?;
    let demo = if is_demo { Some(Demo::start(&server, &settings).await?) } else { None };
    let mut signals = Signals::listen()?;
    // Without systemd nobody is there to be told.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let begun = tokio::select! {
        () = signals.next() => Begun::BySignal,
        () = server.asked_to_drain() => Begun::ByOperator,
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    if let Some(demo) = demo {
        demo.end().await;
    }
    Ok(server.stop(signals.hurry(begun)).await?)
}

/// Lets this process open as many files as it may. Each connection is one, and shells and
/// containers begin with 1,024 of them: whoever needs more is to ask.
fn raise_file_limit() -> nix::Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)
}

/// What a drain began with.
#[derive(Clone, Copy)]
enum Begun {
    BySignal,
    ByOperator,
}

/// Ctrl-C and SIGTERM, none of which is missed while something else is done.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Trouble> {
        let listen = |kind| {
            signal(kind).map_err(|error| Trouble::failed("signals cannot be listened to", error))
        };
        let terminate = listen(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the second signal. The first one only joins the drain that an operator began, as
    /// systemd and Kubernetes send it after their own commands to stop have done that.
    async fn hurry(mut self, begun: Begun) {
        if let Begun::ByOperator = begun {
            self.next().await;
        }
        self.next().await;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_may_open_all_files_that_it_is_granted() {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // One less is as good a limit as 1,024, and leaves the tests beside this one alone.
        setrlimit(Resource::RLIMIT_NOFILE, most - 1, most).unwrap();
        raise_file_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (most, most));
    }
}
