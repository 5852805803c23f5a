//! What can come next at each place of a program.
//!
//! Last part of compiling: the walk asks these tables before it tries a way, so that ways that the
//! next byte already rules out are neither tried nor kept to come back to. They may allow what
//! cannot match, and must never forbid what can.

use std::{collections::BTreeMap, hash::Hash};

use hashbrown::HashMap;

use super::{
    compile::{ByteSet, Op},
    tree::Assert,
};

/// Ops looked at for one table; beyond them anything may come.
const VISITS_MAX: usize = 200;
/// Tables of one program; ways beyond them are tried.
const TABLES_MAX: usize = 2_000;
/// Ops that a split leads over at once.
const LEAP_MAX: usize = 64;
/// The entry for the text's end.
const END: usize = 256;

/// By next byte, and for the text's end, a bit for each way of an op that is open.
type Open = [u8; END + 1];
/// The first way of a split, or what follows a run.
const FIRST: u8 = 1;
/// The second way of a split.
const SECOND: u8 = 2;

/// By next byte, and for the text's end, where a split leads; or one of the two below.
pub(super) type Ways = [u16; END + 1];
/// Nowhere.
pub(super) const CLOSED: u16 = u16::MAX;
/// Both ways are open.
pub(super) const BOTH: u16 = u16::MAX - 1;

/// What must follow a run, so that places where it does not are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Anything,
    Byte(u8),
    /// The text of this op.
    Text(u32),
    /// What this table opens the first way for.
    OneOf(u32),
}

/// What was looked at as what follows a run, and need not be again: the next op or none, and its
/// bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Behind(u8);

impl Behind {
    #[inline]
    pub(super) const fn ops(self) -> usize {
        (self.0 != 0) as usize
    }

    #[inline]
    pub(super) const fn bytes(self) -> usize {
        self.0 as usize
    }

    fn of(follow: Follow, next: Option<&Op>) -> Self {
        Self(match (follow, next) {
            (Follow::Byte(_), Some(Op::Byte(_))) => 1,
            (Follow::Text(_), Some(Op::Text(text))) => u8::try_from(text.len()).unwrap_or(0),
            _ => 0,
        })
    }
}

/// What the walk is told.
#[derive(Debug, Default)]
pub(super) struct Tables {
    follow: Vec<Open>,
    ways: Vec<Ways>,
}

impl Tables {
    /// Whether what follows a run can begin with this byte, or at the end.
    #[inline]
    pub(super) fn follows(&self, table: u32, next: Option<&u8>) -> bool {
        let table = self.follow.get(table as usize);
        table.is_none_or(|table| table.get(index(next)).is_none_or(|open| *open != 0))
    }

    /// Where a split leads before this byte, or at the end.
    #[inline]
    pub(super) fn way(&self, table: u32, next: Option<&u8>) -> u16 {
        let table = self.ways.get(table as usize);
        table
            .and_then(|t| t.get(index(next)))
            .copied()
            .unwrap_or(BOTH)
    }
}

#[inline]
fn index(next: Option<&u8>) -> usize {
    next.map_or(END, |byte| usize::from(*byte))
}

/// Writes into the ops which tables they use.
pub(super) fn give(ops: &mut [Op], sets: &[ByteSet]) -> Tables {
    let mut hints = Hints {
        ops,
        sets,
        follow: Pool::default(),
        seen: vec![0; ops.len()],
        round: 0,
        waiting: Vec::new(),
        beyond: Beyond::Anything,
    };
    let mut found = Vec::new();
    let mut splits: BTreeMap<usize, Open> = BTreeMap::new();
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::Split { first, second, .. } if splits.len() < TABLES_MAX => {
                splits.insert(at, hints.of_ways(*first as usize, *second as usize));
            }
            Op::Run { set, .. } => found.push((at, hints.after_run(*set, at + 1))),
            _ => {}
        }
    }
    let follow = hints.follow.tables;
    let mut ways = Pool::default();
    let leaps: Vec<_> = splits
        .keys()
        .map(|at| (*at, ways.number(leaps(*at, ops, sets, &splits))))
        .collect();
    for (at, table) in leaps {
        if let Some(Op::Split { ways, .. }) = ops.get_mut(at) {
            *ways = table;
        }
    }
    for (at, (known, never)) in found {
        let done = Behind::of(known, ops.get(at + 1));
        if let Some(Op::Run {
            follow,
            keeps,
            behind,
            ..
        }) = ops.get_mut(at)
        {
            (*follow, *keeps, *behind) = (known, never, done);
        }
    }
    Tables {
        follow,
        ways: ways.tables,
    }
}

