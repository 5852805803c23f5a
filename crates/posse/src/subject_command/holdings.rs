//! Of the cases, exhibits and hand-overs that a search came upon: for what they are held, on whose
//! authority, how long, and who has them.

use std::collections::BTreeSet;

use anyhow::Result;
use casework::{Fate, RetentionPolicy, handover::Handover};
use model::Timestamp;
use serde_json::json;
use store::Store;

use super::{Answer, search::Found};
use crate::clock;

/// Told one by one; of the others there are the entries.
const CASES_MAX: usize = 10_000;
const EXHIBITS_MAX: usize = 100_000;

pub(super) struct Scope<'a> {
    pub(super) store: &'a Store,
    pub(super) until: Timestamp,
    pub(super) policy: RetentionPolicy,
}

pub(super) fn tell(scope: &Scope<'_>, found: &Found, answer: &mut Answer<'_>) -> Result<()> {
    for case in found.cases.iter().take(CASES_MAX) {
        case_row(scope, case, answer)?;
    }
    for exhibit in found.exhibits.iter().take(EXHIBITS_MAX) {
        exhibit_row(scope, exhibit, answer)?;
    }
    Ok(())
}

/// Which of the cases are open as of then.
pub(super) fn open_cases(scope: &Scope<'_>, cases: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let mut open = BTreeSet::new();
    for case in cases.iter().take(CASES_MAX) {
        let read = evidence::read_case(scope.store, case, scope.until);
        if read.is_ok_and(|case| case.closed.is_none()) {
            open.insert(case.clone());
        }
    }
    Ok(open)
}

fn case_row(scope: &Scope<'_>, number: &str, answer: &mut Answer<'_>) -> Result<()> {
    // Its opening may be erased or later than the time asked for.
    let case = match evidence::read_case(scope.store, number, scope.until) {
        Ok(case) => case,
        Err(e) => {
            let why = e.to_string();
            let row = json!({ "case": number, "not_read": why });
            return answer.row(&row, &format!("case {number}: {why}"));
        }
    };
    let referred: Vec<String> = case
        .referrals
        .iter()
        .map(|r| {
            format!(
                "{} to {} ({}), {}",
                r.referral, r.authority, r.country, r.at
            )
        })
        .collect();
    let handed = handed_over(scope, number)?;
    let state = if case.closed.is_some() {
        "closed"
    } else {
        "open"
    };
    let row = json!({
        "case": number, "title": case.title, "state": state, "purpose": case.purpose,
        "authority": case.authority, "tlp": case.tlp, "opened": case.opened,
        "referred_to": referred, "handed_over_to": handed, "exhibits": case.exhibits,
    });
    let to: Vec<String> = referred.into_iter().chain(handed).collect();
    let to = if to.is_empty() {
        "nobody".to_owned()
    } else {
        to.join("; ")
    };
    let words = format!(
        "case {number} ({state}): {}; purpose: {}; on the authority of {}; given to: {to}; {} \
         exhibits",
        case.title,
        case.purpose,
        case.authority,
        case.exhibits.len()
    );
    answer.row(&row, &words)
}

fn handed_over(scope: &Scope<'_>, case: &str) -> Result<Vec<String>> {
    let mut acts = scope.store.handover_acts_of_case(case)?;
    acts.retain(|(_, act)| act.at() <= scope.until);
    let numbers: BTreeSet<&str> = acts.iter().map(|(_, act)| act.handover()).collect();
    let told = numbers.into_iter().filter_map(|number| {
        let own = acts
            .iter()
            .map(|(_, act)| act)
            .filter(|act| act.handover() == number);
        let sum = Handover::of(own).ok()?;
        Some(format!("{number} to {}, offered {}", sum.to, sum.offered))
    });
    Ok(told.collect())
}

fn exhibit_row(scope: &Scope<'_>, number: &str, answer: &mut Answer<'_>) -> Result<()> {
    let Some(record) = evidence::exhibit(scope.store, number, scope.until)? else {
        let row = json!({ "exhibit": number, "not_read": "its acquisition is not there" });
        return answer.row(
            &row,
            &format!("exhibit {number}: its acquisition is not there"),
        );
    };
    let a = &record.acquired.what;
    let now = scope.until.min(clock::now());
    let cases: BTreeSet<String> = a.case.iter().cloned().collect();
    let kept = match scope.policy.fate(&record, &open_cases(scope, &cases)?, now) {
        Fate::Gone => "destroyed; its hashes and custody stay".to_owned(),
        Fate::Due { since } => format!("due for destruction since {since}"),
        Fate::KeptUntil(until) => format!("until {until}"),
        Fate::Held(hold) => format!("under hold {hold}"),
        Fate::InCase(case) => format!("as long as {case} is open"),
        Fate::UnknownClass => "without end: its class has no period".to_owned(),
    };
    let looks = record.sum().looks;
    let row = json!({
        "exhibit": number, "title": a.title, "case": a.case, "acquired": a.at,
        "authority": a.authority, "reason": a.reason, "class": a.class, "tlp": a.tlp,
        "bytes": a.bytes, "sha256": a.sha256, "kept": kept, "looks": looks,
    });
    let words = format!(
        "exhibit {number}: {}; taken {} on the authority of {}; class {}, kept {kept}; {looks} \
         looks",
        a.title, a.at, a.authority, a.class
    );
    answer.row(&row, &words)
}
