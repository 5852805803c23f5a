//! Lists of texts and of patterns (data files), and what finds any of them in one pass.
//!
//! `any(File('x'), { field contains # })` and `RegexpInFile` ask the same of hundreds of lines for
//! every event. The lists are known once rules are loaded, so the question becomes one automaton
//! or one table, made when it is first asked. Must give the answer that asking one by one gives.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use aho_corasick::AhoCorasick;
use hashbrown::{HashMap, HashSet};
use model::{Prefix, limits::REGEX_BYTES_MAX};
use regex::Regex;
use regex_automata::meta;

use super::functions::{address, network};

/// The lines of a data file. Cheap to clone; a clone is the same list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(Arc<[String]>);

impl Lines {
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<Vec<String>> for Lines {
    fn from(lines: Vec<String>) -> Self {
        Self(lines.into())
    }
}

impl FromIterator<String> for Lines {
    fn from_iter<I: IntoIterator<Item = String>>(lines: I) -> Self {
        Self(lines.into_iter().collect())
    }
}

impl Deref for Lines {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// How a text is compared with those of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fits {
    Contains,
    EndsWith,
    Equals,
    /// An address in a network (`IpInRange`).
    IsWithin,
    StartsWith,
}

/// Finds whether a text contains, equals, … any of some texts.
#[derive(Debug)]
pub(super) enum Finder {
    Contains(AhoCorasick),
    Equals(HashSet<String>),
    IsWithin(Vec<Prefix>),
    /// By their last bytes, those that are shorter than two bytes under their only one.
    EndsWith(HashMap<[u8; 2], Vec<String>>, Vec<String>),
    /// By their first two bytes; then the shorter ones.
    StartsWith(HashMap<[u8; 2], Vec<String>>, Vec<String>),
}

impl Finder {
    pub(super) fn new(fits: Fits, texts: Vec<String>) -> Option<Self> {
        Some(match fits {
            Fits::Contains => Self::Contains(AhoCorasick::new(texts).ok()?),
            Fits::Equals => Self::Equals(texts.into_iter().collect()),
            Fits::IsWithin => {
                Self::IsWithin(texts.iter().filter_map(|text| network(text)).collect())
            }
            Fits::EndsWith => {
                let (table, short) = table(texts, |text| text.last_chunk().copied());
                Self::EndsWith(table, short)
            }
            Fits::StartsWith => {
                let (table, short) = table(texts, |text| text.first_chunk().copied());
                Self::StartsWith(table, short)
            }
        })
    }

    pub(super) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Contains(automaton) => automaton.is_match(text),
            Self::Equals(texts) => texts.contains(text),
            Self::IsWithin(networks) => {
                address(text).is_some_and(|ip| networks.iter().any(|net| net.contains(ip)))
            }
            Self::EndsWith(table, short) => {
                let near = text.as_bytes().last_chunk().and_then(|key| table.get(key));
                near.into_iter()
                    .chain([short])
                    .flatten()
                    .any(|end| text.ends_with(end.as_str()))
            }
            Self::StartsWith(table, short) => {
                let near = text.as_bytes().first_chunk().and_then(|key| table.get(key));
                near.into_iter()
                    .chain([short])
                    .flatten()
                    .any(|start| text.starts_with(start.as_str()))
            }
        }
    }
}

/// The texts by their key, and those that have none.
fn table(
    texts: Vec<String>,
    key: impl Fn(&[u8]) -> Option<[u8; 2]>,
) -> (HashMap<[u8; 2], Vec<String>>, Vec<String>) {
    let (mut table, mut short): (HashMap<_, Vec<String>>, _) = (HashMap::new(), Vec::new());
    for text in texts {
        match key(text.as_bytes()) {
            Some(key) => table.entry(key).or_default().push(text),
            None => short.push(text),
        }
    }
    (table, short)
}

