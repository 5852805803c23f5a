//! `posse rules lint`: mistakes in rules that loading and testing do not show, first of all
//! patterns by which a client could have somebody else banned.
//!
//! Reads the rules and the samples beside them; [`detect::lint`] does the thinking.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use detect::{
    engine::DataFile,
    lint::{self, Code, Finding, Report, Sample},
    rules::{RuleFile, RuleKind},
    yaml,
};
use model::Severity;
use serde::Deserialize;
use serde_json::json;

use crate::{content, exit::Exit};

/// Bytes of one sample log that are read.
const SAMPLE_BYTES_MAX: usize = 4 << 20;
/// Characters of an example line that are shown.
const EXAMPLE_CHARS_MAX: usize = 400;

/// Of a test of this program, or (`log_type`, `log_file`) of the hub that the language is from.
#[derive(Deserialize)]
struct Kind {
    #[serde(alias = "log_type")]
    r#type: String,
    #[serde(default)]
    log_file: Option<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

pub(crate) fn run(folder: Option<&Path>, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
    let mut files = content::files_of(folder)?;
    let own: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
    let begins = |kind: RuleKind| match kind {
        RuleKind::Parser { stage } => stage.starts_with("s00"),
        _ => false,
    };
    // Rules of a user build on what takes the lines apart.
    if !files.iter().any(|file| begins(file.kind())) {
        files.extend(content::files_of(None)?);
    }
    let data: Vec<DataFile> = content::data_of(&files);
    let samples = folder.map(samples).unwrap_or_default();
    let mut report = lint::lint(&files, &data, &samples);
    report.findings.retain(|found| own.contains(&found.file));
    if let Some(folder) = folder {
        untested(folder, &files, &samples, &mut report);
    }
    print(&report, as_json, out)
}

fn print(report: &Report, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
    for found in &report.findings {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(found)?)?;
        } else {
            show(found, out)?;
        }
    }
    let count = |severity: Severity| {
        let found = report.findings.iter();
        found.filter(|f| f.severity == severity).count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if as_json {
        let line = json!({
            "errors": errors, "warnings": warnings, "allowed": report.allowed,
            "lines": report.lines, "probes": report.probes, "left_out": report.left_out,
        });
        writeln!(out, "{line}")?;
    } else {
        for code in Code::ALL {
            let found = report.findings.iter().filter(|f| f.code == code).count();
            if found > 0 {
                writeln!(out, "{:>6} {}", found, code.name())?;
            }
        }
        writeln!(
            out,
            "{errors} errors, {warnings} warnings, {} accepted by a comment; {} forged lines tried \
             on {} sample lines{}",
            report.allowed,
            report.probes,
            report.lines,
            left_out(report.left_out),
        )?;
    }
    Ok(if errors == 0 {
        Exit::Success
    } else {
        Exit::Failure
    })
}

fn left_out(count: u64) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(", {count} places not tried: too many")
    }
}

fn show(found: &Finding, out: &mut dyn Write) -> Result<()> {
    let word = match found.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    writeln!(
        out,
        "{}:{}:{}: {word}[{}] {}: {}",
        found.file,
        found.line,
        found.column.max(1),
        found.code.name(),
        found.rule,
        found.message
    )?;
    if let Some(example) = &found.example {
        let line: String = example.line.chars().take(EXAMPLE_CHARS_MAX).collect();
        writeln!(out, "  example: {line}")?;
        writeln!(
            out,
            "           written by {}, taken for {}",
            example.written_by, example.taken_for
        )?;
    }
    writeln!(out, "  fix: {}", found.fix)?;
    Ok(())
}

/// Every `test/expect.toml` with its `sample.log`, or `config.yaml` with the log that it names.
fn samples(folder: &Path) -> Vec<Sample> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = subfolders(folder);
    // The hub keeps its tests beside parsers and scenarios, one folder each.
    for name in [".tests", "tests"] {
        folders.extend(subfolders(&folder.join(name)));
    }
    for folder in folders {
        found.extend(own_sample(&folder.join("test")));
        found.extend(hub_sample(&folder));
    }
    found
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let listing = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = listing.map(|e| e.path()).filter(|p| p.is_dir()).collect();
    all.sort();
    all
}

fn own_sample(folder: &Path) -> Option<Sample> {
    // The other keys of the file are the test's.
    let text = fs::read_to_string(folder.join("expect.toml")).ok()?;
    let kind: Kind = toml::from_str(&text).ok()?;
    Some(sample(&folder.join("sample.log"), kind))
}

fn hub_sample(folder: &Path) -> Option<Sample> {
    let path = folder.join("config.yaml");
    let text = fs::read_to_string(&path).ok()?;
    let file = RuleFile::new(path.display().to_string(), text);
    let kind: Kind = yaml::documents(&file).into_iter().next()?.ok()?.value;
    let log = folder.join(kind.log_file.as_deref()?);
    Some(sample(&log, kind))
}

fn sample(log: &Path, kind: Kind) -> Sample {
    let bytes = fs::read(log).unwrap_or_default();
    let bytes = bytes.get(..SAMPLE_BYTES_MAX).unwrap_or(&bytes);
    let mut labels = kind.labels.unwrap_or_default();
    labels.insert("type".to_owned(), kind.r#type);
    Sample {
        name: log.display().to_string(),
        labels,
        lines: String::from_utf8_lossy(bytes)
            .lines()
            .map(str::to_owned)
            .collect(),
    }
}

/// Folders with parsers of their own and no sample log.
fn untested(folder: &Path, files: &[RuleFile], samples: &[Sample], report: &mut Report) {
    for product in subfolders(folder) {
        let name = product.display().to_string();
        let stage = |path: &PathBuf| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            name.starts_with("s01-")
        };
        // Only where each product has a folder; the hub's folders are `parsers`, `scenarios`, ….
        if !subfolders(&product).iter().any(stage)
            || product.ends_with("postoverflows")
            || product.ends_with("parsers")
        {
            continue;
        }
        if samples
            .iter()
            .any(|s| s.name.starts_with(&format!("{name}/")))
        {
            continue;
        }
        let first = files
            .iter()
            .find(|f| f.path.starts_with(&format!("{name}/")));
        report.findings.push(Finding {
            severity: Severity::Warning,
            code: Code::Untested,
            file: first.map_or_else(|| name.clone(), |f| f.path.clone()),
            line: 0,
            column: 0,
            rule: name.clone(),
            message: "this folder has parsers and no sample log".to_owned(),
            example: None,
            fix: "add test/sample.log and test/expect.toml, and run `posse rules test`".to_owned(),
        });
    }
}
