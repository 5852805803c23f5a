//! The search: a pattern's program at each place of a text where a match can begin.
//!
//! Holds the line's budget of steps and the memory that the walk (`walk`) uses again.

use super::{
    Search,
    compile::{Anchor, Program},
    walk::{Back, Run},
};

/// Bytes that are passed over for one step.
pub(super) const BYTES_A_STEP: usize = 16;
/// In a slot: the group took no part.
pub(super) const UNSET: usize = usize::MAX;

/// Where each group of the last match begins and ends.
type Slots = Vec<usize>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Walked {
    Match,
    NoMatch,
    /// The budget ran out.
    Unknown,
}

/// Whose budget a walk's steps are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    Line,
    Nobody,
}

/// The walk's memory, reused from line to line, and the line's budget.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    slots: Slots,
    stack: Vec<Back>,
    /// Steps that this line may still take.
    pub(super) left: u32,
    budget: u32,
}

impl Machine {
    /// Gives the next line its budget.
    pub(crate) const fn begin_line(&mut self, steps: u32) {
        self.left = steps;
    }

    /// Steps of the line's budget that are not used.
    pub(crate) const fn left(&self) -> u32 {
        self.left
    }

    /// The text of a group of the last match, if it took part.
    pub(crate) fn group<'t>(&self, text: &'t str, group: usize) -> Option<&'t str> {
        let (start, end) = self.span(group)?;
        text.get(start..end)
    }

    pub(crate) fn span(&self, group: usize) -> Option<(usize, usize)> {
        let start = *self.slots.get(group * 2)?;
        let end = *self.slots.get(group * 2 + 1)?;
        (start != UNSET && end != UNSET && start <= end).then_some((start, end))
    }

    /// Searches `text` from its start on.
    pub(super) fn walk(
        &mut self,
        program: &Program,
        text: &str,
        budget: u32,
        charge: Charge,
    ) -> Walked {
        self.budget = budget;
        let walked = self.search(program, text);
        if charge == Charge::Line {
            self.left = self.left.saturating_sub(budget - self.budget);
        }
        walked
    }

    fn search(&mut self, program: &Program, text: &str) -> Walked {
        let bytes = text.as_bytes();
        if !program.head.is_empty()
            && program.anchor == Anchor::Line
            && !bytes.starts_with(&program.head)
            && memchr::memchr(b'\n', bytes).is_none_or(|end| end + 1 == bytes.len())
        {
            return Walked::NoMatch;
        }
        if let Some(need) = &program.need {
            self.spend(bytes.len() / BYTES_A_STEP);
            if need.find(bytes).is_none() {
                return Walked::NoMatch;
            }
        }
        let mut start = 0;
        loop {
            if let Some(first) = &program.first {
                let fits = |b: &u8| first.get(usize::from(*b)).copied().unwrap_or(false);
                let rest = bytes.get(start..).unwrap_or_default();
                match program.anchor {
                    Anchor::Nowhere => match rest.iter().position(fits) {
                        Some(skipped) => {
                            start += skipped;
                            self.spend(skipped / BYTES_A_STEP);
                        }
                        None => return Walked::NoMatch,
                    },
                    Anchor::Text if !rest.first().is_some_and(fits) => return Walked::NoMatch,
                    Anchor::Line if !rest.first().is_some_and(fits) => {
                        match next_line(bytes, start) {
                            Some(next) => start = next,
                            None => return Walked::NoMatch,
                        }
                        continue;
                    }
                    Anchor::Line | Anchor::Text => {}
                }
            }
            self.stack.clear();
            self.slots.clear();
            self.slots.resize(program.slots(), UNSET);
            let mut run = Run {
                program,
                text,
                bytes,
                slots: &mut self.slots,
                stack: &mut self.stack,
                budget: self.budget,
                nested: false,
            };
            let walked = run.walk(start);
            self.budget = run.budget;
            if walked != Walked::NoMatch {
                return walked;
            }
            let next = match program.anchor {
                Anchor::Nowhere => next_char(text, start),
                Anchor::Line => next_line(bytes, start),
                Anchor::Text => None,
            };
            match next {
                Some(next) => start = next,
                None => return Walked::NoMatch,
            }
        }
    }

    /// Takes the groups from the linear engine's match.
    pub(super) fn take_captures(
        &mut self,
        engine: &regex::Regex,
        text: &str,
        slots: usize,
    ) -> Search {
        let mut found = engine.capture_locations();
        if engine.captures_read(&mut found, text).is_none() {
            return Search::Nothing;
        }
        self.slots.clear();
        self.slots.resize(slots, UNSET);
        for (i, pair) in self.slots.chunks_mut(2).enumerate() {
            if let (Some((start, end)), [low, high]) = (found.get(i), pair) {
                (*low, *high) = (start, end);
            }
        }
        Search::Found
    }

    fn spend(&mut self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.budget = self.budget.saturating_sub(steps);
    }
}

fn next_line(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr::memchr(b'\n', rest).map(|at| from + at + 1)
}

fn next_char(text: &str, from: usize) -> Option<usize> {
    let c = text.get(from..)?.chars().next()?;
    Some(from + c.len_utf8())
}