/// Texts whose verdict is remembered, and the longest of them.
const VERDICTS_MAX: usize = 4_096;
const VERDICT_BYTES_MAX: usize = 512;

/// The patterns of a data file, asked as one.
#[derive(Debug, Default)]
pub struct Patterns {
    each: Vec<Regex>,
    /// All of them; `None` when that would be too large.
    whole: Option<meta::Regex>,
    /// User agents and their like come again and again.
    verdicts: Mutex<HashMap<Box<str>, bool>>,
}

impl Clone for Patterns {
    /// The clone remembers for itself, so that threads do not wait for each other.
    fn clone(&self) -> Self {
        Self {
            each: self.each.clone(),
            whole: self.whole.clone(),
            verdicts: Mutex::default(),
        }
    }
}

impl From<Vec<Regex>> for Patterns {
    fn from(each: Vec<Regex>) -> Self {
        let texts: Vec<&str> = each.iter().map(Regex::as_str).collect();
        let config = meta::Config::new()
            .nfa_size_limit(Some(REGEX_BYTES_MAX))
            .which_captures(regex_automata::nfa::thompson::WhichCaptures::None);
        let whole = meta::Regex::builder().configure(config).build_many(&texts);
        Self {
            whole: whole.ok(),
            each,
            verdicts: Mutex::default(),
        }
    }
}

impl Patterns {
    pub fn len(&self) -> usize {
        self.each.len()
    }

    pub fn is_empty(&self) -> bool {
        self.each.is_empty()
    }

    /// The patterns, in this engine's syntax.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.each.iter().map(Regex::as_str)
    }

    /// Whether any pattern matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        if text.len() > VERDICT_BYTES_MAX {
            return self.ask(text);
        }
        let mut verdicts = self.verdicts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(verdict) = verdicts.get(text) {
            return *verdict;
        }
        let verdict = self.ask(text);
        // Starting over now and then is cheaper than keeping an order.
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert(text.into(), verdict);
        verdict
    }

    fn ask(&self, text: &str) -> bool {
        match &self.whole {
            Some(whole) => whole.is_match(text),
            None => self.each.iter().any(|regex| regex.is_match(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::regex_syntax;

    proptest! {
        #[test]
        fn one_pass_answers_like_one_by_one(
            texts in proptest::collection::vec("[ab]{0,3}", 0..6), text in "[abc]{0,6}",
        ) {
            for fits in [Fits::Contains, Fits::EndsWith, Fits::Equals, Fits::StartsWith, Fits::IsWithin] {
                let one_by_one = texts.iter().any(|part| match fits {
                    Fits::Contains => text.contains(part.as_str()),
                    Fits::EndsWith => text.ends_with(part.as_str()),
                    Fits::Equals => text == *part,
                    Fits::StartsWith => text.starts_with(part.as_str()),
                    Fits::IsWithin => false,
                });
                let finder = Finder::new(fits, texts.clone()).unwrap();
                prop_assert_eq!(finder.fits(&text), one_by_one, "{:?}", fits);
            }
        }
    }

    #[test]
    fn patterns_answer_the_same_the_second_time() {
        let regexes = ["(?i)^bad", "bot$"].map(|p| regex_syntax::compile(p).unwrap());
        let patterns = Patterns::from(regexes.to_vec());
        assert_eq!(patterns.len(), 2);
        for _ in 0..2 {
            assert!(patterns.is_match("BAD thing") && patterns.is_match("a bot"));
            assert!(!patterns.is_match("a bad thing"));
        }
    }

    #[test]
    fn the_memory_of_verdicts_is_bounded() {
        let patterns = Patterns::from(vec![regex_syntax::compile("7$").unwrap()]);
        for number in 0..3 * VERDICTS_MAX {
            assert_eq!(patterns.is_match(&number.to_string()), number % 10 == 7);
        }
        assert!(patterns.verdicts.lock().unwrap().len() <= VERDICTS_MAX);
    }
}
