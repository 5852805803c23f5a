//! Which nodes of a stage can apply to an event, without asking each one's filter.
//!
//! Most parsers begin with `evt.Parsed.program == 'x'`, or another question about one of a few
//! fields that have few values: a program, a service, a kind of log. For each combination of these
//! values the nodes are remembered whose filters get past such beginnings; all others are left out.
//! That is right because a filter that fails at its beginning has written nothing. The memory is
//! bounded: a source that makes up values only costs what asking every filter costs.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    event::{Event, FieldMap, Span},
    expr::Env,
    nodes::Node,
    symbols::Sym,
};

/// Fields whose values are told apart.
const FIELDS_MAX: usize = 8;
/// Combinations of values that are remembered, and the bytes of the longest.
const KEYS_MAX: usize = 1_024;
const KEY_BYTES_MAX: usize = 256;
/// How often a memory may have filled up before it is given up: its fields' values do not repeat,
/// and remembering costs more than asking every node.
const FILLED_MAX: u32 = 8;

type Field = (FieldMap, Sym);

/// The fields that filters of one stage begin with.
#[derive(Debug, Default)]
pub(crate) struct StageIndex {
    fields: Vec<Field>,
    nodes: usize,
    /// Which of the memories is this stage's.
    memory: usize,
}

/// The nodes to try for each combination of values.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    lists: HashMap<Box<[u8]>, Arc<[u32]>>,
    key: Vec<u8>,
    filled: u32,
}

/// Where a walk over a stage's nodes stands.
pub(crate) struct Walk {
    list: Arc<[u32]>,
    at: usize,
    seen: [Option<Span>; FIELDS_MAX],
}

impl StageIndex {
    pub(crate) fn new(nodes: &[Node], memory: usize) -> Self {
        let mut counts: Vec<(Field, usize)> = Vec::new();
        let filters = nodes.iter().filter_map(|node| node.filter.as_ref());
        for field in filters.flat_map(|filter| filter.opening_fields()) {
            match counts.iter_mut().find(|(known, _)| *known == field) {
                Some((_, count)) => *count += 1,
                None => counts.push((field, 1)),
            }
        }
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.truncate(FIELDS_MAX);
        Self {
            fields: counts.into_iter().map(|(field, _)| field).collect(),
            nodes: nodes.len(),
            memory,
        }
    }

    pub(crate) const fn memory(&self) -> usize {
        self.memory
    }

    pub(crate) fn start(&self, nodes: &[Node], env: &Env<'_>, memory: &mut Memory) -> Walk {
        Walk {
            list: self.list(nodes, env, memory),
            at: 0,
            seen: self.spans(env.event),
        }
    }

    fn spans(&self, event: &Event) -> [Option<Span>; FIELDS_MAX] {
        let mut spans = [None; FIELDS_MAX];
        for (span, (map, sym)) in spans.iter_mut().zip(&self.fields) {
            *span = event.fields(*map).find(*sym);
        }
        spans
    }

    fn list(&self, nodes: &[Node], env: &Env<'_>, memory: &mut Memory) -> Arc<[u32]> {
        let Memory { lists, key, filled } = memory;
        key.clear();
        if *filled >= FILLED_MAX {
            let all = || (0..).zip(nodes).map(|(number, _)| number).collect();
            // No combination has an empty key.
            return Arc::clone(lists.entry(Box::default()).or_insert_with(all));
        }
        for (map, sym) in &self.fields {
            key.extend_from_slice(env.event.field(*map, *sym).as_bytes());
            // Never part of UTF-8.
            key.push(0xff);
        }
        if let Some(list) = lists.get(key.as_slice()) {
            return Arc::clone(list);
        }
        let list: Arc<[u32]> = (0..)
            .zip(nodes)
            .filter(|(_, node)| {
                let filter = node.filter.as_ref();
                filter.is_none_or(|filter| !filter.fails_at_once(env, &self.fields))
            })
            .map(|(number, _)| number)
            .collect();
        if key.len() <= KEY_BYTES_MAX {
            // Starting over now and then is cheaper than keeping an order.
            if lists.len() >= KEYS_MAX {
                lists.clear();
                *filled += 1;
            }
            lists.insert(key.as_slice().into(), Arc::clone(&list));
        }
        list
    }

