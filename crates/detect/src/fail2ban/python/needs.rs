//! Which texts must still come on the way from a place of a program to its end.
//!
//! Part of compiling. A pattern whose way leads through a text that does not stand in the line is
//! not walked to find that out step by step, and of two ways one that needs such a text is left
//! out. Where a way sets a group that a conditional asks for, only the branch for it counts.

use memchr::memmem::Finder;

use super::compile::Op;

/// Texts told apart in one program.
const TEXTS_MAX: usize = 64;
/// Ops of a program that is looked into.
const OPS_MAX: usize = 4_096;
/// Rounds until a program counts as too tangled.
const ROUNDS_MAX: usize = 32;
/// Bytes of a text that is looked for.
const TEXT_BYTES_MIN: usize = 2;
/// Bytes of one that is looked for before a walk begins.
const START_BYTES_MIN: usize = 8;

/// A bit for each text.
type Texts = u64;

/// What must stand in a line so that a match can begin; by split what its first way needs and its
/// second does not.
pub(super) fn needs(ops: &[Op]) -> (Option<Finder<'static>>, Vec<(usize, Finder<'static>)>) {
    let texts: Vec<usize> = (0..ops.len())
        .filter(|at| matches!(ops.get(*at), Some(Op::Text(text)) if text.len() >= TEXT_BYTES_MIN))
        .collect();
    let flow = Flow {
        ops,
        texts: texts.get(..texts.len().min(TEXTS_MAX)).unwrap_or_default(),
    };
    if flow.texts.is_empty() || ops.len() > OPS_MAX {
        return (None, Vec::new());
    }
    let (Some(required), Some(near)) = (flow.required(), flow.near()) else {
        return (None, Vec::new());
    };
    let of = |all: &[Texts], at: usize| all.get(at).copied().unwrap_or(0);
    let start = flow.longest(of(&required, 0) & !of(&near, 0), START_BYTES_MIN);
    let mut ways = Vec::new();
    for (at, op) in ops.iter().enumerate() {
        let Op::Split { first, second, .. } = op else {
            continue;
        };
        let (first, second) = (*first as usize, *second as usize);
        let only = of(&required, first) & !of(&required, second) & !of(&near, first);
        if let Some(text) = flow.longest(only, TEXT_BYTES_MIN) {
            ways.push((at, text));
        }
    }
    (start, ways)
}

struct Flow<'a> {
    ops: &'a [Op],
    /// The ops of the texts.
    texts: &'a [usize],
}

impl Flow<'_> {
    /// By op: the texts that every way from it to the end goes through.
    fn required(&self) -> Option<Vec<Texts>> {
        let mut set = Vec::new();
        for op in self.ops {
            if let Op::Conditional { group, .. } = op
                && set.iter().all(|(known, _)| known != group)
            {
                set.push((*group, self.required_if(Some(*group), &[])?));
            }
        }
        self.required_if(None, &set)
    }

    /// The same where group `is_set` has matched. `after`: the same again for what follows the
    /// end of a group.
    fn required_if(&self, is_set: Option<u32>, after: &[(u32, Vec<Texts>)]) -> Option<Vec<Texts>> {
        self.settle(Texts::MAX, |at, op, now| {
            let ways = match op {
                Op::Match => 0,
                Op::Conditional { group, .. } if is_set == Some(*group) => of(now, at + 1),
                op => next(at, op)
                    .map(|to| of(now, to))
                    .fold(Texts::MAX, |a, b| a & b),
            };
            let ended = match op {
                Op::Save(slot) => after.iter().find(|(group, _)| group * 2 + 1 == *slot),
                _ => None,
            };
            ways | self.own(at) | ended.map_or(0, |(_, required)| of(required, at + 1))
        })
    }

    /// By op: the texts that may come before a run of any length.
    fn near(&self) -> Option<Vec<Texts>> {
        self.settle(0, |at, op, now| match op {
            Op::Match | Op::Run { max: u32::MAX, .. } => 0,
            op => next(at, op)
                .map(|to| of(now, to))
                .fold(self.own(at), |a, b| a | b),
        })
    }

    fn own(&self, at: usize) -> Texts {
        let text = self.texts.binary_search(&at);
        text.map_or(0, |number| 1 << number)
    }

    /// Works out each op's texts from those of the ops after it until nothing changes.
    fn settle(
        &self,
        first: Texts,
        texts: impl Fn(usize, &Op, &[Texts]) -> Texts,
    ) -> Option<Vec<Texts>> {
        let mut all = vec![first; self.ops.len()];
        for _ in 0..ROUNDS_MAX {
            let mut changed = false;
            for (at, op) in self.ops.iter().enumerate().rev() {
                let new = texts(at, op, &all);
                if let Some(old) = all.get_mut(at)
                    && *old != new
                {
                    *old = new;
                    changed = true;
                }
            }
            if !changed {
                return Some(all);
            }
        }
        None
    }

    fn longest(&self, among: Texts, min: usize) -> Option<Finder<'static>> {
        let text = |number: usize| match self.ops.get(*self.texts.get(number)?) {
            Some(Op::Text(text)) => Some(text),
            _ => None,
        };
        let all = (0..TEXTS_MAX).filter(|number| among >> number & 1 == 1);
        let longest = all.filter_map(text).max_by_key(|text| text.len())?;
        (longest.len() >= min).then(|| Finder::new(longest).into_owned())
    }
}

fn of(all: &[Texts], at: usize) -> Texts {
    all.get(at).copied().unwrap_or(0)
}

/// The ops that may come next. What stands within a look-around or matches on its own is left out.
fn next(at: usize, op: &Op) -> impl Iterator<Item = usize> {
    let (one, other) = match op {
        Op::Split { first, second, .. } => (*first as usize, Some(*second as usize)),
        Op::Jump(to) => (*to as usize, None),
        Op::Look { after, .. } | Op::Atomic { after } => (*after as usize, None),
        Op::Conditional { no: other, .. } | Op::Moved { exit: other, .. } => {
            (at + 1, Some(*other as usize))
        }
        _ => (at + 1, None),
    };
    [Some(one), other].into_iter().flatten()
}
