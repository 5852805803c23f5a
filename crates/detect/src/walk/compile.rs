//! From a pattern's tree to the steps of its walk.

use ::regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};
use memchr::memmem::Finder;

use super::{Border, First, FirstId, Set, SetId, Step};
use crate::scan::Needle;

/// Steps of one pattern; a longer one is left to the general engine.
const STEPS_MAX: usize = 4_096;
/// Counted repetitions of a group are written out up to this often.
const COPIES_MAX: u32 = 8;
/// The same for a single class, where it is one step: the sum of all counts of a pattern. The
/// general engine writes them all out.
const COUNTED_MAX: usize = 20_000;
/// Characters beyond ASCII of a class that is not all of them.
const CHARACTERS_MAX: usize = 8;
/// A text behind a lazy run that is looked for as a whole.
const SOUGHT_BYTES_MIN: usize = 2;

/// Makes the steps of a pattern.
#[derive(Default)]
pub(super) struct Compiler {
    pub(super) steps: Vec<Step>,
    pub(super) sets: Vec<Set>,
    pub(super) firsts: Vec<First>,
    /// For each step the last search that came by.
    seen: Vec<u32>,
    searches: u32,
    /// What the counts of classes come to.
    counted: usize,
}

/// Filled in once all steps are there.
const LATER: FirstId = 0;

impl Compiler {
    pub(super) fn push(&mut self, step: Step) -> Option<u32> {
        if self.steps.len() >= STEPS_MAX {
            return None;
        }
        self.steps.push(step);
        u32::try_from(self.steps.len() - 1).ok()
    }

    fn here(&self) -> Option<u32> {
        u32::try_from(self.steps.len()).ok()
    }

    fn set(&mut self, class: &Class) -> Option<SetId> {
        let set = Set::of(class)?;
        let known = self.sets.iter().position(|known| *known == set);
        let at = known.unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        u32::try_from(at).ok()
    }