    /// The next node to try. Looks again when a node changed one of the fields.
    pub(crate) fn next(
        &self,
        nodes: &[Node],
        env: &Env<'_>,
        memory: &mut Memory,
        walk: &mut Walk,
    ) -> Option<usize> {
        debug_assert_eq!(nodes.len(), self.nodes, "the index is of other nodes");
        if walk.at > 0 {
            let spans = self.spans(env.event);
            if spans != walk.seen {
                let done = walk.list.get(walk.at - 1).copied()?;
                walk.list = self.list(nodes, env, memory);
                walk.at = walk.list.partition_point(|node| *node <= done);
                walk.seen = spans;
            }
        }
        let node = walk.list.get(walk.at)?;
        walk.at += 1;
        Some(*node as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::{expr::Services, parse::Parsers, rules::RuleFile, symbols::Symbols};

    const FILTERS: [&str; 6] = [
        "evt.Parsed.program == 'sshd'",
        "evt.Parsed.program startsWith 'ss' && evt.Meta.kind == 'a'",
        "Upper(evt.Parsed.program) == 'SSHD' || evt.Parsed.program == 'x'",
        "evt.Parsed.message contains 'sshd'",
        "not (evt.Parsed.program in ['sshd', 'cron'])",
        "LogInfo('seen') && evt.Parsed.program == 'sshd'",
    ];

    /// The nodes to try when `program` and `kind` have these values, asked twice.
    fn tried(program: &str, kind: &str, memory: &mut Memory) -> Vec<u32> {
        let node = |(n, filter)| format!("name: t/{n}\nfilter: |\n  {filter}\nstatics: []\n");
        let text: Vec<String> = (0..).zip(FILTERS).map(node).collect();
        let file = RuleFile::new("parsers/s01-parse/t.yaml", text.join("---\n"));
        let mut symbols = Symbols::default();
        let parsers = Parsers::build(&[file], &mut symbols, &mut Vec::new());
        let mut event = Event::default();
        event.set_field(FieldMap::Parsed, symbols.intern("program"), program);
        event.set_field(FieldMap::Meta, symbols.intern("kind"), kind);
        let (services, effects) = (Services::default(), RefCell::default());
        let env = Env::new(&event, &symbols, &services, &effects);
        let stage = &parsers.stages[0];
        let list = stage.index.list(&stage.nodes, &env, memory);
        assert_eq!(list, stage.index.list(&stage.nodes, &env, memory));
        list.to_vec()
    }

    #[test]
    fn what_fails_at_once_is_left_out() {
        let mut memory = Memory::default();
        assert_eq!(tried("sshd", "a", &mut memory), [0, 1, 2, 3, 5]);
        assert_eq!(tried("sshd", "b", &mut memory), [0, 2, 3, 5]);
        assert_eq!(tried("x", "a", &mut memory), [2, 3, 4, 5]);
        assert_eq!(tried("", "", &mut memory), [3, 4, 5]);
        assert_eq!(memory.lists.len(), 4);
    }

    #[test]
    fn a_memory_of_values_that_do_not_repeat_is_given_up() {
        let mut memory = Memory::default();
        for number in 0..FILLED_MAX - 1 {
            let keys = (0..KEYS_MAX).map(|key| (key.to_le_bytes().into(), [].into()));
            memory.lists.extend(keys);
            tried(&format!("new{number}"), "", &mut memory);
        }
        assert_eq!(tried("sshd", "b", &mut memory), [0, 2, 3, 5]);
        memory.filled += 1;
        assert_eq!(tried("sshd", "b", &mut memory), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn made_up_values_do_not_fill_the_memory() {
        let mut memory = Memory::default();
        for number in 0..KEYS_MAX + 9 {
            memory.lists.insert(number.to_le_bytes().into(), [].into());
        }
        tried("new", "", &mut memory);
        assert_eq!(memory.lists.len(), 1);
        tried(&"x".repeat(KEY_BYTES_MAX), "", &mut memory);
        assert_eq!(memory.lists.len(), 1);
    }
}
