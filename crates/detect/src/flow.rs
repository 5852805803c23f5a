//! Where the fields of events come from: which node writes which field, and from what.
//!
//! Read off the compiled parsers for [`crate::prefilter`]. Knows nothing of any one line.

use hashbrown::HashMap;

use crate::{
    enrich,
    event::FieldMap,
    expr::Expr,
    nodes::{GrokStep, Input, Node, OnSuccess, Source, Static, Target},
    parse::Parsers,
    symbols::{Sym, Symbols},
};

pub(crate) type Field = (FieldMap, Sym);

/// All writes of all parsers.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    writers: HashMap<Field, Vec<Writer>>,
    nodes: Vec<Place>,
    roots: HashMap<(usize, usize), usize>,
    /// Nodes that remember something for later lines.
    pub(crate) stashes: Vec<usize>,
    /// Some expression writes fields by itself: nothing can be proved.
    pub(crate) wild: bool,
}

/// One write of a field.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) node: usize,
    /// It happens when the node's grok matched, not only when the whole node succeeded.
    pub(crate) after_grok: bool,
    pub(crate) kind: WriterKind,
}

#[derive(Debug)]
pub(crate) enum WriterKind {
    /// The value of another field.
    Copy(Field),
    /// A part of what a grok reads: of the line, of a field, or (`None`) of who knows what.
    Grok(Option<Option<Field>>),
    /// The whole line.
    Line,
    /// One of these.
    Texts(Vec<String>),
    Unknown,
}

/// How to find a node again, and what is around it.
#[derive(Debug)]
struct Place {
    stage: usize,
    path: Vec<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

impl Flow {
    pub(crate) fn of(parsers: &Parsers, symbols: &Symbols) -> Self {
        let mut flow = Self::default();
        for (stage, nodes) in parsers.stages.iter().map(|s| &s.nodes).enumerate() {
            for (root, node) in nodes.iter().enumerate() {
                let id = flow.add((parsers, symbols), node, stage, vec![root], None);
                flow.roots.insert((stage, root), id);
            }
        }
        flow
    }

    /// Whether one success may carry the event past a whole stage.
    pub(crate) fn advances_twice(node: &Node) -> bool {
        // A child may advance the event and the node around it fail, so every one counts.
        fn advances(node: &Node) -> usize {
            let inner: usize = node.children.iter().map(advances).sum();
            inner + usize::from(node.on_success == OnSuccess::NextStage)
        }
        advances(node) > 1
    }

    pub(crate) fn root(&self, stage: usize, root: usize) -> usize {
        self.roots
            .get(&(stage, root))
            .copied()
            .unwrap_or(usize::MAX)
    }

    pub(crate) fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.nodes
            .get(node)
            .into_iter()
            .flat_map(|place| place.children.iter().copied())
    }

    /// The node and those it lies in.
    pub(crate) fn around(&self, node: usize) -> Vec<usize> {
        let mut all = vec![node];
        let mut at = node;
        while let Some(parent) = self.nodes.get(at).and_then(|place| place.parent) {
            all.push(parent);
            at = parent;
        }
        all
    }

