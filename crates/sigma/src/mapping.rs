//! Log source mappings: how the events of a generic log source are recognised, and what their
//! fields are called there.
//!
//! The shape is that of the configurations which come with the public rules: entries of
//! `logsources:` with `product`/`category`/`service`, and `conditions`, `rewrite`,
//! `fieldmappings`, `sources`.

use model::Diagnostic;

use crate::{
    Placeholders,
    document::{LogSource, explain},
    yaml::{self, Node, Value},
};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mapping {
    pub entries: Vec<MappingEntry>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct MappingEntry {
    pub name: String,
    /// What rules call these events.
    pub log_source: LogSource,
    /// Fields that such an event has, each with one of some values.
    pub conditions: Vec<(String, Vec<String>)>,
    /// What the events are called more specifically.
    pub rewrite: Option<LogSource>,
    /// The rules' name of a field, and the events' names of it.
    pub renames: Vec<(String, Vec<String>)>,
    /// `WinEventLog:<channel>`, `File:<glob>`.
    pub sources: Vec<String>,
}

/// Reads a mapping file.
pub fn read_mapping(path: &str, text: &str) -> Result<Mapping, Diagnostic> {
    let mut mapping = Mapping::default();
    for node in yaml::documents(text) {
        let node = node.map_err(|fault| explain(path, fault))?;
        let Some(Node {
            value: Value::Map(entries),
            ..
        }) = node.get("logsources")
        else {
            let fault = node.fault(
                "`logsources` is missing or not a map",
                "write entries with `product`, `category` or `service` under `logsources:`",
            );
            return Err(explain(path, fault));
        };
        mapping
            .entries
            .extend(entries.iter().map(|(name, node)| entry(name, node)));
    }
    Ok(mapping)
}

/// Reads values for placeholders: `placeholders:` and under it `name: [value, …]`.
pub fn read_placeholders(path: &str, text: &str) -> Result<Placeholders, Diagnostic> {
    let mut placeholders = Placeholders::new();
    for node in yaml::documents(text) {
        let node = node.map_err(|fault| explain(path, fault))?;
        placeholders.extend(pairs(node.get("placeholders")));
    }
    Ok(placeholders)
}

fn entry(name: &str, node: &Node) -> MappingEntry {
    MappingEntry {
        name: name.to_owned(),
        log_source: log_source(node),
        conditions: pairs(node.get("conditions")),
        rewrite: node.get("rewrite").map(log_source),
        renames: pairs(node.get("fieldmappings")),
        sources: node
            .get("sources")
            .map(|list| list.items().iter().filter_map(Node::text).collect())
            .unwrap_or_default(),
    }
}

fn log_source(node: &Node) -> LogSource {
    let part = |key: &str| Some(node.get(key)?.text()?.trim().to_lowercase());
    LogSource {
        product: part("product"),
        category: part("category"),
        service: part("service"),
    }
}

fn pairs(node: Option<&Node>) -> Vec<(String, Vec<String>)> {
    let Some(Node {
        value: Value::Map(entries),
        ..
    }) = node
    else {
        return Vec::new();
    };
    entries
        .iter()
        .map(|(key, value)| {
            (
                key.clone(),
                value.items().iter().filter_map(Node::text).collect(),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_conditions_names_and_channels() {
        let mapping = read_mapping(
            "m.yml",
            "logsources:\n  start:\n    category: process_creation\n    product: windows\n    \
             conditions:\n      EventID: [1, 4688]\n    rewrite:\n      service: security\n    \
             fieldmappings:\n      Image: NewProcessName\n  sec:\n    service: security\n    \
             sources:\n      - 'WinEventLog:Security'\n",
        )
        .unwrap();
        let start = &mapping.entries[0];
        assert_eq!(start.conditions[0].1, ["1", "4688"]);
        assert_eq!(start.renames[0].1, ["NewProcessName"]);
        assert_eq!(mapping.entries[1].sources, ["WinEventLog:Security"]);
        assert!(read_mapping("m.yml", "a: 1\n").is_err());
    }
}
