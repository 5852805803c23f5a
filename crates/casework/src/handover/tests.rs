use std::time::Duration;

use ledger::SigningKey;
use model::OutcomeKind;

use super::*;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + minutes * 60)
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed("org.example/log", [seed; 32]).unwrap()
}

fn signed(mut act: HandoverAct, key: &SigningKey) -> HandoverAct {
    sign(&mut act, &key.public().to_string(), |text| {
        key.sign_note(text)
    });
    act
}

fn offer() -> HandoverAct {
    let act = HandoverAct::Offered {
        at: at(0),
        handover: "HO-2026-0001".to_owned(),
        case: "CASE-2026-0001".to_owned(),
        referral: "REF-2026-0001".to_owned(),
        from: "acme".to_owned(),
        to: "police".to_owned(),
        by: "operator".to_owned(),
        manifest: ContentHash::of(b"manifest"),
        package: ContentHash::of(b"package"),
        bytes: 7,
        key: String::new(),
        signature: String::new(),
    };
    signed(act, &key(1))
}

fn receipt(manifest: &[u8]) -> HandoverAct {
    let act = HandoverAct::Received {
        at: at(5),
        handover: "acme/HO-2026-0001".to_owned(),
        by: "officer".to_owned(),
        manifest: ContentHash::of(manifest),
        key: String::new(),
        signature: String::new(),
    };
    signed(act, &key(2))
}

fn outcome() -> HandoverAct {
    HandoverAct::OutcomeReported {
        at: at(9),
        handover: "HO-2026-0001".to_owned(),
        by: "officer".to_owned(),
        outcome: Outcome {
            kind: OutcomeKind::ServersTakenDown,
            when: at(8),
            count: 1,
            unit: String::new(),
            source: "letter 7".to_owned(),
            note: String::new(),
        },
    }
}

fn ask(request: &str) -> HandoverAct {
    HandoverAct::MoreAsked {
        at: at(6),
        handover: "HO-2026-0001".to_owned(),
        request: request.to_owned(),
        by: "officer".to_owned(),
        wish: "the raw lines".to_owned(),
        legal_basis: "code of procedure 99".to_owned(),
        due: at(1_000),
    }
}

#[test]
fn an_offer_waits_until_it_is_received() {
    let mut sum = Handover::of([&offer()]).unwrap();
    assert_eq!(sum.waits(at(90)), Some(Duration::from_secs(5_400)));
    assert_eq!(sum.in_words(at(90)), "offered, not received (1 h 30 min)");
    assert!(matches!(
        sum.take(&outcome()),
        Err(HandoverError::NotReceived { .. })
    ));
    assert!(sum.take(&ask("RQ-1")).is_err());
    sum.take(&receipt(b"manifest")).unwrap();
    assert_eq!(sum.waits(at(90)), None);
    assert!(matches!(
        sum.take(&receipt(b"manifest")),
        Err(HandoverError::Settled {
            was: "received",
            ..
        })
    ));
    sum.take(&ask("RQ-1")).unwrap();
    assert_eq!(sum.next_request(), "RQ-2");
    sum.take(&outcome()).unwrap();
    let answer = |request: &str| HandoverAct::Answered {
        at: at(7),
        handover: "HO-2026-0001".to_owned(),
        request: request.to_owned(),
        by: "operator".to_owned(),
        answer: "see HO-2026-0002".to_owned(),
    };
    assert!(matches!(
        sum.take(&answer("RQ-9")),
        Err(HandoverError::NoRequest { .. })
    ));
    sum.take(&answer("RQ-1")).unwrap();
    assert!(sum.wishes[0].answer.is_some());
}

#[test]
fn a_receipt_for_another_manifest_is_none() {
    let mut sum = Handover::of([&offer()]).unwrap();
    let error = sum.take(&receipt(b"other")).unwrap_err();
    assert!(matches!(error, HandoverError::Manifest { .. }));
    assert_eq!(sum.standing, Standing::Offered);
}

#[test]
fn a_signature_stands_for_every_field() {
    let good = offer();
    check(&good).unwrap();
    let json = serde_json::to_value(&good).unwrap();
    for (field, value) in [
        ("handover", "HO-2026-0002"),
        ("case", "CASE-2026-0002"),
        ("referral", "REF-2026-0002"),
        ("from", "other"),
        ("to", "others"),
        ("by", "somebody"),
        ("at", "2026-11-19T10:00:00Z"),
    ] {
        let mut changed = json.clone();
        assert_ne!(changed[field], value, "{field}");
        changed[field] = value.into();
        let act: HandoverAct = serde_json::from_value(changed).unwrap();
        assert!(
            matches!(check(&act), Err(HandoverError::Signature { .. })),
            "{field}"
        );
    }
    let note = note(&good).unwrap();
    assert!(key(1).public().open_note(&note).is_ok());
    assert!(key(2).public().open_note(&note).is_err());
    // On a hub's ledger the organisation stands before the number; the signature still holds.
    let mut moved = json;
    moved["handover"] = "acme/HO-2026-0001".into();
    check(&serde_json::from_value(moved).unwrap()).unwrap();
}

#[test]
fn texts_are_bounded_and_plain() {
    let decline = |reason: &str| HandoverAct::Declined {
        at: at(1),
        handover: "HO-2026-0001".to_owned(),
        by: "officer".to_owned(),
        reason: reason.to_owned(),
    };
    for bad in ["", " \n ", "a\u{1b}[2J", &"x".repeat(TEXT_CHARS_MAX + 1)] {
        assert!(matches!(
            check(&decline(bad)),
            Err(HandoverError::Text { .. })
        ));
    }
    check(&decline("not ours;\nask the county")).unwrap();
    assert!(matches!(
        Handover::of([&decline("x")]),
        Err(HandoverError::NotOffered { .. })
    ));
}

#[test]
fn looks_leave_room_for_the_receipt() {
    let mut sum = Handover::of([&offer()]).unwrap();
    let look = HandoverAct::Looked {
        at: at(1),
        handover: "HO-2026-0001".to_owned(),
        by: "officer".to_owned(),
        what: "package".to_owned(),
    };
    for _ in 0..LOOKS_MAX {
        sum.take(&look).unwrap();
    }
    assert!(matches!(
        sum.take(&look),
        Err(HandoverError::TooManyLooks { .. })
    ));
    sum.take(&receipt(b"manifest")).unwrap();
}
