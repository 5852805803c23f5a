//! One field's key and one of its values become tests.
//!
//! Appendix on modifiers 2.1: modifiers apply in the order they are written; those that encode
//! change the value, those that name a type change how it is compared. One value may become
//! several alternatives (`windash`, `base64offset`, placeholders).

use std::str::FromStr as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::Prefix;

use crate::{
    EXPANSION_MAX, Placeholders,
    pattern::{Pattern, Piece},
    yaml::{Fault, Node, Value},
};

/// One comparison. Without a field it is about the whole event ("keywords").
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    pub field: Option<String>,
    pub check: Check,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Case {
    #[default]
    Ignored,
    Kept,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegexFlags {
    pub ignore_case: bool,
    pub multi_line: bool,
    pub dot_matches_newline: bool,
}

/// How a number or date part compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Which number is taken out of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimePart {
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

/// What is asked of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The whole value has this form.
    Text {
        pattern: Pattern,
        case: Case,
    },
    /// There is no value.
    Null,
    /// The field is there, whatever its value.
    Exists,
    Number {
        part: Option<TimePart>,
        relation: Relation,
        value: f64,
    },
    Regex {
        source: String,
        flags: RegexFlags,
    },
    Network(Prefix),
    /// The value is, begins with, ends with or contains (as the ends are open) another field's.
    Field {
        name: String,
        open_start: bool,
        open_end: bool,
        case: Case,
    },
    /// A placeholder without values: nobody can say.
    Unknown(String),
}

const NAMES: &[&str] = &[
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "day",
    "endswith",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "gte",
    "hour",
    "i",
    "lt",
    "lte",
    "m",
    "minute",
    "month",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "utf16le",
    "week",
    "wide",
    "windash",
    "year",
];

/// `Field|modifier|modifier` taken apart.
#[derive(Debug)]
pub(crate) struct Key<'k> {
    pub(crate) field: Option<&'k str>,
    modifiers: Vec<&'k str>,
    /// Several values are all wanted, not one of them.
    pub(crate) wants_all: bool,
    /// The field must have none of the values.
    pub(crate) negated: bool,
}

impl<'k> Key<'k> {
    pub(crate) fn parse(key: &'k str, at: &Node) -> Result<Self, Fault> {
        let mut parts = key.split('|').map(str::trim);
        let field = parts.next().filter(|field| !field.is_empty());
        let modifiers: Vec<&str> = parts.collect();
        for modifier in &modifiers {
            if !NAMES.contains(modifier) {
                let shown: String = modifier.chars().take(60).collect();
                return Err(at.fault(
                    format!("unknown modifier `{shown}` in `{}`", clip(key)),
                    format!("known here: {}", NAMES.join(", ")),
                ));
            }
        }
        Ok(Self {
            field,
            wants_all: modifiers.contains(&"all"),
            negated: modifiers.contains(&"neq"),
            modifiers,
        })
    }

    /// The tests of one value, of which one must hold.
    pub(crate) fn tests(
        &self,
        value: &Node,
        placeholders: &Placeholders,
    ) -> Result<Vec<Check>, Fault> {
        let mut state = State::new(value);
        for modifier in &self.modifiers {
            state.apply(modifier, placeholders)?;
            if state.values.len() > EXPANSION_MAX {
                return Err(value.fault(
                    format!("this value expands to more than {EXPANSION_MAX} values"),
                    "use fewer dashes with `windash`, or fewer values for a placeholder",
                ));
            }
        }
        state.finish()
    }
}

fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

/// A value on its way through the modifiers.
#[derive(Clone, Debug)]
enum Raw {
    Null,
    Bool(bool),
    Text(Pattern),
    /// After an encoding into something that is not UTF-8.
    Bytes(Vec<u8>),
}

/// How the values will be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Regex(RegexFlags),
    Network,
    Exists,
    Field,
    Number,
}

