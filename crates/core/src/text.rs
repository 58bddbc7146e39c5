//! Small values that arrive from outside and are never shown whole in a log.

use alloc::boxed::Box;
use core::fmt;
use core::net::IpAddr;

use subtle::ConstantTimeEq;

/// Who a speaker is: the `sub` of a verified token. Never empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Box<str>);

impl UserId {
    /// The longest subject accepted, in bytes (OpenID Connect Core 1.0 §2 allows 255).
    pub const MAX_LEN: usize = 255;

    /// The only way in.
    pub fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= Self::MAX_LEN).then(|| Self(text.into()))
    }

    /// The subject itself, for a store's key; not for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(..)")
    }
}

/// Where a connection comes from, as far as limits care: an IPv4 address, or the /64 of an IPv6
/// one, since that is the smallest network a subscriber is given (RFC 6177).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceAddress([u8; 16]);

impl SourceAddress {
    /// The source that an address counts as.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => {
                let mut octets = v6.octets();
                octets[8..].fill(0);
                Self(octets)
            }
        }
    }

    /// The bytes that tell sources apart, for a store's key or a keyed hash; not for a log.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The reverse of [`as_bytes`](Self::as_bytes), for a store that reads its own rows.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceAddress(..)")
    }
}

/// Sixteen bytes nobody can guess. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; 16]);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
        let of = |text: &str| SourceAddress::of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    }

    #[test]
    fn nothing_personal_or_secret_is_printed() {
        let printed = std::format!(
            "{:?} {:?} {:?}",
            UserId::parse("ann@example.org").unwrap(),
            SourceAddress::of("192.0.2.77".parse().unwrap()),
            Secret([7; 16])
        );
        assert_eq!(printed, "UserId(..) SourceAddress(..) Secret(..)");
    }

    #[test]
    fn a_user_is_never_empty_nor_endless() {
        assert_eq!(UserId::parse(""), None);
        assert_eq!(UserId::parse(&"x".repeat(256)), None);
        assert_eq!(UserId::parse("ann").unwrap().as_str(), "ann");
    }
}
