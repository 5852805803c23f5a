//! The policy from outside: what it decides for given alerts.

mod policy;
mod properties;
mod ranges;

use decide::{Policy, PolicyConfig, Verdict};
use model::{Alert, AlertId, HostFacts, Prefix, Scope, Timestamp};

fn policy(config: serde_json::Value) -> Policy {
    let config: PolicyConfig = serde_json::from_value(config).expect("a configuration");
    Policy::new(config).expect("a configuration that can be meant")
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_800_000_000 + seconds)
}

fn p(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn alert(source: &str, number: u64) -> Alert {
    let prefix = p(source);
    Alert {
        id: AlertId::derive(&[source.as_bytes(), &number.to_be_bytes()]),
        rule: "posse/ssh-bf".to_owned(),
        rule_hash: String::new(),
        scope: if prefix.is_host() {
            Scope::Ip
        } else {
            Scope::Range
        },
        value: source.to_owned(),
        address: prefix.is_host().then(|| prefix.addr()),
        range: (!prefix.is_host()).then_some(prefix),
        first: at(0),
        last: at(0),
        events_count: 6,
        message: String::new(),
        remediation: true,
        simulated: false,
        labels: Default::default(),
        context: Default::default(),
        events: Vec::new(),
        evidence: Vec::new(),
    }
}

/// One word a verdict, for comparing.
fn brief(verdicts: &[Verdict]) -> Vec<String> {
    let word = |verdict: &Verdict| match verdict {
        Verdict::Ban(d) => {
            format!(
                "ban {} {}s #{}",
                d.prefix,
                d.until.since(d.from).as_secs(),
                d.repeat
            )
        }
        Verdict::Refuse(r) => {
            let why = serde_json::to_value(&r.reason).expect("plain data");
            let prefix = r.prefix.map_or_else(|| "-".to_owned(), |p| p.to_string());
            format!("refuse {prefix} {}", why["why"].as_str().expect("a tag"))
        }
        Verdict::Supersede(r) => format!("lift {} {:?}", r.prefix, r.reason),
        Verdict::Notice(n) => format!("notice {}", n.code),
    };
    verdicts.iter().map(word).collect()
}

fn judge(policy: &mut Policy, source: &str, seconds: i64) -> Vec<String> {
    let alerts = [alert(source, seconds.unsigned_abs())];
    brief(&policy.judge(&alerts, &HostFacts::default(), at(seconds)))
}
