use super::*;

const LOG: &str = "log.example/1";

fn person(name: &str, seed: u8) -> Signer {
    Signer::from_seed(name, &[seed; 32]).unwrap()
}

fn at() -> Timestamp {
    Timestamp::from_seconds(1_000)
}

fn enrol(who: &Signer, by: Option<&Signer>) -> PersonAct {
    let mut act = PersonAct::Enrolled {
        at: at(),
        name: who.name().to_owned(),
        key: who.key().to_string(),
        by: "root".to_owned(),
        signed: None,
    };
    if let Some(by) = by {
        sign_person_act(&mut act, LOG, by);
    }
    act
}

fn revoke(who: &Signer, by: &Signer) -> PersonAct {
    let mut act = PersonAct::Revoked {
        at: at(),
        name: who.name().to_owned(),
        key: who.key().to_string(),
        by: String::new(),
        reason: "left".to_owned(),
        signed: None,
    };
    sign_person_act(&mut act, LOG, by);
    act
}

fn of(acts: &[PersonAct]) -> Persons {
    let acts: Vec<_> = (0..)
        .zip(acts)
        .map(|(index, act)| Indexed {
            index,
            what: act.clone(),
        })
        .collect();
    Persons::of(LOG, &acts)
}

fn names(persons: &Persons) -> Vec<&str> {
    persons.enrolled().map(|p| p.name.as_str()).collect()
}

#[test]
fn the_first_stands_alone_the_second_needs_one_word_and_the_third_two() {
    let [a, b, c] = [person("ada", 1), person("grace", 2), person("mary", 3)];
    let mut acts = vec![enrol(&a, None)];
    assert_eq!(names(&of(&acts)), ["ada"]);
    // Without a word, with one's own, and by a stranger's.
    for bad in [enrol(&b, None), enrol(&b, Some(&b)), enrol(&b, Some(&c))] {
        assert!(of(&acts).check(&bad).is_err());
        assert_eq!(names(&of(&[&acts[..], &[bad]].concat())), ["ada"]);
    }
    acts.push(enrol(&b, Some(&a)));
    assert_eq!(names(&of(&acts)), ["ada", "grace"]);
    acts.push(enrol(&c, Some(&a)));
    assert_eq!(names(&of(&acts)), ["ada", "grace"]);
    let again = of(&acts).check(&enrol(&c, Some(&a)));
    assert!(matches!(again, Err(PersonError::SameWord { .. })));
    // Who waits vouches for nobody, not even for themselves.
    let own = of(&acts).check(&enrol(&c, Some(&c)));
    assert!(matches!(own, Err(PersonError::NotEnrolled { .. })));
    acts.push(enrol(&c, Some(&b)));
    assert_eq!(names(&of(&acts)), ["ada", "grace", "mary"]);
}

#[test]
fn one_key_is_one_person_and_one_name_too() {
    let [a, b] = [person("ada", 1), person("grace", 2)];
    let acts = [enrol(&a, None), enrol(&b, Some(&a))];
    let refusal = |act: PersonAct| of(&acts).check(&act).unwrap_err();
    let alias = person("alias", 2);
    assert!(matches!(
        refusal(enrol(&alias, Some(&a))),
        PersonError::KeyTaken { .. }
    ));
    let second = person(" GRACE", 4);
    assert!(matches!(
        refusal(enrol(&second, Some(&a))),
        PersonError::NameTaken { .. }
    ));
    assert!(matches!(
        refusal(enrol(&b, Some(&a))),
        PersonError::Enrolled { .. }
    ));
    let mut elsewhere = enrol(&person("mary", 5), None);
    sign_person_act(&mut elsewhere, "other.example/1", &a);
    assert!(matches!(refusal(elsewhere), PersonError::Signature { .. }));
}

#[test]
fn of_three_nobody_changes_alone_who_is_enrolled() {
    let [a, b, c] = [person("ada", 1), person("grace", 2), person("mary", 3)];
    let mut acts = vec![
        enrol(&a, None),
        enrol(&b, Some(&a)),
        enrol(&c, Some(&a)),
        enrol(&c, Some(&b)),
    ];
    acts.push(revoke(&c, &a));
    assert_eq!(names(&of(&acts)).len(), 3);
    let again = of(&acts).check(&revoke(&c, &a));
    assert!(matches!(again, Err(PersonError::SameWord { .. })));
    acts.push(revoke(&c, &b));
    assert_eq!(names(&of(&acts)), ["ada", "grace"]);
    // Its key is nobody's any more, and its name is free for a new one.
    assert!(matches!(
        of(&acts).check(&enrol(&c, Some(&a))),
        Err(PersonError::KeyTaken { .. })
    ));
    let anew = person("mary", 9);
    acts.extend([enrol(&anew, Some(&a)), enrol(&anew, Some(&b))]);
    assert_eq!(names(&of(&acts)), ["ada", "grace", "mary"]);
}

