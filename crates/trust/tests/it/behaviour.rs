//! What becomes of reports.

use trust::{Class, Court, Evidence, Grounds, HoldReason, Kind, Refusal, Rules, Verdict, peer_key};

use crate::{DAY, HOUR, court, court_of_many, is_ban, org, p, report};

#[test]
fn three_independent_organisations_make_a_ban_and_are_credited() {
    let (mut court, now) = court_of_many(3);
    let before = court.standing(&org("org0"), now).unwrap().a;
    assert!(matches!(
        court.report(&report(0, "203.0.113.7"), now),
        Verdict::Noted(_)
    ));
    assert!(matches!(
        court.report(&report(1, "203.0.113.7"), now),
        Verdict::Noted(_)
    ));
    let Verdict::Ban(ban) = court.report(&report(2, "203.0.113.7"), now) else {
        panic!()
    };
    assert_eq!(
        ban.grounds,
        Grounds::Quorum {
            independent: 3,
            needed: 3
        }
    );
    assert_eq!((ban.lasts, ban.voters.len()), (4 * 3_600, 3));
    assert_eq!(
        court.banned_until(p("203.0.113.7"), now),
        Some(now + 4 * HOUR)
    );
    assert!(court.standing(&org("org0"), now).unwrap().a > before + 0.9);
    assert_eq!(court.banned_until(p("203.0.113.7"), now + 4 * HOUR), None);
}

#[test]
fn strangers_are_not_enough_however_many() {
    let (mut court, now) = court_of_many(0);
    for number in 0..30 {
        let verdict = court.report(&report(number, "203.0.113.7"), now);
        assert!(matches!(verdict, Verdict::Noted(_)), "{verdict:?}");
    }
}

#[test]
fn one_with_standing_makes_a_short_ban_that_a_second_makes_longer() {
    let (mut court, now) = court(2);
    let Verdict::Ban(ban) = court.report(&report(0, "203.0.113.7"), now) else {
        panic!()
    };
    assert_eq!(
        ban.grounds,
        Grounds::Standing {
            orgs: vec![org("org0")]
        }
    );
    assert_eq!(ban.lasts, 3_600);
    let Verdict::Ban(ban) = court.report(&report(1, "203.0.113.7"), now + 1) else {
        panic!()
    };
    assert_eq!((ban.voters.len(), ban.lasts), (2, 4 * 3_600));
    assert_eq!((court.bans(), court.stats().renewals), (1, 1));
}

#[test]
fn who_is_believed_alone_may_do_it_only_so_often() {
    let (mut court, now) = court(1);
    let ban = |court: &mut Court, n: u8| {
        is_ban(&court.report(&report(0, &format!("203.0.113.{n}")), now))
    };
    let bans = (0..50).filter(|n| ban(&mut court, *n)).count();
    assert_eq!(bans, Rules::default().alone_per_hour as usize);
}

#[test]
fn nobody_is_believed_alone_about_what_others_talk_with_daily() {
    let (mut court, now) = court(2);
    court
        .set_peers(&org("org1"), vec![peer_key(p("203.0.113.7"))], now)
        .unwrap();
    assert!(!is_ban(&court.report(&report(0, "203.0.113.7"), now)));
    assert!(is_ban(&court.report(&report(0, "203.0.113.8"), now)));
}

#[test]
fn many_daily_peers_need_a_person() {
    let (mut court, now) = court_of_many(7);
    for number in 3..7 {
        let peers = vec![peer_key(p("203.0.113.7"))];
        court
            .set_peers(&org(&format!("org{number}")), peers, now)
            .unwrap();
    }
    let verdicts = [0, 1, 2].map(|n| court.report(&report(n, "203.0.113.7"), now));
    assert_eq!(
        verdicts[2],
        Verdict::HoldForPerson(HoldReason::BlastRadius { organisations: 4 })
    );
    assert_eq!(court.held().count(), 1);
}

