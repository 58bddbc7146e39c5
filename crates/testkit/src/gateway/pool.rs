//! The instances of one function.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::function::Work;
use super::instance::{Instance, Spot};
use super::log::{Happening, Log};
use super::process;
use super::{Failure, Function};

pub(super) struct Pool {
    function: Function,
    permits: Semaphore,
    idle: Mutex<Vec<Instance>>,
    /// Of all instances there ever were.
    processes: Mutex<Vec<u32>>,
    spot: Spot,
}

impl Pool {
    pub(super) fn new(name: &str, function: Function, log: Log) -> Self {
        let spot = Spot { function: name.to_owned(), log, output: Arc::default() };
        Self {
            permits: Semaphore::new(function.concurrency),
            function,
            idle: Mutex::default(),
            processes: Mutex::default(),
            spot,
        }
    }

    /// One invocation, by an instance that has nothing else to do.
    pub(super) async fn invoke(&self, event: &Value, limit: Duration) -> Result<Value, Failure> {
        let (start, _running) = (Instant::now(), self.spot.log.begin());
        let limit = limit.min(self.function.timeout);
        let outcome = tokio::time::timeout(limit, self.run(event, limit)).await;
        let outcome = outcome.unwrap_or(Err(Failure::TimedOut));
        self.spot.log.add(Happening::Invoked {
            function: self.spot.function.clone(),
            event: event.clone(),
            outcome: outcome.clone(),
            took: start.elapsed(),
        });
        outcome
    }

    async fn run(&self, event: &Value, limit: Duration) -> Result<Value, Failure> {
        let _permit = self.permits.acquire().await.expect("the semaphore is never closed");
        let (program, env) = match &self.function.work {
            Work::Scripted(work) => return work(event.clone()).await,
            Work::Binary { program, env } => (program, env),
        };
        let idle = self.idle.lock().pop();
        // Is dropped, and so its process killed, when this takes too long.
        let mut instance = match idle {
            Some(instance) => instance,
            None => {
                let instance = Instance::start(program, env, &self.spot).await?;
                self.processes.lock().extend(instance.process_id());
                instance
            }
        };
        let outcome = instance.serve(event, limit).await;
        if !matches!(outcome, Err(Failure::Exited(_))) {
            self.idle.lock().push(instance);
        }
        outcome
    }

    pub(super) fn cpu_time(&self) -> Duration {
        self.processes.lock().iter().filter_map(|&id| process::cpu_time(id)).sum()
    }

    pub(super) fn output(&self) -> Vec<String> {
        self.spot.output.lock().clone()
    }
}
