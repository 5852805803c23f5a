//! Structured lines become values: JSON of any nesting, and `key=value` lines.

use serde_json::Value as Json;

use super::{
    fields::{Fields, WHOLE},
    values::Values,
};
use crate::{event::Event, symbols::Symbols};

/// Bytes of a field's dotted name; what nests deeper has none.
const PATH_BYTES_MAX: usize = 512;
/// Envelopes within envelopes.
const ENVELOPES_MAX: usize = 6;
/// Bytes of an object or list that a rule looks at as a whole.
const WHOLE_VALUE_BYTES_MAX: usize = 64 << 10;

/// Parts of a path that shippers put around an event's own fields.
const ENVELOPES: &[&str] = &[
    "Event",
    "System",
    "EventData",
    "UserData",
    "RenderingInfo",
    "winlog",
    "event_data",
    "user_data",
    "_source",
    "detail",
    "jsonPayload",
    "data",
    "properties",
    "aws",
    "cloudtrail",
    "okta",
    "kubernetes",
    "audit",
];

/// Fills `values` with the fields of a JSON event.
pub(super) fn json(event: &Json, fields: &Fields, values: &mut Values) {
    let mut walk = Walk {
        fields,
        values,
        path: String::new(),
        starts: vec![0],
        is_too_long: false,
    };
    walk.value(event);
}

struct Walk<'w> {
    fields: &'w Fields,
    values: &'w mut Values,
    path: String,
    /// Where in the path a field's name may begin.
    starts: Vec<usize>,
    is_too_long: bool,
}

// Recursion is bounded by the JSON reader's depth.
impl Walk<'_> {
    fn value(&mut self, value: &Json) {
        match value {
            Json::Object(map) => {
                self.whole(value);
                if let Some((name, text)) = named(map) {
                    // The name stands for itself, whatever holds it.
                    self.starts.push(self.path.len() + 1);
                    self.step(name, text);
                    self.starts.pop();
                    return;
                }
                for (key, value) in map {
                    self.step(key, value);
                }
            }
            Json::Array(items) => {
                if items.iter().any(|item| item.is_object() || item.is_array()) {
                    self.whole(value);
                }
                items.iter().for_each(|item| self.value(item));
            }
            Json::Null => self.leaf(None),
            Json::String(text) => self.leaf(Some(text)),
            Json::Bool(true) => self.leaf(Some("true")),
            Json::Bool(false) => self.leaf(Some("false")),
            Json::Number(number) => self.leaf(Some(&number.to_string())),
        }
    }

    /// One key deeper and back.
    fn step(&mut self, key: &str, value: &Json) {
        let (length, starts, was_too_long) = (self.path.len(), self.starts.len(), self.is_too_long);
        // XML's attributes belong to their element, joined by an underscore ("Field Usage").
        let is_attribute = key.starts_with('@') && !self.path.is_empty();
        let key = if is_attribute {
            key.trim_start_matches('@')
        } else {
            key
        };
        if !matches!(key, "#text" | "#attributes") {
            let joint = if is_attribute || self.path.ends_with('_') {
                ""
            } else {
                "."
            };
            if is_attribute {
                self.path.push('_');
            } else if !self.path.is_empty() {
                self.path.push_str(joint);
            }
            self.path.extend(key.chars().filter(|c| !c.is_whitespace()));
            self.is_too_long |= self.path.len() > PATH_BYTES_MAX;
            if self.path.len() > PATH_BYTES_MAX {
                self.path.truncate(length);
            }
        } else if key == "#attributes" && !self.path.is_empty() {
            self.path.push('_');
        }
        let parent = self.path.get(..length).unwrap_or_default();
        let is_envelope = ENVELOPES.contains(&key)
            || parent.ends_with("UserData")
            || parent.ends_with("user_data");
        if is_envelope && value.is_object() && self.starts.len() < ENVELOPES_MAX {
            self.starts.push(self.path.len() + 1);
        }
        self.value(value);
        self.path.truncate(length);
        self.starts.truncate(starts);
        self.is_too_long = was_too_long;
    }

    fn leaf(&mut self, value: Option<&str>) {
        if self.is_too_long {
            return;
        }
        for start in &self.starts {
            let Some(name) = self.path.get(*start..) else {
                continue;
            };
            self.values.add(self.fields.readers(name), value);
        }
    }

    /// A rule may look at an object as a text.
    fn whole(&mut self, value: &Json) {
        // An XML element with a text is that text.
        if self.is_too_long || self.path.is_empty() || value.get("#text").is_some() {
            return;
        }
        let wanted = self
            .starts
            .iter()
            .filter_map(|start| self.path.get(*start..))
            .any(|name| !self.fields.readers(name).is_empty());
        if !wanted {
            return;
        }
        let text = value.to_string();
        let end = text.floor_char_boundary(WHOLE_VALUE_BYTES_MAX);
        self.leaf(text.get(..end));
    }
}

/// `{"@Name": "Image", "#text": "…"}`: an element of Windows event data that names its field.
fn named(map: &serde_json::Map<String, Json>) -> Option<(&str, &Json)> {
    if map.len() > 3 {
        return None;
    }
    let name = map
        .get("@Name")
        .or_else(|| map.get("#attributes")?.get("Name"))?
        .as_str()?;
    Some((name, map.get("#text")?))
}

