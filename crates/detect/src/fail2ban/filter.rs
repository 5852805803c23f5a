//! A compiled filter: one line in, at most one failure out.
//!
//! The order is fail2ban's: the date is cut out, ignoreregex may end it, prefregex narrows the line
//! to `<F-CONTENT>`, the first failregex that matches counts, and connections' lines are put
//! together. All patterns of one line share one budget of steps.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use ::regex_syntax::ParserBuilder;
use aho_corasick::{AhoCorasick, packed};
use fail2ban::{UseDns, pattern::expand};
use jiff::tz::TimeZone;
use model::Timestamp;

use super::{
    dates::{Detector, Frame},
    python::{LINE_STEPS_MAX, Machine, Pattern, PatternError, Power, Search},
    sessions::{Marks, Session, Sessions},
    texts::Values,
};
use crate::literals::required;

/// Texts that lines are searched for.
const NEEDS_MAX: usize = 500;
/// Patterns of one filter.
const PATTERNS_MAX: usize = 1_000;
/// Bytes of a line that are looked at; the rest of a longer one is not.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes that a multi-line filter keeps.
const BUFFER_BYTES_MAX: usize = 256 * 1024;
/// A line without a date is of the last date seen if that is at most so long ago.
const LAST_DATE_NANOS: i64 = 60 * 1_000_000_000;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    #[error("{key} {number}: {error}")]
    Pattern {
        key: &'static str,
        number: usize,
        error: PatternError,
    },
    #[error("failregex {number}: nothing in it tells who failed; add <HOST> or <F-ID>")]
    Nobody { number: usize },
    #[error("more than {PATTERNS_MAX} patterns; split the filter")]
    TooMany,
}

/// How a line's date is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dated {
    /// It stands in the line.
    InLine,
    /// The journal told it; the line has none.
    Known(Timestamp),
}

/// What became of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Nothing,
    /// Part of a connection; `regex` matched, and it is no failure, or not yet known of whom.
    Helped {
        regex: usize,
    },
    Failed(Box<Failure>),
}

/// Somebody failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Which failregex matched, from 0.
    pub regex: usize,
    /// Whom a ban would hit: an address, a network, a name, or whatever `<F-ID>` took.
    pub id: String,
    pub is_name: bool,
    pub time: Timestamp,
    /// All lines that belong to it.
    pub lines: Vec<String>,
    /// User names of the connection.
    pub users: Vec<String>,
    /// Named groups and what they took.
    pub values: Vec<(Arc<str>, String)>,
}

impl Failure {
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.values.iter().find(|(n, _)| **n == *name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What the patterns made of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Nothing,
    Helped { regex: usize },
    Failed(Told),
}

/// A failure; [`CompiledFilter::session`] has the rest until the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) regex: usize,
    pub(super) time: Timestamp,
    session: usize,
}

/// Whom a failure is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who<'s> {
    Address(IpAddr),
    /// All addresses with these upper bits.
    Network(IpAddr, u8),
    /// What `<F-ID>` took, or an address that is none.
    Text(&'s str),
    HostName(&'s str),
}

impl<'s> Who<'s> {
    fn of(values: &'s Values) -> Option<Self> {
        let address = values.get(IP4).or_else(|| values.get(IP6));
        let id = values.get(FID);
        if let Some(id) = id.filter(|id| Some(*id) != address) {
            return Some(Self::Text(id));
        }
        if let Some(text) = address {
            let bits = values.get(CIDR).and_then(|c| c.parse().ok());
            return Some(match text.parse() {
                Ok(address) => Self::network(address, bits),
                Err(_) => Self::Text(text),
            });
        }
        values.get(DNS).map(Self::HostName)
    }

    fn is_told(values: &Values) -> bool {
        let any = [IP4, IP6, FID, DNS];
        values.iter().any(|(name, _)| any.contains(&name))
    }

    /// The address, or the network of so many bits it is in.
    fn network(address: IpAddr, bits: Option<u8>) -> Self {
        match (bits, address) {
            (Some(bits), IpAddr::V4(v4)) if bits < 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                let base = std::net::Ipv4Addr::from_bits(v4.to_bits() & mask);
                Self::Network(base.into(), bits)
            }
            (Some(bits), IpAddr::V6(v6)) if bits < 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let base = std::net::Ipv6Addr::from_bits(v6.to_bits() & mask);
                Self::Network(base.into(), bits)
            }
            _ => Self::Address(address),
        }
    }

    /// The one address that it is.
    pub(super) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Network(..) => None,
            Self::Text(text) | Self::HostName(text) => text.parse().ok(),
        }
    }

    /// As a ban names it.
    pub(super) fn id(self) -> String {
        match self {
            Self::Address(address) => address.to_string(),
            Self::Network(base, bits) => format!("{base}/{bits}"),
            Self::Text(text) | Self::HostName(text) => text.to_owned(),
        }
    }
}

