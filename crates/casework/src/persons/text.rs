//! The texts that persons sign: one line for what it is, one for the ledger, one for each field.
//!
//! A field's value is a JSON string, so that nothing in it can pass for another field. The first
//! line is of no other text that anybody signs with any key of ours.

use std::fmt::Write as _;

use model::{AuthorityAct, ExhibitAct, PersonAct, PersonSignature, Timestamp, Wish};

use super::Signer;

const DOMAIN: &str = "posse two-person act v1";

/// What somebody is said to have signed.
pub(crate) struct Statement<'a> {
    pub(crate) text: String,
    pub(crate) by: &'a str,
    pub(crate) signed: Option<&'a PersonSignature>,
}

impl<'a> Statement<'a> {
    fn new(
        (origin, at): (&str, Timestamp),
        fields: &[(&str, &str)],
        by: &'a str,
        signed: Option<&'a PersonSignature>,
    ) -> Self {
        let mut text = format!("{DOMAIN}\n");
        let mut line = |name: &str, value: &str| {
            // Writing into a string does not fail.
            let _ = writeln!(text, "{name} {}", serde_json::Value::from(value));
        };
        line("log", origin);
        for (name, value) in fields {
            line(name, value);
        }
        line("by", by);
        line("at", &at.to_string());
        Self { text, by, signed }
    }
}

/// `None` for what one person may do.
pub(crate) fn of_exhibit_act<'a>(origin: &str, act: &'a ExhibitAct) -> Option<Statement<'a>> {
    let head = (origin, act.at());
    let wished = |wish: &Wish| match wish {
        Wish::ReleaseHold { hold } => ("release", hold.clone()),
        Wish::Purge => ("purge", String::new()),
    };
    Some(match act {
        ExhibitAct::Asked {
            request,
            exhibit,
            wish,
            by,
            reason,
            signed,
            ..
        } => {
            let (what, hold) = wished(wish);
            let fields = [
                ("act", "asked"),
                ("exhibit", exhibit.as_str()),
                ("request", request),
                ("wish", what),
                ("hold", &hold),
                ("reason", reason),
            ];
            Statement::new(head, &fields, by, signed.as_ref())
        }
        ExhibitAct::Agreed {
            request,
            exhibit,
            wish,
            by,
            signed,
            ..
        } => {
            let (what, hold) = wished(wish);
            let fields = [
                ("act", "agreed"),
                ("exhibit", exhibit.as_str()),
                ("request", request),
                ("wish", what),
                ("hold", &hold),
            ];
            Statement::new(head, &fields, by, signed.as_ref())
        }
        ExhibitAct::Declined {
            request,
            exhibit,
            by,
            reason,
            signed,
            ..
        } => {
            let fields = [
                ("act", "declined"),
                ("exhibit", exhibit.as_str()),
                ("request", request),
                ("reason", reason),
            ];
            Statement::new(head, &fields, by, signed.as_ref())
        }
        ExhibitAct::Acquired(_)
        | ExhibitAct::Looked { .. }
        | ExhibitAct::Held { .. }
        | ExhibitAct::Purged { .. }
        | ExhibitAct::FixityChecked { .. } => return None,
    })
}

/// `None` for what one person may do.
pub(crate) fn of_authority_act<'a>(origin: &str, act: &'a AuthorityAct) -> Option<Statement<'a>> {
    let head = (origin, act.at());
    Some(match act {
        AuthorityAct::ContactConfirmed {
            country,
            field,
            value,
            by,
            source,
            signed,
            ..
        } => {
            let fields = [
                ("act", "contact confirmed"),
                ("country", country.as_str()),
                ("field", field),
                ("value", value),
                ("source", source),
            ];
            Statement::new(head, &fields, by, signed.as_ref())
        }
        AuthorityAct::TransferAgreed {
            case,
            country,
            by,
            reason,
            signed,
            ..
        } => {
            let fields = [
                ("act", "transfer agreed"),
                ("case", case.as_str()),
                ("country", country),
                ("reason", reason),
            ];
            Statement::new(head, &fields, by, signed.as_ref())
        }
        AuthorityAct::OrderTaken(_) | AuthorityAct::OrderStep { .. } => return None,
    })
}

pub(super) fn of_person_act<'a>(origin: &str, act: &'a PersonAct) -> Statement<'a> {
    let head = (origin, act.at());
    match act {
        PersonAct::Enrolled {
            name,
            key,
            by,
            signed,
            ..
        } => {
            let fields = [("act", "enrolled"), ("name", name.as_str()), ("key", key)];
            Statement::new(head, &fields, by, signed.as_ref())
        }
        PersonAct::Revoked {
            name,
            key,
            by,
            reason,
            signed,
            ..
        } => {
            let fields = [
                ("act", "revoked"),
                ("name", name.as_str()),
                ("key", key),
                ("reason", reason),
            ];
            Statement::new(head, &fields, by, signed.as_ref())
        }
    }
}

/// Puts the signer's name and signature into an act that takes two; leaves others as they are.
pub fn sign_exhibit_act(act: &mut ExhibitAct, origin: &str, signer: &Signer) {
    if let ExhibitAct::Asked { by, .. }
    | ExhibitAct::Agreed { by, .. }
    | ExhibitAct::Declined { by, .. } = act
    {
        signer.name().clone_into(by);
    }
    let signature = of_exhibit_act(origin, act).map(|statement| signer.sign(&statement.text));
    if let ExhibitAct::Asked { signed, .. }
    | ExhibitAct::Agreed { signed, .. }
    | ExhibitAct::Declined { signed, .. } = act
    {
        *signed = signature;
    }
}

/// The same of contacts and transfers.
pub fn sign_authority_act(act: &mut AuthorityAct, origin: &str, signer: &Signer) {
    if let AuthorityAct::ContactConfirmed { by, .. } | AuthorityAct::TransferAgreed { by, .. } = act
    {
        signer.name().clone_into(by);
    }
    let signature = of_authority_act(origin, act).map(|statement| signer.sign(&statement.text));
    if let AuthorityAct::ContactConfirmed { signed, .. }
    | AuthorityAct::TransferAgreed { signed, .. } = act
    {
        *signed = signature;
    }
}

/// The same of enrolments and revocations.
pub fn sign_person_act(act: &mut PersonAct, origin: &str, signer: &Signer) {
    let (PersonAct::Enrolled { by, .. } | PersonAct::Revoked { by, .. }) = act;
    signer.name().clone_into(by);
    let signature = signer.sign(&of_person_act(origin, act).text);
    let (PersonAct::Enrolled { signed, .. } | PersonAct::Revoked { signed, .. }) = act;
    *signed = Some(signature);
}
