use model::{ContentHash, PersonAct};

use super::*;
use crate::{
    Indexed,
    persons::{Signer, sign_exhibit_act, sign_person_act},
};

const DAY: i64 = 86_400;
const LOG: &str = "log.example/1";

fn day(n: i64) -> Timestamp {
    Timestamp::from_seconds(n * DAY)
}

fn exhibit() -> String {
    "EX-2026-000001".to_owned()
}

fn held(n: i64, until: Option<i64>) -> ExhibitAct {
    ExhibitAct::Held {
        at: day(n),
        exhibit: exhibit(),
        hold: format!("HOLD-{n}"),
        by: "ada".to_owned(),
        authority: "order 1".to_owned(),
        until: until.map(day),
        reason: "asked".to_owned(),
    }
}

fn asked(n: i64, wish: Wish, by: &str) -> ExhibitAct {
    ExhibitAct::Asked {
        at: day(n),
        request: "1".to_owned(),
        exhibit: exhibit(),
        wish,
        by: by.to_owned(),
        account: String::new(),
        reason: "no longer needed".to_owned(),
        signed: None,
    }
}

fn agreed(n: i64, wish: Wish, by: &str) -> ExhibitAct {
    ExhibitAct::Agreed {
        at: day(n),
        request: "1".to_owned(),
        exhibit: exhibit(),
        wish,
        by: by.to_owned(),
        account: String::new(),
        signed: None,
    }
}

fn purged(n: i64, cause: &str) -> ExhibitAct {
    ExhibitAct::Purged {
        at: day(n),
        exhibit: exhibit(),
        sha256: ContentHash::of(b""),
        cause: cause.to_owned(),
        reason: String::new(),
    }
}

fn release() -> Wish {
    Wish::ReleaseHold {
        hold: "HOLD-1".to_owned(),
    }
}

fn person(name: &str, seed: u8) -> Signer {
    Signer::from_seed(name, &[seed; 32]).unwrap()
}

fn ada() -> Signer {
    person("ada", 1)
}

fn grace() -> Signer {
    person("grace", 2)
}

fn signed(mut act: ExhibitAct, by: &Signer) -> ExhibitAct {
    sign_exhibit_act(&mut act, LOG, by);
    act
}

fn ask(n: i64, wish: Wish, by: &Signer) -> ExhibitAct {
    signed(asked(n, wish, ""), by)
}

fn agree(n: i64, wish: Wish, by: &Signer) -> ExhibitAct {
    signed(agreed(n, wish, ""), by)
}

/// Of the ledger `LOG`: enrolled at entries 10 and 11, the second by the first.
fn persons(more: &[Indexed<PersonAct>]) -> Persons {
    let enrolled = |who: &Signer, by: Option<&Signer>| {
        let mut act = PersonAct::Enrolled {
            at: day(0),
            name: who.name().to_owned(),
            key: who.key().to_string(),
            by: String::new(),
            signed: None,
        };
        if let Some(by) = by {
            sign_person_act(&mut act, LOG, by);
        }
        act
    };
    let acts = [
        (10, enrolled(&ada(), None)),
        (11, enrolled(&grace(), Some(&ada()))),
    ];
    let acts = acts.map(|(index, what)| Indexed { index, what });
    Persons::of(LOG, &[&acts[..], more].concat())
}

/// The acts as the entries from `first` on.
fn from(first: u64, acts: &[ExhibitAct], persons: &Persons) -> Custody {
    let steps: Vec<CustodyStep> = (first..)
        .zip(acts)
        .map(|(index, act)| Indexed {
            index,
            what: act.clone(),
        })
        .collect();
    Custody::of(&steps, persons)
}

fn custody(acts: &[ExhibitAct]) -> Custody {
    from(20, acts, &persons(&[]))
}

/// On a ledger of before there were keys.
fn once(acts: &[ExhibitAct]) -> Custody {
    from(0, acts, &persons(&[]))
}

#[test]
fn two_persons_with_keys_purge_and_one_does_not() {
    let sum = custody(&[
        ask(1, Wish::Purge, &ada()),
        agree(2, Wish::Purge, &grace()),
        purged(3, "1"),
    ]);
    assert_eq!(sum.purged, Some(day(3)));
    assert!(!sum.purged_by_names);
    assert_eq!(sum.strays, []);
    let sum = custody(&[
        ask(1, Wish::Purge, &ada()),
        agree(2, Wish::Purge, &ada()),
        purged(3, "1"),
    ]);
    assert_eq!(sum.purged, None);
    assert!(matches!(sum.strays[0].1, CustodyError::SamePerson { .. }));
    assert!(matches!(sum.strays[1].1, CustodyError::NoCause { .. }));
}

