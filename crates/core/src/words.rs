//! The words of session ids, and how a random number becomes an id.
//!
//! Ids are said aloud, so a list holds words that are easy to say and to spell, and an id never
//! contains a blacklisted word: not in one of its words, and not in what two of them make across
//! the hyphen.

mod check;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::SessionId;
pub use check::{List, WordsError, WordsProblem};

/// Two lists of words and the pairs of them that may be said.
#[derive(Clone, Debug)]
pub struct Words {
    adjectives: Vec<Box<str>>,
    nouns: Vec<Box<str>>,
    /// The pairs that make a blacklisted word, as `adjective * nouns + noun`, ascending, each once.
    barred: Vec<u32>,
}

impl Words {
    /// The adjectives Ambo comes with.
    pub const ADJECTIVES: &str = include_str!("words/adjectives.txt");
    /// The nouns Ambo comes with.
    pub const NOUNS: &str = include_str!("words/nouns.txt");
    /// The blacklist Ambo comes with.
    pub const BLACKLIST: &str = include_str!("words/blacklist.txt");

    /// The fewest words of a list, after the blacklist has taken its own.
    pub const MIN_WORDS: usize = 20;
    /// The most words of a list, so that every pair has a number in 32 bits and the barred ones
    /// fit in a few megabytes.
    pub const MAX_WORDS: usize = 2_000;
    /// The fewest pairs that may be left: with 900 numbers each, enough that ten tries find a
    /// free id.
    pub const MIN_PAIRS: u32 = 200;
    /// How long a word may be, in letters.
    pub const WORD_LEN: core::ops::RangeInclusive<usize> = 3..=12;

    const FIRST_NUMBER: u64 = 100;
    const NUMBERS: u64 = 900;

    /// The lists Ambo comes with.
    pub fn builtin() -> Self {
        Self::of(&list(Self::ADJECTIVES), &list(Self::NOUNS), &list(Self::BLACKLIST))
    }

    /// Lists of one's own: words parted by white space, `#` to the end of the line is a comment.
    /// A word that contains a blacklisted one is left out; every other mistake is an error.
    pub fn new(adjectives: &str, nouns: &str, blacklist: &str) -> Result<Self, WordsError> {
        let (adjectives, nouns, blacklist) = (list(adjectives), list(nouns), list(blacklist));
        let mut problems = Vec::new();
        check::words(List::Adjectives, &adjectives, &mut problems);
        check::words(List::Nouns, &nouns, &mut problems);
        check::blacklist(&blacklist, &mut problems);
        if !problems.is_empty() {
            return Err(WordsError { problems });
        }
        let words = Self::of(&adjectives, &nouns, &blacklist);
        check::enough(&words, &mut problems);
        if problems.is_empty() { Ok(words) } else { Err(WordsError { problems }) }
    }

    fn of(adjectives: &[&str], nouns: &[&str], blacklist: &[&str]) -> Self {
        let sayable = |word: &&&str| !blacklist.iter().any(|bad| word.contains(bad));
        let keep = |words: &[&str]| -> Vec<Box<str>> {
            words.iter().filter(sayable).map(|word| (*word).into()).collect()
        };
        let (adjectives, nouns) = (keep(adjectives), keep(nouns));
        let barred = barred(&adjectives, &nouns, blacklist);
        Self { adjectives, nouns, barred }
    }

    /// How many pairs of words an id can have.
    pub fn pairs(&self) -> u32 {
        (self.adjectives.len() * self.nouns.len() - self.barred.len()) as u32
    }

    /// How many ids there are.
    pub fn ids(&self) -> u64 {
        u64::from(self.pairs()) * Self::NUMBERS
    }

    /// The id that a random number stands for; the same number is always the same id.
    ///
    /// The ids are counted from 0 to [`ids`](Self::ids) and the number is taken modulo that. Of
    /// 2^64 numbers some thirty million ids get a share that differs by one in 10^11: nobody can
    /// use it.
    pub fn session_id(&self, number: u64) -> SessionId {
        let nth = number % self.ids();
        let pair = self.pair((nth / Self::NUMBERS) as u32) as usize;
        let (adjective, noun) = (pair / self.nouns.len(), pair % self.nouns.len());
        let number = Self::FIRST_NUMBER + nth % Self::NUMBERS;
        SessionId::of(&self.adjectives[adjective], &self.nouns[noun], number)
    }

    /// The `nth` pair that is not barred. `barred[i] - i` pairs before the `i`-th barred one are
    /// allowed, so those that lie before the answer are the ones where that is not above `nth`.
    fn pair(&self, nth: u32) -> u32 {
        let (mut low, mut high) = (0, self.barred.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.barred[middle] - middle as u32 <= nth {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        nth + low as u32
    }
}

impl Default for Words {
    fn default() -> Self {
        Self::builtin()
    }
}

/// The words of a text, without its comments.
fn list(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::split_ascii_whitespace)
        .collect()
}

/// The pairs across whose hyphen a blacklisted word stands: its first letters end an adjective
/// and the others begin a noun.
fn barred(adjectives: &[Box<str>], nouns: &[Box<str>], blacklist: &[&str]) -> Vec<u32> {
    let mut barred = Vec::new();
    for (head, tail) in blacklist.iter().flat_map(|bad| (1..bad.len()).map(|at| bad.split_at(at))) {
        let tails: Vec<_> = (0..nouns.len()).filter(|&n| nouns[n].starts_with(tail)).collect();
        for a in (0..adjectives.len()).filter(|&a| adjectives[a].ends_with(head)) {
            barred.extend(tails.iter().map(|n| (a * nouns.len() + n) as u32));
        }
    }
    barred.sort_unstable();
    barred.dedup();
    barred
}

#[cfg(test)]
mod tests;
