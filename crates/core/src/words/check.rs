//! What a word list must be, told all at once.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Words;

/// The list a problem is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// The first words.
    Adjectives,
    /// The second words.
    Nouns,
    /// The words no id may contain.
    Blacklist,
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            List::Adjectives => "adjectives",
            List::Nouns => "nouns",
            List::Blacklist => "blacklist",
        })
    }
}

/// One thing wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WordsProblem {
    /// Not ASCII lower-case letters only.
    NotLetters(List, String),
    /// Shorter or longer than a word may be.
    Length(List, String),
    /// In the list more than once.
    Twice(List, String),
    /// Fewer words than ids need, after the blacklist has taken its own.
    TooFew(List, usize),
    /// More words than a list may have.
    TooMany(List, usize),
    /// The blacklist bars nearly every pair.
    TooFewPairs(u32),
}

impl WordsProblem {
    /// The list to be mended.
    pub fn list(&self) -> List {
        match self {
            Self::NotLetters(list, _)
            | Self::Length(list, _)
            | Self::Twice(list, _)
            | Self::TooFew(list, _)
            | Self::TooMany(list, _) => *list,
            Self::TooFewPairs(_) => List::Blacklist,
        }
    }
}

impl fmt::Display for WordsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (Words::WORD_LEN.start(), Words::WORD_LEN.end());
        match self {
            Self::NotLetters(list, word) => {
                write!(f, "{list}: \"{word}\" must be ASCII lower-case letters only")
            }
            Self::Length(List::Blacklist, word) => {
                write!(f, "blacklist: \"{word}\" must have {least} to {} letters", most * 2)
            }
            Self::Length(list, word) => {
                write!(f, "{list}: \"{word}\" must have {least} to {most} letters")
            }
            Self::Twice(list, word) => write!(f, "{list}: \"{word}\" is there more than once"),
            Self::TooFew(list, count) => {
                write!(f, "{list}: {count} usable words, at least {} are needed", Words::MIN_WORDS)
            }
            Self::TooMany(list, count) => {
                write!(f, "{list}: {count} words, at most {} are allowed", Words::MAX_WORDS)
            }
            Self::TooFewPairs(count) => write!(
                f,
                "blacklist: {count} pairs of words are left, at least {} are needed",
                Words::MIN_PAIRS
            ),
        }
    }
}

/// Everything wrong with a set of lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordsError {
    /// The problems, in the order of the lists.
    pub problems: Vec<WordsProblem>,
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            let comma = if n == 0 { "" } else { "; " };
            write!(f, "{comma}{problem}")?;
        }
        Ok(())
    }
}

impl core::error::Error for WordsError {}

/// The mistakes of a list of words, as it was given.
pub(super) fn words(list: List, words: &[&str], problems: &mut Vec<WordsProblem>) {
    if words.len() > Words::MAX_WORDS {
        problems.push(WordsProblem::TooMany(list, words.len()));
        return;
    }
    let (mut seen, mut told) = (BTreeSet::new(), BTreeSet::new());
    for word in words {
        if !is_letters(word) {
            problems.push(WordsProblem::NotLetters(list, (*word).into()));
        } else if !Words::WORD_LEN.contains(&word.len()) {
            problems.push(WordsProblem::Length(list, (*word).into()));
        }
        if !seen.insert(word) && told.insert(word) {
            problems.push(WordsProblem::Twice(list, (*word).into()));
        }
    }
    if seen.len() < Words::MIN_WORDS {
        problems.push(WordsProblem::TooFew(list, seen.len()));
    }
}

/// The mistakes of a blacklist; it may be empty, and repeat itself. A word of one or two letters
/// would bar half the language, so it is taken for a slip.
pub(super) fn blacklist(words: &[&str], problems: &mut Vec<WordsProblem>) {
    if words.len() > Words::MAX_WORDS {
        problems.push(WordsProblem::TooMany(List::Blacklist, words.len()));
        return;
    }
    let lengths = *Words::WORD_LEN.start()..=Words::WORD_LEN.end() * 2;
    for word in words {
        if !is_letters(word) {
            problems.push(WordsProblem::NotLetters(List::Blacklist, (*word).into()));
        } else if !lengths.contains(&word.len()) {
            problems.push(WordsProblem::Length(List::Blacklist, (*word).into()));
        }
    }
}

/// Whether the blacklist has left enough to choose from.
pub(super) fn enough(words: &Words, problems: &mut Vec<WordsProblem>) {
    for (list, left) in [(List::Adjectives, &words.adjectives), (List::Nouns, &words.nouns)] {
        if left.len() < Words::MIN_WORDS {
            problems.push(WordsProblem::TooFew(list, left.len()));
        }
    }
    if problems.is_empty() && words.pairs() < Words::MIN_PAIRS {
        problems.push(WordsProblem::TooFewPairs(words.pairs()));
    }
}

fn is_letters(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase())
}
