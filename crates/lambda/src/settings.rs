//! Every environment variable the functions read, in one table.
//!
//! The names are those of the server's settings, in capitals. Each function reads the rows that
//! name it and no others; `bootstrap --describe-settings` prints the table for whoever deploys.

use std::collections::BTreeMap;

use ambo_core::{Limits, Millis, Rate};
use serde_json::{Value, json};

/// Which of the five functions a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Says who stands behind a new connection.
    Authorizer,
    /// Lets connections in, and answers most messages.
    Connection,
    /// Answers heartbeats.
    Heartbeat,
    /// Sees connections go, and sweeps every minute.
    Disconnect,
    /// Answers refreshes on open connections.
    Refresh,
}

use Handler::{Authorizer, Connection, Disconnect, Heartbeat, Refresh};

impl Handler {
    /// All of them.
    pub const ALL: [Self; 5] = [Authorizer, Connection, Heartbeat, Disconnect, Refresh];

    /// The name in `HANDLER`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Authorizer => "authorizer",
            Connection => "connection",
            Heartbeat => "heartbeat",
            Disconnect => "disconnect",
            Refresh => "refresh",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|handler| handler.as_str() == text)
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Who reads it.
    pub handlers: &'static [Handler],
    /// The value when it is not set; `None` where it must be.
    pub default: Option<&'static str>,
    /// What it is.
    pub description: &'static str,
}

const ALL: &[Handler] = &Handler::ALL;
/// Those that keep state.
const WALKING: &[Handler] = &[Connection, Heartbeat, Disconnect, Refresh];
/// Those that verify tokens.
const VERIFYING: &[Handler] = &[Authorizer, Refresh];
/// Those that let members in.
const ADMITTING: &[Handler] = &[Connection, Refresh];

/// Every variable, in the order in which people read about them. A duration is a number with `ms`,
/// `s`, `m` or `h`; a count or duration of 0 turns the thing off, but for a session's life.
pub static TABLE: &[Setting] = &[
    row("HANDLER", ALL, None, "Which function this is"),
    row("LOG", ALL, Some("info"), "What is logged: error, warn, info or debug"),
    row("OIDC_ISSUER", VERIFYING, None, "OpenID Connect issuer whose tokens speakers show"),
    row("OIDC_AUDIENCE", VERIFYING, None, "Client ids a token may be meant for, parted by commas"),
    row("OIDC_JWKS_URL", VERIFYING, Some(""), "Where the issuer's keys are, if not where it says"),
    row("SESSIONS_TABLE", WALKING, None, "Name of the table of sessions"),
    row("CONNECTIONS_TABLE", WALKING, None, "Name of the table of connections"),
    row("RATE_LIMITS_TABLE", WALKING, None, "Name of the table of limits"),
    row(
        "CONNECTIONS_ENDPOINT",
        WALKING,
        None,
        "Where @connections of the WebSocket API's stage is: https://{api}.execute-api.{region}.\
         amazonaws.com/{stage}",
    ),
    row("MEDIA_URL", &[Connection], Some(""), "Where audio goes, for speakers that send it here"),
    row("MAX_LISTENERS_PER_SESSION", ADMITTING, Some("500"), "Listeners of one session"),
    row(
        "SESSION_MAX_DURATION",
        &[Connection, Heartbeat, Refresh],
        Some("2h"),
        "Life of a session whose speaker gives no sign",
    ),
    row(
        "SPEAKER_GRACE",
        &[Connection, Disconnect],
        Some("30s"),
        "How long a lost speaker is awaited",
    ),
    row(
        "CONNECTION_REFRESH",
        &[Heartbeat],
        Some("100m"),
        "Age at which a client is told to open a new connection",
    ),
    row("CONNECTION_WARNING", &[Heartbeat], Some("105m"), "Age at which it is warned"),
    row(
        "CONNECTION_MAX_DURATION",
        &[Heartbeat, Disconnect],
        Some("2h"),
        "Age at which a connection is closed; API Gateway itself does it at 2h",
    ),
    row(
        "HEARTBEAT_TIMEOUT",
        &[Disconnect],
        Some("90s"),
        "Time without a heartbeat after which a connection is taken as lost",
    ),
    row(
        "RATE_LIMIT_SESSIONS_PER_HOUR",
        &[Connection],
        Some("50"),
        "Sessions created by one user in an hour",
    ),
    row(
        "RATE_LIMIT_REFUSED_JOINS_PER_MIN",
        ADMITTING,
        Some("60"),
        "Joins from one source address in a minute that name no session",
    ),
    row(
        "RATE_LIMIT_JOINS_PER_MIN",
        ADMITTING,
        Some("600"),
        "Joins from one source address in a minute",
    ),
    row(
        "RATE_LIMIT_CONNECTS_PER_MIN",
        &[Connection],
        Some("1200"),
        "Connection attempts from one source address in a minute",
    ),
    row(
        "RATE_LIMIT_HEARTBEATS_PER_MIN",
        &[Heartbeat],
        Some("2"),
        "Heartbeats of one connection in a minute; twice as many may come at once",
    ),
    row(
        "RATE_LIMIT_CONTROL_PER_SEC",
        &[Connection, Heartbeat, Refresh],
        Some("10"),
        "Control messages of one connection in a second",
    ),
];

