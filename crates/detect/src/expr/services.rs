//! What expressions may ask of the world, as plain values that the engine fills in.
//!
//! Nothing here reads a disk or a clock: data files arrive loaded, `now` is set by the caller.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashMap;
use model::Timestamp;
use regex::Regex;

use super::lists::{Lines, Patterns};
use crate::regex_syntax::{self, RegexError};

/// Data files, the stash, the time and the names that helper functions read.
#[derive(Default)]
pub struct Services {
    pub data: DataFiles,
    pub stash: Stash,
    /// What `TimeNow()`, `now()` and stash expiry go by.
    pub now: Timestamp,
    pub hostname: String,
    /// Past decisions; every count is 0 without it.
    pub decisions: Option<Arc<dyn DecisionCounts + Send + Sync>>,
}

impl Services {
    /// The same with an empty stash, for another thread.
    pub(crate) fn twin(&self) -> Self {
        Self {
            data: self.data.clone(),
            stash: Stash::default(),
            now: self.now,
            hostname: self.hostname.clone(),
            decisions: self.decisions.clone(),
        }
    }
}

/// What `GetDecisionsCount` and its kin ask.
pub trait DecisionCounts {
    fn total(&self, value: &str) -> u64;
    fn since(&self, value: &str, since: Timestamp) -> u64;
    fn active(&self, value: &str) -> u64;
}

/// Loaded data files by the name rules call them (`dest_file`).
#[derive(Clone, Default)]
pub struct DataFiles {
    /// Shared by all threads; complete once rules have loaded.
    files: Arc<HashMap<String, DataFile>>,
}

/// One data file. Comments and empty lines are already gone.
#[derive(Clone)]
pub enum DataFile {
    /// `type: map`: `LookupFile`.
    Map(Lookup),
    /// `type: regexp`: `RegexpInFile`.
    Regexes(Patterns),
    /// `type: string`: `File`.
    Strings(Lines),
}

impl DataFiles {
    pub fn insert(&mut self, name: &str, file: DataFile) {
        Arc::make_mut(&mut self.files).insert(name.to_owned(), file);
    }

    pub fn get(&self, name: &str) -> Option<&DataFile> {
        self.files.get(name)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(crate) fn strings(&self, name: &str) -> &[String] {
        self.lines(name).map_or(&[], |lines| lines)
    }

    pub(super) fn lines(&self, name: &str) -> Option<&Lines> {
        match self.files.get(name) {
            Some(DataFile::Strings(lines)) => Some(lines),
            _ => None,
        }
    }
}

/// How one row of a `map` file is compared with the text looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupKind {
    Contains,
    Equals,
    Regex,
}

/// One row of a `map` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupRow {
    pub kind: LookupKind,
    pub pattern: String,
    pub tag: String,
}

/// A `map` file, indexed. Equal rows answer first, then contained ones, then regexes.
#[derive(Clone, Default)]
pub struct Lookup {
    rows: Vec<LookupRow>,
    equals: HashMap<String, usize>,
    contains: Option<(AhoCorasick, Vec<usize>)>,
    regexes: Vec<(Regex, usize)>,
}

impl Lookup {
    /// Indexes the rows. A row whose regex does not compile is left out and reported.
    pub fn new(rows: Vec<LookupRow>) -> (Self, Vec<(usize, RegexError)>) {
        let mut lookup = Self::default();
        let mut bad = Vec::new();
        let mut contained = Vec::new();
        for (i, row) in rows.iter().enumerate() {
            match row.kind {
                LookupKind::Contains => contained.push(i),
                LookupKind::Equals => {
                    lookup.equals.insert(row.pattern.clone(), i);
                }
                LookupKind::Regex => match regex_syntax::compile(&row.pattern) {
                    Ok(regex) => lookup.regexes.push((regex, i)),
                    Err(e) => bad.push((i, e)),
                },
            }
        }
        let patterns = contained
            .iter()
            .filter_map(|i| rows.get(*i))
            .map(|row| &row.pattern);
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(patterns);
        if !contained.is_empty() {
            lookup.contains = automaton.ok().map(|a| (a, contained));
        }
        lookup.rows = rows;
        (lookup, bad)
    }

    pub fn rows(&self) -> &[LookupRow] {
        &self.rows
    }