struct State<'n> {
    at: &'n Node,
    values: Vec<Raw>,
    kind: Kind,
    case: Case,
    part: Option<TimePart>,
    relation: Relation,
    /// `startswith`, `endswith` and `contains` of a field reference.
    open: (bool, bool),
}

impl<'n> State<'n> {
    fn new(at: &'n Node) -> Self {
        let value = match &at.value {
            Value::Text(text) => Raw::Text(Pattern::parse(text)),
            Value::Number(text) => Raw::Text(Pattern::plain(text)),
            Value::Bool(value) => Raw::Bool(*value),
            _ => Raw::Null,
        };
        Self {
            at,
            values: vec![value],
            kind: Kind::Text,
            case: Case::Ignored,
            part: None,
            relation: Relation::Equal,
            open: (false, false),
        }
    }

    fn apply(&mut self, modifier: &str, placeholders: &Placeholders) -> Result<(), Fault> {
        match modifier {
            "contains" => self.open_ends(true, true),
            "startswith" => self.open_ends(false, true),
            "endswith" => self.open_ends(true, false),
            "cased" => self.case = Case::Kept,
            "re" => self.kind = Kind::Regex(RegexFlags::default()),
            "i" | "m" | "s" => return self.flag(modifier),
            "cidr" => self.kind = Kind::Network,
            "exists" => self.kind = Kind::Exists,
            "fieldref" => self.refer(),
            "lt" => self.compare(Relation::Less),
            "lte" => self.compare(Relation::LessOrEqual),
            "gt" => self.compare(Relation::Greater),
            "gte" => self.compare(Relation::GreaterOrEqual),
            "minute" => self.take_part(TimePart::Minute),
            "hour" => self.take_part(TimePart::Hour),
            "day" => self.take_part(TimePart::Day),
            "week" => self.take_part(TimePart::Week),
            "month" => self.take_part(TimePart::Month),
            "year" => self.take_part(TimePart::Year),
            "windash" => self.values = self.each(windash),
            "expand" => {
                let expanded: Vec<Vec<Raw>> = self
                    .values
                    .drain(..)
                    .map(|value| match value {
                        Raw::Text(p) => expand(&p, placeholders)
                            .into_iter()
                            .map(Raw::Text)
                            .collect(),
                        other => vec![other],
                    })
                    .collect();
                self.values = expanded.into_iter().flatten().collect();
            }
            "base64" => return self.encode(|bytes| vec![STANDARD.encode(bytes).into_bytes()]),
            "base64offset" => return self.encode(base64_offsets),
            "wide" | "utf16le" => return self.widen(u16::to_le_bytes, &[]),
            "utf16be" => return self.widen(u16::to_be_bytes, &[]),
            "utf16" => return self.widen(u16::to_le_bytes, &[0xff, 0xfe]),
            // `all` and `neq` are about the list of values.
            _ => {}
        }
        Ok(())
    }

    fn compare(&mut self, relation: Relation) {
        self.kind = Kind::Number;
        self.relation = relation;
    }

    fn take_part(&mut self, part: TimePart) {
        self.kind = Kind::Number;
        self.part = Some(part);
    }

    fn flag(&mut self, modifier: &str) -> Result<(), Fault> {
        let Kind::Regex(flags) = &mut self.kind else {
            return Err(self.at.fault(
                format!("`{modifier}` is a flag of regular expressions, but no `re` comes before"),
                format!("write `re|{modifier}`"),
            ));
        };
        match modifier {
            "i" => flags.ignore_case = true,
            "m" => flags.multi_line = true,
            _ => flags.dot_matches_newline = true,
        }
        Ok(())
    }

    /// A field's name has no wildcards, and keeps its backslashes.
    fn refer(&mut self) {
        self.kind = Kind::Field;
        for value in &mut self.values {
            let Raw::Text(pattern) = value else { continue };
            self.open.0 |= pattern.pieces.first() == Some(&Piece::Many);
            self.open.1 |= pattern.pieces.last() == Some(&Piece::Many);
            pattern.pieces.retain(|piece| *piece != Piece::Many);
        }
    }

