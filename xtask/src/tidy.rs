//! House rules that neither rustc nor clippy checks.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

const FILE_LINES_MAX: usize = 1_000;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// Words that must not stand in the project: it speaks only of itself, and nothing is left open.
const FORBIDDEN: [&str; 4] = ["todo!(", "unimplemented!(", "FIXME", "dbg!("];

pub(crate) fn run() -> Result<()> {
    let mut problems = Vec::new();
    for path in tracked_files()? {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        // This file names the forbidden words.
        if !path.ends_with("xtask/src/tidy.rs") {
            words(&path, &text, &mut problems);
        }
        if path.ends_with(".rs") {
            lengths(&path, &text, &mut problems);
        }
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{} breaches of the house rules", problems.len())
}

fn tracked_files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot run git ls-files")?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text
        .lines()
        .filter(|p| Path::new(p).is_file())
        .map(str::to_owned)
        .collect())
}

fn words(path: &str, text: &str, problems: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        for word in FORBIDDEN {
            if line.contains(word) {
                problems.push(format!(
                    "{path}:{}: {word:?} does not belong here",
                    number + 1
                ));
            }
        }
    }
}

fn lengths(path: &str, text: &str, problems: &mut Vec<String>) {
    // Tests may be as long as their tables are.
    let code = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let count = code.lines().count();
    let is_test = path.contains("/tests/") || path.ends_with("tests.rs");
    if count > FILE_LINES_MAX && !is_test {
        problems.push(format!(
            "{path}: {count} lines; a file has at most {FILE_LINES_MAX}"
        ));
    }
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in code.lines().enumerate() {
        // A long string literal may stand on a line of its own.
        if !is_test
            && line.chars().count() > COLUMNS_MAX
            && !line.contains('"')
            && !line.contains("://")
        {
            problems.push(format!(
                "{path}:{}: longer than {COLUMNS_MAX} columns",
                number + 1
            ));
        }
        let indent = line.len() - line.trim_start().len();
        if let Some((start, depth, name)) = &open {
            if indent == *depth && line.trim_start().starts_with('}') {
                let length = number - start + 1;
                if length > FUNCTION_LINES_MAX && !is_test {
                    problems.push(format!(
                        "{path}:{}: {name} has {length} lines; a function has at most {FUNCTION_LINES_MAX}",
                        start + 1
                    ));
                }
                open = None;
            }
        } else if let Some(name) = function_name(line)
            && !line.trim_end().ends_with([';', '}'])
        {
            open = Some((number, indent, name));
        }
    }
}

fn function_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    let rest = ["", "pub ", "pub(crate) ", "pub(super) "]
        .iter()
        .find_map(|visibility| {
            let tail = line.strip_prefix(visibility)?;
            let tail = tail.strip_prefix("const ").unwrap_or(tail);
            tail.strip_prefix("fn ")
        })?;
    Some(rest.split(['(', '<']).next()?.to_owned())
}
