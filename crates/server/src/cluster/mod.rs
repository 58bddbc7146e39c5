//! A node among others. Nodes know each other only through the engine, by which they share the
//! store, hand each other notices and audio (the bus), and notice who has died (leases).
//!
//! Read in this order: `following` (what this node hears of others, and when), `audio` (frames
//! on the bus), `outbox` (notices to members of other nodes), `keeper` (leases, the estates of
//! dead nodes), `reconcile` (the truth, after the engine was ill).
//!
//! *Invariant*: a connection belongs to the node that its id names, and to no other.
//! *Invariant*: what is spoken or told here is heard here at once, whatever the engine does.

mod audio;
mod following;
mod keeper;
mod outbox;
pub(crate) mod reconcile;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ambo_app::ports::{Store, StoreFault};
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{ConnectionId, Grant, Reply, SessionId};
use ambo_identity::LocalIssuer;
use ambo_store_redis::{
    Agreement, Bus, BusSettings, Engine, Entry, Leases, NodeId, RedisStore, Since, Topic,
};
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) use audio::Spoken;
pub(crate) use keeper::Keeper;
pub(crate) use outbox::ClusterOutbox;

use crate::clock::Clock;
use crate::node::Node;
use crate::outbox::LocalOutbox;
use crate::parcel::Parcel;
use following::{Following, Part};
use keeper::Pulse;

/// How long the last words of a node may take to reach the engine.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// This node's part in a cluster.
pub(crate) struct Cluster {
    id: NodeId,
    engine: Engine,
    /// What is known of the keys that tokens are signed with, where nodes issue them.
    issuer: OnceLock<String>,
    store: Arc<RedisStore>,
    bus: Bus,
    leases: Leases,
    local: LocalOutbox,
    clock: Clock,
    following: Following,
    pulse: Mutex<Pulse>,
}

impl Cluster {
    /// Joins a cluster, and hears from here on what others tell this node.
    pub(crate) async fn join(
        engine: Engine,
        store: Arc<RedisStore>,
        local: LocalOutbox,
        clock: Clock,
    ) -> Result<Arc<Self>, StoreFault> {
        let id = NodeId::random(clock.stamp().entropy.secret());
        let (bus, heard) = Bus::start(engine.clone(), BusSettings::default());
        bus.follow(Topic::Node(id.clone()), Since::Now).await?;
        let cluster = Arc::new(Self {
            id,
            engine: engine.clone(),
            issuer: OnceLock::new(),
            store,
            bus,
            leases: Leases::new(engine, keeper::LEASE),
            local,
            clock,
            following: Following::default(),
            pulse: Mutex::new(Pulse::new()),
        });
        tokio::spawn(Arc::clone(&cluster).hear(heard));
        Ok(cluster)
    }

    /// Sees to it that a token of one node is good at every other.
    pub(crate) async fn agree_on(&self, issuer: String) -> anyhow::Result<()> {
        let _ = self.issuer.set(issuer);
        anyhow::ensure!(
            self.agree().await? == Agreement::Same,
            "the nodes of this cluster sign tokens with another key: give this one the file {} of \
             another node's data_dir, or set oidc_issuer on all of them",
            LocalIssuer::KEY_FILE
        );
        Ok(())
    }

    /// Says which keys this node knows.
    async fn agree(&self) -> Result<Agreement, StoreFault> {
        match self.issuer.get() {
            Some(issuer) => ambo_store_redis::agree(&self.engine, "issuer", issuer).await,
            None => Ok(Agreement::Same),
        }
    }

    /// A name for a new connection of this node. Only this process makes names with this prefix,
    /// and the prefix is new at each start: so no two nodes ever hold the same connection.
    pub(crate) fn connection_id(&self, random: &str) -> Option<ConnectionId> {
        ConnectionId::parse(&format!("{}.{random}", self.id))
    }

    /// Whether a connection is another node's.
    fn owner(&self, connection: &ConnectionId) -> Option<NodeId> {
        NodeId::of_connection(connection).filter(|owner| *owner != self.id)
    }

