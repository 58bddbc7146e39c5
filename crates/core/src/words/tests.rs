use std::collections::BTreeSet;
use std::prelude::v1::*;
use std::{format, vec};

use super::*;

/// Twenty words that differ in their first two letters.
fn twenty(tail: &str) -> String {
    let word = |n: u8| format!("{}{}{tail} ", char::from(b'b' + n / 5), char::from(b'k' + n % 5));
    (0..20).map(word).collect()
}

fn problems(adjectives: &str, nouns: &str, blacklist: &str) -> Vec<WordsProblem> {
    Words::new(adjectives, nouns, blacklist).err().map(|error| error.problems).unwrap_or_default()
}

#[test]
fn the_lists_ambo_comes_with_are_long_and_without_fault() {
    let (adjectives, nouns) = (list(Words::ADJECTIVES), list(Words::NOUNS));
    assert!(adjectives.len() >= 160 && nouns.len() >= 160);
    assert_eq!(problems(Words::ADJECTIVES, Words::NOUNS, Words::BLACKLIST), []);
    for bad in ["damn", "damned", "hell", "hellish", "bloody"] {
        assert!(list(Words::BLACKLIST).contains(&bad), "{bad}");
    }
    let words = Words::builtin();
    assert_eq!(words.adjectives.len(), adjectives.len(), "an adjective is blacklisted");
    assert_eq!(words.nouns.len(), nouns.len(), "a noun is blacklisted");
    for given in [&adjectives, &nouns] {
        assert!(given.is_sorted(), "a list is in alphabetical order");
    }
}

/// Ids are heard over a bad microphone: one letter is not enough to tell two words apart.
#[test]
fn no_two_words_are_one_letter_apart() {
    let words: Vec<_> = [list(Words::ADJECTIVES), list(Words::NOUNS)].concat();
    for (n, one) in words.iter().enumerate() {
        for other in &words[n + 1..] {
            assert!(!is_near(one, other), "{one} and {other}");
        }
    }
}

/// Whether a change, or a letter more or less, makes one word the other, or nothing does.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let head = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (one, other) = (&one[head..], &other[head..]);
    let tail = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    one.len() - tail <= 1 && other.len() - tail <= 1
}

#[test]
fn every_allowed_pair_comes_up_once_and_none_contains_a_blacklisted_word() {
    let (words, bad) = (Words::builtin(), list(Words::BLACKLIST));
    let mut pairs = BTreeSet::new();
    for pair in 0..u64::from(words.pairs()) {
        let id = words.session_id(pair * Words::NUMBERS);
        let said = id.as_str().trim_end_matches("-100").replace('-', "");
        assert!(!bad.iter().any(|bad| said.contains(bad)), "{id}");
        assert!(pairs.insert(id.as_str().to_owned()), "{id} twice");
    }
    let said = |a: &str, n: &str| bad.iter().any(|bad| format!("{a}{n}").contains(bad));
    let barred: usize =
        words.adjectives.iter().map(|a| words.nouns.iter().filter(|n| said(a, n)).count()).sum();
    assert!(barred > 0, "the test has nothing to find");
    assert_eq!(words.barred.len(), barred, "a pair is barred without need");
    assert_eq!(pairs.len() + barred, words.adjectives.len() * words.nouns.len());
}

#[test]
fn the_numbers_run_from_100_to_999_and_every_id_is_well_formed() {
    let words = Words::builtin();
    let numbers: BTreeSet<_> = (0..900).map(|n| words.session_id(n).to_string()).collect();
    assert_eq!(numbers.len(), 900);
    let ends = [0, 899, words.ids() - 1, words.ids(), u64::MAX / 3, u64::MAX];
    for number in ends {
        let id = words.session_id(number);
        assert_eq!(SessionId::parse(id.as_str()).as_ref(), Some(&id), "{number}");
        assert_eq!(words.session_id(number), id, "the same number is the same id");
    }
    assert!(words.session_id(0).as_str().ends_with("-100"));
    assert!(words.session_id(899).as_str().ends_with("-999"));
    assert_eq!(words.session_id(words.ids()), words.session_id(0));
}

