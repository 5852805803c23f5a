//! What became of one line, step by step: for people who ask why a ban did or did not follow.
//!
//! An [`Explainer`] watches the parsers as a [`Trace`] and writes an [`Account`]; what scenarios
//! and buckets say of themselves comes from `buckets::looking`. Stands beside the data's way and
//! must not change it: the line counts exactly as an unexplained one does.

use std::{collections::BTreeMap, net::IpAddr};

use model::Timestamp;
use serde::Serialize;

pub use crate::{
    buckets::{BucketState, ScenarioAccount, ScenarioEnd},
    expr::FalsePart,
    reach::Reach,
};
use crate::{
    event::{Event, FieldMap},
    expr::{Env, Vars, false_parts},
    nodes::{GrokStep, Input, Node},
    parse::{Step, Trace},
    patterns::Library,
    reach::reach,
    symbols::Symbols,
};

/// What became of one line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Account {
    /// An ordinary run would have left the line at the prefilter: it holds none of the texts
    /// without which no rule can care.
    pub prefilter_skips: bool,
    /// What each fail2ban jail that watches this source made of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jails: Vec<JailAccount>,
    pub stages: Vec<StageAccount>,
    /// What Sigma rules made of it; `None` when the line is of no log source that they know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma: Option<SigmaAccount>,
    /// The event's fields when the parsers were done.
    pub fields: BTreeMap<String, String>,
    /// The time that stands in the line.
    pub time: Option<Timestamp>,
    pub scenarios: Vec<ScenarioAccount>,
    pub overflows: Vec<OverflowAccount>,
}

/// What one jail made of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JailAccount {
    pub jail: String,
    pub end: JailEnd,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum JailEnd {
    /// No failregex matched, or ignoreregex did.
    NoMatch,
    /// Part of a connection: failregex number `regex` (from 1) matched, and nobody failed yet.
    Helped { regex: usize },
    /// A failure that names no address: hosts' names are not looked up.
    Nameless { regex: usize, who: String },
    /// The jail's `ignoreip` spares the address.
    Ignored { regex: usize, address: IpAddr },
    /// A failure, poured into the jail's bucket.
    Failed {
        regex: usize,
        address: IpAddr,
        /// Of the last of its lines.
        time: Timestamp,
        /// Lines of the connection that belong to it.
        lines: usize,
        /// The last name it failed as, or nothing.
        #[serde(skip_serializing_if = "String::is_empty")]
        user: String,
    },
}

/// What Sigma rules made of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SigmaAccount {
    /// Titles and ids of the rules that match.
    pub matched: Vec<SigmaMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SigmaMatch {
    pub title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    pub file: String,
}

/// What one stage did.
#[derive(Clone, Debug, Serialize)]
pub struct StageAccount {
    pub stage: String,
    /// Some parser of it took the line.
    pub taken: bool,
    pub nodes: Vec<NodeAccount>,
}

/// What one parser, or a node in it, did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeAccount {
    pub name: String,
    pub taken: bool,
    /// Why its filter turned the line away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter_false: Vec<FalsePart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grok: Option<GrokAccount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whitelist: Option<WhitelistAccount>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stashed_in: Vec<String>,
    /// Fields that it added or changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Self>,
}

#[derive(Clone, Debug, Serialize)]
pub struct GrokAccount {
    pub pattern: String,
    /// What it read; `None` when that field was not there.
    pub input: Option<String>,
    pub matched: bool,
    /// How far it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
}

#[derive(Clone, Debug, Serialize)]
pub struct WhitelistAccount {
    pub reason: String,
    pub hit: bool,
}