#[test]
fn what_is_never_banned_costs_its_reporter_once() {
    let (mut court, now) = court(1);
    let b = |court: &Court| court.standing(&org("org0"), now).unwrap().b;
    for target in ["192.0.2.53", "192.0.2.53", "192.0.2.0/24"] {
        let verdict = court.report(&report(0, target), now);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::Never { .. })),
            "{verdict:?}"
        );
    }
    assert!(
        (b(&court) - 11.0).abs() < 0.01,
        "the host and the network once each: {}",
        b(&court)
    );
    let Verdict::Refused(Refusal::Never { list }) = court.report(&report(0, "192.0.2.99"), now)
    else {
        panic!()
    };
    assert_eq!(list, "known good", "a canary is not told");
    let told = court.explain(p("192.0.2.99"), now);
    assert!(!told.to_string().contains("canar"), "{told}");
}

#[test]
fn a_source_that_can_be_forged_counts_neither_for_nor_against_anybody() {
    let (mut court, now) = court(1);
    for target in ["203.0.113.7", "192.0.2.53"] {
        let mut forged = report(0, target);
        forged.evidence = Evidence::Datagram;
        assert_eq!(
            court.report(&forged, now),
            Verdict::Refused(Refusal::Forgeable)
        );
    }
    assert_eq!(court.standing(&org("org0"), now).unwrap().b, 1.0);
}

#[test]
fn shared_addresses_need_six_and_clouds_twelve_or_a_person() {
    let (mut court, now) = court(12);
    let verdicts: Vec<_> = (0..6)
        .map(|n| court.report(&report(n, "198.51.100.200"), now))
        .collect();
    assert!(
        verdicts[..5].iter().all(|v| matches!(v, Verdict::Noted(_))),
        "{verdicts:?}"
    );
    assert!(is_ban(&verdicts[5]));
    let verdicts: Vec<_> = (0..12)
        .map(|n| court.report(&report(n, "198.51.100.3"), now))
        .collect();
    assert!(matches!(verdicts[1], Verdict::Noted(_)));
    let held = |v: &Verdict| {
        matches!(
            v,
            Verdict::HoldForPerson(HoldReason::Class {
                class: Class::Cloud,
                ..
            })
        )
    };
    assert!(verdicts[2..11].iter().all(held), "{verdicts:?}");
    assert!(is_ban(&verdicts[11]));
}

#[test]
fn networks_need_a_person_and_wide_ones_never_pass() {
    let (mut court, now) = court(3);
    let wide = [
        "0.0.0.0/0",
        "203.0.0.0/16",
        "203.0.112.0/23",
        "::/0",
        "2001:db8::/47",
    ];
    for target in wide {
        let verdict = court.report(&report(0, target), now);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::TooWide { .. })),
            "{target}"
        );
    }
    let verdicts = [0, 1, 2].map(|n| court.report(&report(n, "203.0.113.0/24"), now));
    assert!(matches!(verdicts[0], Verdict::Noted(_)));
    assert_eq!(verdicts[2], Verdict::HoldForPerson(HoldReason::Width));
}

#[test]
fn an_ipv6_customer_is_one_target() {
    let (mut court, now) = court_of_many(3);
    let hosts = ["2001:db8::1", "2001:db8::2", "2001:db8::/64"];
    let verdicts = [0, 1, 2].map(|n| court.report(&report(n, hosts[n as usize]), now));
    let Verdict::Ban(ban) = &verdicts[2] else {
        panic!("{verdicts:?}")
    };
    assert_eq!(ban.prefix, p("2001:db8::/64"));
}

#[test]
fn old_reports_do_not_count() {
    let (mut court, now) = court_of_many(3);
    court.report(&report(0, "203.0.113.7"), now);
    court.report(&report(1, "203.0.113.7"), now + HOUR);
    assert!(!is_ban(
        &court.report(&report(2, "203.0.113.7"), now + 24 * HOUR)
    ));
    assert!(is_ban(
        &court.report(&report(0, "203.0.113.7"), now + 24 * HOUR + 1)
    ));
}

