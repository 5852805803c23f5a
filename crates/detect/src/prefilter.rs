//! Can a raw line matter at all? Asked before anything else is done with it.
//!
//! For each kind of source a [`Gate`] is worked out from all parsers and scenarios: a condition
//! over "the line contains this text", necessary for any scenario to accept the line's event or for
//! any parser to remember something. One pass over the line finds the texts. Most
//! lines end here. Leaving out a line must be provably without effect; where nothing can be
//! proved, every line passes. What the proof rests on:
//!
//! - a field's value comes from somewhere a parser wrote it; the engine itself sets only labels;
//! - what a grok captures of the line, or of a part of the line, stands in the line;
//! - the facts an expression lists ([`Requirements`]) hold whenever it is true.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;

use crate::{
    event::FieldMap,
    expr::Requirements,
    flow::{Flow, Writer, WriterKind},
    network::{Input, Network, Tally},
    nodes::{GrokStep, Node},
    parse::Parsers,
    scan::{Scanner, TEXT_BYTES_MIN},
    symbols::{Sym, Symbols},
};

/// Different sets of labels for which a gate is kept; sources beyond them are not filtered.
const GATES_MAX: usize = 256;
/// Texts of one gate; more and it is not worth the pass.
const TEXTS_MAX: usize = 4_096;
/// How far a proof follows fields and filters before it gives up.
const DEPTH_MAX: usize = 6;
/// Parts of one gate's condition.
const PARTS_MAX: usize = 50_000;

/// The gates of all kinds of sources.
pub struct Prefilter {
    flow: Arc<Flow>,
    scenarios: Arc<[Requirements]>,
    gates: Vec<Keeper>,
    last: usize,
}

/// A gate, whose it is, and what it saw last.
struct Keeper {
    labels: BTreeMap<String, String>,
    gate: Arc<Gate>,
    tally: Tally,
    seen: Vec<u64>,
}

impl Keeper {
    fn new(labels: &BTreeMap<String, String>, gate: Arc<Gate>) -> Self {
        Self {
            labels: labels.clone(),
            seen: vec![0; gate.words()],
            gate,
            tally: Tally::default(),
        }
    }
}

/// What the last look at a line says about groks that read it, or a part of it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hopes<'g> {
    of: Option<(&'g Gate, &'g [u64])>,
}

impl Hopes<'_> {
    /// Whether the grok, named by its cache, cannot match: no text that it needs is in the line.
    pub(crate) fn rule_out(self, grok: usize) -> bool {
        let Some((gate, seen)) = self.of else {
            return false;
        };
        let needs = gate.groks.get(grok).map_or(&[][..], |needs| needs);
        let stands = |text: &u32| {
            let word = seen.get(*text as usize / 64);
            word.is_some_and(|word| word & (1 << (text % 64)) != 0)
        };
        !needs.is_empty() && !needs.iter().any(stands)
    }
}

/// What a line of one kind of source must contain.
#[derive(Debug, Default)]
pub struct Gate {
    /// Nothing: every line passes.
    scanner: Option<Scanner>,
    network: Network,
    /// By grok: the texts of which one stands in whatever it matches; none where none is known.
    groks: Vec<Box<[u32]>>,
}

type PartId = u32;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Always,
    Never,
    /// The line contains one of these texts (by number).
    Any(Vec<u32>),
    All(Vec<PartId>),
    Either(Vec<PartId>),
}

impl Prefilter {
    /// `scenarios`: the filter of every scenario. A scenario without a filter is given as
    /// `Requirements::default()`.
    pub fn build(parsers: &Parsers, scenarios: Vec<Requirements>, symbols: &Symbols) -> Self {
        Self {
            flow: Flow::of(parsers, symbols).into(),
            scenarios: scenarios.into(),
            gates: Vec::new(),
            last: 0,
        }
    }

