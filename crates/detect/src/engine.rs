//! The whole room behind one door: a record goes in, alerts come out.
//!
//! `observe` takes one line through prefilter, parsers, buckets and postoverflow; `tick` ends what
//! time alone ends. The caller owns clock, disk and threads; the engine owns all mutable state of
//! detection, and [`Engine::snapshot`] carries it over a restart.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use model::{Alert, Diagnostic, Record, SourceInfo, Timestamp, limits};
use sha2::{Digest as _, Sha256};

use crate::{
    ahead::Finding,
    buckets::{self, Arrival, Buckets, Context, Dating, Full, LineRef, Lines, Saved, Scenario},
    contexts::Contexts,
    data_files,
    enrich::Enrich,
    event::{Event, FieldMap, TimeMode},
    explain::{self, Account, Explainer, OverflowEnd},
    expr::Services,
    fail2ban::{self, Caught, JailCounts, Jails},
    parse::{NoTrace, ParseOutcome, Parsers, Trace},
    patterns::Library,
    prefilter::{Hopes, Prefilter},
    rules::RuleKind,
    sigma::{self, SigmaRules},
    symbols::Symbols,
};
pub use crate::{
    ahead::{Ahead, Reader},
    rules::RuleFile,
};

mod feeding;

/// A data file that rules name (`File`, `RegexpInFile`, `LookupFile`), read by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// The name by which rules call it (`dest_file`), relative to the data folder.
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a loaded rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    Parser,
    Postoverflow,
    Scenario,
    Context,
    Sigma,
}

/// One loaded rule, as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEntry {
    pub kind: EntryKind,
    pub name: String,
    pub file: String,
    pub description: String,
    /// SHA-256 of the file's text, lower-case hex.
    pub hash: String,
}

/// All detection content, compiled.
pub struct Rules {
    entries: Vec<RuleEntry>,
    hash: String,
    symbols: Symbols,
    services: Services,
    parsers: Parsers,
    scenarios: Vec<Scenario>,
    contexts: Contexts,
    sigma: Option<SigmaRules>,
    jails: Jails,
}

impl Rules {
    /// Compiles what can be compiled; every mistake is one diagnostic, and the other rules load.
    pub fn load(files: Vec<RuleFile>, data: &[DataFile]) -> (Self, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let mut symbols = Symbols::default();
        let mut rules = Self {
            entries: Vec::new(),
            hash: overall_hash(&files, data),
            services: Services {
                data: data_files::load(&files, data, &mut found),
                ..Services::default()
            },
            parsers: Parsers::build(&files, &mut symbols, &mut found),
            symbols,
            scenarios: Vec::new(),
            contexts: Contexts::default(),
            sigma: sigma::load(&files, &mut found),
            jails: Jails::default(),
        };
        rules.contexts = Contexts::load(&files, &mut rules.symbols, &mut found);
        rules.list_parsers(&files);
        for file in files.iter().filter(|f| f.kind() == RuleKind::Scenario) {
            let hash = hex(&Sha256::digest(file.text.as_bytes()));
            let scenarios = buckets::load(file, &hash, &mut rules.symbols, &mut found);
            rules.add_scenarios(scenarios, &hash);
        }
        let (jails, kept) = fail2ban::load(&files, &mut found);
        rules.jails = jails;
        for bucket in &kept {
            let hash = hex(&Sha256::digest(bucket.file.text.as_bytes()));
            let scenarios = buckets::load_jail(bucket, &hash, &mut rules.symbols, &mut found);
            rules.add_scenarios(scenarios, &hash);
        }
        if let Some(sigma) = &mut rules.sigma {
            let first = u32::try_from(rules.scenarios.len()).unwrap_or(u32::MAX);
            rules
                .scenarios
                .extend(sigma.scenarios(first, &mut rules.symbols));
            rules.entries.extend(sigma.entries());
        }
        rules.list_contexts(&files);
        (rules, found)
    }

