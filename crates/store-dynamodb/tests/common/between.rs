//! What can happen between the store and DynamoDB: answers of AWS's that no server here gives by
//! itself, answers that get lost, and an index that is behind. And a record of all requests.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ambo_store_dynamodb::{DynamoStore, Tables};
use ambo_testkit::dynamo::DynamoServer;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::{HttpClient as _, SharedHttpClient};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use parking_lot::Mutex;
use serde_json::{Value, json};

/// What happens to one request.
#[derive(Clone, Debug)]
pub enum Mishap {
    /// DynamoDB does not do it, and says so by this status and body.
    Refusal(u16, Value),
    /// It is done, and the answer is lost.
    Loss,
    /// A batch is not done at all, though nothing is wrong with it.
    Unprocessed,
    /// The index shows what it showed the last time it was asked, be it true or not.
    Behind,
}

/// The line between a store and DynamoDB.
#[derive(Clone, Default)]
pub struct Between(Arc<Inside>);

#[derive(Default)]
struct Inside {
    /// By operation, such as `TransactWriteItems`.
    mishaps: Mutex<HashMap<&'static str, VecDeque<Mishap>>>,
    /// The first so many attempts at every transaction are refused with this.
    hurdles: Mutex<Option<(usize, Mishap)>>,
    attempts: Mutex<HashMap<String, usize>>,
    requests: Mutex<Vec<(String, Value)>>,
    last_listing: Mutex<Option<Value>>,
}

/// A transaction that another one on the same row is in the way of.
pub fn conflict() -> Mishap {
    canceled(&["TransactionConflict", "None"])
}

/// A transaction that was canceled for these reasons.
pub fn canceled(codes: &[&str]) -> Mishap {
    let reasons: Vec<_> = codes.iter().map(|code| json!({ "Code": code })).collect();
    let mut body = error("TransactionCanceledException");
    body["CancellationReasons"] = reasons.into();
    Mishap::Refusal(400, body)
}

/// A request that is refused by this error.
pub fn refusal(status: u16, name: &str) -> Mishap {
    Mishap::Refusal(status, error(name))
}

fn error(name: &str) -> Value {
    json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": "by test" })
}

impl Between {
    /// A store on the far side of this.
    pub fn store(&self, server: &DynamoServer, tables: Tables) -> DynamoStore {
        let client = aws_smithy_http_client::Builder::new().build_http();
        let config = server.config().http_client(self.http(client)).build();
        DynamoStore::new(aws_sdk_dynamodb::Client::from_conf(config), tables)
    }

    /// What will happen to the requests of this kind to come, one each.
    pub fn will(&self, operation: &'static str, mishaps: impl IntoIterator<Item = Mishap>) {
        self.0.mishaps.lock().entry(operation).or_default().extend(mishaps);
    }

    /// Every transaction will fail like this so many times before it is let through.
    pub fn hurdles(&self, count: usize, mishap: Mishap) {
        *self.0.hurdles.lock() = Some((count, mishap));
    }

    /// The bodies of the requests of this kind so far.
    pub fn requests(&self, operation: &str) -> Vec<Value> {
        let requests = self.0.requests.lock();
        let of = requests.iter().filter(|(name, _)| name == operation);
        of.map(|(_, body)| body.clone()).collect()
    }

    /// All requests so far.
    pub fn everything(&self) -> Vec<(String, Value)> {
        self.0.requests.lock().clone()
    }

    fn http(&self, client: SharedHttpClient) -> SharedHttpClient {
        let between = self.clone();
        http_client_fn(move |settings, components| {
            let inner = client.http_connector(settings, components);
            SharedHttpConnector::new(Line { between: between.clone(), inner })
        })
    }

    fn mishap(&self, operation: &str, body: &Value) -> Option<Mishap> {
        if let Some((count, mishap)) = &*self.0.hurdles.lock()
            && let Some(token) = body["ClientRequestToken"].as_str()
        {
            let mut attempts = self.0.attempts.lock();
            let attempts = attempts.entry(token.to_owned()).or_default();
            *attempts += 1;
            return (*attempts <= *count).then(|| mishap.clone());
        }
        self.0.mishaps.lock().get_mut(operation)?.pop_front()
    }
}

#[derive(Clone)]
struct Line {
    between: Between,
    inner: SharedHttpConnector,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let line = self.clone();
        HttpConnectorFuture::new(async move { line.pass(request).await })
    }
}

impl Line {
    async fn pass(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        self.between.0.requests.lock().push((operation.clone(), body.clone()));
        match self.between.mishap(&operation, &body) {
            None if operation == "Query" => self.listing(request).await,
            None => self.inner.call(request).await,
            Some(Mishap::Refusal(status, answer)) => Ok(response(status, &answer)),
            Some(Mishap::Loss) => {
                self.inner.call(request).await?;
                Err(ConnectorError::io("the connection was reset".into()))
            }
            Some(Mishap::Unprocessed) => {
                let rest = json!({ "Responses": {}, "UnprocessedKeys": body["RequestItems"] });
                Ok(response(200, &rest))
            }
            Some(Mishap::Behind) => {
                let last = self.between.0.last_listing.lock().clone();
                Ok(response(200, &last.expect("the index was asked before")))
            }
        }
    }

    /// Remembers what the index shows.
    async fn listing(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let mut answer = self.inner.call(request).await?;
        let status = answer.status().as_u16();
        let bytes = http_body_util::BodyExt::collect(answer.take_body()).await;
        let listing: Value = serde_json::from_slice(&bytes.unwrap().to_bytes()).unwrap();
        *self.between.0.last_listing.lock() = Some(listing.clone());
        Ok(response(status, &listing))
    }
}

fn response(status: u16, body: &Value) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body.to_string().into())
}
