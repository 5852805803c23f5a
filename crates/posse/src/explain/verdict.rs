//! What the policy makes of an alert, and the one sentence that answers "why (not)".

use decide::{Policy, PolicyStats, Verdict};
use detect::explain::{Account, JailAccount, JailEnd, OverflowEnd, ScenarioEnd, StageAccount};
use model::{Alert, HostFacts, format_duration};
use serde::Serialize;

use super::Ending;

/// An alert and what would have been done about it.
#[derive(Debug, Serialize)]
pub(super) struct Judged {
    pub(super) alert: Alert,
    /// A sentence each.
    pub(super) decisions: Vec<String>,
    pub(super) banned: bool,
}

impl Judged {
    pub(super) fn new(alert: Alert, policy: &mut Policy, facts: &HostFacts) -> Self {
        if alert.is_good_news() {
            if let Some(address) = alert.address {
                policy.record_good(address, alert.last);
            }
            return Self {
                alert,
                decisions: vec!["good news: remembered for the address, nobody is told".into()],
                banned: false,
            };
        }
        let before = policy.stats();
        let verdicts = policy.judge(std::slice::from_ref(&alert), facts, alert.last);
        let mut decisions: Vec<String> = verdicts.iter().map(sentence).collect();
        decisions.extend(unspoken(before, policy.stats(), &alert));
        Self {
            banned: verdicts.iter().any(|v| matches!(v, Verdict::Ban(_))),
            alert,
            decisions,
        }
    }
}

fn sentence(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ban(d) => {
            let length = format_duration(d.until.since(d.from));
            let again = match d.repeat {
                0 => String::new(),
                n => format!(", banned {n} times before"),
            };
            format!("ban {} for {length} (until {}){again}", d.prefix, d.until)
        }
        Verdict::Refuse(r) => match r.prefix {
            Some(prefix) => format!("no ban of {prefix}: it is {}", r.reason),
            None => format!("no ban: it is {}", r.reason),
        },
        Verdict::Supersede(r) => format!("the ban on {} is lifted: {:?}", r.prefix, r.reason),
        Verdict::Notice(n) => format!("notice: {}", n.text),
    }
}

/// What the policy does without a word.
fn unspoken(before: PolicyStats, after: PolicyStats, alert: &Alert) -> Option<String> {
    if after.already_banned > before.already_banned {
        return Some("no new ban: the source is banned long enough already".into());
    }
    if after.alert_only == before.alert_only {
        return None;
    }
    Some(if alert.simulated {
        "no ban: the scenario is simulated".into()
    } else if alert.remediation {
        "no ban: the configuration wants none for this rule ([ban] rules)".into()
    } else {
        "no ban: the scenario asks for none (it has no label `remediation: true`)".into()
    })
}

/// Why it ended so.
pub(super) fn conclusion(outcome: Ending, account: &Account, alerts: &[Judged]) -> String {
    if let Some(judged) = alerts.iter().find(|judged| judged.banned) {
        return judged.decisions.join("; ");
    }
    if let Some(judged) = alerts.last() {
        return format!("an alert: {}", judged.decisions.join("; "));
    }
    match outcome {
        Ending::Unparsed => jailed(account).unwrap_or_else(|| unparsed(account)),
        Ending::Whitelisted => "no ban: a parser's whitelist took the line".to_owned(),
        Ending::Parsed => uncounted(account),
    }
}

/// Why jails that know the line did not count it.
fn jailed(account: &Account) -> Option<String> {
    account
        .jails
        .iter()
        .find_map(|JailAccount { jail, end }| match end {
            JailEnd::NoMatch | JailEnd::Failed { .. } => None,
            JailEnd::Helped { .. } => Some(format!(
                "no ban: the jail {jail} remembers the line with its connection; nobody failed yet"
            )),
            JailEnd::Nameless { .. } => Some(format!(
                "no ban: the failure that the jail {jail} saw names no address"
            )),
            JailEnd::Ignored { address, .. } => Some(format!(
                "no ban: ignoreip of the jail {jail} spares {address}"
            )),
        })
}

fn unparsed(account: &Account) -> String {
    match account.stages.iter().find(|stage| !stage.taken) {
        Some(StageAccount { stage, .. }) => {
            format!("no ban: no parser of the stage {stage} took the line, so no scenario saw it")
        }
        None => "no ban: the line was given up by a parser, so no scenario saw it".to_owned(),
    }
}

fn uncounted(account: &Account) -> String {
    if let Some(overflow) = account.overflows.last() {
        let why = match &overflow.end {
            OverflowEnd::Alert => "it led to no alert",
            OverflowEnd::FilteredOut => "its overflow_filter was false",
            OverflowEnd::NoSource => "its events name no source that it could accuse",
            OverflowEnd::Silenced => "it overflowed for this source a short while ago (blackhole)",
            OverflowEnd::Whitelisted { .. } => "a whitelist spared the source",
        };
        return format!("no ban: {} overflowed, but {why}", overflow.scenario);
    }
    let counted = account.scenarios.iter();
    let mut counted = counted
        .filter(|s| matches!(s.end, ScenarioEnd::Counted { .. }))
        .peekable();
    match counted.peek() {
        Some(_) => format!(
            "no ban: {} scenario(s) counted it and none has seen enough",
            counted.count()
        ),
        None => "no ban: no scenario counted it".to_owned(),
    }
}
