//! Reads detection content from the disk, or takes what came with the program.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use detect::engine::{DataFile, Rules};
use detect::rules::{RuleFile, RuleKind};
use model::{Diagnostic, Severity, limits};

use crate::config::RulesConfig;

include!(concat!(env!("OUT_DIR"), "/built_in_rules.rs"));

const FILES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 12;

/// What [`load`] found.
pub(crate) struct Content {
    pub(crate) rules: Rules,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Content {
    pub(crate) fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }
}

/// The rules that the configuration names, compiled. Mistakes do not stop the other rules.
pub(crate) fn load(config: &RulesConfig) -> Result<Content> {
    Ok(compile(files_for(config)?))
}

/// The files of the rules that the configuration names.
pub(crate) fn files_for(config: &RulesConfig) -> Result<Vec<RuleFile>> {
    let mut files = Vec::new();
    if config.built_in {
        files.extend(built_in());
    }
    for folder in &config.folders {
        files.extend(read_folder(folder)?);
    }
    Ok(files)
}

/// A folder alone, or the built-in rules when there is none.
pub(crate) fn load_folder(folder: Option<&Path>) -> Result<Content> {
    Ok(compile(files_of(folder)?))
}

pub(crate) fn files_of(folder: Option<&Path>) -> Result<Vec<RuleFile>> {
    match folder {
        Some(folder) => read_folder(folder),
        None => Ok(built_in().collect()),
    }
}

/// Whether a rule's file came with the program.
pub(crate) fn is_built_in(file: &str) -> bool {
    BUILT_IN.iter().any(|(path, _)| *path == file)
}

fn built_in() -> impl Iterator<Item = RuleFile> {
    BUILT_IN
        .iter()
        .map(|(path, text)| RuleFile::new(*path, *text))
}

pub(crate) fn compile(files: Vec<RuleFile>) -> Content {
    let data = data_of(&files);
    let (rules, diagnostics) = Rules::load(files, &data);
    Content { rules, diagnostics }
}

/// The lists among the files that rules read by name.
pub(crate) fn data_of(files: &[RuleFile]) -> Vec<DataFile> {
    files
        .iter()
        .filter(|f| f.kind() == RuleKind::Data)
        .map(|f| DataFile {
            name: f
                .path
                .rsplit_once("/data/")
                .map_or_else(|| f.name(), |(_, name)| name)
                .to_owned(),
            bytes: f.text.clone().into_bytes(),
        })
        .collect()
}

/// Every readable text below `folder`, in a stable order; test samples are left where they are.
fn read_folder(folder: &Path) -> Result<Vec<RuleFile>> {
    let mut paths = Vec::new();
    collect(folder, 0, &mut paths)?;
    paths.sort();
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        // A database of places is read by what knows its format, not as a text.
        if path.extension().is_some_and(|e| e == "mmdb") {
            continue;
        }
        let size = fs::metadata(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .len();
        if size > limits::RULE_FILE_BYTES_MAX as u64 {
            bail!(
                "{}: {size} bytes; a rule file has at most {}",
                path.display(),
                limits::RULE_FILE_BYTES_MAX
            );
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        files.push(RuleFile::new(path.display().to_string(), text));
    }
    Ok(files)
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> Result<()> {
    let listing = fs::read_dir(folder)
        .with_context(|| format!("cannot read the rules folder {}", folder.display()))?;
    for entry in listing {
        let path = entry?.path();
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX && name != "test" && name != "tests" {
                collect(&path, depth + 1, paths)?;
            }
        } else if paths.len() < FILES_MAX {
            paths.push(path);
        } else {
            bail!("{}: more than {FILES_MAX} files", folder.display());
        }
    }
    Ok(())
}
