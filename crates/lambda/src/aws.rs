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

/// How long a connection to a service may take; they are in the same building.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long a call may take. A post takes 20 ms; one that hangs must not use up a function's time.
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// Makes signed calls.
pub(crate) struct Aws {
    http: reqwest::Client,
    region: String,
    identity: Identity,
}

/// One call.
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
    pub(crate) body: Vec<u8>,
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

impl CallError {
    /// Whether the service never heard of the call.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_connect())
    }
}

impl Aws {
    pub(crate) fn new(region: String, credentials: Credentials) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(CALL_LIMIT)
            .redirect(reqwest::redirect::Policy::none());
        Ok(Self { http: client.build()?, region, identity: credentials.into() })
    }

    /// Makes a call. Any status is an answer.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, CallError> {
        let request = self.signed(call)?;
        let request = reqwest::Request::try_from(request).map_err(CallError::Http)?;
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
        let body = SignableBody::Bytes(&call.body);
        let headers = call.headers.iter().copied();
        let signable = SignableRequest::new(call.method, call.url, headers, body)?;
        let (instructions, _) = sign(signable, &params.into())?.into_parts();
        let mut request = http::Request::builder().method(call.method).uri(call.url);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(call.body)?;
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
