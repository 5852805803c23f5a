//! Filters against lines whose outcome is known.
//!
//! fail2ban keeps a log for each filter with what each line must give written above it
//! (`# failJSON: {…}`), and people write such logs for filters of their own. Texts come in, what
//! did not hold comes out. Time stands still at noon of 14 August 2005, in Central Europe, as those
//! logs are written for.

mod constraint;

use std::collections::{BTreeMap, BTreeSet};

use fail2ban::{Files, Options, UseDns, read_filter};
use jiff::{civil, tz::TimeZone};
use model::Timestamp;
use serde_json::{Map, Value};

use super::filter::{CompiledFilter, Dated, Failure, Verdict};

const NOW_SECONDS: i64 = 1_124_013_600;
/// Central Europe's rule since 1996.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Logs that one log may add.
const ADDED_MAX: usize = 50;
/// Combinations of options within one log.
const COMBINATIONS_MAX: usize = 200;

/// A thing that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    pub file: String,
    pub line: usize,
    pub expected: String,
    pub found: String,
    pub reason: String,
}

/// How the samples went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Expectations that hold.
    pub passed: u64,
    pub misses: Vec<Miss>,
    /// What was not tried, and why; failregexes that no line hits.
    pub notes: Vec<String>,
    /// Patterns that need the bounded backtracker, of how many, by log.
    pub step_limit: u64,
    /// The most steps a line took.
    pub steps_most: u32,
}

/// Tries each log of `logs` with the filter of its name.
pub fn run(filters: &Files, logs: &BTreeMap<String, String>) -> Report {
    let mut report = Report::default();
    let added: BTreeSet<String> = logs.values().flat_map(|text| added_by(text)).collect();
    // What lies in a folder below is there to be added.
    for name in logs.keys().filter(|name| !name.contains('/')) {
        let Some(filter) = filter_of(filters, name) else {
            let note = format!("{name}: skipped, there is no filter of that name");
            report.notes.push(note);
            continue;
        };
        if filter != *name && added.contains(name) {
            continue;
        }
        let mut log = Log {
            filters,
            name: &filter,
            loaded: BTreeMap::new(),
            tests: Vec::new(),
            hit: BTreeSet::new(),
            report: &mut report,
        };
        log.run(logs, name);
        log.finish(name);
    }
    report
}

/// The filter whose name the log's begins with.
fn filter_of(filters: &Files, log: &str) -> Option<String> {
    let mut name = log;
    loop {
        let path = |suffix: &str| format!("filter.d/{name}.{suffix}");
        if filters.get(&path("conf")).is_some() || filters.get(&path("local")).is_some() {
            return Some(name.to_owned());
        }
        name = name.rsplit_once('-')?.0;
    }
}

/// A line that speaks to the runner.
enum Mark {
    Expect(Map<String, Value>),
    FilterOptions(Vec<Map<String, Value>>),
    FileOptions(Map<String, Value>),
    AddFile(String),
}

fn mark(line: &str) -> Option<Result<Mark, String>> {
    let text = line.trim_start_matches('#');
    if text.len() == line.len() {
        return None;
    }
    let text = text.strip_prefix(' ').unwrap_or(text);
    let (kind, json) = text.split_once(':')?;
    if !matches!(
        kind,
        "failJSON" | "filterOptions" | "fileOptions" | "addFILE"
    ) {
        return None;
    }
    let value: Value = match serde_json::from_str(json.trim()) {
        Ok(value) => value,
        Err(error) => return Some(Err(format!("{kind} is no JSON: {error}"))),
    };
    Some(match (kind, value) {
        ("failJSON", Value::Object(map)) => Ok(Mark::Expect(map)),
        ("filterOptions", Value::Object(map)) => Ok(Mark::FilterOptions(vec![map])),
        ("filterOptions", Value::Array(list)) => Ok(Mark::FilterOptions(
            list.into_iter()
                .filter_map(|v| match v {
                    Value::Object(map) => Some(map),
                    _ => None,
                })
                .collect(),
        )),
        ("fileOptions", Value::Object(map)) => Ok(Mark::FileOptions(map)),
        ("addFILE", Value::String(name)) => Ok(Mark::AddFile(name)),
        _ => Err(format!("{kind}: the value has the wrong type")),
    })
}

fn added_by(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| match mark(line) {
            Some(Ok(Mark::AddFile(name))) => Some(name),
            _ => None,
        })
        .collect()
}

/// A filter with one combination of options.
struct Loaded {
    filter: Result<CompiledFilter, String>,
    failregex: Vec<String>,
    used: BTreeSet<usize>,
}

/// One log on its way through.
struct Log<'a> {
    filters: &'a Files,
    name: &'a str,
    loaded: BTreeMap<String, Loaded>,
    /// The combinations that the coming lines are tried with.
    tests: Vec<(String, Map<String, Value>)>,
    /// Failregexes that some line hit.
    hit: BTreeSet<String>,
    report: &'a mut Report,
}