    /// The same, with the gates known by now, for another thread.
    pub(crate) fn twin(&self) -> Self {
        let gates = self.gates.iter();
        Self {
            flow: Arc::clone(&self.flow),
            scenarios: Arc::clone(&self.scenarios),
            gates: gates
                .map(|keeper| Keeper::new(&keeper.labels, Arc::clone(&keeper.gate)))
                .collect(),
            last: self.last,
        }
    }

    /// Whether `line` of a source with `labels` may have any effect.
    pub fn may_matter(
        &mut self,
        line: &[u8],
        labels: &BTreeMap<String, String>,
        parsers: &Parsers,
        symbols: &Symbols,
    ) -> bool {
        let is_last = |keeper: &Keeper| are_same(&keeper.labels, labels);
        if !self.gates.get(self.last).is_some_and(is_last) {
            match self.gates.iter().position(is_last) {
                Some(found) => self.last = found,
                None if self.gates.len() >= GATES_MAX => {
                    // No gate's number: nothing is known of the line.
                    self.last = usize::MAX;
                    return true;
                }
                None => {
                    let gate = self.gate(labels, parsers, symbols);
                    self.last = self.gates.len();
                    self.gates.push(Keeper::new(labels, gate.into()));
                }
            }
        }
        let keeper = self.gates.get_mut(self.last);
        keeper.is_none_or(
            |Keeper {
                 gate, tally, seen, ..
             }| gate.judge(line, seen, tally),
        )
    }

    /// What the line that was asked about last lets groks hope for.
    pub(crate) fn hopes(&self) -> Hopes<'_> {
        let keeper = self.gates.get(self.last);
        Hopes {
            of: keeper
                .filter(|keeper| keeper.gate.scanner.is_some())
                .map(|keeper| (&*keeper.gate, &*keeper.seen)),
        }
    }

    /// Works out the gate for sources with these labels.
    pub fn gate(
        &self,
        labels: &BTreeMap<String, String>,
        parsers: &Parsers,
        symbols: &Symbols,
    ) -> Gate {
        if self.flow.wild {
            return Gate::default();
        }
        let proof = Proof {
            flow: &self.flow,
            labels,
            symbols,
            parsers,
            parts: Vec::new(),
            known: HashMap::new(),
            texts: HashMap::new(),
            fields: HashMap::new(),
            successes: HashMap::new(),
        };
        proof.gate(&self.scenarios)
    }
}

impl Gate {
    /// How many texts are looked for; 0 when every line passes.
    pub fn texts(&self) -> usize {
        self.scanner.as_ref().map_or(0, Scanner::len)
    }

    pub fn passes(&self, line: &[u8]) -> bool {
        self.judge(line, &mut vec![0; self.words()], &mut Tally::default())
    }

    /// Words of bits that its texts take.
    fn words(&self) -> usize {
        self.texts().div_ceil(64)
    }

    /// Notes in `seen` which texts stand in the line.
    fn judge(&self, line: &[u8], seen: &mut [u64], tally: &mut Tally) -> bool {
        let Some(scanner) = &self.scanner else {
            return true;
        };
        if scanner.len() == 0 {
            // Nothing that it asks for can stand in a line. (Filling no words at all is slow: a
            // masked store to no memory makes the processor stop and look.)
            return false;
        }
        seen.fill(0);
        scanner.find(line, seen);
        self.network.judge(seen, tally)
    }
}

impl Part {
    fn input(&self) -> Input<'_> {
        match self {
            Self::Always | Self::Never => Input::Fixed,
            Self::Any(texts) => Input::Any(texts),
            Self::All(parts) => Input::All(parts),
            Self::Either(parts) => Input::Either(parts),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    Equals,
    Contains,
}

type FieldKey = (FieldMap, Sym, Ask, Vec<String>, usize);

struct Proof<'p> {
    flow: &'p Flow,
    labels: &'p BTreeMap<String, String>,
    symbols: &'p Symbols,
    parsers: &'p Parsers,
    parts: Vec<Part>,
    known: HashMap<Part, PartId>,
    texts: HashMap<Vec<u8>, u32>,
    fields: HashMap<FieldKey, PartId>,
    successes: HashMap<(usize, usize), PartId>,
}