const fn row(
    name: &'static str,
    handlers: &'static [Handler],
    default: Option<&'static str>,
    description: &'static str,
) -> Setting {
    Setting { name, handlers, default, description }
}

/// The table as JSON, by handler.
pub fn describe() -> Value {
    let shown = |setting: &Setting| {
        json!({
            "name": setting.name,
            "required": setting.default.is_none(),
            "default": setting.default,
            "description": setting.description,
        })
    };
    let of = |handler: Handler| -> Vec<Value> {
        TABLE.iter().filter(|setting| setting.handlers.contains(&handler)).map(shown).collect()
    };
    Handler::ALL.into_iter().map(|handler| (handler.as_str().to_owned(), of(handler))).collect()
}

/// Why a function cannot start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A variable that must be there is not.
    #[error("{0} is not set")]
    Missing(&'static str),
    /// A value that cannot be read.
    #[error("{name} must be {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}

/// The values of one function, read and checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which function.
    pub handler: Handler,
    /// What is logged.
    pub log: tracing::Level,
    /// The issuer, for the functions that verify tokens.
    pub issuer: Option<Issuer>,
    /// Where state is, for the functions that keep it.
    pub places: Option<Places>,
    /// Where audio goes, if somewhere.
    pub media_url: Option<String>,
    /// The numbers for the rules; those the function does not read have their defaults.
    pub limits: Limits,
}

/// Whose tokens are believed.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name.
    pub name: String,
    /// Whom tokens may be meant for.
    pub audiences: Vec<String>,
    /// Where its keys are, if said.
    pub jwks_url: Option<String>,
}

/// Where state is kept and connections are reached.
#[derive(Clone, Debug)]
pub struct Places {
    /// Table of sessions.
    pub sessions: String,
    /// Table of connections.
    pub connections: String,
    /// Table of limits.
    pub rate_limits: String,
    /// The management API of the WebSocket API's stage.
    pub endpoint: String,
}

impl Settings {
    /// Reads the variables of the function that `HANDLER` names. `var` looks one up; empty counts
    /// as not set.
    pub fn read(var: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let expected = "authorizer, connection, heartbeat, disconnect or refresh";
        let named = var("HANDLER").ok_or(SettingsError::Missing("HANDLER"))?;
        let malformed = SettingsError::Malformed { name: "HANDLER", expected };
        let handler = Handler::parse(&named).ok_or(malformed)?;
        let mut values = BTreeMap::new();
        for setting in TABLE {
            let is_read = setting.handlers.contains(&handler);
            let given = var(setting.name).filter(|value| is_read && !value.is_empty());
            match (given, setting.default) {
                (Some(value), _) => values.insert(setting.name, value),
                (None, Some(default)) => values.insert(setting.name, default.to_owned()),
                (None, None) if is_read => return Err(SettingsError::Missing(setting.name)),
                (None, None) => None,
            };
        }
        let values = Values(values);
        Ok(Self {
            handler,
            log: values.parse("LOG", "error, warn, info or debug", |text| text.parse().ok())?,
            issuer: VERIFYING.contains(&handler).then(|| values.issuer()),
            places: WALKING.contains(&handler).then(|| values.places()),
            media_url: values.optional("MEDIA_URL"),
            limits: values.limits()?,
        })
    }
}

