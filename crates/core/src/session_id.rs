//! The id of a session, made to be said aloud: `faithful-shepherd-427`.

use alloc::boxed::Box;
use alloc::format;
use core::fmt;

/// `{adjective}-{noun}-{100..999}` in ASCII lower case. Cheap to compare, never empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// The longest id accepted, in bytes; the longest that Ambo makes is far shorter.
    pub const MAX_LEN: usize = 64;

    /// The only way in.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (adjective, noun, number) = (parts.next()?, parts.next()?, parts.next()?);
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
        let is_number = number.len() == 3
            && number.bytes().all(|b| b.is_ascii_digit())
            && !number.starts_with('0');
        let is_whole = parts.next().is_none() && text.len() <= Self::MAX_LEN;
        (is_whole && is_word(adjective) && is_word(noun) && is_number).then(|| Self(text.into()))
    }

    /// An id of parts that are known to be well-formed.
    pub(crate) fn of(adjective: &str, noun: &str, number: u64) -> Self {
        Self(format!("{adjective}-{noun}-{number}").into())
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_two_lower_case_words_and_a_number() {
        for good in ["faithful-shepherd-427", "a-b-100", "a-b-999"] {
            assert_eq!(SessionId::parse(good).unwrap().as_str(), good);
        }
        let long = format!("{}-b-100", "a".repeat(60));
        for bad in [
            "",
            "-",
            "a-b",
            "a-b-",
            "a-b-99",
            "a-b-099",
            "a-b-1000",
            "A-b-100",
            "a-b-1o0",
            "a--100",
            "-b-100",
            "a-b-100-",
            "a-b-100 ",
            " a-b-100",
            "a_b-100",
            "é-b-100",
            "a-b-١٢٣",
            long.as_str(),
        ] {
            assert_eq!(SessionId::parse(bad), None, "{bad:?}");
        }
    }
}
