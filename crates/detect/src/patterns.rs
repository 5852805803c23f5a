//! The grok pattern library: our own patterns, then the user's files, then what rules define.
//!
//! A user's file overrides our pattern of the same name; among files and rules the first
//! definition wins. Only names and texts here; [`crate::grok`] expands and compiles them.

use hashbrown::HashMap;
use model::{Diagnostic, Severity, limits};

use crate::{rules::RuleFile, yaml};

const STANDARD: [&str; 2] = [
    include_str!("patterns/general.txt"),
    include_str!("patterns/services.txt"),
];

/// Patterns in one library.
const PATTERNS_MAX: usize = 50_000;

/// A named pattern, not yet expanded.
#[derive(Clone, Debug)]
pub struct Pattern {
    pub expression: String,
    /// Where it is defined: `file:line`, or nothing for our own.
    pub origin: String,
    owner: Owner,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Standard,
    Other,
}

/// All patterns by name.
#[derive(Clone, Debug, Default)]
pub struct Library {
    patterns: HashMap<String, Pattern>,
}

impl Library {
    /// Only our own patterns.
    pub fn standard() -> Self {
        let mut library = Self::default();
        for (name, expression) in STANDARD
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(entry)
        {
            let pattern = Pattern {
                expression: expression.to_owned(),
                origin: String::new(),
                owner: Owner::Standard,
            };
            library.patterns.insert(name.to_owned(), pattern);
        }
        library
    }

    pub fn get(&self, name: &str) -> Option<&Pattern> {
        self.patterns.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.patterns.keys().map(String::as_str)
    }

    /// The known name most like `name`.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let mut names: Vec<&str> = self.names().collect();
        names.sort_unstable();
        yaml::nearest(name, names.into_iter())
    }

    /// Adds a file of `NAME expression` lines.
    pub fn add_file(&mut self, file: &RuleFile, diagnostics: &mut Vec<Diagnostic>) {
        let fault = |line: usize, message: String, fix: &str| Diagnostic {
            severity: Severity::Error,
            file: file.path.clone(),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: 1,
            message,
            fix: fix.to_owned(),
        };
        if file.text.len() > limits::RULE_FILE_BYTES_MAX {
            let message = format!("larger than {} bytes", limits::RULE_FILE_BYTES_MAX);
            diagnostics.push(fault(0, message, "split the file"));
            return;
        }
        for (index, line) in file.text.lines().enumerate() {
            let line_number = index + 1;
            let Some((name, expression)) = entry(line) else {
                let line = line.trim();
                if !(line.is_empty() || line.starts_with('#')) {
                    let message = "not a grok pattern".to_owned();
                    diagnostics.push(fault(line_number, message, "write `NAME expression`"));
                }
                continue;
            };
            let origin = format!("{}:{line_number}", file.path);
            if !self.add(name, expression, origin, Precedence::OverStandard) {
                let first = self.get(name).map_or("", |p| &p.origin).to_owned();
                let message = format!("the pattern `{name}` is already defined at {first}");
                let fix = "the first definition counts; rename or remove this one";
                let double = fault(line_number, message, fix);
                diagnostics.push(Diagnostic {
                    severity: Severity::Warning,
                    ..double
                });
            }
        }
    }

    /// Adds a rule's own pattern. A name that is taken keeps its first meaning, for all rules:
    /// existing content is written for that. Returns whether it was new (or the same text).
    pub fn add_local(&mut self, name: &str, expression: &str, origin: String) -> bool {
        self.add(name, expression, origin, Precedence::LastOfAll)
    }

    fn add(&mut self, name: &str, expression: &str, origin: String, rank: Precedence) -> bool {
        let taken = self.patterns.get(name);
        if let Some(first) = taken
            && (rank == Precedence::LastOfAll || first.owner == Owner::Other)
        {
            return first.expression == expression;
        }
        if taken.is_none() && self.patterns.len() >= PATTERNS_MAX {
            return false;
        }
        let expression = expression.to_owned();
        self.patterns.insert(
            name.to_owned(),
            Pattern {
                expression,
                origin,
                owner: Owner::Other,
            },
        );
        true
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Precedence {
    OverStandard,
    LastOfAll,
}

fn entry(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start();
    if line.starts_with('#') {
        return None;
    }
    let (name, expression) = line.split_once([' ', '\t'])?;
    let expression = expression.trim_start();
    let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    (good && !name.is_empty() && !expression.is_empty()).then_some((name, expression))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_override_ours_and_the_first_file_wins() {
        let mut library = Library::standard();
        let mut found = Vec::new();
        library.add_file(
            &RuleFile::new("patterns/a", "INT mine\n# note\n\nFOO  x y\n"),
            &mut found,
        );
        assert_eq!(found, []);
        library.add_file(
            &RuleFile::new("patterns/b", "INT other\nbroken\n"),
            &mut found,
        );
        assert_eq!(library.get("INT").unwrap().expression, "mine");
        assert_eq!(library.get("FOO").unwrap().expression, "x y");
        assert_eq!(found.len(), 2);
        assert!(found[0].message.contains("patterns/a:1"), "{}", found[0]);
        assert_eq!((found[1].line, found[1].severity), (2, Severity::Error));
    }

    #[test]
    fn a_rules_pattern_never_changes_another() {
        let mut library = Library::standard();
        let int = library.get("INT").unwrap().expression.clone();
        assert!(!library.add_local("INT", "x", String::new()));
        assert_eq!(library.get("INT").unwrap().expression, int);
        assert!(library.add_local("NEW", "x", String::new()));
        assert!(!library.add_local("NEW", "y", String::new()));
        assert_eq!(library.nearest("NEWW"), Some("NEW"));
    }
}
