//! Grok patterns, expanded and compiled.
//!
//! `%{NAME}` stands for the library's pattern of that name; `%{NAME:field}` also captures it. A
//! matched text becomes fields of the event. Which capture a field gets is settled when the
//! pattern compiles, by these rules of existing content: on one level the last `%{…:field}` of a
//! name wins; a level's own field hides the same name from the patterns it is made of; between
//! those, the last wins. A field whose part did not take part in the match is set to `""`.
//! A pattern without any field never matches. Expansion is bounded in depth and size.

use std::{ops::Range, sync::OnceLock};

use ::regex_syntax::hir::{Capture, Hir, HirKind, Repetition};
use memchr::memmem;
use model::limits;
use regex_automata::{Input, meta, util::primitives::NonMaxUsize};

use crate::{
    literals::{self, AnyOf},
    patterns::Library,
    regex_syntax,
    symbols::{Sym, Symbols},
    walk::{Memory, Slots, Walk, Walked},
};

/// Bytes of one expanded pattern.
const EXPANDED_BYTES_MAX: usize = 1 << 20;
/// More alternatives than this are left to the expression itself.
const FINDERS_MAX: usize = 4;
/// Nesting of an expanded expression.
const NEST_MAX: u32 = 200;

/// A compiled grok pattern. Matching needs a [`Cache`] that the caller keeps.
#[derive(Debug)]
pub struct Grok {
    regex: Lazy,
    /// Faster, for patterns that allow it.
    walk: Option<Walk>,
    /// Two for each group that becomes a field, and for the whole match.
    slots: usize,
    fields: Vec<(Sym, usize)>,
    required: Option<AnyOf>,
    finders: Vec<memmem::Finder<'static>>,
}

/// The general engine's form of a pattern, made when it is first needed: where the walk decides
/// every line it is large and never asked.
#[derive(Debug)]
struct Lazy {
    /// The expanded pattern, and which of its groups become fields.
    text: Box<str>,
    keep: Box<[usize]>,
    regex: OnceLock<Option<meta::Regex>>,
}

/// What matching needs besides the text; kept by the caller from one text to the next.
#[derive(Debug, Default)]
pub struct Cache {
    /// Made when the general engine is first asked.
    regex: Option<Box<meta::Cache>>,
    walk: Memory,
}

/// Why a pattern does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GrokError {
    /// Byte in the pattern as written where the fault is, or from where it comes.
    pub offset: usize,
    pub message: String,
    pub fix: String,
}

impl Grok {
    /// Compiles `pattern`, as it stands in a rule.
    pub fn compile(
        pattern: &str,
        library: &Library,
        symbols: &mut Symbols,
    ) -> Result<Self, GrokError> {
        let mut expansion = Expansion {
            known: library,
            text: String::new(),
            groups: 0,
            trail: Vec::new(),
        };
        let names = expansion.expand(pattern)?;
        let hir = parse(&expansion.text).map_err(|error| expansion.blame(pattern, error))?;
        let mut keep: Vec<usize> = names.iter().map(|(_, group)| *group).collect();
        keep.sort_unstable();
        let mut order = Vec::new();
        let hir = without_captures(&hir, &keep, &mut order);
        let fields = names
            .into_iter()
            .filter_map(|(name, group)| {
                let slot = order.iter().position(|g| *g == group)? + 1;
                Some((symbols.intern(&name), slot))
            })
            .collect();
        let required = literals::required(&hir);
        let finders = required
            .iter()
            .flat_map(|any| &any.0)
            .map(|text| memmem::Finder::new(text).into_owned());
        let finders: Vec<_> = finders.collect();
        let walk = Walk::new(&hir);
        // A pattern of so few steps is far below what the general engine may take.
        let regex = match &walk {
            Some(_) => OnceLock::new(),
            None => {
                let regex = build(&hir).map_err(|error| expansion.blame(pattern, error))?;
                OnceLock::from(Some(regex))
            }
        };
        Ok(Self {
            walk,
            regex: Lazy {
                text: expansion.text.into(),
                keep: keep.into(),
                regex,
            },
            slots: (order.len() + 1) * 2,
            fields,
            finders: if finders.len() <= FINDERS_MAX {
                finders
            } else {
                Vec::new()
            },
            required,
        })
    }

