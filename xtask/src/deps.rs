//! Licences, sources and number of the dependencies, from `cargo metadata`, offline.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// Every licence expression must be satisfiable from these alone.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
/// A second TLS or crypto stack, and C libraries that must not creep in.
const BANNED: [&str; 4] = ["openssl-sys", "aws-lc-sys", "onig_sys", "libsystemd-sys"];
const PACKAGES_MAX: usize = 310;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

pub(crate) fn run() -> Result<()> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .context("cannot run cargo metadata")?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let mut problems = Vec::new();
    let foreign: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|p| p.source.is_some())
        .collect();
    for package in &foreign {
        let licence = package.license.as_deref().unwrap_or_default();
        let who = format!("{} {}", package.name, package.version);
        if !acceptable(licence) {
            problems.push(format!("{who}: licence {licence:?} is not on the list"));
        }
        if BANNED.contains(&package.name.as_str()) {
            problems.push(format!("{who}: banned"));
        }
        if package
            .source
            .as_deref()
            .is_some_and(|s| !s.starts_with("registry+"))
        {
            problems.push(format!("{who}: not from the registry"));
        }
    }
    if foreign.len() > PACKAGES_MAX {
        problems.push(format!(
            "{} packages; at most {PACKAGES_MAX}",
            foreign.len()
        ));
    }
    eprintln!(
        "{} packages, all licences permissive: {}",
        foreign.len(),
        problems.is_empty()
    );
    if problems.is_empty() {
        return Ok(());
    }
    bail!("{}", problems.join("\n"))
}

/// `A OR B` needs one of them, `A AND B` both; parentheses only group alternatives here.
fn acceptable(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    plain
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|l| ALLOWED.contains(&l.trim())))
}
