//! YAML documents as trees that know where everything stands.
//!
//! First step: text to [`Node`]. Hides the YAML library.

use model::limits;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::Spanned;
use yaml_bounds::{Chunk, DOCUMENTS_MAX, LINES_MAX, options, place, split};

/// Parsed YAML events of one document.
const EVENTS_MAX: usize = 200_000;

/// What is wrong, where (lines and columns count from 1), and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Fault {
    pub line: u32,
    pub column: u32,
    pub message: String,
    pub fix: String,
}

/// A value and its place.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    pub value: Value,
    pub line: u32,
    pub column: u32,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    /// As YAML's core schema reads it, written in decimal.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(crate) fn fault(&self, message: impl Into<String>, fix: impl Into<String>) -> Fault {
        Fault {
            line: self.line,
            column: self.column,
            message: message.into(),
            fix: fix.into(),
        }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, v)| v),
            _ => None,
        }
    }

    /// A scalar as text; dates and numbers are text too where text is asked for.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The elements of a list, or the one value that stands instead of it.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Null => &[],
            _ => std::slice::from_ref(self),
        }
    }
}

/// Reads every document of a file; one that is broken does not stop the others.
pub fn documents(text: &str) -> Vec<Result<Node, Fault>> {
    let whole = |message: String, fix: &str| Fault {
        line: 0,
        column: 0,
        message,
        fix: fix.to_owned(),
    };
    if text.len() > limits::RULE_FILE_BYTES_MAX {
        let max = limits::RULE_FILE_BYTES_MAX;
        let message = format!("the file is larger than {max} bytes");
        return vec![Err(whole(message, "split it into several files"))];
    }
    let Ok(chunks) = split(text) else {
        let message =
            format!("the file has more than {LINES_MAX} lines or {DOCUMENTS_MAX} documents");
        return vec![Err(whole(message, "split it into several files"))];
    };
    chunks.into_iter().map(parse).collect()
}

fn parse(chunk: Chunk<'_>) -> Result<Node, Fault> {
    let lines_before = u32::try_from(chunk.lines_before).unwrap_or(u32::MAX);
    serde_saphyr::from_str_with_options::<Node>(chunk.text, options(EVENTS_MAX))
        .map(|mut node| {
            shift(&mut node, lines_before);
            node
        })
        .map_err(|error| {
            let error = error.without_snippet();
            let (line, column) = error.location().map_or((1, 1), place);
            let text = error.to_string();
            let message = text.lines().next().unwrap_or("this is not valid YAML");
            Fault {
                line: line.max(1).saturating_add(lines_before),
                column: column.max(1),
                message: message.chars().take(200).collect(),
                fix: "check indentation, quotes and `key: value` spacing here".to_owned(),
            }
        })
}

/// Makes line numbers of a document those of its file.
fn shift(node: &mut Node, by: u32) {
    node.line = node.line.saturating_add(by);
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| shift(item, by)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, value)| shift(value, by)),
        _ => {}
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let (line, column) = place(spanned.referenced);
        Ok(Self {
            value: spanned.value,
            line,
            column,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element::<Node>()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = from.next_entry::<String, Node>()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_file_and_a_broken_document_stops_no_other() {
        let all = documents("a: 1\n---\n: [ broken\n---\n# a note\nb:\n  - x\n  - null\n");
        assert_eq!(all.len(), 3);
        assert_eq!(
            all[0].as_ref().unwrap().get("a").unwrap().value,
            Value::Number("1".to_owned())
        );
        let fault = all[1].as_ref().unwrap_err();
        assert!(fault.line >= 2 && !fault.fix.is_empty(), "{fault:?}");
        let list = all[2].as_ref().unwrap().get("b").unwrap();
        assert_eq!(list.items()[0].line, 7);
        assert_eq!(list.items()[1].value, Value::Null);
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(10_000);
        assert!(documents(&deep).iter().all(Result::is_err));
    }

    #[test]
    fn scalars_keep_their_kind() {
        let all = documents("a: 'x'\nb: 10\nc: true\nd:\ne: '10'\n");
        let map = all[0].as_ref().unwrap();
        let value = |key: &str| map.get(key).unwrap().value.clone();
        assert_eq!(value("a"), Value::Text("x".to_owned()));
        assert_eq!(value("b"), Value::Number("10".to_owned()));
        assert_eq!(value("c"), Value::Bool(true));
        assert_eq!(value("d"), Value::Null);
        assert_eq!(value("e"), Value::Text("10".to_owned()));
    }
}