/// Where the split leads for each next byte: over splits, jumps and runs that the byte decides.
fn leaps(split: usize, ops: &[Op], sets: &[ByteSet], splits: &BTreeMap<usize, Open>) -> Ways {
    let mut ways = [BOTH; END + 1];
    for (next, way) in ways.iter_mut().enumerate() {
        let mut at = split;
        for _ in 0..LEAP_MAX {
            at = match ops.get(at) {
                Some(Op::Split { first, second, .. }) => {
                    match splits.get(&at).and_then(|open| open.get(next)) {
                        Some(0) => {
                            at = usize::from(CLOSED);
                            break;
                        }
                        Some(&FIRST) => *first as usize,
                        Some(&SECOND) => *second as usize,
                        _ => break,
                    }
                }
                Some(Op::Jump(to)) => *to as usize,
                Some(Op::Run { min: 0, set, .. })
                    if sets
                        .get(*set as usize)
                        .is_some_and(|set| !set.bytes.get(next).copied().unwrap_or(false)) =>
                {
                    at + 1
                }
                _ => break,
            };
        }
        if at != split {
            *way = u16::try_from(at).unwrap_or(BOTH);
        }
    }
    ways
}

/// Different tables, each once.
struct Pool<T> {
    tables: Vec<T>,
    known: HashMap<T, u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            tables: Vec::new(),
            known: HashMap::new(),
        }
    }
}

impl<T: Copy + Eq + Hash> Pool<T> {
    fn number(&mut self, table: T) -> Option<u32> {
        if let Some(number) = self.known.get(&table) {
            return Some(*number);
        }
        if self.tables.len() >= TABLES_MAX {
            return None;
        }
        let number = u32::try_from(self.tables.len()).ok()?;
        self.known.insert(table, number);
        self.tables.push(table);
        Some(number)
    }
}

struct Hints<'a> {
    ops: &'a [Op],
    sets: &'a [ByteSet],
    follow: Pool<Open>,
    /// By op: the round in which it was last looked at.
    seen: Vec<u32>,
    round: u32,
    waiting: Vec<usize>,
    /// Of the last table.
    beyond: Beyond,
}

/// What opens a table for characters beyond ASCII.
enum Beyond {
    /// These sets.
    Sets(Vec<u32>),
    Anything,
}

