//! The whole test run, with a last line that says how many passed, failed and were skipped.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{deps, tidy};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    TestsOnly,
}

pub(crate) fn run(scope: Scope) -> Result<()> {
    announce_missing_tools();
    if scope == Scope::Everything {
        step("format", &["fmt", "--all", "--check"])?;
        step(
            "lints",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        )?;
        eprintln!("==> tidiness");
        tidy::run()?;
        eprintln!("==> dependencies");
        deps::run()?;
    }
    eprintln!("==> build");
    step("the program itself", &["build", "--workspace", "--quiet"])?;
    eprintln!("==> tests");
    tests()
}

/// Tests that need these skip themselves; say so before, where it cannot be missed.
fn announce_missing_tools() {
    let wanted = [
        (
            "nft",
            &["--version"][..],
            "nftables",
            "the kernel's sets are compared with nft's view",
        ),
        (
            "ip",
            &["-V"][..],
            "iproute2",
            "several hosts on one machine",
        ),
        (
            "systemd-nspawn",
            &["--version"],
            "systemd-container",
            "the package on a clean Debian",
        ),
        (
            "debootstrap",
            &["--version"],
            "debootstrap",
            "the package on a clean Debian",
        ),
        (
            "chromedriver",
            &["--version"][..],
            "chromium chromium-driver",
            "the status page is looked at with a real browser",
        ),
        (
            "python3",
            &["-c", "import cryptography"][..],
            "python3-cryptography",
            "outside ledger audit",
        ),
    ];
    for (tool, arguments, package, why) in wanted {
        let found = Command::new(tool)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success());
        if !found {
            eprintln!(
                "note: {tool} is missing ({why}); tests that need it are skipped. apt-get install {package}"
            );
        }
    }
}

fn step(name: &str, arguments: &[&str]) -> Result<()> {
    eprintln!("==> {name}");
    let status = cargo()
        .args(arguments)
        .status()
        .context("cannot start cargo")?;
    ensure!(
        status.success(),
        "{name} failed: cargo {}",
        arguments.join(" ")
    );
    Ok(())
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn tests() -> Result<()> {
    let mut child = cargo()
        .args([
            "test",
            "--workspace",
            "--no-fail-fast",
            "--",
            "--show-output",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let (mut passed, mut failed) = (0u64, 0u64);
    let mut skipped = BTreeSet::new();
    // What passing tests printed is only looked through for what they skipped.
    let mut of_passing = false;
    let output = child.stdout.take().context("cargo test has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if let Some(counts) = line.strip_prefix("test result: ") {
            passed += count_before(counts, " passed");
            failed += count_before(counts, " failed");
        } else if let Some((_, why)) = line.split_once("SKIPPED: ") {
            skipped.insert(why.to_owned());
        }
        of_passing = match line.as_str() {
            "successes:" => true,
            "failures:" => false,
            _ => of_passing && !line.starts_with("test result: "),
        };
        if !of_passing && worth_showing(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    for why in &skipped {
        println!("SKIPPED: {why}");
    }
    println!(
        "{passed} passed, {failed} failed, {} skipped",
        skipped.len()
    );
    ensure!(status.success() && failed == 0, "tests failed");
    Ok(())
}

fn count_before(line: &str, word: &str) -> u64 {
    line.split_once(word)
        .and_then(|(head, _)| head.rsplit(|c: char| !c.is_ascii_digit()).next())
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

/// Passing tests are counted, not listed; everything a failing one prints is kept.
fn worth_showing(line: &str) -> bool {
    let passing = line.starts_with("test ") && line.ends_with("... ok");
    !(passing || line.is_empty() || line.starts_with("running 0 tests"))
}
