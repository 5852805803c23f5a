//! Which log sources an event belongs to, and so which rules concern it.
//!
//! An event belongs to an [`Identity`] by what its source is called, by its shape, or, on Windows,
//! by its channel and the conditions of the mapping. A rule concerns an event when its log source
//! covers one of the event's identities.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde_json::Value as Json;
use sigma::{LogSource, Mapping, MappingEntry};

use super::{
    builtin::{self, Kind},
    fields::{FieldId, Fields},
    values::Values,
};

/// A set of groups of rules; rules of one log source are one group.
pub(super) type Groups = Vec<u64>;

#[derive(Debug)]
pub(super) struct Sources {
    /// The log source of each group.
    pub(super) groups: Vec<LogSource>,
    identities: Vec<Identity>,
    /// By channel or provider, in lower case.
    channels: HashMap<Box<str>, Vec<u32>>,
    /// By what a source calls its lines.
    kinds: HashMap<&'static str, Vec<u32>>,
    /// By shape of a JSON event.
    shapes: Vec<(&'static builtin::Shape, u32)>,
    windows: u32,
    audit: Groups,
    channel: FieldId,
    provider: FieldId,
}

/// A kind of events, known by its log source.
#[derive(Debug)]
struct Identity {
    groups: Groups,
    conditions: Vec<(FieldId, Vec<Box<str>>)>,
    /// Fields that have another name there: the rules' and the events'.
    renames: Vec<(FieldId, Vec<FieldId>)>,
    /// Words one of which stands in the line; empty: whatever the line.
    words: &'static [&'static str],
}

impl Sources {
    pub(super) fn new(groups: Vec<LogSource>, mapping: Mapping, fields: &mut Fields) -> Self {
        let mut sources = Self {
            groups,
            identities: Vec::new(),
            channels: HashMap::new(),
            kinds: HashMap::new(),
            shapes: Vec::new(),
            windows: 0,
            audit: Groups::new(),
            channel: fields.intern("Channel"),
            provider: fields.intern("Provider_Name"),
        };
        sources.windows = sources.identity(&named(Some("windows"), None, None), &[]);
        sources.audit = sources.covering(&named(Some("linux"), None, Some("auditd")));
        sources.add_builtin();
        sources.add_windows(&completed(mapping), fields);
        sources
    }