    pub fn cache(&self) -> Cache {
        Cache::default()
    }

    /// The fields a match sets.
    pub fn fields(&self) -> impl Iterator<Item = Sym> {
        self.fields.iter().map(|(sym, _)| *sym)
    }

    /// Texts of which one stands in every match.
    pub const fn required(&self) -> Option<&AnyOf> {
        self.required.as_ref()
    }

    /// Matches `text`; the captures of a match are then read with [`Grok::captures`].
    pub fn matches(
        &self,
        text: &str,
        cache: &mut Cache,
        slots: &mut Vec<Option<NonMaxUsize>>,
    ) -> bool {
        if self.fields.is_empty() {
            return false;
        }
        if let Some(walk) = &self.walk {
            self.clear(slots);
            match walk.run(text, slots, &mut cache.walk) {
                Walked::Unknown => {}
                walked => {
                    debug_assert_eq!(
                        (walked == Walked::Match).then(|| slots.clone()),
                        self.searched(text, cache),
                        "the walk and the general engine differ over {text:?}"
                    );
                    return walked == Walked::Match;
                }
            }
        }
        let hopeless = !self.finders.is_empty()
            && !self
                .finders
                .iter()
                .any(|finder| finder.find(text.as_bytes()).is_some());
        !hopeless && self.search(text, cache, slots)
    }

    /// The general engine's captures.
    fn searched(&self, text: &str, cache: &mut Cache) -> Option<Slots> {
        let mut slots = Slots::new();
        self.search(text, cache, &mut slots).then_some(slots)
    }

    fn search(&self, text: &str, cache: &mut Cache, slots: &mut Slots) -> bool {
        self.clear(slots);
        let Some(regex) = self.regex.get() else {
            return false;
        };
        let cache = cache
            .regex
            .get_or_insert_with(|| Box::new(regex.create_cache()));
        regex
            .search_slots_with(cache, &Input::new(text), slots)
            .is_some()
    }

    fn clear(&self, slots: &mut Slots) {
        slots.clear();
        slots.resize(self.slots, None);
    }

    /// The fields of the last match and where they stand in its text; `None` is set to `""`.
    pub fn captures<'s>(
        &'s self,
        slots: &'s [Option<NonMaxUsize>],
    ) -> impl Iterator<Item = (Sym, Option<Range<usize>>)> + 's {
        self.fields.iter().map(|(sym, slot)| {
            let at = |i: usize| slots.get(i).copied().flatten().map(NonMaxUsize::get);
            (
                *sym,
                at(slot * 2)
                    .zip(at(slot * 2 + 1))
                    .map(|(start, end)| start..end),
            )
        })
    }
}

impl Lazy {
    /// `None` never happens: that the pattern parses was seen when it was compiled.
    fn get(&self) -> Option<&meta::Regex> {
        let make = || {
            let hir = parse(&self.text).ok()?;
            build(&without_captures(&hir, &self.keep, &mut Vec::new())).ok()
        };
        self.regex.get_or_init(make).as_ref()
    }
}

fn parse(text: &str) -> Result<Hir, String> {
    ::regex_syntax::ParserBuilder::new()
        .nest_limit(NEST_MAX)
        .build()
        .parse(&regex_syntax::translate(text))
        .map_err(|error| reason(&error))
}

/// The library prints the whole expanded pattern; its last line says why.
fn reason(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ")
        .chars()
        .take(200)
        .collect()
}

fn build(hir: &Hir) -> Result<meta::Regex, String> {
    meta::Regex::builder()
        .configure(meta::Config::new().nfa_size_limit(Some(limits::REGEX_BYTES_MAX)))
        .build_from_hir(hir)
        .map_err(|error| match error.size_limit() {
            Some(max) => format!("compiles to more than {max} bytes"),
            None => reason(&error),
        })
}

