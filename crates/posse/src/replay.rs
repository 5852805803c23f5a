//! `posse replay`: the same engine over recorded logs, in the recording's own time.

use std::{collections::BTreeMap, io::Write, num::NonZeroUsize, ops::ControlFlow, path::Path};

use anyhow::{Context as _, Result, anyhow, bail};
use decide::{Policy, PolicyConfig};
use detect::engine::{Clock, Engine, EngineOptions, EngineStats};
use indicatif::ProgressBar;
use model::{Alert, Batch, Entry, HostFacts, SourceId, SourceInfo, Timestamp};
use serde_json::json;
use store::{Durability, Store, StoreOptions};

use crate::{
    budget::{self, Budget, Bytes, Use},
    cli::ReplayArgs,
    config::Config,
    content, crew,
    exit::Exit,
    geoip::GeoIp,
    ledger_command::{progress, show},
    order::entry_of,
    what_if::WhatIf,
};

/// Entries written to the ledger in one go.
const RECORD_BATCH: usize = 4_096;
/// Bytes of alerts printed in one go.
const TEXT_BYTES: usize = 128 << 10;

pub(crate) fn run(arguments: &ReplayArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = match &arguments.config {
        Some(path) => Config::load(Some(path)).map_err(|d| anyhow!("{d}"))?,
        None => Config::default(),
    };
    let loaded = match &arguments.rules {
        Some(folder) => content::load_folder(Some(folder))?,
        None => content::load(&config.rules)?,
    };
    for diagnostic in &loaded.diagnostics {
        eprintln!("{diagnostic}");
    }
    let mistakes = loaded.errors();
    let judges = arguments.what_if || arguments.record.is_some();
    let part = if judges {
        Use::DetectAndJudge
    } else {
        Use::Detect
    };
    let base = budget::resident();
    let budget = Budget::plan(arguments.memory, &config.limits, part, base)?;
    let mut engine = Engine::new(loaded.rules, budget.engine);
    let (geoip, faults) = GeoIp::open(&config.geoip);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    if let Some(facts) = geoip.facts() {
        engine.set_facts(facts);
    }
    let what_if = arguments
        .what_if
        .then(|| WhatIf::new(&engine, budget.what_if));
    let mut replay = Replay {
        engine,
        threads: crew::threads(arguments.threads),
        desk: Desk {
            what_if,
            judge: Judge::new(arguments, &config.policy(), &budget)?,
            record: arguments.record.as_deref().map(Record::open).transpose()?,
            printed: if arguments.quiet || arguments.what_if {
                Print::Nothing
            } else {
                print_of(arguments)
            },
            counts: BTreeMap::new(),
            text: Vec::new(),
            last: Timestamp::EPOCH,
        },
    };
    for path in &arguments.files {
        let kind = match &arguments.kind {
            Some(kind) => kind.clone(),
            None => guess(path)?.to_owned(),
        };
        replay.file(path, &kind, out)?;
    }
    replay.finish(arguments, &budget, out)?;
    Ok(if mistakes > 0 {
        Exit::Degraded
    } else {
        Exit::Success
    })
}

