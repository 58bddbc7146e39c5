//! Real Redis or Valkey servers for tests: one, or a cluster, each with a directory of its own.
//!
//! `AMBO_TEST_REDIS` names the program, `redis-server` without it: with `valkey-server` all of this
//! runs on Valkey.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{AsyncConnectionConfig, FromRedisValue, RedisResult};
use tempfile::TempDir;

use crate::ports::free_port;

/// The file in its directory that a server reads first.
const CONFIG: &str = "server.conf";

/// How long a server may take for anything; only a broken one takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server on a port of its own, killed when dropped.
pub struct RedisServer {
    directory: TempDir,
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// A server that keeps nothing when it stops.
    pub async fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"]).await
    }

    /// A server that loses nothing when it is killed.
    pub async fn start_durable() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// A server with these options.
    pub async fn start_with(options: &[&str]) -> Self {
        Self::start_configured("", options).await
    }

    /// A server with these options and a file of configuration, which it may write.
    async fn start_configured(config: &str, options: &[&str]) -> Self {
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join(CONFIG), config).unwrap();
        let mut server = Self { directory, port: free_port(), options, child: None };
        server.restart().await;
        server
    }

    /// Starts it again, on its old port and with what it has kept.
    pub async fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while !self.answers().await {
            assert!(Instant::now() < deadline, "{} does not start", self.program());
            tokio::time::sleep(Duration::from_millis(10)).await;
            if self.child.is_none() {
                self.child = Some(self.spawn());
            }
            // Somebody else may have been quicker to take its port, and leaves it again.
            self.child.take_if(|child| child.try_wait().unwrap().is_some());
        }
    }

    /// Whether it is this very server that answers, and not one of another test.
    async fn answers(&self) -> bool {
        let Some(child) = &self.child else { return false };
        let info = self.try_run::<String>(&["INFO", "server"]).await;
        info.is_ok_and(|info| info.contains(&format!("process_id:{}\r", child.id())))
    }

    /// Ends it at once, without a word to anybody.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Lets it hang: connections stay, nothing is answered.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs one command on a connection of its own.
    pub async fn run<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_run(command).await.unwrap()
    }

    /// The same, if it can.
    pub async fn try_run<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
    }

    fn spawn(&self) -> Child {
        Command::new(self.program())
            .arg(self.directory.path().join(CONFIG))
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--daemonize", "no", "--loglevel", "warning"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be run: {error}", self.program()))
    }

    fn program(&self) -> String {
        // Not every build of either can encrypt, and to the client they are the same there.
        let encrypts = self.options.iter().any(|option| option == "--tls-port");
        let chosen = std::env::var("AMBO_TEST_REDIS").ok().filter(|_| !encrypts);
        chosen.unwrap_or_else(|| "redis-server".into())
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().unwrap();
        let kill = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill.success(), "kill {signal}");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A cluster of masters without replicas.
pub struct RedisCluster {
    /// Its servers.
    pub servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// Three servers that share all slots.
    pub async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus_port = free_port().to_string();
            let options = ["--save", "", "--cluster-enabled", "yes", "--cluster-port", &bus_port];
            servers.push(RedisServer::start_with(&options).await);
        }
        for (server, (from, to)) in servers.iter().zip([(0, 5460), (5461, 10922), (10923, 16383)]) {
            let (from, to) = (from.to_string(), to.to_string());
            server.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]).await;
            for other in &servers {
                let bus_port = &other.options[other.options.len() - 1];
                let port = other.port.to_string();
                server.run::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus_port]).await;
            }
        }
        let cluster = Self { servers };
        cluster.settle().await;
        cluster
    }

    /// Where it is.
    pub fn url(&self) -> String {
        let hosts = self.servers.iter().map(|server| format!("127.0.0.1:{}", server.port));
        format!("redis+cluster://{}", hosts.collect::<Vec<_>>().join(","))
    }

    /// Waits until each of its servers knows all slots.
    async fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        for server in &self.servers {
            loop {
                let info: String = server.run(&["CLUSTER", "INFO"]).await;
                let is_whole = info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains("cluster_size:3");
                if is_whole {
                    break;
                }
                assert!(Instant::now() < deadline, "the cluster does not settle:\n{info}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// A master and its replica, watched by one Sentinel.
pub struct RedisSentinel {
    /// Who is the master at first.
    pub master: RedisServer,
    /// Who becomes it when the first one is gone.
    pub replica: RedisServer,
    sentinel: RedisServer,
}

impl RedisSentinel {
    /// All three, once the replica has all that the master has.
    pub async fn start() -> Self {
        let master = RedisServer::start().await;
        let port = master.port.to_string();
        let replica = ["--save", "", "--replicaof", "127.0.0.1", &port];
        let replica = RedisServer::start_with(&replica).await;
        until("the replica is in step", async || {
            let info: String = replica.run(&["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
        let config = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 5000\n"
        );
        let sentinel = RedisServer::start_configured(&config, &["--sentinel"]).await;
        until("the Sentinel knows both", async || {
            let replicas: Vec<redis::Value> = sentinel.run(&["SENTINEL", "REPLICAS", "main"]).await;
            !replicas.is_empty()
        })
        .await;
        Self { master, replica, sentinel }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port)
    }
}

/// Waits for what happens by itself.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