/// All texts of a JSON event, one a line: what keywords are looked for in.
pub(super) fn json_text(event: &Json, values: &mut Values) {
    let mut text = String::new();
    collect(event, &mut text);
    values.add(&[WHOLE], Some(&text));
}

fn collect(value: &Json, to: &mut String) {
    match value {
        Json::Object(map) => map.values().for_each(|value| collect(value, to)),
        Json::Array(items) => items.iter().for_each(|item| collect(item, to)),
        Json::Null => {}
        Json::Bool(flag) => to.push_str(if *flag { "true\n" } else { "false\n" }),
        Json::Number(number) => {
            to.push_str(&number.to_string());
            to.push('\n');
        }
        Json::String(text) => {
            to.push_str(text);
            to.push('\n');
        }
    }
}

/// Fills `values` with the pairs of a `key=value` line.
pub(super) fn key_value(line: &str, fields: &Fields, values: &mut Values) {
    let mut rest = line;
    let mut is_execve = false;
    let mut decoded = String::new();
    while let Some((key, value, after)) = pair(rest) {
        rest = after;
        is_execve |= key == "type" && value.text == "EXECVE";
        // `msg='op=PAM:… acct="…"'` holds pairs of its own.
        if value.quote == Some('\'') && value.text.contains('=') {
            let mut inner = value.text;
            while let Some((key, value, after)) = pair(inner) {
                inner = after;
                values.add(fields.readers(key), Some(value.text));
            }
        }
        let readers = fields.readers(key);
        if readers.is_empty() {
            continue;
        }
        let is_encoded = value.quote.is_none() && may_be_encoded(key, is_execve);
        if is_encoded && unhex(value.text, &mut decoded) {
            values.add(readers, Some(&decoded));
        } else {
            values.add(readers, Some(value.text));
        }
    }
}

/// Fills `values` with what parsers found: their fields under their own names, and what an access
/// log's request consists of.
pub(super) fn parsed(event: &Event, symbols: &Symbols, fields: &Fields, values: &mut Values) {
    for (sym, span) in event.parsed.iter() {
        values.add(fields.readers(symbols.name(sym)), Some(event.read(span)));
    }
    let meta = |name: &str| {
        let span = event.meta.find(symbols.lookup(name)?)?;
        Some(event.read(span)).filter(|text| !text.is_empty())
    };
    if let Some(address) = meta("source_ip") {
        values.add(fields.readers("c-ip"), Some(address));
    }
    let parsed = |name: &str| {
        let span = event.parsed.find(symbols.lookup(name)?)?;
        Some(event.read(span)).filter(|text| !text.is_empty())
    };
    if let Some(target) = parsed("request").or_else(|| meta("http_path")) {
        request(target, fields, values);
    }
}

/// The parts of a request's target, under the names of the W3C extended log format.
fn request(target: &str, fields: &Fields, values: &mut Values) {
    let (stem, query) = target.split_once('?').unwrap_or((target, ""));
    let last = stem.rsplit('/').next().unwrap_or_default();
    // Rules look for paths in `cs-uri-query` too, so it holds the whole target.
    let parts = [
        ("c-uri", target),
        ("cs-uri-query", query),
        ("c-uri-query", query),
        ("cs-uri-stem", stem),
        (
            "c-uri-extension",
            last.rsplit_once('.').map_or("", |(_, e)| e),
        ),
    ];
    for (name, text) in parts {
        if !text.is_empty() {
            values.add(fields.readers(name), Some(text));
        }
    }
}

struct Quoted<'l> {
    text: &'l str,
    quote: Option<char>,
}

/// The next `key=value` of a line, and what comes after it.
fn pair(line: &str) -> Option<(&str, Quoted<'_>, &str)> {
    let mut rest = line;
    loop {
        let at = rest.find('=')?;
        let before = rest.get(..at)?;
        let key = before
            .rsplit(|c: char| c.is_whitespace() || matches!(c, '\u{1d}' | ',' | ';'))
            .next()
            .unwrap_or_default()
            .trim_start_matches(['\'', '"', '(', '{']);
        let after = rest.get(at + 1..)?;
        let is_name = !key.is_empty()
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if is_name {
            let (value, after) = scalar(after);
            return Some((key, value, after));
        }
        rest = after;
    }
}

fn scalar(text: &str) -> (Quoted<'_>, &str) {
    if let Some(quote @ ('"' | '\'')) = text.chars().next() {
        let inner = text.get(1..).unwrap_or_default();
        if let Some(end) = inner.find(quote) {
            let (text, after) = inner.split_at_checked(end).unwrap_or((inner, ""));
            let quote = Some(quote);
            return (Quoted { text, quote }, after.get(1..).unwrap_or_default());
        }
    }
    let end = text
        .find(|c: char| c.is_whitespace() || c == '\u{1d}')
        .unwrap_or(text.len());
    let (text, after) = text.split_at_checked(end).unwrap_or((text, ""));
    (Quoted { text, quote: None }, after)
}