#[test]
fn a_person_gives_up_their_own_key_alone_but_not_the_last_one() {
    let [a, b] = [person("ada", 1), person("grace", 2)];
    let mut acts = vec![enrol(&a, None), enrol(&b, Some(&a))];
    acts.push(revoke(&b, &b));
    assert_eq!(names(&of(&acts)), ["ada"]);
    assert!(matches!(
        of(&acts).check(&revoke(&a, &a)),
        Err(PersonError::Last { .. })
    ));
    // The word of one who was revoked is none.
    let c = person("mary", 3);
    assert!(matches!(
        of(&acts).check(&enrol(&c, Some(&b))),
        Err(PersonError::Revoked { .. })
    ));
}

#[test]
fn words_of_those_who_were_revoked_since_do_not_count() {
    let [a, b, c, d] = [
        person("ada", 1),
        person("grace", 2),
        person("mary", 3),
        person("joan", 4),
    ];
    let mut acts = vec![
        enrol(&a, None),
        enrol(&b, Some(&a)),
        enrol(&c, Some(&a)),
        enrol(&c, Some(&b)),
        enrol(&d, Some(&c)),
        revoke(&c, &c),
    ];
    acts.push(enrol(&d, Some(&a)));
    assert_eq!(names(&of(&acts)), ["ada", "grace"]);
    acts.push(enrol(&d, Some(&b)));
    assert_eq!(names(&of(&acts)), ["ada", "grace", "joan"]);
}

#[test]
fn keys_and_names_are_read_strictly() {
    let key = person("ada", 1).key();
    assert_eq!(PersonKey::parse(&key.to_string()), Ok(key));
    let text = key.to_string();
    let upper = text.to_uppercase();
    let no_prefix = text.strip_prefix(KEY_PREFIX).unwrap();
    let longer = format!("{text}00");
    for bad in [
        upper.as_str(),
        no_prefix,
        &longer,
        &text[..76],
        "posse-person-é",
        "",
    ] {
        assert!(PersonKey::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(key.fingerprint().len(), 39);
    for bad in ["", "  ", "two\nlines", &"x".repeat(201)] {
        assert!(Signer::from_seed(bad, &[1; 32]).is_none());
    }
    assert!(!format!("{:?}", person("ada", 1)).contains("0101"));
}

#[test]
fn contacts_and_transfers_count_when_an_enrolled_person_signed_them() {
    let [a, b, c] = [person("ada", 1), person("grace", 2), person("mary", 3)];
    let persons = of(&[enrol(&a, None), enrol(&b, Some(&a))]);
    let transfer = |by: Option<&Signer>| {
        let mut act = AuthorityAct::TransferAgreed {
            at: at(),
            case: "CASE-1".to_owned(),
            country: "KP".to_owned(),
            by: "grace".to_owned(),
            reason: "r".to_owned(),
            signed: None,
        };
        if let Some(by) = by {
            sign_authority_act(&mut act, LOG, by);
        }
        act
    };
    let counts = |index: u64, act: AuthorityAct| persons.weighed(vec![(index, act)]).len();
    assert_eq!(counts(5, transfer(Some(&b))), 1);
    assert_eq!(counts(5, transfer(None)), 0);
    assert_eq!(counts(5, transfer(Some(&c))), 0);
    // Before its enrolment a key is nobody's.
    assert_eq!(counts(1, transfer(Some(&b))), 0);
    let mut other = transfer(Some(&b));
    if let AuthorityAct::TransferAgreed { country, .. } = &mut other {
        "IR".clone_into(country);
    }
    assert_eq!(counts(5, other), 0);
    let step = AuthorityAct::OrderStep {
        at: at(),
        order: "IN-1".to_owned(),
        by: "x".to_owned(),
        step: model::OrderStep::Answered,
        note: String::new(),
    };
    assert_eq!(counts(5, step), 1);
}

#[test]
fn fields_cannot_pass_for_one_another() {
    let text = |name: &str, key: &str| {
        let act = PersonAct::Enrolled {
            at: at(),
            name: name.to_owned(),
            key: key.to_owned(),
            by: "b".to_owned(),
            signed: None,
        };
        text::of_person_act(LOG, &act).text
    };
    assert_ne!(text("a\"\nkey \"b", "c"), text("a", "b\"\nkey \"c"));
    assert_eq!(
        text("a\nb", "k"),
        "posse two-person act v1\nlog \"log.example/1\"\nact \"enrolled\"\nname \"a\\nb\"\n\
         key \"k\"\nby \"b\"\nat \"1970-01-01T00:16:40Z\"\n"
    );
}
