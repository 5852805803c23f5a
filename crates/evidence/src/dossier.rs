//! A case with all that the ledger holds of it.

use std::{collections::BTreeSet, sync::Arc};

use casework::{Case, Custody, CustodyStep, Dossier, ExhibitRecord, Indexed, persons::Persons};
use model::{Alert, AlertId, ExhibitAct, Prefix, Timestamp};
use store::Store;

use crate::EvidenceError;

/// The case as it was at `now`: nothing that happened later is in it.
pub fn dossier(store: &Store, case: &str, now: Timestamp) -> Result<Dossier, EvidenceError> {
    let case = read_case(store, case, now)?;
    let alerts = alerts(store, &case.alerts)?;
    let ids: BTreeSet<AlertId> = case.alerts.iter().copied().collect();
    let bans = in_time(
        {
            let mut bans = store.bans_after(&ids, &networks(&alerts))?;
            bans.extend(store.bans_on(&measured(&case))?);
            bans.sort_by_key(|(index, _)| *index);
            bans.dedup_by_key(|(index, _)| *index);
            bans
        },
        now,
        |ban| ban.from,
    );
    let banned: BTreeSet<Prefix> = bans.iter().map(|ban| ban.what.prefix).collect();
    let releases = in_time(store.releases_of(&banned)?, now, |release| release.at);
    let exhibits = exhibits(store, &case, now)?;
    let handovers = in_time(store.handover_acts_of_case(&case.id)?, now, |act| act.at());
    Ok(Dossier {
        case,
        now,
        holder: holder(store),
        alerts,
        bans,
        releases,
        exhibits,
        handovers,
    })
}

/// The case alone.
pub fn read_case(store: &Store, case: &str, now: Timestamp) -> Result<Case, EvidenceError> {
    let missing = || EvidenceError::NoSuchCase {
        case: case.to_owned(),
    };
    let acts = store.case_acts(case)?;
    let mut acts = acts.iter().filter(|(_, act)| act.at <= now);
    let (index, opening) = acts.next().ok_or_else(missing)?;
    let mut sum = Case::open(*index, opening)?;
    for (index, act) in acts {
        sum.take(*index, act)?;
    }
    Ok(sum)
}

/// One exhibit as it was at `now`; `None` when the ledger does not know it.
pub fn exhibit(
    store: &Store,
    exhibit: &str,
    now: Timestamp,
) -> Result<Option<ExhibitRecord>, EvidenceError> {
    let custody = in_time(store.exhibit_acts(exhibit)?, now, ExhibitAct::at);
    let Some(Indexed {
        index,
        what: ExhibitAct::Acquired(acquisition),
    }) = custody.first()
    else {
        return Ok(None);
    };
    let acquired = Indexed {
        index: *index,
        what: (**acquisition).clone(),
    };
    // Nobody's signature stands anywhere else.
    let takes_two = |step: &CustodyStep| {
        matches!(
            step.what,
            ExhibitAct::Asked { .. } | ExhibitAct::Agreed { .. } | ExhibitAct::Declined { .. }
        )
    };
    let persons = if custody.iter().any(takes_two) {
        Arc::new(persons(store)?)
    } else {
        Arc::default()
    };
    let purged = Custody::of(&custody, &persons).purged.is_some();
    Ok(Some(ExhibitRecord {
        acquired,
        custody,
        purged,
        persons,
    }))
}

/// Everybody who was ever enrolled on the ledger.
pub fn persons(store: &Store) -> Result<Persons, EvidenceError> {
    let acts = store.person_acts()?.into_iter();
    let acts: Vec<_> = acts.map(|(index, what)| Indexed { index, what }).collect();
    Ok(Persons::of(&holder(store), &acts))
}

fn exhibits(
    store: &Store,
    case: &Case,
    now: Timestamp,
) -> Result<Vec<ExhibitRecord>, EvidenceError> {
    let mut numbers: BTreeSet<String> = store.exhibits_of(&case.id)?.into_iter().collect();
    numbers.extend(case.exhibits.iter().cloned());
    let mut all = Vec::new();
    for number in numbers {
        all.extend(exhibit(store, &number, now)?);
    }
    all.sort_by_key(|exhibit| exhibit.acquired.index);
    Ok(all)
}

/// Those that the ledger still has, in its order.
fn alerts(store: &Store, ids: &[AlertId]) -> Result<Vec<Indexed<Alert>>, EvidenceError> {
    let mut all = Vec::new();
    for id in ids {
        all.extend(store.alert(*id)?.map(|recorded| Indexed {
            index: recorded.index,
            what: recorded.alert,
        }));
    }
    all.sort_by_key(|alert| alert.index);
    Ok(all)
}

fn networks(alerts: &[Indexed<Alert>]) -> BTreeSet<Prefix> {
    let of = |alert: &Indexed<Alert>| {
        let address = alert.what.address.map(Prefix::host);
        address.into_iter().chain(alert.what.range)
    };
    alerts.iter().flat_map(of).collect()
}

fn measured(case: &Case) -> BTreeSet<Prefix> {
    let measures = case.measures.iter();
    measures
        .flat_map(|measure| measure.prefixes.iter().copied())
        .collect()
}

fn in_time<T>(all: Vec<(u64, T)>, now: Timestamp, at: impl Fn(&T) -> Timestamp) -> Vec<Indexed<T>> {
    let mut all: Vec<Indexed<T>> = all
        .into_iter()
        .filter(|(_, what)| at(what) <= now)
        .map(|(index, what)| Indexed { index, what })
        .collect();
    all.sort_by_key(|one| one.index);
    all
}

/// The log's name, which stands before the first plus of its key (C2SP signed-note).
fn holder(store: &Store) -> String {
    let key = store.vkey();
    key.split('+').next().unwrap_or_default().to_owned()
}
