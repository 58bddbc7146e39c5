//! Signed calls of AWS services.
//!
//! The functions make five calls beside the database's: post, delete, invoke and two lists. The
//! services' own SDK crates would add more to the bootstrap, and to each post's time, than the
//! signature, which is taken from the SDK.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningError, SigningSettings, sign};
use aws_sigv4::sign::v4::{self, signing_params::BuildError};
use aws_smithy_runtime_api::client::identity::Identity;
use backon::{ExponentialBuilder, Retryable as _};

use crate::chain::chain;

/// How long a connection to a service may take; they are in the same building.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Makes signed calls.
pub(crate) struct Aws {
    http: reqwest::Client,
    region: String,
    identity: Identity,
}

/// The client for all that a function asks of AWS.
pub(crate) fn http_client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .connect_timeout(CONNECT_LIMIT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

/// One call.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The name the signature is for.
    pub(crate) service: &'a str,
    /// The HTTP method.
    pub(crate) method: &'a str,
    /// Where.
    pub(crate) url: &'a str,
    /// Headers beside those of the signature.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// What is sent.
    pub(crate) body: &'a [u8],
    /// How long it may take, with all attempts.
    pub(crate) limit: Duration,
}

/// What a service said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Why a service said nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("the call cannot be signed")]
    Sign(#[from] SigningError),
    #[error("the signature lacks something")]
    Parameters(#[from] BuildError),
    #[error("the call cannot be written")]
    Malformed(#[from] http::Error),
    // Without its address, which may hold a connection's id.
    #[error("the call failed")]
    Http(#[source] reqwest::Error),
}

/// Why there is no answer that counts.
enum Trouble {
    Busy(u16),
    Call(CallError),
}

impl Trouble {
    /// Whether the call may be made again. No answer, and not because time ran out, is as a rule a
    /// connection that was kept while the process was frozen, and was dead when used.
    fn is_passing(&self) -> bool {
        match self {
            Self::Busy(_) => true,
            Self::Call(CallError::Http(error)) => !error.is_timeout(),
            Self::Call(_) => false,
        }
    }
}

impl Aws {
    pub(crate) fn new(http: reqwest::Client, region: String, credentials: Credentials) -> Self {
        Self { http, region, identity: credentials.into() }
    }

    /// Makes a call whose answer is its status; again if the service was busy or did not answer.
    /// Four attempts with less than a second of pauses: API Gateway's limits refill every second,
    /// and what lasts longer would hold up the function more than it helps one listener.
    pub(crate) async fn insist(&self, call: Call<'_>) -> Result<u16, String> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(40))
            .with_max_delay(Duration::from_millis(320))
            .with_max_times(3)
            .with_jitter();
        let attempt = || async {
            match self.send(call).await {
                Ok(Answer { status: status @ (429 | 500..), .. }) => Err(Trouble::Busy(status)),
                Ok(answer) => Ok(answer.status),
                Err(error) => Err(Trouble::Call(error)),
            }
        };
        let insisted = attempt.retry(pauses).when(Trouble::is_passing);
        match tokio::time::timeout(call.limit, insisted).await {
            Ok(Ok(status)) => Ok(status),
            Ok(Err(Trouble::Busy(status))) => Err(format!("status {status}")),
            Ok(Err(Trouble::Call(error))) => Err(chain(&error)),
            Err(_) => Err(format!("not done within {} ms", call.limit.as_millis())),
        }
    }

    /// Makes a call. Any status is an answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, CallError> {
        let request = self.signed(call)?;
        let mut request = reqwest::Request::try_from(request).map_err(CallError::Http)?;
        *request.timeout_mut() = Some(call.limit);
        let failed = |error: reqwest::Error| CallError::Http(error.without_url());
        let response = self.http.execute(request).await.map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(failed)?.to_vec();
        Ok(Answer { status, body })
    }

    fn signed(&self, call: Call<'_>) -> Result<http::Request<Vec<u8>>, CallError> {
        let params = v4::SigningParams::builder()
            .identity(&self.identity)
            .region(&self.region)
            .name(call.service)
            // The services compare it with the time of day, whatever a test's clock says.
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?;
        let body = SignableBody::Bytes(call.body);
        let headers = call.headers.iter().copied();
        let signable = SignableRequest::new(call.method, call.url, headers, body)?;
        let (instructions, _) = sign(signable, &params.into())?.into_parts();
        let mut request = http::Request::builder().method(call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(call.body.to_vec())?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
