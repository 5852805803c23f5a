//! A compiled expression: names resolved, constants folded, regexes compiled.

use std::sync::Mutex;

use hashbrown::HashSet;
use memchr::memmem::Finder;
use regex::Regex;

use super::{
    ast::{Binary, Pointer},
    functions::Function,
    line_test::LineTest,
    value::Value,
};
use crate::{
    event::{FieldMap, Part},
    symbols::Sym,
};

pub(super) enum Node {
    Add(Box<[Self]>),
    And(Box<[Self]>),
    Arithmetic(Binary, Box<(Self, Self)>),
    Array(Box<[Self]>),
    Bool(bool),
    /// Computed once per run of the closure it stands in.
    Cached(usize, Box<Self>),
    Call(&'static Function, Box<[Self]>),
    Choice(Box<(Self, Self, Self)>),
    Coalesce(Box<[Self]>),
    Compare(Binary, Box<(Self, Self)>),
    /// A list or map of constants.
    Constant(Value<'static>),
    ContainsText(Box<(Self, Finder<'static>)>),
    Duration(i64),
    EndsWithText(Box<(Self, Box<str>)>),
    Equal(Box<(Self, Self)>),
    /// `evt.Parsed.x` and its kin.
    Field(FieldMap, Sym),
    FieldEqual(FieldMap, Sym, Box<str>),
    FieldIn(FieldMap, Sym, Texts),
    /// A field that this very expression may have set.
    FieldNow(FieldMap, Box<Key>),
    Float(f64),
    In(Box<(Self, Self)>),
    /// `x in ["a", "b"]`.
    InTexts(Box<Self>, Texts),
    Index(Box<(Self, Self)>, Nil),
    Int(i64),
    Let(usize, Box<(Self, Self)>),
    /// `evt.Line.Raw`.
    Line,
    Local(usize),
    Loop(Box<Loop>),
    Map(Box<[(Self, Self)]>),
    Matches(Box<(Self, Regex)>),
    MatchesComputed(Box<(Self, Self, RegexCache)>),
    Member(Box<(Self, Key)>, Nil),
    Method(Box<(Self, Box<str>, Box<[Self]>)>, Nil),
    Negate(Box<Self>),
    Nil,
    Not(Box<Self>),
    Optional(Box<Self>),
    Or(Box<[Self]>),
    Pointer(Pointer),
    Range(Box<(Self, Self)>),
    Root(Root),
    Sequence(Box<[Self]>),
    /// `evt.SetMeta(key, value)`, `evt.SetParsed(key, value)`.
    SetField(FieldMap, Box<(Self, Self)>),
    Slice(Box<(Self, Option<Self>, Option<Self>)>),
    StartsWithText(Box<(Self, Box<str>)>),
    Text(Box<str>),
    TextTest(Binary, Box<(Self, Self)>),
    /// `evt.Unmarshaled.key`.
    Unmarshaled(Box<str>),
    /// Writes `text` at `key` of `evt.Unmarshaled`.
    Unmarshal(Format, Box<(Self, Self)>),
}

/// The text of the event that the node is, if it is nothing else.
pub(super) fn part(node: &Node) -> Option<Part> {
    Some(match node {
        Node::Field(map, sym) => Part::Field(*map, *sym),
        Node::Line => Part::Line,
        Node::Member(parts, _) => match (&parts.0, &*parts.1.name) {
            (Node::Root(Root::Event), "StrTime") => Part::StrTime,
            (Node::Root(Root::Event), "StrTimeFormat") => Part::StrTimeFormat,
            (Node::Member(outer, _), name) => {
                let (Node::Root(Root::Event), "Line") = (&outer.0, &*outer.1.name) else {
                    return None;
                };
                match name {
                    "Module" => Part::Module,
                    "Src" => Part::SourceName,
                    _ => return None,
                }
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// A list of texts that something may be in.
pub(super) struct Texts {
    list: Box<[Box<str>]>,
    /// Filled when the list is long.
    table: HashSet<Box<str>>,
}

/// Longer lists are looked up by hash.
const TEXTS_LISTED_MAX: usize = 6;

impl From<Box<[Box<str>]>> for Texts {
    fn from(list: Box<[Box<str>]>) -> Self {
        let long = list.len() > TEXTS_LISTED_MAX;
        Self {
            table: list.iter().filter(|_| long).cloned().collect(),
            list,
        }
    }
}

impl Texts {
    pub(super) fn has(&self, text: &str) -> bool {
        if self.table.is_empty() {
            self.list.iter().any(|known| **known == *text)
        } else {
            self.table.contains(text)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Box<str>> {
        self.list.iter()
    }
}

/// A name to look up, in both of its forms.
pub(super) struct Key {
    pub(super) name: Box<str>,
    pub(super) sym: Sym,
}

/// What a part access does when it meets nil.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nil {
    Fails,
    /// `?.`: the whole chain of accesses is nil.
    Passes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Alert,
    Event,
    Leaky,
    Queue,
    Results,
}

/// How text is read into `evt.Unmarshaled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    KeyValue,
    KeyValueLax,
}

pub(super) struct Loop {
    pub(super) kind: LoopKind,
    pub(super) list: Node,
    pub(super) body: Option<Node>,
    /// The start value of `reduce`, the order of `sortBy`.
    pub(super) extra: Option<Node>,
    /// The cache slots of this closure.
    pub(super) slots: std::ops::Range<usize>,
    /// What the body says of an event of a queue, if it only compares a field.
    pub(super) quick: Option<(FieldMap, Sym, Box<str>)>,
    /// Asked first, where there is one.
    pub(super) shortcut: Option<Box<LineTest>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoopKind {
    All,
    Any,
    Count,
    Filter,
    Find,
    FindIndex,
    FindLast,
    FindLastIndex,
    GroupBy,
    Map,
    None,
    One,
    Reduce,
    SortBy,
    Sum,
}

impl LoopKind {
    pub(super) const fn of(name: &str) -> Option<Self> {
        Some(match name.as_bytes() {
            b"all" => Self::All,
            b"any" => Self::Any,
            b"count" => Self::Count,
            b"filter" => Self::Filter,
            b"find" => Self::Find,
            b"findIndex" => Self::FindIndex,
            b"findLast" => Self::FindLast,
            b"findLastIndex" => Self::FindLastIndex,
            b"groupBy" => Self::GroupBy,
            b"map" => Self::Map,
            b"none" => Self::None,
            b"one" => Self::One,
            b"reduce" => Self::Reduce,
            b"sortBy" => Self::SortBy,
            b"sum" => Self::Sum,
            _ => return None,
        })
    }
}

/// The regexes that one computed `matches` used last, newest at the end.
#[derive(Default)]
pub(super) struct RegexCache(Mutex<Vec<(Box<str>, Option<Regex>)>>);

const REGEX_CACHE_MAX: usize = 32;

impl RegexCache {
    /// Compiles `pattern` unless it was used lately; `None` when it does not compile.
    pub(super) fn get(&self, pattern: &str) -> Option<Regex> {
        let mut kept = match self.0.lock() {
            Ok(kept) => kept,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some((_, regex)) = kept.iter().find(|(p, _)| **p == *pattern) {
            return regex.clone();
        }
        let regex = crate::regex_syntax::compile(pattern).ok();
        if kept.len() >= REGEX_CACHE_MAX {
            kept.remove(0);
        }
        kept.push((pattern.into(), regex.clone()));
        regex
    }
}
