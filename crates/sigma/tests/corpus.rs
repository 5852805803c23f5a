//! The public rules load. They are not part of this project: see `shared` below.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests: they report, and stop at the first surprise"
)]

use std::path::{Path, PathBuf};

use sigma::{Document, Placeholders};

/// The part of the public rules that may fail to load.
const REFUSED_MAX_PER_THOUSAND: usize = 5;

#[test]
fn the_public_rules_load() {
    let Some(root) = shared("corpora/sigma") else {
        return;
    };
    let mut files = Vec::new();
    collect(&root, &mut files);
    let (mut rules, mut refused) = (0, Vec::new());
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        for document in sigma::read(&path.display().to_string(), &text, &Placeholders::new()) {
            match document {
                Ok(Document::Rule(rule)) => {
                    assert!(rule.meta.id.is_some() && rule.meta.author.is_some());
                    rules += 1;
                }
                Ok(other) => panic!("{}: {other:?}", path.display()),
                Err(diagnostic) => refused.push(diagnostic),
            }
        }
    }
    for diagnostic in &refused {
        println!("{diagnostic}");
    }
    println!("{rules} rules load, {} are refused", refused.len());
    assert!(rules > 0);
    assert!(refused.len() * 1_000 <= (rules + refused.len()) * REFUSED_MAX_PER_THOUSAND);
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "regression" {
            collect(&path, files);
        } else if path.extension().is_some_and(|e| e == "yml") && name != "logsource-mapping.yml" {
            files.push(path);
        }
    }
}

fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("POSSE_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: {} is not there", path.display());
    None
}
