//! Sigma rules of any text over events of any text.

use std::collections::BTreeMap;

use detect::rules::RuleFile;

use crate::knob;

const KINDS: [&str; 4] = ["json", "auditd", "syslog", "nginx"];
/// Between the rules and the events, one a line.
const BORDER: &str = "\n====\n";

/// The first byte gives the source's type; rules stand before the border, events after it. Every
/// fault has a place and a remedy, and the index over all rules finds what asking each rule finds.
pub fn sigma(data: &[u8]) {
    let (kind, data) = knob(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (rules, events) = text.split_once(BORDER).unwrap_or((text, ""));
    let kind = KINDS
        .get(usize::from(kind) % KINDS.len())
        .copied()
        .unwrap_or_default();
    let labels = BTreeMap::from([("type".to_owned(), kind.to_owned())]);
    let mut found = Vec::new();
    let loaded = detect::sigma::load(&[RuleFile::new("sigma/x.yml", rules)], &mut found);
    for fault in &found {
        assert!(
            !fault.message.is_empty() && !fault.fix.is_empty() && fault.file == "sigma/x.yml",
            "{fault:?} says nothing"
        );
    }
    let Some(mut loaded) = loaded else { return };
    let count = u32::try_from(loaded.rules().len()).unwrap_or(u32::MAX);
    for event in events.lines() {
        let quick = loaded.judge_line(event, &labels).to_vec();
        assert!(quick.iter().all(|number| *number < count));
        if !quick.is_empty() {
            assert_eq!(quick, loaded.judge_slowly(), "{event}");
        }
        // Without the gate over the whole line nothing may be found that it left out.
        if let Ok(event) = serde_json::from_str(event) {
            let quick = loaded.judge_event(&event, &labels).to_vec();
            assert_eq!(quick, loaded.judge_slowly(), "{event}");
        }
    }
}
