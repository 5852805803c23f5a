//! The worked example of `docs/trust.md`: one address from the first report to a reversal.
//! `cargo run -p trust --example worked_example`.

#![expect(clippy::print_stdout, reason = "it prints an example")]

use model::Prefix;
use trust::{By, Class, Classes, Court, Evidence, Kind, Org, Report, ReportId, Rules};

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

fn main() {
    let org = |name: &str| Org::new(name).expect("a name");
    let prefix = |text: &str| text.parse::<Prefix>().expect("a network");
    let pool = (prefix("198.51.100.128/25"), Class::Shared, "a dynamic pool");
    let mut court = Court::new(Rules::default(), Classes::new([pool]));
    for (name, reports) in [
        ("alder", 60.0),
        ("birch", 60.0),
        ("cedar", 12.0),
        ("dogwood", 12.0),
    ] {
        court.vouch(&org(name), reports, 0).expect("room");
    }
    let start = 30 * DAY;
    court.join(&org("elder"), start);
    let report = |name: &str, number: u8, target: &str| Report {
        id: ReportId([number; 16]),
        org: org(name),
        asn: Some(64_500 + u32::from(number)),
        network: prefix(&format!("2001:db8:{number}::1")),
        target: prefix(target),
        kind: Kind::new("ssh-bruteforce"),
        evidence: Evidence::Payload,
        lasts: 4 * 3_600,
    };
    let target = "203.0.113.7";
    println!("== standing");
    for (name, s) in court.standings(start) {
        println!(
            "{name:<8} a {:>5.2}  b {:.2}  mean {:.3}  trust {:.3}  weight {:.2}{}{}",
            s.a,
            s.b,
            s.mean,
            s.trust,
            s.weight,
            if s.on_probation { "  on probation" } else { "" },
            if s.suffices_alone {
                "  suffices alone"
            } else {
                ""
            },
        );
    }
    let mut now = start;
    for (name, number) in [("elder", 5), ("cedar", 3), ("alder", 1), ("dogwood", 4)] {
        court.report(&report(name, number, target), now);
        println!(
            "\n== after {name}'s report\n{}",
            court.explain(prefix(target), now)
        );
        now += HOUR / 4;
    }
    let by = By::Person("operator".to_owned());
    court
        .reverse(prefix(target), &by, "a partner's backup server", now)
        .expect("a case");
    println!(
        "== after the reversal\n{}",
        court.explain(prefix(target), now)
    );
    for name in ["alder", "cedar"] {
        let s = court.standing(&org(name), now).expect("joined");
        println!(
            "{name:<8} a {:>5.2}  b {:.2}  trust {:.3}  weight {:.2}",
            s.a, s.b, s.trust, s.weight
        );
    }
}
