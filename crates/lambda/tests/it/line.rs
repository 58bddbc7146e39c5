//! The line to the database, on which things go wrong that no database does by itself.

use std::sync::Arc;

use ambo_testkit::dynamo::{DynamoServer, Engine};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use crate::world::World;

/// A line; see [`World::through`].
pub struct Line {
    url: String,
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Inside {
    client: reqwest::Client,
    /// Each of the next request of its kind.
    mishaps: Mutex<Vec<(Kind, Mishap)>>,
}

/// An operation, such as `Scan`, on tables whose names begin like this.
#[derive(Clone, Copy)]
struct Kind(&'static str, &'static str);

enum Mishap {
    Refusal,
    Wait { done: oneshot::Sender<()>, release: oneshot::Receiver<()> },
}

/// An answer that waits for as long as this is held.
pub struct Held {
    done: oneshot::Receiver<()>,
    _release: oneshot::Sender<()>,
}

impl World {
    /// A world that reaches its database through this line.
    pub async fn through(line: &Line) -> Self {
        Self::with(&[("AWS_ENDPOINT_URL_DYNAMODB", &line.url)]).await
    }
}

impl Held {
    /// Waits until what was asked is done.
    pub async fn done(&mut self) {
        (&mut self.done).await.unwrap();
    }
}

impl Line {
    pub async fn open() -> Self {
        let inside = Arc::<Inside>::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(pass).with_state(Arc::clone(&inside));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, inside }
    }

    /// The next request of this kind is not done, and nothing cures that.
    pub fn refuse(&self, operation: &'static str, table: &'static str) {
        self.inside.mishaps.lock().push((Kind(operation, table), Mishap::Refusal));
    }

    /// The next request of this kind is done at once, and its answer waits.
    pub fn hold(&self, operation: &'static str, table: &'static str) -> Held {
        let (done, is_done) = oneshot::channel();
        let (release, is_released) = oneshot::channel();
        let mishap = Mishap::Wait { done, release: is_released };
        self.inside.mishaps.lock().push((Kind(operation, table), mishap));
        Held { done: is_done, _release: release }
    }
}

impl Inside {
    fn mishap(&self, target: &str, body: &str) -> Option<Mishap> {
        let mut mishaps = self.mishaps.lock();
        let at = mishaps.iter().position(|(Kind(operation, table), _)| {
            target.ends_with(&format!(".{operation}"))
                && body.contains(&format!("\"TableName\":\"{table}"))
        });
        at.map(|at| mishaps.remove(at).1)
    }

    async fn ask(&self, headers: HeaderMap, body: String) -> Response {
        let request = self.client.post(DynamoServer::shared(Engine::Dynoxide).endpoint());
        let answer = request.headers(headers).body(body).send().await.unwrap();
        let status = answer.status();
        response(status.as_u16(), answer.bytes().await.unwrap())
    }
}

async fn pass(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let target = head.headers["x-amz-target"].to_str().unwrap();
    match inside.mishap(target, &body) {
        None => inside.ask(head.headers, body).await,
        Some(Mishap::Refusal) => {
            let error = json!({ "__type": "com.amazonaws.dynamodb#AccessDeniedException" });
            response(400, error.to_string())
        }
        Some(Mishap::Wait { done, release }) => {
            let answer = inside.ask(head.headers, body).await;
            let _ = done.send(());
            // An error says that it is held no longer.
            let _ = release.await;
            answer
        }
    }
}

fn response(status: u16, body: impl Into<Body>) -> Response {
    Response::builder().status(status).body(body.into()).unwrap()
}
