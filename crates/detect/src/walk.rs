//! Groks matched by walking along the text.
//!
//! Most patterns of log lines match from the first byte on and are nearly deterministic: words,
//! runs of one class, a few options. For those a small back-tracking walk is several times faster
//! than a general engine's captures, and gives the same captures by construction: alternatives are
//! tried in the order in which leftmost-first matching prefers them. A pattern without an anchor is
//! walked from the first byte only; if that fails, the general engine looks further along. The
//! walk's work is bounded by a budget linear in the text; where that runs out, or a pattern is none
//! of these, the general engine matches. Lines of a log begin alike: where a text begins with the
//! bytes that the walk before had looked at by some point, the walk goes on from there ([`marks`]).

mod compile;
mod marks;
#[cfg(test)]
mod tests;

use ::regex_syntax::hir::{Class, Hir, Look};
use memchr::memmem::Finder;
use regex_automata::util::primitives::NonMaxUsize;

pub(crate) use self::marks::Memory;
use self::{compile::Compiler, marks::Mark};
use crate::scan::Needle;

/// Work allowed for a text of `n` bytes: `WORK_BASE + WORK_PER_BYTE * n`.
const WORK_BASE: usize = 1_024;
const WORK_PER_BYTE: usize = 8;
/// Places to come back to.
const STACK_MAX: usize = 8_192;

/// Where a match's captures go.
pub(crate) type Slots = Vec<Option<NonMaxUsize>>;

/// What the walk may come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Back {
    /// Go on at the step, from this place in the text.
    Step(u32, usize),
    /// A run may give bytes back: down to `low`, now at `at`; then go on at the step.
    Run { step: u32, low: usize, at: usize },
    /// A lazy run, the step before, may take more bytes: now at `at`.
    More { step: u32, at: usize },
    /// The slot held this before.
    Slot(u32, Option<NonMaxUsize>),
}

/// The walk's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    Match,
    NoMatch,
    /// Ask the general engine: the budget ran out, or a match may begin further along.
    Unknown,
}

/// A pattern that can be walked.
#[derive(Debug)]
pub(crate) struct Walk {
    steps: Vec<Step>,
    sets: Vec<Set>,
    firsts: Vec<First>,
    /// A match can only begin where the text does.
    anchored: bool,
}

/// Index into the walk's sets.
type SetId = u32;
/// Index into the walk's firsts.
type FirstId = u32;

#[derive(Debug)]
enum Step {
    Text(Needle),
    /// One character of the class.
    One(SetId),
    /// As many as there are; may give back unless `keeps`.
    Run {
        set: SetId,
        min: usize,
        max: usize,
        keeps: bool,
        next: FirstId,
    },
    /// As few as will do. What follows begins with `next`, and with `sought` if that is not empty.
    Lazy {
        set: SetId,
        min: usize,
        next: FirstId,
        sought: Option<Box<Finder<'static>>>,
    },
    /// Goes on where some of the set, at most `max`, and then this byte stand: what every way
    /// from here begins with.
    Guard {
        set: SetId,
        max: usize,
        byte: u8,
    },
    /// The first is preferred; with what each can begin.
    Split([(u32, FirstId); 2]),
    Jump(u32),
    Save(u32),
    /// `\b`, or `\B`.
    Border(Border),
    Start,
    End,
    Match,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Border {
    Is,
    IsNot,
}

/// A set of bytes. Of characters beyond ASCII it holds all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    has: [bool; 256],
    /// All bytes but this one are in it.
    all_but: Option<u8>,
}

/// With what something can begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct First {
    has: [u64; 4],
    /// It can match where the text ends.
    end: bool,
}

impl Walk {
    /// `None` when the pattern is not of the kind that is walked.
    pub(crate) fn new(hir: &Hir) -> Option<Self> {
        let mut compiler = Compiler::default();
        compiler.compile(hir)?;
        compiler.push(Step::Match)?;
        compiler.look_ahead()?;
        Some(Self {
            steps: compiler.steps,
            sets: compiler.sets,
            firsts: compiler.firsts,
            anchored: hir.properties().look_set_prefix().contains(Look::Start),
        })
    }

