//! What goes wrong because a test wants it.

use std::collections::HashMap;
use std::time::Duration;

/// What goes wrong; nothing at first.
#[derive(Clone, Debug, Default)]
pub struct Knobs {
    /// How `$disconnect` comes for connections opened from now on.
    pub disconnects: Disconnects,
    /// How long each call of `@connections` takes.
    pub post_latency: Duration,
    /// Connections whose calls take so long instead.
    pub slow: HashMap<String, Duration>,
    /// Connections whose calls are answered with this status: 403, 410, 413, 429 or 500.
    pub answers: HashMap<String, u16>,
    /// How many calls from now on are answered with 429, whomever they are for.
    pub throttled_posts: usize,
}

/// How `$disconnect` comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disconnects {
    /// Once, after the close.
    #[default]
    Once,
    /// Never.
    Never,
    /// Twice, at the same time.
    Twice,
    /// Once, so much later.
    Late(Duration),
    /// Before `$connect`, and not again: the client was gone before that was served.
    Early,
}
