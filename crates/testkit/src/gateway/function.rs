//! What stands behind a route.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

type Answer = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

/// A Lambda function.
pub struct Function {
    pub(super) work: Work,
    pub(super) concurrency: usize,
    pub(super) timeout: Duration,
}

pub(super) enum Work {
    Binary { program: PathBuf, env: Vec<(String, String)> },
    Scripted(Arc<dyn Fn(Value) -> Answer + Send + Sync>),
}

impl Function {
    /// A bootstrap, started as Lambda starts it: with nothing in its environment but what is given
    /// here and what Lambda gives.
    pub fn binary(program: &Path, env: &[(&str, &str)]) -> Self {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let env = env.iter().map(owned).collect();
        Self::of(Work::Binary { program: program.to_owned(), env })
    }

    /// A function that runs in the test's own process.
    pub fn scripted<F>(work: impl Fn(Value) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, Failure>> + Send + 'static,
    {
        Self::of(Work::Scripted(Arc::new(move |event| Box::pin(work(event)))))
    }

    /// At most so many instances at once; what comes on top waits for one, where AWS would refuse.
    #[must_use]
    pub fn concurrency(mut self, instances: usize) -> Self {
        self.concurrency = instances;
        self
    }

    /// An invocation that takes longer has failed, and its instance is killed.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn of(work: Work) -> Self {
        Self { work, concurrency: 1_000, timeout: Duration::from_secs(30) }
    }
}

/// Why a function gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It said so.
    #[error("{kind}: {message}")]
    Error {
        /// `errorType`.
        kind: String,
        /// `errorMessage`.
        message: String,
    },
    /// It took too long.
    #[error("Sandbox.Timedout")]
    TimedOut,
    /// Its process ended, or could not begin.
    #[error("Runtime.ExitError: {0}")]
    Exited(String),
    /// It answered something that is not JSON.
    #[error("Runtime.MalformedResponse: {0}")]
    Malformed(String),
}

impl Failure {
    /// An error as a scripted function returns it.
    pub fn error(message: &str) -> Self {
        Self::Error { kind: "Error".to_owned(), message: message.to_owned() }
    }
}
