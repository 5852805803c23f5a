//! Alerts and outcomes for tests.

use model::{
    Alert, AlertId, Decision, EvidenceLine, FileId, LineOrigin, Measure, Origin, Prefix, Scope,
    Timestamp,
};

use crate::message::{Incident, Outcome};

pub(crate) fn alert(address: &str, second: i64) -> Alert {
    let at = Timestamp::from_seconds(second);
    let origin = LineOrigin::File {
        file: FileId {
            device: 1,
            inode: 2,
        },
        offset: 0,
    };
    let line = format!("sshd[7]: Failed password for root from {address} port 4 ssh2");
    Alert {
        id: AlertId::derive(&[address.as_bytes(), &second.to_be_bytes()]),
        rule: "posse/ssh-bf".into(),
        rule_hash: String::new(),
        scope: Scope::Ip,
        value: address.to_owned(),
        address: address.parse().ok(),
        range: None,
        first: at,
        last: at,
        events_count: 6,
        message: format!("posse/ssh-bf: 6 failed logins from {address}"),
        remediation: true,
        simulated: false,
        labels: std::sync::Arc::new([("behavior".to_owned(), "ssh:bruteforce".into())].into()),
        context: Default::default(),
        events: Vec::new(),
        evidence: vec![EvidenceLine::new(
            "auth.log".into(),
            origin,
            at,
            line.as_bytes(),
        )],
    }
}

pub(crate) fn address(n: u32) -> String {
    format!("198.18.{}.{}", n / 256 % 256, n % 256)
}

pub(crate) fn decision(alert: &Alert) -> Decision {
    Decision {
        measure: Measure::Ban,
        prefix: alert.value.parse::<Prefix>().unwrap(),
        from: alert.last,
        until: alert.last.plus(std::time::Duration::from_secs(4 * 3_600)),
        reason: alert.rule.clone(),
        origin: Origin::Guard,
        alerts: vec![alert.id],
        repeat: 0,
        in_kernel: None,
    }
}

pub(crate) fn banned(n: u32) -> Incident {
    let alert = alert(&address(n), i64::from(n) + 1);
    let decision = decision(&alert);
    let mut incident = Incident::of_alert(&alert, alert.last);
    incident.add(Outcome::Banned {
        prefix: decision.prefix,
        from: decision.from,
        until: decision.until,
        in_kernel: Some(decision.from),
        repeat: 0,
    });
    incident
}
