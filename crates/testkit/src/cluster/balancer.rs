//! A TCP balancer, of which every line can be cut or made silent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::page::get;

/// Gives each new connection to the next backend that is ready and open to all; to any that is open
/// when none is ready, as a backend that is too busy to answer a look may be well all the same.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    backends: Arc<Backends>,
    tasks: JoinSet<()>,
}

/// What the network does between a balancer and one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It carries bytes.
    Open,
    /// Bytes wait, and nobody is told: a cable is out.
    Silent,
    /// All connections are closed, and new ones refused.
    Cut,
}

#[derive(Debug)]
struct Backends {
    all: Vec<Backend>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Backend {
    address: SocketAddr,
    is_ready: AtomicBool,
    is_welcome: AtomicBool,
    way: watch::Sender<Way>,
}

/// Between two looks at a backend.
const PROBE: Duration = Duration::from_millis(100);
/// Looks in vain, one after the other, that make a backend not ready.
const FAILURES: u32 = 3;
/// How long a backend may take to answer a look, or a connection.
const PATIENCE: Duration = Duration::from_secs(1);

impl Balancer {
    /// Spreads connections over nodes, asking each whether it is ready.
    pub async fn between(nodes: &[SocketAddr]) -> Self {
        let mut balancer = Self::start(nodes).await;
        for n in 0..nodes.len() {
            balancer.tasks.spawn(probe(Arc::clone(&balancer.backends), n));
        }
        balancer
    }

    /// Passes on to one address, which is asked nothing.
    pub async fn relay(to: SocketAddr) -> Self {
        let balancer = Self::start(&[to]).await;
        balancer.backends.all[0].is_ready.store(true, Ordering::Relaxed);
        balancer
    }

    async fn start(addresses: &[SocketAddr]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let backend = |address: &SocketAddr| Backend {
            address: *address,
            is_ready: AtomicBool::new(false),
            is_welcome: AtomicBool::new(true),
            way: watch::Sender::new(Way::Open),
        };
        let all = addresses.iter().map(backend).collect();
        let backends = Arc::new(Backends { all, turn: AtomicUsize::new(0) });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Arc::clone(&backends)));
        Self { address, backends, tasks }
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a backend is given connections.
    pub fn is_ready(&self, n: usize) -> bool {
        self.backends.all[n].is_ready.load(Ordering::Relaxed)
    }

    /// Gives new connections to these backends only.
    pub fn only(&self, welcome: &[usize]) {
        for (n, backend) in self.backends.all.iter().enumerate() {
            backend.is_welcome.store(welcome.contains(&n), Ordering::Relaxed);
        }
    }

    /// Gives new connections to all backends again.
    pub fn all(&self) {
        self.only(&(0..self.backends.all.len()).collect::<Vec<_>>());
    }

    /// Changes what the network does.
    pub fn set_way(&self, n: usize, way: Way) {
        self.backends.all[n].way.send_replace(way);
    }
}

async fn probe(backends: Arc<Backends>, n: usize) {
    let backend = &backends.all[n];
    let mut failures = 0;
    loop {
        let is_open = *backend.way.borrow() == Way::Open;
        let page = timeout(PATIENCE, get(backend.address, "/readyz")).await;
        let is_ready = page.is_ok_and(|page| page.is_some_and(|page| page.status == 200));
        failures = if is_ready && is_open { 0 } else { failures + 1 };
        match failures {
            0 => backend.is_ready.store(true, Ordering::Relaxed),
            1..FAILURES => {}
            FAILURES.. => backend.is_ready.store(false, Ordering::Relaxed),
        }
        tokio::time::sleep(PROBE).await;
    }
}

async fn accept(listener: TcpListener, backends: Arc<Backends>) {
    // The lines end with the balancer.
    let mut lines = JoinSet::new();
    loop {
        // Out of files: those that are open are worth more than one that is not yet.
        let Ok((client, _)) = listener.accept().await else { continue };
        lines.spawn(serve(client, Arc::clone(&backends)));
        while lines.try_join_next().is_some() {}
    }
}

/// Finds a backend that accepts, as balancers do, then carries bytes.
async fn serve(mut client: TcpStream, backends: Arc<Backends>) {
    for _ in 0..backends.all.len() {
        let Some(backend) = backends.next() else { break };
        let mut way = backend.way.subscribe();
        if *way.borrow_and_update() == Way::Silent {
            let _ = way.wait_for(|way| *way != Way::Silent).await;
        }
        let connecting = timeout(PATIENCE, TcpStream::connect(backend.address)).await;
        let Ok(Ok(mut node)) = connecting else { continue };
        let _ = (client.set_nodelay(true), node.set_nodelay(true));
        return carry(&mut client, &mut node, way).await;
    }
}

async fn carry(client: &mut TcpStream, node: &mut TcpStream, mut way: watch::Receiver<Way>) {
    let copying = copy_bidirectional(client, node);
    tokio::pin!(copying);
    loop {
        let now = *way.borrow_and_update();
        let is_over = tokio::select! {
            _ = &mut copying, if now == Way::Open => true,
            changed = way.changed() => changed.is_err() || *way.borrow() == Way::Cut,
        };
        if is_over {
            return;
        }
    }
}

impl Backends {
    fn next(&self) -> Option<&Backend> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (before, after) = self.all.split_at(first);
        let is_open = |backend: &&Backend| {
            let is_welcome = backend.is_welcome.load(Ordering::Relaxed);
            is_welcome && *backend.way.borrow() != Way::Cut
        };
        let open = || after.iter().chain(before).filter(is_open);
        let ready = open().find(|backend| backend.is_ready.load(Ordering::Relaxed));
        ready.or_else(|| open().next())
    }
}
