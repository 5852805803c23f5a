//! Happenings for tests.

use model::{
    Alert, AlertId, Decision, EvidenceLine, Happening, LineOrigin, Measure, News, Notice, Origin,
    Prefix, Refusal, RefusalReason, Release, ReleaseReason, Scope, Timestamp,
};

fn news(happening: Happening) -> News {
    News {
        seen: Timestamp::from_seconds(1),
        happening,
    }
}

pub(crate) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn decision(text: &str, from: Timestamp, until: Timestamp) -> Decision {
    Decision {
        measure: Measure::Ban,
        prefix: prefix(text),
        from,
        until,
        reason: "posse/ssh-bf".into(),
        origin: Origin::Guard,
        alerts: vec![AlertId::derive(&[text.as_bytes()])],
        repeat: 0,
        in_kernel: None,
    }
}

pub(crate) fn ban(text: &str, from: Timestamp, until: Timestamp) -> News {
    news(Happening::Ban {
        decision: decision(text, from, until),
        in_kernel: Some(from),
    })
}

pub(crate) fn release(text: &str, at: Timestamp) -> News {
    news(Happening::Release(Release {
        prefix: prefix(text),
        at,
        reason: ReleaseReason::Operator,
        by: Origin::Guard,
    }))
}

pub(crate) fn refusal(text: &str) -> News {
    news(Happening::Refused(Refusal {
        at: Timestamp::from_seconds(1),
        prefix: Some(prefix(text)),
        reason: RefusalReason::AdminSession,
        origin: Origin::Guard,
        alerts: Vec::new(),
    }))
}

pub(crate) fn notice(text: &str) -> News {
    news(Happening::Notice(Notice {
        at: Timestamp::from_seconds(1),
        code: "kernel_drift".into(),
        text: text.into(),
        prefixes: Vec::new(),
    }))
}

/// An alert about `value` because of one line.
pub(crate) fn alert(value: &str, line: &str) -> News {
    let at = Timestamp::from_seconds(1);
    let origin = LineOrigin::Stream { line: 1 };
    let evidence = EvidenceLine::new("/var/log/auth.log".into(), origin, at, line.as_bytes());
    news(Happening::Alert(Box::new(Alert {
        id: AlertId::derive(&[value.as_bytes()]),
        rule: "posse/ssh-bf".into(),
        rule_hash: String::new(),
        scope: Scope::Ip,
        value: value.into(),
        address: value.parse().ok(),
        range: None,
        first: at,
        last: at,
        events_count: 6,
        message: format!("Ip {value} performed 'posse/ssh-bf' (6 events over 219ms)"),
        remediation: true,
        simulated: false,
        labels: Default::default(),
        context: Default::default(),
        events: Vec::new(),
        evidence: vec![evidence],
    })))
}
