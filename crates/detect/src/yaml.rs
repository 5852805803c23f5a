//! Rule files from YAML: strict, one document at a time, with the place of every mistake.
//!
//! First step of loading rules. A document that is wrong gives a [`Diagnostic`]; the other
//! documents and files still load. This module hides the YAML library; it must not know what a
//! parser or a scenario is. Files come from people and from the network: size, nesting, documents
//! and aliases are bounded.

use std::ops::Deref;

use model::{Diagnostic, Severity, limits};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_saphyr::{Error, Spanned};
use yaml_bounds::{Chunk, DOCUMENTS_MAX, LINES_MAX, TooMany, options, place};

use crate::rules::RuleFile;

/// Parsed YAML events of one document.
const EVENTS_MAX: usize = 400_000;

/// One document of a file. Its places are places in the whole file.
#[derive(Clone, Debug)]
pub struct Document<T> {
    pub value: T,
    /// The line on which the document begins, from 1.
    pub line: u32,
}

/// A value that knows where it stands in its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    /// From 1.
    pub line: u32,
    pub column: u32,
}

/// Reads every document of `file` as a `T`. Unknown keys are errors when `T` denies them.
pub fn documents<T: DeserializeOwned>(file: &RuleFile) -> Vec<Result<Document<T>, Diagnostic>> {
    let chunks = match split(file) {
        Ok(chunks) => chunks,
        Err(diagnostic) => return vec![Err(diagnostic)],
    };
    let mut padded = String::new();
    chunks
        .into_iter()
        .map(|chunk| {
            // Blank lines before the document make its own line numbers those of the file.
            padded.clear();
            padded.extend(std::iter::repeat_n('\n', chunk.lines_before));
            padded.push_str(chunk.text);
            let line = u32::try_from(chunk.lines_before + 1).unwrap_or(u32::MAX);
            serde_saphyr::from_str_with_options::<T>(&padded, options(EVENTS_MAX))
                .map(|value| Document { value, line })
                .map_err(|error| explain(file, line, &error))
        })
        .collect()
}

fn split(file: &RuleFile) -> Result<Vec<Chunk<'_>>, Diagnostic> {
    let refuse = |message: String| Diagnostic {
        severity: Severity::Error,
        file: file.path.clone(),
        line: 0,
        column: 0,
        message,
        fix: "split it into several files".to_owned(),
    };
    if file.text.len() > limits::RULE_FILE_BYTES_MAX {
        let max = limits::RULE_FILE_BYTES_MAX;
        return Err(refuse(format!("the file is larger than {max} bytes")));
    }
    yaml_bounds::split(&file.text).map_err(|TooMany| {
        refuse(format!(
            "the file has more than {LINES_MAX} lines or {DOCUMENTS_MAX} documents"
        ))
    })
}

fn explain(file: &RuleFile, first_line: u32, error: &Error) -> Diagnostic {
    let error = error.without_snippet();
    let (message, fix) = words(error);
    let (line, column) = error.location().map_or((first_line, 1), place);
    Diagnostic {
        severity: Severity::Error,
        file: file.path.clone(),
        line: line.max(1),
        column: column.max(1),
        message,
        fix,
    }
}

fn words(error: &Error) -> (String, String) {
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => (
            format!("unknown key `{}`", clip(field)),
            suggest(field, expected),
        ),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => (
            format!("unknown value `{}`", clip(variant)),
            suggest(variant, expected),
        ),
        Error::SerdeMissingField { field, .. } => (
            format!("the key `{field}` is missing"),
            format!("add `{field}:`"),
        ),
        Error::DuplicateMappingKey { key, .. } => (
            format!(
                "the key `{}` is given twice",
                clip(key.as_deref().unwrap_or("?"))
            ),
            "keep one of the two".to_owned(),
        ),
        Error::SerdeInvalidType {
            unexpected,
            expected,
            ..
        }
        | Error::SerdeInvalidValue {
            unexpected,
            expected,
            ..
        } => (
            format!(
                "found {}, but {} belongs here",
                clip(unexpected),
                clip(expected)
            ),
            format!("write {}", clip(expected)),
        ),
        Error::UnknownAnchor { .. } => (
            "an alias (`*name`) whose anchor (`&name`) is not in this document".to_owned(),
            "if the text merely begins with `*`, put it in quotes".to_owned(),
        ),
        Error::Budget { breach, .. } => (
            format!("the document is larger than allowed ({breach:?})"),
            "nest less deeply, use fewer aliases, or split the document".to_owned(),
        ),
        other => {
            let text = other.to_string();
            let first = text.lines().next().unwrap_or("this is not valid YAML");
            (
                clip(first),
                "check indentation, quotes and `key: value` spacing here".to_owned(),
            )
        }
    }
}