    fn add_scenarios(&mut self, scenarios: Vec<Scenario>, hash: &str) {
        self.entries
            .extend(scenarios.iter().map(|scenario| RuleEntry {
                kind: EntryKind::Scenario,
                name: scenario.name.to_string(),
                file: scenario.file.clone(),
                description: scenario.description.clone(),
                hash: hash.to_owned(),
            }));
        self.scenarios.extend(scenarios);
    }

    /// Contexts have no name of their own; they are called by author and file.
    fn list_contexts(&mut self, files: &[RuleFile]) {
        let contexts = files.iter().filter(|f| f.kind() == RuleKind::Context);
        self.entries.extend(contexts.map(|file| {
            let stem = file.name().rsplit_once('.').map_or("", |(stem, _)| stem);
            let author = file.path.rsplit('/').nth(1).unwrap_or_default();
            RuleEntry {
                kind: EntryKind::Context,
                name: match author {
                    "" | "contexts" => stem.to_owned(),
                    author => format!("{author}/{stem}"),
                },
                file: file.path.clone(),
                description: String::new(),
                hash: hex(&Sha256::digest(file.text.as_bytes())),
            }
        }));
    }

    fn list_parsers(&mut self, files: &[RuleFile]) {
        let hashes: BTreeMap<&str, String> = files
            .iter()
            .map(|f| (f.path.as_str(), hex(&Sha256::digest(f.text.as_bytes()))))
            .collect();
        self.entries
            .extend(self.parsers.entries().iter().map(|parser| {
                RuleEntry {
                    kind: if parser.postoverflow {
                        EntryKind::Postoverflow
                    } else {
                        EntryKind::Parser
                    },
                    name: parser.name.clone(),
                    file: parser.file.clone(),
                    description: parser.description.clone(),
                    hash: hashes
                        .get(parser.file.as_str())
                        .cloned()
                        .unwrap_or_default(),
                }
            }));
    }

    /// SHA-256 over all files and data files, lower-case hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    pub fn entries(&self) -> &[RuleEntry] {
        &self.entries
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// The grok patterns that the rules in `files` see, for [`Engine::explain`].
pub fn grok_patterns(files: &[RuleFile]) -> Library {
    Parsers::build_with_patterns(files, &mut Symbols::default(), &mut Vec::new()).1
}

/// What [`Rules::hash`] is of rules loaded from these files.
///
/// The order of the files does not count: a folder read in another order is the same rules.
pub fn overall_hash(files: &[RuleFile], data: &[DataFile]) -> String {
    let rules = files.iter().map(|f| (f.path.as_str(), f.text.as_bytes()));
    let data = data.iter().map(|d| (d.name.as_str(), d.bytes.as_slice()));
    let mut all: Vec<_> = rules.chain(data).collect();
    all.sort_unstable();
    let mut hash = Sha256::new();
    for part in all
        .iter()
        .flat_map(|(name, bytes)| [name.as_bytes(), bytes])
    {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[derive(Clone, Copy, Debug)]
pub struct EngineOptions {
    /// Live buckets; beyond it the one that was quiet longest goes, counted.
    pub buckets_max: usize,
    /// Bytes of events that wait in buckets; beyond it the bucket that was quiet longest goes.
    pub queue_bytes_max: usize,
    /// Bytes of buckets and of the events that wait in them; the same beyond it.
    pub bucket_bytes_max: usize,
    /// Bytes for what is left of buckets that had to go (how far they had come).
    pub remnant_bytes_max: usize,
    /// Bytes for telling whether an evicted source comes back.
    pub returner_bytes_max: usize,
    /// Silenced groups (`blackhole`); beyond it the one that would end first is heard again.
    pub blackholes_max: usize,
}

impl EngineOptions {
    /// Everything that grows with what sources do stays within so many bytes.
    pub fn within(bytes: usize) -> Self {
        let part = |percent: usize| bytes / 100 * percent;
        let default = Self::default();
        Self {
            buckets_max: default.buckets_max.min(part(50) / BUCKET_BYTES_LEAST),
            queue_bytes_max: default.queue_bytes_max.min(part(50)),
            bucket_bytes_max: part(50),
            remnant_bytes_max: part(35),
            returner_bytes_max: part(5),
            blackholes_max: default.blackholes_max.min(part(10) / BLACKHOLE_BYTES),
        }
    }
}

/// No live bucket costs less.
const BUCKET_BYTES_LEAST: usize = 256;
/// An entry of a map and two of a heap, with the room that growing doubles.
const BLACKHOLE_BYTES: usize = 192;
/// Bytes of remnants unless a ceiling is given.
const REMNANT_BYTES_MAX: usize = 64 << 20;
/// Bytes of the returners' filters unless a ceiling is given.
const RETURNER_BYTES_MAX: usize = 8 << 20;

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            buckets_max: limits::BUCKETS_MAX,
            queue_bytes_max: limits::BUCKET_QUEUE_BYTES_MAX,
            bucket_bytes_max: usize::MAX,
            remnant_bytes_max: REMNANT_BYTES_MAX,
            returner_bytes_max: RETURNER_BYTES_MAX,
            blackholes_max: limits::BLACKHOLES_MAX,
        }
    }
}

