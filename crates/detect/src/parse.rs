//! Raw line to event: the parser nodes, stage by stage.
//!
//! Between the prefilter and the buckets. The order and the odd corners (which child decides, what
//! an unmatched capture is, when statics run) are those that existing content was written for.
//! [`Parsers`] owns the compiled nodes and the scratch memory; the event, the stash and the
//! symbols belong to the engine. No IO, no clock: "now" comes in with [`Services`].

use std::{cell::RefCell, collections::BTreeMap, mem, sync::Arc};

use model::{Diagnostic, Scope};
use regex_automata::util::primitives::NonMaxUsize;

use crate::{
    buckets::ScenarioAccount,
    enrich::{self, DateMemo, Enrich, Names},
    event::{Event, FieldMap, Span},
    explain::{JailAccount, OverflowEnd},
    expr::{self, Effect, Env, Expr, Services, Value},
    grok::Cache,
    nodes::{
        Compiler, GrokStep, Input, Node, NodeSpec, OnSuccess, Source, StashStep, Static, Target,
        Whitelist,
    },
    patterns::Library,
    prefilter::Hopes,
    rules::{RuleFile, RuleKind},
    stage_index::{Memory, StageIndex},
    symbols::{Sym, Symbols},
    yaml,
};

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseOutcome {
    /// Some stage had no parser for it.
    Dropped,
    Parsed,
    Whitelisted,
}

/// Watches the parsers at work, for tests and explanations.
pub trait Trace {
    /// The root node `node` has looked at the event; `ok` says whether it took it.
    fn node(&mut self, _stage: &str, _node: &str, _event: &Event, _ok: bool) {}
    /// A bucket ran over, and its overflow passed the postoverflow stages.
    fn overflow(&mut self, _event: &Event) {}
    /// Whether [`Trace::scenarios`] is worth its cost.
    fn wants_scenarios(&self) -> bool {
        false
    }
    /// The event was poured; what each scenario made of it.
    fn scenarios(&mut self, _found: Vec<ScenarioAccount>, _event: &Event, _symbols: &Symbols) {}
    /// A bucket ran over. Its overflow passes the postoverflow stages next, unless it ends before.
    fn ran_over(&mut self, _scenario: &str, _events: u64) {}
    /// What became of the overflow that was last told of.
    fn ended(&mut self, _end: OverflowEnd) {}
    /// Whether every root node must be visited and reported.
    fn wants_nodes(&self) -> bool {
        true
    }
    /// What a jail made of the line. Told only to who wants scenarios.
    fn jail(&mut self, _account: JailAccount) {}
    /// One step inside a node. Told only to who wants nodes.
    fn step(&mut self, _step: Step<'_>, _env: &Env<'_>) {}
}

/// What happens inside a node, in its order. Nodes lie in nodes: what comes between a
/// [`Step::Begin`] and its [`Step::End`] happens in that node.
#[derive(Clone, Copy)]
pub enum Step<'a> {
    /// The node looks at the event.
    Begin(&'a Node),
    /// Its filter turned the event away.
    FilterFalse(&'a Expr),
    /// Its whitelist was asked.
    Whitelist {
        list: &'a Whitelist,
        hit: bool,
    },
    /// Its grok read `input`; none when there was nothing to read.
    Grok {
        step: &'a GrokStep,
        input: Option<Span>,
        matched: bool,
    },
    /// It remembered something for later lines.
    Stashed(&'a StashStep),
    End {
        taken: bool,
    },
}

/// Watches nothing, at no cost.
pub struct NoTrace;

impl Trace for NoTrace {
    fn wants_nodes(&self) -> bool {
        false
    }
}

/// A loaded parser, as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParserEntry {
    pub name: String,
    pub stage: String,
    pub file: String,
    pub description: String,
    pub postoverflow: bool,
}

/// What went wrong while parsing, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParseStats {
    /// Lines given up because a static's value has a type that no field can hold.
    pub aborted: u64,
    /// `GetFromStash` entries written.
    pub stashed: u64,
}

pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) index: StageIndex,
}

