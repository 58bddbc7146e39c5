//! The SDK's requests, by the client that makes all others: one pool of connections, one set of
//! certificates to read at the start, one implementation of HTTP in the bootstrap.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;

/// The client as the SDK wants it. Time limits are set by who calls: each call of the store has
/// one, and what only the sweep and the telling of an end ask is limited by the function's own.
pub(crate) fn for_sdk(client: reqwest::Client) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Connector(client));
    http_client_fn(move |_, _| connector.clone())
}

#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move { send(&client, request).await })
    }
}

async fn send(
    client: &reqwest::Client,
    request: HttpRequest,
) -> Result<HttpResponse, ConnectorError> {
    let user = |error: BoxError| ConnectorError::user(error);
    let request = request.try_into_http1x().map_err(|error| user(error.into()))?;
    // DynamoDB's requests are no streams: all of the body is there.
    let request = request.map(|body| body.bytes().unwrap_or_default().to_vec());
    let request = reqwest::Request::try_from(request).map_err(|error| user(error.into()))?;
    let mut response = client.execute(request).await.map_err(failed)?;
    let headers = std::mem::take(response.headers_mut());
    let status = response.status();
    let body = response.bytes().await.map_err(failed)?;
    let mut answer = HttpResponse::new(status.into(), body.into());
    let headers = headers.try_into();
    *answer.headers_mut() =
        headers.map_err(|error| ConnectorError::other(BoxError::from(error), None))?;
    Ok(answer)
}

fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
