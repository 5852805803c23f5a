//! Jails: which filter watches which source, and what a failure leads to.
//!
//! A jail is a compiled filter and a bucket. A line of a source that a jail watches goes through
//! its filter beside whatever parsers make of it; a failure becomes an event that is poured into
//! the jail's own scenario, under the same ceilings, snapshot and postoverflows as all others.
//!
//! A jail watches a source whose `type` label is the jail's name or `fail2ban/` and the name, one
//! whose name fits its `logpath`, and the journal if its backend is systemd.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr};

use fail2ban::{Files, Increment, Jail as Config, enabled_jails, read_jail};
use jiff::tz::{Offset, TimeZone};
use model::{Diagnostic, Prefix, Severity, SourceInfo, Timestamp};
use serde_json::{Value, json};

use super::filter::{CompiledFilter, Counts, Dated, Judged, Told, USER, Who};
use crate::{
    engine::RuleFile,
    explain::{JailAccount, JailEnd},
    parse::Trace,
    rules::RuleKind,
};

/// Jails of one set of rules.
const JAILS_MAX: usize = 500;
/// Routes remembered; more sources are looked up each time.
const ROUTES_MAX: usize = 1_024;
/// Lines kept of one source's failures.
const MATCHES_MAX: u32 = 100;
/// A jail whose ban never ends is silent towards a source for so long.
const SILENCE_SECONDS_MAX: i64 = 86_400;
/// "For ever" as a time span: ten years.
const FOREVER_SECONDS: i64 = 315_360_000;

/// One jail at work.
#[derive(Debug)]
pub(crate) struct Jail {
    pub(crate) name: String,
    filter: CompiledFilter,
    paths: Vec<String>,
    journal: bool,
    ignore: Vec<Prefix>,
    zone: TimeZone,
}

/// A failure of an address.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) jail: usize,
    pub(crate) address: IpAddr,
    pub(crate) time: Timestamp,
    /// The last name it failed as, or nothing.
    pub(crate) user: String,
    /// All lines of the failure if it has more than one.
    pub(crate) lines: String,
}

/// All jails.
#[derive(Debug, Default)]
pub(crate) struct Jails {
    jails: Vec<Jail>,
    /// Which jails watch a source, by its name and type.
    routes: Vec<(String, String, Vec<usize>)>,
    last: usize,
    counts: JailCounts,
}

/// Counters of all jails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JailCounts {
    /// Lines on which patterns reached their step limit.
    pub step_limit: u64,
    /// The most steps that a line took.
    pub steps_most: u32,
    /// Connections given up at their ceiling.
    pub sessions_forgotten: u64,
    /// Failures of addresses that the jail ignores.
    pub ignored: u64,
    /// Failures that name no address: hosts' names are not looked up.
    pub nameless: u64,
}

impl Jails {
    pub(crate) fn is_empty(&self) -> bool {
        self.jails.is_empty()
    }

    pub(crate) fn name(&self, jail: usize) -> &str {
        self.jails.get(jail).map_or("", |jail| &jail.name)
    }

    pub(crate) fn counts(&self) -> JailCounts {
        let mut counts = self.counts;
        for Counts {
            step_limit,
            steps_most,
            sessions_forgotten,
        } in self.jails.iter().map(|jail| jail.filter.counts())
        {
            counts.step_limit += step_limit;
            counts.steps_most = counts.steps_most.max(steps_most);
            counts.sessions_forgotten += sessions_forgotten;
        }
        counts
    }

    /// The number of the source's route.
    fn route(&mut self, source: &SourceInfo) -> usize {
        let kind = source.kind();
        let is = |(name, of, _): &(String, String, Vec<usize>)| *name == source.name && of == kind;
        if self.routes.get(self.last).is_some_and(is) {
            return self.last;
        }
        if let Some(at) = self.routes.iter().position(is) {
            self.last = at;
            return at;
        }
        if self.routes.len() >= ROUTES_MAX {
            self.routes.clear();
        }
        let watch = |jail: &Jail| jail.watches(source);
        let jails = (0..).zip(&self.jails).filter(|(_, j)| watch(j));
        let jails = jails.map(|(i, _)| i).collect();
        self.routes
            .push((source.name.clone(), kind.to_owned(), jails));
        self.last = self.routes.len() - 1;
        self.last
    }

    /// Puts the line through the filters of the jails that watch its source.
    pub(crate) fn take(
        &mut self,
        text: &[u8],
        source: &SourceInfo,
        now: Timestamp,
        caught: &mut Vec<Caught>,
        trace: &mut dyn Trace,
    ) {
        let route = self.route(source);
        let Some((_, _, watching)) = self.routes.get(route) else {
            return;
        };
        if watching.is_empty() {
            return;
        }
        let text =
            std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed);
        for number in watching {
            let Some(jail) = self.jails.get_mut(*number) else {
                continue;
            };
            let judged = jail.filter.examine(&text, Dated::InLine, now, &jail.zone);
            if trace.wants_scenarios() {
                trace.jail(jail.account(judged));
            }
            let Judged::Failed(told) = judged else {
                continue;
            };
            match jail.catch(*number, told) {
                Ok(one) => caught.push(one),
                Err(Missed::Nameless) => self.counts.nameless += 1,
                Err(Missed::Ignored) => self.counts.ignored += 1,
            }
        }
    }
}

