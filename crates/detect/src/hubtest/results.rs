//! What a run left behind, as assertions look at it: `results`.
//!
//! For parser.assert: stage, node, then one entry for each event that entered that root node, as
//! the node left it. For scenario.assert: the overflows, sorted.

use std::{cmp::Reverse, collections::BTreeMap};

use crate::{
    event::Event,
    expr::{Object, Value},
    overflow::Overflow,
    parse::Trace,
};

/// Whether the nodes are watched, or only the overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    Nodes,
    Overflows,
}

/// Everything a run showed.
pub(super) struct Seen {
    watch: Watch,
    pub(super) nodes: NodeResults,
    pub(super) overflows: Overflows,
}

impl Seen {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            nodes: NodeResults::default(),
            overflows: Overflows::default(),
        }
    }
}

impl Trace for Seen {
    fn node(&mut self, stage: &str, node: &str, event: &Event, ok: bool) {
        self.nodes.add(stage, node, event, ok);
    }

    fn overflow(&mut self, event: &Event) {
        self.overflows.0.push(event.clone());
    }

    fn wants_nodes(&self) -> bool {
        self.watch == Watch::Nodes
    }
}

/// Stage to node to entries.
pub(super) struct NodeResults(BTreeMap<String, Nodes>);

#[derive(Default)]
struct Nodes(BTreeMap<String, Entries>);

#[derive(Default)]
struct Entries(Vec<Entry>);

struct Entry {
    event: Event,
    success: bool,
}

impl Default for NodeResults {
    /// Upstream's dump has this stage, always empty; assertions count stages.
    fn default() -> Self {
        let nothing = Nodes([(String::new(), Entries::default())].into());
        Self([("success".to_owned(), nothing)].into())
    }
}

impl NodeResults {
    fn add(&mut self, stage: &str, node: &str, event: &Event, success: bool) {
        let nodes = self.0.entry(stage.to_owned()).or_default();
        let entries = nodes.0.entry(node.to_owned()).or_default();
        entries.0.push(Entry {
            event: event.clone(),
            success,
        });
    }

    /// Stages and nodes with the number of their entries.
    pub(super) fn outline(&self) -> impl Iterator<Item = (&str, &str, usize)> {
        self.0.iter().flat_map(|(stage, nodes)| {
            let nodes = nodes.0.iter();
            nodes.map(|(node, entries)| (stage.as_str(), node.as_str(), entries.0.len()))
        })
    }

    /// The event that a node took.
    pub(super) fn taken(&self, stage: &str, node: &str, index: usize) -> Option<&Event> {
        let entry = self.0.get(stage)?.0.get(node)?.0.get(index)?;
        entry.success.then_some(&entry.event)
    }

    /// What there is where `results["stage"]["node"]…` finds nothing.
    pub(super) fn hint(&self, stage: &str, node: Option<&str>) -> Option<String> {
        let list = |keys: Vec<&String>| {
            let names: Vec<&str> = keys.into_iter().map(String::as_str).collect();
            names.join(", ")
        };
        let Some(nodes) = self.0.get(stage) else {
            let stages = self.0.keys().filter(|s| *s != "success").collect();
            return Some(format!(
                "no event reached {stage}; stages reached: {}",
                list(stages)
            ));
        };
        match nodes.0.get(node?) {
            Some(entries) => Some(format!("{} events entered this node", entries.0.len())),
            None => Some(format!(
                "no event entered that node; nodes entered in {stage}: {}",
                list(nodes.0.keys().collect())
            )),
        }
    }
}

impl Object for NodeResults {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).map(|nodes| Value::object(nodes))
    }

    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Nodes {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).map(|entries| Value::object(entries))
    }

    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Entries {
    fn item(&self, index: usize) -> Option<Value<'_>> {
        self.0.get(index).map(|entry| Value::object(entry))
    }

    fn length(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

impl Object for Entry {
    fn member(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "Evt" => Some(Value::event(&self.event)),
            "Success" => Some(Value::Bool(self.success)),
            _ => None,
        }
    }
}

/// Overflows in the order assertions count them by.
#[derive(Default)]
pub(super) struct Overflows(Vec<Event>);

impl Overflows {
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Overflow> {
        self.0.get(index)?.overflow.as_deref()
    }

    /// Descending by scenario and sources. Returns the groups whose order is nowhere defined:
    /// those of equal keys, and those that name several sources, which come in any order.
    pub(super) fn sort(&mut self) -> Vec<std::ops::Range<usize>> {
        self.0.sort_by_cached_key(|event| Reverse(key(event)));
        let mut ties = Vec::new();
        let mut start = 0;
        for group in self.0.chunk_by(is_tied) {
            if group.len() > 1 {
                ties.push(start..start + group.len());
            }
            start += group.len();
        }
        ties
    }

    /// The same overflows with the one at `order[i]` at place `i`.
    pub(super) fn ordered<'o>(&'o self, order: &'o [usize]) -> Ordered<'o> {
        Ordered {
            overflows: self,
            order,
        }
    }

    pub(super) fn hint(&self) -> String {
        let names = self.0.iter().map(key);
        match self.len() {
            0 => "nothing overflowed".to_owned(),
            n => format!(
                "{n} overflowed: {}",
                names.take(HINTS_MAX).collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

/// Overflows that a hint names.
const HINTS_MAX: usize = 8;

fn key(event: &Event) -> String {
    let Some(overflow) = &event.overflow else {
        return String::new();
    };
    let sources: Vec<&str> = overflow.sources.keys().map(String::as_str).collect();
    format!("{}{}", overflow.scenario, sources.join("@"))
}

fn is_tied(a: &Event, b: &Event) -> bool {
    let (Some(one), Some(other)) = (&a.overflow, &b.overflow) else {
        return a.overflow.is_none() && b.overflow.is_none();
    };
    let several = one.sources.len() > 1 || other.sources.len() > 1;
    one.scenario == other.scenario && (several || key(a) == key(b))
}

/// Overflows in some order.
pub(super) struct Ordered<'o> {
    overflows: &'o Overflows,
    order: &'o [usize],
}

impl Object for Ordered<'_> {
    fn item(&self, index: usize) -> Option<Value<'_>> {
        let index = *self.order.get(index)?;
        self.overflows.0.get(index).map(Value::event)
    }

    fn length(&self) -> Option<usize> {
        Some(self.order.len())
    }
}
