//! Languages: ISO 639-1 codes and the set a deployment serves.

use alloc::vec::Vec;
use core::fmt;

/// An ISO 639-1 code in form: two ASCII lower-case letters. Whether it is served is a question
/// for [`Languages`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language([u8; 2]);

impl Language {
    /// The only way in.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(text.as_bytes().try_into().ok()?)
    }

    /// The same from the two bytes of an audio frame.
    pub fn from_bytes(bytes: [u8; 2]) -> Option<Self> {
        bytes.iter().all(u8::is_ascii_lowercase).then_some(Self(bytes))
    }

    /// The two letters.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The two letters as they stand in an audio frame.
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Every code of ISO 639-1 (ISO 639-1:2002, 183 codes in force).
pub const ISO_639_1: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca \
    ce ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu \
    gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko \
    kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl \
    nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn \
    so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo \
    xh yi yo za zh zu";

/// The languages a deployment serves, as source and as target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages {
    sources: Vec<Language>,
    targets: Vec<Language>,
}

impl Languages {
    /// A set served both ways. Order and repetitions do not matter.
    pub fn both_ways(codes: impl IntoIterator<Item = Language>) -> Self {
        let codes: Vec<_> = codes.into_iter().collect();
        Self::new(codes.clone(), codes)
    }

    /// A set whose targets are not its sources.
    pub fn new(mut sources: Vec<Language>, mut targets: Vec<Language>) -> Self {
        sources.sort_unstable();
        sources.dedup();
        targets.sort_unstable();
        targets.dedup();
        Self { sources, targets }
    }

    /// Every code of ISO 639-1, both ways.
    pub fn every() -> Self {
        Self::both_ways(ISO_639_1.split(' ').filter_map(Language::parse))
    }

    /// Whether a speaker may speak it.
    pub fn has_source(&self, language: Language) -> bool {
        self.sources.binary_search(&language).is_ok()
    }

    /// Whether a listener may ask for it. The floor can always be heard as it is spoken.
    pub fn has_target(&self, language: Language, source: Language) -> bool {
        language == source || self.targets.binary_search(&language).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_two_lower_case_ascii_letters() {
        for good in ["en", "es", "zz"] {
            assert_eq!(Language::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "e", "eng", "EN", "e1", "é", "en ", "e\u{301}"] {
            assert_eq!(Language::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_language_is_there_once_and_unknown_ones_are_not() {
        let every = Languages::every();
        assert_eq!(every.sources.len(), 183);
        assert!(every.has_source(Language::parse("yi").unwrap()));
        assert!(!every.has_source(Language::parse("zz").unwrap()));
    }

    #[test]
    fn the_floor_is_always_a_target() {
        let (en, es, de) = ("en", "es", "de");
        let parse = |code| Language::parse(code).unwrap();
        let few = Languages::new([parse(en)].into(), [parse(es)].into());
        assert!(few.has_target(parse(en), parse(en)));
        assert!(few.has_target(parse(es), parse(en)));
        assert!(!few.has_target(parse(de), parse(en)));
        assert!(!few.has_source(parse(es)));
    }
}