/// By which time buckets run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A line that waited while nobody watched: buckets take it at its own time, if that is not
    /// later than `now`, and live on by the wall clock. [`Engine::tick`] must wait until the last
    /// such line was taken in, or it ends buckets that the next one would have filled.
    CatchUp {
        now: Timestamp,
    },
    Live {
        now: Timestamp,
    },
    /// The time that stands in each line.
    Recording,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No parser or scenario could care: the prefilter let it go.
    Skipped,
    Unparsed,
    Whitelisted,
    /// `poured` scenarios counted it.
    Parsed {
        poured: u32,
    },
}

/// Counters since the engine was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    pub lines: u64,
    pub skipped: u64,
    pub unparsed: u64,
    pub parsed: u64,
    pub whitelisted: u64,
    /// Lines that were not UTF-8 and were read lossily.
    pub invalid_utf8: u64,
    pub poured: u64,
    /// Events that Sigma rules looked at, and matches of theirs.
    pub sigma_events: u64,
    pub sigma_matches: u64,
    /// Structured lines that could not be read, and values beyond the ceiling of one event.
    pub sigma_unreadable: u64,
    pub sigma_values_dropped: u64,
    /// Silenced groups now, and those given up at the ceiling.
    pub blackholes_live: u64,
    pub blackholes_dropped: u64,
    /// Evicted buckets of which is known how far they had come, and those forgotten since while
    /// it still mattered.
    pub remnants_live: u64,
    pub remnants_lost: u64,
    pub buckets_live: u64,
    pub queue_bytes: u64,
    pub overflows: u64,
    pub alerts: u64,
    /// Buckets that ended quietly.
    pub underflows: u64,
    pub canceled: u64,
    pub overflows_blackholed: u64,
    pub overflows_filtered: u64,
    pub overflows_whitelisted: u64,
    /// Overflows that named no usable source.
    pub overflows_sourceless: u64,
    /// Overflows that were not poured again because they came of too many others.
    pub reprocess_too_deep: u64,
    /// Of fail2ban's jails.
    pub jails: JailCounts,
    /// Times an event could not pour because a recording's line had no time.
    pub timeless: u64,
    /// By scenario: buckets dropped because a ceiling was reached.
    pub evicted: BTreeMap<String, u64>,
    /// By scenario: expressions that failed while running.
    pub expression_errors: BTreeMap<String, u64>,
    /// By scenario: values that `distinct` could no longer remember.
    pub distinct_full: BTreeMap<String, u64>,
}

impl EngineStats {
    pub(crate) fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
        match counts.get_mut(name) {
            Some(n) => *n += 1,
            None => {
                counts.insert(name.to_owned(), 1);
            }
        }
    }
}

/// What [`Engine::restore`] took over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    pub buckets: u64,
    pub blackholes: u64,
    /// Buckets of scenarios that are gone or have changed.
    pub dropped: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RestoreError {
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    #[error("the snapshot has format {found}, this program reads format {expected}")]
    Version { found: u32, expected: u32 },
}