/// Why a failure does not count.
enum Missed {
    Nameless,
    Ignored,
}

impl Jail {
    fn watches(&self, source: &SourceInfo) -> bool {
        let kind = source.kind();
        kind == self.name
            || kind.strip_prefix("fail2ban/") == Some(&self.name)
            || (self.journal && source.module == "journalctl")
            || self.paths.iter().any(|path| fits(path, &source.name))
    }

    /// What it made of a line, in words; [`Jail::catch`] decides.
    fn account(&self, judged: Judged) -> JailAccount {
        let end = match judged {
            Judged::Nothing => JailEnd::NoMatch,
            Judged::Helped { regex } => JailEnd::Helped { regex: regex + 1 },
            Judged::Failed(told) => self.failed(told),
        };
        JailAccount {
            jail: self.name.clone(),
            end,
        }
    }

    fn failed(&self, told: Told) -> JailEnd {
        let regex = told.regex + 1;
        let session = self.filter.session(told);
        let who = session.and_then(|session| session.who());
        match self.catch(0, told) {
            Ok(one) => JailEnd::Failed {
                regex,
                address: one.address,
                time: one.time,
                lines: session.map_or(0, |session| session.lines.len()),
                user: one.user,
            },
            Err(Missed::Ignored) => match who.and_then(Who::address) {
                Some(address) => JailEnd::Ignored {
                    regex,
                    address: address.to_canonical(),
                },
                None => JailEnd::NoMatch,
            },
            Err(Missed::Nameless) => JailEnd::Nameless {
                regex,
                who: who.map_or_else(String::new, Who::id),
            },
        }
    }

    fn catch(&self, number: usize, told: Told) -> Result<Caught, Missed> {
        let session = self.filter.session(told).ok_or(Missed::Nameless)?;
        let address = session
            .who()
            .and_then(Who::address)
            .ok_or(Missed::Nameless)?
            .to_canonical();
        if self.ignore.iter().any(|own| own.contains(address)) {
            return Err(Missed::Ignored);
        }
        let mut lines = String::new();
        if session.lines.len() > 1 {
            for (number, line) in session.lines.iter().enumerate() {
                lines.push_str(if number == 0 { "" } else { "\n" });
                lines.push_str(line);
            }
        }
        Ok(Caught {
            jail: number,
            address,
            time: told.time,
            user: session.values.get(USER).unwrap_or_default().to_owned(),
            lines,
        })
    }
}

/// Whether `name` fits a pattern in which `*` is any text and `?` any character.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
            }
            Some(c) if c == byte || *c == b'?' => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((after, taken)) => {
                    *taken += 1;
                    (p, n) = (*after, *taken);
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}

/// A jail's bucket, as a scenario file and what the file cannot say.
pub(crate) struct Bucket {
    pub(crate) file: RuleFile,
    pub(crate) max_retry: u32,
    pub(crate) find_seconds: u32,
}

/// Compiles the enabled jails among `files`. What does not run is one diagnostic each.
pub(crate) fn load(files: &[RuleFile], found: &mut Vec<Diagnostic>) -> (Jails, Vec<Bucket>) {
    let mut roots: BTreeMap<&str, Files> = BTreeMap::new();
    for file in files.iter().filter(|f| f.kind() == RuleKind::Fail2ban) {
        let (root, path) = split(&file.path);
        roots.entry(root).or_default().insert(path, &*file.text);
    }
    let (mut jails, mut buckets) = (Jails::default(), Vec::new());
    for (root, files) in &roots {
        if files.get("jail.conf").is_none() && files.get("jail.local").is_none() {
            continue;
        }
        let mut report = |message: String| {
            found.push(Diagnostic {
                severity: Severity::Error,
                file: format!("{root}jail.conf"),
                line: 0,
                column: 0,
                message,
                fix: "correct it, or set `enabled = false` for this jail".to_owned(),
            });
        };
        // Jails that are not enabled may lack what they need.
        let names = match enabled_jails(files) {
            Ok(names) => names,
            Err(error) => {
                report(error.to_string());
                continue;
            }
        };
        for name in names {
            if jails.jails.len() >= JAILS_MAX {
                report(format!(
                    "more than {JAILS_MAX} jails; the rest does not run"
                ));
                break;
            }
            match read_jail(files, &name)
                .map_err(|e| e.to_string())
                .and_then(compile)
            {
                Ok((jail, bucket)) => {
                    jails.jails.push(jail);
                    buckets.push(Bucket {
                        file: RuleFile::new(format!("{root}jail.conf"), bucket.file.text),
                        ..bucket
                    });
                }
                Err(error) => report(format!("jail [{name}]: {error}")),
            }
        }
    }
    (jails, buckets)
}