    pub(crate) fn node<'p>(&self, parsers: &'p Parsers, node: usize) -> Option<&'p Node> {
        let place = self.nodes.get(node)?;
        let (root, rest) = place.path.split_first()?;
        let mut node = parsers.stages.get(place.stage)?.nodes.get(*root)?;
        for child in rest {
            node = node.children.get(*child)?;
        }
        Some(node)
    }

    pub(crate) fn writers(&self, field: Field) -> &[Writer] {
        self.writers.get(&field).map_or(&[], Vec::as_slice)
    }

    /// The field and those its value may be copied from; with `parts`, or captured out of.
    pub(crate) fn sources(&self, field: Field, parts: bool) -> Vec<Field> {
        let mut all = vec![field];
        let mut next = 0;
        while let Some(field) = all.get(next).copied() {
            next += 1;
            for writer in self.writers(field) {
                let from = match &writer.kind {
                    WriterKind::Copy(from) => *from,
                    WriterKind::Grok(Some(Some(from))) if parts => *from,
                    _ => continue,
                };
                if !all.contains(&from) {
                    all.push(from);
                }
            }
        }
        all
    }

    /// What a grok reads: the line (`Some(None)`), a field, or who knows what (`None`).
    #[expect(clippy::option_option, reason = "unknown, the line, or a field")]
    pub(crate) fn input(input: &Input) -> Option<Option<Field>> {
        match input {
            Input::Line => Some(None),
            Input::Parsed(sym) => Some(Some((FieldMap::Parsed, *sym))),
            Input::Expression(_) => None,
        }
    }

    fn add(
        &mut self,
        rules: (&Parsers, &Symbols),
        node: &Node,
        stage: usize,
        path: Vec<usize>,
        parent: Option<usize>,
    ) -> usize {
        let id = self.nodes.len();
        self.nodes.push(Place {
            stage,
            path: path.clone(),
            parent,
            children: Vec::new(),
        });
        self.look(node.filter.as_ref());
        self.statics(rules, &node.statics, id, false);
        if let Some(step) = &node.grok {
            self.grok(rules, step, id);
        }
        if !node.stash.is_empty() {
            self.stashes.push(id);
        }
        for step in &node.stash {
            self.look(Some(&step.key));
            self.look(Some(&step.value));
        }
        for expression in node.whitelist.iter().flat_map(|list| &list.expressions) {
            self.look(Some(expression));
        }
        let mut children = Vec::new();
        for (number, child) in node.children.iter().enumerate() {
            let path = path.iter().copied().chain([number]).collect();
            children.push(self.add(rules, child, stage, path, Some(id)));
        }
        if let Some(place) = self.nodes.get_mut(id) {
            place.children = children;
        }
        id
    }

    /// `SetMeta` and `SetParsed` write fields by a computed name.
    fn look(&mut self, expression: Option<&Expr>) {
        if expression.is_some_and(|e| e.source().contains("Set")) {
            self.wild = true;
        }
    }

    fn grok(&mut self, rules: (&Parsers, &Symbols), step: &GrokStep, node: usize) {
        if let Input::Expression(expression) = &step.input {
            self.look(Some(expression));
        }
        let input = Self::input(&step.input);
        for sym in step.grok.fields() {
            let kind = WriterKind::Grok(input);
            self.write(
                (FieldMap::Parsed, sym),
                Writer {
                    node,
                    after_grok: true,
                    kind,
                },
            );
        }
        self.statics(rules, &step.statics, node, true);
    }

    fn statics(
        &mut self,
        rules: (&Parsers, &Symbols),
        statics: &[Static],
        node: usize,
        after_grok: bool,
    ) {
        for item in statics {
            if let Source::Expression(expression) = &item.value {
                self.look(Some(expression));
            }
            match item.target {
                Target::Field(map, sym) => {
                    let kind = origin(rules.1, &item.value);
                    self.write(
                        (map, sym),
                        Writer {
                            node,
                            after_grok,
                            kind,
                        },
                    );
                }
                Target::Method(method) => {
                    for sym in enrich::writes(method, &rules.0.names) {
                        let kind = WriterKind::Unknown;
                        self.write(
                            (FieldMap::Enriched, sym),
                            Writer {
                                node,
                                after_grok,
                                kind,
                            },
                        );
                    }
                }
                Target::MarshaledTime
                | Target::Module
                | Target::OverflowScope
                | Target::OverflowValue
                | Target::SourceName
                | Target::StrTime
                | Target::StrTimeFormat
                | Target::WhitelistReason => {}
            }
        }
    }

    fn write(&mut self, field: Field, writer: Writer) {
        self.writers.entry(field).or_default().push(writer);
    }
}

fn origin(symbols: &Symbols, value: &Source) -> WriterKind {
    let text = match value {
        Source::Text(text) => return WriterKind::Texts(vec![text.clone()]),
        Source::Expression(expression) => expression.source().trim(),
    };
    if text == "evt.Line.Raw" {
        return WriterKind::Line;
    }
    if let Some(field) = field(symbols, text) {
        return WriterKind::Copy(field);
    }
    choice(text).map_or(WriterKind::Unknown, WriterKind::Texts)
}

/// `evt.Parsed.name` and its like, and nothing else.
fn field(symbols: &Symbols, text: &str) -> Option<Field> {
    let path = text.strip_prefix("evt.")?;
    let (map, name) = if let Some(name) = path.strip_prefix("Line.Labels.") {
        (FieldMap::Labels, name)
    } else {
        let (map, name) = path.split_once('.')?;
        let map = match map {
            "Enriched" => FieldMap::Enriched,
            "Meta" => FieldMap::Meta,
            "Parsed" => FieldMap::Parsed,
            _ => return None,
        };
        (map, name)
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain {
        symbols.lookup(name).map(|sym| (map, sym))
    } else {
        None
    }
}

/// `… ? 'a' : 'b'`: one of two texts.
fn choice(text: &str) -> Option<Vec<String>> {
    let (test, texts) = text.split_once('?')?;
    let (yes, no) = texts.split_once(':')?;
    if test.contains(['\'', '"', '`']) && test.matches(['\'', '"', '`']).count() % 2 != 0 {
        return None;
    }
    let quoted = |text: &str| {
        let text = text.trim();
        let inner = text.strip_prefix('\'')?.strip_suffix('\'')?;
        (!inner.contains(['\'', '\\'])).then(|| inner.to_owned())
    };
    Some(vec![quoted(yes)?, quoted(no)?])
}