/// Detection's state and its rules.
pub struct Engine {
    entries: Vec<RuleEntry>,
    hash: String,
    pub(crate) symbols: Symbols,
    services: Services,
    parsers: Parsers,
    prefilter: Prefilter,
    buckets: Buckets,
    contexts: Contexts,
    /// Boxed: most engines have none.
    sigma: Option<Box<SigmaRules>>,
    pub(crate) jails: Jails,
    pub(crate) caught: Vec<Caught>,
    options: EngineOptions,
    pub(crate) stats: EngineStats,
    /// Reused from line to line.
    pub(crate) event: Event,
    overflow_event: Event,
    full: Vec<Full>,
}

impl Engine {
    pub fn new(rules: Rules, options: EngineOptions) -> Self {
        let Rules {
            entries,
            hash,
            mut symbols,
            services,
            parsers,
            scenarios,
            contexts,
            sigma,
            jails,
        } = rules;
        let own = scenarios.iter().filter(|scenario| scenario.fed.is_none());
        let needs = own.map(Scenario::requirements).collect();
        let prefilter = Prefilter::build(&parsers, needs, &symbols);
        let mut buckets = Buckets::new(scenarios, &mut symbols, &services.data, options);
        buckets.keep_fields(&contexts.reads());
        Self {
            entries,
            hash,
            symbols,
            services,
            parsers,
            prefilter,
            buckets,
            contexts,
            sigma: sigma.map(Box::new),
            jails,
            caught: Vec::new(),
            options,
            stats: EngineStats::default(),
            event: Event::default(),
            overflow_event: Event::default(),
            full: Vec::new(),
        }
    }

    /// Where facts about addresses (country, network) come from.
    pub fn set_facts(&mut self, facts: Box<dyn Enrich + Send + Sync>) {
        self.parsers.set_facts(facts);
    }

    /// Takes in one line; alerts that it completes are appended.
    pub fn observe(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
    ) -> Outcome {
        self.stats.lines += 1;
        let jailed = self.jailed(record, source, clock, alerts);
        if let Some(form) = self.sigma_form(record, source) {
            let outcome = self.take_for_sigma(form, record, source, clock, alerts, &mut NoTrace);
            return jailed.or(outcome);
        }
        let Self {
            prefilter,
            parsers,
            symbols,
            ..
        } = self;
        if !prefilter.may_matter(record.text, &source.labels, parsers, symbols) {
            self.stats.skipped += 1;
            return jailed.or(Outcome::Skipped);
        }
        let seen = Look::Taken;
        jailed.or(self.take(seen, record, source, clock, alerts, &mut NoTrace))
    }

    /// Like [`Engine::observe`], and shows every step to `trace`; no line is skipped.
    pub fn observe_traced(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
        trace: &mut dyn Trace,
    ) -> Outcome {
        self.stats.lines += 1;
        let jailed = self.jailed(record, source, clock, alerts);
        if let Some(form) = self.sigma_form(record, source) {
            let outcome = self.take_for_sigma(form, record, source, clock, alerts, trace);
            return jailed.or(outcome);
        }
        jailed.or(self.take(Look::Missing, record, source, clock, alerts, trace))
    }

    /// Like [`Engine::observe`], and tells what became of the line and why. `patterns` are those of
    /// [`grok_patterns`].
    pub fn explain(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        patterns: &Library,
        alerts: &mut Vec<Alert>,
    ) -> (Outcome, Account) {
        self.stats.lines += 1;
        let Self {
            prefilter,
            parsers,
            symbols,
            ..
        } = self;
        let passes = prefilter.may_matter(record.text, &source.labels, parsers, symbols);
        let mut explainer = Explainer::new(patterns, &self.symbols, &self.event);
        let jailed = self.through_jails(record, source, clock, alerts, &mut explainer);
        self.begin(record, source, clock);
        explainer.jails_are_done(&self.event, &self.symbols);
        let form = self.sigma_form(record, source);
        let outcome = match form {
            Some(form) => self.take_for_sigma(form, record, source, clock, alerts, &mut explainer),
            None => self.take(Look::Missing, record, source, clock, alerts, &mut explainer),
        };
        let mut account = explainer.account;
        if form.is_some() && outcome != Outcome::Whitelisted {
            account.sigma = self.sigma.as_ref().and_then(|sigma| sigma.account());
        }
        let outcome = jailed.or(outcome);
        account.prefilter_skips = !passes;
        account.time = self.event.marshaled_time;
        if account.fields.is_empty() {
            account.fields = explain::fields(&self.event, &self.symbols);
        }
        (outcome, account)
    }

