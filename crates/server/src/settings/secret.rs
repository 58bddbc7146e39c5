//! A word that somebody must know, and that is shown nowhere.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// A secret, of which only the digest is kept: what is not held cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The fewest characters of a secret: fewer could be guessed by trying.
    const LEAST: usize = 16;
    /// The most, so that it fits in a header.
    const MOST: usize = 1_024;

    /// The only way in: characters that a header can carry, in a sensible number.
    pub fn parse(text: &str) -> Option<Self> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_good = is_visible && (Self::LEAST..=Self::MOST).contains(&text.len());
        is_good.then(|| Self(digest(text)))
    }

    /// Whether this is it, found out in the same time whatever it is.
    pub fn is(&self, shown: &str) -> bool {
        self.0.ct_eq(&digest(shown)).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_again_and_never_shown() {
        let secret = Secret::parse("correct-horse-battery").unwrap();
        assert!(secret.is("correct-horse-battery"));
        assert!(!secret.is("correct-horse-batterz") && !secret.is(""));
        assert_eq!(format!("{secret:?}"), "Secret(..)");
        for bad in
            ["", "short", "has a blank in its midst", "bell\u{7}bell-bell-bell", "ëëëëëëëëëë"]
        {
            assert_eq!(Secret::parse(bad), None, "{bad:?}");
        }
        assert_eq!(Secret::parse(&"x".repeat(1_025)), None);
    }
}
