//! Which nodes of a stage can apply to an event, without asking each one's filter.
//!
//! Most parsers begin with `evt.Parsed.program == 'x'`. Nodes that demand one of some constants of
//! the stage's commonest such field are found by that field's value; all others are always tried.
//! Leaving out a node is right only when its filter would be false and would have written nothing.

use hashbrown::HashMap;

use crate::{
    event::{Event, FieldMap, Span},
    nodes::Node,
    symbols::{Sym, Symbols},
};

/// Nodes of one stage by the value of one field.
#[derive(Debug, Default)]
pub(crate) struct StageIndex {
    field: Option<(FieldMap, Sym)>,
    /// For each value, every node to try, in order.
    by_value: HashMap<String, Vec<usize>>,
    /// The nodes to try for any other value.
    others: Vec<usize>,
}

/// Where a walk over a stage's nodes stands.
pub(crate) struct Walk<'i> {
    list: &'i [usize],
    next: usize,
    seen: Option<Span>,
}

impl StageIndex {
    pub(crate) fn new(nodes: &[Node], symbols: &Symbols) -> Self {
        let demands: Vec<Vec<(FieldMap, Sym, &[String])>> =
            nodes.iter().map(|node| demands(node, symbols)).collect();
        let mut counts: HashMap<(FieldMap, Sym), usize> = HashMap::new();
        for (map, sym, _) in demands.iter().flatten() {
            *counts.entry((*map, *sym)).or_default() += 1;
        }
        let Some(field) = counts
            .into_iter()
            .max_by_key(|(field, n)| (*n, *field))
            .map(|c| c.0)
        else {
            return Self {
                others: (0..nodes.len()).collect(),
                ..Self::default()
            };
        };
        let wanted: Vec<Option<&[String]>> = demands
            .iter()
            .map(|all| all.iter().find(|d| (d.0, d.1) == field).map(|d| d.2))
            .collect();
        let mut by_value: HashMap<String, Vec<usize>> = HashMap::new();
        for value in wanted.iter().flatten().flat_map(|values| values.iter()) {
            by_value.entry(value.clone()).or_default();
        }
        let mut others = Vec::new();
        for (number, wanted) in wanted.iter().enumerate() {
            for (value, list) in &mut by_value {
                let node = nodes.get(number);
                let demanded = wanted.is_none_or(|values| values.contains(value));
                if demanded && node.is_none_or(|node| may_take(node, field, value)) {
                    list.push(number);
                }
            }
            if wanted.is_none() {
                others.push(number);
            }
        }
        Self {
            field: Some(field),
            by_value,
            others,
        }
    }

    pub(crate) fn start(&self, event: &Event) -> Walk<'_> {
        let (list, seen) = self.list(event);
        Walk {
            list,
            next: 0,
            seen,
        }
    }

    fn list(&self, event: &Event) -> (&[usize], Option<Span>) {
        let Some((map, sym)) = self.field else {
            return (&self.others, None);
        };
        let span = event.fields(map).find(sym);
        let value = span.map_or("", |span| event.read(span));
        (self.by_value.get(value).unwrap_or(&self.others), span)
    }

    /// The next node to try. Looks again when a node changed the field.
    pub(crate) fn next<'i>(&'i self, walk: &mut Walk<'i>, event: &Event) -> Option<usize> {
        if let Some((map, sym)) = self.field
            && event.fields(map).find(sym) != walk.seen
        {
            (walk.list, walk.seen) = self.list(event);
        }
        let at = walk.list.partition_point(|node| *node < walk.next);
        let node = *walk.list.get(at)?;
        walk.next = node + 1;
        Some(node)
    }
}

/// Whether the node's filter can be true while the field has this value.
fn may_take(node: &Node, (map, sym): (FieldMap, Sym), value: &str) -> bool {
    let filter = node.filter.as_ref().filter(|f| is_pure(f.source()));
    filter.is_none_or(|filter| filter.may_hold(map, sym, value))
}

/// The fields a node's filter demands constants of, if nothing is written before it looks.
fn demands<'n>(node: &'n Node, symbols: &Symbols) -> Vec<(FieldMap, Sym, &'n [String])> {
    let Some(filter) = &node.filter else {
        return Vec::new();
    };
    let source = filter.source();
    let pure = is_pure(source);
    filter
        .requirements()
        .equals
        .iter()
        .filter(|atom| !atom.any_of.is_empty())
        .filter(|atom| pure || is_first(source, atom.map, symbols.name(atom.sym)))
        .map(|atom| (atom.map, atom.sym, atom.any_of.as_slice()))
        .collect()
}

/// Whether the expression only looks.
fn is_pure(source: &str) -> bool {
    let writes = [
        "UnmarshalJSON",
        "ParseKV",
        "SetMeta",
        "SetParsed",
        "LogInfo",
    ];
    !writes.iter().any(|name| source.contains(name))
}

/// Whether `source` begins by comparing the field.
fn is_first(source: &str, map: FieldMap, name: &str) -> bool {
    let path = match map {
        FieldMap::Enriched => "evt.Enriched.",
        FieldMap::Labels => "evt.Line.Labels.",
        FieldMap::Meta => "evt.Meta.",
        FieldMap::Parsed => "evt.Parsed.",
    };
    let start = source.trim_start_matches(|c: char| c == '(' || c.is_whitespace());
    let rest = start
        .strip_prefix(path)
        .and_then(|rest| rest.strip_prefix(name));
    let rest = rest.map(str::trim_start);
    rest.is_some_and(|rest| rest.starts_with("==") || rest.starts_with("in "))
}