    /// The tag of the row that fits `text`.
    pub fn find(&self, text: &str) -> Option<&str> {
        let contained = || {
            let (automaton, rows) = self.contains.as_ref()?;
            rows.get(automaton.find(text)?.pattern().as_usize())
                .copied()
        };
        let matched = || {
            self.regexes
                .iter()
                .find(|(r, _)| r.is_match(text))
                .map(|(_, i)| *i)
        };
        let row = self
            .equals
            .get(text)
            .copied()
            .or_else(contained)
            .or_else(matched)?;
        self.rows.get(row).map(|row| row.tag.as_str())
    }
}

/// Bytes of all that is stashed; beyond it the oldest of the cache that is written to goes.
const STASH_BYTES_MAX: usize = 8 << 20;
/// A key is kept twice.
const STASHED_OVERHEAD: usize = 160;

/// Named caches that parsers fill (`stash:`) and `GetFromStash` reads.
#[derive(Default)]
pub struct Stash {
    caches: BTreeMap<String, Cache>,
    /// Of all keys and values.
    bytes: usize,
    /// Somebody wrote to it or asked it since [`Stash::take_touched`].
    touched: AtomicBool,
}

#[derive(Default)]
struct Cache {
    values: HashMap<String, (String, Timestamp)>,
    order: VecDeque<String>,
}

impl Stash {
    /// Keeps `value` until `expires`. Beyond `max` keys the oldest one goes.
    pub fn set(&mut self, cache: &str, key: &str, value: &str, expires: Timestamp, max: usize) {
        *self.touched.get_mut() = true;
        let entry = match self.caches.get_mut(cache) {
            Some(entry) => entry,
            None => self.caches.entry(cache.to_owned()).or_default(),
        };
        let old = entry
            .values
            .insert(key.to_owned(), (value.to_owned(), expires));
        self.bytes += key.len() + value.len() + STASHED_OVERHEAD;
        match old {
            Some((old, _)) => self.bytes -= key.len() + old.len() + STASHED_OVERHEAD,
            None => entry.order.push_back(key.to_owned()),
        }
        while entry.order.len() > max.max(1) || self.bytes > STASH_BYTES_MAX {
            let Some(oldest) = entry.order.pop_front() else {
                break;
            };
            if let Some((value, _)) = entry.values.remove(&oldest) {
                self.bytes -= oldest.len() + value.len() + STASHED_OVERHEAD;
            }
        }
    }

    pub fn get(&self, cache: &str, key: &str, now: Timestamp) -> Option<&str> {
        self.touched.store(true, Ordering::Relaxed);
        let (value, expires) = self.caches.get(cache)?.values.get(key)?;
        (*expires > now).then_some(value)
    }

    /// Whether it was asked or written to since the last call: then what was made of a line hangs
    /// on the lines before it.
    pub(crate) fn take_touched(&mut self) -> bool {
        std::mem::take(self.touched.get_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookup_prefers_equal_then_contained_then_regex() {
        let row = |kind, pattern: &str, tag: &str| LookupRow {
            kind,
            pattern: pattern.into(),
            tag: tag.into(),
        };
        let (lookup, bad) = Lookup::new(vec![
            row(LookupKind::Regex, "^/wp", "wp"),
            row(LookupKind::Contains, "/admin", "admin"),
            row(LookupKind::Equals, "/wp/admin", "exact"),
            row(LookupKind::Regex, "(", "bad"),
        ]);
        assert_eq!(bad.len(), 1);
        assert_eq!(lookup.find("/wp/admin"), Some("exact"));
        assert_eq!(lookup.find("/wp/admin2"), Some("admin"));
        assert_eq!(lookup.find("/wp2"), Some("wp"));
        assert_eq!(lookup.find("/x"), None);
    }

    #[test]
    fn stash_forgets_by_age_and_by_number() {
        let mut stash = Stash::default();
        let at = Timestamp::from_seconds;
        stash.set("c", "a", "1", at(10), 2);
        stash.set("c", "b", "2", at(20), 2);
        assert_eq!(stash.get("c", "a", at(9)), Some("1"));
        assert_eq!(stash.get("c", "a", at(10)), None);
        stash.set("c", "c", "3", at(20), 2);
        assert_eq!(stash.get("c", "a", at(1)), None);
        assert_eq!(stash.get("c", "b", at(1)), Some("2"));
        assert_eq!(stash.get("d", "b", at(1)), None);
    }
}
