//! Regular expressions as rules write them (Go's RE2 syntax) on the linear-time engine here.
//!
//! Rules were written for RE2. The two engines agree on what a pattern means except for a few
//! points of syntax, which [`translate`] rewrites: a `{` that starts no repetition is literal,
//! `\d \w \s \b` are ASCII, `\<` is a plain `<`, `[`, `&` and `~` in a class are literal, octal
//! escapes and `\Q…\E` exist. It must not change what a pattern matches under RE2.

use std::{borrow::Cow, iter::Peekable, str::CharIndices};

use model::limits::REGEX_BYTES_MAX;
use regex::{Regex, RegexBuilder};

/// A pattern that does not compile.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("regular expression: {message}")]
pub struct RegexError {
    /// Byte offset in the pattern as written, where it is known.
    pub offset: Option<usize>,
    pub message: String,
    pub fix: String,
}

/// Compiles a Go RE2 pattern, bounded in size.
pub fn compile(pattern: &str) -> Result<Regex, RegexError> {
    RegexBuilder::new(&translate(pattern))
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|e| match e {
            regex::Error::CompiledTooBig(max) => RegexError {
                offset: None,
                message: format!("compiles to more than {max} bytes"),
                fix: "lower the counts in {n,m} repetitions or split the pattern".into(),
            },
            other => explain(pattern, &other.to_string()),
        })
}

/// The engine's own report is several lines with the translated pattern; its last line says why.
fn explain(pattern: &str, report: &str) -> RegexError {
    let reason = report
        .lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let fix = if reason.contains("look-around") {
        "look-ahead and look-behind do not exist in RE2; test the rest with a second condition"
    } else if reason.contains("backreference") {
        "back-references do not exist in RE2; match the parts and compare them"
    } else if reason.contains("unclosed") || reason.contains("unopened") {
        "balance the brackets, or escape a literal one with a backslash"
    } else {
        "see https://github.com/google/re2/wiki/Syntax for what may stand in a pattern"
    };
    let shown: String = pattern.chars().take(120).collect();
    RegexError {
        offset: None,
        message: format!("{reason} in {shown:?}"),
        fix: fix.into(),
    }
}

/// Rewrites Go RE2 syntax to this engine's syntax. Borrows when nothing needs rewriting.
pub fn translate(pattern: &str) -> Cow<'_, str> {
    if !pattern.contains(['{', '}', '\\', '[']) {
        return Cow::Borrowed(pattern);
    }
    let mut t = Translator {
        pattern,
        chars: pattern.char_indices().peekable(),
        out: String::with_capacity(pattern.len() + 16),
    };
    t.run();
    if t.out == pattern {
        Cow::Borrowed(pattern)
    } else {
        Cow::Owned(t.out)
    }
}

struct Translator<'p> {
    pattern: &'p str,
    chars: Peekable<CharIndices<'p>>,
    out: String,
}

