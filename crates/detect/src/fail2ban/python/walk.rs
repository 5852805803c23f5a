//! The walk: a program from one place of a text on, with backtracking and a budget.
//!
//! Alternatives are tried in the order in which Python prefers them, so that the first match found
//! is the one Python finds. Each step costs one of the budget, and each sixteen bytes that a run
//! passes over another, so that the budget bounds the time whatever pattern and text are.

use super::{
    compile::{ByteSet, Op, Program},
    hints::{BOTH, CLOSED, Follow},
    machine::{BYTES_A_STEP, UNSET, Walked},
    set::is_word,
    tree::{Assert, Taste, Toward, Wanted},
};

/// No op: no way is open.
const CLOSED_OP: u32 = u32::MAX;
/// Places to come back to.
const STACK_MAX: usize = 100_000;

/// What the walk may come back to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Back {
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

/// One program on its way over one text.
pub(super) struct Run<'a> {
    pub(super) program: &'a Program,
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) slots: &'a mut [usize],
    pub(super) stack: &'a mut Vec<Back>,
    /// Steps that may still be taken.
    pub(super) budget: u32,
    /// Within a look-around or a group that matches on its own.
    pub(super) nested: bool,
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
    /// Walks the whole program from this place of the text.
    pub(super) fn walk(&mut self, start: usize) -> Walked {
        self.from(0, start).0
    }

    /// Walks from an op and a place to the next `Match`; its place is the second value.
    // Recursion (look-arounds) is as deep as groups nest. The ops that most walks consist of are
    // here; what falls through has failed.
    fn from(&mut self, mut op: usize, mut place: usize) -> (Walked, usize) {
        let (program, base) = (self.program, self.stack.len());
        loop {
            if self.budget == 0 {
                return (Walked::Unknown, place);
            }
            self.budget -= 1;
            let Some(step) = program.ops.get(op) else {
                return (Walked::NoMatch, place);
            };
            match step {
                Op::Split {
                    first,
                    second,
                    ways,
                    need,
                } => match self.choose((*first, *second), *ways, *need, place) {
                    CLOSED_OP => {}
                    to => {
                        op = to as usize;
                        continue;
                    }
                },
                Op::Save(slot) => {
                    self.save(*slot, place);
                    op += 1;
                    continue;
                }
                Op::Run { behind, .. } => {
                    if let Some(end) = self.run(step, op, place) {
                        (op, place) = (op + 1 + behind.ops(), end + behind.bytes());
                        continue;
                    }
                }
                Op::Byte(byte) => {
                    if self.bytes.get(place) == Some(byte) {
                        (op, place) = (op + 1, place + 1);
                        continue;
                    }
                }
                Op::Text(text) => {
                    if self.stands(text, place) {
                        (op, place) = (op + 1, place + text.len());
                        continue;
                    }
                }
                Op::Jump(to) => {
                    op = *to as usize;
                    continue;
                }
                Op::Match => return (Walked::Match, place),
                other => match self.rare(other, op, place) {
                    Stepped::On(next) => {
                        (op, place) = (op + 1, next);
                        continue;
                    }
                    Stepped::To(next_op, next) => {
                        (op, place) = (next_op as usize, next);
                        continue;
                    }
                    Stepped::Fails => {}
                    Stepped::OutOfBudget => return (Walked::Unknown, place),
                },
            }
            match self.come_back(base) {
                Some(back) => (op, place) = back,
                None => return (Walked::NoMatch, place),
            }
        }
    }

    #[inline(never)]
    fn rare(&mut self, step: &Op, op: usize, place: usize) -> Stepped {
        let on = |place: Option<usize>| place.map_or(Stepped::Fails, Stepped::On);
        match step {
            Op::One(set) => on(self.one(*set, place)),
            Op::Mark(slot) => {
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
            Op::Conditional { group, no } => match self.slots.get(*group as usize * 2 + 1) {
                Some(end) if *end != UNSET => Stepped::On(place),
                _ => Stepped::To(*no, place),
            },
            Op::Moved { register, exit } => {
                if self.slots.get(*register as usize) == Some(&place) {
                    Stepped::To(*exit, place)
                } else {
                    Stepped::On(place)
                }
            }
            _ => Stepped::Fails,
        }
    }

    fn spend(&mut self, steps: usize) {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.budget = self.budget.saturating_sub(steps);
    }

    #[inline]
    fn stands(&self, text: &[u8], place: usize) -> bool {
        let here = self.bytes.get(place..).unwrap_or_default();
        here.first() == text.first() && here.starts_with(text)
    }

    /// The op behind the way that the next byte leaves open, and where that is both the first for
    /// now; [`CLOSED_OP`] where there is none.
    #[inline(always)]
    fn choose(
        &mut self,
        (first, second): (u32, u32),
        ways: Option<u32>,
        need: Option<u32>,
        place: usize,
    ) -> u32 {
        let next = self.bytes.get(place);
        match ways.map_or(BOTH, |ways| self.program.tables.way(ways, next)) {
            CLOSED => CLOSED_OP,
            BOTH => {
                if need.is_some_and(|need| !self.is_ahead(need, place)) {
                    return second;
                }
                self.push(Back::Step(second, place));
                first
            }
            to => to.into(),
        }
    }

    /// Whether this need's text stands anywhere from the place on.
    fn is_ahead(&mut self, need: u32, place: usize) -> bool {
        let rest = self.bytes.get(place..).unwrap_or_default();
        self.spend(rest.len() / BYTES_A_STEP);
        let text = self.program.needs.get(need as usize);
        text.is_none_or(|text| text.find(rest).is_some())
    }

    #[inline]
    fn push(&mut self, back: Back) {
        if self.stack.len() >= STACK_MAX {
            self.budget = 0;
        }
        self.stack.push(back);
    }

    #[inline]
    fn save(&mut self, slot: u32, place: usize) {
        if let Some(held) = self.slots.get_mut(slot as usize) {
            let old = std::mem::replace(held, place);
            // Where there is nothing to come back to, nothing is undone.
            if self.nested || !self.stack.is_empty() {
                self.push(Back::Slot(slot, old));
            }
        }
    }

    /// Goes back to the last place where something else could be tried.
    fn come_back(&mut self, base: usize) -> Option<Spot> {
        while self.stack.len() > base {
            match self.stack.pop()? {
                Back::Step(op, place) => return Some((op as usize, place)),
                Back::Slot(slot, old) => {
                    if let Some(held) = self.slots.get_mut(slot as usize) {
                        *held = old;
                    }
                }
                Back::Less { op, low, at } => {
                    let Some(Op::Run { follow, behind, .. }) = self.program.ops.get(op as usize)
                    else {
                        continue;
                    };
                    let before = self.previous(at);
                    if let Some(place) = self.give_back(op, low, before, *follow) {
                        let next = op as usize + 1 + behind.ops();
                        return Some((next, place + behind.bytes()));
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
            return set.has_byte(byte).then_some(place + 1);
        }
        let c = self.text.get(place..)?.chars().next()?;
        set.set.has(c).then_some(place + c.len_utf8())
    }

    /// The place behind the run.
    #[inline(always)]
    fn run(&mut self, step: &Op, op: usize, place: usize) -> Option<usize> {
        let Op::Run {
            set,
            min,
            max,
            taste,
            follow,
            keeps,
            ..
        } = step
        else {
            return None;
        };
        let most = match taste {
            Taste::Greedy => *max,
            Taste::Lazy => *min,
        };
        let (low, at) = self.span(*set, place, *min, most)?;
        self.spend((at - place) / BYTES_A_STEP);
        match taste {
            Taste::Greedy if *keeps => self.follows(*follow, at).then_some(at),
            Taste::Greedy => self.give_back(u32::try_from(op).ok()?, low, at, *follow),
            Taste::Lazy => self.lazily(u32::try_from(op).ok()?, *min, at),
        }
    }

    /// As many characters of the set as there are, up to `max`: the places behind the first `min`
    /// and behind all.
    #[inline(always)]
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
        if let (0 | 1, u32::MAX) = (min, max) {
            // Characters of ASCII at once; the rest, if there is any, one by one.
            let is_in = |b: &u8| members.has_byte(*b);
            while self.bytes.get(at).is_some_and(|b| *b < 128 && is_in(b)) {
                at += 1;
            }
            let end = !self.bytes.get(at).is_some_and(is_in);
            if at > place {
                low = if min == 0 { place } else { place + 1 };
                taken = 1;
            }
            if end {
                return (taken >= min).then_some((low, at));
            }
        }
        while taken < max {
            let Some(byte) = self.bytes.get(at) else {
                break;
            };
            if !members.has_byte(*byte) {
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
            taken = taken.saturating_add(1);
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
        self.spend(at.saturating_sub(to) / BYTES_A_STEP);
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
                    self.spend(1);
                }
            }
        }
        self.spend((at - from) / BYTES_A_STEP);
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
        self.spend((end - at) / BYTES_A_STEP);
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
                let base = self.stack.len();
                let (walked, _) = self.within(op + 1, start);
                // Whatever it took hold of is let go of.
                while self.stack.len() > base {
                    if let Some(Back::Slot(slot, old)) = self.stack.pop()
                        && let Some(held) = self.slots.get_mut(slot as usize)
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
        let base = self.stack.len();
        match self.within(op + 1, place) {
            (Walked::Unknown, _) => Err(OutOfBudget),
            (Walked::NoMatch, _) => Ok(None),
            (Walked::Match, end) => {
                let mut kept = base;
                for at in base..self.stack.len() {
                    if let Some(Back::Slot(..)) = self.stack.get(at) {
                        self.stack.swap(kept, at);
                        kept += 1;
                    }
                }
                self.stack.truncate(kept);
                Ok(Some(end))
            }
        }
    }

    /// The place behind the text that the group took, if that stands here again.
    fn same_again(&mut self, group: u32, place: usize) -> Option<usize> {
        let start = *self.slots.get(group as usize * 2)?;
        let end = *self.slots.get(group as usize * 2 + 1)?;
        let taken = self.bytes.get(start..end)?;
        self.spend(taken.len() / BYTES_A_STEP);
        let here = self.bytes.get(place..)?;
        here.starts_with(taken).then_some(place + taken.len())
    }
}

/// An op and a place in the text.
type Spot = (usize, usize);

struct OutOfBudget;
