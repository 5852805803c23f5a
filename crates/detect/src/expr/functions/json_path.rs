//! Finds one value in JSON text without parsing the rest.
//!
//! The value comes out raw, as it stands in the text: rules rely on strings keeping their
//! escapes. Nesting is counted, not recursed into.

/// What kind of value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JsonKind {
    Array,
    Object,
    Other,
    Text,
}

/// Splits `a.b[0].c` into its keys; an array element is a key like `[0]`.
pub(super) fn keys(path: &str) -> Vec<String> {
    let path = if path.starts_with('[') {
        path.to_owned()
    } else {
        path.replace('[', ".[")
    };
    path.split('.').map(str::to_owned).collect()
}

/// The raw value at `keys`; a string comes without its quotes.
pub(super) fn find<'t>(text: &'t str, keys: &[impl AsRef<str>]) -> Option<(&'t str, JsonKind)> {
    let mut reader = Reader {
        text,
        at: text.find(['{', '['])?,
    };
    for key in keys {
        match key
            .as_ref()
            .strip_prefix('[')
            .and_then(|k| k.strip_suffix(']'))
        {
            Some(index) => reader.element(index.parse().ok()?)?,
            None => reader.member(key.as_ref())?,
        }
    }
    reader.value()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Steps over `byte` and the white space around it.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.byte()? == byte).then_some(())?;
        self.at += 1;
        self.skip_space();
        Some(())
    }

    /// Moves to the value of member `key` of the object here.
    fn member(&mut self, key: &str) -> Option<()> {
        self.take(b'{')?;
        loop {
            let name = self.string()?;
            self.take(b':')?;
            if name == key || (name.contains('\\') && unescape(name).as_deref() == Some(key)) {
                return Some(());
            }
            self.value()?;
            self.take(b',')?;
        }
    }

    /// Moves to the `index`-th element of the array here.
    fn element(&mut self, index: usize) -> Option<()> {
        self.take(b'[')?;
        for _ in 0..index {
            self.value()?;
            self.take(b',')?;
        }
        (self.byte()? != b']').then_some(())
    }

    /// The string here, raw and without quotes.
    fn string(&mut self) -> Option<&'t str> {
        self.skip_space();
        (self.byte()? == b'"').then_some(())?;
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut end = start;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// The value here, whatever it is.
    fn value(&mut self) -> Option<(&'t str, JsonKind)> {
        self.skip_space();
        let start = self.at;
        let kind = match self.byte()? {
            b'"' => return self.string().map(|text| (text, JsonKind::Text)),
            b'{' => JsonKind::Object,
            b'[' => JsonKind::Array,
            _ => {
                let rest = self.text.get(start..)?;
                let end = |c: char| matches!(c, ',' | '}' | ']' | ':') || c.is_ascii_whitespace();
                self.at += rest.find(end).unwrap_or(rest.len());
                let text = self.text.get(start..self.at).filter(|t| !t.is_empty())?;
                return Some((text, JsonKind::Other));
            }
        };
        let mut depth = 0_usize;
        loop {
            match self.byte()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some((self.text.get(start..self.at)?, kind));
            }
        }
    }
}

/// A raw JSON string with its escapes resolved.
pub(super) fn unescape(raw: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{raw}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &str) -> Option<String> {
        find(text, &keys(path)).map(|(value, _)| value.to_owned())
    }

    #[test]
    fn raw_values_by_path() {
        let json =
            r#"{"a": {"b": [1, {"c": "x\"y"}, null], "t": true}, "k.": 1, "e": "", "n": -1.5e3}"#;
        assert_eq!(at(json, "a.b[1].c").as_deref(), Some("x\\\"y"));
        assert_eq!(at(json, "a.b[0]").as_deref(), Some("1"));
        assert_eq!(at(json, "a.b[2]").as_deref(), Some("null"));
        assert_eq!(at(json, "a.t").as_deref(), Some("true"));
        assert_eq!(at(json, "e").as_deref(), Some(""));
        assert_eq!(at(json, "n").as_deref(), Some("-1.5e3"));
        assert_eq!(
            at(json, "a.b").as_deref(),
            Some(r#"[1, {"c": "x\"y"}, null]"#)
        );
        for none in ["z", "a.z", "a.b[3]", "a.b[x]", "e.f", ""] {
            assert_eq!(at(json, none), None, "{none}");
        }
        assert_eq!(at("[[1,2],[3]]", "[1].[0]").as_deref(), Some("3"));
        assert_eq!(at("prefix {\"a\":1}", "a").as_deref(), Some("1"));
    }

    #[test]
    fn broken_text_is_no_value() {
        for broken in [
            "",
            "{",
            "{\"",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":\"",
            "{\"a\":{",
            "}",
            "[",
            "{\"a\\",
        ] {
            assert_eq!(at(broken, "a"), None, "{broken}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(at(&format!("{{\"a\":{deep}"), "b"), None);
    }
}
