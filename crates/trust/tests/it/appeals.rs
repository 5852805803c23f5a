//! Reversals: as fast as a ban, paid for, and not a weapon.

use trust::{By, Refusal, TrustError, Verdict};

use crate::{DAY, HOUR, court, court_of_many, is_ban, org, p, report};

fn person() -> By {
    By::Person("operator".into())
}

#[test]
fn a_reversal_releases_charges_and_protects() {
    let (mut court, now) = court_of_many(3);
    for number in 0..3 {
        court.report(&report(number, "203.0.113.7"), now);
    }
    let reversal = court
        .reverse(p("203.0.113.7"), &person(), "ours", now)
        .unwrap();
    assert_eq!(reversal.released, [p("203.0.113.7")]);
    assert_eq!(reversal.charged.len(), 3);
    assert!(reversal.charged.iter().all(|(_, paid)| *paid == 5.0));
    assert_eq!(reversal.protected_until, Some(now + 30 * DAY));
    assert_eq!(court.bans(), 0);
    for number in 0..3 {
        let verdict = court.report(&report(number, "203.0.113.7"), now + DAY);
        assert!(
            matches!(verdict, Verdict::Refused(Refusal::Reversed { .. })),
            "{verdict:?}"
        );
    }
    let told = court.explain(p("203.0.113.7"), now + DAY).to_string();
    assert!(told.contains("reversed by operator (\"ours\")"), "{told}");
}

#[test]
fn one_wrong_ban_alone_takes_the_others_of_that_organisation_along() {
    let (mut court, now) = court(2);
    for target in ["203.0.113.1", "203.0.113.2", "203.0.113.3"] {
        assert!(is_ban(&court.report(&report(0, target), now)));
    }
    assert!(is_ban(&court.report(&report(1, "203.0.113.3"), now)));
    let reversal = court
        .reverse(p("203.0.113.1"), &By::Org(org("org1")), "ours", now)
        .unwrap();
    assert_eq!(
        reversal.released,
        [p("203.0.113.1"), p("203.0.113.2")],
        "the third was seconded"
    );
    assert!(!court.standing(&org("org0"), now).unwrap().suffices_alone);
    assert!(!is_ban(
        &court.report(&report(0, "203.0.113.4"), now + HOUR)
    ));
}

#[test]
fn a_stranger_cannot_reverse() {
    let (mut court, now) = court_of_many(3);
    for number in 0..3 {
        court.report(&report(number, "203.0.113.7"), now);
    }
    court.join(&org("stranger"), now);
    let by = By::Org(org("stranger"));
    let refused = court.reverse(p("203.0.113.7"), &by, "mine", now);
    assert!(
        matches!(refused, Err(TrustError::Standing { .. })),
        "{refused:?}"
    );
    assert_eq!(court.bans(), 1);
    assert!(
        court
            .explain(p("203.0.113.7"), now)
            .to_string()
            .contains("stranger appealed")
    );
}

#[test]
fn a_members_wrong_reversal_is_overruled_and_paid_for() {
    let (mut court, now) = court_of_many(12);
    for number in 0..3 {
        court.report(&report(number, "203.0.113.7"), now);
    }
    let paid =
        |court: &trust::Court, n: u8| court.standing(&org(&format!("org{n}")), now).unwrap().b;
    court
        .reverse(p("203.0.113.7"), &By::Org(org("org11")), "mine", now)
        .unwrap();
    assert!(paid(&court, 0) > 5.0 && paid(&court, 11) < 2.0);
    let verdicts: Vec<_> = (3..9)
        .map(|n| court.report(&report(n, "203.0.113.7"), now))
        .collect();
    assert!(
        !verdicts[..5].iter().any(is_ban) && is_ban(&verdicts[5]),
        "{verdicts:?}"
    );
    assert!(paid(&court, 0) < 2.0 && paid(&court, 11) > 5.0);
}

#[test]
fn taking_back_ones_own_report_is_cheap() {
    let (mut court, now) = court(2);
    court.report(&report(0, "203.0.113.7"), now);
    let reversal = court
        .reverse(p("203.0.113.7"), &By::Org(org("org0")), "a mistake", now)
        .unwrap();
    assert_eq!(reversal.released, [p("203.0.113.7")]);
    assert_eq!(reversal.charged, [(org("org0"), 1.0)]);
    assert!(court.standing(&org("org0"), now).unwrap().suffices_alone);
}

#[test]
fn a_person_confirms_what_was_held() {
    let (mut court, now) = court(3);
    for number in 0..3 {
        court.report(&report(number, "198.51.100.3"), now);
    }
    assert_eq!(court.held().count(), 1);
    let confirmed = court
        .confirm(p("198.51.100.3"), &person(), 3_600, now)
        .unwrap();
    assert_eq!(confirmed.credited.len(), 3);
    assert_eq!(confirmed.ban.unwrap().lasts, 3_600);
    assert_eq!((court.held().count(), court.bans()), (0, 1));
    assert!(court.release(p("198.51.100.3"), now) && court.bans() == 0);
}

#[test]
fn whoever_is_suspended_weighs_nothing() {
    let (mut court, now) = court(3);
    assert!(is_ban(&court.report(&report(0, "203.0.113.7"), now)));
    let released = court.suspend(&org("org0"), now + 99 * DAY, now).unwrap();
    assert_eq!(released, [p("203.0.113.7")]);
    let verdict = court.report(&report(0, "203.0.113.8"), now);
    assert!(matches!(
        verdict,
        Verdict::Refused(Refusal::Suspended { .. })
    ));
    assert_eq!(court.standing(&org("org0"), now).unwrap().weight, 0.0);
}
