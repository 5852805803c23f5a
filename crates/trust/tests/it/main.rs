//! The court from outside.

mod appeals;
mod behaviour;
mod properties;
mod simulation;

use model::Prefix;
use trust::{Class, Classes, Court, Evidence, Kind, Org, Report, ReportId, Rules, Verdict};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn p(text: &str) -> Prefix {
    text.parse().expect("a network")
}

fn org(name: &str) -> Org {
    Org::new(name).expect("a name")
}

fn classes() -> Classes {
    Classes::new([
        (p("192.0.2.53"), Class::Never, "well-known resolvers"),
        (p("192.0.2.99"), Class::Canary, "canaries"),
        (p("198.51.100.0/25"), Class::Cloud, "a cloud"),
        (p("198.51.100.128/25"), Class::Shared, "a dynamic pool"),
    ])
}

/// A report on `target` by an organisation in a system and network of its own.
fn report(number: u8, target: &str) -> Report {
    Report {
        id: ReportId([number; 16]),
        org: org(&format!("org{number}")),
        asn: Some(64_500 + u32::from(number)),
        network: Prefix::host([10, number, 0, 1].into()),
        target: p(target),
        kind: Kind::new("ssh-bruteforce"),
        evidence: Evidence::Payload,
        lasts: 4 * 3_600,
    }
}

/// A court with organisations that a person vouches for, a month old.
fn court(vouched: u8) -> (Court, u64) {
    let mut court = Court::new(Rules::default(), classes());
    for number in 0..vouched {
        court
            .vouch(&org(&format!("org{number}")), 60.0, 0)
            .expect("room");
    }
    (court, 30 * DAY)
}

/// As [`court`], and nobody is believed alone.
fn court_of_many(vouched: u8) -> (Court, u64) {
    let (mut court, now) = court(vouched);
    court.set_rules(Rules {
        alone_trust: 1.0,
        ..Rules::default()
    });
    (court, now)
}

fn is_ban(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Ban(_))
}