    fn take(
        &mut self,
        look: Look,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
        trace: &mut dyn Trace,
    ) -> Outcome {
        self.begin(record, source, clock);
        let Self {
            event,
            parsers,
            prefilter,
            services,
            symbols,
            ..
        } = self;
        let hopes = match look {
            Look::Taken => prefilter.hopes(),
            Look::Missing => Hopes::default(),
        };
        let outcome = parsers.run_hoping(event, services, symbols, trace, hopes);
        if outcome != ParseOutcome::Parsed {
            return self.left_out(outcome);
        }
        self.count(record, source, clock, alerts, trace)
    }

    /// Pours the parsed event.
    pub(crate) fn count(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        alerts: &mut Vec<Alert>,
        trace: &mut dyn Trace,
    ) -> Outcome {
        self.stats.parsed += 1;
        let (time, dating) = self.dated(record, clock);
        let line = LineRef::Record {
            source: &source.name,
            origin: &record.meta.origin,
            received: record.meta.received,
            raw: record.raw,
        };
        let arrival = Arrival {
            line,
            time,
            mode: self.event.mode,
            dating,
            depth: 0,
        };
        let looks = trace.wants_scenarios().then(|| {
            self.buckets
                .before(&self.event, &self.symbols, &self.services, dating)
        });
        let mut cx = Context::new(
            &mut self.event,
            &mut self.symbols,
            &self.services,
            &mut self.stats,
        );
        let poured = self.buckets.pour(&mut cx, &arrival, &mut self.full);
        if let Some(looks) = looks {
            let found = self.buckets.after(looks, &self.full, time);
            trace.scenarios(found, &self.event, &self.symbols);
        }
        self.settle(alerts, trace);
        Outcome::Parsed { poured }
    }

    /// The time that counts for the event; a recording's clock moves on to it.
    fn dated(&mut self, record: &Record<'_>, clock: Clock) -> (Timestamp, Dating) {
        match (clock, self.event.marshaled_time) {
            (Clock::CatchUp { now }, Some(time)) => (time.min(now), Dating::Dated),
            (Clock::CatchUp { now } | Clock::Live { now }, _) => (now, Dating::Dated),
            (Clock::Recording, Some(time)) => {
                self.buckets.advance(time, &mut self.stats, &mut self.full);
                (time, Dating::Dated)
            }
            (Clock::Recording, None) => (record.meta.received, Dating::Undated),
        }
    }

    /// Makes the event of a new line.
    pub(crate) fn begin(&mut self, record: &Record<'_>, source: &SourceInfo, clock: Clock) {
        let wording = begin(&mut self.event, &mut self.symbols, record, source, clock);
        self.stats.invalid_utf8 += u64::from(wording == Wording::Lossy);
        self.services.now = self.event.time;
    }

    /// Makes ready to read lines of `source` on another thread.
    pub fn reader(&mut self, source: &SourceInfo) -> Reader {
        for key in source.labels.keys() {
            self.symbols.intern_bounded(key, limits::SYMBOLS_MAX);
        }
        let Self {
            prefilter,
            parsers,
            symbols,
            ..
        } = self;
        // Its gate is worked out once, not by every reader.
        prefilter.may_matter(b"", &source.labels, parsers, symbols);
        let parts = (self.parsers.twin(), self.prefilter.twin());
        Reader::new(parts, self.services.twin(), self.symbols.clone())
    }