impl Translator<'_> {
    fn run(&mut self) {
        while let Some((at, c)) = self.chars.next() {
            match c {
                '\\' => self.escape(at),
                '[' => self.class(),
                '{' => match repetition(self.rest(at)) {
                    Some(len) => self.copy(at, len),
                    None => self.out.push_str("\\{"),
                },
                '}' => self.out.push_str("\\}"),
                other => self.out.push(other),
            }
        }
    }

    fn rest(&self, at: usize) -> &str {
        self.pattern.get(at..).unwrap_or_default()
    }

    /// Copies `len` bytes from `at`, the first character of which is already taken.
    fn copy(&mut self, at: usize, len: usize) {
        let text = self.pattern.get(at..at + len).unwrap_or_default();
        self.out.push_str(text);
        self.skip_to(at + len);
    }

    fn skip_to(&mut self, end: usize) {
        while self.chars.next_if(|(i, _)| *i < end).is_some() {}
    }

    fn escape(&mut self, at: usize) {
        let Some((_, c)) = self.chars.next() else {
            self.out.push('\\');
            return;
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str("[\\t\\n\\x0C\\r ]"),
            'S' => self.out.push_str("[^\\t\\n\\x0C\\r ]"),
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?-u:\\B)"),
            'Q' => self.quoted(at + 2),
            _ => self.literal_escape(at, c),
        }
    }

    /// An escape that means the same inside and outside a class.
    fn literal_escape(&mut self, at: usize, c: char) {
        match c {
            '<' | '>' => self.out.push(c),
            '0'..='7' => self.octal(at, c),
            'p' | 'P' | 'x' => {
                self.out.push('\\');
                self.out.push(c);
                if self.chars.peek().is_some_and(|(_, next)| *next == '{') {
                    let start = at + 2;
                    if let Some(len) = self.rest(start).find('}') {
                        self.copy(start, len + 1);
                    }
                }
            }
            _ => {
                self.out.push('\\');
                self.out.push(c);
            }
        }
    }

    // RE2 allows \0, and \1 to \7 only before further octal digits: a lone \1 would be a
    // back-reference, which neither engine has.
    fn octal(&mut self, at: usize, first: char) {
        let digits = self
            .rest(at + 1)
            .bytes()
            .take(3)
            .take_while(|b| (b'0'..=b'7').contains(b));
        let digits = digits.count();
        if first != '0' && digits < 2 {
            self.out.push('\\');
            self.out.push(first);
            return;
        }
        let text = self.rest(at + 1).get(..digits).unwrap_or_default();
        let code = u32::from_str_radix(text, 8).unwrap_or(0);
        self.out.push_str(&format!("\\x{{{code:X}}}"));
        self.skip_to(at + 1 + digits);
    }

    fn quoted(&mut self, start: usize) {
        let rest = self.rest(start);
        let (text, end) = match rest.find("\\E") {
            Some(len) => (&rest[..len], start + len + 2),
            None => (rest, self.pattern.len()),
        };
        let text = regex::escape(text);
        self.out.push_str(&text);
        self.skip_to(end);
    }

    fn class(&mut self) {
        self.out.push('[');
        if self.chars.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        let mut first = true;
        while let Some((at, c)) = self.chars.next() {
            if c == ']' && !first {
                self.out.push(']');
                return;
            }
            first = false;
            if self.class_item(at, c) {
                self.class_range();
            }
        }
    }

    /// One item of a class. Returns whether it can be the lower end of a range.
    fn class_item(&mut self, at: usize, c: char) -> bool {
        match c {
            '[' => {
                if let Some(len) = posix_class(self.rest(at)) {
                    self.copy(at, len);
                    return false;
                }
                self.out.push_str("\\[");
            }
            '\\' => {
                let Some((_, c)) = self.chars.next() else {
                    self.out.push('\\');
                    return false;
                };
                let set = match c {
                    'd' => "0-9",
                    'D' => "[^0-9]",
                    'w' => "0-9A-Za-z_",
                    'W' => "[^0-9A-Za-z_]",
                    's' => "\\t\\n\\x0C\\r ",
                    'S' => "[^\\t\\n\\x0C\\r ]",
                    _ => {
                        self.literal_escape(at, c);
                        return !matches!(c, 'p' | 'P');
                    }
                };
                self.out.push_str(set);
                return false;
            }
            c if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => {
                self.out.push('\\');
                self.out.push(c);
            }
            other => self.out.push(other),
        }
        true
    }

    fn class_range(&mut self) {
        let mut ahead = self.chars.clone();
        let dash = ahead.next().is_some_and(|(_, c)| c == '-');
        if !dash || ahead.peek().is_none_or(|(_, c)| *c == ']') {
            return;
        }
        self.chars.next();
        self.out.push('-');
        if let Some((at, c)) = self.chars.next() {
            self.class_item(at, c);
        }
    }
}

/// The length of `{n}`, `{n,}` or `{n,m}` at the start of `text`.
fn repetition(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('{')?;
    let (inner, _) = inner.split_once('}')?;
    let (low, high) = inner.split_once(',').unwrap_or((inner, "0"));
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    (!low.is_empty() && digits(low) && digits(high)).then_some(inner.len() + 2)
}

