//! Which rule files go into a pack: those that alerts came by, and what they need.

use std::collections::BTreeSet;

use casework::pack::RuleText;
use detect::rules::{RuleFile, RuleKind};
use model::{Alert, ContentHash};

/// Parsers, patterns and lists, and of the rules only those that raised one of the alerts.
pub(super) fn for_alerts<'a>(
    files: Vec<RuleFile>,
    alerts: impl Iterator<Item = &'a Alert>,
) -> Vec<RuleText> {
    let wanted: BTreeSet<&str> = alerts.map(|alert| alert.rule_hash.as_str()).collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let needed = |file: &RuleFile| match file.kind() {
        RuleKind::Scenario | RuleKind::Sigma => {
            wanted.contains(ContentHash::of(file.text.as_bytes()).to_string().as_str())
        }
        RuleKind::Parser { .. }
        | RuleKind::Postoverflow { .. }
        | RuleKind::Patterns
        | RuleKind::Context
        | RuleKind::Data
        | RuleKind::SigmaMapping
        | RuleKind::SigmaPlaceholders
        | RuleKind::Fail2ban => true,
        RuleKind::Other => false,
    };
    files
        .into_iter()
        .filter(needed)
        .map(|file| RuleText {
            path: file.path,
            text: file.text,
        })
        .collect()
}

/// A packed rule file as it was: its folders say what kind it is.
pub(super) fn unpacked(path: &str, bytes: &[u8]) -> Option<RuleFile> {
    let path = path.strip_prefix("data/rules/")?;
    Some(RuleFile::new(path, String::from_utf8_lossy(bytes)))
}