/// One file, built-in rules, alerts for people: the drill's second half.
pub(crate) fn replay_one(path: &Path, kind: &str, out: &mut dyn Write) -> Result<()> {
    let loaded = content::load(&crate::config::RulesConfig::default())?;
    let mut replay = Replay {
        engine: Engine::new(loaded.rules, EngineOptions::default()),
        threads: NonZeroUsize::MIN,
        desk: Desk {
            judge: None,
            what_if: None,
            record: None,
            printed: Print::Human,
            counts: BTreeMap::new(),
            text: Vec::new(),
            last: Timestamp::EPOCH,
        },
    };
    replay.file(path, kind, out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Print {
    Human,
    Json,
    Nothing,
}

const fn print_of(arguments: &ReplayArgs) -> Print {
    if arguments.json {
        Print::Json
    } else {
        Print::Human
    }
}

struct Replay {
    engine: Engine,
    threads: NonZeroUsize,
    desk: Desk,
}

/// Where alerts go.
struct Desk {
    judge: Option<Judge>,
    what_if: Option<WhatIf>,
    record: Option<Record>,
    printed: Print,
    /// Alerts by rule.
    counts: BTreeMap<String, u64>,
    /// What is printed next: a page of the disk's cache that is written to twice costs twice.
    text: Vec<u8>,
    /// The newest time any alert spoke of.
    last: Timestamp,
}

/// Turns alerts into decisions when someone wants to know them.
struct Judge {
    policy: Policy,
    facts: HostFacts,
}

impl Judge {
    fn new(arguments: &ReplayArgs, config: &PolicyConfig, budget: &Budget) -> Result<Option<Self>> {
        if !arguments.what_if && arguments.record.is_none() {
            return Ok(None);
        }
        // The recording may be another machine's: what this one is or has does not count.
        let mut policy = Policy::new(config.clone())?;
        budget.bound(&mut policy);
        Ok(Some(Self {
            policy,
            facts: HostFacts::default(),
        }))
    }
}

impl Replay {
    fn file(&mut self, path: &Path, kind: &str, out: &mut dyn Write) -> Result<()> {
        let source = SourceInfo {
            name: path.display().to_string(),
            module: "file".into(),
            labels: [("type".to_owned(), kind.to_owned())].into(),
        };
        let bar = (self.desk.printed == Print::Nothing).then(|| progress("replaying"));
        // Who watches the parsers at work watches one thread.
        let outcome = if self.threads.get() == 1 || self.desk.what_if.is_some() {
            self.alone(path, &source, bar.as_ref(), out)
        } else {
            self.with_crew(path, &source, bar.as_ref(), out)
        };
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        // Also what was found before something failed.
        self.desk.hand_over(out)?;
        outcome
    }

    fn alone(
        &mut self,
        path: &Path,
        source: &SourceInfo,
        bar: Option<&ProgressBar>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut alerts = Vec::new();
        batches(path, bar, &mut |batch| {
            self.batch(batch, source, &mut alerts);
            self.desk.take(&mut alerts, out)
        })
    }

    fn with_crew(
        &mut self,
        path: &Path,
        source: &SourceInfo,
        bar: Option<&ProgressBar>,
        out: &mut dyn Write,
    ) -> Result<()> {
        let mut alerts = Vec::new();
        let Self { engine, desk, .. } = self;
        crew::with(engine, source, self.threads, |engine, crew| {
            batches(path, bar, &mut |batch| {
                crew.take(engine, batch, &mut alerts)?;
                desk.take(&mut alerts, out)
            })?;
            crew.finish(engine, &mut alerts)?;
            desk.take(&mut alerts, out)
        })
    }

    fn batch(&mut self, batch: &Batch, source: &SourceInfo, alerts: &mut Vec<Alert>) {
        for record in batch.iter() {
            match &mut self.desk.what_if {
                None => {
                    self.engine
                        .observe(&record, source, Clock::Recording, alerts);
                }
                Some(what_if) => {
                    what_if.look_at(&record);
                    self.engine
                        .observe_traced(&record, source, Clock::Recording, alerts, what_if);
                }
            }
        }
    }

    fn finish(
        mut self,
        arguments: &ReplayArgs,
        budget: &Budget,
        out: &mut dyn Write,
    ) -> Result<()> {
        if let Some(record) = &mut self.desk.record {
            record.flush()?;
        }
        if let Some(what_if) = &self.desk.what_if {
            return what_if.print(arguments.json, out);
        }
        let stats = self.engine.stats();
        let total: u64 = self.desk.counts.values().sum();
        if arguments.json {
            if arguments.quiet {
                let line = json!({
                    "lines": stats.lines, "alerts": total, "by_rule": self.desk.counts,
                    "invalid_utf8": stats.invalid_utf8,
                    "evicted": stats.evicted, "remembered": stats.remnants_live,
                    "forgotten": stats.remnants_lost,
                    "blackholes_dropped": stats.blackholes_dropped,
                    "memory_ceiling": budget.ceiling.map(|bytes| bytes.0),
                    "memory_peak": budget::peak(),
                });
                writeln!(out, "{line}")?;
            }
            return Ok(());
        }
        writeln!(out, "{} lines, {total} alerts", stats.lines)?;
        for (rule, count) in &self.desk.counts {
            writeln!(out, "  {count:>8}  {rule}")?;
        }
        memory(stats, budget, out)?;
        if let Some(record) = &self.desk.record {
            writeln!(
                out,
                "recorded in {}: {} entries",
                record.dir,
                record.store.size()?
            )?;
        }
        Ok(())
    }
}

impl Desk {
    fn take(&mut self, alerts: &mut Vec<Alert>, out: &mut dyn Write) -> Result<()> {
        for alert in alerts.drain(..) {
            if alert.is_good_news() {
                if let (Some(judge), Some(address)) = (&mut self.judge, alert.address) {
                    judge.policy.record_good(address, alert.last);
                }
                continue;
            }
            match self.counts.get_mut(&alert.rule) {
                Some(count) => *count += 1,
                None => {
                    self.counts.insert(alert.rule.clone(), 1);
                }
            }
            self.last = self.last.max(alert.last);
            match self.printed {
                Print::Human => writeln!(out, "{}  {}", alert.last, alert.message)?,
                Print::Json => {
                    alert.put_json(&mut self.text)?;
                    self.text.push(b'\n');
                    if self.text.len() >= TEXT_BYTES {
                        self.hand_over(out)?;
                    }
                }
                Print::Nothing => {}
            }
            let mut entries = Vec::new();
            if let Some(judge) = &mut self.judge {
                let verdicts =
                    judge
                        .policy
                        .judge(std::slice::from_ref(&alert), &judge.facts, alert.last);
                if let Some(what_if) = &mut self.what_if {
                    what_if.judged(&alert, &verdicts);
                }
                let recorded = verdicts.into_iter();
                entries = recorded.map(|verdict| entry_of(verdict, None)).collect();
            }
            if let Some(record) = &mut self.record {
                record.add(Entry::Alert(alert))?;
                entries
                    .into_iter()
                    .try_for_each(|entry| record.add(entry))?;
            }
        }
        Ok(())
    }

    /// Prints what waits to be printed.
    fn hand_over(&mut self, out: &mut dyn Write) -> Result<()> {
        out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }
}

/// The file's batches, one after the other, until one fails.
fn batches(
    path: &Path,
    bar: Option<&ProgressBar>,
    each: &mut dyn FnMut(&Batch) -> Result<()>,
) -> Result<()> {
    let mut outcome = Ok(());
    sense::read_file(path, SourceId(0), &mut |batch, at| {
        if let (Some(bar), Some(total)) = (bar, at.bytes_total) {
            show(bar, at.bytes_done, total);
        }
        outcome = each(batch);
        match outcome {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })
    .with_context(|| format!("cannot replay {}", path.display()))?;
    outcome
}

/// What had to be given up for lack of room, and what a given ceiling came to.
fn memory(stats: &EngineStats, budget: &Budget, out: &mut dyn Write) -> Result<()> {
    if let (Some(ceiling), Some(peak)) = (budget.ceiling, budget::peak()) {
        writeln!(
            out,
            "memory: {} at the peak, {ceiling} allowed",
            Bytes(peak)
        )?;
    }
    let evicted: u64 = stats.evicted.values().sum();
    if evicted == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "{evicted} buckets given up for lack of room; of {} of them it is known how far they had \
         come, {} were forgotten before their time",
        stats.remnants_live, stats.remnants_lost
    )?;
    for (rule, count) in &stats.evicted {
        writeln!(out, "  {count:>8}  {rule}")?;
    }
    Ok(())
}

/// A ledger of the replay's own.
struct Record {
    dir: String,
    store: Store,
    pending: Vec<Entry>,
}

impl Record {
    fn open(dir: &Path) -> Result<Self> {
        let options = StoreOptions {
            origin: None,
            durability: Durability::PowerLoss,
        };
        let store = Store::open(dir, options)
            .with_context(|| format!("cannot record into {}", dir.display()))?;
        Ok(Self {
            dir: dir.display().to_string(),
            store,
            pending: Vec::new(),
        })
    }

    fn add(&mut self, entry: Entry) -> Result<()> {
        self.pending.push(entry);
        if self.pending.len() >= RECORD_BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.store.append(&self.pending, crate::clock::now())?;
        self.pending.clear();
        Ok(())
    }
}

/// By the names that distributions give their logs.
pub(crate) fn guess(path: &Path) -> Result<&'static str> {
    let whole = path.to_string_lossy().to_lowercase();
    let name = path
        .file_name()
        .map(|n| n.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let starts = |words: &[&str]| words.iter().any(|w| name.starts_with(w));
    if starts(&[
        "auth", "secure", "syslog", "messages", "mail", "daemon", "kern", "sshd",
    ]) {
        Ok("syslog")
    } else if whole.contains("nginx") {
        Ok("nginx")
    } else if whole.contains("apache") || whole.contains("httpd") {
        Ok("apache2")
    } else {
        bail!(
            "{}: cannot tell what these lines are; add --type syslog, nginx, apache2, …",
            path.display()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_tell_the_type() {
        assert_eq!(guess(Path::new("/var/log/auth.log.1")).unwrap(), "syslog");
        assert_eq!(
            guess(Path::new("/var/log/nginx/access.log")).unwrap(),
            "nginx"
        );
        assert_eq!(
            guess(Path::new("/var/log/httpd/error_log")).unwrap(),
            "apache2"
        );
        assert!(
            guess(Path::new("/tmp/x"))
                .unwrap_err()
                .to_string()
                .contains("--type")
        );
    }
}
