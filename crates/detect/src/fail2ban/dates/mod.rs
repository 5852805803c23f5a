//! Where a line says when it happened.
//!
//! First step for a line in a filter: the date is found by the filter's date pattern, or by the
//! usual forms if it names none, and cut out; what is left is what failregex sees. Dates without a
//! year are of the last twelve months. Must not read a clock: "now" and the time zone are
//! arguments.

mod fields;
mod template;

use jiff::tz::TimeZone;
use model::Timestamp;

use self::{fields::Fields, template::Template};
use super::python::{Machine, PatternError, Search};

/// Date patterns that a filter without one is read with, in fail2ban's notation and order. Both
/// marks of a date (`t_q`, `t_r`) are the same; that is checked after the match, so that the
/// patterns stay regular.
const USUAL: &[&str] = &[
    "%ExY(?P<t_q>[-./])%m(?P<t_r>[-./])%d(?:T| {1,2})%H:%M:%S(?:[,.]%f)?(?:\\s*%z)?",
    "(?:%a )?%b %d %k:%M:%S(?:\\.%f)?(?: %ExY)?",
    "(?:%a )?%b %d %ExY %k:%M:%S(?:\\.%f)?",
    "%d(?P<t_q>[-/])%m(?P<t_r>[-/])(?:%ExY|%Exy) %k:%M:%S",
    "%d(?P<t_q>[-/])%b(?P<t_r>[-/])%ExY[ :]?%H:%M:%S(?:\\.%f)?(?: %z)?",
    "%m/%d/%ExY:%H:%M:%S",
    "%m-%d-%ExY %k:%M:%S(?:\\.%f)?",
    "EPOCH",
    "%Exy%Exm%Exd {1,2}%H:%M:%S",
    "%b %d, %ExY %I:%M:%S %p",
    "%ExY%Exm%Exd(?:T| {0,2})%ExH%ExM%ExS(?:[,.]%f)?(?:\\s*%z)?",
    "(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\\.%f)?(?: %ExY)?",
    "(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\\.%f)?(?: %ExY)?",
    "TAI64N",
];

/// Usual forms that stand at a line's start only.
const USUAL_AT_START: &[&str] = &[
    "{^LN-BEG}%H:%M:%S",
    "^<%m/%d/%Exy@%H:%M:%S>",
    "^%b-%d-%Exy %k:%M:%S",
];

/// Templates of one date pattern.
const TEMPLATES_MAX: usize = 64;

/// A date in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// What is cut out.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) time: Timestamp,
}

/// By what a date is read that does not say all.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) now: Timestamp,
    pub(super) zone: &'a TimeZone,
}

#[derive(Debug)]
pub(super) struct Detector {
    templates: Vec<Template>,
    /// `{NONE}`: lines have no date.
    pub(super) dateless: bool,
    /// The usual forms at a line's start come first: those read by hand are tried before any.
    quick: bool,
    last: Option<Last>,
    memory: Memory,
}

/// What matched last, and where.
#[derive(Clone, Copy, Debug)]
struct Last {
    template: usize,
    start: usize,
}

/// The last date that was read by hand: lines of the same second share it.
#[derive(Debug, Default)]
struct Memory {
    text: Vec<u8>,
    now: i64,
    time: Option<Timestamp>,
}

impl Detector {
    pub(super) fn new(pattern: Option<&str>) -> Result<Self, PatternError> {
        let mut detector = Self {
            templates: Vec::new(),
            dateless: false,
            quick: false,
            last: None,
            memory: Memory::default(),
        };
        match pattern.map(str::trim) {
            None | Some("") => {
                detector.quick = true;
                detector.add_usual(Usual::AtStart)?;
                detector.add_usual(Usual::Anywhere)?;
            }
            Some(pattern) => {
                for line in pattern.split('\n') {
                    detector.add_line(line.trim())?;
                }
            }
        }
        Ok(detector)
    }

