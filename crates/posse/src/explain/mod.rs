//! `posse rules explain`: how a line went through, and why a ban did or did not follow.
//!
//! Feeds the lines to the engine as a replay does, in their own time, and asks it to account for
//! the last ones or for those that name an address. What the policy then does is judged with this
//! machine's facts, as a running guard would. Touches neither kernel nor record.

mod tell;
mod verdict;

use std::{
    io::{Read as _, Write},
    net::IpAddr,
    ops::ControlFlow,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use decide::Policy;
use detect::{
    engine::{Clock, Engine, EngineOptions, Outcome, grok_patterns},
    explain::Account,
};
use model::{
    Alert, Batch, HostFacts, LineOrigin, Record, RecordMeta, SourceId, SourceInfo, Timestamp,
    limits,
};
use serde::Serialize;

use self::{tell::Teller, verdict::Judged};
use crate::{
    cli::ExplainArgs, config::Config, content, exit::Exit, facts, geoip::GeoIp, ink::Paint, replay,
};

/// Lines explained unless the user says how many.
const LAST: usize = 1;
const LAST_OF_ADDRESS: usize = 10;
/// Bytes of standard input.
const INPUT_BYTES_MAX: u64 = 64 << 20;

/// One line, explained.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    /// Counted from 1.
    number: u64,
    line: String,
    r#type: String,
    outcome: Ending,
    #[serde(flatten)]
    account: Account,
    alerts: Vec<Judged>,
    /// Why it ended so, in one sentence.
    conclusion: String,
}

/// What became of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Ending {
    Unparsed,
    Whitelisted,
    Parsed,
}

pub(crate) fn run(arguments: &ExplainArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = match &arguments.config {
        Some(path) => Config::load(Some(path)).map_err(|d| anyhow!("{d}"))?,
        None => Config::default(),
    };
    let files = match &arguments.rules {
        Some(folder) => content::files_of(Some(folder))?,
        None => content::files_for(&config.rules)?,
    };
    let patterns = grok_patterns(&files);
    let loaded = content::compile(files);
    for diagnostic in &loaded.diagnostics {
        eprintln!("{diagnostic}");
    }
    let mut engine = Engine::new(loaded.rules, EngineOptions::default());
    equip(&mut engine, &config)?;
    let input = Input::of(arguments)?;
    let total = input.count(arguments.address)?;
    if total == 0 {
        bail!("{}", nothing_to_explain(arguments));
    }
    let default = arguments.address.map_or(LAST, |_| LAST_OF_ADDRESS);
    let last = u64::try_from(arguments.last.unwrap_or(default)).unwrap_or(u64::MAX);
    let mut explaining = Explaining {
        engine,
        patterns,
        policy: Policy::new(config.policy())?,
        facts: facts::gather(),
        source: input.source(arguments),
        address: arguments.address,
        from: total.saturating_sub(last),
        named: 0,
        number: 0,
        teller: Teller::new(arguments, Paint::for_output()),
    };
    input.each(&mut |record| explaining.line(record, out))?;
    Ok(Exit::Success)
}

/// Facts about addresses, which rules may ask for.
fn equip(engine: &mut Engine, config: &Config) -> Result<()> {
    let (geoip, faults) = GeoIp::open(&config.geoip);
    if let Some(fault) = faults.into_iter().next() {
        return Err(fault);
    }
    if let Some(facts) = geoip.facts() {
        engine.set_facts(facts);
    }
    Ok(())
}

fn nothing_to_explain(arguments: &ExplainArgs) -> String {
    match arguments.address {
        Some(address) => format!("no line names {address}"),
        None => "there is no line to explain".to_owned(),
    }
}

struct Explaining {
    engine: Engine,
    patterns: detect::patterns::Library,
    policy: Policy,
    facts: HostFacts,
    source: SourceInfo,
    address: Option<IpAddr>,
    /// Of the lines in question, how many are passed over.
    from: u64,
    named: u64,
    number: u64,
    teller: Teller,
}

impl Explaining {
    fn line(&mut self, record: &Record<'_>, out: &mut dyn Write) -> Result<()> {
        self.number += 1;
        let mut alerts = Vec::new();
        let in_question = self.address.is_none_or(|a| names(record.text, a));
        self.named += u64::from(in_question);
        if !in_question || self.named <= self.from {
            self.engine
                .observe(record, &self.source, Clock::Recording, &mut alerts);
            self.judge(alerts);
            return Ok(());
        }
        let (outcome, account) = self.engine.explain(
            record,
            &self.source,
            Clock::Recording,
            &self.patterns,
            &mut alerts,
        );
        let alerts = self.judge(alerts);
        let outcome = match outcome {
            Outcome::Skipped | Outcome::Unparsed => Ending::Unparsed,
            Outcome::Whitelisted => Ending::Whitelisted,
            Outcome::Parsed { .. } => Ending::Parsed,
        };
        let conclusion = verdict::conclusion(outcome, &account, &alerts);
        let explained = Explained {
            number: self.number,
            line: String::from_utf8_lossy(record.text).into_owned(),
            r#type: self.source.kind().to_owned(),
            outcome,
            account,
            alerts,
            conclusion,
        };
        self.teller.tell(&explained, out)
    }