    fn open_ends(&mut self, start: bool, end: bool) {
        if self.kind == Kind::Field {
            self.open = (self.open.0 || start, self.open.1 || end);
            return;
        }
        if matches!(self.kind, Kind::Regex(_)) {
            // A regular expression is looked for anywhere already.
            return;
        }
        for value in &mut self.values {
            let pattern = match value {
                Raw::Text(pattern) => pattern,
                Raw::Bool(flag) => {
                    *value = Raw::Text(Pattern::plain(&flag.to_string()));
                    continue;
                }
                Raw::Bytes(bytes) => {
                    *value = Raw::Text(Pattern::plain(&String::from_utf8_lossy(bytes)));
                    match value {
                        Raw::Text(pattern) => pattern,
                        _ => continue,
                    }
                }
                Raw::Null => continue,
            };
            if start {
                pattern.open_start();
            }
            if end {
                pattern.open_end();
            }
        }
    }

    fn each(&mut self, change: impl Fn(&Pattern) -> Vec<Pattern>) -> Vec<Raw> {
        let mut all = Vec::new();
        for value in self.values.drain(..) {
            match value {
                Raw::Text(pattern) => all.extend(change(&pattern).into_iter().map(Raw::Text)),
                other => all.push(other),
            }
        }
        all
    }

    /// Applies an encoding of bytes; open ends stay open.
    fn encode(&mut self, encode: impl Fn(&[u8]) -> Vec<Vec<u8>>) -> Result<(), Fault> {
        let mut all = Vec::new();
        for value in self.values.drain(..) {
            let (bytes, open) = match value {
                Raw::Bytes(bytes) => (bytes, (false, false)),
                Raw::Text(pattern) => {
                    let (text, start, end) = ends(&pattern).ok_or_else(|| {
                        self.at.fault(
                            "a value with wildcards cannot be encoded",
                            "remove the wildcard or escape it with a backslash",
                        )
                    })?;
                    (text.as_bytes().to_vec(), (start, end))
                }
                other => {
                    all.push(other);
                    continue;
                }
            };
            for encoded in encode(&bytes) {
                let mut pattern = Pattern::plain(&String::from_utf8_lossy(&encoded));
                if open.0 {
                    pattern.open_start();
                }
                if open.1 {
                    pattern.open_end();
                }
                all.push(Raw::Text(pattern));
            }
        }
        self.values = all;
        Ok(())
    }

