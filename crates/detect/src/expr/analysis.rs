//! Facts without which an expression cannot be true, for indexes and prefilters.
//!
//! Only sure facts count: a fact missed costs time, a wrong one would cost an attack.

use super::{
    FieldAtom, Requirements,
    node::{LoopKind, Node},
};
use crate::event::FieldMap;
use crate::symbols::Sym;

/// More alternatives than this for one field tell an index nothing.
const ALTERNATIVES_MAX: usize = 4_096;

#[derive(Clone, Default)]
struct Facts {
    equals: Vec<FieldAtom>,
    contains: Vec<FieldAtom>,
    line: Vec<Vec<String>>,
}

/// Fills the facts of `requirements` in.
pub(super) fn facts(root: &Node, requirements: &mut Requirements) {
    let Some(facts) = of(root) else { return };
    requirements.equals = facts.equals;
    requirements.contains = facts.contains;
    requirements.line_contains = facts.line;
}

/// The facts of a node being true; `None` when it never is.
fn of(node: &Node) -> Option<Facts> {
    Some(match node {
        Node::Bool(false) => return None,
        Node::And(items) => {
            let mut all = Facts::default();
            for item in items {
                all.add(of(item)?);
            }
            all
        }
        Node::Or(items) => {
            let mut possible = items.iter().filter_map(of);
            let first = possible.next()?;
            possible.fold(first, Facts::or)
        }
        Node::FieldEqual(map, sym, text) => Facts::field(*map, *sym, vec![text.to_string()]),
        Node::FieldIn(map, sym, texts) => {
            Facts::field(*map, *sym, texts.iter().map(ToString::to_string).collect())
        }
        Node::ContainsText(parts) => {
            let literal = std::str::from_utf8(parts.1.needle()).unwrap_or_default();
            Facts::literal(&parts.0, literal)
        }
        Node::StartsWithText(parts) | Node::EndsWithText(parts) => {
            Facts::literal(&parts.0, &parts.1)
        }
        Node::Choice(parts) => {
            let (test, yes, no) = &**parts;
            match (of(yes), of(no)) {
                (None, None) => return None,
                (None, Some(no)) => no,
                (Some(mut yes), None) => {
                    yes.add(of(test)?);
                    yes
                }
                (Some(yes), Some(no)) => yes.or(no),
            }
        }
        Node::Let(_, parts) => of(&parts.1)?,
        Node::Sequence(items) => items.last().map_or_else(|| Some(Facts::default()), of)?,
        Node::Loop(l) if matches!(l.kind, LoopKind::Any | LoopKind::One) => {
            l.body.as_ref().map_or_else(|| Some(Facts::default()), of)?
        }
        _ => Facts::default(),
    })
}

impl Facts {
    fn field(map: FieldMap, sym: Sym, any_of: Vec<String>) -> Self {
        let mut facts = Self::default();
        if !any_of.iter().any(String::is_empty) {
            facts.contains.push(FieldAtom {
                map,
                sym,
                any_of: any_of.clone(),
            });
        }
        facts.equals.push(FieldAtom { map, sym, any_of });
        facts
    }

    fn literal(of: &Node, literal: &str) -> Self {
        let mut facts = Self::default();
        match of {
            _ if literal.is_empty() => {}
            Node::Field(map, sym) => {
                let any_of = vec![literal.to_owned()];
                facts.contains.push(FieldAtom {
                    map: *map,
                    sym: *sym,
                    any_of,
                });
            }
            Node::Line => facts.line.push(vec![literal.to_owned()]),
            _ => {}
        }
        facts
    }

    fn add(&mut self, other: Self) {
        self.equals.extend(other.equals);
        self.contains.extend(other.contains);
        self.line.extend(other.line);
    }

    /// What holds when one of the two holds: alternatives of what both speak of.
    fn or(self, other: Self) -> Self {
        let line = match (self.line.into_iter().next(), other.line.into_iter().next()) {
            (Some(mut a), Some(b)) if a.len() + b.len() <= ALTERNATIVES_MAX => {
                a.extend(b);
                vec![a]
            }
            _ => Vec::new(),
        };
        Self {
            equals: either(self.equals, &other.equals),
            contains: either(self.contains, &other.contains),
            line,
        }
    }
}

fn either(left: Vec<FieldAtom>, right: &[FieldAtom]) -> Vec<FieldAtom> {
    let mut out: Vec<FieldAtom> = Vec::new();
    for mut atom in left {
        let same = |a: &FieldAtom| a.map == atom.map && a.sym == atom.sym;
        // One pairing per field is enough, and keeps long chains linear.
        if out.iter().any(same) {
            continue;
        }
        let Some(other) = right.iter().find(|a| same(a)) else {
            continue;
        };
        if atom.any_of.len() + other.any_of.len() > ALTERNATIVES_MAX {
            continue;
        }
        for value in &other.any_of {
            if !atom.any_of.contains(value) {
                atom.any_of.push(value.clone());
            }
        }
        out.push(atom);
    }
    out
}