/// Counters of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines on which the patterns' step limit was reached.
    pub step_limit: u64,
    /// The most steps that a line took.
    pub steps_most: u32,
    /// Connections given up at their ceiling.
    pub sessions_forgotten: u64,
}

/// Names that mean something, by their numbers.
const NAMES: &[&str] = &[
    "ip4",
    "ip6",
    "dns",
    "fid",
    "mlfid",
    "nofail",
    "mlfforget",
    "mlfgained",
    "user",
    "cidr",
    "content",
];
const IP4: u16 = 0;
const IP6: u16 = 1;
const DNS: u16 = 2;
const FID: u16 = 3;
const MLFID: u16 = 4;
const NOFAIL: u16 = 5;
const MLFFORGET: u16 = 6;
const MLFGAINED: u16 = 7;
pub(super) const USER: u16 = 8;
const CIDR: u16 = 9;

/// A pattern and what its groups mean.
#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    groups: Vec<(u16, usize)>,
    /// `<F-ALT_USER>`: group and the name it stands in for.
    alternatives: Vec<(u16, usize)>,
    content: Option<usize>,
    /// `<SKIPLINES>`.
    skipped: Vec<usize>,
}

/// A filter with its memory.
#[derive(Debug)]
pub struct CompiledFilter {
    names: Vec<Arc<str>>,
    before: Option<Rule>,
    fail: Vec<Rule>,
    ignore: Vec<Rule>,
    /// For each byte that a text can begin with, the failregexes that can match it.
    by_first: Vec<Box<[u16]>>,
    /// One of these texts stands in every line that a failregex matches.
    needs: Option<Needs>,
    detector: Detector,
    lines_max: usize,
    sessions: Sessions,
    last_date: Option<Timestamp>,
    machine: Machine,
    buffer: VecDeque<Kept>,
    /// Reused from line to line.
    text: String,
    content: String,
    values: Values,
    counts: Counts,
}

/// A line of a multi-line filter.
#[derive(Clone, Debug, Default)]
struct Kept {
    /// Without its date.
    bare: String,
    line: String,
}

impl CompiledFilter {
    pub fn new(filter: &fail2ban::Filter, dns: UseDns) -> Result<Self, FilterError> {
        if filter.failregex.len() + filter.ignoreregex.len() > PATTERNS_MAX {
            return Err(FilterError::TooMany);
        }
        let mut names: Vec<String> = NAMES.iter().map(|n| (*n).to_owned()).collect();
        let mut rule = |key, number: usize, text: &str| {
            Rule::new(&expand(text, dns), &mut names).map_err(|error| FilterError::Pattern {
                key,
                number: number + 1,
                error,
            })
        };
        let before = match &filter.prefregex {
            Some(text) => Some(rule("prefregex", 0, text)?),
            None => None,
        };
        let mut list = |key, texts: &[String]| -> Result<Vec<Rule>, FilterError> {
            let texts = texts.iter().enumerate();
            texts.map(|(i, text)| rule(key, i, text)).collect()
        };
        let fail = list("failregex", &filter.failregex)?;
        let ignore = list("ignoreregex", &filter.ignoreregex)?;
        let detector =
            Detector::new(filter.datepattern.as_deref()).map_err(|error| FilterError::Pattern {
                key: "datepattern",
                number: 1,
                error,
            })?;
        let tells = |rule: &Rule| {
            let told = [IP4, IP6, DNS, FID, MLFID];
            rule.groups.iter().any(|(name, _)| told.contains(name))
        };
        if !before.as_ref().is_some_and(tells)
            && let Some(number) = fail.iter().position(|rule| !tells(rule))
        {
            return Err(FilterError::Nobody { number: number + 1 });
        }
        Ok(Self {
            by_first: by_first(&fail),
            needs: (filter.maxlines == 1).then(|| needs(&fail)).flatten(),
            names: names.into_iter().map(Arc::from).collect(),
            before,
            fail,
            ignore,
            detector,
            lines_max: filter.maxlines,
            sessions: Sessions::default(),
            last_date: None,
            machine: Machine::default(),
            buffer: VecDeque::new(),
            text: String::new(),
            content: String::new(),
            values: Values::default(),
            counts: Counts::default(),
        })
    }

