//! Which nodes are alive, and who takes on what a dead one has left behind.
//!
//! One sorted set holds every node with the moment its lease runs out, by the engine's clock: no
//! node's clock matters. A lease that has run out stays until somebody has taken on the node's
//! estate and says so.

use std::collections::BTreeMap;

use ambo_app::ports::StoreFault;
use ambo_core::Millis;
use parking_lot::Mutex;

use crate::engine::Script;
use crate::{Engine, NodeId, Topic, fault};

/// How long a claim on a dead node's estate holds, in leases: whoever takes it on renews the
/// claim by claiming again, and when it dies itself, another follows soon.
const CLAIM_LEASES: u64 = 2;

/// The nodes' leases.
pub struct Leases {
    engine: Engine,
    lease: Millis,
    scripts: Scripts,
    /// What is known of the engine's servers. Grows with a cluster's addresses only.
    lives: Mutex<BTreeMap<String, String>>,
}

struct Scripts {
    renew: Script,
    claim: Script,
    forget: Script,
    list: Script,
}

/// What a renewal has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whether the engine still knew the node as alive. It did not when this is the first renewal,
    /// when the engine has lost what it held, and when a survivor has begun to take on the node's
    /// estate: then what the node holds must be written again.
    pub was_known: bool,
    /// Which engine it was.
    pub engine: EngineMark,
}

/// Tells one life of the engine from another: it changes when a server was restarted, when another
/// one has become the master, and when everything was deleted. To be compared with other marks of
/// the same [`Leases`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EngineMark(String);

/// What became of a claim on a dead node's estate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the claimant's, until it runs out or is claimed by it again.
    Yours,
    /// Another one has it for now.
    Taken,
    /// There is no such estate: the node is alive, or was forgotten.
    Void,
}

/// Whether a node was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgotten {
    /// Nothing of it is left.
    Gone,
    /// It has come back, or another has claimed its estate: it stays.
    Kept,
}

impl Leases {
    /// Leases of this length.
    pub fn new(engine: Engine, lease: Millis) -> Self {
        let scripts = Scripts {
            renew: Script::new(include_str!("leases/renew.lua")),
            claim: Script::new(include_str!("leases/claim.lua")),
            forget: Script::new(include_str!("leases/forget.lua")),
            list: Script::new(include_str!("leases/list.lua")),
        };
        Self { engine, lease, scripts, lives: Mutex::default() }
    }

    /// Renews a node's own lease, and registers the node. A claim on its estate is void from now.
    pub async fn renew(&self, node: &NodeId) -> Result<Renewed, StoreFault> {
        let epoch = format!("{:032x}", fastrand::u128(..));
        let keys = [self.nodes(), self.claims(), self.epoch()];
        let args = (node.as_str(), self.lease.0, epoch);
        let (was_known, epoch): (bool, String) =
            self.engine.invoke(&self.scripts.renew, &keys, args).await?;
        Ok(Renewed { was_known, engine: self.mark(epoch).await? })
    }

    /// Nodes whose lease has run out and whose estate was not settled.
    pub async fn dead(&self) -> Result<Vec<NodeId>, StoreFault> {
        self.list("dead").await
    }

    /// Nodes whose lease holds.
    pub async fn alive(&self) -> Result<Vec<NodeId>, StoreFault> {
        self.list("alive").await
    }

    /// Takes on a dead node's estate, or goes on to hold it. It is one survivor's at a time, and
    /// for a limited time, so that a survivor that dies is followed by another.
    pub async fn claim(&self, dead: &NodeId, by: &NodeId) -> Result<Claim, StoreFault> {
        let keys = [self.nodes(), self.claims()];
        let args = (dead.as_str(), by.as_str(), self.lease.0 * CLAIM_LEASES);
        let answer: String = self.engine.invoke(&self.scripts.claim, &keys, args).await?;
        match answer.as_str() {
            "yours" => Ok(Claim::Yours),
            "taken" => Ok(Claim::Taken),
            "void" => Ok(Claim::Void),
            other => Err(fault::malformed(other)),
        }
    }

    /// Removes a node: its registration, its lease and its inbox. To be called by the node itself
    /// when it leaves, or by the holder of the claim once the estate is settled; a node that came
    /// back meanwhile stays.
    pub async fn forget(&self, node: &NodeId, by: &NodeId) -> Result<Forgotten, StoreFault> {
        let keys = [self.nodes(), self.claims()];
        let args = (node.as_str(), by.as_str());
        let is_gone: bool = self.engine.invoke(&self.scripts.forget, &keys, args).await?;
        if !is_gone {
            return Ok(Forgotten::Kept);
        }
        let mut inbox = redis::cmd("UNLINK");
        for key in Topic::Node(node.clone()).keys(&self.engine) {
            inbox.arg(key);
        }
        self.engine.run::<()>(inbox).await?;
        Ok(Forgotten::Gone)
    }

    async fn list(&self, which: &str) -> Result<Vec<NodeId>, StoreFault> {
        let names: Vec<String> =
            self.engine.invoke(&self.scripts.list, &[self.nodes()], which).await?;
        let parse = |name: &String| NodeId::parse(name).ok_or_else(|| fault::malformed(name));
        names.iter().map(parse).collect()
    }

    /// Puts together which engine it is. A server that cannot be asked right now is not a new one:
    /// until it can be, its last known life counts.
    async fn mark(&self, epoch: String) -> Result<EngineMark, StoreFault> {
        let found = self.engine.lives().await;
        let mut lives = self.lives.lock();
        match found {
            Ok(found) => lives.extend(found),
            Err(fault) if lives.is_empty() => return Err(fault),
            Err(_) => {}
        }
        let lives: Vec<_> = lives.values().map(String::as_str).collect();
        Ok(EngineMark(format!("{epoch}:{}", lives.join(":"))))
    }

    fn nodes(&self) -> String {
        self.engine.key("{nodes}")
    }

    fn claims(&self) -> String {
        self.engine.key("{nodes}:claims")
    }

    fn epoch(&self) -> String {
        self.engine.key("{nodes}:epoch")
    }
}
