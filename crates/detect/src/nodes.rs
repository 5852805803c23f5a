//! Parser documents, checked and compiled into nodes.
//!
//! Loading step between [`crate::yaml`] and [`crate::parse`]. Every mistake is one diagnostic with
//! its place and its mending. A document with a mistake is left out, the others load.

use std::{fmt, net::IpAddr, time::Duration};

use hashbrown::HashSet;
use model::{Diagnostic, Prefix, parse_duration};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::{
    candidates::Candidates,
    enrich::Method,
    event::{Event, FieldMap},
    expr::{self, DataFiles, Expr, Vars},
    grok::Grok,
    patterns::Library,
    rules::RuleFile,
    symbols::{Sym, Symbols},
    yaml::{self, Located},
};

/// What a node does after it succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnSuccess {
    #[default]
    Continue,
    NextStage,
}

/// One compiled node: a document, or a part of one.
pub struct Node {
    pub name: String,
    pub filter: Option<Expr>,
    pub on_success: OnSuccess,
    pub grok: Option<GrokStep>,
    pub statics: Vec<Static>,
    pub stash: Vec<StashStep>,
    pub whitelist: Option<Whitelist>,
    pub children: Vec<Self>,
}

pub struct GrokStep {
    pub grok: Grok,
    /// What it was compiled from, for explanations.
    pub pattern: Box<str>,
    pub input: Input,
    pub statics: Vec<Static>,
    /// Index of its cache among all groks.
    pub cache: usize,
}

/// What a grok reads.
pub enum Input {
    Line,
    Parsed(Sym),
    Expression(Box<Expr>),
}

/// `statics:`: one value and where it goes.
pub struct Static {
    pub value: Source,
    pub target: Target,
}

pub enum Source {
    Text(String),
    Expression(Box<Expr>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Field(FieldMap, Sym),
    MarshaledTime,
    Method(Method),
    Module,
    OverflowScope,
    OverflowValue,
    SourceName,
    StrTime,
    StrTimeFormat,
    WhitelistReason,
}

/// `stash:`: remembers a value for later lines.
pub struct StashStep {
    pub name: String,
    pub key: Expr,
    pub value: Expr,
    pub ttl: Duration,
    pub size: usize,
}

/// `whitelist:`: which events are harmless, and why.
pub struct Whitelist {
    pub reason: String,
    pub prefixes: Vec<Prefix>,
    pub expressions: Vec<Expr>,
    /// Those of the prefixes that are one address.
    hosts: HashSet<Prefix>,
    /// Which expressions an event may fulfil; `None` when one of them may write into it.
    index: Option<Candidates>,
}

impl Whitelist {
    fn new(reason: String, prefixes: Vec<Prefix>, expressions: Vec<Expr>) -> Self {
        let index = expressions
            .iter()
            .all(Expr::is_pure)
            .then(|| Candidates::new((0..).zip(&expressions), &DataFiles::default()));
        Self {
            reason,
            hosts: prefixes.iter().copied().filter(|p| p.is_host()).collect(),
            prefixes,
            expressions,
            index,
        }
    }

    pub fn covers(&self, addr: IpAddr) -> bool {
        let mut networks = self.prefixes.iter().filter(|prefix| !prefix.is_host());
        self.hosts.contains(&Prefix::host(addr)) || networks.any(|prefix| prefix.contains(addr))
    }

