//! Entries to record, and the independent verifier.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::Command,
    time::Duration,
};

use model::{
    Alert, AlertId, Decision, Entry, Measure, Notice, Origin, Prefix, Refusal, RefusalReason,
    Release, ReleaseReason, Scope, Timestamp,
};
use store::{Durability, Store, StoreOptions};

pub(crate) const START: i64 = 1_795_000_000;

pub(crate) fn at(n: u64) -> Timestamp {
    Timestamp::from_seconds(START).plus(Duration::from_secs(n))
}

pub(crate) fn address(n: u64) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(0xcb00_7100 | (n as u32 & 0xff)))
}

pub(crate) fn alert_id(n: u64) -> AlertId {
    AlertId::derive(&[b"test", &n.to_be_bytes()])
}

pub(crate) fn alert(n: u64) -> Entry {
    Entry::Alert(Alert {
        id: alert_id(n),
        rule: format!("test/rule-{}", n % 3),
        rule_hash: "00".repeat(32),
        scope: Scope::Ip,
        value: address(n).to_string(),
        address: Some(address(n)),
        range: None,
        first: at(n),
        last: at(n),
        events_count: 5,
        message: "five failed logins".into(),
        remediation: true,
        simulated: false,
        labels: Default::default(),
        context: Default::default(),
        events: vec![],
        evidence: vec![],
    })
}

pub(crate) fn decision(n: u64) -> Entry {
    Entry::Decision(Decision {
        measure: Measure::Ban,
        prefix: Prefix::host(address(n)),
        from: at(n),
        until: at(n + 14_400),
        reason: format!("test/rule-{}", n % 3),
        origin: Origin::Guard,
        alerts: vec![alert_id(n)],
        repeat: 0,
        in_kernel: None,
    })
}

pub(crate) fn release(n: u64) -> Entry {
    Entry::Release(Release {
        prefix: Prefix::host(address(n)),
        at: at(n),
        reason: ReleaseReason::Operator,
        by: Origin::Operator {
            name: "root".into(),
        },
    })
}

pub(crate) fn notice(n: u64) -> Entry {
    let text = format!("notice {n}");
    Entry::Notice(Notice {
        at: at(n),
        code: "test".into(),
        text,
        prefixes: vec![],
    })
}

/// A mix of all that has a projection; `n` is also its index when recorded from 0 on.
pub(crate) fn any(n: u64) -> Entry {
    match n % 7 {
        0 | 2 => alert(n),
        1 | 3 => decision(n),
        4 => release(n - 1),
        5 => Entry::Refusal(Refusal {
            at: at(n),
            prefix: Some(Prefix::host(address(n))),
            reason: RefusalReason::AdminSession,
            origin: Origin::Guard,
            alerts: vec![alert_id(n)],
        }),
        _ => Entry::Loss(model::Loss {
            from: at(n),
            until: at(n),
            entries_lost: n,
            cause: "test".into(),
        }),
    }
}

pub(crate) fn many(range: std::ops::Range<u64>) -> Vec<Entry> {
    range.map(any).collect()
}

pub(crate) fn options() -> StoreOptions {
    StoreOptions {
        origin: Some("log.example/test".into()),
        durability: Durability::ProcessCrash,
    }
}

/// A new state directory whose ledger has `size` entries, in batches of uneven sizes.
pub(crate) fn filled(size: u64) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(&dir.path().join("state"), options()).unwrap();
    let (mut done, mut step) = (0, 1);
    while done < size {
        let next = (done + step).min(size);
        store.append(&many(done..next), at(next)).unwrap();
        (done, step) = (next, step * 2 + 1);
    }
    (dir, store)
}

pub(crate) fn quiet(_: u64, _: u64) {}

/// Runs the verifier; its last line on either side.
pub(crate) fn run_verifier(script: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new("python3")
        .arg(script)
        .args(args)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && text.starts_with("OK ") {
        Ok(text)
    } else {
        Err(text)
    }
}
