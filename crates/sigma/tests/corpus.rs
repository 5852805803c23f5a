//! The public rules load. They are not part of this project.

use std::path::PathBuf;

use sigma::{Document, Placeholders};

/// The part of the public rules that may fail to load.
const REFUSED_MAX_PER_THOUSAND: usize = 5;

#[test]
fn the_public_rules_load() {
    let Some(root) = outside::shared("corpora/sigma") else {
        return;
    };
    let mut files = outside::files(&root, &[".yml"]);
    let is_rule = |path: &PathBuf| {
        !path.ends_with("logsource-mapping.yml") && !path.iter().any(|part| part == "regression")
    };
    files.retain(is_rule);
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
