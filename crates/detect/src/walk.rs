//! Groks matched by walking along the text.
//!
//! Most patterns of log lines are anchored and nearly deterministic: words, runs of one class, a
//! few options. For those a small back-tracking walk is several times faster than a general
//! engine's captures, and gives the same captures by construction: alternatives are tried in the
//! order in which leftmost-first matching prefers them. Its work is bounded by a budget linear in
//! the text; where that runs out, or a pattern is none of these, the general engine matches.

use ::regex_syntax::hir::{Class, Hir, HirKind, Look, Repetition};
use regex_automata::util::primitives::NonMaxUsize;

/// Steps of one pattern; a longer one is left to the general engine.
const STEPS_MAX: usize = 512;
/// Counted repetitions of a group are written out up to this often.
const COPIES_MAX: u32 = 8;
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
    /// The slot held this before.
    Slot(u32, Option<NonMaxUsize>),
}

/// The walk's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walked {
    Match,
    NoMatch,
    /// The budget ran out: ask the general engine.
    Unknown,
}

/// A pattern that can be walked.
#[derive(Debug)]
pub(crate) struct Walk {
    steps: Vec<Step>,
    /// For each step: with which bytes the rest of the match can begin there.
    firsts: Vec<First>,
}

#[derive(Debug)]
enum Step {
    Text(Box<[u8]>),
    /// One character of the class.
    One(Box<Set>),
    /// As many as there are; may give back unless `keeps`.
    Run {
        set: Box<Set>,
        min: usize,
        max: usize,
        keeps: bool,
    },
    /// The first is preferred.
    Split(u32, u32),
    Jump(u32),
    Save(u32),
    Start,
    End,
    Match,
}

/// A set of bytes. Of characters beyond ASCII it holds all or none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    has: [bool; 256],
    /// All bytes but this one are in it.
    all_but: Option<u8>,
}

/// With what something can begin.
#[derive(Clone, Debug)]
struct First {
    has: [bool; 256],
    /// It can match where the text ends.
    end: bool,
}

impl Walk {
    /// `None` when the pattern is not anchored at the start or not of the kind that is walked.
    pub(crate) fn new(hir: &Hir) -> Option<Self> {
        if !hir.properties().look_set_prefix().contains(Look::Start) {
            return None;
        }
        let mut steps = Vec::new();
        compile(hir, &mut steps)?;
        push(&mut steps, Step::Match)?;
        let firsts: Vec<First> = (0..steps.len()).map(|step| first(&steps, step)).collect();
        for at in 0..steps.len() {
            let next = firsts.get(at + 1);
            if let (Some(Step::Run { set, keeps, .. }), Some(next)) = (steps.get_mut(at), next) {
                // What stands where the run could stop sooner can then not begin the rest.
                *keeps = set
                    .has
                    .iter()
                    .zip(&next.has)
                    .all(|(own, next)| !(*own && *next));
            }
        }
        Some(Self { steps, firsts })
    }

    /// Matches the whole of `text`; `slots` must be all `None` and as many as the pattern has.
    pub(crate) fn run(&self, text: &str, slots: &mut Slots, stack: &mut Vec<Back>) -> Walked {
        stack.clear();
        let mut machine = Machine {
            walk: self,
            text: text.as_bytes(),
            slots,
            stack,
            work: WORK_BASE.saturating_add(WORK_PER_BYTE.saturating_mul(text.len())),
        };
        machine.run()
    }
}

struct Machine<'m> {
    walk: &'m Walk,
    text: &'m [u8],
    slots: &'m mut Slots,
    stack: &'m mut Vec<Back>,
    work: usize,
}