impl Proof<'_> {
    fn gate(mut self, scenarios: &[Requirements]) -> Gate {
        let parsed = self.parsed();
        let accepted: Vec<PartId> = scenarios
            .iter()
            .map(|wants| self.facts(wants, DEPTH_MAX))
            .collect();
        let accepted = self.either(accepted);
        let effective = self.all(vec![parsed, accepted]);
        let mut roots = vec![effective];
        let flow = self.flow;
        for path in &flow.stashes {
            roots.push(self.matched(path, DEPTH_MAX));
        }
        let root = self.either(roots);
        let always = self.parts.get(root as usize) == Some(&Part::Always);
        if always || self.texts.len() > TEXTS_MAX || self.parts.len() > PARTS_MAX {
            return Gate::default();
        }
        self.finish(root)
    }

    fn finish(self, root: PartId) -> Gate {
        let groks = self.needs();
        let mut texts: Vec<(Vec<u8>, u32)> = self.texts.into_iter().collect();
        texts.sort_by_key(|(_, number)| *number);
        let texts: Vec<Vec<u8>> = texts.into_iter().map(|(text, _)| text).collect();
        Gate {
            network: Network::new(texts.len(), self.parts.iter().map(Part::input), root),
            scanner: Scanner::new(&texts),
            groks,
        }
    }

    /// For each grok, by its cache: the numbers of the texts of which one stands in every match.
    fn needs(&self) -> Vec<Box<[u32]>> {
        let mut all = Vec::new();
        let roots = self.parsers.stages.iter().flat_map(|stage| &stage.nodes);
        let mut waiting: Vec<&Node> = roots.collect();
        while let Some(node) = waiting.pop() {
            waiting.extend(&node.children);
            let Some(step) = &node.grok else { continue };
            let texts = step.grok.required().map_or(&[][..], |any| &any.0);
            let numbers: Option<Box<[u32]>> = texts
                .iter()
                .map(|text| self.texts.get(text).copied())
                .collect();
            if all.len() <= step.cache {
                all.resize(step.cache + 1, Box::default());
            }
            if let Some(needs) = all.get_mut(step.cache) {
                *needs = numbers.unwrap_or_default();
            }
        }
        all
    }

    /// Every stage has a node that takes the event; else no scenario sees it.
    fn parsed(&mut self) -> PartId {
        let mut needed = Vec::new();
        let parsers = self.parsers;
        for (number, stage) in parsers.stages.iter().enumerate() {
            let takes = (0..stage.nodes.len()).map(|root| self.flow.root(number, root));
            let takes: Vec<usize> = takes.collect();
            let takes = takes
                .into_iter()
                .map(|node| self.success(node, DEPTH_MAX))
                .collect();
            let takes = self.either(takes);
            needed.push(takes);
            if stage.nodes.iter().any(Flow::advances_twice) {
                break;
            }
        }
        self.all(needed)
    }

    /// What must hold for the node's filter, for those around it, and for its success.
    fn success(&mut self, node: usize, depth: usize) -> PartId {
        if depth == 0 {
            return self.part(Part::Always);
        }
        if let Some(part) = self.successes.get(&(node, depth)) {
            return *part;
        }
        let flow = self.flow;
        let mut ways: Vec<PartId> = flow
            .children(node)
            .map(|child| self.success(child, depth))
            .collect();
        let spec = flow.node(self.parsers, node);
        match spec.and_then(|n| n.grok.as_ref()) {
            Some(grok) => {
                let grok = self.grok(grok, depth);
                ways.push(grok);
            }
            None if ways.is_empty() => ways.push(self.part(Part::Always)),
            None => {}
        }
        let ways = self.either(ways);
        let filters = self.filters(node, depth);
        let part = self.all(vec![filters, ways]);
        self.successes.insert((node, depth), part);
        part
    }

    /// The filters of the node and of all around it.
    fn filters(&mut self, node: usize, depth: usize) -> PartId {
        let mut needed = Vec::new();
        let flow = self.flow;
        for node in flow.around(node) {
            let filter = flow
                .node(self.parsers, node)
                .and_then(|n| n.filter.as_ref());
            if let Some(filter) = filter {
                needed.push(self.facts(filter.requirements(), depth));
            }
        }
        self.all(needed)
    }

    /// The filters, and the node's own grok if it has one.
    fn matched(&mut self, node: &usize, depth: usize) -> PartId {
        let filters = self.filters(*node, depth);
        let spec: Option<&Node> = self.flow.node(self.parsers, *node);
        let Some(grok) = spec.and_then(|n| n.grok.as_ref()) else {
            return filters;
        };
        let grok = self.grok(grok, depth);
        self.all(vec![filters, grok])
    }

    /// The grok's own texts, or an input that is not part of the line.
    fn grok(&mut self, step: &GrokStep, depth: usize) -> PartId {
        if step.grok.fields().next().is_none() {
            return self.part(Part::Never);
        }
        let Some(required) = step.grok.required() else {
            return self.part(Part::Always);
        };
        let texts: Vec<Vec<u8>> = required.0.clone();
        let own = self.any(texts);
        let foreign = match Flow::input(&step.input) {
            Some(None) => self.part(Part::Never),
            Some(Some(field)) => self.foreign(field, depth),
            None => self.part(Part::Always),
        };
        self.either(vec![own, foreign])
    }

    /// When may the field hold something that does not stand in the line?
    fn foreign(&mut self, field: (FieldMap, Sym), depth: usize) -> PartId {
        let flow = self.flow;
        let mut ways = Vec::new();
        for field in flow.sources(field, true) {
            for writer in flow.writers(field) {
                match &writer.kind {
                    WriterKind::Line | WriterKind::Copy(..) => {}
                    WriterKind::Grok(Some(_)) => {}
                    WriterKind::Grok(None) | WriterKind::Texts(_) | WriterKind::Unknown => {
                        ways.push(self.writes(writer, depth));
                    }
                }
            }
        }
        self.either(ways)
    }

    fn writes(&mut self, writer: &Writer, depth: usize) -> PartId {
        let depth = depth.saturating_sub(1);
        if depth == 0 {
            return self.part(Part::Always);
        }
        if writer.after_grok {
            self.matched(&writer.node, depth)
        } else {
            self.success_path(writer.node, depth)
        }
    }

    fn success_path(&mut self, node: usize, depth: usize) -> PartId {
        let filters = self.filters(node, depth);
        let success = self.success(node, depth);
        self.all(vec![filters, success])
    }

    fn facts(&mut self, facts: &Requirements, depth: usize) -> PartId {
        let mut needed = Vec::new();
        for atom in &facts.equals {
            needed.push(self.field((atom.map, atom.sym), Ask::Equals, &atom.any_of, depth));
        }
        for atom in &facts.contains {
            needed.push(self.field((atom.map, atom.sym), Ask::Contains, &atom.any_of, depth));
        }
        for texts in &facts.line_contains {
            let texts = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            needed.push(self.any(texts));
        }
        self.all(needed)
    }

    /// When may the field equal, or contain, one of `wanted`?
    fn field(
        &mut self,
        field: (FieldMap, Sym),
        ask: Ask,
        wanted: &[String],
        depth: usize,
    ) -> PartId {
        if depth == 0 || wanted.is_empty() || wanted.iter().any(String::is_empty) {
            return self.part(Part::Always);
        }
        let key = (field.0, field.1, ask, wanted.to_vec(), depth);
        if let Some(part) = self.fields.get(&key) {
            return *part;
        }
        let flow = self.flow;
        let mut ways = Vec::new();
        for field in flow.sources(field, false) {
            if field.0 == FieldMap::Labels {
                let value = self.labels.get(self.symbols.name(field.1));
                let value = value.map_or("", String::as_str);
                ways.push(self.constant(fits(value, ask, wanted)));
            }
            for writer in flow.writers(field) {
                let way = match &writer.kind {
                    WriterKind::Copy(..) => continue,
                    WriterKind::Line => {
                        let own = self.any(bytes(wanted));
                        let written = self.writes(writer, depth);
                        self.all(vec![own, written])
                    }
                    WriterKind::Grok(Some(input)) => {
                        let input = *input;
                        let own = self.any(bytes(wanted));
                        let foreign = match input {
                            Some(input) => self.foreign(input, depth),
                            None => self.part(Part::Never),
                        };
                        let holds = self.either(vec![own, foreign]);
                        let written = self.writes(writer, depth);
                        self.all(vec![holds, written])
                    }
                    WriterKind::Texts(texts) => {
                        if !texts.iter().any(|text| fits(text, ask, wanted)) {
                            continue;
                        }
                        self.writes(writer, depth)
                    }
                    WriterKind::Grok(None) | WriterKind::Unknown => self.writes(writer, depth),
                };
                ways.push(way);
            }
        }
        let part = self.either(ways);
        self.fields.insert(key, part);
        part
    }

    fn constant(&mut self, holds: bool) -> PartId {
        self.part(if holds { Part::Always } else { Part::Never })
    }

    fn any(&mut self, texts: Vec<Vec<u8>>) -> PartId {
        // The engine replaces invalid UTF-8 before the rules see it: U+FFFD need not be in the
        // line. Very short texts stand in nearly every line and say nothing.
        let vague = |t: &Vec<u8>| {
            t.len() < TEXT_BYTES_MIN || memchr::memmem::find(t, "\u{fffd}".as_bytes()).is_some()
        };
        if texts.is_empty() || texts.iter().any(vague) {
            return self.part(Part::Always);
        }
        let mut numbers: Vec<u32> = texts
            .into_iter()
            .map(|text| {
                let next = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
                *self.texts.entry(text).or_insert(next)
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        self.part(Part::Any(numbers))
    }

    fn all(&mut self, parts: Vec<PartId>) -> PartId {
        let mut parts = self.without(parts, &Part::Always);
        if parts
            .iter()
            .any(|p| self.parts.get(*p as usize) == Some(&Part::Never))
        {
            return self.part(Part::Never);
        }
        match (parts.len(), parts.pop()) {
            (_, None) => self.part(Part::Always),
            (1, Some(only)) => only,
            (_, Some(last)) => {
                parts.push(last);
                self.part(Part::All(parts))
            }
        }
    }

    fn either(&mut self, parts: Vec<PartId>) -> PartId {
        let mut parts = self.without(parts, &Part::Never);
        if parts
            .iter()
            .any(|p| self.parts.get(*p as usize) == Some(&Part::Always))
        {
            return self.part(Part::Always);
        }
        match (parts.len(), parts.pop()) {
            (_, None) => self.part(Part::Never),
            (1, Some(only)) => only,
            (_, Some(last)) => {
                parts.push(last);
                self.part(Part::Either(parts))
            }
        }
    }

    fn without(&self, mut parts: Vec<PartId>, useless: &Part) -> Vec<PartId> {
        parts.sort_unstable();
        parts.dedup();
        parts.retain(|part| self.parts.get(*part as usize) != Some(useless));
        parts
    }

    fn part(&mut self, part: Part) -> PartId {
        if let Some(id) = self.known.get(&part) {
            return *id;
        }
        let id = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.parts.push(part.clone());
        self.known.insert(part, id);
        id
    }
}

/// Asked for every line; nearly all sources have one label.
fn are_same(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> bool {
    match (one.len(), other.len()) {
        (1, 1) => one.first_key_value() == other.first_key_value(),
        _ => one == other,
    }
}

fn bytes(texts: &[String]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn fits(value: &str, ask: Ask, wanted: &[String]) -> bool {
    match ask {
        Ask::Equals => wanted.iter().any(|w| w == value),
        Ask::Contains => wanted.iter().any(|w| value.contains(w.as_str())),
    }
}

#[cfg(test)]
mod tests;
