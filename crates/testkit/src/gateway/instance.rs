//! One instance of a function: a process and its Runtime API.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::log::{Happening, Log};
use super::runtime::{Desk, Job};
use super::{ACCESS_KEY, Failure, REGION, SECRET_KEY, SESSION_TOKEN, moment, new_uuid};

/// Where an instance belongs.
#[derive(Clone)]
pub(super) struct Spot {
    pub(super) function: String,
    pub(super) log: Log,
    pub(super) output: Arc<Mutex<Vec<String>>>,
}

pub(super) struct Instance {
    child: Child,
    jobs: mpsc::Sender<Job>,
    desk: Arc<Desk>,
    serving: AbortHandle,
}

impl Instance {
    pub(super) async fn start(
        program: &Path,
        env: &[(String, String)],
        spot: &Spot,
    ) -> Result<Self, Failure> {
        // An address of its own tells whose request it is.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let runtime_api = listener.local_addr().unwrap().to_string();
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(env_of_lambda(&spot.function, &runtime_api))
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let (jobs, waiting) = mpsc::channel(1);
        let (log, function, start) = (spot.log.clone(), spot.function.clone(), Instant::now());
        let started = move || log.add(Happening::Started { function, took: start.elapsed() });
        let desk = Arc::new(Desk::new(&spot.function, waiting, Box::new(started)));
        let mut child = command.spawn().map_err(|error| Failure::Exited(error.to_string()))?;
        keep(child.stdout.take(), spot);
        keep(child.stderr.take(), spot);
        let serving = tokio::spawn(desk.clone().serve(listener)).abort_handle();
        Ok(Self { child, jobs, desk, serving })
    }

    pub(super) fn process_id(&self) -> Option<u32> {
        self.child.id()
    }

    pub(super) async fn serve(&mut self, event: &Value, limit: Duration) -> Result<Value, Failure> {
        let (reply, answer) = oneshot::channel();
        let job = Job {
            id: new_uuid(),
            payload: event.to_string(),
            deadline: moment::now() + limit.as_millis() as u64,
            reply,
        };
        self.jobs.send(job).await.map_err(|_| Failure::Exited("its desk is gone".to_owned()))?;
        tokio::select! {
            // An answer counts, even if the process ended right after it.
            biased;
            answer = answer => answer.unwrap_or_else(|_| Err(Failure::Exited(String::new()))),
            status = self.child.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |s| s.to_string());
                Err(Failure::Exited(self.desk.why_not_started().unwrap_or(status)))
            }
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn env_of_lambda(function: &str, runtime_api: &str) -> Vec<(&'static str, String)> {
    let given = [
        ("AWS_LAMBDA_RUNTIME_API", runtime_api),
        ("AWS_LAMBDA_FUNCTION_NAME", function),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2022/02/22/[$LATEST]0123456789abcdef"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
        ("AWS_REGION", REGION),
        ("AWS_DEFAULT_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_SESSION_TOKEN", SESSION_TOKEN),
        ("LANG", "en_US.UTF-8"),
        ("PATH", "/usr/local/bin:/usr/bin/:/bin"),
        ("TZ", ":UTC"),
    ];
    let mut env: Vec<_> = given.iter().map(|&(name, value)| (name, value.to_owned())).collect();
    env.push(("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{function}")));
    env
}

/// Keeps what a process writes, line by line.
fn keep(stream: Option<impl AsyncRead + Unpin + Send + 'static>, spot: &Spot) {
    let Some(stream) = stream else { return };
    let output = spot.output.clone();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output.lock().push(line);
        }
    });
}