/// Only captures that become fields stay; the fewer, the faster the match. Numbers them anew, in
/// the order they stand, and notes their old numbers in `order`.
fn without_captures(hir: &Hir, keep: &[usize], order: &mut Vec<usize>) -> Hir {
    match hir.kind() {
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => hir.clone(),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(without_captures(&repetition.sub, keep, order)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => {
            let group = capture.name.as_deref().and_then(group_of);
            let Some(group) = group.filter(|g| keep.binary_search(g).is_ok()) else {
                return without_captures(&capture.sub, keep, order);
            };
            order.push(group);
            let index = u32::try_from(order.len()).unwrap_or(u32::MAX);
            let sub = Box::new(without_captures(&capture.sub, keep, order));
            Hir::capture(Capture {
                index,
                name: None,
                sub,
            })
        }
        HirKind::Concat(parts) => Hir::concat(
            parts
                .iter()
                .map(|p| without_captures(p, keep, order))
                .collect(),
        ),
        HirKind::Alternation(parts) => Hir::alternation(
            parts
                .iter()
                .map(|p| without_captures(p, keep, order))
                .collect(),
        ),
    }
}

/// The expanded pattern's tree, and which field each of its named groups becomes.
pub(crate) fn outline(pattern: &str, library: &Library) -> Option<(Hir, Vec<(String, String)>)> {
    let mut expansion = Expansion {
        known: library,
        text: String::new(),
        groups: 0,
        trail: Vec::new(),
    };
    let names = expansion.expand(pattern).ok()?;
    let groups = names
        .into_iter()
        .map(|(name, group)| (format!("{GROUP_PREFIX}{group}"), name))
        .collect();
    Some((parse(&expansion.text).ok()?, groups))
}

const GROUP_PREFIX: &str = "grok_";

fn group_of(name: &str) -> Option<usize> {
    name.strip_prefix(GROUP_PREFIX)?.parse().ok()
}

struct Expansion<'l> {
    known: &'l Library,
    text: String,
    groups: usize,
    /// The names being expanded, outermost first.
    trail: Vec<String>,
}

/// Fields in order, each with its group.
type Names = Vec<(String, usize)>;

impl Expansion<'_> {
    /// Expands one level into `text`; returns which group each field gets.
    fn expand(&mut self, pattern: &str) -> Result<Names, GrokError> {
        let mut inner: Names = Vec::new();
        let mut own: Names = Vec::new();
        let mut done = 0;
        while let Some(token) = next_token(pattern, done) {
            self.push(
                pattern.get(done..token.range.start).unwrap_or_default(),
                done,
            )?;
            done = token.range.end;
            let at = token.range.start;
            let sub = self.find(token.name, at)?;
            if token.field.is_empty() {
                self.push("(?:", at)?;
            } else {
                let group = self.groups;
                self.groups += 1;
                self.push(&format!("(?P<{GROUP_PREFIX}{group}>"), at)?;
                put(&mut own, token.field.to_owned(), group);
            }
            self.trail.push(token.name.to_owned());
            let names = self
                .expand(&sub)
                .map_err(|e| GrokError { offset: at, ..e })?;
            self.trail.pop();
            self.push(")", at)?;
            for (name, group) in names {
                put(&mut inner, name, group);
            }
        }
        self.push(pattern.get(done..).unwrap_or_default(), done)?;
        for (name, group) in own {
            put(&mut inner, name, group);
        }
        Ok(inner)
    }

    fn push(&mut self, text: &str, offset: usize) -> Result<(), GrokError> {
        if self.text.len() + text.len() > EXPANDED_BYTES_MAX {
            return Err(GrokError {
                offset,
                message: format!("the pattern expands to more than {EXPANDED_BYTES_MAX} bytes"),
                fix: "use fewer or simpler patterns inside it".to_owned(),
            });
        }
        self.text.push_str(text);
        Ok(())
    }

    /// The expression called `name`, unless it is unknown, contains itself, or lies too deep.
    fn find(&self, name: &str, offset: usize) -> Result<String, GrokError> {
        let Some(pattern) = self.known.get(name) else {
            let message = format!("the grok pattern `{name}` is not defined{}", self.context());
            let fix = match self.known.nearest(name) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "define it under `pattern_syntax:` or in a patterns file".to_owned(),
            };
            return Err(GrokError {
                offset,
                message,
                fix,
            });
        };
        if let Some(start) = self.trail.iter().position(|n| n == name) {
            let circle = self.trail.get(start..).unwrap_or_default().join("` → `");
            let place = match self.trail.last().and_then(|last| self.known.get(last)) {
                Some(closing) if !closing.origin.is_empty() => {
                    format!("at {}, ", closing.origin)
                }
                _ => String::new(),
            };
            return Err(GrokError {
                offset,
                message: format!("grok patterns in a circle: `{circle}` → `{name}`"),
                fix: format!("{place}write out what `{name}` stands for"),
            });
        }
        if self.trail.len() >= limits::GROK_DEPTH_MAX {
            return Err(GrokError {
                offset,
                message: format!(
                    "grok patterns nested deeper than {}",
                    limits::GROK_DEPTH_MAX
                ),
                fix: "write some of them out".to_owned(),
            });
        }
        Ok(pattern.expression.clone())
    }

    fn context(&self) -> String {
        let Some(last) = self.trail.last() else {
            return String::new();
        };
        let origin = self.known.get(last).map_or("", |p| &p.origin);
        let place = if origin.is_empty() {
            String::new()
        } else {
            format!(" ({origin})")
        };
        format!(", needed by `{last}`{place}")
    }

    /// A fault of the whole expanded expression: finds the part that is broken by itself, if any.
    fn blame(&self, pattern: &str, message: String) -> GrokError {
        let mut done = 0;
        while let Some(token) = next_token(pattern, done) {
            done = token.range.end;
            let mut part = Expansion {
                known: self.known,
                text: String::new(),
                groups: 0,
                trail: Vec::new(),
            };
            let whole = part.expand(pattern.get(token.range.clone()).unwrap_or_default());
            if whole.is_ok()
                && let Err(fault) = parse(&part.text)
            {
                let origin = self.known.get(token.name).map_or("", |p| &p.origin);
                return GrokError {
                    offset: token.range.start,
                    message: format!("the grok pattern `{}`: {fault}", token.name),
                    fix: if origin.is_empty() {
                        FIX.to_owned()
                    } else {
                        format!("at {origin}, {FIX}")
                    },
                };
            }
        }
        GrokError {
            offset: 0,
            message: format!("grok pattern: {message}"),
            fix: FIX.to_owned(),
        }
    }
}