/// All parsers, compiled.
pub struct Parsers {
    pub(crate) stages: Arc<[Stage]>,
    postoverflows: Arc<[Stage]>,
    entries: Arc<[ParserEntry]>,
    facts: Option<Arc<dyn Enrich + Send + Sync>>,
    pub(crate) names: Names,
    desk: Scratch,
    stats: ParseStats,
}

#[derive(Default)]
struct Scratch {
    caches: Vec<Option<Box<Cache>>>,
    slots: Vec<Option<NonMaxUsize>>,
    effects: RefCell<Vec<Effect>>,
    text: String,
    dates: DateMemo,
    numbers: Vec<u32>,
    /// For each stage.
    memories: Vec<Memory>,
}

impl Scratch {
    fn new(groks: usize, stages: usize) -> Self {
        let mut scratch = Self::default();
        scratch.caches.resize_with(groks, || None);
        scratch.memories.resize_with(stages, Memory::default);
        scratch
    }
}

impl Parsers {
    /// Compiles the parsers, postoverflow parsers and pattern files among `files`.
    pub fn build(
        files: &[RuleFile],
        symbols: &mut Symbols,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        Self::build_with_patterns(files, symbols, diagnostics).0
    }

    /// The same, and the grok patterns as they were in the end.
    pub(crate) fn build_with_patterns(
        files: &[RuleFile],
        symbols: &mut Symbols,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> (Self, Library) {
        let mut library = Library::standard();
        let mut ordered: Vec<&RuleFile> = files.iter().collect();
        ordered.sort_by(|a, b| (a.name(), &a.path).cmp(&(b.name(), &b.path)));
        for file in ordered
            .iter()
            .filter(|file| file.kind() == RuleKind::Patterns)
        {
            library.add_file(file, diagnostics);
        }
        let names = Names::new(symbols);
        let mut stages: BTreeMap<String, Vec<&RuleFile>> = BTreeMap::new();
        let mut after: BTreeMap<String, Vec<&RuleFile>> = BTreeMap::new();
        for file in ordered {
            match file.kind() {
                RuleKind::Parser { stage } => stages.entry(stage).or_default().push(file),
                RuleKind::Postoverflow { stage } => after.entry(stage).or_default().push(file),
                _ => {}
            }
        }
        let mut groks = 0;
        let mut entries = Vec::new();
        let mut compiler = Compiler {
            known: &mut library,
            symbols,
            diagnostics,
            groks: &mut groks,
            stages: 0,
        };
        let stages = compile(&mut compiler, stages, &mut entries, false);
        let postoverflows = compile(&mut compiler, after, &mut entries, true);
        let desk = Scratch::new(groks, stages.len() + postoverflows.len());
        let stats = ParseStats::default();
        let parsers = Self {
            stages: stages.into(),
            postoverflows: postoverflows.into(),
            entries: entries.into(),
            facts: None,
            names,
            desk,
            stats,
        };
        (parsers, library)
    }

    /// The same parsers with scratch memory of their own, for another thread.
    pub(crate) fn twin(&self) -> Self {
        let desk = Scratch::new(self.desk.caches.len(), self.desk.memories.len());
        Self {
            stages: Arc::clone(&self.stages),
            postoverflows: Arc::clone(&self.postoverflows),
            entries: Arc::clone(&self.entries),
            facts: self.facts.clone(),
            names: self.names,
            desk,
            stats: ParseStats::default(),
        }
    }

    /// Where facts about addresses come from.
    pub fn set_facts(&mut self, facts: Box<dyn Enrich + Send + Sync>) {
        self.facts = Some(facts.into());
    }

    pub fn entries(&self) -> &[ParserEntry] {
        &self.entries
    }

    /// Whether there are postoverflow parsers.
    pub(crate) fn judges_overflows(&self) -> bool {
        !self.postoverflows.is_empty()
    }

    pub const fn stats(&self) -> ParseStats {
        self.stats
    }

    /// Takes the event through the parser stages. `event` holds the raw line, its labels, source
    /// and times. With a trace every node is visited, without one only those that can apply.
    pub fn run(
        &mut self,
        event: &mut Event,
        services: &mut Services,
        symbols: &mut Symbols,
        trace: &mut dyn Trace,
    ) -> ParseOutcome {
        self.run_hoping(event, services, symbols, trace, Hopes::default())
    }

    /// The same, knowing which groks cannot match this very line.
    pub(crate) fn run_hoping(
        &mut self,
        event: &mut Event,
        services: &mut Services,
        symbols: &mut Symbols,
        trace: &mut dyn Trace,
        hopes: Hopes<'_>,
    ) -> ParseOutcome {
        event.stage = 0;
        let mut run = Run {
            event,
            services,
            symbols,
            desk: &mut self.desk,
            names: &self.names,
            facts: self.facts.as_deref(),
            stats: &mut self.stats,
            stages: self.stages.len(),
            hopes,
            trace: trace.wants_nodes().then_some(trace),
        };
        let whole = run.stages(&self.stages);
        match whole {
            _ if !whole => ParseOutcome::Dropped,
            _ if event.whitelisted => ParseOutcome::Whitelisted,
            _ => ParseOutcome::Parsed,
        }
    }

    /// Takes an overflow through the postoverflow stages. One that no node takes goes on all the
    /// same: only a whitelist stops it.
    pub fn run_postoverflow(
        &mut self,
        event: &mut Event,
        services: &mut Services,
        symbols: &mut Symbols,
        trace: &mut dyn Trace,
    ) -> ParseOutcome {
        event.stage = 0;
        let mut run = Run {
            event,
            services,
            symbols,
            desk: &mut self.desk,
            names: &self.names,
            facts: self.facts.as_deref(),
            stats: &mut self.stats,
            stages: self.postoverflows.len(),
            hopes: Hopes::default(),
            trace: trace.wants_nodes().then_some(trace),
        };
        run.stages(&self.postoverflows);
        let listed = event.overflow.as_ref().is_some_and(|o| o.whitelisted);
        if listed {
            ParseOutcome::Whitelisted
        } else {
            ParseOutcome::Parsed
        }
    }
}

fn compile(
    compiler: &mut Compiler<'_>,
    stages: BTreeMap<String, Vec<&RuleFile>>,
    entries: &mut Vec<ParserEntry>,
    postoverflow: bool,
) -> Vec<Stage> {
    let mut all = Vec::new();
    for (name, files) in stages {
        let mut nodes = Vec::new();
        for file in files {
            for document in yaml::documents::<NodeSpec>(file) {
                let spec = match document {
                    Ok(spec) => spec,
                    Err(fault) => {
                        compiler.diagnostics.push(fault);
                        continue;
                    }
                };
                let Some(node) = compiler.document(file, &spec.value, spec.line) else {
                    continue;
                };
                entries.push(ParserEntry {
                    name: node.name.clone(),
                    stage: name.clone(),
                    file: file.path.clone(),
                    description: spec.value.description.clone().unwrap_or_default(),
                    postoverflow,
                });
                nodes.push(node);
            }
        }
        // A stage whose files are all broken must not stop every line.
        if !nodes.is_empty() {
            let index = StageIndex::new(&nodes, compiler.stages);
            compiler.stages += 1;
            all.push(Stage { name, nodes, index });
        }
    }
    all
}

/// A static's value has a type no field can hold: the line is given up.
struct Abort;

struct Run<'r> {
    event: &'r mut Event,
    services: &'r mut Services,
    symbols: &'r mut Symbols,
    desk: &'r mut Scratch,
    names: &'r Names,
    facts: Option<&'r (dyn Enrich + Send + Sync)>,
    stats: &'r mut ParseStats,
    stages: usize,
    hopes: Hopes<'r>,
    /// Only who wants to know of every node.
    trace: Option<&'r mut dyn Trace>,
}