    fn widen(&mut self, unit: fn(u16) -> [u8; 2], mark: &[u8]) -> Result<(), Fault> {
        for value in &mut self.values {
            let Raw::Text(pattern) = value else { continue };
            let Some(text) = pattern.as_plain() else {
                return Err(self.at.fault(
                    "a value with wildcards cannot be encoded",
                    "put the encoding before `contains`, and escape wildcards with a backslash",
                ));
            };
            let units = text.encode_utf16().flat_map(unit);
            *value = Raw::Bytes(mark.iter().copied().chain(units).collect());
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Check>, Fault> {
        let Self { at, values, .. } = &self;
        let mut checks = Vec::with_capacity(values.len());
        for value in values {
            let check = match (value, self.kind) {
                (_, Kind::Exists) => self.exists()?,
                (Raw::Null, Kind::Text) => vec![Check::Null],
                (Raw::Null, _) => {
                    return Err(at.fault(
                        "`null` cannot be compared so",
                        "remove the modifiers, or write a value",
                    ));
                }
                (Raw::Bool(flag), _) => vec![text(Pattern::plain(&flag.to_string()), self.case)],
                (Raw::Bytes(bytes), _) => {
                    let plain = Pattern::plain(&String::from_utf8_lossy(bytes));
                    vec![text(plain, self.case)]
                }
                (Raw::Text(pattern), kind) => self.typed(pattern, kind)?,
            };
            checks.extend(check);
        }
        Ok(checks)
    }

    fn typed(&self, pattern: &Pattern, kind: Kind) -> Result<Vec<Check>, Fault> {
        if let Some(name) = pattern.placeholder() {
            return Ok(vec![Check::Unknown(name.to_owned())]);
        }
        // The text as it was written: these kinds know neither wildcards nor escapes.
        let written = self.at.text().unwrap_or_default();
        match kind {
            Kind::Text => Ok(vec![text(pattern.clone(), self.case)]),
            Kind::Regex(flags) => Ok(vec![Check::Regex {
                source: written,
                flags,
            }]),
            Kind::Field => Ok(vec![Check::Field {
                name: pattern.as_plain().unwrap_or(&written).to_owned(),
                open_start: self.open.0,
                open_end: self.open.1,
                case: self.case,
            }]),
            Kind::Network => {
                let text = pattern.as_plain().unwrap_or(&written).trim();
                let network = Prefix::from_str(text).map_err(|e| {
                    self.at.fault(
                        format!("`{}` is not a network: {e}", clip(text)),
                        "write an address and a prefix length, such as 192.0.2.0/24",
                    )
                })?;
                Ok(vec![Check::Network(network)])
            }
            Kind::Number => {
                let value = written.trim().parse().map_err(|_| {
                    self.at.fault(
                        format!("`{}` is not a number", clip(&written)),
                        "`lt`, `lte`, `gt`, `gte` and the parts of a date take numbers",
                    )
                })?;
                Ok(vec![Check::Number {
                    part: self.part,
                    relation: self.relation,
                    value,
                }])
            }
            Kind::Exists => self.exists(),
        }
    }

    /// `exists: false` is wrapped by the caller; see [`is_absence`].
    fn exists(&self) -> Result<Vec<Check>, Fault> {
        match is_absence(self.at) {
            Some(_) => Ok(vec![Check::Exists]),
            None => Err(self.at.fault(
                "`exists` takes `true` or `false`",
                "write `Field|exists: true`",
            )),
        }
    }
}

impl Key<'_> {
    /// `exists: false`: the opposite of what the tests say.
    pub(crate) fn is_absence(&self, value: &Node) -> bool {
        self.modifiers.contains(&"exists") && is_absence(value) == Some(true)
    }
}

fn is_absence(value: &Node) -> Option<bool> {
    match &value.value {
        Value::Bool(flag) => Some(!flag),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(false),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => Some(true),
        _ => None,
    }
}

fn text(pattern: Pattern, case: Case) -> Check {
    Check::Text { pattern, case }
}

/// The text between open ends, and which ends are open.
fn ends(pattern: &Pattern) -> Option<(&str, bool, bool)> {
    let mut pieces = pattern.pieces.as_slice();
    let start = pieces.first() == Some(&Piece::Many);
    if start {
        pieces = pieces.get(1..)?;
    }
    let end = pieces.last() == Some(&Piece::Many);
    if end {
        pieces = pieces.get(..pieces.len() - 1)?;
    }
    match pieces {
        [] => Some(("", start, end)),
        [Piece::Text(text)] => Some((text, start, end)),
        _ => None,
    }
}

/// The three forms that a text takes in base64, by its place modulo 3, without the characters that
/// depend on what is around it.
fn base64_offsets(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::with_capacity(3);
    for (offset, skip) in [(0, 0), (1, 2), (2, 3)] {
        let mut shifted = vec![b' '; offset];
        shifted.extend_from_slice(bytes);
        let encoded = STANDARD.encode(&shifted).into_bytes();
        let cut = match shifted.len() % 3 {
            1 => 3,
            2 => 2,
            _ => 0,
        };
        let kept = encoded.get(skip..encoded.len().saturating_sub(cut));
        forms.push(kept.unwrap_or_default().to_vec());
    }
    forms
}

const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// Every dash or slash that begins a word stands for each of the five.
fn windash(pattern: &Pattern) -> Vec<Pattern> {
    let mut forms = vec![Pattern::default()];
    for piece in &pattern.pieces {
        let Piece::Text(text) = piece else {
            forms.iter_mut().for_each(|form| form.push(piece.clone()));
            continue;
        };
        let mut before = None;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let begins = matches!(c, '-' | '/')
                && !before.is_some_and(is_word)
                && chars.peek().copied().is_some_and(is_word);
            if begins && forms.len() <= EXPANSION_MAX {
                forms = forms
                    .iter()
                    .flat_map(|form| DASHES.map(|dash| with_char(form, dash)))
                    .collect();
            } else {
                forms.iter_mut().for_each(|form| form.push_char(c));
            }
            before = Some(c);
        }
    }
    forms
}