    fn judge(&mut self, alerts: Vec<Alert>) -> Vec<Judged> {
        let judged = alerts
            .into_iter()
            .map(|alert| Judged::new(alert, &mut self.policy, &self.facts));
        judged.collect()
    }
}

/// Whether the text names the address, and not one that merely contains its digits.
fn names(text: &[u8], address: IpAddr) -> bool {
    let wanted = address.to_string();
    let joins =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_hexdigit() || matches!(b, b'.' | b':'));
    let mut from = 0;
    while let Some(rest) = text.get(from..) {
        let Some(at) = memmem(rest, wanted.as_bytes()) else {
            return false;
        };
        let (start, end) = (from + at, from + at + wanted.len());
        let before = start.checked_sub(1).and_then(|i| text.get(i));
        // `203.0.113.9:55022` and `203.0.113.9.` at a sentence's end are that address.
        let after = match text.get(end..) {
            Some([b'.' | b':', next, ..]) if address.is_ipv4() => {
                text.get(end) == Some(&b'.') && next.is_ascii_digit()
            }
            Some([b'.', ..]) => false,
            rest => joins(rest.and_then(<[u8]>::first)) && rest != Some(b"."),
        };
        if !joins(before) && !after {
            return true;
        }
        from = end;
    }
    false
}

fn memmem(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|w| w == wanted)
}

/// Where the lines come from; they are gone through twice.
enum Input<'a> {
    File(&'a Path),
    Lines(Vec<Vec<u8>>),
}

impl<'a> Input<'a> {
    fn of(arguments: &'a ExplainArgs) -> Result<Self> {
        if let Some(path) = &arguments.file {
            if path != Path::new("-") {
                return Ok(Self::File(path));
            }
            return Ok(Self::Lines(standard_input()?));
        }
        let mut lines = Vec::new();
        for line in &arguments.lines {
            match line.as_str() {
                "-" => lines.extend(standard_input()?),
                line => lines.extend(split(line.as_bytes())),
            }
        }
        Ok(Self::Lines(lines))
    }

    fn source(&self, arguments: &ExplainArgs) -> SourceInfo {
        let (name, guessed) = match self {
            Self::File(path) => (path.display().to_string(), replay::guess(path).ok()),
            Self::Lines(_) => ("command line".to_owned(), None),
        };
        let kind = arguments.kind.as_deref().or(guessed).unwrap_or("syslog");
        SourceInfo {
            name,
            module: "file".into(),
            labels: [("type".to_owned(), kind.to_owned())].into(),
        }
    }

    /// How many lines are in question.
    fn count(&self, address: Option<IpAddr>) -> Result<u64> {
        let mut total = 0;
        self.each(&mut |record| {
            total += u64::from(address.is_none_or(|a| names(record.text, a)));
            Ok(())
        })?;
        Ok(total)
    }

    fn each(&self, each: &mut dyn FnMut(&Record<'_>) -> Result<()>) -> Result<()> {
        match self {
            Self::File(path) => {
                let mut outcome = Ok(());
                let mut batch = |batch: &Batch, _| {
                    outcome = batch.iter().try_for_each(|record| each(&record));
                    match outcome {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    }
                };
                sense::read_file(path, SourceId(0), &mut batch)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                outcome
            }
            Self::Lines(lines) => (1..).zip(lines).try_for_each(|(number, line)| {
                let text = line
                    .get(..line.len().min(limits::LINE_BYTES_MAX))
                    .unwrap_or(line);
                let meta = RecordMeta {
                    source: SourceId(0),
                    origin: LineOrigin::Stream { line: number },
                    received: now(),
                    text: 0..text.len(),
                    raw: 0..0,
                    truncated: text.len() < line.len(),
                    catch_up: false,
                };
                each(&Record {
                    meta: &meta,
                    text,
                    raw: text,
                })
            }),
        }
    }
}

fn now() -> Timestamp {
    crate::clock::now()
}

fn split(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    text.split(|b| *b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
        .filter(|line| !line.is_empty())
}

fn standard_input() -> Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin()
        .take(INPUT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .context("cannot read standard input")?;
    if read as u64 > INPUT_BYTES_MAX {
        bail!("standard input has more than {INPUT_BYTES_MAX} bytes; give a log with --file");
    }
    Ok(split(&bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_as_a_whole_only() {
        let four: IpAddr = "203.0.113.9".parse().unwrap();
        for (text, expected) in [
            ("from 203.0.113.9 port 1", true),
            ("203.0.113.9", true),
            ("client: 203.0.113.9, server", true),
            ("src=203.0.113.9:443", true),
            ("seen 203.0.113.9.", true),
            ("::ffff:203.0.113.9", false),
            ("from 203.0.113.90", false),
            ("from 1203.0.113.9", false),
            ("from 203.0.113.9.7", false),
            ("from 203.0.113.90 and 203.0.113.9", true),
        ] {
            assert_eq!(names(text.as_bytes(), four), expected, "{text}");
        }
        let six: IpAddr = "2001:db8::9".parse().unwrap();
        for (text, expected) in [
            ("from 2001:db8::9 port", true),
            ("[2001:db8::9]:22", true),
            ("from 2001:db8::9a", false),
            ("from 2001:db8::9:1", false),
        ] {
            assert_eq!(names(text.as_bytes(), six), expected, "{text}");
        }
    }
}
