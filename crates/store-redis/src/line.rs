//! A connection to one server at a time, made when it is needed and again after it was lost.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, RedisError, RedisResult, ServerErrorKind, Value,
};

use crate::engine::{Failed, Work, in_time};
use crate::settings::{RedisSettings, Shape};

/// How long everybody gets the last failure's answer before the next attempt to connect: a server
/// that is down is not asked by each of thousands of calls.
const PAUSE: Duration = Duration::from_millis(100);

/// Where the server is.
pub(crate) enum Way {
    Fixed(Box<Client>),
    /// Whoever is the master now. Asked for at each new connection.
    Sentinel(Box<tokio::sync::Mutex<SentinelClient>>),
}

/// One connection, replaced when it is lost.
pub(crate) struct Line {
    way: Way,
    limit: Duration,
    link: Mutex<Link>,
    /// Held by the one who connects; everybody else waits for what comes of it.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Link {
    /// Counts the connections, so that the loss of an old one is not taken for that of a new one.
    number: u64,
    open: Option<MultiplexedConnection>,
    failed: Option<(Instant, RedisError)>,
}

impl Line {
    pub(crate) fn new(way: Way, limit: Duration) -> Self {
        Self { way, limit, link: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Calls on the present connection.
    pub(crate) async fn call(&self, work: Work<'_>) -> Result<Value, Failed> {
        let mut number = None;
        let outcome = in_time(self.limit, async {
            let (connected, mut link) = self.connection().await?;
            number = Some(connected);
            work.on(&mut link).await
        });
        let outcome = outcome.await;
        let is_lost = match &outcome {
            Ok(value) => tells_of_no_master(value),
            // A peer that has vanished looks like one that is slow; a new connection finds out.
            Err(Failed::InTime(_)) => true,
            Err(Failed::By(error)) => error.is_unrecoverable_error() || is_no_master(error),
        };
        if let (true, Some(number)) = (is_lost, number) {
            self.give_up(number);
        }
        outcome
    }

    /// A client of the server that is the right one now.
    pub(crate) async fn client(&self) -> RedisResult<Client> {
        match &self.way {
            Way::Fixed(client) => Ok(Client::clone(client)),
            Way::Sentinel(sentinel) => sentinel.lock().await.async_get_client().await,
        }
    }

    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(open) = self.present() {
            return open;
        }
        let _turn = self.connecting.lock().await;
        if let Some(open) = self.present() {
            return open;
        }
        let opened = self.open().await;
        let mut link = self.link.lock();
        match opened {
            Ok(open) => {
                *link = Link { number: link.number + 1, open: Some(open.clone()), failed: None };
                Ok((link.number, open))
            }
            Err(error) => {
                link.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The connection, or a failure that is still fresh.
    fn present(&self) -> Option<RedisResult<(u64, MultiplexedConnection)>> {
        let link = self.link.lock();
        if let Some(open) = &link.open {
            return Some(Ok((link.number, open.clone())));
        }
        let failed = link.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE);
        failed.map(|(_, error)| Err(error.clone()))
    }

    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        // Shorter than the call that waits for it, so that what failed is known to the next one.
        // Calls have their own limit.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit * 2 / 3))
            .set_response_timeout(None);
        self.client().await?.get_multiplexed_async_connection_with_config(&config).await
    }

    fn give_up(&self, number: u64) {
        let mut link = self.link.lock();
        if link.number == number {
            link.open = None;
        }
    }
}

impl Way {
    pub(crate) fn of(settings: &RedisSettings) -> RedisResult<Self> {
        let first = &settings.nodes[0];
        let Shape::Sentinel { master, password } = &settings.shape else {
            return client(settings, first).map(|client| Self::Fixed(Box::new(client)));
        };
        let addresses = settings.nodes.iter().map(|node| node.addr().clone());
        let (kind, login) = (SentinelServerType::Master, first.redis_settings());
        let tcp_settings = tcp_settings(settings.call_timeout);
        let mut builder = SentinelClientBuilder::new(addresses, master, kind)?
            .set_client_to_redis_db(login.db())
            .set_client_to_redis_tcp_settings(tcp_settings.clone())
            .set_client_to_sentinel_tcp_settings(tcp_settings);
        if settings.is_encrypted() {
            builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
        }
        if let Some(name) = login.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(secret) = login.password() {
            builder = builder.set_client_to_redis_password(secret);
        }
        if let Some(secret) = password {
            builder = builder.set_client_to_sentinel_password(secret);
        }
        if let Some(certificates) = settings.certificates()? {
            builder = builder
                .set_client_to_redis_certificates(certificates.clone())
                .set_client_to_sentinel_certificates(certificates);
        }
        let sentinel = tokio::sync::Mutex::new(builder.build()?);
        Ok(Self::Sentinel(Box::new(sentinel)))
    }
}

/// A client of one server.
pub(crate) fn client(settings: &RedisSettings, node: &ConnectionInfo) -> RedisResult<Client> {
    let node = node.clone().set_tcp_settings(tcp_settings(settings.call_timeout));
    match settings.certificates()? {
        Some(certificates) => Client::build_with_tls(node, certificates),
        None => Client::open(node),
    }
}

/// No waiting for more to send, and a peer that acknowledges nothing is given up, be there
/// something to send or not: on a connection that only listens nothing else would notice.
pub(crate) fn tcp_settings(limit: Duration) -> TcpSettings {
    // The shortest that a kernel takes is a second.
    let keepalive = redis::io::tcp::socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(5))
        .with_interval(Duration::from_secs(1));
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(limit * 2);
    settings
}

/// Whether the server is one that a failover has left behind, or not yet made the master.
fn is_no_master(error: &RedisError) -> bool {
    matches!(error.kind(), redis::ErrorKind::Server(kind) if is_of_no_master(kind))
}

/// The same from the answer of a pipeline that keeps each command's error for itself.
fn tells_of_no_master(answer: &Value) -> bool {
    let Value::Array(answers) = answer else { return false };
    let mut errors = answers.iter().filter_map(|answer| match answer {
        Value::ServerError(error) => error.kind(),
        _ => None,
    });
    errors.any(is_of_no_master)
}

fn is_of_no_master(kind: ServerErrorKind) -> bool {
    matches!(kind, ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown)
}