impl Machine<'_> {
    fn run(&mut self) -> Walked {
        let mut place = Some((0_u32, 0_usize));
        loop {
            let Some((step, at)) = place else {
                place = self.back();
                if place.is_none() {
                    return if self.work == 0 {
                        Walked::Unknown
                    } else {
                        Walked::NoMatch
                    };
                }
                continue;
            };
            if !self.spend(1) {
                return Walked::Unknown;
            }
            place = match self.walk.steps.get(step as usize) {
                Some(Step::Match) => {
                    self.save(0, 0);
                    self.save(1, at);
                    return Walked::Match;
                }
                Some(taken) => self.step(taken, step, at),
                None => None,
            };
        }
    }

    fn spend(&mut self, work: usize) -> bool {
        self.work = self.work.saturating_sub(work);
        self.work > 0
    }

    fn push(&mut self, back: Back) {
        if self.stack.len() < STACK_MAX {
            self.stack.push(back);
        } else {
            self.work = 0;
        }
    }

    /// Where to go on; `None` when the step does not fit the text.
    fn step(&mut self, taken: &Step, step: u32, at: usize) -> Option<(u32, usize)> {
        let next = step + 1;
        let rest = self.text.get(at..)?;
        match taken {
            Step::Text(text) => rest.starts_with(text).then(|| (next, at + text.len())),
            Step::One(set) => {
                let byte = *rest.first()?;
                let more = rest.get(1..)?.iter().take_while(|b| is_inner(**b));
                set.has(byte).then(|| (next, at + 1 + more.count()))
            }
            Step::Run {
                set,
                min,
                max,
                keeps,
            } => {
                let count = set.count(rest.get(..*max).unwrap_or(rest));
                if count < *min || !self.spend(count / 8 + 1) {
                    return None;
                }
                if *keeps || count == *min {
                    return Some((next, at + count));
                }
                self.settle(next, at + min, at + count)
            }
            Step::Split(one, other) => match (self.can(*one, at), self.can(*other, at)) {
                (true, true) => {
                    self.push(Back::Step(*other, at));
                    Some((*one, at))
                }
                (true, false) => Some((*one, at)),
                (false, true) => Some((*other, at)),
                (false, false) => None,
            },
            Step::Jump(to) => Some((*to, at)),
            Step::Save(slot) => {
                let place = self.slots.get(*slot as usize).copied().flatten();
                // With nothing to come back to, nobody will ask what was there before.
                if !self.stack.is_empty() {
                    self.push(Back::Slot(*slot, place));
                }
                self.save(*slot, at);
                Some((next, at))
            }
            Step::Start => (at == 0).then_some((next, at)),
            Step::End => rest.is_empty().then_some((next, at)),
            Step::Match => None,
        }
    }

    /// A run that ends at `at` or before: the last place where the rest can begin.
    fn settle(&mut self, step: u32, low: usize, mut at: usize) -> Option<(u32, usize)> {
        let from = at;
        let place = loop {
            if self.can(step, at) {
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
            match self.stack.pop()? {
                Back::Step(step, at) => return Some((step, at)),
                Back::Run { step, low, at } => {
                    let at = self.before(at);
                    // A character of several bytes may reach over the border.
                    if at >= low
                        && let Some(place) = self.settle(step, low, at)
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

    fn can(&self, step: u32, at: usize) -> bool {
        self.walk.firsts.get(step as usize).is_some_and(|first| {
            self.text.get(at).map_or(first.end, |byte| {
                first.has.get(usize::from(*byte)) == Some(&true)
            })
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

fn push(steps: &mut Vec<Step>, step: Step) -> Option<u32> {
    if steps.len() >= STEPS_MAX {
        return None;
    }
    steps.push(step);
    u32::try_from(steps.len() - 1).ok()
}

fn here(steps: &[Step]) -> Option<u32> {
    u32::try_from(steps.len()).ok()
}

// Recursion is bounded by the nesting that groks allow.
fn compile(hir: &Hir, steps: &mut Vec<Step>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Literal(literal) => {
            push(steps, Step::Text(literal.0.clone()))?;
        }
        HirKind::Class(class) => {
            push(steps, Step::One(Box::new(Set::of(class)?)))?;
        }
        HirKind::Look(Look::Start) => {
            push(steps, Step::Start)?;
        }
        HirKind::Look(Look::End) => {
            push(steps, Step::End)?;
        }
        HirKind::Look(_) => return None,
        HirKind::Repetition(repetition) => repeat(repetition, steps)?,
        HirKind::Capture(capture) => {
            push(steps, Step::Save(capture.index * 2))?;
            compile(&capture.sub, steps)?;
            push(steps, Step::Save(capture.index * 2 + 1))?;
        }
        HirKind::Concat(parts) => {
            for part in parts {
                compile(part, steps)?;
            }
        }
        HirKind::Alternation(ways) => alternate(ways, steps)?,
    }
    Some(())
}

fn alternate(ways: &[Hir], steps: &mut Vec<Step>) -> Option<()> {
    let mut ends = Vec::new();
    for (number, way) in (1..).zip(ways) {
        if number == ways.len() {
            compile(way, steps)?;
            break;
        }
        let split = push(steps, Step::Split(0, 0))?;
        compile(way, steps)?;
        ends.push(push(steps, Step::Jump(0))?);
        *steps.get_mut(split as usize)? = Step::Split(split + 1, here(steps)?);
    }
    let end = here(steps)?;
    for jump in ends {
        *steps.get_mut(jump as usize)? = Step::Jump(end);
    }
    Some(())
}

fn repeat(repetition: &Repetition, steps: &mut Vec<Step>) -> Option<()> {
    if !repetition.greedy {
        return None;
    }
    let (min, max) = (repetition.min, repetition.max);
    if let HirKind::Class(class) = repetition.sub.kind() {
        let set = Set::of(class)?;
        // Beyond ASCII bytes are not characters: then only "any number" and "some" can be counted.
        if !set.is_ascii() && (min > 1 || max.is_some()) {
            return None;
        }
        let run = Step::Run {
            set: Box::new(set),
            min: min as usize,
            max: max.map_or(usize::MAX, |max| max as usize),
            keeps: false,
        };
        push(steps, run)?;
        return Some(());
    }
    // A turn that takes nothing would never end.
    if min > COPIES_MAX || repetition.sub.properties().minimum_len().unwrap_or(0) == 0 {
        return None;
    }
    for _ in 0..min {
        compile(&repetition.sub, steps)?;
    }
    let Some(max) = max else {
        let split = push(steps, Step::Split(0, 0))?;
        compile(&repetition.sub, steps)?;
        push(steps, Step::Jump(split))?;
        *steps.get_mut(split as usize)? = Step::Split(split + 1, here(steps)?);
        return Some(());
    };
    if max > COPIES_MAX {
        return None;
    }
    let mut splits = Vec::new();
    for _ in min..max {
        splits.push(push(steps, Step::Split(0, 0))?);
        compile(&repetition.sub, steps)?;
    }
    let end = here(steps)?;
    for split in splits {
        *steps.get_mut(split as usize)? = Step::Split(split + 1, end);
    }
    Some(())
}

/// With what the rest of a match can begin at `step`.
fn first(steps: &[Step], step: usize) -> First {
    let mut first = First {
        has: [false; 256],
        end: false,
    };
    let mut seen = vec![false; steps.len()];
    let mut open = vec![step];
    while let Some(at) = open.pop() {
        match seen.get_mut(at) {
            Some(seen) if !*seen => *seen = true,
            _ => continue,
        }
        match steps.get(at) {
            None => {}
            Some(Step::Text(text)) => match text.first() {
                Some(byte) => add(&mut first.has, |b| b == *byte),
                None => open.push(at + 1),
            },
            Some(Step::One(set)) => add(&mut first.has, |b| set.has(b)),
            Some(Step::Run { set, min, .. }) => {
                add(&mut first.has, |b| set.has(b));
                if *min == 0 {
                    open.push(at + 1);
                }
            }
            Some(Step::Split(one, other)) => open.extend([*one as usize, *other as usize]),
            Some(Step::Jump(to)) => open.push(*to as usize),
            Some(Step::Save(_) | Step::Start) => open.push(at + 1),
            Some(Step::End) => first.end = true,
            Some(Step::Match) => {
                add(&mut first.has, |_| true);
                first.end = true;
            }
        }
    }
    first
}

fn add(to: &mut [bool; 256], is_in: impl Fn(u8) -> bool) {
    for (byte, has) in (0..=u8::MAX).zip(to) {
        *has |= is_in(byte);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex_automata::{Input, meta};

    use super::*;

    /// Both ways' captures; `None` where the pattern is not walked.
    fn both(pattern: &str, text: &str) -> Option<(Option<Slots>, Option<Slots>)> {
        let hir = ::regex_syntax::parse(pattern).unwrap();
        let walk = Walk::new(&hir)?;
        let regex = meta::Regex::builder().build_from_hir(&hir).unwrap();
        let empty: Slots = vec![None; regex.captures_len() * 2];
        let (mut walked, mut searched) = (empty.clone(), empty);
        let found = regex
            .search_slots_with(&mut regex.create_cache(), &Input::new(text), &mut searched)
            .is_some();
        let answer = walk.run(text, &mut walked, &mut Vec::new());
        assert_ne!(answer, Walked::Unknown, "{pattern} {text}");
        let matched = answer == Walked::Match;
        Some((matched.then_some(walked), found.then_some(searched)))
    }

    const PATTERNS: [&str; 16] = [
        r"^(a*)(b?)(a*)$",
        r"^(.*) (b+)(?: (c))?$",
        r"^(a|ab)(c|bcd)(d*)",
        r"^(?:(a)|(b)|c)*(b.*)?$",
        r"^([^ ]+) ([^ ]*) ?(.*)$",
        r#"^"((?:[^"\\]|\\.)*)" (b)?"#,
        r"^(a{1,3})(a{2})(b{0,2})$",
        r"^((?:a|b){1,3})(\.b){2}$",
        r"^([^a]*)(b)([^b]*)c",
        r"^(.)(.*)(é|b)$",
        r"^(?:a(b)?){2,4}(.*)$",
        r"^(.+)(.+)$",
        r"^(?:(a+)b|(a+)c) ?$",
        r"^(a*?)b",
        r"^(|a)b$",
        r"(a)b",
    ];

    proptest! {
        #[test]
        fn captures_are_those_of_the_general_engine(
            text in r#"[abcd ."\\é\n]{0,14}"#, number in 0..PATTERNS.len(),
        ) {
            if let Some((walked, searched)) = both(PATTERNS[number], &text) {
                prop_assert_eq!(walked, searched);
            }
        }
    }

    #[test]
    fn what_cannot_be_walked_is_left_alone() {
        let refused = |pattern: &str| Walk::new(&::regex_syntax::parse(pattern).unwrap()).is_none();
        for pattern in [
            r"a",
            r"^\b",
            r"^(?i)k",
            r"^a*?b",
            r"^[^ ]{2}",
            r"^(?m:a$)",
            r"^(?:a*b?)*",
        ] {
            assert!(refused(pattern), "{pattern}");
        }
        assert!(!refused(r"^(.*) from ([0-9]{1,3}(?:\.[0-9]{1,3}){3})$"));
    }

    #[test]
    fn work_is_bounded() {
        let hir = ::regex_syntax::parse(r"^.*.*.*.*.*b$").unwrap();
        let walk = Walk::new(&hir).unwrap();
        let text = "a".repeat(2_000) + "c";
        let walked = walk.run(&text, &mut vec![None; 2], &mut Vec::new());
        assert!(matches!(walked, Walked::NoMatch | Walked::Unknown));
        let hard = "b".repeat(2_000) + "c";
        let walked = walk.run(&hard, &mut vec![None; 2], &mut Vec::new());
        assert_eq!(walked, Walked::Unknown);
    }
}
