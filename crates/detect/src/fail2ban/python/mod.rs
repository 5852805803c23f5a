//! Regular expressions in Python's syntax and with Python's meaning, at a bounded cost.
//!
//! fail2ban's filters are written for Python's `re`: conditionals, look-arounds and
//! back-references besides the usual. A pattern becomes a small program that is walked with
//! backtracking and a budget of steps. Where a short budget does not do, a pattern that is regular
//! goes to the linear engine; one that is not must first pass a linear condition that each of its
//! matches fulfils, and then has what is left of the line's budget. What exceeds it is no match,
//! and is counted.

mod compile;
mod hints;
mod linear;
mod machine;
mod needs;
mod parse;
mod set;
mod tree;
mod walk;

use std::sync::OnceLock;

pub(crate) use self::machine::Machine;
use self::{
    compile::Program,
    machine::{Charge, Walked},
    tree::Tree,
};

/// Bytes of one pattern.
const PATTERN_MAX: usize = 256 * 1024;
/// Steps of the short walk: `BASE + PER_BYTE * text`.
const SHORT_BASE: u32 = 2_000;
const SHORT_PER_BYTE: u32 = 16;
/// Steps of the short walk of a regular pattern, whatever the text: the linear engine stands behind
/// it, so that its steps are bounded by themselves and no line pays for them.
const SHORT_MAX: u32 = 8_000;
/// Steps that all patterns that are not regular may take together on one line.
pub const LINE_STEPS_MAX: u32 = 200_000;
/// Bytes that the linear engine's tables for one pattern may take.
const LINEAR_BYTES_MAX: usize = 32 << 20;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PatternError {
    #[error("at byte {at}: {reason}")]
    Syntax { at: usize, reason: &'static str },
    #[error("the pattern is too large; split it over several lines of failregex")]
    TooLarge,
}

/// How a pattern is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    /// Regular: linear time whatever the line.
    Linear,
    /// Has look-arounds, conditionals or back-references: the step limit bounds it.
    Backtracking,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    Found,
    Nothing,
    /// The line's budget ran out: taken as nothing, and to be counted.
    LimitReached,
}

/// One compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    tree: Tree,
    program: Program,
    /// The pattern itself, or where it is not regular what each of its matches fulfils.
    engine: OnceLock<Option<regex::Regex>>,
}

impl Pattern {
    pub(crate) fn new(source: &str) -> Result<Self, PatternError> {
        if source.len() > PATTERN_MAX {
            return Err(PatternError::TooLarge);
        }
        let tree = parse::parse(source)?;
        let program = compile::compile(&tree)?;
        Ok(Self {
            tree,
            program,
            engine: OnceLock::new(),
        })
    }

    pub(crate) fn power(&self) -> Power {
        if self.tree.regular {
            Power::Linear
        } else {
            Power::Backtracking
        }
    }

    /// The number of the group of this name.
    pub(crate) fn group(&self, name: &str) -> Option<usize> {
        self.tree
            .names
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, i)| *i)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, usize)> {
        self.tree.names.iter().map(|(name, i)| (name.as_str(), *i))
    }

    /// With which bytes a match at the text's start can begin; `None` if a match may begin
    /// elsewhere or with anything.
    pub(crate) fn first_bytes(&self) -> Option<&[bool; 256]> {
        self.program.first_of_text()
    }

    /// Looks for the leftmost match from the text's start on; its groups go to `machine`.
    pub(crate) fn search(&self, text: &str, machine: &mut Machine) -> Search {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let short = SHORT_BASE.saturating_add(length.saturating_mul(SHORT_PER_BYTE));
        let (short, charge) = if self.tree.regular {
            (short.min(SHORT_MAX), Charge::Nobody)
        } else {
            (short.min(machine.left), Charge::Line)
        };
        match machine.walk(&self.program, text, short, charge) {
            Walked::Match => return Search::Found,
            Walked::NoMatch => return Search::Nothing,
            Walked::Unknown => {}
        }
        let engine = self
            .engine
            .get_or_init(|| linear::engine(&self.tree, LINEAR_BYTES_MAX));
        let Some(engine) = engine else {
            return self.long_walk(text, machine);
        };
        if self.tree.regular {
            return machine.take_captures(engine, text, self.program.slots());
        }
        if !engine.is_match(text) {
            return Search::Nothing;
        }
        self.long_walk(text, machine)
    }

    fn long_walk(&self, text: &str, machine: &mut Machine) -> Search {
        match machine.walk(&self.program, text, machine.left, Charge::Line) {
            Walked::Match => Search::Found,
            Walked::NoMatch => Search::Nothing,
            Walked::Unknown => Search::LimitReached,
        }
    }

    /// What every match fulfils, as a regular expression for the linear engine.
    pub(crate) fn necessary(&self) -> String {
        linear::print(&self.tree)
    }
}

#[cfg(test)]
mod tests;