    fn identity(&mut self, source: &LogSource, words: &'static [&'static str]) -> u32 {
        let groups = self.covering(source);
        self.identities.push(Identity {
            groups,
            conditions: Vec::new(),
            renames: Vec::new(),
            words,
        });
        u32::try_from(self.identities.len() - 1).unwrap_or(u32::MAX)
    }

    /// The groups whose log source covers `source`.
    pub(super) fn covering(&self, source: &LogSource) -> Groups {
        let mut set = vec![0; self.groups.len().div_ceil(64)];
        for (number, group) in self.groups.iter().enumerate() {
            if group.covers(source) {
                insert(&mut set, number);
            }
        }
        set
    }

    fn add_builtin(&mut self) {
        for Kind {
            names,
            source,
            words,
        } in builtin::KINDS
        {
            let number = self.identity(&named(source.0, source.1, source.2), words);
            for name in *names {
                self.kinds.entry(name).or_default().push(number);
            }
        }
        for shape in builtin::SHAPES {
            let (product, category, service) = shape.source;
            let number = self.identity(&named(product, category, service), &[]);
            self.shapes.push((shape, number));
        }
    }

    fn add_windows(&mut self, mapping: &Mapping, fields: &mut Fields) {
        let mut channels: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for entry in &mapping.entries {
            let Some(service) = &entry.log_source.service else {
                continue;
            };
            let own = entry
                .sources
                .iter()
                .filter_map(|s| s.strip_prefix("WinEventLog:"));
            let own: Vec<String> = own.map(str::to_lowercase).collect();
            if own.is_empty() {
                continue;
            }
            let number = self.identity(&entry.log_source, &[]);
            for channel in &own {
                self.listen(channel, number);
            }
            channels.entry(service).or_default().extend(own);
        }
        for (provider, service) in builtin::PROVIDERS {
            if let Some(channels) = channels.get_mut(service) {
                let source = named(Some("windows"), None, Some(service));
                let number = self.identity(&source, &[]);
                self.listen(provider, number);
                channels.push((*provider).to_owned());
            }
        }
        for entry in &mapping.entries {
            self.add_category(entry, &channels, fields);
        }
    }

    fn listen(&mut self, channel: &str, number: u32) {
        let known = self.channels.entry(channel.into()).or_default();
        if !known.contains(&number) {
            known.push(number);
        }
    }

    /// Events of a category are those of a service that meet some conditions.
    fn add_category(
        &mut self,
        entry: &MappingEntry,
        channels: &BTreeMap<&str, Vec<String>>,
        fields: &mut Fields,
    ) {
        let Some(rewrite) = &entry.rewrite else {
            return;
        };
        let source = LogSource {
            product: rewrite
                .product
                .clone()
                .or_else(|| entry.log_source.product.clone()),
            category: entry.log_source.category.clone(),
            service: rewrite
                .service
                .clone()
                .or_else(|| entry.log_source.service.clone()),
        };
        let number = self.identity(&source, &[]);
        if let Some(identity) = self.identities.get_mut(number as usize) {
            identity.conditions = entry
                .conditions
                .iter()
                .map(|(name, values)| {
                    let values = values.iter().map(|v| v.to_lowercase().into());
                    (fields.intern(name), values.collect())
                })
                .collect();
            identity.renames = entry
                .renames
                .iter()
                .map(|(own, others)| {
                    let others = others.iter().map(|name| fields.intern(name)).collect();
                    (fields.intern(own), others)
                })
                .collect();
        }
        let service = rewrite.service.as_deref().unwrap_or_default();
        for channel in channels.get(service).into_iter().flatten() {
            self.listen(channel, number);
        }
    }

    /// Whether a rule is about the Linux audit daemon.
    pub(super) fn knows_audit(&self) -> bool {
        self.audit.iter().any(|word| *word != 0)
    }

    /// Adds the groups that records of the Linux audit daemon concern.
    pub(super) fn declare_audit(&self, active: &mut Groups) {
        join(active, &self.audit);
    }

    /// What the lines of a source are, by its labels: `sigma_product`, `sigma_category`,
    /// `sigma_service`, or else its type.
    pub(super) fn of_labels(&self, labels: &BTreeMap<String, String>) -> Declared {
        let label = |key: &str| labels.get(key).map(|v| v.to_lowercase());
        let source = LogSource {
            product: label("sigma_product"),
            category: label("sigma_category"),
            service: label("sigma_service"),
        };
        if source != LogSource::default() {
            return Declared {
                groups: self.covering(&source),
                identities: Vec::new(),
                source: Some(source),
            };
        }
        let kind = labels
            .get("type")
            .map(|v| v.to_lowercase())
            .unwrap_or_default();
        let identities = self.kinds.get(kind.as_str()).cloned().unwrap_or_default();
        Declared {
            groups: vec![0; self.groups.len().div_ceil(64)],
            identities,
            source: None,
        }
    }

    /// Adds the groups that a declaration stands for to `active`.
    pub(super) fn declare(&self, declared: &Declared, line: &str, active: &mut Groups) {
        join(active, &declared.groups);
        for number in &declared.identities {
            if let Some(identity) = self.identities.get(*number as usize)
                && (identity.words.is_empty() || identity.words.iter().any(|w| line.contains(w)))
            {
                join(active, &identity.groups);
            }
        }
    }

    /// Every group that lines of the source may concern.
    pub(super) fn possible(&self, declared: &Declared) -> Groups {
        let mut all = declared.groups.clone();
        for number in &declared.identities {
            if let Some(identity) = self.identities.get(*number as usize) {
                join(&mut all, &identity.groups);
            }
        }
        all
    }

    /// Adds the groups that a JSON event concerns by its shape.
    pub(super) fn recognise(&self, event: &Json, values: &mut Values, active: &mut Groups) {
        let channel = self.by_channel(values, self.channel);
        let channel = channel.or_else(|| self.by_channel(values, self.provider));
        if let Some(numbers) = channel {
            for number in numbers {
                self.add_if_meant(*number, values, active);
            }
            return;
        }
        if values.has(self.channel) || event.get("Event").is_some() {
            self.add_if_meant(self.windows, values, active);
            return;
        }
        for (shape, number) in &self.shapes {
            if shape.fits(event) {
                self.add_if_meant(*number, values, active);
            }
        }
    }

    fn by_channel(&self, values: &Values, field: FieldId) -> Option<&Vec<u32>> {
        values
            .of(field)
            .find_map(|value| self.channels.get(value.lower))
    }

    fn add_if_meant(&self, number: u32, values: &mut Values, active: &mut Groups) {
        let Some(identity) = self.identities.get(number as usize) else {
            return;
        };
        let meant = identity.conditions.iter().all(|(field, wanted)| {
            values
                .of(*field)
                .any(|value| wanted.iter().any(|w| **w == *value.lower))
        });
        if !meant {
            return;
        }
        join(active, &identity.groups);
        for (own, others) in &identity.renames {
            if !values.has(*own) {
                others.iter().for_each(|other| values.copy(*other, *own));
            }
        }
    }
}

/// What the lines of one source are said to be.
#[derive(Debug)]
pub(super) struct Declared {
    groups: Groups,
    identities: Vec<u32>,
    /// Set when labels name the log source outright.
    pub(super) source: Option<LogSource>,
}

/// The mapping with what it does not say about Windows, from our own.
fn completed(mut mapping: Mapping) -> Mapping {
    let own = builtin::windows();
    if mapping.entries.is_empty() {
        return own;
    }
    let knows = |source: &LogSource| {
        mapping.entries.iter().any(|entry| {
            entry.log_source.service == source.service
                && entry.log_source.category == source.category
        })
    };
    let missing: Vec<MappingEntry> = own
        .entries
        .into_iter()
        .filter(|entry| !knows(&entry.log_source))
        .collect();
    mapping.entries.extend(missing);
    mapping
}

pub(super) fn named(
    product: Option<&str>,
    category: Option<&str>,
    service: Option<&str>,
) -> LogSource {
    LogSource {
        product: product.map(str::to_owned),
        category: category.map(str::to_owned),
        service: service.map(str::to_owned),
    }
}

pub(super) fn insert(set: &mut Groups, number: usize) {
    if let Some(word) = set.get_mut(number / 64) {
        *word |= 1 << (number % 64);
    }
}

pub(super) fn contains(set: &[u64], number: usize) -> bool {
    set.get(number / 64)
        .is_some_and(|word| word & (1 << (number % 64)) != 0)
}

fn join(to: &mut Groups, from: &[u64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to |= from);
}
