//! A rule's condition over atoms, with negations pushed down to them.
//!
//! Pushing them down is what lets a test that nobody can decide (a placeholder without values)
//! count as false wherever it stands: the rule matches only if it would whatever the test says.

use sigma::{Condition, Detection, Search};

use super::{
    atoms::{AtomId, Atoms},
    fields::Fields,
};

/// Parts of one rule's program.
const NODES_MAX: usize = 100_000;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Never,
    Is(AtomId),
    IsNot(AtomId),
    All(Box<[Self]>),
    Any(Box<[Self]>),
}

/// Compiles a detection; `Err` says why it cannot be run.
pub(super) fn compile(
    detection: &Detection,
    atoms: &mut Atoms,
    fields: &mut Fields,
) -> Result<Node, String> {
    let mut compiler = Compiler {
        detection,
        atoms,
        fields,
        nodes: 0,
    };
    compiler.condition(&detection.condition, Sign::Plain)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plain,
    Negated,
}

impl Sign {
    const fn turned(self) -> Self {
        match self {
            Self::Plain => Self::Negated,
            Self::Negated => Self::Plain,
        }
    }
}

struct Compiler<'c> {
    detection: &'c Detection,
    atoms: &'c mut Atoms,
    fields: &'c mut Fields,
    nodes: usize,
}

// Recursion is bounded by the reader's depth of conditions and searches.
impl Compiler<'_> {
    fn condition(&mut self, condition: &Condition, sign: Sign) -> Result<Node, String> {
        match condition {
            Condition::Search(number) => match self.detection.searches.get(*number) {
                Some(search) => self.search(search, sign),
                None => Ok(Node::Never),
            },
            Condition::Not(inner) => self.condition(inner, sign.turned()),
            Condition::All(parts) | Condition::Any(parts) => {
                let is_all = matches!(condition, Condition::All(_));
                let parts: Result<Vec<Node>, String> = parts
                    .iter()
                    .map(|part| self.condition(part, sign))
                    .collect();
                Ok(joined(parts?, is_all == (sign == Sign::Plain)))
            }
        }
    }

    fn search(&mut self, search: &Search, sign: Sign) -> Result<Node, String> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err("its condition repeats its searches too often".to_owned());
        }
        match search {
            Search::Not(inner) => self.search(inner, sign.turned()),
            Search::All(parts) | Search::Any(parts) => {
                let is_all = matches!(search, Search::All(_));
                let parts: Result<Vec<Node>, String> =
                    parts.iter().map(|part| self.search(part, sign)).collect();
                Ok(joined(parts?, is_all == (sign == Sign::Plain)))
            }
            Search::Test(test) => Ok(match (self.atoms.of(test, self.fields)?, sign) {
                (None, _) => Node::Never,
                (Some(atom), Sign::Plain) => Node::Is(atom),
                (Some(atom), Sign::Negated) => Node::IsNot(atom),
            }),
        }
    }
}

/// Also of two programs that must both hold.
pub(super) fn both(one: Node, other: Node) -> Node {
    joined(vec![one, other], true)
}

fn joined(parts: Vec<Node>, is_all: bool) -> Node {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match part {
            Node::Never if is_all => return Node::Never,
            Node::Never => {}
            Node::All(inner) if is_all => flat.extend(inner),
            Node::Any(inner) if !is_all => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match (flat.len(), flat.pop()) {
        (_, None) => Node::Never,
        (1, Some(only)) => only,
        (_, Some(last)) => {
            flat.push(last);
            if is_all {
                Node::All(flat.into())
            } else {
                Node::Any(flat.into())
            }
        }
    }
}

impl Node {
    pub(super) fn atoms(&self, seen: &mut impl FnMut(AtomId)) {
        match self {
            Self::Never => {}
            Self::Is(atom) | Self::IsNot(atom) => seen(*atom),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().for_each(|part| part.atoms(seen));
            }
        }
    }

    /// Tests of the scan, one of which holds whenever the program does: the cheapest such set.
    /// `None` when there is none.
    pub(super) fn keys(
        &self,
        atoms: &mut Atoms,
        cost: &dyn Fn(&Atoms, AtomId) -> u64,
    ) -> Option<Vec<AtomId>> {
        match self {
            Self::Never => Some(Vec::new()),
            Self::Is(atom) => atoms.needs(*atom),
            Self::IsNot(_) => None,
            Self::Any(parts) => {
                let mut all = Vec::new();
                for part in parts {
                    all.extend(part.keys(atoms, cost)?);
                }
                all.sort_unstable();
                all.dedup();
                Some(all)
            }
            Self::All(parts) => {
                let mut best: Option<(u64, Vec<AtomId>)> = None;
                for part in parts {
                    let Some(keys) = part.keys(atoms, cost) else {
                        continue;
                    };
                    let price = keys.iter().map(|key| cost(atoms, *key)).sum();
                    if best.as_ref().is_none_or(|(least, _)| price < *least) {
                        best = Some((price, keys));
                    }
                }
                best.map(|(_, keys)| keys)
            }
        }
    }

    /// Whether it holds, where `is` decides an atom.
    pub(super) fn holds(&self, is: &mut impl FnMut(AtomId) -> bool) -> bool {
        match self {
            Self::Never => false,
            Self::Is(atom) => is(*atom),
            Self::IsNot(atom) => !is(*atom),
            Self::All(parts) => parts.iter().all(|part| part.holds(is)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(is)),
        }
    }
}
