//! One event on its way through the parsers and into the buckets.
//!
//! All text of an event lives in one arena: the raw line first, then whatever parsers derived. A
//! field is a pair of numbers into it. An event is reused for the next line, so that most lines
//! allocate nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use model::Timestamp;
use serde_json::Value as Json;

use crate::symbols::Sym;

/// Bytes of text for which an event that waits for the next line keeps room.
const TEXT_KEPT_MAX: usize = 8 << 10;

/// Where a value stands in its event's arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Whether all of it lies in `other`.
    pub(crate) const fn is_within(self, other: Self) -> bool {
        self.start >= other.start && self.end <= other.end
    }

    /// The part `range` (relative to `self`) of this span.
    pub fn slice(self, range: Range<usize>) -> Self {
        let at = |n: usize| {
            self.start
                .saturating_add(u32::try_from(n).unwrap_or(u32::MAX))
                .min(self.end)
        };
        Self {
            start: at(range.start),
            end: at(range.end),
        }
    }
}

/// A `map[string]string` of the rule language: a missing key reads as `""`.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    entries: Vec<(Sym, Span)>,
}

impl Fields {
    pub fn find(&self, sym: Sym) -> Option<Span> {
        self.entries
            .iter()
            .find(|(s, _)| *s == sym)
            .map(|(_, span)| *span)
    }

    pub fn set(&mut self, sym: Sym, span: Span) {
        match self.entries.iter_mut().find(|(s, _)| *s == sym) {
            Some(entry) => entry.1 = span,
            None => self.entries.push((sym, span)),
        }
    }

    /// Sets fields of which no two are the same.
    pub(crate) fn set_all(&mut self, fields: impl Iterator<Item = (Sym, Span)>) {
        if self.entries.is_empty() {
            self.entries.extend(fields);
        } else {
            fields.for_each(|(sym, span)| self.set(sym, span));
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn iter(&self) -> impl Iterator<Item = (Sym, Span)> {
        self.entries.iter().copied()
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Which of the event's string maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldMap {
    Enriched,
    /// `evt.Line.Labels`.
    Labels,
    Meta,
    Parsed,
}

/// One of the event's texts, as expressions name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Field(FieldMap, Sym),
    Line,
    Module,
    SourceName,
    StrTime,
    StrTimeFormat,
}

/// Live: buckets run on the wall clock. Recording: on the times in the log ("time machine").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeMode {
    #[default]
    Live,
    Recording,
}

/// One event. Everything but `overflow` is cleared and reused from line to line.
#[derive(Clone, Debug, Default)]
pub struct Event {
    text: String,
    line: Span,
    pub enriched: Fields,
    pub labels: Fields,
    pub meta: Fields,
    pub parsed: Fields,
    /// `evt.Unmarshaled`: values of any JSON type.
    pub unmarshaled: BTreeMap<String, Json>,
    /// The keys of `unmarshaled` whose value is a `map[string]string` (`ParseKV`): in these a
    /// missing key reads as `""` instead of nil.
    pub string_maps: BTreeSet<String>,
    pub mode: TimeMode,
    /// `evt.Time`: when the line was acquired (live), or the line's own time (recording).
    pub time: Timestamp,
    /// `evt.StrTime` and `evt.StrTimeFormat`: the date text that a parser found.
    pub str_time: Span,
    pub str_time_format: Span,
    /// `evt.MarshaledTime`: the parsed date of the line, in Go's RFC3339Nano.
    pub marshaled_time: Option<Timestamp>,
    /// `evt.Line.Src` and `evt.Line.Module`.
    pub source_name: Span,
    pub module: Span,
    pub whitelisted: bool,
    pub whitelist_reason: Span,
    /// Index into the sorted stage names.
    pub stage: u16,
    /// Set when this event is a bucket's overflow (`evt.Overflow`, `GetType() == "overflow"`).
    pub overflow: Option<Box<crate::overflow::Overflow>>,
}

impl Event {
    /// Starts over with a new raw line. `mode` and `time` are the caller's to set.
    pub fn reset(&mut self, line: &str) {
        self.text.clear();
        self.text.push_str(line);
        self.line = Span {
            start: 0,
            end: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
        };
        for fields in [
            &mut self.enriched,
            &mut self.labels,
            &mut self.meta,
            &mut self.parsed,
        ] {
            fields.clear();
        }
        self.unmarshaled.clear();
        self.string_maps.clear();
        self.str_time = Span::default();
        self.str_time_format = Span::default();
        self.marshaled_time = None;
        self.source_name = Span::default();
        self.module = Span::default();
        self.whitelisted = false;
        self.whitelist_reason = Span::default();
        self.stage = 0;
        self.overflow = None;
    }

    /// Gives back the memory that an uncommonly long line took.
    pub(crate) fn trim(&mut self) {
        if self.text.capacity() > TEXT_KEPT_MAX {
            self.text = String::new();
            self.unmarshaled.clear();
        }
    }

    /// `evt.Line.Raw`.
    pub fn line(&self) -> &str {
        self.read(self.line)
    }

    pub const fn line_span(&self) -> Span {
        self.line
    }

    pub fn read(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    /// Puts derived text into the arena.
    pub fn write(&mut self, value: &str) -> Span {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(value);
        Span {
            start,
            end: u32::try_from(self.text.len()).unwrap_or(u32::MAX),
        }
    }

    /// Where `value` already stands in the arena, if it was borrowed from it.
    pub fn locate(&self, value: &str) -> Option<Span> {
        let offset = (value.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let end = offset.checked_add(value.len())?;
        (end <= self.text.len())
            .then(|| {
                Some(Span {
                    start: u32::try_from(offset).ok()?,
                    end: u32::try_from(end).ok()?,
                })
            })
            .flatten()
    }

    pub const fn fields(&self, map: FieldMap) -> &Fields {
        match map {
            FieldMap::Enriched => &self.enriched,
            FieldMap::Labels => &self.labels,
            FieldMap::Meta => &self.meta,
            FieldMap::Parsed => &self.parsed,
        }
    }

    pub const fn fields_mut(&mut self, map: FieldMap) -> &mut Fields {
        match map {
            FieldMap::Enriched => &mut self.enriched,
            FieldMap::Labels => &mut self.labels,
            FieldMap::Meta => &mut self.meta,
            FieldMap::Parsed => &mut self.parsed,
        }
    }

    /// Where a text stands; a missing one is empty.
    pub(crate) fn part(&self, part: Part) -> Span {
        match part {
            Part::Field(map, sym) => self.fields(map).find(sym).unwrap_or_default(),
            Part::Line => self.line,
            Part::Module => self.module,
            Part::SourceName => self.source_name,
            Part::StrTime => self.str_time,
            Part::StrTimeFormat => self.str_time_format,
        }
    }

    /// A field's text; a missing field reads as `""`.
    pub fn field(&self, map: FieldMap, sym: Sym) -> &str {
        self.fields(map)
            .find(sym)
            .map_or("", |span| self.read(span))
    }

    pub fn set_field(&mut self, map: FieldMap, sym: Sym, value: &str) {
        let span = self.write(value);
        self.fields_mut(map).set(sym, span);
    }
}
