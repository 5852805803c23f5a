//! What no sequence of reports may bring about.

use model::Prefix;
use proptest::prelude::*;
use trust::{By, Court, Evidence, Kind, Report, ReportId, Rules, Verdict};

use crate::{DAY, HOUR, classes, is_ban, org};

#[derive(Clone, Debug)]
struct Step {
    org: u8,
    asn: u32,
    network: u8,
    target: u8,
    kind: u8,
    evidence: Evidence,
    wait: u64,
    act: u8,
}

fn step() -> impl Strategy<Value = Step> {
    let evidence = prop::sample::select(vec![
        Evidence::Handshake,
        Evidence::Payload,
        Evidence::Datagram,
    ]);
    // Few values each, so that they meet.
    (
        0u8..20,
        0u32..8,
        0u8..30,
        0u8..12,
        0u8..3,
        evidence,
        0u64..5 * HOUR,
        0u8..20,
    )
        .prop_map(
            |(org, asn, network, target, kind, evidence, wait, act)| Step {
                org,
                asn,
                network,
                target,
                kind,
                evidence,
                wait,
                act,
            },
        )
}

fn target(n: u8) -> Prefix {
    let text = match n {
        0 => "192.0.2.53".to_owned(),
        1 => "192.0.2.99".to_owned(),
        2 => "192.0.2.0/24".to_owned(),
        3 => "198.51.100.3".to_owned(),
        4 => "198.51.100.200".to_owned(),
        5 => "2001:db8::7".to_owned(),
        6 => "203.0.112.0/20".to_owned(),
        n => format!("203.0.113.{n}"),
    };
    text.parse().expect("a network")
}

fn report(step: &Step) -> Report {
    Report {
        id: ReportId([step.org; 16]),
        org: org(&format!("org{}", step.org)),
        asn: (step.asn > 0).then_some(64_500 + step.asn),
        network: Prefix::host([10, step.network, 0, step.org].into()),
        target: target(step.target),
        kind: Kind::new(&format!("kind{}", step.kind)),
        evidence: step.evidence,
        lasts: 4 * 3_600,
    }
}

fn play(court: &mut Court, steps: &[Step]) -> Vec<Verdict> {
    let mut now = 30 * DAY;
    let mut verdicts = Vec::new();
    for step in steps {
        now += step.wait;
        let by = By::Org(org(&format!("org{}", step.org)));
        match step.act {
            0 => drop(court.reverse(target(step.target), &by, "why", now)),
            1 => drop(court.confirm(target(step.target), &By::Person("p".into()), 60, now)),
            2 => drop(court.reverse(target(step.target), &By::Person("p".into()), "why", now)),
            3 => drop(court.set_peers(&report(step).org, vec![u64::from(step.target)], now)),
            _ => verdicts.push(court.report(&report(step), now)),
        }
    }
    verdicts
}

