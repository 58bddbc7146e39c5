//! What goes wrong, in a sentence that says what to do, and the exit code for scripts.

use std::fmt;
use std::process::ExitCode;

use ambo_client::{CloseReason, Closed, Failure, Refused};

/// Why the command failed.
#[derive(Debug)]
pub struct Trouble {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Here = 1,
    Usage = 2,
    Refused = 3,
    Unreachable = 4,
}

impl Trouble {
    /// Something on this machine.
    pub fn failed(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::here(format!("{what}: {cause}"))
    }

    /// The same without a cause.
    pub fn here(message: impl Into<String>) -> Self {
        Self { kind: Kind::Here, message: message.into() }
    }

    /// The command line or the configuration.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, message: message.into() }
    }

    /// The server said no.
    pub fn refused(message: impl fmt::Display) -> Self {
        Self { kind: Kind::Refused, message: format!("the server refused: {message}") }
    }

    /// There is no server.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: Kind::Unreachable, message: message.into() }
    }

    /// The server ended the session before its speaker did.
    pub fn cut_short(why: &String) -> Self {
        Self { kind: Kind::Refused, message: format!("the session ended before the talk: {why}") }
    }

    /// Why a client is done; `None` when that is as it should be.
    pub fn of_closed(closed: &Closed, server: &str) -> Option<Self> {
        let (kind, message) = match closed {
            Closed::Ended | Closed::Left => return None,
            Closed::Failed(Failure::Refused(refused)) => (Kind::Refused, of_refusal(refused)),
            Closed::Failed(Failure::NoToken(why)) => (Kind::Refused, format!("no token: {why}")),
            Closed::Failed(Failure::Unreachable(why)) => (
                Kind::Unreachable,
                format!(
                    "{why}\nIs the server running at {server}? Start one with `ambo serve`, \
                     or name another with --server."
                ),
            ),
            Closed::Failed(Failure::Closed(reason)) | Closed::ByServer(reason) => of_close(*reason),
        };
        Some(Self { kind, message })
    }

    /// What scripts tell troubles by.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind as u8)
    }
}

fn of_refusal(refused: &Refused) -> String {
    let error = &refused.error;
    let advice = match error.code.as_str() {
        "UNAUTHORIZED" => "\nGet a token with `ambo token --user NAME` on the server's machine.",
        "FORBIDDEN" => "\nOnly the user who created a session can speak in it.",
        "HTTP_404" => "\nIs there an Ambo server at this address? Its path is usually /ws.",
        _ => "",
    };
    format!("the server refused: {}{advice}", error.message)
}

fn of_close(reason: CloseReason) -> (Kind, String) {
    let kind = if reason.comes_back() { Kind::Unreachable } else { Kind::Refused };
    let advice = match reason {
        CloseReason::Superseded => "\nThe session was taken up by another program.",
        _ => "",
    };
    (kind, format!("{reason}{advice}"))
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::here(format!("{error:#}"))
    }
}