fn with_char(form: &Pattern, c: char) -> Pattern {
    let mut form = form.clone();
    form.push_char(c);
    form
}

/// Puts the values of `%placeholders%` in; a name without values stays a placeholder.
fn expand(pattern: &Pattern, placeholders: &Placeholders) -> Vec<Pattern> {
    let mut forms = vec![Pattern::default()];
    for piece in &pattern.pieces {
        let Piece::Text(text) = piece else {
            forms.iter_mut().for_each(|form| form.push(piece.clone()));
            continue;
        };
        for part in parts(text) {
            let values = match part {
                Part::Text(text) => {
                    let text = Piece::Text(text);
                    forms.iter_mut().for_each(|form| form.push(text.clone()));
                    continue;
                }
                Part::Name(name) => match placeholders.get(&name) {
                    Some(values) => values.iter().map(|v| Pattern::parse(v)).collect(),
                    None => vec![Pattern {
                        pieces: vec![Piece::Placeholder(name)],
                    }],
                },
            };
            if forms.len().saturating_mul(values.len()) > EXPANSION_MAX * 2 {
                // Too many to write down; the caller refuses it.
                return vec![Pattern::default(); EXPANSION_MAX + 1];
            }
            forms = forms
                .iter()
                .flat_map(|form| {
                    values.iter().map(|value| {
                        let mut form = form.clone();
                        value
                            .pieces
                            .iter()
                            .for_each(|piece| form.push(piece.clone()));
                        form
                    })
                })
                .collect();
        }
    }
    forms
}

enum Part {
    Text(String),
    Name(String),
}