fn clip(text: &str) -> String {
    text.chars().take(200).collect()
}

/// "did you mean": the nearest of `known`, or all of them.
pub fn suggest(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(best) => format!("did you mean `{best}`?"),
        None => format!("known here: {}", known.join(", ")),
    }
}

/// The one of `known` most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 100 {
        return None;
    }
    let budget = (word.chars().count() / 3).max(1);
    known
        .map(|name| (distance(&word.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= budget)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Levenshtein's distance, one row at a time.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(100).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let Some((first, rest)) = row.split_first_mut() else {
            return i;
        };
        *first = left;
        for (cell, cb) in rest.iter_mut().zip(&b) {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        let (line, column) = place(spanned.referenced);
        Ok(Self {
            value: spanned.value,
            line,
            column,
        })
    }
}

impl<T> Located<T> {
    pub const fn new(value: T, line: u32, column: u32) -> Self {
        Self {
            value,
            line,
            column,
        }
    }

    /// An error about this value.
    pub fn error(&self, file: &RuleFile, message: String, fix: String) -> Diagnostic {
        let file = file.path.clone();
        let (line, column) = (self.line, self.column);
        Diagnostic {
            severity: Severity::Error,
            file,
            line,
            column,
            message,
            fix,
        }
    }

    pub fn warning(&self, file: &RuleFile, message: String, fix: String) -> Diagnostic {
        Diagnostic {
            severity: Severity::Warning,
            ..self.error(file, message, fix)
        }
    }
}

impl<T: AsRef<str>> Located<T> {
    /// An error `offset` bytes into this text. Follows the text through the YAML source, so the
    /// place is right inside quotes and blocks too.
    pub fn error_at(
        &self,
        file: &RuleFile,
        offset: usize,
        message: String,
        fix: String,
    ) -> Diagnostic {
        let (line, column) = self.follow(&file.text, offset);
        Diagnostic {
            line,
            column,
            ..self.error(file, message, fix)
        }
    }

    fn follow(&self, source: &str, offset: usize) -> (u32, u32) {
        let before = (self.line.max(1) - 1) as usize;
        let start: usize = source
            .split_inclusive('\n')
            .take(before)
            .map(str::len)
            .sum();
        let rest = source.get(start..).unwrap_or_default();
        let skip = rest
            .chars()
            .take((self.column.max(1) - 1) as usize)
            .map(char::len_utf8)
            .sum();
        let mut walk = Walk {
            rest: rest.get(skip..).unwrap_or_default(),
            ..Walk::new(self)
        };
        walk.enter();
        let value = self.value.as_ref();
        for c in value.get(..offset).unwrap_or(value).chars() {
            if !walk.step(c) {
                break;
            }
        }
        if value
            .get(offset..)
            .is_some_and(|v| !v.is_empty() && !v.starts_with(char::is_whitespace))
        {
            walk.spaces();
        }
        (walk.line, walk.column)
    }
}

/// Walks YAML source and the scalar it stands for side by side.
struct Walk<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
    quote: Option<char>,
}

impl<'a> Walk<'a> {
    const fn new<T>(at: &Located<T>) -> Self {
        Self {
            rest: "",
            line: at.line,
            column: at.column,
            quote: None,
        }
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '\n' {
            (self.line, self.column) = (self.line.saturating_add(1), 1);
        } else {
            self.column = self.column.saturating_add(1);
        }
        Some(c)
    }