impl Log<'_> {
    fn run(&mut self, logs: &BTreeMap<String, String>, name: &str) {
        let mut names = vec![name.to_owned()];
        let mut at = 0;
        let mut common = Map::new();
        while let Some(file) = names.get(at).cloned() {
            at += 1;
            let Some(text) = logs.get(&file) else {
                let note = format!("{name}: adds {file}, which is not there");
                self.report.notes.push(note);
                continue;
            };
            self.file(&file, text, &mut common, &mut names);
        }
    }

    fn file(
        &mut self,
        file: &str,
        text: &str,
        common: &mut Map<String, Value>,
        names: &mut Vec<String>,
    ) {
        let mut passing_over = false;
        let mut lines = (1..).zip(text.split('\n'));
        while let Some((number, line)) = lines.next() {
            let spot = Spot { file, number };
            match mark(line) {
                Some(Ok(Mark::FilterOptions(sets))) => {
                    passing_over = self.options(sets, common);
                }
                Some(Ok(Mark::FileOptions(options))) => *common = options,
                Some(Ok(Mark::AddFile(name))) if names.len() < ADDED_MAX => names.push(name),
                Some(Ok(Mark::AddFile(_))) => {}
                Some(Ok(Mark::Expect(expected))) => {
                    let Some((number, line)) = lines.next() else {
                        break;
                    };
                    if !passing_over {
                        self.line(&Spot { file, number }, line, Some(&expected));
                    }
                }
                Some(Err(reason)) => self.miss(&spot, "a mark that can be read", line, &reason),
                None if passing_over || line.starts_with('#') || line.trim().is_empty() => {}
                None => self.line(&spot, line, None),
            }
        }
    }

    /// Sets the combinations for the lines to come; whether those are passed over.
    fn options(&mut self, sets: Vec<Map<String, Value>>, common: &Map<String, Value>) -> bool {
        self.tests.clear();
        let mut passing_over = false;
        for set in sets {
            let mut options = common.clone();
            options.extend(set);
            if let Some(Value::String(condition)) = options.get("test.condition") {
                passing_over = constraint::holds(condition, self.name, &options) != Ok(true);
            }
            if !passing_over {
                let key = self.load(&options);
                self.tests.push((key, options));
            }
        }
        passing_over
    }

    /// Reads the filter with these options, once; returns under what it is found.
    fn load(&mut self, options: &Map<String, Value>) -> String {
        let options: Options = options
            .iter()
            .filter(|(key, _)| !key.starts_with("test."))
            .map(|(key, value)| (key.clone(), text_of(value)))
            .collect();
        let key = format!("{options:?}");
        if !self.loaded.contains_key(&key) && self.loaded.len() < COMBINATIONS_MAX {
            let read = read_filter(self.filters, self.name, &options, &Options::new());
            let loaded = match read {
                Ok(read) => Loaded {
                    filter: CompiledFilter::new(&read, UseDns::Yes).map_err(|e| e.to_string()),
                    failregex: read.failregex,
                    used: BTreeSet::new(),
                },
                Err(error) => Loaded {
                    filter: Err(error.to_string()),
                    failregex: Vec::new(),
                    used: BTreeSet::new(),
                },
            };
            self.loaded.insert(key.clone(), loaded);
        }
        key
    }

    /// Tries one line with every combination; an expectation holds if it holds with all.
    fn line(&mut self, spot: &Spot<'_>, line: &str, expected: Option<&Map<String, Value>>) {
        if self.tests.is_empty() {
            let key = self.load(&Map::new());
            self.tests.push((key, Map::new()));
        }
        let mut tried = false;
        let mut wrong = None;
        for (key, options) in self.tests.clone() {
            if let Some(Value::String(condition)) = expected.and_then(|e| e.get("constraint")) {
                match constraint::holds(condition, self.name, &options) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(reason) => {
                        wrong = Some((String::new(), reason));
                        continue;
                    }
                }
            }
            tried = true;
            if let Err(found) = self.try_with(&key, &options, line, expected) {
                wrong.get_or_insert(found);
            }
        }
        match (wrong, expected) {
            (Some((found, reason)), _) => {
                let wanted = expected.map_or_else(
                    || "no match, the line is not marked".to_owned(),
                    |e| Value::Object(e.clone()).to_string(),
                );
                self.miss(spot, &wanted, &found, &reason);
            }
            (None, Some(_)) if tried => self.report.passed += 1,
            (None, _) => {}
        }
    }

    fn try_with(
        &mut self,
        key: &str,
        options: &Map<String, Value>,
        line: &str,
        expected: Option<&Map<String, Value>>,
    ) -> Result<(), (String, String)> {
        let Some(loaded) = self.loaded.get_mut(key) else {
            return Err((String::new(), "too many combinations of options".to_owned()));
        };
        let filter = loaded
            .filter
            .as_mut()
            .map_err(|error| (String::new(), format!("the filter does not load: {error}")))?;
        let text = |name: &str| options.get(name).map(text_of);
        let journal = text("logtype").as_deref() == Some("journal");
        let prefix = text("test.prefix-line").filter(|_| journal);
        let line = prefix.unwrap_or_default() + line;
        let now = Timestamp::from_nanos(NOW_SECONDS * 1_000_000_000);
        let dated = if journal {
            Dated::Known(now)
        } else {
            Dated::InLine
        };
        let zone = zone();
        let verdict = filter.take(&line, dated, now, &zone);
        let counts = filter.counts();
        let regex = match &verdict {
            Verdict::Nothing => None,
            Verdict::Helped { regex } => Some(*regex),
            Verdict::Failed(failure) => Some(failure.regex),
        };
        if let Some(regex) = regex {
            loaded.used.insert(regex);
            self.hit.extend(loaded.failregex.get(regex).cloned());
        }
        self.report.steps_most = self.report.steps_most.max(counts.steps_most);
        let must_match = expected
            .and_then(|e| e.get("match"))
            .and_then(Value::as_bool);
        let with = if options.is_empty() {
            String::new()
        } else {
            format!(" (with {})", Value::Object(options.clone()))
        };
        match (verdict, must_match.unwrap_or(false)) {
            (Verdict::Failed(failure), true) => {
                compare(&failure, expected, &zone).map_err(|e| (describe(&failure), e + &with))
            }
            (Verdict::Failed(failure), false) => {
                let reason = format!("failregex {} matched{with}", failure.regex + 1);
                Err((describe(&failure), reason))
            }
            (Verdict::Helped { regex }, true) => {
                let reason = format!("failregex {} only helps{with}", regex + 1);
                Err(("a match that does not count".to_owned(), reason))
            }
            (Verdict::Nothing, true) => {
                Err(("no match".to_owned(), format!("no failregex matched{with}")))
            }
            (Verdict::Nothing | Verdict::Helped { .. }, false) => Ok(()),
        }
    }

    fn miss(&mut self, spot: &Spot<'_>, expected: &str, found: &str, reason: &str) {
        self.report.misses.push(Miss {
            file: spot.file.to_owned(),
            line: spot.number,
            expected: expected.to_owned(),
            found: found.to_owned(),
            reason: reason.to_owned(),
        });
    }

    /// Names the failregexes that no line hit.
    fn finish(self, log: &str) {
        for loaded in self.loaded.values() {
            if let Ok(filter) = &loaded.filter {
                self.report.step_limit += filter.counts().step_limit;
            }
            for (i, regex) in loaded.failregex.iter().enumerate() {
                if !loaded.used.contains(&i) && !self.hit.contains(regex) {
                    let note = format!("{log}: no line hits failregex {}: {regex}", i + 1);
                    if !self.report.notes.contains(&note) {
                        self.report.notes.push(note);
                    }
                }
            }
        }
    }
}

