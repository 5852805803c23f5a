//! Which nodes of a stage can apply to an event, without asking each one's filter.
//!
//! Most parsers begin with `evt.Parsed.program == 'x'`, or another question about one of a few
//! fields that have few values: a program, a service, a kind of log. For each combination of these
//! values the nodes are remembered whose filters get past such beginnings; all others are left out.
//! That is right because a filter that fails at its beginning has written nothing. The memory is
//! bounded: a source that makes up values only costs what asking every filter costs.

use std::hash::{BuildHasher as _, Hasher as _};

use hashbrown::{DefaultHashBuilder, HashTable};

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
    lists: Vec<Known>,
    /// By the values' hash: the list's number.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// The list that was asked for last: most lines are like the one before.
    last: usize,
    /// What is to be tried where the values are not remembered.
    spare: Box<[u32]>,
    filled: u32,
}

/// A combination of values, and the nodes that get past them.
#[derive(Debug)]
struct Known {
    hash: u64,
    /// The values one after the other, each with [`END`] behind it: in one place, so that a look
    /// at a combination that was not used for long waits for memory once.
    values: Box<[u8]>,
    nodes: Box<[u32]>,
}

/// Behind each value; never part of UTF-8.
const END: u8 = 0xff;

impl Known {
    fn is_of(&self, fields: &[Field], event: &Event) -> bool {
        let mut rest = &*self.values;
        fields.iter().all(|(map, sym)| {
            let behind = rest.strip_prefix(event.field(*map, *sym).as_bytes());
            match behind {
                Some([END, next @ ..]) => {
                    rest = next;
                    true
                }
                _ => false,
            }
        })
    }
}

impl Memory {
    fn find(&self, hash: u64, fields: &[Field], event: &Event) -> Option<usize> {
        let known = |number: &u32| self.lists.get(*number as usize);
        let is = |number: &u32| known(number).is_some_and(|k| k.is_of(fields, event));
        self.index.find(hash, is).map(|number| *number as usize)
    }

    fn hash(&self, fields: &[Field], event: &Event) -> u64 {
        let mut hash = self.hasher.build_hasher();
        for (map, sym) in fields {
            hash.write(event.field(*map, *sym).as_bytes());
            hash.write_u8(END);
        }
        hash.finish()
    }

    fn keep(&mut self, known: Known) -> usize {
        if known.values.len() > KEY_BYTES_MAX {
            self.spare = known.nodes;
            return SPARE;
        }
        // Starting over now and then is cheaper than keeping an order.
        if self.lists.len() >= KEYS_MAX {
            self.lists.clear();
            self.index.clear();
            self.filled += 1;
        }
        let (hash, number) = (known.hash, self.lists.len());
        let Self { lists, index, .. } = self;
        lists.push(known);
        let hash_of = |number: &u32| lists.get(*number as usize).map_or(0, |known| known.hash);
        index.insert_unique(hash, u32::try_from(number).unwrap_or(u32::MAX), hash_of);
        number
    }

    fn nodes(&self, list: usize) -> &[u32] {
        match list {
            SPARE => &self.spare,
            _ => self.lists.get(list).map_or(&[], |known| &known.nodes),
        }
    }
}

/// The list that is not remembered.
const SPARE: usize = usize::MAX;

/// Where a walk over a stage's nodes stands.
pub(crate) struct Walk {
    /// Which of the memory's lists.
    list: usize,
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

    fn list(&self, nodes: &[Node], env: &Env<'_>, memory: &mut Memory) -> usize {
        if memory.filled >= FILLED_MAX {
            if memory.spare.len() != nodes.len() {
                memory.spare = (0..).zip(nodes).map(|(number, _)| number).collect();
            }
            return SPARE;
        }
        let last = memory.lists.get(memory.last);
        if last.is_some_and(|known| known.is_of(&self.fields, env.event)) {
            return memory.last;
        }
        let hash = memory.hash(&self.fields, env.event);
        let found = memory.find(hash, &self.fields, env.event);
        let list = found.unwrap_or_else(|| memory.keep(self.known(nodes, env, hash)));
        memory.last = list;
        list
    }

    /// Which nodes to try for the event's combination of values, worked out.
    fn known(&self, nodes: &[Node], env: &Env<'_>, hash: u64) -> Known {
        let may_apply = |node: &Node| {
            let filter = node.filter.as_ref();
            filter.is_none_or(|filter| !filter.fails_at_once(env, &self.fields))
        };
        let mut values = Vec::new();
        for (map, sym) in &self.fields {
            values.extend_from_slice(env.event.field(*map, *sym).as_bytes());
            values.push(END);
        }
        let numbered = (0..).zip(nodes).filter(|(_, node)| may_apply(node));
        Known {
            hash,
            values: values.into(),
            nodes: numbered.map(|(number, _)| number).collect(),
        }
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
                let done = memory.nodes(walk.list).get(walk.at - 1).copied()?;
                walk.list = self.list(nodes, env, memory);
                walk.at = memory
                    .nodes(walk.list)
                    .partition_point(|node| *node <= done);
                walk.seen = spans;
            }
        }
        let node = memory.nodes(walk.list).get(walk.at)?;
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
        let list = memory.nodes(list).to_vec();
        let again = stage.index.list(&stage.nodes, &env, memory);
        assert_eq!(list, memory.nodes(again));
        list
    }

    fn fill(memory: &mut Memory, count: usize) {
        memory.lists.extend((0..count).map(|key| Known {
            hash: 0,
            values: format!("{key}").into_bytes().into(),
            nodes: [].into(),
        }));
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
            fill(&mut memory, KEYS_MAX);
            tried(&format!("new{number}"), "", &mut memory);
        }
        assert_eq!(tried("sshd", "b", &mut memory), [0, 2, 3, 5]);
        memory.filled += 1;
        assert_eq!(tried("sshd", "b", &mut memory), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn made_up_values_do_not_fill_the_memory() {
        let mut memory = Memory::default();
        fill(&mut memory, KEYS_MAX + 9);
        tried("new", "", &mut memory);
        assert_eq!(memory.lists.len(), 1);
        tried(&"x".repeat(KEY_BYTES_MAX), "", &mut memory);
        assert_eq!(memory.lists.len(), 1);
    }
}
