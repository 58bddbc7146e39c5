//! A double of Amazon API Gateway's WebSocket APIs, with as much of AWS Lambda as stands behind
//! one: the Runtime API, which drives real bootstraps, and the Invoke API.
//!
//! It exists because no emulator gets the corners right that the handlers depend on. What it does:
//!
//! 1. A handshake waits for `$connect`; when that fails there is no connection.
//! 2. A refusal has `$connect`'s status. Its errors are 502, a route without a function 500, and a
//!    throttled handshake 429.
//! 3. Nothing of a response's body reaches the client; a subprotocol does.
//! 4. Until `$connect` has returned, `@connections` answers 410.
//! 5. The stage is the first segment of the path; an address has at most 4,096 characters.
//! 6. A missing identity source is 401, and no authorizer is asked.
//! 7. Events have the shapes that the public fixtures show; header names keep their case.
//! 8. The authorizer's policy must allow the method, else 403. Its context arrives in every later
//!    event, in strings.
//! 9. A message goes to the route at `$request.body.action`, else to `$default`, else the client
//!    is told `Forbidden`.
//! 10. A function's error, or 29 s without an answer, is `Internal server error` on an open socket.
//! 11. Messages are one-way: a returned body is dropped.
//! 12. A binary frame closes with 1003, a frame over 32 KB or a message over 128 KB with 1009.
//! 13. Messages of one connection are served at the same time, in no order.
//! 14. Ten idle minutes, or two hours, close with 1001.
//! 15. `$disconnect` comes after the close, as a rule; [`Disconnects`] says otherwise.
//! 16. `@connections` has POST, GET and DELETE, wants a signature, and names its errors in
//!     `x-amzn-ErrorType`.
//! 17. Token buckets throttle handshakes and `@connections`.
//!
//! Where AWS does not say, the double does what was seen of it, or else what is hardest on the
//! functions.

mod accept;
mod authorizer;
mod bucket;
mod connect;
mod event;
mod function;
mod instance;
mod invoke;
mod knobs;
mod log;
mod manage;
mod moment;
mod plan;
mod pool;
mod process;
mod runtime;
mod signature;
mod socket;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use bucket::Rate;
pub use function::{Failure, Function};
pub use knobs::{Disconnects, Knobs};
pub use log::{Entry, Happening};
pub use plan::{Ages, Plan};
pub use signature::{ACCESS_KEY, SECRET_KEY, SESSION_TOKEN, sign};

use bucket::Bucket;
use log::Log;
use pool::Pool;
use socket::Live;

/// Where everything pretends to be.
pub const REGION: &str = "us-east-1";
const ACCOUNT: &str = "123456789012";
const API: &str = "a1b2c3d4e5";
/// An integration that takes longer has failed.
const INTEGRATION_TIMEOUT: Duration = Duration::from_secs(29);

/// A running double.
pub struct Gateway {
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

impl Gateway {
    /// Listens on a free port of this machine. Functions are deployed afterwards, since their
    /// environment names the addresses.
    pub async fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            handshakes: Bucket::new(plan.handshakes),
            posts: Bucket::new(plan.posts),
            plan,
            functions: Mutex::default(),
            connections: Mutex::default(),
            knobs: Mutex::default(),
            log: Log::default(),
        });
        let accepting = tokio::spawn(accept::accept(listener, shared.clone())).abort_handle();
        Self { shared, accepting }
    }

    /// Puts a function where routes and invocations find it.
    pub fn deploy(&self, name: &str, function: Function) {
        let pool = Pool::new(name, function, self.shared.log.clone());
        self.shared.functions.lock().insert(name.to_owned(), Arc::new(pool));
    }

    /// Where it listens: WebSockets, `@connections` and Lambda's Invoke API.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// The address that clients connect to, without a query.
    pub fn url(&self) -> String {
        format!("ws://{}/{}", self.shared.address, self.shared.plan.stage)
    }

    /// The endpoint of `@connections`.
    pub fn management_endpoint(&self) -> String {
        format!("http://{}/{}", self.shared.address, self.shared.plan.stage)
    }

    /// The endpoint of Lambda, for `AWS_ENDPOINT_URL_LAMBDA`.
    pub fn lambda_endpoint(&self) -> String {
        format!("http://{}", self.shared.address)
    }

    /// Changes what goes wrong from now on.
    pub fn change(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.shared.knobs.lock());
    }

    /// Invokes a function with this event, as a test of it alone would.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<Value, Failure> {
        let pool = self.shared.function(function).expect("the function is deployed");
        pool.invoke(event, Duration::from_secs(900)).await
    }

    /// Invokes a function as a rule of EventBridge does.
    pub async fn tick(&self, function: &str) -> Result<Value, Failure> {
        self.invoke(function, &event::scheduled()).await
    }

    /// Waits until no function runs. What has not been read from a socket yet does not count.
    pub async fn settle(&self) {
        // What one invocation causes begins before it ends, or as soon as the network has it.
        let mut calm = 0;
        while calm < 3 {
            tokio::time::sleep(Duration::from_millis(2)).await;
            calm = if self.shared.log.running() == 0 { calm + 1 } else { 0 };
        }
    }

    /// Everything that happened so far.
    pub fn events(&self) -> Vec<Entry> {
        self.shared.log.entries()
    }

    /// The ids of the open connections.
    pub fn connections(&self) -> Vec<String> {
        self.shared.connections.lock().keys().cloned().collect()
    }

    /// How much CPU time the instances of a function have used, start included, in steps of 10 ms.
    pub fn cpu_time(&self, function: &str) -> Duration {
        self.shared.function(function).expect("the function is deployed").cpu_time()
    }

    /// What a function has written, line by line.
    pub fn output(&self, function: &str) -> Vec<String> {
        self.shared.function(function).expect("the function is deployed").output()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.abort();
        // Ends their processes.
        self.shared.functions.lock().clear();
    }
}

/// What all requests share.
struct Shared {
    address: SocketAddr,
    plan: Plan,
    functions: Mutex<HashMap<String, Arc<Pool>>>,
    connections: Mutex<HashMap<String, Arc<Live>>>,
    knobs: Mutex<Knobs>,
    handshakes: Bucket,
    posts: Bucket,
    log: Log,
}

impl Shared {
    fn function(&self, name: &str) -> Option<Arc<Pool>> {
        self.functions.lock().get(name).cloned()
    }

    fn connection(&self, id: &str) -> Option<Arc<Live>> {
        self.connections.lock().get(id).cloned()
    }
}

/// An id as AWS makes them: 11 bytes in URL-safe base64, which ends in `=`.
fn new_id() -> String {
    use base64::Engine as _;
    let bytes: [u8; 11] = std::array::from_fn(|_| fastrand::u8(..));
    base64::engine::general_purpose::URL_SAFE.encode(bytes)
}

/// An id of a request to Lambda.
fn new_uuid() -> String {
    let [a, b] = [fastrand::u64(..), fastrand::u64(..)];
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xfff,
        b >> 52,
        b & 0xffff_ffff_ffff
    )
}