    /// Fills `to` with the expressions that may be true of the event.
    pub(crate) fn candidates(&self, event: &Event, to: &mut Vec<u32>) {
        match &self.index {
            Some(index) => index.find(event, to),
            None => {
                to.clear();
                to.extend((0..).take(self.expressions.len()));
            }
        }
    }
}

/// The keys of a parser document and of the nodes in it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeSpec {
    pub(crate) name: Option<Located<String>>,
    filter: Option<Located<String>>,
    onsuccess: Option<Located<String>>,
    pattern_syntax: Option<Ordered>,
    grok: Option<Located<GrokSpec>>,
    statics: Option<Vec<Located<StaticSpec>>>,
    stash: Option<Vec<Located<StashSpec>>>,
    whitelist: Option<Located<WhitelistSpec>>,
    nodes: Option<Vec<Located<Self>>>,
    pub(crate) description: Option<String>,
    /// Lists the rule reads; the caller brings them.
    #[expect(
        dead_code,
        reason = "part of the format; read by the engine, not by the parser"
    )]
    data: Option<serde_json::Value>,
    #[expect(dead_code, reason = "part of the format, without effect here")]
    debug: Option<bool>,
    #[expect(dead_code, reason = "part of the format, without effect here")]
    format: Option<String>,
    #[expect(dead_code, reason = "part of the format, without effect here")]
    author: Option<String>,
    #[expect(dead_code, reason = "part of the format, without effect here")]
    references: Option<Vec<String>>,
    #[expect(dead_code, reason = "part of the format, without effect here")]
    tags: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrokSpec {
    name: Option<Located<String>>,
    pattern: Option<Located<String>>,
    apply_on: Option<Located<String>>,
    expression: Option<Located<String>>,
    statics: Option<Vec<Located<StaticSpec>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StaticSpec {
    meta: Option<String>,
    parsed: Option<String>,
    enriched: Option<String>,
    target: Option<Located<String>>,
    method: Option<Located<String>>,
    value: Option<String>,
    expression: Option<Located<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StashSpec {
    name: String,
    key: Located<String>,
    value: Located<String>,
    ttl: Option<Located<String>>,
    size: Option<usize>,
    #[expect(
        dead_code,
        reason = "part of the format; the oldest goes first whatever it says"
    )]
    strategy: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WhitelistSpec {
    reason: Option<String>,
    ip: Option<Vec<Located<String>>>,
    cidr: Option<Vec<Located<String>>>,
    expression: Option<Vec<Located<String>>>,
}

/// A mapping that keeps its order: of two patterns of one name the first counts.
#[derive(Debug, Default)]
struct Ordered(Vec<(String, Located<String>)>);

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Ordered;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("grok patterns as `NAME: expression`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Entries of one stash that are kept when its author does not say.
const STASH_SIZE_DEFAULT: usize = 100;
const STASH_SIZE_MAX: usize = 100_000;
const STASH_TTL_DEFAULT: Duration = Duration::from_secs(600);

/// Turns specs into nodes; shared by all documents of all files.
pub(crate) struct Compiler<'c> {
    pub(crate) known: &'c mut Library,
    pub(crate) symbols: &'c mut Symbols,
    pub(crate) diagnostics: &'c mut Vec<Diagnostic>,
    pub(crate) groks: &'c mut usize,
    /// How many there are by now, of parsers and postoverflow parsers together.
    pub(crate) stages: usize,
}

impl Compiler<'_> {
    /// Compiles one document; `None` when it has a mistake.
    pub(crate) fn document(&mut self, file: &RuleFile, spec: &NodeSpec, line: u32) -> Option<Node> {
        let before = self.errors();
        let at = Located::new((), line, 1);
        let node = self.node(file, spec, &at, "");
        (self.errors() == before).then_some(node)
    }

    fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == model::Severity::Error)
            .count()
    }

    // Recursion is bounded by the nesting the YAML reader allows.
    fn node(&mut self, file: &RuleFile, spec: &NodeSpec, at: &Located<()>, parent: &str) -> Node {
        let name = match &spec.name {
            Some(name) => name.value.clone(),
            None if parent.is_empty() => format!("{}:{}", file.name(), at.line),
            None => format!("child-{parent}"),
        };
        let filter = spec.filter.as_ref().filter(|f| !f.value.trim().is_empty());
        let filter = filter.and_then(|text| self.expression(file, text));
        for (pattern, expression) in spec.pattern_syntax.iter().flat_map(|p| &p.0) {
            self.pattern(file, pattern, expression);
        }
        let grok = spec.grok.as_ref().and_then(|grok| self.grok(file, grok));
        let children = spec.nodes.iter().flatten();
        let children = children
            .map(|child| {
                let at = Located::new((), child.line, child.column);
                self.node(file, &child.value, &at, &name)
            })
            .collect();
        Node {
            on_success: self.on_success(file, spec.onsuccess.as_ref()),
            statics: self.statics(file, spec.statics.as_deref().unwrap_or_default()),
            stash: self.stashes(file, spec.stash.as_deref().unwrap_or_default()),
            whitelist: spec
                .whitelist
                .as_ref()
                .map(|list| self.whitelist(file, list)),
            name,
            filter,
            grok,
            children,
        }
    }

    fn expression(&mut self, file: &RuleFile, text: &Located<String>) -> Option<Expr> {
        match expr::compile(&text.value, Vars::Event, self.symbols) {
            Ok(expr) => Some(expr),
            Err(error) => {
                let fault = text.error_at(file, error.offset, error.message, error.fix);
                self.diagnostics.push(fault);
                None
            }
        }
    }

    fn pattern(&mut self, file: &RuleFile, name: &str, expression: &Located<String>) {
        let origin = format!("{}:{}", file.path, expression.line);
        if self.known.add_local(name, &expression.value, origin) {
            return;
        }
        let first = self.known.get(name).map_or("", |p| &p.origin);
        let first = if first.is_empty() {
            "the pattern library"
        } else {
            first
        };
        let message = format!("the pattern `{name}` is already defined in {first}, which counts");
        let fix = "give this one a name of its own".to_owned();
        self.diagnostics
            .push(expression.warning(file, message, fix));
    }

    fn on_success(&mut self, file: &RuleFile, text: Option<&Located<String>>) -> OnSuccess {
        match text.map(|t| (t, t.value.as_str())) {
            None | Some((_, "" | "continue")) => OnSuccess::Continue,
            Some((_, "next_stage")) => OnSuccess::NextStage,
            Some((at, other)) => {
                let fix = yaml::suggest(other, &["next_stage", "continue"]);
                let message = format!("unknown onsuccess `{other}`");
                self.diagnostics.push(at.error(file, message, fix));
                OnSuccess::Continue
            }
        }
    }

    fn grok(&mut self, file: &RuleFile, spec: &Located<GrokSpec>) -> Option<GrokStep> {
        let statics = self.statics(file, spec.statics.as_deref().unwrap_or_default());
        let input = self.input(file, spec);
        let given =
            |text: &Option<Located<String>>| text.as_ref().filter(|t| !t.value.is_empty()).cloned();
        let pattern = match (&spec.name, &spec.pattern) {
            (Some(name), _) if !name.value.is_empty() => format!("%{{{}}}", name.value).into(),
            (_, pattern) => pattern.as_ref().map_or("", |p| p.value.as_str()).into(),
        };
        let compiled = match (given(&spec.name), given(&spec.pattern)) {
            (Some(name), None) => self.named(file, &name),
            (None, Some(pattern)) => {
                let grok = Grok::compile(&pattern.value, self.known, self.symbols);
                grok.map_err(|e| pattern.error_at(file, e.offset, e.message, e.fix))
            }
            _ => Err(spec.error(
                file,
                "a grok needs either `name` or `pattern`".to_owned(),
                "give one of the two".to_owned(),
            )),
        };
        let grok = compiled
            .map_err(|fault| self.diagnostics.push(fault))
            .ok()?;
        if grok.fields().next().is_none() {
            let message = "this grok captures no field, and so never matches".to_owned();
            let fix = "name what it should capture: `%{WORD:field}`".to_owned();
            self.diagnostics.push(spec.warning(file, message, fix));
        }
        let cache = *self.groks;
        *self.groks += 1;
        Some(GrokStep {
            grok,
            pattern,
            input: input?,
            statics,
            cache,
        })
    }

    /// A library pattern as a whole grok: its own fields count as the outermost level.
    fn named(&mut self, file: &RuleFile, name: &Located<String>) -> Result<Grok, Diagnostic> {
        let Some(pattern) = self.known.get(&name.value) else {
            let fix = match self.known.nearest(&name.value) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "define it under `pattern_syntax:` or in a patterns file".to_owned(),
            };
            let message = format!("the grok pattern `{}` is not defined", name.value);
            return Err(name.error(file, message, fix));
        };
        let (expression, origin) = (pattern.expression.clone(), pattern.origin.clone());
        Grok::compile(&expression, self.known, self.symbols).map_err(|e| {
            let place = if origin.is_empty() {
                String::new()
            } else {
                format!(" (at {origin})")
            };
            name.error(file, format!("{}{place}", e.message), e.fix)
        })
    }

    fn input(&mut self, file: &RuleFile, spec: &Located<GrokSpec>) -> Option<Input> {
        match (&spec.apply_on, &spec.expression) {
            (Some(field), _) if field.value == "Line.Raw" => Some(Input::Line),
            (Some(field), _) => Some(Input::Parsed(self.symbols.intern(&field.value))),
            (None, Some(text)) => self
                .expression(file, text)
                .map(|e| Input::Expression(Box::new(e))),
            (None, None) => {
                let message = "this grok does not say what it reads".to_owned();
                let fix = "add `apply_on: message` or an `expression:`".to_owned();
                self.diagnostics.push(spec.error(file, message, fix));
                None
            }
        }
    }

    fn statics(&mut self, file: &RuleFile, specs: &[Located<StaticSpec>]) -> Vec<Static> {
        specs
            .iter()
            .filter_map(|spec| self.one_static(file, spec))
            .collect()
    }

    fn one_static(&mut self, file: &RuleFile, spec: &Located<StaticSpec>) -> Option<Static> {
        let value = match (&spec.value.value, &spec.expression) {
            (Some(text), _) if !text.is_empty() => Source::Text(text.clone()),
            (_, Some(text)) => Source::Expression(Box::new(self.expression(file, text)?)),
            (Some(text), None) => Source::Text(text.clone()),
            (None, None) => {
                let message = "this static has no value".to_owned();
                let fix = "add `value:` or `expression:`".to_owned();
                self.diagnostics.push(spec.error(file, message, fix));
                return None;
            }
        };
        let target = self.target(file, spec)?;
        Some(Static { value, target })
    }

    fn target(&mut self, file: &RuleFile, spec: &Located<StaticSpec>) -> Option<Target> {
        if let Some(method) = &spec.method {
            return match Method::named(&method.value) {
                Some(method) => Some(Target::Method(method)),
                None => {
                    let message = format!("the method `{}` does not exist", method.value);
                    let fix = yaml::suggest(&method.value, &Method::NAMES);
                    self.diagnostics.push(method.warning(file, message, fix));
                    None
                }
            };
        }
        let field = [
            (FieldMap::Parsed, &spec.parsed),
            (FieldMap::Meta, &spec.meta),
            (FieldMap::Enriched, &spec.enriched),
        ];
        for (map, name) in field {
            if let Some(name) = name {
                return Some(Target::Field(map, self.symbols.intern(name)));
            }
        }
        let Some(path) = &spec.target else {
            let message = "this static does not say where its value goes".to_owned();
            let fix = "add `meta:`, `parsed:`, `enriched:`, `target:` or `method:`".to_owned();
            self.diagnostics.push(spec.error(file, message, fix));
            return None;
        };
        let found = self.path(&path.value);
        if found.is_none() {
            let message = format!("nothing can be written to `{}`", path.value);
            let fix = "write `evt.Parsed.x`, `evt.Meta.x`, `evt.Enriched.x`, `evt.StrTime`, \
                       `evt.StrTimeFormat` or `MarshaledTime`";
            // Existing content has such statics; the rest of it works.
            self.diagnostics
                .push(path.warning(file, message, fix.to_owned()));
        }
        found
    }

    fn path(&mut self, path: &str) -> Option<Target> {
        let path = path.strip_prefix("evt.").unwrap_or(path);
        Some(match path {
            "Line.Module" => Target::Module,
            "Line.Src" => Target::SourceName,
            "MarshaledTime" => Target::MarshaledTime,
            "StrTime" => Target::StrTime,
            "StrTimeFormat" => Target::StrTimeFormat,
            "WhitelistReason" => Target::WhitelistReason,
            "Overflow.Alert.Source.Scope" => Target::OverflowScope,
            "Overflow.Alert.Source.Value" => Target::OverflowValue,
            _ => {
                let (map, name) = path.split_once('.')?;
                let map = match map {
                    "Parsed" => FieldMap::Parsed,
                    "Meta" => FieldMap::Meta,
                    "Enriched" => FieldMap::Enriched,
                    _ => return None,
                };
                Target::Field(map, self.symbols.intern(name))
            }
        })
    }

    fn stashes(&mut self, file: &RuleFile, specs: &[Located<StashSpec>]) -> Vec<StashStep> {
        let mut steps = Vec::new();
        for spec in specs {
            let (key, value) = (
                self.expression(file, &spec.key),
                self.expression(file, &spec.value.value),
            );
            let ttl = match spec
                .ttl
                .as_ref()
                .map(|ttl| (ttl, parse_duration(&ttl.value)))
            {
                None => STASH_TTL_DEFAULT,
                Some((_, Ok(ttl))) => ttl,
                Some((at, Err(error))) => {
                    let fix = "write a duration such as 10m".to_owned();
                    self.diagnostics
                        .push(at.error(file, error.to_string(), fix));
                    continue;
                }
            };
            let size = spec
                .size
                .unwrap_or(STASH_SIZE_DEFAULT)
                .clamp(1, STASH_SIZE_MAX);
            if let (Some(key), Some(value)) = (key, value) {
                steps.push(StashStep {
                    name: spec.name.clone(),
                    key,
                    value,
                    ttl,
                    size,
                });
            }
        }
        steps
    }

    fn whitelist(&mut self, file: &RuleFile, spec: &Located<WhitelistSpec>) -> Whitelist {
        let mut prefixes = Vec::new();
        for text in spec.ip.iter().chain(&spec.cidr).flatten() {
            match text.value.trim().parse() {
                Ok(prefix) => prefixes.push(prefix),
                Err(error) => {
                    let message = format!("{error}");
                    let fix = "write an address or a network".to_owned();
                    self.diagnostics.push(text.error(file, message, fix));
                }
            }
        }
        let expressions = spec.expression.iter().flatten();
        let expressions = expressions
            .filter_map(|text| self.expression(file, text))
            .collect();
        let reason = spec.reason.clone().unwrap_or_default();
        Whitelist::new(reason, prefixes, expressions)
    }
}
