//! The operator's door of a server, from outside.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;

use crate::args;
use crate::trouble::Trouble;

/// How long a node is waited for. It answers at once unless it is overwhelmed.
const LIMIT: Duration = Duration::from_secs(10);

/// A way to ask.
pub struct Door {
    client: Client,
    address: Url,
    token: Option<String>,
}

/// How far a node is in its life.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// `serving`, `leaving`, `draining` or `stopped`.
    pub phase: String,
    /// Open connections.
    pub connections: u64,
    /// When they are closed at the latest, in Unix milliseconds.
    pub deadline: Option<u64>,
    /// Whether a drain was under way when this one was asked for.
    #[serde(default)]
    pub already_draining: bool,
}

/// What the server says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    code: String,
    message: String,
}

/// Why there is no answer.
pub enum NoAnswer {
    /// Nobody is there.
    Nobody(Trouble),
    /// Somebody is there, but it did not work out.
    Failed(Trouble),
}

impl Door {
    /// Reads the address; asks nothing yet.
    pub fn new(given: args::Door) -> Result<Self, Trouble> {
        let wrong = |why: &str| Trouble::usage(format!("--admin: {:?} {why}", given.admin));
        let address = Url::parse(&given.admin).map_err(|_| wrong("is no web address"))?;
        if !["http", "https"].contains(&address.scheme()) || address.cannot_be_a_base() {
            return Err(wrong("must begin with http:// or https://"));
        }
        let client = Client::builder()
            .timeout(LIMIT)
            .redirect(Policy::none())
            // The token is for the server, and a node's own door is not asked through another's.
            .no_proxy()
            .build();
        let client = client.map_err(|error| Trouble::failed("no requests can be made", error))?;
        let token = given.token.map(|token| token.trim().to_owned());
        Ok(Self { client, address, token: token.filter(|token| !token.is_empty()) })
    }

    /// Begins a drain, or finds one under way.
    pub async fn drain(&self) -> Result<Progress, Trouble> {
        let answer = self.ask(Method::POST, "drain").await;
        self.read(&answer.map_err(NoAnswer::into_trouble)?)
    }

    /// How far the node is.
    pub async fn progress(&self) -> Result<Progress, NoAnswer> {
        let answer = self.ask(Method::GET, "drain").await?;
        self.read(&answer).map_err(NoAnswer::Failed)
    }

    /// Ends a session.
    pub async fn close(&self, session: &str) -> Result<(), Trouble> {
        let path = format!("sessions/{session}/close");
        self.ask(Method::POST, &path).await.map(drop).map_err(NoAnswer::into_trouble)
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Vec<u8>, NoAnswer> {
        let url = format!("{}/{path}", self.address.as_str().trim_end_matches('/'));
        let mut request = self.client.request(method, url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| self.no_answer(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.no_answer(&error))?;
        if status.is_success() {
            return Ok(body.to_vec());
        }
        Err(NoAnswer::Failed(self.refused(status, &body)))
    }

    fn read(&self, answer: &[u8]) -> Result<Progress, Trouble> {
        serde_json::from_slice(answer).map_err(|_| self.no_door())
    }

    fn no_answer(&self, error: &reqwest::Error) -> NoAnswer {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let trouble = Trouble::unreachable(format!(
            "no server answers operators at {}: {cause}\nIs it running, and is its admin_listen \
             (AMBO_ADMIN_LISTEN) set? Name another address with --admin or AMBO_ADMIN.",
            self.address
        ));
        if error.is_connect() { NoAnswer::Nobody(trouble) } else { NoAnswer::Failed(trouble) }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> Trouble {
        let Ok(refusal) = serde_json::from_slice::<Refusal>(body) else { return self.no_door() };
        let advice = match (status, refusal.code.as_str()) {
            (StatusCode::UNAUTHORIZED, _) => {
                "\nGive the server's admin_token with --token or AMBO_ADMIN_TOKEN."
            }
            (_, "SESSION_NOT_FOUND") => "\nOr is it a session of another server?",
            _ => "",
        };
        Trouble::refused(format!("{}{advice}", refusal.message))
    }

    fn no_door(&self) -> Trouble {
        Trouble::unreachable(format!(
            "{} answers, but is no admin listener of Ambo's. That is at the server's admin_listen, \
             not at its listen.",
            self.address
        ))
    }
}

impl NoAnswer {
    fn into_trouble(self) -> Trouble {
        match self {
            Self::Nobody(trouble) | Self::Failed(trouble) => trouble,
        }
    }
}