    fn add_line(&mut self, line: &str) -> Result<(), PatternError> {
        match line.to_ascii_uppercase().as_str() {
            "" => Ok(()),
            "{NONE}" => {
                self.dateless = true;
                Ok(())
            }
            "{DEFAULT}" => {
                self.quick |= self.templates.is_empty();
                self.add_usual(Usual::AtStart)?;
                self.add_usual(Usual::Anywhere)
            }
            "{^LN-BEG}" => {
                self.quick |= self.templates.is_empty();
                self.add_usual(Usual::AtStart)
            }
            _ if line.contains("{DATE}") => {
                for usual in USUAL {
                    if let Some(text) = template::inner(usual) {
                        self.add(&line.replace("{DATE}", &text))?;
                    }
                }
                Ok(())
            }
            _ => self.add(line),
        }
    }

    fn add_usual(&mut self, which: Usual) -> Result<(), PatternError> {
        for usual in USUAL {
            match which {
                Usual::AtStart => self.add(&format!("{{^LN-BEG}}{usual}"))?,
                Usual::Anywhere => self.add(usual)?,
            }
        }
        if which == Usual::Anywhere {
            for usual in USUAL_AT_START {
                self.add(usual)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, pattern: &str) -> Result<(), PatternError> {
        if self.templates.len() >= TEMPLATES_MAX {
            return Err(PatternError::TooLarge);
        }
        self.templates.push(Template::new(pattern)?);
        Ok(())
    }

    /// The line's date. Of those at the line's start the first form counts, of others the one
    /// that begins first.
    pub(super) fn find(
        &mut self,
        line: &str,
        machine: &mut Machine,
        frame: Frame<'_>,
    ) -> Option<Found> {
        if self.quick
            && let Some(found) = self.memory.find(line, frame)
        {
            return Some(found);
        }
        if let Some(last) = self.last
            && let Some(template) = self.templates.get(last.template)
            && let Some(found) = at(template, line, machine, frame)
            && (template.at_start || found.start == last.start)
        {
            return Some(found);
        }
        let mut best: Option<(usize, Found)> = None;
        for (number, template) in self.templates.iter().enumerate() {
            let Some(found) = at(template, line, machine, frame) else {
                continue;
            };
            if template.at_start {
                best = Some((number, found));
                break;
            }
            if best.is_none_or(|(_, b)| found.start < b.start) {
                best = Some((number, found));
            }
        }
        let (template, found) = best?;
        self.last = Some(Last {
            template,
            start: found.start,
        });
        Some(found)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usual {
    AtStart,
    Anywhere,
}

fn at(template: &Template, line: &str, machine: &mut Machine, frame: Frame<'_>) -> Option<Found> {
    if template.pattern.search(line, machine) != Search::Found {
        return None;
    }
    let (start, end) = template.cut(machine)?;
    if start == end {
        return None;
    }
    let time = template.time(line, machine, frame)?;
    Some(Found { start, end, time })
}

impl Memory {
    /// `Jan _2 15:04:05` and `2006-01-02T15:04:05` at the line's start, as most lines have it.
    fn find(&mut self, line: &str, frame: Frame<'_>) -> Option<Found> {
        let bytes = line.as_bytes();
        let end = match bytes {
            [
                _,
                _,
                _,
                b' ',
                _,
                _,
                b' ',
                _,
                _,
                b':',
                _,
                _,
                b':',
                _,
                _,
                rest @ ..,
            ] => {
                // A fraction or a year after it is left to the templates.
                match rest {
                    [b'.', digit, ..] if digit.is_ascii_digit() => return None,
                    [b' ', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', ..] => return None,
                    [next, ..] if next.is_ascii_alphanumeric() || *next == b'_' || *next > 127 => {
                        return None;
                    }
                    _ => 15,
                }
            }
            _ => return None,
        };
        let text = bytes.get(..end)?;
        let found = |time| {
            Some(Found {
                start: 0,
                end,
                time,
            })
        };
        // Within an hour "now" does not change what year is meant, but near its end it may.
        if self.text == text && (frame.now.nanos() - self.now).unsigned_abs() < 1_000_000_000 {
            return self.time.and_then(found);
        }
        let fields = Fields::syslog(text)?;
        let time = fields.time(frame)?;
        self.text.clear();
        self.text.extend_from_slice(text);
        self.now = frame.now.nanos();
        self.time = Some(time);
        found(time)
    }
}

#[cfg(test)]
mod tests;
