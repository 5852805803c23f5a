//! The walk: a pattern's program over a text, with backtracking and a budget.
//!
//! Alternatives are tried in the order in which Python prefers them, so that the first match found
//! is the one Python finds. Each step costs one of the budget, and each sixteen bytes that a run
//! passes over another, so that the budget bounds the time whatever pattern and text are.

use super::{
    Search,
    compile::{Anchor, ByteSet, Next, Op, Program},
    set::is_word,
    tree::{Assert, Taste, Toward, Wanted},
};

/// Places to come back to.
const STACK_MAX: usize = 100_000;
/// Bytes that a run passes over for one step.
const BYTES_A_STEP: usize = 16;
const UNSET: usize = usize::MAX;

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

/// What the walk may come back to.
#[derive(Clone, Copy, Debug)]
enum Back {
    Step(u32, usize),
    /// The run at this op may give back, down to `low`.
    Less {
        op: u32,
        low: usize,
        at: usize,
    },
    /// The run at this op may take more.
    More {
        op: u32,
        taken: u32,
        at: usize,
    },
    /// The slot held this before.
    Slot(u32, usize),
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
                machine: self,
                program,
                text,
                bytes,
            };
            match run.from(0, start) {
                (Walked::NoMatch, _) => {}
                (walked, _) => return walked,
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

/// One program on its way over one text.
struct Run<'a> {
    machine: &'a mut Machine,
    program: &'a Program,
    text: &'a str,
    bytes: &'a [u8],
}

