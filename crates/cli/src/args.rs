//! What the command line can say.

use std::path::PathBuf;
use std::time::Duration;

use ambo_client::{Language, QualityTier, SessionId};
use ambo_server::settings;
use clap::{Arg, ArgAction, Args, Command};

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  something on this machine failed: a file, the network card, the disk
  2  the command line or the configuration is wrong
  3  the server refused: the token, the session's id, a limit
  4  the server cannot be reached, or the connection was lost for good";

/// Flags of the server's settings that other commands need too.
const SHARED: [&str; 2] = ["config", "data_dir"];

/// The whole command line.
pub fn command() -> Command {
    let serve = Command::new("serve")
        .about("Run the server")
        .long_about(
            "Run the server until SIGTERM or Ctrl-C, which let clients move elsewhere first; \
             a second one ends it at once. It needs no settings to begin with.",
        )
        .args(settings::args())
        .arg(demo());
    let check = Command::new("check-config")
        .about("Read the configuration as `serve` would, and tell every mistake at once")
        .args(settings::args());
    Command::new("ambo")
        .about("The session server for live multilingual broadcasts")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(EXIT_CODES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(serve)
        .subcommand(with_shared(Token::augment_args(Command::new("token"))))
        .subcommand(with_shared(Speak::augment_args(Command::new("speak"))))
        .subcommand(Listen::augment_args(Command::new("listen")))
        .subcommand(Drain::augment_args(Command::new("drain")))
        .subcommand(Close::augment_args(Command::new("close")))
        .subcommand(check)
        .subcommand(Config::augment_args(Command::new("config")))
}

fn demo() -> Arg {
    Arg::new("demo")
        .long("demo")
        .action(ArgAction::SetTrue)
        .help("Speak a recording into a session of its own, over and over, and say how to hear it")
}

fn with_shared(command: Command) -> Command {
    let shared = settings::args().into_iter().filter(|arg| SHARED.contains(&arg.get_id().as_str()));
    command.args(shared.map(|arg| arg.help_heading("Server on this machine")))
}

/// Print a token for a speaker, signed by the server's own key
///
/// Run it on the server's machine, as the user the server runs as, and with the same data folder.
#[derive(Args, Debug)]
pub struct Token {
    /// Who will speak; it becomes the token's subject
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// How long the token is good for: 90s, 30m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = time)]
    pub ttl: Duration,
}

/// How to reach a server.
#[derive(Args, Debug)]
pub struct Reach {
    /// The server's address, ws:// or wss://
    #[arg(long, value_name = "URL", env = "AMBO_SERVER", default_value = "ws://127.0.0.1:8080/ws")]
    pub server: String,
    /// Trust only the certificates in this PEM file, instead of those the system trusts
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
}

/// Create a session and speak a recording into it, in real time
///
/// Takes WAV (16-bit PCM), Ogg Opus, or raw 16-bit PCM with --raw-rate. Ctrl-C ends the session.
#[derive(Args, Debug)]
pub struct Speak {
    /// What to speak; - is standard input
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// The language that is spoken (ISO 639-1)
    #[arg(long, value_name = "CODE", default_value = "en", value_parser = language)]
    pub language: Language,
    /// Take up this session instead of creating one
    #[arg(long, value_name = "ID", value_parser = session)]
    pub session: Option<SessionId>,
    /// What the session is to be: standard or premium
    #[arg(long, value_name = "TIER", default_value = "standard", value_parser = quality)]
    pub quality: QualityTier,
    /// The token; on the server's own machine one is made when it is left out
    #[arg(long, value_name = "TOKEN", env = "AMBO_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// Begin anew at the end of the file, until Ctrl-C
    #[arg(long = "loop")]
    pub is_looped: bool,
    /// Wait for this many listeners before the first word
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub wait_for: u32,
    /// The file is raw 16-bit little-endian PCM with this many samples a second
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1_000..=192_000))]
    pub raw_rate: Option<u32>,
    /// Channels of raw PCM
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "raw_rate",
        value_parser = clap::value_parser!(u16).range(1..=2))]
    pub raw_channels: u16,
    #[command(flatten)]
    pub reach: Reach,
}

/// Join a session, and hear it or record it
///
/// Without --out it shows the level of the sound. Ctrl-C leaves, and finishes the recording.
#[derive(Args, Debug)]
pub struct Listen {
    /// The session, such as faithful-shepherd-427
    #[arg(value_name = "ID", value_parser = session)]
    pub session: SessionId,
    /// The language to hear (ISO 639-1)
    #[arg(long, value_name = "CODE", value_parser = language)]
    pub language: Language,
    /// Record into this file: .wav for PCM, .ogg or .opus for Opus, .raw for the bare payloads
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Leave after this time: 90s, 30m, 2h
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub limit: Option<Duration>,
    #[command(flatten)]
    pub reach: Reach,
}

/// Let the clients of a node move elsewhere, and stop it: the same as SIGTERM
///
/// The node must have an admin listener. Asked again, it changes nothing.
#[derive(Args, Debug)]
pub struct Drain {
    /// Stay until the node has stopped, and show how many connections are left
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub door: Door,
}

/// End a session; everybody in it is told that the operator did
#[derive(Args, Debug)]
pub struct Close {
    /// The session, such as faithful-shepherd-427
    #[arg(value_name = "ID", value_parser = session)]
    pub session: SessionId,
    #[command(flatten)]
    pub door: Door,
}

/// How to reach a server as its operator.
#[derive(Args, Debug)]
pub struct Door {
    /// The address of the server's admin listener
    #[arg(long, value_name = "URL", env = "AMBO_ADMIN", default_value = "http://127.0.0.1:8081")]
    pub admin: String,
    /// The server's admin_token, where it has one
    #[arg(long, value_name = "SECRET", env = "AMBO_ADMIN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Print the settings of the server
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct Config {
    /// As a configuration file with every default
    #[arg(long)]
    pub defaults: bool,
    /// As the page docs/configuration.md
    #[arg(long)]
    pub markdown: bool,
}

fn language(text: &str) -> Result<Language, String> {
    let folded = text.trim().to_ascii_lowercase();
    Language::parse(&folded).ok_or("expected an ISO 639-1 code: two letters, such as en".into())
}

/// People copy ids from slides, with spaces round them and capitals in them.
fn session(text: &str) -> Result<SessionId, String> {
    let folded = text.trim().to_ascii_lowercase();
    SessionId::parse(&folded).ok_or("expected an id such as faithful-shepherd-427".into())
}

fn quality(text: &str) -> Result<QualityTier, String> {
    QualityTier::parse(text).ok_or("expected standard or premium".into())
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: expected such as 90s, 30m, 12h or 7d");
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let parted = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = text.trim().strip_suffix(unit)?.parse().ok()?;
        Some((number, seconds))
    });
    let (number, seconds) = parted.ok_or_else(wrong)?;
    let seconds = number.checked_mul(seconds).filter(|seconds| *seconds > 0).ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn times_have_a_unit() {
        let cases = [("90s", 90), ("30m", 1_800), ("12h", 43_200), (" 7d ", 604_800)];
        for (text, seconds) in cases {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "s", "12", "0s", "-1s", "1.5h", "99999999999999999999s", "7w", "é"] {
            assert!(time(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_are_taken_as_people_write_them() {
        assert_eq!(session(" Faithful-Shepherd-427 ").unwrap().as_str(), "faithful-shepherd-427");
        assert!(session("faithful shepherd 427").is_err());
    }
}