/// The audit daemon writes a text with blanks or quotes in it in hexadecimal, without quotes.
fn may_be_encoded(key: &str, is_execve: bool) -> bool {
    let is_argument = || {
        key.strip_prefix('a')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    matches!(
        key,
        "name" | "exe" | "comm" | "cwd" | "proctitle" | "acct" | "cmd" | "data"
    ) || is_execve && is_argument()
}

fn unhex(text: &str, to: &mut String) -> bool {
    to.clear();
    if text.len() < 2 || text.len() % 2 == 1 {
        return false;
    }
    let digit = |b: u8| {
        char::from(b)
            .to_digit(16)
            .filter(|_| !b.is_ascii_lowercase())
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks_exact(2) {
        let &[high, low] = pair else { return false };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return false;
        };
        let byte = u8::try_from(high * 16 + low).unwrap_or(0);
        // Arguments of a command line are kept apart by zero bytes.
        bytes.push(if byte == 0 { b' ' } else { byte });
    }
    to.push_str(&String::from_utf8_lossy(&bytes));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(names: &[&str]) -> Fields {
        let mut fields = Fields::new();
        names.iter().for_each(|name| {
            fields.intern(name);
        });
        fields.add_aliases();
        fields
    }

    fn read(names: &[&str], event: &str) -> Vec<Vec<String>> {
        let fields = fields(names);
        let mut values = Values::default();
        values.begin(fields.len());
        match serde_json::from_str::<Json>(event) {
            Ok(event) => json(&event, &fields, &mut values),
            Err(_) => key_value(event, &fields, &mut values),
        }
        let all = |name: &&str| {
            let id = fields.get(name).unwrap();
            values.of(id).map(|v| v.text.to_owned()).collect()
        };
        names.iter().map(all).collect()
    }

    #[test]
    fn windows_events_are_read_in_all_their_shapes() {
        let names = ["EventID", "Image", "Provider_Name", "ThreatName", "Channel"];
        let wanted: Vec<Vec<String>> = [["1"], ["a.exe"], ["P"], ["T"], ["C"]]
            .map(|v| v.map(str::to_owned).to_vec())
            .to_vec();
        for event in [
            r##"{"Event":{"System":{"EventID":1,"Channel":"C","Provider":{"#attributes":{"Name":"P"}}},
                "EventData":{"Image":"a.exe","Threat Name":"T"}}}"##,
            r##"{"Event":{"System":{"EventID":{"#text":1},"Channel":"C","Provider":{"@Name":"P"}},
                "EventData":{"Data":[{"@Name":"Image","#text":"a.exe"},{"@Name":"Threat Name","#text":"T"}]}}}"##,
            r#"{"winlog":{"event_id":1,"channel":"C","provider_name":"P",
                "event_data":{"Image":"a.exe","ThreatName":"T"}}}"#,
            r#"{"EventID":"1","Channel":"C","Provider_Name":"P","Image":"a.exe","ThreatName":"T"}"#,
        ] {
            let mut found = read(&names, event);
            found.iter_mut().for_each(Vec::dedup);
            assert_eq!(found, wanted, "{event}");
        }
    }

    #[test]
    fn paths_go_through_lists_and_objects_are_texts_where_a_rule_asks() {
        let found = read(
            &["a.b", "o", "n"],
            r#"{"a":[{"b":1},{"b":[2,"x"]}],"o":{"k":true},"n":null}"#,
        );
        assert_eq!(found[0], ["1", "2", "x"]);
        assert_eq!(found[1], [r#"{"k":true}"#]);
        assert_eq!(found[2], [""]);
    }

    #[test]
    fn nesting_and_long_names_cost_little() {
        let key = "k".repeat(300);
        let mut event = String::new();
        (0..100).for_each(|_| event.push_str(&format!("{{\"{key}\":")));
        event.push('1');
        event.push_str(&"}".repeat(100));
        assert_eq!(read(&["x"], &event)[0], Vec::<String>::new());
    }

    #[test]
    fn audit_lines_are_read_with_their_encoded_and_nested_parts() {
        let names = ["type", "a0", "a1", "acct", "SYSCALL", "name"];
        let found = read(
            &names,
            "type=EXECVE msg=audit(1700000000.123:42): argc=2 a0=\"sh\" a1=2D632069643E78",
        );
        assert_eq!(found[0], ["EXECVE"]);
        assert_eq!(found[1], ["sh"]);
        assert_eq!(found[2], ["-c id>x"]);
        let found = read(
            &names,
            "type=USER_AUTH msg=audit(1.0:1): pid=1 msg='op=PAM:authentication acct=\"root\" res=failed'",
        );
        assert_eq!(found[3], ["root"]);
        let found = read(
            &names,
            "type=SYSCALL msg=audit(1.0:1): syscall=103 a0=4 name=\"/etc/x y\"\u{1d}ARCH=x86_64 SYSCALL=syslog",
        );
        assert_eq!(found[1], ["4"]);
        assert_eq!(found[4], ["syslog"]);
        assert_eq!(found[5], ["/etc/x y"]);
    }
}
