//! Lambda's Runtime API, for one instance.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::accept::{Answer, answer};
use super::{ACCOUNT, Failure, REGION};

/// One event to be handled.
pub(super) struct Job {
    pub(super) id: String,
    pub(super) payload: String,
    /// Milliseconds since the epoch.
    pub(super) deadline: u64,
    pub(super) reply: Reply,
}

type Reply = oneshot::Sender<Result<Value, Failure>>;
type Started = Box<dyn FnOnce() + Send>;

/// Where an instance fetches its events and leaves its answers.
pub(super) struct Desk {
    arn: String,
    waiting: tokio::sync::Mutex<mpsc::Receiver<Job>>,
    current: Mutex<Option<(String, Reply)>>,
    started: Mutex<Option<Started>>,
    init_error: Mutex<Option<String>>,
}

impl Desk {
    pub(super) fn new(function: &str, waiting: mpsc::Receiver<Job>, started: Started) -> Self {
        Self {
            arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"),
            waiting: tokio::sync::Mutex::new(waiting),
            current: Mutex::default(),
            started: Mutex::new(Some(started)),
            init_error: Mutex::default(),
        }
    }

    /// What the instance said instead of asking for an event.
    pub(super) fn why_not_started(&self) -> Option<String> {
        self.init_error.lock().clone()
    }

    pub(super) async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let desk = self.clone();
            let service = service_fn(move |request| {
                let desk = desk.clone();
                async move { Ok::<_, Infallible>(desk.answer(request).await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = head.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        let parts: Vec<_> = path.split('/').collect();
        if head.method == Method::GET && parts == ["invocation", "next"] {
            return self.next().await;
        }
        let Ok(body) = body.collect().await else { return answer(400, "") };
        let body = body.to_bytes();
        match (head.method, parts.as_slice()) {
            (Method::POST, ["init", "error"]) => {
                *self.init_error.lock() = Some(String::from_utf8_lossy(&body).into_owned());
                answer(202, "")
            }
            (Method::POST, ["invocation", id, "response"]) => {
                let malformed = |_| Failure::Malformed(String::from_utf8_lossy(&body).into_owned());
                self.leave(id, serde_json::from_slice(&body).map_err(malformed))
            }
            (Method::POST, ["invocation", id, "error"]) => {
                let error: Value = serde_json::from_slice(&body).unwrap_or_default();
                let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                let failure =
                    Failure::Error { kind: text("errorType"), message: text("errorMessage") };
                self.leave(id, Err(failure))
            }
            _ => answer(404, ""),
        }
    }

    async fn next(&self) -> Answer {
        if let Some(started) = self.started.lock().take() {
            started();
        }
        let Some(job) = self.waiting.lock().await.recv().await else { return answer(410, "") };
        let response = Response::builder()
            .status(StatusCode::OK)
            .header("content-type", "application/json")
            .header("lambda-runtime-aws-request-id", &job.id)
            .header("lambda-runtime-deadline-ms", job.deadline)
            .header("lambda-runtime-invoked-function-arn", &self.arn)
            .header("lambda-runtime-trace-id", "Root=1-00000000-000000000000000000000000;Sampled=0")
            .body(job.payload.into())
            .unwrap();
        *self.current.lock() = Some((job.id, job.reply));
        response
    }

    fn leave(&self, id: &str, outcome: Result<Value, Failure>) -> Answer {
        let current = self.current.lock().take_if(|(current, _)| current == id);
        let Some((_, reply)) = current else { return answer(400, "no such invocation") };
        // Nobody waits any more for what took too long.
        let _ = reply.send(outcome);
        answer(202, "")
    }
}