    pub fn counts(&self) -> Counts {
        Counts {
            sessions_forgotten: self.sessions.forgotten,
            ..self.counts
        }
    }

    /// Connections that are remembered now.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many of its patterns need the bounded backtracker.
    pub fn backtracking(&self) -> usize {
        let all = self.before.iter().chain(&self.fail).chain(&self.ignore);
        all.filter(|rule| rule.pattern.power() == Power::Backtracking)
            .count()
    }

    /// Takes in one line.
    pub fn take(&mut self, line: &str, dated: Dated, now: Timestamp, zone: &TimeZone) -> Verdict {
        match self.examine(line, dated, now, zone) {
            Judged::Nothing => Verdict::Nothing,
            Judged::Helped { regex } => Verdict::Helped { regex },
            Judged::Failed(told) => match self.failure(told) {
                Some(failure) => Verdict::Failed(Box::new(failure)),
                None => Verdict::Nothing,
            },
        }
    }

    /// Takes in one line; what a failure says can be asked for until the next one.
    pub(super) fn examine(
        &mut self,
        line: &str,
        dated: Dated,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Judged {
        let line = line.trim_end_matches(['\r', '\n']);
        let line = line.get(..floor(line, LINE_BYTES_MAX)).unwrap_or_default();
        self.machine.begin_line(LINE_STEPS_MAX);
        let time = self.cut_date(line, dated, Frame { now, zone });
        // Most lines end here: nothing that any failregex needs stands in them. What is searched
        // is the line without its date, as failregex sees it.
        let is_needed = |needs: &Needs| needs.stand_in(&self.text);
        let verdict = if !self.needs.as_ref().is_none_or(is_needed) {
            Judged::Nothing
        } else if self.lines_max > 1 {
            self.take_of_many(line, time)
        } else {
            self.take_single(line, time)
        };
        let steps = LINE_STEPS_MAX - self.machine.left();
        self.counts.steps_most = self.counts.steps_most.max(steps);
        self.counts.step_limit += u64::from(self.machine.left() == 0);
        verdict
    }

    /// Leaves the line without its date, and with its end, in `text`.
    fn cut_date(&mut self, line: &str, dated: Dated, frame: Frame<'_>) -> Timestamp {
        self.text.clear();
        let found = match dated {
            Dated::Known(time) => {
                self.text.push_str(line);
                self.text.push('\n');
                return time;
            }
            Dated::InLine => self.detector.find(line, &mut self.machine, frame),
        };
        let Some(found) = found else {
            self.text.push_str(line);
            self.text.push('\n');
            let recent = |t: &Timestamp| frame.now.nanos() - t.nanos() <= LAST_DATE_NANOS;
            return self.last_date.filter(recent).unwrap_or(frame.now);
        };
        let (before, after) = (line.get(..found.start), line.get(found.end..));
        self.text.push_str(before.unwrap_or_default());
        self.text.push_str(after.unwrap_or_default());
        self.text.push('\n');
        self.last_date = Some(found.time);
        found.time
    }

    fn take_single(&mut self, line: &str, time: Timestamp) -> Judged {
        let mut text = std::mem::take(&mut self.text);
        let verdict = self.judge(&mut text, time, &[line]);
        self.text = text;
        verdict.0
    }

    /// The lines kept so far and this one are looked at together; what is left over is kept.
    fn take_of_many(&mut self, line: &str, time: Timestamp) -> Judged {
        self.buffer.push_back(Kept {
            bare: self.text.clone(),
            line: line.to_owned(),
        });
        let mut bytes: usize = self.buffer.iter().map(|k| k.bare.len()).sum();
        while self.buffer.len() > self.lines_max
            || (bytes > BUFFER_BYTES_MAX && self.buffer.len() > 1)
        {
            bytes -= self.buffer.pop_front().map_or(0, |k| k.bare.len());
        }
        let kept: Vec<Kept> = self.buffer.iter().cloned().collect();
        let lines: Vec<&str> = kept.iter().map(|k| k.line.as_str()).collect();
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        kept.iter().for_each(|k| text.push_str(&k.bare));
        let (verdict, left) = self.judge(&mut text, time, &lines);
        self.text = text;
        if let Some(left) = left {
            let left = left.into_iter().filter_map(|i| kept.get(i).cloned());
            self.buffer = left.collect();
        }
        verdict
    }

    /// What the text is, and after a match the numbers of the lines that no part of it took.
    fn judge(
        &mut self,
        text: &mut String,
        time: Timestamp,
        lines: &[&str],
    ) -> (Judged, Option<Vec<usize>>) {
        // As fail2ban does: many failregexes are tried after the few ignoreregexes.
        let early = !self.ignore.is_empty() && self.ignore.len() + 2 < self.fail.len();
        if early && self.is_ignored(text) {
            return (Judged::Nothing, None);
        }
        self.values.reuse();
        if let Some(before) = &self.before {
            if before.pattern.search(text, &mut self.machine) != Search::Found {
                return (Judged::Nothing, None);
            }
            before.read(text, &self.machine, &mut self.values);
            let content = before.content.and_then(|g| self.machine.group(text, g));
            if let Some(content) = content.filter(|c| !c.is_empty()) {
                self.content.clear();
                self.content.push_str(content);
                self.content.push('\n');
                std::mem::swap(text, &mut self.content);
            }
        }
        let Some(regex) = self.first_match(text) else {
            return (Judged::Nothing, None);
        };
        let Some(rule) = self.fail.get(regex) else {
            return (Judged::Nothing, None);
        };
        rule.read(text, &self.machine, &mut self.values);
        if lines.len() <= 1 {
            if !self.ignore.is_empty() && self.is_ignored(text) {
                return (Judged::Nothing, None);
            }
            return (self.conclude(regex, time, lines), None);
        }
        let (taken, left) = rule.lines(text, &self.machine, lines.len());
        if !self.ignore.is_empty() && self.is_ignored(text) {
            return (Judged::Nothing, None);
        }
        let taken: Vec<&str> = taken
            .iter()
            .filter_map(|i| lines.get(*i).copied())
            .collect();
        (self.conclude(regex, time, &taken), Some(left))
    }

    fn is_ignored(&mut self, text: &str) -> bool {
        let Self {
            ignore, machine, ..
        } = self;
        ignore
            .iter()
            .any(|rule| rule.pattern.search(text, machine) == Search::Found)
    }

    fn first_match(&mut self, text: &str) -> Option<usize> {
        let Self { fail, machine, .. } = self;
        let mut matches = |number: usize| {
            fail.get(number)
                .is_some_and(|rule| rule.pattern.search(text, machine) == Search::Found)
        };
        if self.lines_max > 1 {
            return (0..fail.len()).find(|number| matches(*number));
        }
        let first = text.bytes().next()?;
        let candidates = self.by_first.get(usize::from(first))?;
        candidates
            .iter()
            .map(|number| usize::from(*number))
            .find(|number| matches(*number))
    }

    /// Puts the line to its connection's, if it names one, and says what follows.
    fn conclude(&mut self, regex: usize, time: Timestamp, lines: &[&str]) -> Judged {
        let values = &self.values;
        let mut lines = lines.iter().copied();
        let at = match values.filled(MLFID) {
            None => self.sessions.alone(values, &mut lines),
            Some(id) => {
                let gained = values.filled(MLFGAINED).is_some();
                let marks = Marks {
                    gained,
                    helper: gained || values.filled(NOFAIL).is_some(),
                    forget: values.filled(MLFFORGET).is_some(),
                };
                let user = values.filled(USER);
                self.sessions.merge(id, values, user, marks, &mut lines)
            }
        };
        let Some(session) = self.sessions.get_mut(at) else {
            return Judged::Nothing;
        };
        if session.nofail {
            return Judged::Helped { regex };
        }
        if Who::is_told(&session.values) {
            return Judged::Failed(Told {
                regex,
                time,
                session: at,
            });
        }
        session.pending = true;
        Judged::Helped { regex }
    }

    /// What is known of who failed, until the next line.
    pub(super) fn session(&self, told: Told) -> Option<&Session> {
        self.sessions.get(told.session)
    }

    fn failure(&self, told: Told) -> Option<Failure> {
        let session = self.session(told)?;
        let who = session.who()?;
        let values = session.values.iter().filter_map(|(number, value)| {
            let name = self.names.get(usize::from(number))?;
            Some((Arc::clone(name), value.to_owned()))
        });
        Some(Failure {
            regex: told.regex,
            id: who.id(),
            is_name: matches!(who, Who::HostName(_)),
            time: told.time,
            lines: session.lines.iter().map(str::to_owned).collect(),
            users: session.users.iter().map(str::to_owned).collect(),
            values: values.collect(),
        })
    }
}

impl Session {
    /// Whom its failures are of.
    pub(super) fn who(&self) -> Option<Who<'_>> {
        Who::of(&self.values)
    }
}