/// The text a value came to: in the event's arena already, or in the scratch.
enum Found {
    Span(Span),
    Scratch,
}

impl Run<'_> {
    fn stages(&mut self, stages: &[Stage]) -> bool {
        let traced = self.trace.is_some();
        for (number, stage) in stages.iter().enumerate() {
            if usize::from(self.event.stage) > number {
                continue;
            }
            let taken = if traced {
                self.stage_traced(number, stage)
            } else {
                self.stage(number, stage)
            };
            match taken {
                Ok(true) => {}
                Ok(false) => return false,
                Err(Abort) => {
                    self.stats.aborted += 1;
                    return false;
                }
            }
        }
        true
    }

    fn stage_traced(&mut self, number: usize, stage: &Stage) -> Result<bool, Abort> {
        let mut any = false;
        for node in &stage.nodes {
            if usize::from(self.event.stage) != number {
                break;
            }
            let taken = self.node(node)?;
            if let Some(trace) = &mut self.trace {
                trace.node(&stage.name, &node.name, self.event, taken);
            }
            any |= taken;
            if taken && node.on_success == OnSuccess::NextStage {
                break;
            }
        }
        Ok(any)
    }

    fn stage(&mut self, number: usize, stage: &Stage) -> Result<bool, Abort> {
        let mut any = false;
        let desk = &mut *self.desk;
        let env = Env::new(self.event, self.symbols, self.services, &desk.effects);
        let Some(memory) = desk.memories.get_mut(stage.index.memory()) else {
            return Ok(false);
        };
        let mut walk = stage.index.start(&stage.nodes, &env, memory);
        loop {
            let desk = &mut *self.desk;
            let env = Env::new(self.event, self.symbols, self.services, &desk.effects);
            let Some(memory) = desk.memories.get_mut(stage.index.memory()) else {
                break;
            };
            let next = stage.index.next(&stage.nodes, &env, memory, &mut walk);
            let Some(node) = next.and_then(|node| stage.nodes.get(node)) else {
                break;
            };
            let taken = self.node(node)?;
            any |= taken;
            if taken && node.on_success == OnSuccess::NextStage {
                break;
            }
            if usize::from(self.event.stage) != number {
                break;
            }
        }
        Ok(any)
    }

    #[inline]
    fn tell(&mut self, step: Step<'_>) {
        if let Some(trace) = &mut self.trace {
            let env = Env::new(self.event, self.symbols, self.services, &self.desk.effects);
            trace.step(step, &env);
        }
    }

    // Recursion is bounded by the nesting the YAML reader allows.
    fn node(&mut self, node: &Node) -> Result<bool, Abort> {
        self.tell(Step::Begin(node));
        let taken = self.node_told(node)?;
        self.tell(Step::End { taken });
        Ok(taken)
    }

    fn node_told(&mut self, node: &Node) -> Result<bool, Abort> {
        if let Some(filter) = &node.filter
            && !self.test(filter)
        {
            self.tell(Step::FilterFalse(filter));
            return Ok(false);
        }
        let whitelisted = node.whitelist.as_ref().map(|list| self.whitelist(list));
        let mut state = true;
        let mut matched = false;
        if let Some(step) = &node.grok {
            matched = self.grok(step)?;
            state = matched;
        }
        if matched || node.grok.is_none() {
            for step in &node.stash {
                self.stash(step);
            }
        }
        let mut asked = None;
        for child in &node.children {
            if self.is_hopeless(child, &mut asked) {
                // So without next_stage it is the last child that decides.
                state &= matched;
                continue;
            }
            asked = None;
            if self.node(child)? {
                state = true;
                if node.on_success == OnSuccess::NextStage {
                    break;
                }
            } else {
                state &= matched;
            }
        }
        if !state {
            return Ok(false);
        }
        if whitelisted.unwrap_or(true) {
            self.statics(&node.statics)?;
        }
        if node.on_success == OnSuccess::NextStage {
            let last = self.stages.saturating_sub(1);
            let next = usize::from(self.event.stage).saturating_add(1).min(last);
            self.event.stage = u16::try_from(next).unwrap_or(u16::MAX);
        }
        Ok(true)
    }

    /// Whether the node is a mere grok that cannot match this line: then there is nothing to try.
    /// `asked`: the field that was last found to be a part of the line or not; nothing was written
    /// since.
    fn is_hopeless(&self, node: &Node, asked: &mut Option<(Sym, bool)>) -> bool {
        let is_bare = self.trace.is_none()
            && node.filter.is_none()
            && node.whitelist.is_none()
            && node.children.is_empty();
        let step = node.grok.as_ref().filter(|_| is_bare);
        step.is_some_and(|step| {
            self.hopes.rule_out(step.cache)
                && match step.input {
                    Input::Line => true,
                    Input::Parsed(sym) => match *asked {
                        Some((known, is_within)) if known == sym => is_within,
                        _ => {
                            let span = self.event.parsed.find(sym).unwrap_or_default();
                            let is_within = span.is_within(self.event.line_span());
                            *asked = Some((sym, is_within));
                            is_within
                        }
                    },
                    Input::Expression(_) => false,
                }
        })
    }

    fn test(&mut self, filter: &Expr) -> bool {
        let env = Env::new(self.event, self.symbols, self.services, &self.desk.effects);
        let passed = filter.test(&env).unwrap_or(false);
        self.apply();
        passed
    }

    fn apply(&mut self) {
        let effects = self.desk.effects.get_mut();
        if !effects.is_empty() {
            expr::apply_effects(effects, self.event, self.symbols);
        }
    }

    fn whitelist(&mut self, list: &Whitelist) -> bool {
        let by_address = !list.prefixes.is_empty()
            && match &self.event.overflow {
                Some(overflow) => overflow
                    .sources
                    .keys()
                    .filter_map(|key| key.parse().ok())
                    .any(|addr| list.covers(addr)),
                None => {
                    let addr = self.event.field(FieldMap::Meta, self.names.source_ip);
                    addr.parse().is_ok_and(|addr| list.covers(addr))
                }
            };
        let hit = by_address || self.whitelisting(list);
        if hit && !self.event.whitelisted {
            self.event.whitelisted = true;
            self.event.whitelist_reason = self.event.write(&list.reason);
        }
        if hit
            && let Some(overflow) = &mut self.event.overflow
            && !overflow.whitelisted
        {
            overflow.whitelisted = true;
            overflow.whitelist_reason.clone_from(&list.reason);
        }
        self.tell(Step::Whitelist { list, hit });
        hit
    }

    /// Whether one of the list's expressions is true.
    fn whitelisting(&mut self, list: &Whitelist) -> bool {
        let mut numbers = mem::take(&mut self.desk.numbers);
        list.candidates(self.event, &mut numbers);
        let mut candidates = numbers
            .iter()
            .filter_map(|number| list.expressions.get(*number as usize));
        let hit = candidates.any(|test| self.test(test));
        self.desk.numbers = numbers;
        hit
    }

    fn grok(&mut self, step: &GrokStep) -> Result<bool, Abort> {
        let found = self.grok_input(&step.input);
        let hopeful = |input: &Span| {
            !(input.is_within(self.event.line_span()) && self.hopes.rule_out(step.cache))
        };
        let Some(input) = found.filter(hopeful) else {
            self.tell(Step::Grok {
                step,
                input: found,
                matched: false,
            });
            return Ok(false);
        };
        let Some(cache) = self.desk.caches.get_mut(step.cache) else {
            return Ok(false);
        };
        let cache = cache.get_or_insert_with(|| Box::new(step.grok.cache()));
        if !step
            .grok
            .matches(self.event.read(input), cache, &mut self.desk.slots)
        {
            self.tell(Step::Grok {
                step,
                input: found,
                matched: false,
            });
            return Ok(false);
        }
        let captures = step.grok.captures(&self.desk.slots);
        let spans = captures.map(|(sym, range)| {
            let span = range.map_or_else(Span::default, |range| input.slice(range));
            (sym, span)
        });
        self.event.parsed.set_all(spans);
        self.tell(Step::Grok {
            step,
            input: found,
            matched: true,
        });
        self.statics(&step.statics)?;
        Ok(true)
    }

    fn grok_input(&mut self, input: &Input) -> Option<Span> {
        match input {
            Input::Line => Some(self.event.line_span()),
            Input::Parsed(sym) => self.event.parsed.find(*sym),
            Input::Expression(text) => match self.value(text) {
                Ok(Some(Found::Span(span))) => Some(span),
                Ok(Some(Found::Scratch)) => Some(self.event.write(&self.desk.text)),
                Ok(None) | Err(Abort) => None,
            },
        }
    }

    /// The text of an expression; nothing when it fails or comes to nothing that is text.
    fn value(&mut self, text: &Expr) -> Result<Option<Found>, Abort> {
        if let Some(part) = text.part() {
            return Ok(Some(Found::Span(self.event.part(part))));
        }
        let env = Env::new(self.event, self.symbols, self.services, &self.desk.effects);
        let found = match text.eval(&env) {
            Ok(Value::Text(text)) => match self.event.locate(&text) {
                Some(span) => Ok(Some(Found::Span(span))),
                None => {
                    self.desk.text.clear();
                    self.desk.text.push_str(&text);
                    Ok(Some(Found::Scratch))
                }
            },
            Ok(Value::Bool(_)) => Err(Abort),
            Ok(other) => Ok(other.to_static().map(|text| {
                self.desk.text.clear();
                self.desk.text.push_str(&text);
                Found::Scratch
            })),
            Err(_) => Ok(None),
        };
        self.apply();
        found
    }

    fn statics(&mut self, statics: &[Static]) -> Result<(), Abort> {
        for item in statics {
            let found = match &item.value {
                Source::Text(text) => Found::Span(self.event.write(text)),
                Source::Expression(text) => match self.value(text)? {
                    Some(found) => found,
                    None => continue,
                },
            };
            self.assign(item.target, &found);
        }
        Ok(())
    }

    fn assign(&mut self, target: Target, found: &Found) {
        let empty = match found {
            Found::Span(span) => span.is_empty(),
            Found::Scratch => self.desk.text.is_empty(),
        };
        if let Target::Method(method) = target {
            // Only a date may be empty: it then counts as now.
            if !empty || method == enrich::Method::ParseDate {
                self.method(method, found);
            }
            return;
        }
        if empty {
            return;
        }
        let span = match found {
            Found::Span(span) => *span,
            Found::Scratch => self.event.write(&self.desk.text),
        };
        match target {
            Target::Field(map, sym) => self.event.fields_mut(map).set(sym, span),
            Target::Module => self.event.module = span,
            Target::SourceName => self.event.source_name = span,
            Target::StrTime => self.event.str_time = span,
            Target::StrTimeFormat => self.event.str_time_format = span,
            Target::WhitelistReason => self.event.whitelist_reason = span,
            Target::MarshaledTime => {
                let text = self.event.read(span);
                let time = self.desk.dates.read_rfc3339(text, self.services.now);
                self.event.marshaled_time = time;
            }
            Target::OverflowScope | Target::OverflowValue => self.overflow(target, span),
            Target::Method(_) => {}
        }
    }

    fn method(&mut self, method: enrich::Method, found: &Found) {
        if let (enrich::Method::ParseDate, Found::Span(span)) = (method, found) {
            let layout = self.event.read(self.event.str_time_format);
            let text = self.event.read(*span);
            self.desk.dates.look_at(text, layout, self.services.now);
            self.desk.dates.put(self.names, self.event);
            return;
        }
        let mut text = mem::take(&mut self.desk.text);
        if let Found::Span(span) = found {
            text.clear();
            text.push_str(self.event.read(*span));
        }
        let mut desk = enrich::Desk {
            names: self.names,
            facts: self.facts,
            now: self.services.now,
            dates: &mut self.desk.dates,
        };
        desk.run(method, &text, self.event);
        self.desk.text = text;
    }

    /// `evt.Overflow.Alert.Source`: the first of the overflow's sources.
    fn overflow(&mut self, target: Target, span: Span) {
        let text = self.event.read(span).to_owned();
        let Some(overflow) = &mut self.event.overflow else {
            return;
        };
        let Some(source) = overflow.sources.values_mut().next() else {
            return;
        };
        if source.spelling.is_none() && source.scope == Scope::Ip {
            source.spelling = Some(source.value.clone());
        }
        match target {
            Target::OverflowScope => {
                source.scope = Scope::from(text);
                overflow.scope = source.scope.clone();
            }
            _ => source.value = text,
        }
    }

    fn stash(&mut self, step: &StashStep) {
        let mut text_of = |text: &Expr| match self.value(text) {
            Ok(Some(Found::Span(span))) => Some(self.event.read(span).to_owned()),
            Ok(Some(Found::Scratch)) => Some(self.desk.text.clone()),
            Ok(None) | Err(Abort) => None,
        };
        let (Some(key), Some(value)) = (text_of(&step.key), text_of(&step.value)) else {
            return;
        };
        let expires = self.services.now.plus(step.ttl);
        self.services
            .stash
            .set(&step.name, &key, &value, expires, step.size);
        self.stats.stashed += 1;
        self.tell(Step::Stashed(step));
    }
}

#[cfg(test)]
mod tests;