struct Spot<'a> {
    file: &'a str,
    number: usize,
}

fn zone() -> TimeZone {
    TimeZone::posix(ZONE).unwrap_or(TimeZone::UTC)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn describe(failure: &Failure) -> String {
    let seconds = failure.time.nanos() as f64 / 1e9;
    format!("{} at {seconds}, {:?}", failure.id, failure.values)
}

/// Whether the failure is the expected one.
fn compare(
    failure: &Failure,
    expected: Option<&Map<String, Value>>,
    zone: &TimeZone,
) -> Result<(), String> {
    for (key, wanted) in expected.into_iter().flatten() {
        let differs = |found: &str| Err(format!("{key}: expected {wanted}, found {found}"));
        match key.as_str() {
            "match" | "desc" | "constraint" => {}
            "time" => {
                let wanted = wanted.as_str().and_then(|t| seconds(t, zone));
                let found = failure.time.nanos() as f64 / 1e9;
                if wanted.is_none_or(|w| (w - found).abs() > 1e-6) {
                    return differs(&found.to_string());
                }
            }
            "attempts" => {
                let found = failure.lines.len();
                if wanted.as_u64() != Some(found as u64) {
                    return differs(&found.to_string());
                }
            }
            "users" => {
                let mut names: Vec<&str> = wanted
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                names.sort_unstable();
                if failure.users != names {
                    return differs(&format!("{:?}", failure.users));
                }
            }
            _ => {
                let found = match (failure.value(key), key.as_str()) {
                    (None, "host") => Some(failure.id.as_str()),
                    (found, _) => found,
                };
                let same = match (wanted, found) {
                    (Value::Null, found) => found.is_none(),
                    (wanted, Some(found)) => text_of(wanted) == found,
                    (_, None) => false,
                };
                if !same {
                    return differs(found.unwrap_or("nothing"));
                }
            }
        }
    }
    Ok(())
}

/// Unix seconds of a local time.
fn seconds(text: &str, zone: &TimeZone) -> Option<f64> {
    let local: civil::DateTime = text.parse().ok()?;
    let time = zone.to_timestamp(local).ok()?;
    Some(time.as_nanosecond() as f64 / 1e9)
}

#[cfg(test)]
mod tests;