impl Rule {
    fn new(source: &str, names: &mut Vec<String>) -> Result<Self, PatternError> {
        let pattern = Pattern::new(source)?;
        let mut number = |name: &str| {
            let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
                names.push(name.to_owned());
                names.len() - 1
            });
            u16::try_from(at).map_err(|_| PatternError::TooLarge)
        };
        let (mut groups, mut alternatives, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for (name, group) in pattern.names() {
            if name == "content" {
                continue;
            }
            if name.starts_with("skiplines") {
                skipped.push(group);
                continue;
            }
            groups.push((number(name)?, group));
            if let Some(of) = name.strip_prefix("alt_") {
                let of = of.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
                alternatives.push((number(of)?, group));
            }
        }
        Ok(Self {
            content: pattern.group("content"),
            groups,
            alternatives,
            skipped,
            pattern,
        })
    }

    /// Puts what the groups of the last match took into `values`.
    fn read(&self, text: &str, machine: &Machine, values: &mut Values) {
        for (name, group) in &self.groups {
            if let Some(value) = machine.group(text, *group) {
                values.set(*name, value);
            }
        }
        for (name, group) in &self.alternatives {
            if let Some(value) = machine.group(text, *group)
                && !value.is_empty()
                && values.filled(*name).is_none()
            {
                values.set(*name, value);
            }
        }
    }

    /// Which of the text's lines the last match took, and which it left.
    fn lines(&self, text: &str, machine: &Machine, count: usize) -> (Vec<usize>, Vec<usize>) {
        if count <= 1 {
            return ((0..count).collect(), Vec::new());
        }
        let Some((start, end)) = machine.span(0) else {
            return (Vec::new(), (0..count).collect());
        };
        let line_of = |place: usize| {
            let before = text.as_bytes().get(..place).unwrap_or_default();
            memchr::memchr_iter(b'\n', before).count()
        };
        let first = line_of(start);
        let last = line_of(end.saturating_sub(1).max(start));
        let mut taken: Vec<usize> = (first..=last).filter(|i| *i < count).collect();
        let mut left: Vec<usize> = (0..first.min(count)).collect();
        for group in &self.skipped {
            if let Some((from, to)) = machine.span(*group)
                && from < to
            {
                let skipped = line_of(from)..line_of(to);
                taken.retain(|i| !skipped.contains(i));
                left.extend(skipped);
            }
        }
        left.extend(last + 1..count);
        (taken, left)
    }
}

