//! The workshop: what a contributor runs besides cargo itself.
//!
//! `cargo xtask test` is the one command that passes all tests; `.ci/run` calls it too.

#![allow(
    clippy::print_stdout,
    reason = "the count of the tests is this program's output"
)]

use std::process::ExitCode;

mod deb;
mod deps;
mod libraries;
mod suite;
mod tidy;

const USAGE: &str = "usage: cargo xtask COMMAND

  test [--quick]   format, lint, tidiness, dependencies, every test; says what was skipped and why
                   (--quick leaves the lints out)
  tidy             house rules that no compiler checks: file and function length, forbidden words
  deps             licences, sources and number of the dependencies
  deb [--version-suffix SUFFIX] [--out DIR] [--binary FILE]
                   the Debian package: builds the program (or packs FILE), its manual and
                   completions; prints path, size and SHA-256
  man              the manual pages and completions, into the target folder";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => suite::run(suite::Scope::Everything),
        ["test", "--quick"] => suite::run(suite::Scope::TestsOnly),
        ["tidy"] => tidy::run(),
        ["deps"] => deps::run(),
        ["deb", rest @ ..] => deb::Wish::parse(rest).and_then(|wish| deb::run(&wish)),
        ["man"] => deb::manual(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}