impl Hints<'_> {
    fn of_ways(&mut self, first: usize, second: usize) -> Open {
        let mut table = [0; END + 1];
        self.starts(first, FIRST, &mut table);
        self.starts(second, SECOND, &mut table);
        table
    }

    /// What follows the run of `set`, and whether it can never begin within the run.
    fn after_run(&mut self, set: u32, at: usize) -> (Follow, bool) {
        let mut table = [0; END + 1];
        self.starts(at, FIRST, &mut table);
        let members = self.sets.get(set as usize);
        let apart = members.is_some_and(|set| {
            let mut both = set.bytes.iter().zip(&table).take(128);
            let beyond = match &self.beyond {
                Beyond::Sets(all) => all
                    .iter()
                    .filter_map(|other| self.sets.get(*other as usize))
                    .all(|other| set.set.is_apart_beyond(&other.set)),
                Beyond::Anything => !set.set.reaches_beyond(),
            };
            both.all(|(has, open)| !*has || *open == 0) && beyond
        });
        if let Some(literal) = self.literal(at) {
            return (literal, apart);
        }
        if table.iter().all(|ways| *ways == FIRST) {
            return (Follow::Anything, apart);
        }
        (
            self.follow
                .number(table)
                .map_or(Follow::Anything, Follow::OneOf),
            apart,
        )
    }

    fn literal(&self, mut at: usize) -> Option<Follow> {
        for _ in 0..VISITS_MAX {
            match self.ops.get(at)? {
                Op::Save(_) => at += 1,
                Op::Jump(to) => at = *to as usize,
                Op::Byte(byte) => return Some(Follow::Byte(*byte)),
                Op::Text(_) => return Some(Follow::Text(u32::try_from(at).ok()?)),
                _ => return None,
            }
        }
        None
    }

    /// Opens `way` for all that a match from this op on can begin with.
    fn starts(&mut self, op: usize, way: u8, table: &mut Open) {
        self.round += 1;
        self.waiting.clear();
        self.waiting.push(op);
        self.beyond = Beyond::Sets(Vec::new());
        let mut visits = 0;
        while let Some(at) = self.waiting.pop() {
            match self.seen.get_mut(at) {
                Some(seen) if *seen == self.round => continue,
                Some(seen) => *seen = self.round,
                None => {}
            }
            visits += 1;
            if visits > VISITS_MAX || !self.look_at(at, way, table) {
                table.iter_mut().for_each(|ways| *ways |= way);
                self.beyond = Beyond::Anything;
                return;
            }
        }
    }

    /// `false`: anything can come.
    fn look_at(&mut self, at: usize, way: u8, table: &mut Open) -> bool {
        let mut add = |byte: u8| {
            if let Some(ways) = table.get_mut(usize::from(byte)) {
                *ways |= way;
            }
        };
        match self.ops.get(at) {
            Some(Op::Byte(byte)) => add(*byte),
            Some(Op::Text(text)) => {
                let first = text.first().copied().unwrap_or(0);
                add(first);
                if !first.is_ascii() {
                    self.beyond = Beyond::Anything;
                }
            }
            Some(Op::One(set) | Op::Run { set, .. }) => {
                if let Beyond::Sets(all) = &mut self.beyond {
                    all.push(*set);
                }
                let Some(set) = self.sets.get(*set as usize) else {
                    return false;
                };
                let members = (0..=u8::MAX).zip(set.bytes.iter());
                members
                    .filter(|(_, has)| **has)
                    .for_each(|(byte, _)| add(byte));
                if let Some(Op::Run { min: 0, .. }) = self.ops.get(at) {
                    self.waiting.push(at + 1);
                }
            }
            Some(Op::Split { first, second, .. }) => {
                self.waiting.extend([*first as usize, *second as usize]);
            }
            Some(Op::Jump(to)) => self.waiting.push(*to as usize),
            Some(Op::Assert(Assert::LineEnd)) => {
                add(b'\n');
                open_end(table, way);
            }
            Some(Op::Assert(Assert::TextEnd)) => open_end(table, way),
            // What they say besides only narrows what follows.
            Some(Op::Save(_) | Op::Mark(_) | Op::Assert(_)) => self.waiting.push(at + 1),
            Some(Op::Look { after, .. }) => self.waiting.push(*after as usize),
            Some(Op::Conditional { no: other, .. } | Op::Moved { exit: other, .. }) => {
                self.waiting.extend([at + 1, *other as usize]);
            }
            Some(Op::Atomic { .. } | Op::BackReference(_) | Op::Match) | None => return false,
        }
        true
    }
}

fn open_end(table: &mut Open, way: u8) {
    if let Some(ways) = table.get_mut(END) {
        *ways |= way;
    }
}