#[test]
fn a_blacklisted_word_is_caught_in_a_word_and_across_the_hyphen() {
    let (adjectives, nouns) = (twenty("ahe"), twenty("ll"));
    let ends_in = |a: &str, n: &str, bad: &str| {
        let words = Words::new(&format!("{adjectives} {a}"), &format!("{nouns} {n}"), bad).unwrap();
        (words.adjectives.len(), words.nouns.len(), words.barred.len())
    };
    // What is blacklisted, and what is left of 21 adjectives, 21 nouns and 441 pairs.
    let table = [
        ("", (21, 21, 0)),
        ("zzz # but no more", (21, 21, 0)),
        ("hello", (20, 21, 0)),
        ("orld", (21, 20, 0)),
        ("owor", (21, 21, 1)),
        ("lloworl lowo", (21, 21, 1)),
        ("hewor", (21, 21, 20)),
    ];
    for (bad, left) in table {
        assert_eq!(ends_in("hello", "world", bad), left, "{bad}");
    }
}

#[test]
fn barred_pairs_are_skipped_wherever_they_lie() {
    let (adjectives, nouns) = (twenty("ao"), twenty("nn"));
    for bad in ["obk bkaobk", "oen een oeo", "obk obl obm ock odk oek oen eoeo", "dao"] {
        let words = Words::new(&adjectives, &nouns, bad).unwrap();
        let ids: BTreeSet<_> = (0..u64::from(words.pairs()))
            .map(|pair| words.session_id(pair * Words::NUMBERS + 5).to_string())
            .collect();
        assert_eq!(ids.len(), words.pairs() as usize, "{bad}");
        for bad in list(bad) {
            assert!(!ids.iter().any(|id| id.replace('-', "").contains(bad)), "{bad}");
        }
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    use List::{Adjectives, Blacklist, Nouns};
    use WordsProblem::{Length, NotLetters, TooFew, TooFewPairs, TooMany, Twice};
    let ok = twenty("aaa");
    let many: String = (0..2_001).map(|_| "word ").collect();
    let word = |text: &str| String::from(text);
    let table: Vec<(String, String, &str, Vec<WordsProblem>)> = vec![
        (word(""), ok.clone(), "", vec![TooFew(Adjectives, 0)]),
        (ok.clone(), word("one # two three"), "", vec![TooFew(Nouns, 1)]),
        (format!("{ok} Calm"), ok.clone(), "", vec![NotLetters(Adjectives, word("Calm"))]),
        (ok.clone(), format!("{ok} señal"), "", vec![NotLetters(Nouns, word("señal"))]),
        (ok.clone(), format!("{ok} a-b"), "", vec![NotLetters(Nouns, word("a-b"))]),
        (ok.clone(), format!("{ok} ox"), "", vec![Length(Nouns, word("ox"))]),
        (
            format!("{ok} considerately"),
            ok.clone(),
            "",
            vec![Length(Adjectives, word("considerately"))],
        ),
        (format!("{ok} calm calm calm"), ok.clone(), "", vec![Twice(Adjectives, word("calm"))]),
        (many, ok.clone(), "", vec![TooMany(Adjectives, 2_001)]),
        (
            format!("{ok} Calm"),
            format!("{ok} ox"),
            "be Bad",
            vec![
                NotLetters(Adjectives, word("Calm")),
                Length(Nouns, word("ox")),
                Length(Blacklist, word("be")),
                NotLetters(Blacklist, word("Bad")),
            ],
        ),
        (ok.clone(), ok.clone(), "bka", vec![TooFew(Adjectives, 19), TooFew(Nouns, 19)]),
        (ok.clone(), ok.clone(), "aaab aaac aaad", vec![TooFewPairs(100)]),
        (ok.clone(), ok.clone(), "", vec![]),
    ];
    for (adjectives, nouns, blacklist, expected) in table {
        assert_eq!(problems(&adjectives, &nouns, blacklist), expected, "{expected:?}");
    }
}

#[test]
fn a_problem_says_what_would_be_right() {
    let error = Words::new("Calm", &twenty("aaa"), "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "adjectives: \"Calm\" must be ASCII lower-case letters only; \
         adjectives: 1 usable words, at least 20 are needed"
    );
}
