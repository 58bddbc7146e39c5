//! Who is who in a cluster.

use ambo_core::ConnectionId;

/// Names a node for one life of its process: made anew at each start, so that a node that comes
/// back is never taken for the one that died.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Box<str>);

impl NodeId {
    /// The length of every id. 62 bits, so that two nodes never choose the same.
    pub const LEN: usize = 12;

    const LETTERS: &'static [u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

    /// A new name out of fresh random bytes.
    pub fn random(entropy: [u8; 16]) -> Self {
        let mut number = u128::from_be_bytes(entropy);
        let letters = (0..Self::LEN).map(|_| {
            let letter = Self::LETTERS[(number % 36) as usize];
            number /= 36;
            char::from(letter)
        });
        Self(letters.collect::<String>().into())
    }

    /// The only way in from outside: twelve of `a` to `z` and `0` to `9`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_whole = text.len() == Self::LEN;
        (is_whole && text.bytes().all(|b| Self::LETTERS.contains(&b))).then(|| Self(text.into()))
    }

    /// The node that holds a connection: the part before the first dot of its id.
    pub fn of_connection(connection: &ConnectionId) -> Option<Self> {
        let (node, _) = connection.as_str().split_once('.')?;
        Self::parse(node)
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_name_is_well_formed_and_its_own() {
        let one = NodeId::random([7; 16]);
        assert_eq!(NodeId::parse(one.as_str()), Some(one.clone()));
        assert_ne!(one, NodeId::random([8; 16]));
        for entropy in [[0; 16], [255; 16]] {
            let name = NodeId::random(entropy);
            assert_eq!(NodeId::parse(name.as_str()), Some(name));
        }
    }

    #[test]
    fn what_is_no_name_is_none() {
        for bad in ["", "abc", "abcdefghijklm", "abcdefghijkL", "abcdefghij:k", "abcdefghijé"] {
            assert_eq!(NodeId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_connection_tells_its_node() {
        let of = |text| NodeId::of_connection(&ConnectionId::parse(text).unwrap());
        assert_eq!(of("abcdefghij12.Zx9"), NodeId::parse("abcdefghij12"));
        assert_eq!(of("abcdefghij12.Zx9.more"), NodeId::parse("abcdefghij12"));
        for foreign in ["abcdefghij12", "abc.def", ".", "-"] {
            assert_eq!(of(foreign), None, "{foreign:?}");
        }
    }
}