/// What became of a bucket that ran over.
#[derive(Clone, Debug, Serialize)]
pub struct OverflowAccount {
    pub scenario: String,
    pub events: u64,
    pub postoverflow: Vec<StageAccount>,
    pub end: OverflowEnd,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum OverflowEnd {
    Alert,
    /// The scenario's `overflow_filter` was false.
    FilteredOut,
    /// Its events name no address, or not what the scenario's scope asks for.
    NoSource,
    /// It overflowed a short while ago (`blackhole`).
    Silenced,
    Whitelisted {
        reason: String,
    },
}

/// Nodes told of one line; a rule set can have thousands.
const NODES_MAX: usize = 20_000;
/// Bytes shown of one field.
const FIELD_BYTES_MAX: usize = 1_000;

/// Writes an [`Account`] while the engine works.
pub(crate) struct Explainer<'l> {
    pub(crate) account: Account,
    library: &'l Library,
    /// The nodes under way, outermost first.
    open: Vec<NodeAccount>,
    /// The fields when last looked at.
    known: BTreeMap<String, String>,
    told: usize,
    /// The event under way is a jail's failure.
    is_of_jail: bool,
    /// Overflows before the parsers' turn.
    settled: usize,
}

impl<'l> Explainer<'l> {
    pub(crate) fn new(library: &'l Library, symbols: &Symbols, event: &Event) -> Self {
        Self {
            account: Account::default(),
            library,
            open: Vec::new(),
            known: fields(event, symbols),
            told: 0,
            is_of_jail: true,
            settled: 0,
        }
    }

    /// The jails are done; what comes now is the parsers' work on `event`.
    pub(crate) fn jails_are_done(&mut self, event: &Event, symbols: &Symbols) {
        self.is_of_jail = false;
        self.settled = self.account.overflows.len();
        self.known = fields(event, symbols);
    }

    /// Notes which fields changed, for the node under way.
    fn compare(&mut self, event: &Event, symbols: &Symbols) {
        let now = fields(event, symbols);
        if let Some(node) = self.open.last_mut() {
            let changed = now.iter().filter(|(k, v)| self.known.get(*k) != Some(v));
            for (key, value) in changed {
                node.set.retain(|(k, _)| k != key);
                node.set.push((key.clone(), value.clone()));
            }
        }
        self.known = now;
    }

    fn grok(
        &self,
        step: &GrokStep,
        input: Option<&str>,
        matched: bool,
        env: &Env<'_>,
    ) -> GrokAccount {
        let reach = match input {
            Some(text) if !matched => reach(&step.pattern, self.library, text),
            _ => None,
        };
        let read = match &step.input {
            Input::Parsed(sym) => format!("evt.Parsed.{}", env.symbols.name(*sym)),
            Input::Expression(text) => text.source().to_owned(),
            Input::Line => "the line".to_owned(),
        };
        GrokAccount {
            pattern: step.pattern.to_string(),
            input: input.map(|text| format!("{read} = {}", shown(text))),
            matched,
            reach,
        }
    }

    fn stages(&mut self) -> &mut Vec<StageAccount> {
        let open = self.account.overflows.get_mut(self.settled..);
        match open.and_then(<[_]>::last_mut) {
            Some(overflow) => &mut overflow.postoverflow,
            None => &mut self.account.stages,
        }
    }
}

