//! The way to the engine: one Redis or Valkey server, the master that Sentinels name, or a cluster.
//!
//! All calls of a node share one multiplexed connection to each server: calls that are made at the
//! same time travel together, and nothing but the engine makes them wait for each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::StoreFault;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::{ConnectionLike, PubSub};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo};
use redis::{Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ToRedisArgs, Value};

use crate::fault;
use crate::line::{Line, Way};
use crate::settings::{RedisSettings, Shape};

/// A way to the engine. Clones share their connections, which come back by themselves.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    route: Route,
    settings: RedisSettings,
    address: String,
}

enum Route {
    /// One server at a time.
    Line(Box<Line>),
    /// A cluster, and the servers by which it was found.
    Cluster(ClusterConnection, Vec<Client>),
}

/// A Lua script, called by its digest.
#[derive(Clone, Debug)]
pub struct Script {
    source: String,
    digest: String,
    /// Held by the one who sends the source.
    loading: Arc<tokio::sync::Mutex<()>>,
}

impl Script {
    /// A script of this source.
    pub fn new(source: impl Into<String>) -> Self {
        let source = source.into();
        let digest = redis::Script::new(&source).get_hash().to_owned();
        Self { source, digest, loading: Arc::default() }
    }

    /// The command that runs it.
    pub(crate) fn call(&self, keys: &[String], args: impl ToRedisArgs, by: By) -> Cmd {
        let (verb, script) = match by {
            By::Digest => ("EVALSHA", &self.digest),
            By::Source => ("EVAL", &self.source),
        };
        let mut call = redis::cmd(verb);
        call.arg(script).arg(keys.len()).arg(keys).arg(args);
        call
    }
}

/// How a script is named.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By {
    Digest,
    Source,
}

impl Engine {
    /// Connects; the fault says what is wrong when it cannot.
    pub async fn connect(settings: &RedisSettings) -> Result<Self, StoreFault> {
        let address = settings.address();
        if settings.is_encrypted() {
            // The library takes the process's provider and panics when there is none. An error
            // says that somebody has chosen one already.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let route = match settings.shape {
            Shape::Single | Shape::Sentinel { .. } => {
                let way = Way::of(settings).map_err(|error| fault::of(&address, error))?;
                Route::Line(Box::new(Line::new(way, settings.call_timeout)))
            }
            Shape::Cluster => {
                let clients = clients(settings).map_err(|error| fault::of(&address, error))?;
                let cluster = in_time(settings.call_timeout * 2, join(settings));
                Route::Cluster(settled(cluster.await, &address)?, clients)
            }
        };
        let engine = Self(Arc::new(Inner { route, settings: settings.clone(), address }));
        engine.run::<()>(redis::cmd("PING")).await?;
        Ok(engine)
    }

    /// A key or a channel's name: the prefix, a colon, and this.
    pub fn key(&self, rest: impl std::fmt::Display) -> String {
        format!("{}:{rest}", self.0.settings.key_prefix)
    }

    /// Where it is, for people.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Whether keys with different hash tags lie on different servers, so that what is sent
    /// together must share a slot.
    pub fn is_cluster(&self) -> bool {
        matches!(self.0.route, Route::Cluster(..))
    }

    /// Runs one command.
    pub async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StoreFault> {
        read(self.send(Work::One(&command)).await.map_err(|failed| failed.at(&self.0.address))?)
    }

    /// Runs commands whose keys share a slot, in their order and without waiting between them.
    /// The first that fails fails the pipeline.
    pub async fn run_all<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, StoreFault> {
        read(self.send(Work::All(commands)).await.map_err(|failed| failed.at(&self.0.address))?)
    }