    /// Clears what an earlier session of the same name has left. Called before its id is told.
    pub(crate) async fn begin(&self, reply: &Reply) -> Result<(), StoreFault> {
        let Reply::Created { session, source_language, .. } = reply else { return Ok(()) };
        self.leave(session);
        let [audio, configuration] = audio::topics(session, *source_language);
        self.bus.clear(&[audio, configuration, Topic::Session(session.clone())]).await
    }

    /// Sees to it that a newcomer with this grant misses nothing that is told or spoken elsewhere.
    /// Called when its session is open in the hub, before it has its place there.
    pub(crate) async fn prepare(&self, grant: &Grant) -> Result<(), StoreFault> {
        match grant {
            Grant::Speak { session, language, .. } => {
                self.follow(session, *language, Part::Speaker).await?;
                self.keep_record(session).await
            }
            Grant::Hear { session, floor, .. } => {
                self.follow(session, *floor, Part::Listener).await
            }
        }
    }

    /// Remembers a session that is spoken here, so that it can be written again should the engine
    /// lose it.
    async fn keep_record(&self, session: &SessionId) -> Result<(), StoreFault> {
        let wanted = Wanted { session: OfSession::Named(session.clone()), ..Wanted::default() };
        if let Some(found) = self.store.load(&wanted).await?.session {
            self.local.lives.keep_record(&found);
        }
        Ok(())
    }

    /// Frames and notices of other nodes, in the order in which the bus has them.
    async fn hear(self: Arc<Self>, mut heard: mpsc::Receiver<Entry>) {
        while let Some(entry) = heard.recv().await {
            match &entry.topic {
                Topic::Audio { session, .. } => self.take_audio(session, entry.payload),
                // Read when it is needed, never followed.
                Topic::Configuration { .. } => {}
                Topic::Session(_) | Topic::Node(_) => self.take(&entry.payload),
            }
        }
    }

    /// A parcel that came over the bus; one's own was taken when it was sent.
    fn take(&self, payload: &[u8]) {
        let Some((from, parcel)) = outbox::unwrap(payload) else { return };
        if from == self.id {
            return;
        }
        let ended = match &parcel {
            Parcel::Ended { session, .. } => Some(session.clone()),
            Parcel::Word { .. } | Parcel::Superseded { .. } | Parcel::Broadcast { .. } => None,
        };
        self.local.take(parcel, self.clock.now());
        if let Some(session) = ended {
            self.leave(&session);
        }
    }

    /// What the bus has counted, for metrics: name, help, number.
    pub(crate) fn counted(&self) -> [(&'static str, &'static str, u64); 7] {
        let counters = self.bus.counters();
        [
            (
                "bus_published",
                "Frames and notices given to other nodes.",
                counters.published.total(),
            ),
            ("bus_heard", "Frames and notices heard of other nodes.", counters.heard.total()),
            ("bus_refused", "Frames that came too late for their place.", counters.refused.total()),
            ("bus_dropped", "Frames given up while the engine was away.", counters.dropped.total()),
            ("bus_holes_healed", "Holes read again from the engine.", counters.healed.total()),
            ("bus_holes_lost", "Holes that the engine no longer had.", counters.lost.total()),
            ("bus_reconnects", "Times the bus was connected anew.", counters.reconnects.total()),
        ]
    }

    /// Passes on a frame that was published here.
    pub(crate) fn spoke(&self, session: &SessionId, frame: &Spoken, sequence: u32) {
        frame.publish(&self.bus, session, sequence);
    }

    /// Gives this node up in good order, if the store has none of its members any more. Else its
    /// lease is left to run out, so that others let go whom it could not.
    pub(crate) async fn quit(&self, node: &Node) -> Result<(), StoreFault> {
        self.bus.flush(FLUSH_PATIENCE).await;
        if !node.is_deserted() {
            return Ok(());
        }
        self.leases.forget(&self.id, &self.id).await?;
        self.store.forget_node(self.id.as_str()).await
    }
}
