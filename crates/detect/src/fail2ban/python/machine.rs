//! The walk: a pattern's program over a text, with backtracking and a budget.
//!
//! Alternatives are tried in the order in which Python prefers them, so that the first match found
//! is the one Python finds. Each step costs one of the budget, and each sixteen bytes that a run
//! passes over another, so that the budget bounds the time whatever pattern and text are.

use super::{
    Search,
    compile::{Anchor, ByteSet, Op, Program},
    hints::{BOTH, CLOSED, Follow},
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
                machine: self,
                program,
                text,
                bytes,
                nested: false,
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
    /// Within a look-around or a group that matches on its own.
    nested: bool,
}

/// What a step came to.
enum Stepped {
    /// The op after it is next.
    On(usize),
    To(u32, usize),
    Fails,
    OutOfBudget,
}

impl Run<'_> {
    /// Walks from an op and a place to the next `Match`; its place is the second value.
    // Recursion (look-arounds) is as deep as groups nest.
    fn from(&mut self, op: usize, place: usize) -> (Walked, usize) {
        let program = self.program;
        let base = self.machine.stack.len();
        let (mut op, mut place) = (op, place);
        loop {
            if self.machine.budget == 0 {
                return (Walked::Unknown, place);
            }
            self.machine.budget -= 1;
            let Some(step) = program.ops.get(op) else {
                return (Walked::NoMatch, place);
            };
            match self.step(step, op, place) {
                Stepped::On(next) => (op, place) = (op + 1, next),
                Stepped::To(next_op, next) => (op, place) = (next_op as usize, next),
                Stepped::Fails if matches!(step, Op::Match) => return (Walked::Match, place),
                Stepped::Fails => match self.come_back(base) {
                    Some(back) => (op, place) = back,
                    None => return (Walked::NoMatch, place),
                },
                Stepped::OutOfBudget => return (Walked::Unknown, place),
            }
        }
    }

    #[inline(always)]
    fn step(&mut self, step: &Op, op: usize, place: usize) -> Stepped {
        let on = |place: Option<usize>| place.map_or(Stepped::Fails, Stepped::On);
        match step {
            Op::Byte(byte) if self.bytes.get(place) == Some(byte) => Stepped::On(place + 1),
            Op::Text(text) if self.stands(text, place) => Stepped::On(place + text.len()),
            Op::Byte(_) | Op::Text(_) | Op::Match => Stepped::Fails,
            Op::One(set) => on(self.one(*set, place)),
            Op::Run { .. } => match self.run(step, op, place) {
                Some((op, place)) => Stepped::To(op, place),
                None => Stepped::Fails,
            },
            Op::Split {
                first,
                second,
                ways,
                need,
            } => self.choose((*first, *second), *ways, *need, place),
            Op::Jump(to) => Stepped::To(*to, place),
            Op::Save(slot) | Op::Mark(slot) => {
                self.save(*slot, place);
                Stepped::On(place)
            }
            Op::Assert(assert) => on(self.holds(*assert, place).then_some(place)),
            Op::Look {
                after,
                toward,
                wanted,
            } => match self.look(op, place, *toward, *wanted) {
                Ok(true) => Stepped::To(*after, place),
                Ok(false) => Stepped::Fails,
                Err(OutOfBudget) => Stepped::OutOfBudget,
            },
            Op::Atomic { after } => match self.alone(op, place) {
                Ok(Some(end)) => Stepped::To(*after, end),
                Ok(None) => Stepped::Fails,
                Err(OutOfBudget) => Stepped::OutOfBudget,
            },
            Op::BackReference(group) => on(self.same_again(*group, place)),
            Op::Conditional { group, no } => {
                match self.machine.slots.get(*group as usize * 2 + 1) {
                    Some(end) if *end != UNSET => Stepped::On(place),
                    _ => Stepped::To(*no, place),
                }
            }
            Op::Moved { register, exit } => {
                if self.machine.slots.get(*register as usize) == Some(&place) {
                    Stepped::To(*exit, place)
                } else {
                    Stepped::On(place)
                }
            }
        }
    }

    fn stands(&self, text: &[u8], place: usize) -> bool {
        let here = self.bytes.get(place..).unwrap_or_default();
        here.first() == text.first() && here.starts_with(text)
    }

    /// Takes the way that the next byte leaves open, and where that is both the first for now.
    #[inline(always)]
    fn choose(
        &mut self,
        split: (u32, u32),
        ways: Option<u32>,
        need: Option<u32>,
        place: usize,
    ) -> Stepped {
        let next = self.bytes.get(place);
        match ways.map_or(BOTH, |ways| self.program.tables.way(ways, next)) {
            CLOSED => Stepped::Fails,
            BOTH => {
                let (first, second) = split;
                if need.is_some_and(|need| !self.is_ahead(need, place)) {
                    return Stepped::To(second, place);
                }
                self.push(Back::Step(second, place));
                Stepped::To(first, place)
            }
            to => Stepped::To(to.into(), place),
        }
    }

    /// Whether this need's text stands anywhere from the place on.
    fn is_ahead(&mut self, need: u32, place: usize) -> bool {
        let rest = self.bytes.get(place..).unwrap_or_default();
        self.machine.spend(rest.len() / BYTES_A_STEP);
        let text = self.program.needs.get(need as usize);
        text.is_none_or(|text| text.find(rest).is_some())
    }

    #[inline]
    fn push(&mut self, back: Back) {
        if self.machine.stack.len() >= STACK_MAX {
            self.machine.budget = 0;
        }
        self.machine.stack.push(back);
    }

    fn save(&mut self, slot: u32, place: usize) {
        if let Some(held) = self.machine.slots.get_mut(slot as usize) {
            let old = std::mem::replace(held, place);
            // Where there is nothing to come back to, nothing is undone.
            if self.nested || !self.machine.stack.is_empty() {
                self.push(Back::Slot(slot, old));
            }
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
                    let Some(Op::Run { follow, .. }) = self.program.ops.get(op as usize) else {
                        continue;
                    };
                    let before = self.previous(at);
                    if let Some(place) = self.give_back(op, low, before, *follow) {
                        let (op, place) = self.behind(op, *follow, place);
                        return Some((op as usize, place));
                    }
                }
                Back::More { op, taken, at } => {
                    if let Some(place) = self.take_more(op, taken, at) {
                        return Some((op as usize + 1, place));
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
    #[inline]
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

    /// Where it goes on behind the run.
    #[inline]
    fn run(&mut self, step: &Op, op: usize, place: usize) -> Option<(u32, usize)> {
        let Op::Run {
            set,
            min,
            max,
            taste,
            follow,
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
        let end = match taste {
            Taste::Greedy if *keeps => self.follows(*follow, at).then_some(at),
            Taste::Greedy => self.give_back(number, low, at, *follow),
            Taste::Lazy => self.lazily(number, *min, at),
        };
        Some(self.behind(number, *follow, end?))
    }

    /// What follows the run was looked at already: where it is the next op, that is done.
    fn behind(&self, op: u32, follow: Follow, place: usize) -> (u32, usize) {
        match (follow, self.program.ops.get(op as usize + 1)) {
            (Follow::Byte(_), Some(Op::Byte(_))) => (op + 2, place + 1),
            (Follow::Text(_), Some(Op::Text(text))) => (op + 2, place + text.len()),
            _ => (op + 1, place),
        }
    }

    /// As many characters of the set as there are, up to `max`: the places behind the first `min`
    /// and behind all.
    fn span(&self, set: u32, place: usize, min: u32, max: u32) -> Option<(usize, usize)> {
        let members = self.set(set)?;
        if let (Some(stop), 0 | 1, u32::MAX) = (members.all_but, min, max) {
            let rest = self.bytes.get(place..)?;
            let end = place + memchr::memchr(stop, rest).unwrap_or(rest.len());
            return match min {
                0 => Some((place, end)),
                _ if end > place => Some((self.next(place), end)),
                _ => None,
            };
        }
        let mut at = place;
        let mut low = place;
        let mut taken = 0;
        while taken < max {
            let Some(byte) = self.bytes.get(at) else {
                break;
            };
            let is_in = members.bytes.get(usize::from(*byte)).copied();
            if !is_in.unwrap_or(false) {
                break;
            }
            if *byte < 128 {
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
    fn give_back(&mut self, op: u32, low: usize, at: usize, follow: Follow) -> Option<usize> {
        let found = match follow {
            Follow::Byte(byte) => self.last(byte, low, at, |_| true),
            Follow::Text(of) => match self.program.ops.get(of as usize) {
                Some(Op::Text(text)) => {
                    let first = *text.first()?;
                    self.last(first, low, at, |place| self.stands(text, place))
                }
                _ => None,
            },
            Follow::Anything | Follow::OneOf(_) => {
                let mut place = at;
                loop {
                    if self.follows(follow, place) {
                        break Some(place);
                    }
                    if place <= low {
                        break None;
                    }
                    place = self.previous(place);
                }
            }
        };
        let to = found.unwrap_or(low);
        self.machine.spend(at.saturating_sub(to) / BYTES_A_STEP);
        let place = found?;
        if place > low {
            self.push(Back::Less { op, low, at: place });
        }
        Some(place)
    }

    /// The last place from `low` to `high` where this byte stands and more fits.
    fn last(
        &self,
        byte: u8,
        low: usize,
        high: usize,
        fits: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let end = self.bytes.len().min(high + 1);
        let mut range = self.bytes.get(low..end)?;
        loop {
            let at = memchr::memrchr(byte, range)?;
            if fits(low + at) {
                return Some(low + at);
            }
            range = range.get(..at)?;
        }
    }

    /// The shortest the run can be, from `at` on, so that what follows can begin.
    fn lazily(&mut self, op: u32, taken: u32, at: usize) -> Option<usize> {
        let Some(Op::Run {
            set, max, follow, ..
        }) = self.program.ops.get(op as usize)
        else {
            return None;
        };
        let (mut taken, from, mut at) = (taken, at, at);
        let stop = self.set(*set).and_then(|set| set.all_but);
        if let (Some(stop), u32::MAX, Some(begin)) = (stop, *max, self.begin(*follow)) {
            at = self.first_where(*follow, (begin, stop), at)?;
        } else {
            while !self.follows(*follow, at) {
                if taken >= *max {
                    return None;
                }
                at = self.one(*set, at)?;
                taken += 1;
                if at % BYTES_A_STEP == 0 {
                    self.machine.spend(1);
                }
            }
        }
        self.machine.spend((at - from) / BYTES_A_STEP);
        self.push(Back::More { op, taken, at });
        Some(at)
    }

    /// The byte that what follows begins with.
    fn begin(&self, follow: Follow) -> Option<u8> {
        match follow {
            Follow::Byte(byte) => Some(byte),
            Follow::Text(op) => match self.program.ops.get(op as usize) {
                Some(Op::Text(text)) => text.first().copied(),
                _ => None,
            },
            Follow::Anything | Follow::OneOf(_) => None,
        }
    }

    /// The first place from `at` on where what follows stands, unless `stop` comes before it.
    fn first_where(&mut self, follow: Follow, (begin, stop): (u8, u8), at: usize) -> Option<usize> {
        let mut from = at;
        let end = loop {
            let rest = self.bytes.get(from..)?;
            let Some(skipped) = memchr::memchr2(begin, stop, rest) else {
                break self.bytes.len();
            };
            let place = from + skipped;
            if self.follows(follow, place) {
                return Some(place);
            }
            if self.bytes.get(place) == Some(&stop) {
                break place;
            }
            from = place + 1;
        };
        self.machine.spend((end - at) / BYTES_A_STEP);
        None
    }

    fn take_more(&mut self, op: u32, taken: u32, at: usize) -> Option<usize> {
        let Some(Op::Run { set, max, .. }) = self.program.ops.get(op as usize) else {
            return None;
        };
        if taken >= *max {
            return None;
        }
        let at = self.one(*set, at)?;
        self.lazily(op, taken + 1, at)
    }

    #[inline]
    fn follows(&self, follow: Follow, at: usize) -> bool {
        match follow {
            Follow::Anything => true,
            Follow::Byte(byte) => self.bytes.get(at) == Some(&byte),
            Follow::Text(op) => match self.program.ops.get(op as usize) {
                Some(Op::Text(text)) => self.stands(text, at),
                _ => true,
            },
            Follow::OneOf(table) => self.program.tables.follows(table, self.bytes.get(at)),
        }
    }

    /// The place one character on.
    fn next(&self, at: usize) -> usize {
        let mut at = at + 1;
        while self.bytes.get(at).is_some_and(|b| b & 0xC0 == 0x80) {
            at += 1;
        }
        at
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
                let (walked, _) = self.within(op + 1, start);
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

    fn within(&mut self, op: usize, place: usize) -> (Walked, usize) {
        let outer = std::mem::replace(&mut self.nested, true);
        let walked = self.from(op, place);
        self.nested = outer;
        walked
    }

    /// Matches the body behind the op on its own; its other ways are given up, its groups kept.
    fn alone(&mut self, op: usize, place: usize) -> Result<Option<usize>, OutOfBudget> {
        let base = self.machine.stack.len();
        match self.within(op + 1, place) {
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