    /// Runs a script, one step of the engine's. All keys must share a slot.
    pub async fn invoke<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        args: impl ToRedisArgs,
    ) -> Result<T, StoreFault> {
        let args = args.to_redis_args();
        let call = script.call(keys, &args, By::Digest);
        let sent = match self.send(Work::One(&call)).await {
            Err(failed) if failed.is_of_unknown_script() => {
                self.introduce(script, keys, &args, &call).await
            }
            sent => sent,
        };
        read(sent.map_err(|failed| failed.at(&self.0.address))?)
    }

    /// Runs a script that was not loaded yet, or is no longer, since the engine was restarted or
    /// emptied. Sending the source loads it just where it is needed. One does; the many who ask at
    /// the same moment wait for that.
    async fn introduce(
        &self,
        script: &Script,
        keys: &[String],
        args: &[Vec<u8>],
        by_digest: &Cmd,
    ) -> Result<Value, Failed> {
        let by_source = script.call(keys, args, By::Source);
        let Ok(_loading) = script.loading.try_lock() else {
            drop(script.loading.lock().await);
            return match self.send(Work::One(by_digest)).await {
                // On another server of the cluster.
                Err(failed) if failed.is_of_unknown_script() => {
                    self.send(Work::One(&by_source)).await
                }
                sent => sent,
            };
        };
        self.send(Work::One(&by_source)).await
    }

    /// A connection of its own for publish and subscribe: to the master, or to any server of a
    /// cluster, which pass messages on to each other. It does not come back by itself.
    pub async fn pubsub(&self) -> Result<PubSub, StoreFault> {
        let limit = self.0.settings.call_timeout;
        let opened = match &self.0.route {
            Route::Line(line) => {
                in_time(limit * 2, async { line.client().await?.get_async_pubsub().await }).await
            }
            Route::Cluster(_, clients) => any_pubsub(clients, limit).await,
        };
        settled(opened, &self.0.address)
    }

    /// What tells one life of a server from another, by the server's address: of the one in use,
    /// or of each master of a cluster that can be reached.
    pub(crate) async fn lives(&self) -> Result<BTreeMap<String, String>, StoreFault> {
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let mut lives: BTreeMap<String, String> = match &self.0.route {
            Route::Line(_) => [(self.0.address.clone(), self.run(info).await?)].into(),
            Route::Cluster(cluster, _) => {
                let masters = (MultipleNodeRoutingInfo::AllMasters, None);
                let mut cluster = cluster.clone();
                let call = cluster.route_command(info, RoutingInfo::MultiNode(masters));
                let answers = in_time(self.0.settings.call_timeout, call).await;
                read(settled(answers, self.address())?)?
            }
        };
        for answer in lives.values_mut() {
            let id = answer.lines().find_map(|line| line.strip_prefix("run_id:"));
            *answer = id.ok_or_else(|| fault::malformed("an INFO without a run_id"))?.to_owned();
        }
        Ok(lives)
    }

    // Boxed: the library's futures are so deep that the compiler gives up on those round them.
    fn send<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Result<Value, Failed>> {
        match &self.0.route {
            Route::Line(line) => line.call(work).boxed(),
            Route::Cluster(cluster, _) => {
                let (limit, mut cluster) = (self.0.settings.call_timeout, cluster.clone());
                async move { in_time(limit, work.on(&mut cluster)).await }.boxed()
            }
        }
    }
}

/// What is sent.
pub(crate) enum Work<'a> {
    One(&'a Cmd),
    All(&'a Pipeline),
}

impl Work<'_> {
    pub(crate) async fn on(self, link: &mut impl ConnectionLike) -> RedisResult<Value> {
        match self {
            Self::One(command) => link.req_packed_command(command).await?.extract_error(),
            Self::All(commands) => commands.query_async(link).await,
        }
    }
}

/// Why a call failed.
pub(crate) enum Failed {
    InTime(Duration),
    By(RedisError),
}

impl Failed {
    fn is_of_unknown_script(&self) -> bool {
        matches!(self, Self::By(error) if error.code() == Some("NOSCRIPT"))
    }

    fn at(self, address: &str) -> StoreFault {
        match self {
            Self::InTime(after) => fault::silence(address, after),
            Self::By(error) => fault::of(address, error),
        }
    }
}

/// The outcome of a call that may take so long.
pub(crate) async fn in_time<T>(
    limit: Duration,
    call: impl Future<Output = RedisResult<T>>,
) -> Result<T, Failed> {
    match tokio::time::timeout(limit, call).await {
        Ok(outcome) => outcome.map_err(Failed::By),
        Err(_) => Err(Failed::InTime(limit)),
    }
}

fn settled<T>(outcome: Result<T, Failed>, address: &str) -> Result<T, StoreFault> {
    outcome.map_err(|failed| failed.at(address))
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreFault> {
    redis::from_redis_value(value).map_err(fault::malformed)
}

async fn join(settings: &RedisSettings) -> RedisResult<ClusterConnection> {
    let mut builder = redis::cluster::ClusterClientBuilder::new(settings.nodes.clone())
        .connection_timeout(settings.call_timeout)
        .response_timeout(settings.call_timeout)
        .tcp_settings(crate::line::tcp_settings(settings.call_timeout));
    if let Some(certificates) = settings.certificates()? {
        builder = builder.certs(certificates);
    }
    builder.build()?.get_async_connection().await
}

fn clients(settings: &RedisSettings) -> RedisResult<Vec<Client>> {
    settings.nodes.iter().map(|node| crate::line::client(settings, node)).collect()
}

/// The first server that answers. Each has its own time, so that one that hangs bars no other.
async fn any_pubsub(clients: &[Client], limit: Duration) -> Result<PubSub, Failed> {
    let none = (redis::ErrorKind::ClusterConnectionNotFound, "no server");
    let mut last = Failed::By(none.into());
    for client in clients {
        match in_time(limit, client.get_async_pubsub()).await {
            Ok(pubsub) => return Ok(pubsub),
            Err(failed) => last = failed,
        }
    }
    Err(last)
}