/// `\%` is a percent sign; `%name%` a placeholder.
fn parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\\%") {
            plain.push('%');
            rest = after;
            continue;
        }
        let name = rest
            .strip_prefix('%')
            .and_then(|after| after.split_once('%'))
            .filter(|(name, _)| !name.is_empty() && !name.contains(char::is_whitespace));
        if let Some((name, after)) = name {
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(Part::Name(name.to_owned()));
            rest = after;
            continue;
        }
        plain.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    parts.push(Part::Text(plain));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(value: Value) -> Node {
        Node {
            value,
            line: 1,
            column: 1,
        }
    }

    fn checks(key: &str, value: &str) -> Vec<Check> {
        with(key, value, &Placeholders::new()).unwrap()
    }

    fn with(key: &str, value: &str, placeholders: &Placeholders) -> Result<Vec<Check>, Fault> {
        let value = node(Value::Text(value.to_owned()));
        Key::parse(key, &value)?.tests(&value, placeholders)
    }

    fn texts(key: &str, value: &str) -> Vec<String> {
        checks(key, value)
            .into_iter()
            .map(|check| match check {
                Check::Text { pattern, .. } => shown(&pattern),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn shown(pattern: &Pattern) -> String {
        let show = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::One => "?".to_owned(),
            Piece::Many => "*".to_owned(),
            Piece::Placeholder(name) => format!("<{name}>"),
        };
        pattern.pieces.iter().map(show).collect()
    }

    #[test]
    fn ends_open_once() {
        assert_eq!(texts("F|contains", "*a"), ["*a*"]);
        assert_eq!(texts("F|startswith", "a"), ["a*"]);
        assert_eq!(texts("F|endswith", "a"), ["*a"]);
    }

    #[test]
    fn encodings_chain_in_their_order() {
        // The examples of RFC 4648 section 10, and UTF-16 by hand.
        assert_eq!(texts("F|base64", "foobar"), ["Zm9vYmFy"]);
        assert_eq!(texts("F|wide|base64|contains", "a"), ["*YQA=*"]);
        assert_eq!(texts("F|utf16be|base64", "a"), ["AGE="]);
        assert_eq!(texts("F|utf16|base64", "a"), ["//5hAA=="]);
        assert!(with("F|base64", "a*b", &Placeholders::new()).is_err());
    }

    /// Wherever the text stands in a longer one, one of the forms stands in its encoding.
    #[test]
    fn offsets_cover_every_place() {
        let forms = texts("F|base64offset", "evil");
        assert_eq!(forms.len(), 3);
        for before in 0..7 {
            for after in 0..7 {
                let whole = format!("{}evil{}", "x".repeat(before), "y".repeat(after));
                let encoded = STANDARD.encode(whole);
                assert!(forms.iter().any(|form| encoded.contains(form)), "{encoded}");
            }
        }
    }

    #[test]
    fn dashes_vary_where_a_word_begins_only() {
        let forms = texts("F|contains|windash", " -a b-c ");
        assert_eq!(forms.len(), 5);
        assert!(forms.contains(&"* /a b-c *".to_owned()));
        assert!(forms.contains(&"* \u{2015}a b-c *".to_owned()));
        assert_eq!(texts("F|windash", "-a -b").len(), 25);
        assert!(with("F|windash", &"-a ".repeat(40), &Placeholders::new()).is_err());
    }

    #[test]
    fn placeholders_expand_or_stay_unknown() {
        let known = Placeholders::from([(
            "who".to_owned(),
            vec!["adm_*".to_owned(), "root".to_owned()],
        )]);
        let found = with("F|expand", "x%who%", &known).unwrap();
        let found: Vec<String> = found
            .iter()
            .map(|check| match check {
                Check::Text { pattern, .. } => shown(pattern),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, ["xadm_*", "xroot"]);
        assert_eq!(
            checks("F|contains|expand", "%who%"),
            [Check::Unknown("who".to_owned())]
        );
        assert_eq!(texts("F", "%who%"), ["%who%"]);
        assert_eq!(texts("F|expand", r"\%who%"), ["%who%"]);
        assert_eq!(texts("F|expand", "50% off"), ["50% off"]);
    }

    #[test]
    fn types_are_checked() {
        assert!(matches!(
            checks("F|cidr", "192.0.2.0/24")[..],
            [Check::Network(_)]
        ));
        assert!(with("F|cidr", "x", &Placeholders::new()).is_err());
        assert!(with("F|gt", "x", &Placeholders::new()).is_err());
        assert!(with("F|i", "x", &Placeholders::new()).is_err());
        assert!(with("F|contain", "x", &Placeholders::new()).is_err());
        assert_eq!(
            checks("F|hour|gte", "22"),
            [Check::Number {
                part: Some(TimePart::Hour),
                relation: Relation::GreaterOrEqual,
                value: 22.0
            }]
        );
        assert_eq!(
            checks("F|re|i", r"a\\.b*"),
            [Check::Regex {
                source: r"a\\.b*".to_owned(),
                flags: RegexFlags {
                    ignore_case: true,
                    ..RegexFlags::default()
                }
            }]
        );
        assert_eq!(
            checks("F|fieldref|endswith", "Other.Field"),
            [Check::Field {
                name: "Other.Field".to_owned(),
                open_start: true,
                open_end: false,
                case: Case::Ignored
            }]
        );
    }
}
