//! What logs show in place of an id or an address: enough to tell a day's connections apart.

use ambo_core::SourceAddress;
use sha2::{Digest, Sha256};

/// A connection's id as logs and request ids show it.
pub fn of_connection(id: &str) -> String {
    first_digits(&Sha256::digest(id))
}

/// A source address as logs show it. It is the same for one address under one key, and no more to
/// be turned back than that key, which is to be random and to die with the process.
pub fn of_source(source: &SourceAddress, key: &[u8; 32]) -> String {
    first_digits(&Sha256::new().chain_update(key).chain_update(source.as_bytes()).finalize())
}

fn first_digits(digest: &[u8]) -> String {
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
