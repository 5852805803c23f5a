//! Data files that rules name, from bytes to what expressions look things up in.
//!
//! Which kind a file is stands in the rules that use it (`data: [{dest_file, type}]`), so the
//! rules are looked through for that first. Bounded by the size of the files the caller hands in;
//! reads no disk.

use std::collections::BTreeMap;

use model::{Diagnostic, Severity};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    engine::DataFile,
    expr::{self, DataFiles, Lookup, LookupKind, LookupRow},
    regex_syntax,
    rules::RuleFile,
    yaml::{self, Located},
};

/// One entry of a rule's `data` list.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    pub dest_file: Located<String>,
    #[serde(default, rename = "type")]
    pub kind: Option<Located<String>>,
    /// Where it comes from. Loading rules fetches nothing; importing them does.
    #[serde(default)]
    pub source_url: Option<String>,
    // How upstream caches regex results; here every lookup is linear and needs no cache.
    #[serde(default, rename = "strategy")]
    _strategy: Option<Json>,
    #[serde(default, rename = "size")]
    _size: Option<Json>,
    #[serde(default, rename = "ttl")]
    _ttl: Option<Json>,
    #[serde(default, rename = "cache")]
    _cache: Option<Json>,
}

/// The part of any rule document that names data files.
#[derive(Debug, Deserialize)]
struct Uses {
    #[serde(default)]
    data: Option<Vec<DataSpec>>,
}

/// The data files that the rules of one file ask for. Mistakes are reported by whoever loads the
/// rule itself.
pub fn wanted(file: &RuleFile) -> Vec<DataSpec> {
    if !file.text.contains("dest_file") {
        return Vec::new();
    }
    yaml::documents::<Uses>(file)
        .into_iter()
        .flatten()
        .flat_map(|document| document.value.data.into_iter().flatten())
        .collect()
}

/// Compiles `data` as the rules in `files` declare it.
pub fn load(files: &[RuleFile], data: &[DataFile], found: &mut Vec<Diagnostic>) -> DataFiles {
    let given: BTreeMap<&str, &DataFile> = data.iter().map(|d| (d.name.as_str(), d)).collect();
    let mut wanted: BTreeMap<String, (&RuleFile, DataSpec)> = BTreeMap::new();
    for file in files {
        for spec in self::wanted(file) {
            wanted
                .entry(spec.dest_file.value.clone())
                .or_insert((file, spec));
        }
    }
    let mut loaded = DataFiles::default();
    for (name, (file, spec)) in &wanted {
        match given.get(name.as_str()) {
            Some(bytes) => {
                if let Some(compiled) = compile(bytes, file, spec, found) {
                    loaded.insert(name, compiled);
                }
            }
            // A database is read by enrichment, which says itself when it has none.
            None if name.ends_with(".mmdb") => {}
            None => found.push(
                spec.dest_file.warning(
                    file,
                    format!("the data file {name} is not there; the rule sees it as empty"),
                    "put it into a `data` folder beside the rules; `posse rules import` brings it"
                        .to_owned(),
                ),
            ),
        }
    }
    for (name, bytes) in given {
        if !wanted.contains_key(name) {
            loaded.insert(name, expr::DataFile::Strings(lines(bytes).collect()));
        }
    }
    loaded
}

fn compile(
    bytes: &DataFile,
    file: &RuleFile,
    spec: &DataSpec,
    found: &mut Vec<Diagnostic>,
) -> Option<expr::DataFile> {
    match spec
        .kind
        .as_ref()
        .map_or("string", |kind| kind.value.as_str())
    {
        "" | "string" | "file" => Some(expr::DataFile::Strings(lines(bytes).collect())),
        "regexp" | "regex" => Some(expr::DataFile::Regexes(regexes(bytes, found).into())),
        "map" => Some(expr::DataFile::Map(lookup(bytes, found))),
        "bots" | "mmdb" => None,
        other => {
            let at = spec
                .kind
                .as_ref()
                .map(|k| Located::new((), k.line, k.column));
            let message = format!("there is no type of data file `{other}`");
            let fix = yaml::suggest(other, &["string", "regexp", "map"]);
            found.extend(at.map(|at| at.error(file, message, fix)));
            None
        }
    }
}

/// The lines that count: neither empty nor a comment.
fn lines(file: &DataFile) -> impl Iterator<Item = String> {
    numbered(file).map(|(_, line)| line)
}

fn numbered(file: &DataFile) -> impl Iterator<Item = (u32, String)> {
    (1..)
        .zip(file.bytes.split(|b| *b == b'\n'))
        .map(|(n, line)| {
            (
                n,
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)),
            )
        })
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(n, line)| (n, line.into_owned()))
}