    /// Past a quote, or past a block scalar's header line.
    fn enter(&mut self) {
        match self.rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                self.quote = Some(quote);
                self.take();
            }
            Some('|' | '>') => {
                while self.take().is_some_and(|c| c != '\n') {}
                self.spaces();
            }
            _ => {}
        }
    }

    fn spaces(&mut self) {
        while self.rest.starts_with(char::is_whitespace) {
            self.take();
        }
    }

    /// Past what stands for `wanted`; `false` when source and value part ways.
    fn step(&mut self, wanted: char) -> bool {
        if wanted.is_whitespace() {
            self.spaces();
            return true;
        }
        self.spaces();
        let Some(found) = self.take() else {
            return false;
        };
        match (self.quote, found) {
            (Some('\''), '\'') => self.take().is_some(),
            (Some('"'), '\\') => self.take().is_some(),
            _ => found == wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        name: Located<String>,
        #[serde(default)]
        filter: Option<Located<String>>,
        #[serde(default)]
        nodes: Vec<Self>,
        #[serde(default)]
        count: u32,
    }

    fn load(text: &str) -> Vec<Result<Document<Sample>, Diagnostic>> {
        documents(&RuleFile::new("rules/x.yaml", text))
    }

    fn fault(text: &str) -> Diagnostic {
        load(text)
            .into_iter()
            .find_map(Result::err)
            .expect("a diagnostic")
    }

    #[test]
    fn unknown_key_is_named_with_its_place_and_the_likely_key() {
        let d = fault("name: a\n---\nname: b\nfiltre: x\n");
        assert_eq!((d.line, d.column), (4, 1), "{d}");
        assert_eq!(d.message, "unknown key `filtre`");
        assert_eq!(d.fix, "did you mean `filter`?");
    }

    #[test]
    fn other_documents_still_load() {
        let all = load("name: a\ncount: 3\n---\n: [ broken\n---\n# only a comment\n---\nname: c\n");
        assert_eq!(all.len(), 3);
        let first = &all[0].as_ref().unwrap().value;
        assert_eq!(
            (&*first.name.value, first.count, first.nodes.len()),
            ("a", 3, 0)
        );
        assert_eq!(all[1].as_ref().unwrap_err().line, 4, "{:?}", all[1]);
        let last = all[2].as_ref().unwrap();
        assert_eq!(
            (last.value.name.line, last.value.name.column, last.line),
            (8, 7, 7)
        );
    }

    #[test]
    fn wrong_type_missing_and_double_keys_are_placed() {
        let d = fault("name: a\ncount: many\n");
        assert_eq!((d.line, d.column), (2, 8), "{d}");
        let d = fault("name: a\nnodes:\n  - filter: x\n");
        assert!(d.message.contains("`name` is missing"), "{d}");
        assert_eq!(d.line, 3, "{d}");
        let d = fault("name: a\nname: b\n");
        assert!(d.message.contains("given twice") && d.line == 2, "{d}");
        let d = fault("name: a\nfilter: 'open\n");
        assert!(d.line >= 2, "{d}");
    }

    #[test]
    fn offsets_inside_scalars_become_places_in_the_file() {
        let at = |text: &str, needle: &str| {
            let file = RuleFile::new("x.yaml", text);
            let doc = documents::<Sample>(&file).remove(0).unwrap().value;
            let filter = doc.filter.unwrap();
            let offset = filter.value.find(needle).unwrap();
            let d = filter.error_at(&file, offset, String::new(), String::new());
            let line = text.lines().nth(d.line as usize - 1).unwrap();
            assert!(
                line[d.column as usize - 1..].starts_with(needle),
                "{d}: {line}"
            );
        };
        at("name: a\nfilter: a && bad\n", "bad");
        at("name: a\nfilter: \"a \\\"q\\\" && bad\"\n", "bad");
        at("name: a\nfilter: 'it''s && bad'\n", "bad");
        at("name: a\nfilter: |\n  a &&\n    b &&\n  bad\n", "bad");
        at("name: a\nfilter: >-\n  a &&\n  b ||\n\n  bad\n", "bad");
        at("name: a\nfilter: a &&\n  b ||\n  bad\n", "bad");
    }

    #[test]
    fn bombs_are_refused() {
        let deep = format!("name: {}", "[".repeat(100_000));
        assert_eq!(load(&deep).len(), 1);
        fault(&deep);
        let mut bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (name, last) in ('b'..='j').zip('a'..='i') {
            let alias = vec![format!("*{last}"); 9].join(",");
            bomb += &format!("{name}: &{name} [{alias}]\n");
        }
        let file = RuleFile::new("x.yaml", bomb);
        let all = documents::<std::collections::BTreeMap<String, serde_json::Value>>(&file);
        assert!(all[0].is_err());
        let many = "---\na\n".repeat(DOCUMENTS_MAX + 1);
        assert!(
            load(&many)[0]
                .as_ref()
                .unwrap_err()
                .message
                .contains("documents")
        );
        let large = "#".repeat(limits::RULE_FILE_BYTES_MAX + 1);
        assert!(
            load(&large)[0]
                .as_ref()
                .unwrap_err()
                .message
                .contains("larger")
        );
    }

    #[test]
    fn nearest_is_modest() {
        assert_eq!(
            nearest("onsucess", ["onsuccess", "filter"].into_iter()),
            Some("onsuccess")
        );
        assert_eq!(nearest("zebra", ["onsuccess", "filter"].into_iter()), None);
    }

    proptest! {
        #[test]
        fn any_text_loads_or_explains(text in "[a-z:\\-\n '\"|>&*\\[\\]{}#%!,\\\\é]{0,200}") {
            for result in load(&text) {
                if let Err(d) = result {
                    prop_assert!(!d.message.is_empty() && d.line > 0);
                }
            }
        }
    }
}