/// The configuration folder that a path belongs to, and the path in it.
fn split(path: &str) -> (&str, &str) {
    let at = ["filter.d/", "jail.d/"]
        .iter()
        .filter_map(|folder| {
            let at = path.rfind(folder)?;
            (at == 0 || path.get(..at)?.ends_with('/')).then_some(at)
        })
        .min()
        .or_else(|| path.rfind('/').map(|at| at + 1))
        .unwrap_or(0);
    path.split_at(at)
}

fn compile(config: Config) -> Result<(Jail, Bucket), String> {
    let name = config.name.clone();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.chars().all(plain) {
        return Err("a name has letters, digits, `-`, `_` and `.` only".to_owned());
    }
    let filter = CompiledFilter::new(&config.filter, config.use_dns).map_err(|e| e.to_string())?;
    let bucket = Bucket {
        file: RuleFile::new("", scenario(&config).to_string()),
        max_retry: config.max_retry.max(1),
        find_seconds: u32::try_from(config.find_seconds.max(1)).unwrap_or(u32::MAX),
    };
    let jail = Jail {
        filter,
        journal: config.backend.starts_with("systemd"),
        ignore: config
            .ignore
            .iter()
            .filter_map(|own| network(own))
            .collect(),
        zone: config.time_zone.as_deref().map_or(TimeZone::UTC, zone),
        paths: config.log_paths.iter().map(|path| bare(path)).collect(),
        name,
    };
    Ok((jail, bucket))
}

/// The jail's bucket in the words of scenarios (JSON is YAML too).
fn scenario(config: &Config) -> Value {
    let name = &config.name;
    let retries = config.max_retry.max(1);
    let silence = match config.ban_seconds {
        ban if ban < 0 => SILENCE_SECONDS_MAX,
        ban => ban.clamp(1, SILENCE_SECONDS_MAX),
    };
    json!({
        "type": "leaky",
        "name": format!("fail2ban/{name}"),
        "description": format!("{retries} failures within {} s in jail {name}", config.find_seconds),
        "filter": format!("evt.Meta.jail == '{name}'"),
        "groupby": "evt.Meta.source_ip",
        "capacity": retries,
        "cache_size": config.max_matches.clamp(1, MATCHES_MAX).max(retries.min(MATCHES_MAX)),
        "leakspeed": format!("{}s", config.find_seconds.max(1)),
        "blackhole": format!("{silence}s"),
        "labels": {
            "remediation": true,
            "service": config.filter.name,
            "jail": name,
            "ban": ban(config.ban_seconds, &config.increment),
        },
    })
}

/// How long a ban lasts and how it grows, as the decision reads it from the alert.
fn ban(seconds: i64, increment: &Increment) -> Value {
    let seconds = if seconds < 0 {
        FOREVER_SECONDS
    } else {
        seconds
    };
    let mut ban = json!({ "seconds": seconds, "grows": increment.enabled });
    if let Value::Object(fields) = &mut ban
        && increment.enabled
    {
        if let Some(factor) = increment.factor {
            fields.insert("factor".to_owned(), json!(factor));
        }
        if let Some(most) = increment.max_seconds {
            fields.insert("max_seconds".to_owned(), json!(most));
        }
        if !increment.multipliers.is_empty() {
            fields.insert("multipliers".to_owned(), json!(increment.multipliers));
        }
    }
    ban
}

/// An address or a network; bits beyond its length do not count. Names are not looked up.
fn network(text: &str) -> Option<Prefix> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    match length {
        None => Some(Prefix::from(address)),
        Some(length) => {
            let length = match length.parse::<std::net::Ipv4Addr>() {
                Ok(mask) => u8::try_from(mask.to_bits().leading_ones()).ok()?,
                Err(_) => length.parse().ok()?,
            };
            Prefix::new(address, length).ok()
        }
    }
}

/// `UTC+02:00`, `UTC-0530`.
fn zone(text: &str) -> TimeZone {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number =
        |range: std::ops::Range<usize>| digits.get(range).and_then(|d| d.parse::<i32>().ok());
    let seconds = number(0..2).unwrap_or(0) * 3_600 + number(2..4).unwrap_or(0) * 60;
    let seconds = if text.contains('-') {
        -seconds
    } else {
        seconds
    };
    Offset::from_seconds(seconds).map_or(TimeZone::UTC, TimeZone::fixed)
}

/// A path without where to begin reading it (`/var/log/x tail`).
fn bare(path: &str) -> String {
    let path = path
        .strip_suffix(" tail")
        .or_else(|| path.strip_suffix(" head"))
        .unwrap_or(path);
    path.trim().to_owned()
}

#[cfg(test)]
mod tests;