    /// Matches the whole of `text`; `slots` must be all `None` and as many as the pattern has.
    pub(crate) fn run(&self, text: &str, slots: &mut Slots, memory: &mut Memory) -> Walked {
        memory.stack.clear();
        let all = WORK_BASE.saturating_add(WORK_PER_BYTE.saturating_mul(text.len()));
        let mut machine = Machine {
            walk: self,
            text: text.as_bytes(),
            slots,
            memory,
            all,
            work: all,
            seen: 0,
            mark_from: marks::APART_MIN,
        };
        machine.run()
    }
}

struct Machine<'m> {
    walk: &'m Walk,
    text: &'m [u8],
    slots: &'m mut Slots,
    memory: &'m mut Memory,
    /// The budget, and what is left of it.
    all: usize,
    work: usize,
    /// The bytes before this place, and no others, have been looked at; one more than there are if
    /// the text's end has been.
    seen: usize,
    /// Marks before this place are not worth their making.
    mark_from: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Walked {
        let (mut step, mut at) = self.resume();
        loop {
            if !self.spend(1) {
                return Walked::Unknown;
            }
            let place = match self.walk.steps.get(step as usize) {
                Some(Step::Match) => {
                    self.save(0, 0);
                    self.save(1, at);
                    return Walked::Match;
                }
                Some(taken) => self.step(taken, step, at),
                None => None,
            };
            (step, at) = match place {
                Some(place) => place,
                None => match self.back() {
                    Some(place) => place,
                    None if self.work > 0 && self.walk.anchored => return Walked::NoMatch,
                    None => return Walked::Unknown,
                },
            };
        }
    }

    /// Where to begin: where the text begins to differ from the one before, if that is known.
    fn resume(&mut self) -> (u32, usize) {
        let Some(mark) = self.memory.resume(self.text, self.slots) else {
            return (0, 0);
        };
        self.work = self.all.saturating_sub(mark.spent);
        self.seen = mark.seen;
        let place = (mark.step, mark.at);
        self.mark_from = self.memory.next_mark();
        place
    }

    /// Notes that the bytes before `to` have been looked at.
    fn look(&mut self, to: usize) {
        self.seen = self.seen.max(to);
    }

    fn spend(&mut self, work: usize) -> bool {
        self.work = self.work.saturating_sub(work);
        self.work > 0
    }

    fn push(&mut self, back: Back) {
        if self.memory.stack.len() < STACK_MAX {
            self.memory.stack.push(back);
        } else {
            self.work = 0;
        }
    }

    /// Where to go on; `None` when the step does not fit the text.
    #[inline(always)]
    fn step(&mut self, taken: &Step, step: u32, at: usize) -> Option<(u32, usize)> {
        let next = step + 1;
        let rest = self.text.get(at..)?;
        self.look(at + 1);
        match taken {
            Step::Text(text) => {
                let end = at + text.text().len();
                self.look(end);
                text.begins(rest).then_some((next, end))
            }
            Step::One(set) => Some((next, self.one(*set, rest, at)?)),
            Step::Run {
                set,
                min,
                max,
                keeps,
                next: first,
            } => {
                let set = self.walk.set(*set)?;
                let count = set.count(rest.get(..*max).unwrap_or(rest));
                self.look(at + count + 1);
                if count < *min || !self.spend(count / 8 + 1) {
                    return None;
                }
                if *keeps || count == *min {
                    return Some((next, at + count));
                }
                self.settle((next, *first), at + min, at + count)
            }
            Step::Lazy { min, .. } => {
                let mut place = at;
                for _ in 0..*min {
                    place = self.further(step, place)?;
                }
                self.stretch(step, place)
            }
            Step::Guard { set, max, byte } => {
                let count = self.walk.set(*set)?.count(rest.get(..*max).unwrap_or(rest));
                self.look(at + count + 1);
                (rest.get(count) == Some(byte)).then_some((next, at))
            }
            Step::Split([one, other]) => match (self.fits(one.1, rest), self.fits(other.1, rest)) {
                (true, true) => {
                    self.push(Back::Step(other.0, at));
                    Some((one.0, at))
                }
                (true, false) => Some((one.0, at)),
                (false, true) => Some((other.0, at)),
                (false, false) => None,
            },
            Step::Jump(to) => Some((*to, at)),
            Step::Save(slot) => {
                self.note(step, *slot, at);
                Some((next, at))
            }
            Step::Start => (at == 0).then_some((next, at)),
            Step::End => rest.is_empty().then_some((next, at)),
            Step::Border(border) => {
                let before = at.checked_sub(1).and_then(|at| self.text.get(at));
                let differ = is_word(before) != is_word(rest.first());
                (differ == (*border == Border::Is)).then_some((next, at))
            }
            Step::Match => None,
        }
    }

    /// Behind one character of a set.
    #[inline(always)]
    fn one(&mut self, set: SetId, rest: &[u8], at: usize) -> Option<usize> {
        let byte = *rest.first()?;
        if !self.walk.set(set)?.has(byte) {
            return None;
        }
        let more = rest.get(1..)?.iter().take_while(|b| is_inner(**b));
        let end = at + 1 + more.count();
        self.look(end + usize::from(!byte.is_ascii()));
        Some(end)
    }

    /// A capture begins or ends at `at`.
    #[inline(always)]
    fn note(&mut self, step: u32, slot: u32, at: usize) {
        if at >= self.mark_from {
            self.mark(step, at);
        }
        let place = self.slots.get(slot as usize).copied().flatten();
        // With nothing to come back to, nobody will ask what was there before.
        if !self.memory.stack.is_empty() {
            self.push(Back::Slot(slot, place));
        }
        self.save(slot, at);
    }

    /// A run that ends at `at` or before: the last place where the rest can begin.
    fn settle(
        &mut self,
        (step, first): (u32, FirstId),
        low: usize,
        mut at: usize,
    ) -> Option<(u32, usize)> {
        let from = at;
        let place = loop {
            if self.can(first, at) {
                break Some(at);
            }
            let before = self.before(at);
            if at <= low || before < low {
                break None;
            }
            at = before;
        };
        if !self.spend((from - at) / 4 + 1) {
            return None;
        }
        let place = place?;
        if place > low {
            self.push(Back::Run {
                step,
                low,
                at: place,
            });
        }
        Some((step, place))
    }

    /// The place behind the next character, if it is in the lazy run's set.
    fn further(&mut self, step: u32, at: usize) -> Option<usize> {
        let Some(Step::Lazy { set, .. }) = self.walk.steps.get(step as usize) else {
            return None;
        };
        let rest = self.text.get(at..)?;
        self.look(at + 1);
        if !self.walk.set(*set)?.has(*rest.first()?) {
            return None;
        }
        let more = rest.get(1..)?.iter().take_while(|b| is_inner(**b));
        let end = at + 1 + more.count();
        self.look(end + 1);
        Some(end)
    }

    #[cold]
    fn mark(&mut self, step: u32, at: usize) {
        let (seen, spent) = (self.seen, self.all - self.work);
        let mark = Mark {
            step,
            at,
            seen,
            spent,
            ..Mark::default()
        };
        self.memory.keep(mark, self.slots);
        self.mark_from = match self.seen {
            // No later mark will hang on less.
            marks::HEAD_BYTES.. => usize::MAX,
            _ => self.memory.next_mark(),
        };
    }

    /// The first place from `at` on where what follows a lazy run can begin.
    fn stretch(&mut self, step: u32, at: usize) -> Option<(u32, usize)> {
        let Some(Step::Lazy {
            set, next, sought, ..
        }) = self.walk.steps.get(step as usize)
        else {
            return None;
        };
        let set = self.walk.set(*set)?;
        let rest = self.text.get(at..)?;
        let count = match sought {
            Some(finder) => {
                let found = finder.find(rest);
                let end = found.map_or(rest.len() + 1, |found| found + finder.needle().len());
                self.look(at + end);
                // Paid for before it is known to help: else many searches could be for nothing.
                if !self.spend(found.unwrap_or(rest.len()) / 8 + 1) {
                    return None;
                }
                let found = found?;
                (set.count(rest.get(..found)?) == found).then_some(found)?
            }
            None => {
                let first = self.walk.firsts.get(*next as usize)?;
                let stop = |byte: &u8| !set.has(*byte) || (first.has(*byte) && !is_inner(*byte));
                let found = rest.iter().position(stop).unwrap_or(rest.len());
                self.look(at + found + 1);
                if !self.spend(found / 8 + 1) {
                    return None;
                }
                if !self.can(*next, at + found) {
                    return None;
                }
                found
            }
        };
        let place = at + count;
        if place < self.text.len() {
            self.push(Back::More { step, at: place });
        }
        Some((step + 1, place))
    }

    /// The character border before `at`.
    fn before(&self, at: usize) -> usize {
        let mut at = at.saturating_sub(1);
        while at > 0 && self.text.get(at).is_some_and(|b| is_inner(*b)) {
            at -= 1;
        }
        at
    }

    fn back(&mut self) -> Option<(u32, usize)> {
        while self.work > 0 {
            match self.memory.stack.pop()? {
                Back::Step(step, at) => return Some((step, at)),
                Back::Run { step, low, at } => {
                    let at = self.before(at);
                    // A character of several bytes may reach over the border.
                    let Some(Step::Run { next, .. }) = self.walk.steps.get(step as usize - 1)
                    else {
                        continue;
                    };
                    if at >= low
                        && let Some(place) = self.settle((step, *next), low, at)
                    {
                        return Some(place);
                    }
                }
                Back::More { step, at } => {
                    if let Some(at) = self.further(step, at)
                        && let Some(place) = self.stretch(step, at)
                    {
                        return Some(place);
                    }
                }
                Back::Slot(slot, place) => {
                    if let Some(slot) = self.slots.get_mut(slot as usize) {
                        *slot = place;
                    }
                }
            }
        }
        None
    }

    fn can(&self, first: FirstId, at: usize) -> bool {
        self.fits(first, self.text.get(at..).unwrap_or_default())
    }

    #[inline(always)]
    fn fits(&self, first: FirstId, rest: &[u8]) -> bool {
        let first = self.walk.firsts.get(first as usize);
        first.is_some_and(|first| match rest.first() {
            Some(byte) => first.has(*byte),
            None => first.end,
        })
    }

    fn save(&mut self, slot: u32, at: usize) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            *slot = NonMaxUsize::new(at);
        }
    }
}