impl Trace for Explainer<'_> {
    fn node(&mut self, stage: &str, _node: &str, _event: &Event, ok: bool) {
        let Some(node) = self.open.pop() else { return };
        self.told += 1;
        if self.told > NODES_MAX {
            return;
        }
        let stages = self.stages();
        match stages.last_mut() {
            Some(last) if last.stage == stage => {
                last.taken |= ok;
                last.nodes.push(node);
            }
            _ => stages.push(StageAccount {
                stage: stage.to_owned(),
                taken: ok,
                nodes: vec![node],
            }),
        }
    }

    fn step(&mut self, step: Step<'_>, env: &Env<'_>) {
        self.compare(env.event, env.symbols);
        match step {
            Step::Begin(node) => self.open.push(NodeAccount {
                name: name_of(node),
                ..NodeAccount::default()
            }),
            Step::FilterFalse(filter) => {
                let parts = false_parts(filter.source(), Vars::Event, env);
                if let Some(node) = self.open.last_mut() {
                    node.filter_false = parts;
                }
            }
            Step::Whitelist { list, hit } => {
                if let Some(node) = self.open.last_mut() {
                    let reason = list.reason.clone();
                    node.whitelist = Some(WhitelistAccount { reason, hit });
                }
            }
            Step::Grok {
                step,
                input,
                matched,
            } => {
                let text = input.map(|span| env.event.read(span));
                let grok = self.grok(step, text, matched, env);
                if let Some(node) = self.open.last_mut() {
                    node.grok = Some(grok);
                }
            }
            Step::Stashed(step) => {
                if let Some(node) = self.open.last_mut() {
                    node.stashed_in.push(step.name.clone());
                }
            }
            Step::End { taken } => {
                let Some(mut node) = self.open.pop() else {
                    return;
                };
                node.taken = taken;
                match self.open.last_mut() {
                    Some(parent) => parent.nodes.push(node),
                    // Its stage comes with the next word.
                    None => self.open.push(node),
                }
            }
        }
    }

    fn wants_scenarios(&self) -> bool {
        true
    }

    fn scenarios(&mut self, found: Vec<ScenarioAccount>, event: &Event, symbols: &Symbols) {
        self.account.fields = fields(event, symbols);
        // A line may count as what a jail makes of it, as what parsers make of it, or both.
        let known = std::mem::take(&mut self.account.scenarios);
        let is_news = |account: &ScenarioAccount| {
            let counts = matches!(
                account.end,
                ScenarioEnd::Counted { .. } | ScenarioEnd::Overflowed { .. }
            );
            let is_told = known.iter().any(|k| k.scenario == account.scenario);
            counts || !(self.is_of_jail || is_told)
        };
        let news = found.into_iter().filter(is_news).collect::<Vec<_>>();
        self.account.scenarios = known;
        self.account.scenarios.extend(news);
    }

    fn jail(&mut self, account: JailAccount) {
        self.account.jails.push(account);
    }

    fn ran_over(&mut self, scenario: &str, events: u64) {
        self.open.clear();
        self.account.overflows.push(OverflowAccount {
            scenario: scenario.to_owned(),
            events,
            postoverflow: Vec::new(),
            end: OverflowEnd::Alert,
        });
    }

    fn ended(&mut self, end: OverflowEnd) {
        if let Some(overflow) = self.account.overflows.last_mut() {
            overflow.end = end;
        }
    }
}

fn name_of(node: &Node) -> String {
    match (&node.grok, node.name.as_str()) {
        (_, name) if !name.is_empty() => name.to_owned(),
        (Some(step), _) => shown(&step.pattern),
        (None, _) => "a node without a name".to_owned(),
    }
}

/// All text fields of the event by the name that rules call them.
pub(crate) fn fields(event: &Event, symbols: &Symbols) -> BTreeMap<String, String> {
    let maps = [
        (FieldMap::Enriched, "evt.Enriched"),
        (FieldMap::Labels, "evt.Line.Labels"),
        (FieldMap::Meta, "evt.Meta"),
        (FieldMap::Parsed, "evt.Parsed"),
    ];
    let mut all = BTreeMap::new();
    for (map, path) in maps {
        for (sym, span) in event.fields(map).iter() {
            let key = format!("{path}.{}", symbols.name(sym));
            all.insert(key, shown(event.read(span)));
        }
    }
    for (key, value) in &event.unmarshaled {
        all.insert(format!("evt.Unmarshaled.{key}"), shown(&value.to_string()));
    }
    for (name, span) in [
        ("evt.StrTime", event.str_time),
        ("evt.StrTimeFormat", event.str_time_format),
    ] {
        if !span.is_empty() {
            all.insert(name.to_owned(), shown(event.read(span)));
        }
    }
    all
}

fn shown(text: &str) -> String {
    let kept = text.floor_char_boundary(FIELD_BYTES_MAX);
    match text.get(..kept) {
        Some(head) if kept < text.len() => format!("{head}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