/// The length of `[:name:]` at the start of `text`.
fn posix_class(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("[:")?;
    let (name, _) = inner.split_once(":]")?;
    let word = name.strip_prefix('^').unwrap_or(name);
    (!word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase())).then_some(name.len() + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, text: &str) -> bool {
        compile(pattern)
            .unwrap_or_else(|e| panic!("{pattern}: {e}"))
            .is_match(text)
    }

    #[test]
    fn plain_patterns_are_borrowed() {
        assert!(matches!(translate("^a.*b$"), Cow::Borrowed(_)));
        assert!(matches!(translate("a{2,3}[a-z]\\."), Cow::Borrowed(_)));
    }

    #[test]
    fn a_brace_that_repeats_nothing_is_literal() {
        for (pattern, text) in [
            ("^{\"a\"}$", "{\"a\"}"),
            ("^a{,2}$", "a{,2}"),
            ("^a{x}$", "a{x}"),
            ("^%{A:b:int}$", "%{A:b:int}"),
            ("^a{2}$", "aa"),
            ("^a{2,}}$", "aaa}"),
            ("^[{}]+$", "{}"),
            ("^\\{1\\}$", "{1}"),
        ] {
            assert!(is_match(pattern, text), "{pattern}");
        }
        assert!(!is_match("^a{2}$", "a{2}"));
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(is_match("^\\d$", "7") && !is_match("^\\d$", "٧"));
        assert!(is_match("^\\w$", "a") && !is_match("^\\w$", "é"));
        assert!(is_match("^[\\w.]+$", "a.b") && !is_match("^[\\w.]+$", "é"));
        assert!(
            is_match("^\\s$", "\t") && !is_match("^\\s$", "\u{a0}") && !is_match("^\\s$", "\x0b")
        );
        assert!(is_match("^[\\S]$", "é") && is_match("^[^\\d]$", "é") && is_match("^[\\D]$", "é"));
        assert!(is_match("é\\bx", "éx"));
        assert!(is_match("a\\Bb", "ab") && !is_match("a\\B-", "a-"));
    }

    #[test]
    fn classes_are_flat() {
        assert!(is_match("^[[]$", "[") && is_match("^[]a]+$", "]a") && is_match("^[^]]$", "x"));
        assert!(is_match("^[a&&b]+$", "&ab") && is_match("^[~~]$", "~"));
        assert!(
            is_match("^[+--]+$", "+,-") && is_match("^[--/]+$", "-./") && is_match("^[a-]+$", "a-")
        );
        assert!(is_match("^[[:alpha:]_]+$", "ab_") && is_match("^[\\w-]+$", "a-b"));
        assert!(is_match("^[a-\\x7a]+$", "az") && is_match("^[\\[\\]]+$", "[]"));
        assert!(is_match("^[$|%24][\\(|%28]$", "$("));
    }

    #[test]
    fn escapes() {
        assert!(is_match("^\\<a\\>$", "<a>") && is_match("^[\\<\\>]+$", "<>"));
        assert!(is_match("^\\Qa.{b\\E.$", "a.{bx") && !is_match("^\\Qa.b\\E$", "axb"));
        assert!(is_match("^\\101\\x{41}\\pL\\p{Greek}$", "AAbα"));
        assert!(is_match("^\\_\\/\\\"\\'\\-\\@$", "_/\"'-@"));
        assert!(is_match("(?i)(?P<x>ab)$", "AB"));
    }

    #[test]
    fn errors_say_what_to_do() {
        let e = compile("a(?=b)").unwrap_err();
        assert!(e.fix.contains("look-ahead"), "{e:?}");
        assert!(compile("(").unwrap_err().fix.contains("balance"));
        assert!(
            compile("(a)\\1")
                .unwrap_err()
                .fix
                .contains("back-reference")
        );
        assert!(compile("[[:word:]]{1000}{1000}{1000}").is_err());
        for odd in [
            "\\", "[", "[^", "[a-", "[\\", "\\x{", "\\p{", "\\Q", "{", "[[:", "\\8",
        ] {
            let _ = compile(odd);
        }
    }
}