const FIX: &str = "mend the regular expression (RE2 syntax: no look-around, no back-references)";

fn put(names: &mut Names, name: String, group: usize) {
    match names.iter_mut().find(|(n, _)| *n == name) {
        Some(entry) => entry.1 = group,
        None => names.push((name, group)),
    }
}

struct Token<'p> {
    range: Range<usize>,
    name: &'p str,
    field: &'p str,
}

/// The next `%{name}` or `%{name:field}` from `start`. What looks nearly like one
/// (`%{A:b:int}`, `%{A:b-c}`) is plain text, as content in use relies on.
fn next_token(pattern: &str, start: usize) -> Option<Token<'_>> {
    let mut from = start;
    loop {
        let at = from + pattern.get(from..)?.find("%{")?;
        from = at + 2;
        let Some(inner) = pattern.get(from..).and_then(|rest| rest.split('}').next()) else {
            continue;
        };
        let end = from + inner.len() + 1;
        let (name, field) = inner.split_once(':').unwrap_or((inner, ""));
        let word =
            |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if end <= pattern.len() && word(name) && (word(field) || !inner.contains(':')) {
            return Some(Token {
                range: at..end,
                name,
                field,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::RuleFile;

    fn library(text: &str) -> Library {
        let mut library = Library::standard();
        let mut found = Vec::new();
        library.add_file(&RuleFile::new("patterns/test", text), &mut found);
        assert_eq!(found, []);
        library
    }

    fn run(library: &Library, pattern: &str, text: &str) -> Option<Vec<(String, String)>> {
        let mut symbols = Symbols::default();
        let grok = Grok::compile(pattern, library, &mut symbols).unwrap();
        let (mut cache, mut slots) = (grok.cache(), Vec::new());
        grok.matches(text, &mut cache, &mut slots).then(|| {
            let mut all: Vec<_> = grok
                .captures(&slots)
                .map(|(sym, range)| {
                    let value = range.map_or("", |r| &text[r]);
                    (symbols.name(sym).to_owned(), value.to_owned())
                })
                .collect();
            all.sort();
            all
        })
    }

    fn fields(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(
            pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    #[test]
    fn fields_come_from_named_tokens() {
        let library = library("");
        assert_eq!(
            run(
                &library,
                "^%{WORD:verb} (%{INT:n}|none) %{NOTSPACE}",
                "get 42 x"
            ),
            fields(&[("n", "42"), ("verb", "get")])
        );
        assert_eq!(run(&library, "^%{INT:n}$", "x"), None);
    }

    #[test]
    fn a_part_that_did_not_match_is_empty_and_a_nameless_grok_never_matches() {
        let library = library("");
        assert_eq!(
            run(&library, "^(%{INT:a}|%{WORD:b})$", "word"),
            fields(&[("a", ""), ("b", "word")])
        );
        assert_eq!(run(&library, "^%{WORD}$", "word"), None);
        assert_eq!(run(&library, "^(?P<x>a)$", "a"), None);
    }

    #[test]
    fn last_wins_and_a_level_hides_what_is_inside() {
        let library = library("IN %{WORD:x} %{INT:y}\nB %{WORD:x}\n");
        assert_eq!(
            run(&library, "%{WORD:x}-%{WORD:x}", "a-b"),
            fields(&[("x", "b")])
        );
        assert_eq!(
            run(&library, "%{WORD:x}-%{IN}", "a-b 1"),
            fields(&[("x", "a"), ("y", "1")])
        );
        assert_eq!(
            run(&library, "%{IN:x}", "b 1"),
            fields(&[("x", "b 1"), ("y", "1")])
        );
        assert_eq!(run(&library, "%{B}-%{B}", "a-b"), fields(&[("x", "b")]));
        assert_eq!(
            run(&library, "(%{B} one|%{B} two)", "a one"),
            fields(&[("x", "")])
        );
    }

    #[test]
    fn what_only_looks_like_a_token_is_text() {
        let library = library("");
        assert_eq!(
            run(&library, "%{INT:n:int} %{WORD:w}", "%{INT:n:int} a"),
            fields(&[("w", "a")])
        );
        assert_eq!(
            run(&library, "%{WORD:a-b}%{WORD:w}", "%{WORD:a-b}x"),
            fields(&[("w", "x")])
        );
        assert_eq!(run(&library, "%{%{WORD:w}", "%{x"), fields(&[("w", "x")]));
    }

    #[test]
    fn alternations_of_a_pattern_stay_inside_it() {
        let library = library("AB a|b\n");
        assert_eq!(run(&library, "^%{AB:x}c$", "bc"), fields(&[("x", "b")]));
        assert_eq!(
            run(&library, "^%{AB}%{NOTSPACE:w}$", "acc"),
            fields(&[("w", "cc")])
        );
    }

    #[test]
    fn faults_say_where_and_how() {
        let library = library("A %{B}\nB %{C}\nC x%{A}\nBAD (x\nUSES %{NOPE}\n");
        let fault =
            |pattern: &str| Grok::compile(pattern, &library, &mut Symbols::default()).unwrap_err();
        let circle = fault("ab %{A:x}");
        assert_eq!(circle.offset, 3);
        assert!(
            circle.message.contains("`A` → `B` → `C` → `A`"),
            "{circle:?}"
        );
        assert!(circle.fix.contains("patterns/test:3"), "{circle:?}");
        let unknown = fault("%{WORD:a} %{IPORHOTS:b}");
        assert_eq!(
            (unknown.offset, &*unknown.fix),
            (10, "did you mean `IPORHOST`?")
        );
        assert!(
            fault("%{USES:x}")
                .message
                .contains("needed by `USES` (patterns/test:5)")
        );
        let bad = fault("%{WORD:a} %{BAD:b}");
        assert_eq!(bad.offset, 10);
        assert!(
            bad.message.contains("`BAD`") && bad.fix.contains("patterns/test:4"),
            "{bad:?}"
        );
        assert!(fault("(?=x)%{WORD:a}").fix.contains("look-around"));
    }

    #[test]
    fn growth_is_bounded() {
        let mut text = "P0 xxxxxxxx\n".to_owned();
        for i in 1..60 {
            text += &format!("P{i} %{{P{}}}%{{P{}}}\n", i - 1, i - 1);
        }
        let error =
            Grok::compile("%{P59:x}", &library(&text), &mut Symbols::default()).unwrap_err();
        assert!(error.message.contains("expands to more"), "{error:?}");
        let mut text = "P0 x\n".to_owned();
        for i in 1..200 {
            text += &format!("P{i} %{{P{}}}\n", i - 1);
        }
        let error =
            Grok::compile("%{P199:x}", &library(&text), &mut Symbols::default()).unwrap_err();
        assert!(error.message.contains("nested deeper"), "{error:?}");
    }

    #[test]
    fn every_pattern_of_our_own_compiles() {
        let library = Library::standard();
        for name in library.names() {
            Grok::compile(&format!("%{{{name}:x}}"), &library, &mut Symbols::default())
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }

    #[test]
    fn our_patterns_match_what_their_names_say() {
        let library = Library::standard();
        let whole = |name: &str, text: &str| {
            run(&library, &format!("^%{{{name}:x}}$"), text)
                .is_some_and(|all| all.contains(&("x".to_owned(), text.to_owned())))
        };
        for (name, good) in [
            ("IP", "203.0.113.255"),
            ("IP", "2001:db8::1"),
            ("IP", "::"),
            ("IP", "::ffff:192.0.2.1"),
            ("IP", "64:ff9b::192.0.2.33"),
            ("IP", "1:2:3:4:5:6:7:8"),
            ("IP", "fe80::1%eth0"),
            ("IP", "2001:db8:0:0:1::"),
            ("IPORHOST", "mail.example.org"),
            ("HOSTPORT", "example.org:8080"),
            ("NUMBER", "-12.5"),
            ("UUID", "123e4567-e89b-12d3-a456-426614174000"),
            ("MAC", "00:1a:2b:3c:4d:5e"),
            ("QUOTEDSTRING", r#""say \"hi\"""#),
            ("URI", "https://u:p@example.org:80/a/b?c=d"),
            ("PATH", "/var/log/a.log"),
            ("SYSLOGTIMESTAMP", "Nov  1 20:15:01"),
            ("TIMESTAMP_ISO8601", "2026-11-21T20:15:01.123456+01:00"),
            ("HTTPDATE", "21/Nov/2026:20:15:01 +0100"),
            ("HTTPDERROR_DATE", "Sat Nov 21 20:15:01.123456 2026"),
            ("NGINXERRTIME", "2026/11/21 20:15:01"),
            ("LOGLEVEL", "Error"),
            ("EMAILADDRESS", "a.b+c@example.org"),
        ] {
            assert!(whole(name, good), "{name} {good}");
        }
        for (name, bad) in [
            ("IPV4", "256.1.1.1"),
            ("INT", "1.5"),
            ("IP", "1:2:3"),
            ("MONTH", "Foo"),
            ("UUID", "1"),
        ] {
            assert!(!whole(name, bad), "{name} {bad}");
        }
    }

    #[test]
    fn an_address_is_taken_whole() {
        let library = Library::standard();
        let ip = |text: &str| run(&library, "from %{IP:ip}", text).unwrap()[0].1.clone();
        assert_eq!(ip("from 203.0.113.254"), "203.0.113.254");
        assert_eq!(ip("from 2001:db8::5:6 port 22"), "2001:db8::5:6");
        assert_eq!(ip("from 1:2::"), "1:2::");
    }

    #[test]
    fn syslog_lines_fall_into_their_parts() {
        let all = run(
            &Library::standard(),
            "^%{SYSLOGLINE}",
            "Nov 21 20:15:01 web-1 sshd[812]: Failed password: x",
        );
        assert_eq!(
            all,
            fields(&[
                ("facility", ""),
                ("logsource", "web-1"),
                ("message", "Failed password: x"),
                ("pid", "812"),
                ("priority", ""),
                ("program", "sshd"),
                ("timestamp", "Nov 21 20:15:01"),
                ("timestamp8601", ""),
            ])
        );
    }

    proptest! {
        #[test]
        fn required_literals_never_hide_a_match(
            pattern in "(?:[abc ]|%\\{WORD:w\\}|%\\{INT:i\\}|\\(\\?:ab\\|bc\\)|[?*+|.]|\\(\\?i\\)){1,8}",
            text in "[abcABC 12]{0,16}",
        ) {
            let library = Library::standard();
            if let Ok(grok) = Grok::compile(&pattern, &library, &mut Symbols::default())
                && grok.regex.get().is_some_and(|regex| regex.is_match(&text))
                && let Some(any) = grok.required()
            {
                prop_assert!(any.0.iter().any(|t| memmem::find(text.as_bytes(), t).is_some()));
            }
        }
    }
}
