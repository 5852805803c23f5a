//! Which scenarios an event can concern at all.
//!
//! A scenario whose filter cannot be true unless a field has one of a few values is listed under
//! those values; all others are tried for every event.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::spec::Scenario;
use crate::{
    event::{Event, FieldMap},
    expr::FieldAtom,
    symbols::Sym,
};

#[derive(Debug, Default)]
pub(super) struct Index {
    always: Vec<u32>,
    fields: Vec<FieldIndex>,
}

#[derive(Debug)]
struct FieldIndex {
    map: FieldMap,
    sym: Sym,
    by_value: HashMap<String, Vec<u32>>,
}

impl Index {
    pub(super) fn new(scenarios: &[Scenario]) -> Self {
        let mut uses: BTreeMap<(FieldMap, Sym, &str), usize> = BTreeMap::new();
        let atoms = |s: &'_ Scenario| s.filter.0.requirements().equals.clone();
        let all: Vec<Vec<FieldAtom>> = scenarios.iter().map(atoms).collect();
        for atom in all.iter().flatten() {
            for value in &atom.any_of {
                *uses.entry((atom.map, atom.sym, value)).or_default() += 1;
            }
        }
        let crowd = |atom: &FieldAtom| {
            let used = |v: &String| uses.get(&(atom.map, atom.sym, v)).copied().unwrap_or(0);
            atom.any_of.iter().map(used).sum::<usize>()
        };
        let mut index = Self::default();
        for (number, atoms) in (0u32..).zip(&all) {
            match atoms.iter().min_by_key(|atom| crowd(atom)) {
                Some(atom) => index.add(number, atom),
                None => index.always.push(number),
            }
        }
        index
    }

    fn add(&mut self, scenario: u32, atom: &FieldAtom) {
        let at = self
            .fields
            .iter()
            .position(|f| f.map == atom.map && f.sym == atom.sym);
        let at = at.unwrap_or_else(|| {
            let by_value = HashMap::new();
            self.fields.push(FieldIndex {
                map: atom.map,
                sym: atom.sym,
                by_value,
            });
            self.fields.len() - 1
        });
        let Some(field) = self.fields.get_mut(at) else {
            return;
        };
        for value in &atom.any_of {
            let list = field.by_value.entry(value.clone()).or_default();
            // A value may be written twice in one atom.
            if list.last() != Some(&scenario) {
                list.push(scenario);
            }
        }
    }

    /// Fills `to` with the scenarios that `event` may match, in their order.
    pub(super) fn candidates(&self, event: &Event, to: &mut Vec<u32>) {
        to.clear();
        to.extend_from_slice(&self.always);
        for field in &self.fields {
            let value = event.field(field.map, field.sym);
            if let Some(list) = field.by_value.get(value) {
                to.extend_from_slice(list);
            }
        }
        to.sort_unstable();
    }
}
