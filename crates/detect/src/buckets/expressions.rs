//! Running a scenario's expressions: what they see, what they write, and how failures are counted.

use std::{cell::RefCell, collections::VecDeque};

use model::Timestamp;

use super::{
    Key,
    packed::{Packed, Unpacked},
    spec::{Program, Scenario},
};
use crate::{
    engine::EngineStats,
    event::{Event, FieldMap, Span},
    expr::{self, Effect, Env, QueueView, Services, Value},
    symbols::{Sym, Symbols},
};

/// What expressions run in. A failing one concerns its own scenario only.
pub(crate) struct Context<'a> {
    pub(crate) event: &'a mut Event,
    pub(crate) symbols: &'a mut Symbols,
    services: &'a Services,
    pub(crate) stats: &'a mut EngineStats,
    effects: RefCell<Vec<Effect>>,
    changed: bool,
    writes: u32,
    /// The keys made last, and where in the event their texts stand: scenarios share them.
    keys: [Option<(Span, Key)>; KEYS],
    next_key: usize,
}

/// Keys remembered: what scenarios group by, and what they want distinct.
const KEYS: usize = 2;

impl<'a> Context<'a> {
    pub(crate) fn new(
        event: &'a mut Event,
        symbols: &'a mut Symbols,
        services: &'a Services,
        stats: &'a mut EngineStats,
    ) -> Self {
        Self {
            event,
            symbols,
            services,
            stats,
            effects: RefCell::default(),
            changed: false,
            writes: 0,
            keys: [None; KEYS],
            next_key: 0,
        }
    }

    /// The text that `program` gives, as a key; `None` when it fails or gives no text.
    pub(super) fn key(&mut self, program: &Program, scenario: &Scenario) -> Option<Key> {
        let Some(part) = program.0.part() else {
            return self.text(program, scenario, Key::of);
        };
        // An event's text is never changed where it stands, so its place says enough.
        let span = self.event.part(part);
        let known = self.keys.iter().flatten().find(|(of, _)| *of == span);
        if let Some((_, key)) = known {
            return Some(*key);
        }
        let key = Key::of(self.event.read(span));
        if let Some(slot) = self.keys.get_mut(self.next_key % KEYS) {
            *slot = Some((span, key));
        }
        self.next_key += 1;
        Some(key)
    }

    /// Whether `program` is true; `None` when it fails.
    pub(super) fn test(
        &mut self,
        program: &Program,
        scenario: &Scenario,
        queue: Option<&dyn QueueView>,
    ) -> Option<bool> {
        let mut env = Env::new(self.event, self.symbols, self.services, &self.effects);
        env.queue = queue;
        let result = program.0.test(&env).ok();
        self.settle(result.is_none(), scenario);
        result
    }

    /// The text that `program` gives, through `read`; `None` when it fails or gives no text.
    pub(super) fn text<T>(
        &mut self,
        program: &Program,
        scenario: &Scenario,
        read: impl FnOnce(&str) -> T,
    ) -> Option<T> {
        let env = Env::new(self.event, self.symbols, self.services, &self.effects);
        let result = match program.0.eval(&env) {
            Ok(Value::Text(text)) => Some(read(&text)),
            _ => None,
        };
        self.settle(result.is_none(), scenario);
        result
    }

    /// How often an expression has written into the event.
    pub(super) const fn writes(&self) -> u32 {
        self.writes
    }

    /// Whether an expression has written into the event since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn settle(&mut self, failed: bool, scenario: &Scenario) {
        if failed {
            EngineStats::count(&mut self.stats.expression_errors, &scenario.name);
        }
        let effects = self.effects.get_mut();
        if !effects.is_empty() {
            expr::apply_effects(effects, self.event, self.symbols);
            self.changed = true;
            self.writes = self.writes.wrapping_add(1);
        }
    }
}

/// A bucket's queue as conditions see it.
pub(super) struct QueueLook<'a> {
    pub(super) queue: &'a VecDeque<Packed>,
    pub(super) total: u64,
    pub(super) name: &'a str,
}

impl QueueLook<'_> {
    fn event(&self, index: usize) -> Option<Unpacked<'_>> {
        Unpacked::read(self.queue.get(index)?)
    }
}

impl QueueView for QueueLook<'_> {
    fn len(&self) -> usize {
        self.queue.len()
    }

    fn field(&self, index: usize, map: FieldMap, sym: Sym) -> &str {
        self.event(index)
            .and_then(|event| event.field(map, sym))
            .unwrap_or_default()
    }

    fn time(&self, index: usize) -> Timestamp {
        self.event(index)
            .map_or(Timestamp::EPOCH, |event| event.time)
    }

    fn raw(&self, index: usize) -> &str {
        let raw = self
            .event(index)
            .map_or(b"".as_slice(), |event| event.raw());
        std::str::from_utf8(raw).unwrap_or_default()
    }

    fn total(&self) -> u64 {
        self.total
    }

    fn name(&self) -> &str {
        self.name
    }
}