fn trusted() -> Court {
    let mut court = Court::new(Rules::default(), classes());
    (0..15).for_each(|n| {
        court
            .vouch(&org(&format!("org{n}")), 60.0, 0)
            .expect("room");
    });
    court
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// One organisation, as many guards, networks, systems, kinds and days as it likes.
    #[test]
    fn the_puppets_of_one_organisation_never_make_a_ban(
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut court = Court::new(Rules::default(), classes());
        let mut steps = steps;
        steps.iter_mut().for_each(|step| (step.org, step.act) = (7, 9));
        let verdicts = play(&mut court, &steps);
        prop_assert!(!verdicts.iter().any(is_ban));
        let b = court.standing(&org("org7"), 30 * DAY).unwrap();
        prop_assert!(b.a <= 1.0, "nobody proves himself right");
    }

    /// Organisations in one network, or two systems: however well they stand they are few voices.
    #[test]
    fn voices_under_one_roof_never_make_a_quorum(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut court = trusted();
        court.set_rules(Rules { alone_trust: 1.0, ..Rules::default() });
        let mut steps = steps;
        steps.iter_mut().for_each(|step| (step.network, step.act) = (step.network % 2, 9));
        prop_assert!(!play(&mut court, &steps).iter().any(is_ban));
        let mut court = trusted();
        court.set_rules(Rules { alone_trust: 1.0, ..Rules::default() });
        steps.iter_mut().for_each(|step| (step.network, step.asn) = (step.org, 1));
        prop_assert!(!play(&mut court, &steps).iter().any(is_ban));
    }

    #[test]
    fn what_is_never_banned_is_never_banned(steps in prop::collection::vec(step(), 1..300)) {
        let mut court = trusted();
        let never = ["192.0.2.53", "192.0.2.99"].map(|t| t.parse::<Prefix>().unwrap());
        for verdict in play(&mut court, &steps) {
            if let Verdict::Ban(ban) = verdict {
                prop_assert!(!never.iter().any(|n| n.overlaps(ban.prefix)), "{ban:?}");
                prop_assert!(ban.prefix.len() >= 32);
                prop_assert!(ban.lasts <= 4 * 3_600, "longer than anybody asked");
            }
        }
        for n in never {
            prop_assert_eq!(court.banned_until(n, 0), None);
        }
    }

    /// Written down and read back in the middle, nothing changes.
    #[test]
    fn a_court_that_was_written_down_goes_on_the_same(
        steps in prop::collection::vec(step(), 2..120),
    ) {
        let mut one = trusted();
        let all = play(&mut one, &steps);
        let mut two = trusted();
        let half = steps.len() / 2;
        let mut verdicts = Vec::new();
        let mut now = 0;
        for (n, step) in steps.iter().enumerate() {
            if n == half {
                let text = serde_json::to_string(&two).unwrap();
                two = serde_json::from_str(&text).unwrap();
                two.set_rules(Rules::default());
                two.set_classes(classes());
            }
            let mut step = step.clone();
            now += step.wait;
            step.wait = now;
            verdicts.extend(play(&mut two, &[step]));
        }
        prop_assert_eq!(all, verdicts);
        for n in 0..12 {
            let now = 60 * DAY;
            let told = [&one, &two].map(|court| court.explain(target(n), now).to_string());
            prop_assert_eq!(&told[0], &told[1]);
        }
        prop_assert_eq!(one.bans(), two.bans());
    }
}

/// Two organisations that fill everything there is to fill.
#[test]
fn nothing_grows_beyond_its_limit() {
    let mut court = Court::new(
        Rules {
            reports_per_hour: u32::MAX,
            ..Rules::default()
        },
        classes(),
    );
    let step = Step {
        org: 1,
        asn: 1,
        network: 1,
        target: 9,
        kind: 1,
        evidence: Evidence::Payload,
        wait: 0,
        act: 9,
    };
    let mut report = report(&step);
    for n in 0..trust::limits::CASES_MAX as u32 + 1_000 {
        report.target = Prefix::host((0x0b00_0000 + n).to_be_bytes().into());
        court.report(&report, 30 * DAY + u64::from(n));
    }
    assert_eq!(court.cases(), trust::limits::CASES_MAX);
    assert_eq!(court.stats().cases_evicted, 1_000);
    for n in 0..trust::limits::ORGS_MAX + 10 {
        report.org = org(&format!("puppet{n}"));
        report.kind = Kind::new(&"long".repeat(n % 100));
        court.report(&report, 31 * DAY);
    }
    assert_eq!(court.standings(0).count(), trust::limits::ORGS_MAX);
    let told = court.explain(report.target, 31 * DAY);
    assert_eq!(told.votes.len(), trust::limits::VOTES_PER_CASE_MAX);
    // Quiet cases go by themselves.
    for n in 0..20_000 {
        court.report(&report, 60 * DAY + n);
    }
    let left = trust::limits::CASES_MAX - 4 * 20_000;
    assert_eq!(court.cases(), left, "four go with each report");
}