    // Recursion is bounded by the nesting that groks allow.
    pub(super) fn compile(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                self.push(Step::Text(Needle::new(&literal.0)))?;
            }
            HirKind::Class(class) => match self.set(class) {
                Some(set) => {
                    self.push(Step::One(set))?;
                }
                None => self.alternate(&spelt_out(class)?)?,
            },
            HirKind::Look(look) => {
                self.push(match look {
                    Look::Start => Step::Start,
                    Look::End => Step::End,
                    Look::WordAscii => Step::Border(Border::Is),
                    Look::WordAsciiNegate => Step::Border(Border::IsNot),
                    _ => return None,
                })?;
            }
            HirKind::Repetition(repetition) => self.repeat(repetition)?,
            HirKind::Capture(capture) => {
                self.push(Step::Save(capture.index * 2))?;
                self.compile(&capture.sub)?;
                self.push(Step::Save(capture.index * 2 + 1))?;
            }
            HirKind::Concat(parts) => {
                for part in parts {
                    self.compile(part)?;
                }
            }
            HirKind::Alternation(ways) => self.alternate(ways)?,
        }
        Some(())
    }

    fn alternate(&mut self, ways: &[Hir]) -> Option<()> {
        if let Some(Lead {
            run: Some((class, max)),
            byte,
        }) = common_lead(ways)
        {
            let set = self.set(class)?;
            self.push(Step::Guard { set, max, byte })?;
        }
        let mut ends = Vec::new();
        for (number, way) in (1..).zip(ways) {
            if number == ways.len() {
                self.compile(way)?;
                break;
            }
            let split = self.push(Step::Jump(0))?;
            self.compile(way)?;
            ends.push(self.push(Step::Jump(0))?);
            let other = self.here()?;
            self.split(split, split + 1, other)?;
        }
        let end = self.here()?;
        for jump in ends {
            *self.steps.get_mut(jump as usize)? = Step::Jump(end);
        }
        Some(())
    }

    fn split(&mut self, at: u32, one: u32, other: u32) -> Option<()> {
        *self.steps.get_mut(at as usize)? = Step::Split([(one, LATER), (other, LATER)]);
        Some(())
    }

    fn repeat(&mut self, repetition: &Repetition) -> Option<()> {
        let (min, max) = (repetition.min, repetition.max);
        if let HirKind::Class(class) = repetition.sub.kind()
            && let Some(set) = self.set(class)
        {
            self.counted += max.unwrap_or(min) as usize;
            if self.counted > COUNTED_MAX {
                return None;
            }
            // Beyond ASCII bytes are not characters: then only "any number" and "some" count.
            let ascii = self.sets.get(set as usize)?.is_ascii();
            if repetition.greedy && (ascii || (min <= 1 && max.is_none())) {
                self.push(Step::Run {
                    set,
                    min: min as usize,
                    max: max.map_or(usize::MAX, |max| max as usize),
                    keeps: false,
                    next: LATER,
                })?;
                return Some(());
            }
            if !repetition.greedy && max.is_none() && min <= COPIES_MAX {
                self.push(Step::Lazy {
                    set,
                    min: min as usize,
                    next: LATER,
                    sought: None,
                })?;
                return Some(());
            }
        }
        // A turn that takes nothing would never end.
        if min > COPIES_MAX || repetition.sub.properties().minimum_len().unwrap_or(0) == 0 {
            return None;
        }
        for _ in 0..min {
            self.compile(&repetition.sub)?;
        }
        let mut splits = Vec::new();
        match max {
            None => {
                let split = self.push(Step::Jump(0))?;
                splits.push(split);
                self.compile(&repetition.sub)?;
                self.push(Step::Jump(split))?;
            }
            Some(max) if max > COPIES_MAX => return None,
            Some(max) => {
                for _ in min..max {
                    splits.push(self.push(Step::Jump(0))?);
                    self.compile(&repetition.sub)?;
                }
            }
        }
        let end = self.here()?;
        for split in splits {
            match repetition.greedy {
                true => self.split(split, split + 1, end)?,
                false => self.split(split, end, split + 1)?,
            }
        }
        Some(())
    }

    /// Notes with what each step that chooses can go on.
    pub(super) fn look_ahead(&mut self) -> Option<()> {
        self.seen = vec![0; self.steps.len()];
        for at in 0..self.steps.len() {
            match self.steps.get(at)? {
                Step::Split([one, other]) => {
                    let (one, other) = (one.0, other.0);
                    let firsts = [self.first(one as usize)?, self.first(other as usize)?];
                    *self.steps.get_mut(at)? = Step::Split([(one, firsts[0]), (other, firsts[1])]);
                }
                Step::Run { .. } | Step::Lazy { .. } => {
                    let first = self.first(at + 1)?;
                    let literal = self.literal(at + 1);
                    let begins = self.firsts.get(first as usize)?;
                    match self.steps.get_mut(at)? {
                        Step::Run {
                            set, keeps, next, ..
                        } => {
                            // What stands where the run could stop sooner can then not begin the
                            // rest.
                            let set = self.sets.get(*set as usize)?;
                            *keeps = (0..=u8::MAX).all(|b| !(set.has(b) && begins.has(b)));
                            *next = first;
                        }
                        Step::Lazy { next, sought, .. } => {
                            *next = first;
                            *sought = literal.map(|text| Box::new(Finder::new(&text).into_owned()));
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Some(())
    }

    /// The text that stands at the step in every match.
    fn literal(&self, step: usize) -> Option<Box<[u8]>> {
        let rest = self.steps.get(step..)?;
        let text = rest.iter().find(|step| !matches!(step, Step::Save(_)))?;
        match text {
            Step::Text(text) if text.text().len() >= SOUGHT_BYTES_MIN => Some(text.text().into()),
            _ => None,
        }
    }

    /// With what the rest of a match can begin at `step`.
    fn first(&mut self, step: usize) -> Option<FirstId> {
        let mut first = First::default();
        self.searches += 1;
        let mut open = vec![step];
        while let Some(at) = open.pop() {
            match self.seen.get_mut(at) {
                Some(seen) if *seen != self.searches => *seen = self.searches,
                _ => continue,
            }
            let set = |set: &SetId| self.sets.get(*set as usize);
            match self.steps.get(at)? {
                Step::Text(text) => match text.text().first() {
                    Some(byte) => first.add(*byte),
                    None => open.push(at + 1),
                },
                Step::One(of) => {
                    let set = set(of)?;
                    first.add_all(|b| set.has(b));
                }
                Step::Run { set: of, min, .. } | Step::Lazy { set: of, min, .. } => {
                    let set = set(of)?;
                    first.add_all(|b| set.has(b));
                    if *min == 0 {
                        open.push(at + 1);
                    }
                }
                Step::Split([one, other]) => open.extend([one.0 as usize, other.0 as usize]),
                Step::Jump(to) => open.push(*to as usize),
                Step::Save(_) | Step::Start | Step::Border(_) | Step::Guard { .. } => {
                    open.push(at + 1);
                }
                Step::End => first.end = true,
                Step::Match => {
                    first.has = [u64::MAX; 4];
                    first.end = true;
                }
            }
        }
        let known = self.firsts.iter().position(|known| *known == first);
        let at = known.unwrap_or_else(|| {
            self.firsts.push(first);
            self.firsts.len() - 1
        });
        u32::try_from(at).ok()
    }
}

/// A class of ASCII and a few other characters as alternatives, of which only one can match.
fn spelt_out(class: &Class) -> Option<Vec<Hir>> {
    let Class::Unicode(class) = class else {
        return None;
    };
    let (mut plain, mut ways) = (ClassUnicode::empty(), Vec::new());
    for range in class.iter() {
        let beyond = ('\u{80}'.max(range.start())..=range.end()).take(CHARACTERS_MAX + 1);
        ways.extend(beyond.map(|c| Hir::literal(c.to_string().into_bytes())));
        if ways.len() > CHARACTERS_MAX {
            return None;
        }
        if range.start().is_ascii() {
            plain.push(ClassUnicodeRange::new(
                range.start(),
                range.end().min('\x7f'),
            ));
        }
    }
    if !plain.ranges().is_empty() {
        ways.push(Hir::class(Class::Unicode(plain)));
    }
    Some(ways)
}

/// What a match begins with: at most so many of a class, then the byte.
struct Lead<'h> {
    run: Option<(&'h Class, usize)>,
    byte: u8,
}

/// What all the ways begin with: at most so many of one class, then this byte, which is not in it.
/// An IPv6 address has many spellings, but each has a colon behind its first digits.
fn common_lead(ways: &[Hir]) -> Option<Lead<'_>> {
    let mut leads = ways.iter().map(lead);
    let Lead { mut run, byte } = leads.next()??;
    for lead in leads {
        let other = lead?;
        run = match (run, other.run) {
            _ if other.byte != byte => return None,
            (Some((class, max)), Some((same, most))) if class == same => {
                Some((class, max.max(most)))
            }
            (Some(_), Some(_)) => return None,
            (run, other) => run.or(other),
        };
    }
    let set = Set::of(run?.0)?;
    (!set.has(byte) && set.is_ascii()).then_some(Lead { run, byte })
}

// Recursion is bounded by the nesting that groks allow.
fn lead(hir: &Hir) -> Option<Lead<'_>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(Lead {
            run: None,
            byte: *literal.0.first()?,
        }),
        HirKind::Capture(capture) => lead(&capture.sub),
        HirKind::Alternation(ways) => common_lead(ways),
        HirKind::Repetition(r) if r.min > 0 => lead(&r.sub),
        HirKind::Concat(parts) => {
            let front = parts.first()?;
            match front.kind() {
                HirKind::Repetition(r) => match (r.sub.kind(), r.max, parts.get(1)?.kind()) {
                    (HirKind::Class(class), Some(max), HirKind::Literal(literal)) => Some(Lead {
                        run: Some((class, max as usize)),
                        byte: *literal.0.first()?,
                    }),
                    _ => lead(front),
                },
                _ => lead(front),
            }
        }
        _ => None,
    }
}