    /// Like [`Engine::observe`] for the next line of those that a [`Reader`] has read: the same
    /// effect, with less left to do.
    pub fn observe_ahead(
        &mut self,
        record: &Record<'_>,
        source: &SourceInfo,
        clock: Clock,
        ahead: &mut Ahead,
        alerts: &mut Vec<Alert>,
    ) -> Outcome {
        self.stats.lines += 1;
        let jailed = self.jailed(record, source, clock, alerts);
        let finding = ahead.take(&mut self.event);
        if let Some(form) = self.sigma_form(record, source) {
            let outcome = self.take_for_sigma(form, record, source, clock, alerts, &mut NoTrace);
            return jailed.or(outcome);
        }
        let outcome = match finding {
            Finding::Skipped => {
                self.stats.skipped += 1;
                return jailed.or(Outcome::Skipped);
            }
            Finding::InOrder => {
                let trace = &mut NoTrace;
                return jailed.or(self.take(Look::Missing, record, source, clock, alerts, trace));
            }
            Finding::Read(outcome, wording) => {
                self.stats.invalid_utf8 += u64::from(wording == Wording::Lossy);
                outcome
            }
        };
        self.services.now = received(record, clock).1;
        jailed.or(match outcome {
            ParseOutcome::Parsed => self.count(record, source, clock, alerts, &mut NoTrace),
            ParseOutcome::Dropped | ParseOutcome::Whitelisted => self.left_out(outcome),
        })
    }

    fn left_out(&mut self, outcome: ParseOutcome) -> Outcome {
        if outcome == ParseOutcome::Whitelisted {
            self.stats.whitelisted += 1;
            Outcome::Whitelisted
        } else {
            self.stats.unparsed += 1;
            Outcome::Unparsed
        }
    }

    #[cfg(test)]
    pub(crate) const fn parts(&mut self) -> (&mut Event, &mut Symbols) {
        (&mut self.event, &mut self.symbols)
    }

    /// Deals with what ran over, and with what that makes run over in turn.
    fn settle(&mut self, alerts: &mut Vec<Alert>, trace: &mut dyn Trace) {
        let mut round = std::mem::take(&mut self.full);
        while !round.is_empty() {
            for full in round.drain(..) {
                self.deal_with(&full, alerts, trace);
                self.buckets.finish(full);
            }
            std::mem::swap(&mut round, &mut self.full);
        }
        self.full = round;
        self.buckets.measure(&mut self.stats);
    }

    fn deal_with(&mut self, full: &Full, alerts: &mut Vec<Alert>, trace: &mut dyn Trace) {
        let Self {
            buckets,
            services,
            symbols,
            stats,
            ..
        } = self;
        if let Some(scenario) = buckets.scenarios().get(full.scenario as usize) {
            trace.ran_over(&scenario.name, full.total);
        }
        let filtered = stats.overflows_filtered;
        if !buckets.is_heard(full, services, symbols, stats) {
            trace.ended(if stats.overflows_filtered > filtered {
                OverflowEnd::FilteredOut
            } else {
                OverflowEnd::Silenced
            });
            return;
        }
        let lines = if self.parsers.judges_overflows() {
            Lines::Shown
        } else {
            Lines::ShownOfBadNews
        };
        let Some(overflow) = buckets.overflow(full, symbols, lines) else {
            stats.overflows_sourceless += 1;
            trace.ended(OverflowEnd::NoSource);
            return;
        };
        let event = &mut self.overflow_event;
        event.reset("");
        (event.mode, event.time) = (full.mode, full.time);
        event.marshaled_time = Some(full.time);
        event.overflow = Some(Box::new(overflow));
        self.parsers
            .run_postoverflow(event, services, symbols, trace);
        trace.overflow(event);
        if event.overflow.as_ref().is_none_or(|o| o.whitelisted) {
            stats.overflows_whitelisted += u64::from(event.overflow.is_some());
            let reason = event.overflow.as_ref().map(|o| o.whitelist_reason.clone());
            let reason = reason.unwrap_or_default();
            trace.ended(OverflowEnd::Whitelisted { reason });
            return;
        }
        if event.overflow.as_ref().is_some_and(|o| o.reprocess) {
            // Before the alerts take it apart.
            self.reprocess(full);
        }
        let Self {
            buckets,
            contexts,
            services,
            symbols,
            stats,
            overflow_event,
            ..
        } = self;
        if let Some(overflow) = overflow_event.overflow.take() {
            let first = alerts.len();
            stats.alerts += buckets.alerts(full, *overflow, symbols, alerts);
            if !contexts.is_empty() {
                let new = alerts.get_mut(first..).unwrap_or_default();
                buckets.put_in_context(full, contexts, symbols, services, new);
            }
        }
    }