#[test]
fn who_comes_back_is_banned_for_longer_until_it_was_quiet() {
    let (mut court, mut now) = court_of_many(3);
    let mut ban = |now: u64| {
        let mut last = None;
        for number in 0..3 {
            let mut report = report(number, "203.0.113.7");
            report.lasts = 30 * 86_400;
            if let Verdict::Ban(ban) = court.report(&report, now) {
                last = Some(ban.lasts);
            }
        }
        last
    };
    let mut times = Vec::new();
    for _ in 0..4 {
        let lasts = ban(now).unwrap();
        times.push(lasts);
        now += lasts * 1_000 + 1;
    }
    let shortest = 4 * 3_600;
    assert_eq!(times, [1, 2, 4, 8].map(|n| n * shortest));
    now += 8 * DAY;
    assert_eq!(ban(now), Some(shortest));
}

#[test]
fn the_set_does_not_grow_by_more_than_its_share() {
    let (mut court, now) = court_of_many(3);
    court.set_rules(Rules {
        growth_floor: 10,
        alone_trust: 1.0,
        ..Rules::default()
    });
    let mut bans = 0;
    let mut held = 0;
    for target in 0..50u8 {
        for number in 0..3 {
            match court.report(&report(number, &format!("203.0.113.{target}")), now) {
                Verdict::Ban(_) => bans += 1,
                Verdict::HoldForPerson(HoldReason::Growth { per_hour: 10 }) => held += 1,
                _ => {}
            }
        }
    }
    assert_eq!((bans, held), (10, 40));
    assert!(is_ban(
        &court.report(&report(0, "203.0.113.40"), now + 2 * HOUR)
    ));
}

#[test]
fn a_kind_that_is_wrong_too_often_needs_a_person() {
    let (mut court, now) = court_of_many(9);
    for number in 0..5 {
        let mut wrong = report(number, &format!("203.0.113.{number}"));
        wrong.kind = Kind::new("crawler");
        court.report(&wrong, now);
        let by = trust::By::Person("operator".into());
        court
            .reverse(wrong.target, &by, "our own crawler", now)
            .unwrap();
    }
    assert_eq!(
        court
            .demoted_kinds(now)
            .map(Kind::as_str)
            .collect::<Vec<_>>(),
        ["crawler"]
    );
    let verdicts = [6, 7, 8].map(|number| {
        let mut report = report(number, "203.0.113.77");
        report.kind = Kind::new("crawler");
        court.report(&report, now)
    });
    let demoted = HoldReason::KindDemoted {
        kind: Kind::new("crawler"),
    };
    assert_eq!(verdicts[2], Verdict::HoldForPerson(demoted));
    assert!(court.restore_kind(&Kind::new("crawler")));
    let mut again = report(8, "203.0.113.77");
    again.kind = Kind::new("crawler");
    assert!(is_ban(&court.report(&again, now)));
}

#[test]
fn an_explanation_says_who_counts_and_who_does_not() {
    let (mut court, now) = court_of_many(4);
    for number in 0..3 {
        court.report(&report(number, "203.0.113.7"), now);
    }
    let mut neighbour = report(3, "203.0.113.7");
    neighbour.network = p("10.0.0.99");
    court.report(&neighbour, now + 60_000);
    let told = court.explain(p("203.0.113.7"), now + HOUR);
    assert_eq!((told.independent, told.votes.len()), (3, 4));
    let text = told.to_string();
    assert!(
        text.contains("banned 1h0m0s ago, 3h0m0s left: 3 independent organisations"),
        "{text}"
    );
    assert!(text.contains("one voice with org0: same network"), "{text}");
    let json = serde_json::to_string(&told).unwrap();
    assert_eq!(
        serde_json::from_str::<trust::Explanation>(&json).unwrap(),
        told
    );
}