/// What the second of two acts is refused for.
fn refused(first: ExhibitAct, second: ExhibitAct, persons: &Persons) -> CustodyError {
    let sum = from(20, &[first, second, purged(3, "1")], persons);
    assert_eq!((sum.purged, sum.agreed_purge()), (None, None));
    sum.strays[0].1.clone()
}

#[test]
fn an_agreement_without_an_enrolled_persons_signature_has_no_effect() {
    let first = || ask(1, Wish::Purge, &ada());
    let all = persons(&[]);
    let why = refused(first(), agreed(2, Wish::Purge, "grace"), &all);
    assert!(matches!(
        why,
        CustodyError::Person(PersonError::Unsigned { .. })
    ));
    let stranger = person("mary", 3);
    let why = refused(first(), agree(2, Wish::Purge, &stranger), &all);
    assert!(matches!(
        why,
        CustodyError::Person(PersonError::NotEnrolled { .. })
    ));
    // Her own key, under the name of one who is enrolled.
    let mut other = agree(2, Wish::Purge, &ada());
    if let ExhibitAct::Agreed { by, .. } = &mut other {
        "grace".clone_into(by);
    }
    let why = refused(first(), other, &all);
    assert!(matches!(
        why,
        CustodyError::Person(PersonError::OtherName { .. })
    ));
    // A signature for another moment, request, wish or ledger.
    let mut moved = agree(2, Wish::Purge, &grace());
    if let ExhibitAct::Agreed { at, .. } = &mut moved {
        *at = day(1);
    }
    let mut elsewhere = agreed(2, Wish::Purge, "");
    sign_exhibit_act(&mut elsewhere, "other.example/1", &grace());
    let mut wished = agree(2, release(), &grace());
    if let ExhibitAct::Agreed { wish, .. } = &mut wished {
        *wish = Wish::Purge;
    }
    for forged in [moved, elsewhere, wished] {
        let why = refused(first(), forged, &all);
        assert!(
            matches!(why, CustodyError::Person(PersonError::Signature { .. })),
            "{why}"
        );
    }
    // Nor does a request without one.
    let sum = custody(&[
        asked(1, Wish::Purge, "ada"),
        agree(2, Wish::Purge, &grace()),
        purged(3, "1"),
    ]);
    assert_eq!((sum.purged, sum.strays.len()), (None, 3));
    assert_eq!(sum.asked, 1);
}

#[test]
fn a_revoked_key_agrees_to_nothing_and_its_requests_end_with_it() {
    let revoked = |index: u64| {
        let mut act = PersonAct::Revoked {
            at: day(0),
            name: "grace".to_owned(),
            key: grace().key().to_string(),
            by: String::new(),
            reason: "left".to_owned(),
            signed: None,
        };
        sign_person_act(&mut act, LOG, &ada());
        persons(&[Indexed { index, what: act }])
    };
    let why = refused(
        ask(1, Wish::Purge, &ada()),
        agree(2, Wish::Purge, &grace()),
        &revoked(12),
    );
    assert!(matches!(
        why,
        CustodyError::Person(PersonError::Revoked { .. })
    ));
    let why = refused(
        ask(1, Wish::Purge, &grace()),
        agree(2, Wish::Purge, &ada()),
        &revoked(20),
    );
    assert!(matches!(
        why,
        CustodyError::NoRequest { .. } | CustodyError::Person(PersonError::Revoked { .. })
    ));
    // What was agreed on before stays agreed on.
    let acts = [ask(1, Wish::Purge, &grace()), agree(2, Wish::Purge, &ada())];
    let acts = [&acts[..], &[purged(3, "1")]].concat();
    assert_eq!(from(20, &acts, &revoked(22)).purged, Some(day(3)));
    // And a key counts only from its enrolment on.
    let early = from(9, &acts, &persons(&[]));
    assert_eq!((early.purged, early.strays.len()), (None, 3));
}