/// Texts of which every failregex needs one; `None` if one of them needs nothing.
fn needs(fail: &[Rule]) -> Option<Needs> {
    let mut texts = Vec::new();
    for rule in fail {
        let printed = rule.pattern.necessary();
        let mut parser = ParserBuilder::new().multi_line(true).build();
        texts.extend(required(&parser.parse(&printed).ok()?)?.0);
    }
    texts.sort_unstable();
    texts.dedup();
    // What holds another text is found with it.
    let all = texts.clone();
    let holds = |text: &[u8], other: &Vec<u8>| memchr::memmem::find(text, other).is_some();
    texts.retain(|text| !all.iter().any(|other| other != text && holds(text, other)));
    if texts.is_empty() || texts.len() > NEEDS_MAX {
        return None;
    }
    Some(match packed::Searcher::new(&texts) {
        Some(packed) => Needs::Few(packed),
        None => Needs::Many(AhoCorasick::new(texts).ok()?),
    })
}

/// Texts that a line is searched for.
#[derive(Debug)]
enum Needs {
    /// So few that all of them are looked for at many places at once.
    Few(packed::Searcher),
    Many(AhoCorasick),
}

impl Needs {
    fn stand_in(&self, text: &str) -> bool {
        match self {
            Self::Few(texts) => texts.find(text).is_some(),
            Self::Many(texts) => texts.is_match(text),
        }
    }
}

/// For each first byte the patterns that can match a text that begins with it, in order.
fn by_first(fail: &[Rule]) -> Vec<Box<[u16]>> {
    (0..256usize)
        .map(|byte| {
            (0u16..)
                .zip(fail)
                .filter(|(_, rule)| {
                    let first = rule.pattern.first_bytes();
                    first.is_none_or(|f| f.get(byte).copied().unwrap_or(true))
                })
                .map(|(number, _)| number)
                .collect()
        })
        .collect()
}

/// The largest place up to `max` that is between two characters.
fn floor(text: &str, max: usize) -> usize {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}
