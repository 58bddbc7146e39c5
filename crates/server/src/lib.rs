//! The standalone server: sockets, timers and pages round the walk and the hub.
//!
//! Read in this order: [`settings`], `assemble` (what a node is made of), `accept` and `http`
//! (how a request comes in), `upgrade` (who is let in), `connection` (what an open socket says),
//! `outbox` and `live` (who is told), `timers` and `drain` (what time drives), `admin` (what an
//! operator can ask).
//!
//! *Invariant*: what a client is told happens in the order commit, reply, notices.
//! *Invariant*: no task waits for another connection's socket.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod admin;
mod assemble;
mod backing;
mod clock;
mod cluster;
mod connection;
mod departure;
mod drain;
mod http;
mod keys;
mod live;
pub mod logging;
mod metrics;
mod node;
mod outbox;
mod parcel;
mod places;
mod proxy;
pub mod settings;
mod timers;
mod tls;
mod upgrade;

use std::net::SocketAddr;
use std::sync::Arc;

use ambo_app::ports::Store;
use anyhow::Context;
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use clock::Clock;
pub use settings::Settings;

use crate::backing::Kept;
use crate::cluster::Keeper;
use crate::node::Node;
use crate::tls::Tls;

/// A server that answers.
pub struct Server {
    node: Arc<Node>,
    kept: Kept,
    address: SocketAddr,
    admin_address: Option<SocketAddr>,
    accepting: CancellationToken,
    ticking: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

/// How many of everything a server holds, so that a test can show that nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Open connections.
    pub connections: usize,
    /// Sessions in the hub.
    pub sessions: usize,
}

impl Server {
    /// Opens the store, binds the address and begins to answer. Every mistake of the operator is
    /// told here, before the first connection.
    pub async fn start(settings: &Settings, clock: Clock) -> anyhow::Result<Self> {
        Self::start_around(settings, clock, |store| store).await
    }

    /// The same with something round the store, under all that bears its faults: for tests of
    /// what a failing store does.
    pub async fn start_around(
        settings: &Settings,
        clock: Clock,
        around: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
    ) -> anyhow::Result<Self> {
        let assembled = assemble::assemble(settings, &clock, around).await?;
        let tls = match (&settings.tls_cert, &settings.tls_key) {
            (Some(cert), Some(key)) => Some(Arc::new(Tls::open(cert.clone(), key.clone())?)),
            _ => None,
        };
        let (listener, address) = bind("listen", settings.listen).await?;
        let admin = match settings.admin_listen {
            Some(address) => Some(bind("admin_listen", address).await?),
            None => None,
        };
        let admin_address = admin.as_ref().map(|(_, address)| *address);
        let (accepting, ticking) = (CancellationToken::new(), CancellationToken::new());
        let node = assembled.node;
        let measurements = if admin.is_none() { http::measurements() } else { Router::new() };
        let router = http::public().merge(measurements).with_state(Arc::clone(&node));
        let accept =
            accept::run(Arc::clone(&node), listener, tls.clone(), router, accepting.clone());
        let timers = timers::run(Arc::clone(&node), tls, ticking.clone());
        let mut tasks = vec![tokio::spawn(accept), tokio::spawn(timers)];
        if let Some(cluster) = node.cluster.clone() {
            let keeper = Keeper::new(Arc::clone(&node), cluster);
            tasks.push(tokio::spawn(keeper.run(ticking.clone())));
        }
        if let Some((listener, address)) = admin {
            let router = admin::router(Arc::clone(&node), settings.admin_token.clone());
            let admin = admin::run(Arc::clone(&node), listener, router, ticking.clone());
            tasks.push(tokio::spawn(admin));
            tracing::info!(component = "admin", operation = "start", %address, "answers operators");
        }
        tracing::info!(component = "server", operation = "start", %address, "ready");
        let kept = assembled.kept;
        Ok(Self { node, kept, address, admin_address, accepting, ticking, tasks })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers operators, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Waits until an operator has asked for a drain. The server is not ready from then on; to
    /// [`stop`](Self::stop) it is for whoever owns it.
    pub async fn asked_to_drain(&self) {
        self.node.drain.begun().await;
    }

    /// What it holds right now.
    pub fn held(&self) -> Held {
        Held { connections: self.node.lives.len(), sessions: self.node.hub.sessions() }
    }

    /// Stops gracefully: is not ready any more, takes no more connections after the drain delay,
    /// asks every client to move, closes who is left after the drain period, and writes what is to
    /// be kept. `at_once` ends the waiting.
    pub async fn stop(self, at_once: impl Future<Output = ()>) -> anyhow::Result<()> {
        drain::run(&self.node, &self.accepting, at_once).await;
        self.ticking.cancel();
        for task in self.tasks {
            // A task that panicked has been reported by the panic itself.
            let _ = task.await;
        }
        self.kept.close(&self.node).await?;
        tracing::info!(component = "server", operation = "stop", "stopped");
        Ok(())
    }
}

/// Binds an address that a setting names.
async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("{setting}: {address} cannot be bound"))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}