#[test]
fn what_was_destroyed_by_two_names_before_there_were_keys_stays_destroyed() {
    let acts = [
        asked(1, Wish::Purge, "ada"),
        agreed(2, Wish::Purge, "grace"),
        purged(3, "1"),
    ];
    let sum = once(&acts);
    assert_eq!(sum.purged, Some(day(3)));
    assert!(sum.purged_by_names);
    assert_eq!(sum.strays.len(), 2);
    // The same on a ledger where nobody is enrolled yet.
    let nobody = Persons::of(LOG, &[]);
    assert_eq!(from(0, &acts, &nobody).purged, Some(day(3)));
    // What was not carried out then is not carried out now, and neither is a release.
    let sum = from(0, &acts[..2], &nobody);
    assert_eq!((sum.agreed_purge(), sum.requests.len()), (None, 0));
    assert!(sum.check(&purged(3, "1"), day(3), &nobody).is_err());
    let sum = once(&[held(1, None), asked(2, release(), "ada")]);
    assert!(sum.requests.is_empty());
    let by_names = [
        held(1, None),
        asked(2, release(), "ada"),
        agreed(3, release(), "grace"),
    ];
    assert_eq!(once(&by_names).hold_in_force(day(4)), Some("HOLD-1"));
    // But what policy then destroyed is gone.
    let acts = [&by_names[..], &[purged(4, BY_RETENTION)]].concat();
    assert_eq!(once(&acts).purged, Some(day(4)));
    // Once there are keys, none of it counts.
    assert_eq!(custody(&acts).purged, None);
}

#[test]
fn by_names_too_nobody_purged_alone() {
    for other in ["ada", "Ada", " ADA ", "ada  "] {
        let sum = once(&[
            asked(1, Wish::Purge, "ada"),
            agreed(2, Wish::Purge, other),
            purged(3, "1"),
        ]);
        assert_eq!((sum.purged, sum.strays.len()), (None, 3), "{other}");
    }
    let mut first = asked(1, Wish::Purge, "ada");
    let mut second = agreed(2, Wish::Purge, "grace");
    if let (ExhibitAct::Asked { account: one, .. }, ExhibitAct::Agreed { account: two, .. }) =
        (&mut first, &mut second)
    {
        *one = "uid 1000".to_owned();
        *two = "uid 1000".to_owned();
    }
    assert_eq!(once(&[first, second, purged(3, "1")]).purged, None);
}

#[test]
fn a_hold_stops_policy_and_agreed_purges_until_two_release_it() {
    let mut acts = vec![held(1, None), purged(2, BY_RETENTION)];
    assert_eq!(custody(&acts).purged, None);
    acts.push(ask(3, Wish::Purge, &ada()));
    assert!(custody(&acts).requests.is_empty());
    acts.push(ask(3, release(), &ada()));
    acts.push(agree(4, release(), &ada()));
    assert!(custody(&acts).hold_in_force(day(5)).is_some());
    acts.push(agree(4, release(), &grace()));
    acts.push(purged(5, BY_RETENTION));
    assert_eq!(custody(&acts).purged, Some(day(5)));
}

#[test]
fn a_hold_ends_with_its_time() {
    let sum = custody(&[held(1, Some(10))]);
    assert_eq!(sum.hold_in_force(day(9)), Some("HOLD-1"));
    assert_eq!(sum.hold_in_force(day(10)), None);
}

#[test]
fn a_purge_agreed_before_a_hold_waits_for_it() {
    let sum = custody(&[
        ask(1, Wish::Purge, &ada()),
        agree(2, Wish::Purge, &grace()),
        held(3, None),
        purged(4, "1"),
    ]);
    assert_eq!(sum.purged, None);
    assert!(matches!(sum.strays[0].1, CustodyError::OnHold { .. }));
}

#[test]
fn an_agreement_to_something_else_is_none() {
    let sum = custody(&[
        held(1, None),
        ask(2, release(), &ada()),
        agree(3, Wish::Purge, &grace()),
        purged(4, "1"),
    ]);
    assert_eq!(sum.purged, None);
    assert!(sum.hold_in_force(day(9)).is_some());
}

#[test]
fn a_request_is_declined_with_a_key_only() {
    let declined = |by: &str| ExhibitAct::Declined {
        at: day(2),
        request: "1".to_owned(),
        exhibit: exhibit(),
        by: by.to_owned(),
        reason: "no".to_owned(),
        signed: None,
    };
    let agreed = || agree(3, Wish::Purge, &grace());
    let first = || ask(1, Wish::Purge, &ada());
    let sum = custody(&[first(), declined("mary"), agreed()]);
    assert!(sum.agreed_purge().is_some());
    let sum = custody(&[first(), signed(declined(""), &ada()), agreed()]);
    assert!(sum.agreed_purge().is_none());
}

#[test]
fn nothing_is_done_with_what_is_gone() {
    let sum = custody(&[purged(1, BY_RETENTION), held(2, None), purged(3, "1")]);
    assert_eq!(sum.purged, Some(day(1)));
    assert_eq!(sum.strays.len(), 2);
}
