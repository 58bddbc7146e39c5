//! The standalone server: sockets, timers and pages round the walk and the hub.
//!
//! Read in this order: [`settings`], `assemble` (what a node is made of), `accept` and `http`
//! (how a request comes in), `upgrade` (who is let in), `connection` (what an open socket says),
//! `outbox` and `live` (who is told), `timers` and `drain` (what time drives).
//!
//! *Invariant*: what a client is told happens in the order commit, reply, notices.
//! *Invariant*: no task waits for another connection's socket.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accept;
mod assemble;
mod clock;
mod connection;
mod departure;
mod drain;
mod http;
mod keys;
mod live;
pub mod logging;
mod measured;
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
use ambo_store_embedded::EmbeddedStore;
use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use clock::Clock;
pub use settings::Settings;

use crate::node::Node;
use crate::tls::Tls;

/// A server that answers.
pub struct Server {
    node: Arc<Node>,
    store: Arc<EmbeddedStore>,
    address: SocketAddr,
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
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("listen: {} cannot be bound", settings.listen))?;
        let address = listener.local_addr()?;
        let (accepting, ticking) = (CancellationToken::new(), CancellationToken::new());
        let node = assembled.node;
        let router = http::router(Arc::clone(&node));
        let accept =
            accept::run(Arc::clone(&node), listener, tls.clone(), router, accepting.clone());
        let timers = timers::run(Arc::clone(&node), tls, ticking.clone());
        let tasks = vec![tokio::spawn(accept), tokio::spawn(timers)];
        tracing::info!(component = "server", operation = "start", %address, "ready");
        Ok(Self { node, store: assembled.store, address, accepting, ticking, tasks })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it holds right now.
    pub fn held(&self) -> Held {
        Held { connections: self.node.lives.len(), sessions: self.node.hub.sessions() }
    }

    /// Stops gracefully: takes no more connections, asks every client to move, closes who is left
    /// after the drain period, and writes what is to be kept. `at_once` ends the waiting.
    pub async fn stop(self, at_once: impl Future<Output = ()>) -> anyhow::Result<()> {
        self.accepting.cancel();
        tokio::select! {
            () = drain::run(&self.node) => {}
            () = at_once => drain::close_all(&self.node).await,
        }
        self.ticking.cancel();
        for task in self.tasks {
            // A task that panicked has been reported by the panic itself.
            let _ = task.await;
        }
        self.store.close().await.context("the store could not be closed")?;
        tracing::info!(component = "server", operation = "stop", "stopped");
        Ok(())
    }
}
