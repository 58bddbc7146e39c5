//! Real Redis or Valkey servers for tests: one, or a cluster, each with a directory of its own.
//!
//! `AMBO_TEST_REDIS` names the program, `redis-server` without it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{FromRedisValue, RedisResult};
use tempfile::TempDir;

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
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let directory = TempDir::new().unwrap();
        let mut server = Self { directory, port: free_port(), options, child: None };
        server.restart().await;
        server
    }

    /// Starts it again, on its old port and with what it has kept.
    pub async fn restart(&mut self) {
        self.kill();
        let deadline = Instant::now() + PATIENCE;
        while !self.answers().await {
            assert!(Instant::now() < deadline, "{} does not start", program());
            tokio::time::sleep(Duration::from_millis(10)).await;
            // Somebody else may have been quicker to take its port, and leaves it again.
            let child =
                self.child.get_or_insert_with(|| spawn(self.port, &self.directory, &self.options));
            if child.try_wait().unwrap().is_some() {
                self.child = None;
            }
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
        let mut connection = client.get_multiplexed_async_connection().await?;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await
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

fn spawn(port: u16, directory: &TempDir, options: &[String]) -> Child {
    Command::new(program())
        .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
        .args(["--daemonize", "no", "--loglevel", "warning"])
        .arg("--dir")
        .arg(directory.path())
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} cannot be run: {error}", program()))
}

fn program() -> String {
    std::env::var("AMBO_TEST_REDIS").unwrap_or_else(|_| "redis-server".into())
}

/// A port nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
