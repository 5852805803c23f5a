//! Rules examined for what no run of theirs shows: above all, whether a client can make one of
//! them ban somebody else.
//!
//! Beside the data's way: reads the same rule files as [`crate::engine`] and runs the same parsers,
//! over sample lines into which it writes what an attacker could have written, and over texts made
//! from the patterns themselves. A finding about steering is proven: it carries the line that does
//! it. Pure; every search has a bound, and what was left out is counted.

mod pattern;
mod probe;
mod read;
mod steer;
mod structure;

use std::collections::{BTreeMap, BTreeSet};

use model::Severity;
use serde::Serialize;

use crate::{
    engine::DataFile,
    rules::{RuleFile, RuleKind},
};

/// Recorded lines, and what their source says of itself.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub name: String,
    /// The source's labels, `type` above all.
    pub labels: BTreeMap<String, String>,
    pub lines: Vec<String>,
}

/// What kind of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A client's text becomes the address that is banned.
    Steering,
    /// The address is taken from a header that clients write themselves.
    ClientHeader,
    /// The pattern matches anywhere in a text, so also inside what a client wrote.
    Unanchored,
    /// One bucket for all clients, and a ban at its end.
    Ungrouped,
    /// Clients share a bucket, and each of them is banned for what the others did.
    SharedBucket,
    /// A bucket that lives on and on.
    LongMemory,
    /// No parser writes what the filter asks for.
    Unreachable,
    /// Two rules of one name.
    Duplicate,
    /// Nobody can tell from the rule what its alert means.
    Unlabelled,
    /// No sample log.
    Untested,
    /// A parser that no sample line reaches.
    Unused,
}

impl Code {
    pub const ALL: [Self; 11] = [
        Self::Steering,
        Self::ClientHeader,
        Self::Unanchored,
        Self::Ungrouped,
        Self::SharedBucket,
        Self::LongMemory,
        Self::Unreachable,
        Self::Duplicate,
        Self::Unlabelled,
        Self::Untested,
        Self::Unused,
    ];

    /// As it is printed, and written in `# lint: allow …`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Steering => "steering",
            Self::ClientHeader => "client-header",
            Self::Unanchored => "unanchored",
            Self::Ungrouped => "ungrouped",
            Self::SharedBucket => "shared-bucket",
            Self::LongMemory => "long-memory",
            Self::Unreachable => "unreachable",
            Self::Duplicate => "duplicate",
            Self::Unlabelled => "unlabelled",
            Self::Untested => "untested",
            Self::Unused => "unused",
        }
    }
}

/// A line that does what the finding says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    pub line: String,
    /// Whom the rules take for its author, and who it was.
    pub taken_for: String,
    pub written_by: String,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    pub code: Code,
    pub file: String,
    /// Counts from 1; 0 when the whole file is meant.
    pub line: u32,
    pub column: u32,
    pub rule: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<Example>,
    pub fix: String,
}

/// All that was found, and how much was tried.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub findings: Vec<Finding>,
    /// Findings that a comment in the rule file accepts, with a reason.
    pub allowed: u64,
    /// Lines that the samples hold, and forged lines that were tried.
    pub lines: u64,
    pub probes: u64,
    /// Forged lines that were not tried, because of a bound.
    pub left_out: u64,
}

/// Examines `files`. With samples, parsers are tried on forged copies of their lines.
pub fn lint(files: &[RuleFile], data: &[DataFile], samples: &[Sample]) -> Report {
    let mut report = Report::default();
    let rules = read::Rules::of(files);
    let seen = steer::samples(&rules, files, data, samples, &mut report);
    pattern::patterns(&rules, &seen, &mut report);
    structure::headers(&rules, &mut report);
    structure::scenarios(&rules, files, &mut report);
    structure::names(&rules, &mut report);
    settle(files, &mut report);
    report
}

/// Lines below a `# lint: allow …` to which it applies.
const ALLOWANCE_LINES: u32 = 12;

/// One finding a place and kind is enough; those that the rule's author accepts go.
fn settle(files: &[RuleFile], report: &mut Report) {
    let mut allowed: BTreeMap<(&str, &str), Vec<u32>> = BTreeMap::new();
    for file in files {
        if matches!(file.kind(), RuleKind::Parser { .. } | RuleKind::Scenario) {
            for (line, code) in allowances(&file.text) {
                allowed.entry((&file.path, code)).or_default().push(line);
            }
        }
    }
    let mut seen = BTreeSet::new();
    let mut accepted = 0;
    report.findings.retain(|found| {
        let above = allowed.get(&(found.file.as_str(), found.code.name()));
        let below = |line: &u32| (*line..*line + ALLOWANCE_LINES).contains(&found.line);
        if above.is_some_and(|lines| lines.iter().any(below)) {
            accepted += 1;
            return false;
        }
        seen.insert((found.file.clone(), found.line, found.column, found.code))
    });
    report.allowed += accepted;
    report.findings.sort_by(|a, b| {
        (a.severity, &a.file, a.line, a.column).cmp(&(b.severity, &b.file, b.line, b.column))
    });
}

/// `# lint: allow CODE because …`: line and code; without a reason it does not count.
fn allowances(text: &str) -> impl Iterator<Item = (u32, &str)> {
    text.lines().zip(1..).filter_map(|(line, number)| {
        let rest = line.trim().strip_prefix("# lint: allow ")?;
        let (code, reason) = rest.split_once(" because ")?;
        (!reason.trim().is_empty()).then_some((number, code))
    })
}

#[cfg(test)]
mod tests;