/// A warning: such lists come from others, and the lines that can be read still count.
fn mistake(file: &DataFile, line: u32, message: String, fix: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        file: file.name.clone(),
        line,
        column: 1,
        message,
        fix: fix.to_owned(),
    }
}

fn regexes(file: &DataFile, found: &mut Vec<Diagnostic>) -> Vec<regex::Regex> {
    let mut all = Vec::new();
    for (line, pattern) in numbered(file) {
        match regex_syntax::compile(&pattern) {
            Ok(regex) => all.push(regex),
            Err(e) => {
                found.push(mistake(
                    file,
                    line,
                    e.to_string(),
                    "mend or remove this pattern",
                ));
            }
        }
    }
    all
}

/// One row of a `map` file: a JSON object a line.
#[derive(Deserialize)]
struct Row {
    pattern: String,
    #[serde(default)]
    tag: String,
    #[serde(default, rename = "type")]
    kind: String,
}

fn lookup(file: &DataFile, found: &mut Vec<Diagnostic>) -> Lookup {
    let fix = r#"write {"pattern": "…", "tag": "…", "type": "equals"} (or contains, regex)"#;
    let mut rows = Vec::new();
    let mut places = Vec::new();
    for (line, text) in numbered(file) {
        let row: Row = match serde_json::from_str(&text) {
            Ok(row) => row,
            Err(e) => {
                found.push(mistake(file, line, format!("not a row of a map: {e}"), fix));
                continue;
            }
        };
        let kind = match row.kind.as_str() {
            "" | "equals" => LookupKind::Equals,
            "contains" => LookupKind::Contains,
            "regex" | "regexp" => LookupKind::Regex,
            other => {
                let message = format!("there is no type of row `{other}`");
                found.push(mistake(file, line, message, fix));
                continue;
            }
        };
        rows.push(LookupRow {
            kind,
            pattern: row.pattern,
            tag: row.tag,
        });
        places.push(line);
    }
    let (lookup, bad) = Lookup::new(rows);
    for (row, e) in bad {
        let line = places.get(row).copied().unwrap_or(0);
        found.push(mistake(
            file,
            line,
            e.to_string(),
            "mend or remove this row",
        ));
    }
    lookup
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(kind: &str, name: &str) -> RuleFile {
        let text = format!(
            "name: a\ndata:\n  - source_url: https://x/{name}\n    dest_file: {name}\n    type: {kind}\n"
        );
        RuleFile::new("rules/x/scenarios/a.yaml", text)
    }

    fn data(name: &str, text: &str) -> DataFile {
        DataFile {
            name: name.into(),
            bytes: text.into(),
        }
    }

    #[test]
    fn comments_and_empty_lines_are_no_data() {
        let mut found = Vec::new();
        let files = [rule("string", "a.txt")];
        let loaded = load(&files, &[data("a.txt", "# c\n\none\r\ntwo\nÿ")], &mut found);
        let Some(expr::DataFile::Strings(lines)) = loaded.get("a.txt") else {
            panic!()
        };
        assert_eq!(**lines, ["one", "two", "ÿ"]);
        assert_eq!(found, []);
    }

    #[test]
    fn regexes_and_rows_that_are_wrong_are_named_by_line() {
        let mut found = Vec::new();
        let files = [rule("regexp", "r.txt"), rule("map", "m.json")];
        let rows = "{\"pattern\":\"/a\",\"tag\":\"t\",\"type\":\"equals\"}\nno\n";
        let loaded = load(
            &files,
            &[data("r.txt", "ok\n(\n"), data("m.json", rows)],
            &mut found,
        );
        let Some(expr::DataFile::Regexes(regexes)) = loaded.get("r.txt") else {
            panic!()
        };
        assert_eq!(regexes.len(), 1);
        let Some(expr::DataFile::Map(map)) = loaded.get("m.json") else {
            panic!()
        };
        assert_eq!(map.find("/a"), Some("t"));
        let places: Vec<_> = found.iter().map(|d| (d.file.as_str(), d.line)).collect();
        assert_eq!(places, [("m.json", 2), ("r.txt", 2)]);
    }

    #[test]
    fn a_missing_file_warns_at_the_rule_that_wants_it() {
        let mut found = Vec::new();
        load(&[rule("string", "gone.txt")], &[], &mut found);
        assert_eq!((found[0].severity, found[0].line), (Severity::Warning, 4));
    }

    #[test]
    fn files_no_rule_declares_are_lines() {
        let loaded = load(&[], &[data("x", "a\n")], &mut Vec::new());
        assert!(
            matches!(loaded.get("x"), Some(expr::DataFile::Strings(lines)) if lines.len() == 1)
        );
    }
}
