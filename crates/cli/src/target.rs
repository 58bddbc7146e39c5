//! The server a command talks to, and the token it shows.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambo_client::{Millis, Server, Tokens};
use ambo_identity::LocalIssuer;
use ambo_server::Clock;
use ambo_server::settings::{self, Sources};
use clap::ArgMatches;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::args::Reach;
use crate::trouble::Trouble;

/// How long a token lives that is made for this program alone; each connect makes a new one.
const OWN_TOKEN: Millis = Millis::from_mins(15);

/// Reads the server's address.
pub fn server(reach: &Reach) -> Result<Server, Trouble> {
    let server = match &reach.ca_cert {
        None => Server::parse(&reach.server),
        Some(path) => Server::trusting(&reach.server, certificates(path)?),
    };
    server.map_err(|error| Trouble::usage(format!("--server: {error}")))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    let wrong = |error| Trouble::failed(path.display(), error);
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() {
        return Err(Trouble::usage(format!("{}: no certificate is in it", path.display())));
    }
    Ok(found)
}

/// The token that was given, else tokens by the key of the server on this machine.
pub fn tokens(
    given: Option<String>,
    server: &Server,
    matches: &ArgMatches,
) -> Result<Tokens, Trouble> {
    if let Some(token) = given.filter(|token| !token.is_empty()) {
        return Ok(Tokens::fixed(token.trim()));
    }
    let no_token = || {
        Trouble::usage(
            "speaking needs a token: give --token or AMBO_TOKEN. \
             `ambo token --user NAME` on the server's machine prints one.",
        )
    };
    if !is_here(server) {
        return Err(no_token());
    }
    let folder = data_dir(matches)?;
    // Only the server makes the key; a new one here would fit no server.
    if !folder.join(LocalIssuer::KEY_FILE).exists() {
        return Err(no_token());
    }
    own_tokens(folder)
}

/// Tokens for the user of this machine, by the key in the server's data folder.
pub fn own_tokens(folder: PathBuf) -> Result<Tokens, Trouble> {
    let issuer = issuer(&folder)?;
    let clock = Clock::system();
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let user = user.unwrap_or_else(|| "ambo".to_owned());
    Ok(Tokens::ask(move || {
        let token = issuer.issue(&user, OWN_TOKEN, clock.wall());
        std::future::ready(
            token.map(|token| token.0.to_string()).map_err(|error| error.to_string()),
        )
    }))
}

/// The built-in issuer of the server with this data folder.
pub fn issuer(folder: &Path) -> Result<LocalIssuer, Trouble> {
    LocalIssuer::open(folder).map_err(|error| {
        anyhow::Error::new(error).context("the server's key cannot be used").into()
    })
}

/// The data folder that the flags, the environment and the file name.
pub fn data_dir(matches: &ArgMatches) -> Result<PathBuf, Trouble> {
    let settings = settings::load(&Sources::of_process(matches));
    settings.map(|settings| settings.data_dir).map_err(|error| Trouble::usage(error.to_string()))
}

/// Whether the server is on this machine, as far as its address tells.
fn is_here(server: &Server) -> bool {
    let host = server.url().host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// How this program was called, so that a command it prints can be copied.
pub fn invocation() -> String {
    let called = std::env::args().next();
    called.filter(|path| path.contains('/')).unwrap_or_else(|| "ambo".to_owned())
}

/// Waits for Ctrl-C or SIGTERM.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Milliseconds for the machine's limits.
pub fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_a_token_of_its_own() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("[::1]", true),
            ("127.example.org", false),
            ("localhost.example.org", false),
            ("192.0.2.1", false),
            ("[2001:db8::1]", false),
        ] {
            let server = Server::parse(&format!("ws://{host}:8080/ws")).unwrap();
            assert_eq!(is_here(&server), expected, "{host}");
        }
    }
}