    /// Pours the overflow into the scenarios that count overflows.
    fn reprocess(&mut self, full: &Full) {
        let Some(deciding) = full.deciding() else {
            return;
        };
        if deciding.depth >= limits::REPROCESS_DEPTH_MAX {
            self.stats.reprocess_too_deep += 1;
            return;
        }
        let arrival = Arrival {
            line: LineRef::Block(deciding.line),
            time: full.time,
            mode: full.mode,
            dating: Dating::Dated,
            depth: deciding.depth + 1,
        };
        let Self {
            overflow_event,
            symbols,
            services,
            stats,
            ..
        } = self;
        let mut cx = Context::new(overflow_event, symbols, services, stats);
        self.buckets.pour(&mut cx, &arrival, &mut self.full);
    }

    /// Ends what is due at `now`: quiet buckets go, counters overflow. Once a recording is over,
    /// `Timestamp::MAX` ends everything.
    pub fn tick(&mut self, now: Timestamp, alerts: &mut Vec<Alert>) {
        self.services.now = now;
        self.buckets.tick(now, &mut self.stats, &mut self.full);
        self.settle(alerts, &mut NoTrace);
    }

    /// When [`Engine::tick`] may have something to do next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.buckets.next_due()
    }

    /// The wall clock was set by so many nanoseconds (negative: back). What live buckets remember
    /// moves with it, so that they neither run out at once nor stand still.
    pub fn clock_was_set(&mut self, by: i64) {
        self.buckets.shift(by);
    }

    /// All live state, as bytes that [`Engine::restore`] reads.
    pub fn snapshot(&self) -> Vec<u8> {
        buckets::encode(&self.buckets, &self.symbols)
    }

    /// Replaces the live state by a snapshot's. On an error nothing has changed.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<RestoreReport, RestoreError> {
        let saved = Saved::read(bytes, self.buckets.scenarios(), &mut self.symbols)?;
        let report = saved.install(&mut self.buckets);
        self.buckets.measure(&mut self.stats);
        Ok(report)
    }

    pub const fn stats(&self) -> &EngineStats {
        &self.stats
    }

    /// The loaded rules, for listings.
    pub fn entries(&self) -> &[RuleEntry] {
        &self.entries
    }

    /// The names of fields as of now, for [`Reader::learn`].
    pub fn names(&self) -> Symbols {
        self.symbols.clone()
    }

    /// The names of fields, for a [`Trace`] that wants to read them.
    pub const fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// [`Rules::hash`] of the rules it runs.
    pub fn rules_hash(&self) -> &str {
        &self.hash
    }

    pub const fn options(&self) -> &EngineOptions {
        &self.options
    }
}

/// Whether the prefilter has just looked at the very line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Taken,
    Missing,
}

/// How the bytes of a line became text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wording {
    Exact,
    /// They were not UTF-8.
    Lossy,
}

/// Makes `event` that of a new line.
pub(crate) fn begin(
    event: &mut Event,
    symbols: &mut Symbols,
    record: &Record<'_>,
    source: &SourceInfo,
    clock: Clock,
) -> Wording {
    let text = std::str::from_utf8(record.text)
        .map_or_else(|_| String::from_utf8_lossy(record.text), Cow::Borrowed);
    event.reset(&text);
    (event.mode, event.time) = received(record, clock);
    event.source_name = event.write(&source.name);
    event.module = event.write(&source.module);
    for (key, value) in &source.labels {
        if let Some(sym) = symbols.intern_bounded(key, limits::SYMBOLS_MAX) {
            event.set_field(FieldMap::Labels, sym, value);
        }
    }
    match text {
        Cow::Borrowed(_) => Wording::Exact,
        Cow::Owned(_) => Wording::Lossy,
    }
}

const fn received(record: &Record<'_>, clock: Clock) -> (TimeMode, Timestamp) {
    match clock {
        Clock::CatchUp { now } | Clock::Live { now } => (TimeMode::Live, now),
        Clock::Recording => (TimeMode::Recording, record.meta.received),
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