/// Not the first byte of a character.
const fn is_inner(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// As `\b` sees it: only ASCII counts.
fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

impl Walk {
    fn set(&self, set: SetId) -> Option<&Set> {
        self.sets.get(set as usize)
    }
}

impl First {
    fn has(&self, byte: u8) -> bool {
        let word = self.has.get(usize::from(byte >> 6));
        word.is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }

    fn add(&mut self, byte: u8) {
        if let Some(word) = self.has.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn add_all(&mut self, is_in: impl Fn(u8) -> bool) {
        (0..=u8::MAX)
            .filter(|byte| is_in(*byte))
            .for_each(|byte| self.add(byte));
    }
}

impl Set {
    /// `None` when it holds some characters beyond ASCII but not all.
    fn of(class: &Class) -> Option<Self> {
        let mut has = [false; 256];
        let ranges: Vec<(u32, u32)> = match class {
            Class::Unicode(class) => {
                let ranges = class
                    .iter()
                    .map(|r| (u32::from(r.start()), u32::from(r.end())));
                ranges.collect()
            }
            Class::Bytes(class) => {
                let ranges = class.iter().map(|r| (r.start().into(), r.end().into()));
                ranges.collect()
            }
        };
        for (start, end) in ranges {
            if end >= 0x80 {
                if start > 0x80 || end != u32::from(char::MAX) {
                    return None;
                }
                has.iter_mut().skip(0x80).for_each(|has| *has = true);
            }
            for byte in start..=end.min(0x7f) {
                *has.get_mut(byte as usize)? = true;
            }
        }
        let mut without = (0..=u8::MAX).zip(has).filter(|(_, has)| !has);
        let all_but = match (without.next(), without.next()) {
            (Some((byte, _)), None) => Some(byte),
            _ => None,
        };
        Some(Self { has, all_but })
    }

    fn has(&self, byte: u8) -> bool {
        self.has.get(usize::from(byte)) == Some(&true)
    }

    fn is_ascii(&self) -> bool {
        !self.has(0x80)
    }

    /// How many bytes at the front of `text` are in it.
    fn count(&self, text: &[u8]) -> usize {
        let end = match self.all_but {
            Some(byte) => memchr::memchr(byte, text),
            None => text.iter().position(|byte| !self.has(*byte)),
        };
        end.unwrap_or(text.len())
    }
}
