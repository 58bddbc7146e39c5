//! What the walk needs from outside: a store, an outbox, and somebody who knows users.

mod keys;
mod outbox;
mod store;

pub use keys::{Keys, Unidentified};
pub use outbox::Outbox;
pub use store::{FaultKind, Page, Paid, Store, StoreFault, Totals};