/// The rows' values, each given or its default.
struct Values(BTreeMap<&'static str, String>);

impl Values {
    fn text(&self, name: &'static str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    fn optional(&self, name: &'static str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    fn parse<T>(
        &self,
        name: &'static str,
        expected: &'static str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, SettingsError> {
        parse(&self.text(name)).ok_or(SettingsError::Malformed { name, expected })
    }

    fn count(&self, name: &'static str) -> Result<u32, SettingsError> {
        self.parse(name, "a whole number; 0 means no limit", |text| text.parse().ok())
    }

    fn span(&self, name: &'static str) -> Result<Millis, SettingsError> {
        self.parse(name, "a duration, such as 1500ms, 90s, 100m or 2h", span)
    }

    /// A span without which nothing would live.
    fn life(&self, name: &'static str) -> Result<Millis, SettingsError> {
        let above_zero = |text: &str| span(text).filter(|span| !span.is_zero());
        self.parse(name, "a duration above 0, such as 100m or 2h", above_zero)
    }

    fn issuer(&self) -> Issuer {
        let audiences = self.text("OIDC_AUDIENCE");
        let audiences = audiences.split(',').map(str::trim).filter(|name| !name.is_empty());
        Issuer {
            name: self.text("OIDC_ISSUER"),
            audiences: audiences.map(str::to_owned).collect(),
            jwks_url: self.optional("OIDC_JWKS_URL"),
        }
    }

    fn places(&self) -> Places {
        Places {
            sessions: self.text("SESSIONS_TABLE"),
            connections: self.text("CONNECTIONS_TABLE"),
            rate_limits: self.text("RATE_LIMITS_TABLE"),
            endpoint: self.text("CONNECTIONS_ENDPOINT").trim_end_matches('/').to_owned(),
        }
    }

    fn limits(&self) -> Result<Limits, SettingsError> {
        let (second, minute) = (Millis::from_secs(1), Millis::from_mins(1));
        let max_age = self.span("CONNECTION_MAX_DURATION")?;
        let warning = self.span("CONNECTION_WARNING")?;
        let beats = self.count("RATE_LIMIT_HEARTBEATS_PER_MIN")?;
        Ok(Limits {
            max_listeners: self.count("MAX_LISTENERS_PER_SESSION")?,
            session_max_duration: self.life("SESSION_MAX_DURATION")?,
            speaker_grace: self.span("SPEAKER_GRACE")?,
            connection_refresh: self.span("CONNECTION_REFRESH")?,
            // The warning is of the end: where there is none, there is nothing to warn of.
            connection_warning: if max_age.is_zero() { Millis::ZERO } else { warning },
            connection_max_duration: max_age,
            heartbeat_timeout: self.span("HEARTBEAT_TIMEOUT")?,
            sessions: Rate::new(self.count("RATE_LIMIT_SESSIONS_PER_HOUR")?, Millis::from_mins(60)),
            refused_joins: Rate::new(self.count("RATE_LIMIT_REFUSED_JOINS_PER_MIN")?, minute),
            joins: Rate::new(self.count("RATE_LIMIT_JOINS_PER_MIN")?, minute),
            connects: Rate::new(self.count("RATE_LIMIT_CONNECTS_PER_MIN")?, minute),
            heartbeats: Rate { amount: beats, per: minute, burst: beats.saturating_mul(2) },
            control: Rate::new(self.count("RATE_LIMIT_CONTROL_PER_SEC")?, second),
            ..Limits::default()
        })
    }
}

/// A span with its unit; 0 needs none.
fn span(text: &str) -> Option<Millis> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let amount: u64 = digits.parse().ok()?;
    let unit = match &text[digits.len()..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "" if amount == 0 => 1,
        _ => return None,
    };
    amount.checked_mul(unit).map(Millis)
}
