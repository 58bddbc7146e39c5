//! What all nodes of a cluster must have in common, such as the key they sign tokens with.

use ambo_app::ports::StoreFault;

use crate::Engine;

/// How long what was agreed on stays without a node that says so. When all have been stopped for
/// longer, they may come back with something else.
const HOLDS_MILLIS: u64 = 30_000;

/// Whether a node says what the others say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// It does, or is the first.
    Same,
    /// The others say something else.
    Other,
}

/// Says what this node has; to be said again before it is forgotten.
pub async fn agree(engine: &Engine, on: &str, value: &str) -> Result<Agreement, StoreFault> {
    let key = engine.key(format_args!("{{nodes}}:{on}"));
    let mut commands = redis::pipe();
    commands.cmd("SET").arg(&key).arg(value).arg("NX").arg("PX").arg(HOLDS_MILLIS).ignore();
    commands.cmd("GET").arg(&key);
    let (known,): (Option<String>,) = engine.run_all(&commands).await?;
    if known.is_some_and(|known| known != value) {
        return Ok(Agreement::Other);
    }
    engine.run::<u8>(redis::cmd("PEXPIRE").arg(&key).arg(HOLDS_MILLIS).take()).await?;
    Ok(Agreement::Same)
}
