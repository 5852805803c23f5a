//! The licences of the libraries in the program, with their texts: most ask to be named wherever
//! the program goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// A licence text is short; whatever is longer is something else.
const TEXT_BYTES_MAX: u64 = 64 << 10;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

/// Every library that `program` is linked with: name, version, licence; then each text once.
pub(crate) fn notices(program: &str) -> Result<String> {
    let linked = linked(program)?;
    let host = host()?;
    let output = cargo(&[
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        &host,
    ])?;
    let metadata: Metadata = serde_json::from_str(&output)?;
    let mut list = String::from("Libraries in this program, and their licences\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut packages = metadata.packages;
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    for package in packages {
        let name = format!("{} {}", package.name, package.version);
        if package.source.is_none() || !linked.contains(&name) {
            continue;
        }
        let licence = package.license.unwrap_or_default();
        list.push_str(&format!("{name}: {licence}\n"));
        for text in texts_beside(&package.manifest_path)? {
            texts.entry(text).or_default().push(name.clone());
        }
    }
    let mut sections: Vec<(Vec<String>, String)> = texts
        .into_iter()
        .map(|(text, names)| (names, text))
        .collect();
    sections.sort();
    for (names, text) in sections {
        let line = "-".repeat(78);
        list.push_str(&format!("\n{line}\n{}\n\n{text}\n", names.join(", ")));
    }
    Ok(list)
}

fn linked(program: &str) -> Result<BTreeSet<String>> {
    let output = cargo(&[
        "tree",
        "--package",
        program,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--locked",
    ])?;
    let name = |line: &str| {
        let mut words = line.split(' ');
        let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
        Some(format!("{name} {version}"))
    };
    Ok(output.lines().filter_map(name).collect())
}

/// Libraries of other platforms are not even fetched.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .context("rustc does not say its host")
}

fn texts_beside(manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().context("a manifest has a folder")?;
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .to_uppercase();
            ["LICENSE", "LICENCE", "COPYING", "NOTICE"]
                .iter()
                .any(|start| name.starts_with(start))
        })
        .filter(|path| fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() < TEXT_BYTES_MAX))
        .collect();
    paths.sort();
    // The Apache licence is 11 kB and on every Debian machine; its name is enough.
    let texts = paths
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.contains("TERMS AND CONDITIONS FOR USE, REPRODUCTION"))
        .collect();
    Ok(texts)
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}
