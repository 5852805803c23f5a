//! fail2ban's filters over sample logs: reads both folders, and prints what did not hold.
//!
//! What a sample means is `detect::fail2ban::samples`' matter.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use detect::fail2ban::{format::Files, samples};

use crate::{cli::RulesTestArgs, exit::Exit};

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(super) fn run(arguments: &RulesTestArgs, out: &mut dyn Write) -> Result<Exit> {
    let (Some(filters), Some(logs)) = (&arguments.filters, &arguments.logs) else {
        bail!("--fail2ban needs --filters DIR and --logs DIR");
    };
    let filters = filter_files(filters)?;
    let logs = texts(logs)?;
    if logs.is_empty() {
        bail!("--logs: the folder holds no file");
    }
    let report = samples::run(&filters, &logs);
    for miss in &report.misses {
        writeln!(
            out,
            "{}:{}: expected {}; found {}: {}",
            miss.file, miss.line, miss.expected, miss.found, miss.reason
        )?;
    }
    for note in &report.notes {
        writeln!(out, "note: {note}")?;
    }
    if report.step_limit > 0 {
        writeln!(
            out,
            "note: the step limit was reached on {} lines",
            report.step_limit
        )?;
    }
    writeln!(
        out,
        "{} passed, {} failed",
        report.passed,
        report.misses.len()
    )?;
    Ok(if report.misses.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// The filters of `folder/filter.d`, or of `folder` itself.
fn filter_files(folder: &Path) -> Result<Files> {
    let inner = folder.join("filter.d");
    let folder = if inner.is_dir() { inner } else { folder.into() };
    let mut files = Files::default();
    for (name, text) in texts(&folder)? {
        files.insert(format!("filter.d/{name}"), text);
    }
    if files.is_empty() {
        bail!("{}: no filter in this folder", folder.display());
    }
    Ok(files)
}

/// The files of a folder and of the folders in it, by their path below it.
fn texts(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders: Vec<(PathBuf, String, usize)> = vec![(folder.into(), String::new(), 0)];
    while let Some((at, below, depth)) = folders.pop() {
        let entries = fs::read_dir(&at).with_context(|| format!("cannot read {}", at.display()))?;
        for entry in entries {
            let path = entry.with_context(|| at.display().to_string())?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
                continue;
            };
            let name = format!("{below}{name}");
            let facts = fs::metadata(&path).with_context(|| path.display().to_string())?;
            if facts.is_dir() {
                if depth < 3 {
                    folders.push((path, format!("{name}/"), depth + 1));
                }
            } else if facts.is_file() && facts.len() <= FILE_BYTES_MAX {
                let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
                found.insert(name, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    Ok(found)
}