impl Run<'_> {
    /// Walks from an op and a place to the next `Match`; its place is the second value.
    // Recursion (look-arounds) is as deep as groups nest.
    fn from(&mut self, op: usize, place: usize) -> (Walked, usize) {
        let base = self.machine.stack.len();
        let (mut op, mut place) = (op, place);
        loop {
            if self.machine.budget == 0 || self.machine.stack.len() > STACK_MAX {
                return (Walked::Unknown, place);
            }
            self.machine.budget -= 1;
            let Some(step) = self.program.ops.get(op) else {
                return (Walked::NoMatch, place);
            };
            if matches!(step, Op::Match) {
                return (Walked::Match, place);
            }
            let next = match self.step(step, op, place) {
                Ok(next) => next.or_else(|| self.come_back(base)),
                Err(OutOfBudget) => return (Walked::Unknown, place),
            };
            match next {
                Some((next_op, next_place)) => (op, place) = (next_op, next_place),
                None => return (Walked::NoMatch, place),
            }
        }
    }

    fn step(&mut self, step: &Op, op: usize, place: usize) -> Result<Option<Spot>, OutOfBudget> {
        let on = |place: usize| Some((op + 1, place));
        Ok(match step {
            Op::Byte(byte) => match self.bytes.get(place) {
                Some(b) if b == byte => on(place + 1),
                _ => None,
            },
            Op::Text(text) => match self.bytes.get(place..) {
                Some(rest) if rest.starts_with(text) => on(place + text.len()),
                _ => None,
            },
            Op::One(set) => self.one(*set, place).and_then(on),
            Op::Run { .. } => self.run(step, op, place),
            Op::Split(first, second) => {
                self.push(Back::Step(*second, place));
                Some((*first as usize, place))
            }
            Op::Jump(to) => Some((*to as usize, place)),
            Op::Save(slot) | Op::Mark(slot) => {
                self.save(*slot, place);
                on(place)
            }
            Op::Assert(assert) => self.holds(*assert, place).then_some((op + 1, place)),
            Op::Look {
                after,
                toward,
                wanted,
            } => self
                .look(op, place, *toward, *wanted)?
                .then_some((*after as usize, place)),
            Op::Atomic { after } => self.alone(op, place)?.map(|end| (*after as usize, end)),
            Op::BackReference(group) => self.same_again(*group, place).and_then(on),
            Op::Conditional { group, no } => {
                let end = self.machine.slots.get(*group as usize * 2 + 1);
                match end {
                    Some(end) if *end != UNSET => on(place),
                    _ => Some((*no as usize, place)),
                }
            }
            Op::Moved { register, exit } => {
                let marked = self.machine.slots.get(*register as usize);
                if marked == Some(&place) {
                    Some((*exit as usize, place))
                } else {
                    on(place)
                }
            }
            Op::Match => None,
        })
    }

    fn push(&mut self, back: Back) {
        self.machine.stack.push(back);
    }

    fn save(&mut self, slot: u32, place: usize) {
        if let Some(held) = self.machine.slots.get_mut(slot as usize) {
            let old = std::mem::replace(held, place);
            self.machine.stack.push(Back::Slot(slot, old));
        }
    }

    /// Goes back to the last place where something else could be tried.
    fn come_back(&mut self, base: usize) -> Option<Spot> {
        while self.machine.stack.len() > base {
            match self.machine.stack.pop()? {
                Back::Step(op, place) => return Some((op as usize, place)),
                Back::Slot(slot, old) => {
                    if let Some(held) = self.machine.slots.get_mut(slot as usize) {
                        *held = old;
                    }
                }
                Back::Less { op, low, at } => {
                    let Some(Op::Run { next, .. }) = self.program.ops.get(op as usize) else {
                        continue;
                    };
                    let before = self.previous(at);
                    if let Some(spot) = self.give_back(op, low, before, *next) {
                        return Some(spot);
                    }
                }
                Back::More { op, taken, at } => {
                    if let Some(spot) = self.take_more(op, taken, at) {
                        return Some(spot);
                    }
                }
            }
        }
        None
    }

    fn set(&self, set: u32) -> Option<&ByteSet> {
        self.program.sets.get(set as usize)
    }

    /// The place behind one character of the set.
    fn one(&self, set: u32, place: usize) -> Option<usize> {
        let byte = *self.bytes.get(place)?;
        let set = self.set(set)?;
        if byte < 128 {
            let has = set.bytes.get(usize::from(byte)).copied()?;
            return has.then_some(place + 1);
        }
        let c = self.text.get(place..)?.chars().next()?;
        set.set.has(c).then_some(place + c.len_utf8())
    }

    fn run(&mut self, step: &Op, op: usize, place: usize) -> Option<Spot> {
        let Op::Run {
            set,
            min,
            max,
            taste,
            next,
            keeps,
        } = step
        else {
            return None;
        };
        let number = u32::try_from(op).ok()?;
        let most = match taste {
            Taste::Greedy => *max,
            Taste::Lazy => *min,
        };
        let (low, at) = self.span(*set, place, *min, most)?;
        self.machine.spend((at - place) / BYTES_A_STEP);
        match taste {
            Taste::Greedy if *keeps => self.follows(*next, at).then_some((op + 1, at)),
            Taste::Greedy => self.give_back(number, low, at, *next),
            Taste::Lazy => self.lazily(number, *min, at),
        }
    }

    /// As many characters of the set as there are, up to `max`: the places behind the first `min`
    /// and behind all.
    fn span(&self, set: u32, place: usize, min: u32, max: u32) -> Option<(usize, usize)> {
        let members = self.set(set)?;
        let mut at = place;
        let mut low = place;
        let mut taken = 0;
        while taken < max {
            let Some(byte) = self.bytes.get(at) else {
                break;
            };
            if *byte < 128 {
                if !members
                    .bytes
                    .get(usize::from(*byte))
                    .copied()
                    .unwrap_or(false)
                {
                    break;
                }
                at += 1;
            } else {
                let Some(next) = self.one(set, at) else {
                    break;
                };
                at = next;
            }
            taken += 1;
            if taken == min {
                low = at;
            }
        }
        (taken >= min).then_some((low, at))
    }

    /// The longest the run can be, from `at` down to `low`, so that what follows can begin.
    fn give_back(&mut self, op: u32, low: usize, at: usize, next: Next) -> Option<Spot> {
        let mut at = at;
        let from = at;
        while at >= low {
            if self.follows(next, at) {
                self.machine.spend((from - at) / BYTES_A_STEP);
                if at > low {
                    self.push(Back::Less { op, low, at });
                }
                return Some((op as usize + 1, at));
            }
            if at == low {
                break;
            }
            at = self.previous(at);
        }
        self.machine.spend(from.saturating_sub(low) / BYTES_A_STEP);
        None
    }

    /// The shortest the run can be, from `at` on, so that what follows can begin.
    fn lazily(&mut self, op: u32, taken: u32, at: usize) -> Option<Spot> {
        let Some(Op::Run { set, max, next, .. }) = self.program.ops.get(op as usize) else {
            return None;
        };
        let (mut taken, from, mut at) = (taken, at, at);
        while !self.follows(*next, at) {
            if taken >= *max {
                return None;
            }
            at = self.one(*set, at)?;
            taken += 1;
            if at % BYTES_A_STEP == 0 {
                self.machine.spend(1);
            }
        }
        self.machine.spend((at - from) / BYTES_A_STEP);
        self.push(Back::More { op, taken, at });
        Some((op as usize + 1, at))
    }

    fn take_more(&mut self, op: u32, taken: u32, at: usize) -> Option<Spot> {
        let Some(Op::Run { set, max, .. }) = self.program.ops.get(op as usize) else {
            return None;
        };
        if taken >= *max {
            return None;
        }
        let at = self.one(*set, at)?;
        self.lazily(op, taken + 1, at)
    }

    fn follows(&self, next: Next, at: usize) -> bool {
        match next {
            Next::Anything => true,
            Next::Byte(byte) => self.bytes.get(at) == Some(&byte),
            Next::OneOf(set) => match (self.bytes.get(at), self.set(set)) {
                (Some(byte), Some(set)) => {
                    set.bytes.get(usize::from(*byte)).copied().unwrap_or(true)
                }
                _ => false,
            },
        }
    }

    /// The place one character before.
    fn previous(&self, at: usize) -> usize {
        let mut at = at.saturating_sub(1);
        while at > 0 && self.bytes.get(at).is_some_and(|b| b & 0xC0 == 0x80) {
            at -= 1;
        }
        at
    }

    fn holds(&self, assert: Assert, place: usize) -> bool {
        let before = place.checked_sub(1).and_then(|at| self.bytes.get(at));
        match assert {
            Assert::LineStart => before.is_none_or(|b| *b == b'\n'),
            Assert::LineEnd => self.bytes.get(place).is_none_or(|b| *b == b'\n'),
            Assert::TextStart => place == 0,
            Assert::TextEnd => place == self.bytes.len(),
            Assert::WordBorder => self.is_border(place),
            Assert::NoWordBorder => !self.is_border(place),
        }
    }

    fn is_border(&self, place: usize) -> bool {
        let before = self.text.get(..place).and_then(|t| t.chars().next_back());
        let after = self.text.get(place..).and_then(|t| t.chars().next());
        before.is_some_and(is_word) != after.is_some_and(is_word)
    }

    /// Whether the body behind the op does, or does not, match here.
    fn look(
        &mut self,
        op: usize,
        place: usize,
        toward: Toward,
        wanted: Wanted,
    ) -> Result<bool, OutOfBudget> {
        let start = match toward {
            Toward::Ahead => place,
            Toward::Behind(chars) => {
                let mut start = place;
                for _ in 0..chars {
                    if start == 0 {
                        return Ok(wanted == Wanted::NoMatch);
                    }
                    start = self.previous(start);
                }
                start
            }
        };
        match wanted {
            Wanted::Match => Ok(self.alone(op, start)?.is_some()),
            Wanted::NoMatch => {
                let base = self.machine.stack.len();
                let (walked, _) = self.from(op + 1, start);
                // Whatever it took hold of is let go of.
                while self.machine.stack.len() > base {
                    if let Some(Back::Slot(slot, old)) = self.machine.stack.pop()
                        && let Some(held) = self.machine.slots.get_mut(slot as usize)
                    {
                        *held = old;
                    }
                }
                match walked {
                    Walked::Unknown => Err(OutOfBudget),
                    walked => Ok(walked == Walked::NoMatch),
                }
            }
        }
    }

    /// Matches the body behind the op on its own; its other ways are given up, its groups kept.
    fn alone(&mut self, op: usize, place: usize) -> Result<Option<usize>, OutOfBudget> {
        let base = self.machine.stack.len();
        match self.from(op + 1, place) {
            (Walked::Unknown, _) => Err(OutOfBudget),
            (Walked::NoMatch, _) => Ok(None),
            (Walked::Match, end) => {
                let mut kept = base;
                for at in base..self.machine.stack.len() {
                    if let Some(Back::Slot(..)) = self.machine.stack.get(at) {
                        self.machine.stack.swap(kept, at);
                        kept += 1;
                    }
                }
                self.machine.stack.truncate(kept);
                Ok(Some(end))
            }
        }
    }

    /// The place behind the text that the group took, if that stands here again.
    fn same_again(&mut self, group: u32, place: usize) -> Option<usize> {
        let (start, end) = self.machine.span(group as usize)?;
        let taken = self.bytes.get(start..end)?;
        self.machine.spend(taken.len() / BYTES_A_STEP);
        let here = self.bytes.get(place..)?;
        here.starts_with(taken).then_some(place + taken.len())
    }
}

/// An op and a place in the text.
type Spot = (usize, usize);

struct OutOfBudget;
