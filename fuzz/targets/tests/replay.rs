//! Shows every target the inputs that were ever of interest: the corpus, and what once failed.

use std::{fs, path::PathBuf};

use fuzz_targets::TARGETS;

/// A corpus without these would prove little.
const INPUTS_MIN: usize = 4;

#[test]
fn every_kept_input_passes_its_target() {
    for (name, target) in TARGETS {
        let corpus = files("corpus", name);
        let regressions = files("regressions", name);
        assert!(corpus.len() >= INPUTS_MIN, "{name} has no corpus");
        for path in corpus.iter().chain(&regressions) {
            let bytes = fs::read(path).expect("a readable tree");
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name} fails on {}", path.display());
        }
        println!(
            "{name}: {} inputs, {} that once failed",
            corpus.len(),
            regressions.len()
        );
    }
}

#[test]
fn every_target_has_a_driver_and_every_folder_a_target() {
    let known = |name: &str| TARGETS.iter().any(|(target, _)| *target == name);
    for (name, _) in TARGETS {
        let driver = root().join("driver/src").join(format!("{name}.rs"));
        assert!(driver.is_file(), "{name} has no driver");
    }
    for kind in ["corpus", "regressions"] {
        for entry in fs::read_dir(root().join(kind))
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(
                known(&name) || name.starts_with('.'),
                "{kind}/{name} is of no target"
            );
        }
    }
}

fn files(kind: &str, target: &str) -> Vec<PathBuf> {
    let folder = root().join(kind).join(target);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    all.sort();
    all
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
