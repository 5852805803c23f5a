//! From entries to tables. A table holds nothing that its entries do not say, so that it can be
//! thrown away; whatever is added here must hold when entries come again in the same order.

use model::{
    AlertId, Author, AuthorityAct, CaseAct, CaseStep, Decision, Entry, ExhibitAct, HandoverAct,
    KnownBan, Release,
};
use rusqlite::{Connection, params};

use crate::{
    StoreError,
    convert::{key, sql},
    schema::PROJECTIONS,
};

/// Takes one entry up. The caller runs it in the transaction that appends the entry.
pub(crate) fn apply(db: &Connection, index: u64, entry: &Entry) -> Result<(), StoreError> {
    if let Some(key) = entry.key() {
        db.prepare_cached("INSERT INTO entry_key (key, idx) VALUES (?1, ?2)")?
            .execute(params![key, sql(index)])?;
    }
    db.prepare_cached(
        "INSERT INTO kind_count (kind, entries) VALUES (?1, 1)
         ON CONFLICT (kind) DO UPDATE SET entries = entries + 1",
    )?
    .execute([entry.kind()])?;
    match entry {
        Entry::Alert(a) => {
            db.prepare_cached(
                "INSERT INTO alert (idx, rule, value, last) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![sql(index), a.rule, a.value, a.last.nanos()])?;
        }
        Entry::Decision(d) => decision(db, index, d)?,
        Entry::Loss(l) => {
            db.prepare_cached("INSERT INTO loss (idx, entries) VALUES (?1, ?2)")?
                .execute(params![sql(index), sql(l.entries_lost)])?;
        }
        Entry::Refusal(r) => {
            db.prepare_cached("INSERT INTO refusal (idx, at, prefix) VALUES (?1, ?2, ?3)")?
                .execute(params![
                    sql(index),
                    r.at.nanos(),
                    r.prefix.map(|p| p.to_string())
                ])?;
        }
        Entry::Release(r) => release(db, index, r)?,
        Entry::Authority(a) => authority(db, index, a)?,
        Entry::Case(c) => case(db, index, c)?,
        Entry::Exhibit(e) => exhibit(db, index, e)?,
        Entry::Handover(h) => handover(db, index, h)?,
        Entry::Person(_) => {
            db.prepare_cached("INSERT INTO person_act (idx) VALUES (?1)")?
                .execute([sql(index)])?;
        }
        Entry::Command(_)
        | Entry::Fleet(_)
        | Entry::Notice(_)
        | Entry::Start(_)
        | Entry::Stop(_) => {}
    }
    Ok(())
}

fn authority(db: &Connection, index: u64, act: &AuthorityAct) -> Result<(), StoreError> {
    let subject = match act {
        AuthorityAct::ContactConfirmed { .. } => "contact",
        AuthorityAct::TransferAgreed { case, .. } => case,
        AuthorityAct::OrderTaken(taken) => &taken.order,
        AuthorityAct::OrderStep { order, .. } => order,
    };
    db.prepare_cached("INSERT INTO authority_act (idx, subject) VALUES (?1, ?2)")?
        .execute(params![sql(index), subject])?;
    Ok(())
}

fn decision(db: &Connection, index: u64, d: &Decision) -> Result<(), StoreError> {
    let known = KnownBan::from(d);
    // A later decision on the same prefix replaces an earlier one.
    db.prepare_cached(
        "INSERT OR REPLACE INTO ban (prefix, idx, begun, until, by, alert, sources, repeat)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        key(d.prefix),
        sql(index),
        known.from.nanos(),
        known.until.nanos(),
        author(known.by),
        known.alert.map(|id| *id.bytes()),
        known.sources,
        known.repeat,
    ])?;
    db.prepare_cached(
        "INSERT INTO offender (prefix, bans, last) VALUES (?1, 1, ?2)
         ON CONFLICT (prefix) DO UPDATE SET bans = bans + 1, last = max(last, excluded.last)",
    )?
    .execute(params![d.prefix.to_string(), d.from.nanos()])?;
    Ok(())
}

fn release(db: &Connection, index: u64, r: &Release) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM ban WHERE prefix = ?1")?
        .execute([key(r.prefix)])?;
    db.prepare_cached("INSERT INTO release (idx, prefix) VALUES (?1, ?2)")?
        .execute(params![sql(index), key(r.prefix)])?;
    Ok(())
}

fn case(db: &Connection, index: u64, act: &CaseAct) -> Result<(), StoreError> {
    db.prepare_cached("INSERT INTO case_act (idx, case_no) VALUES (?1, ?2)")?
        .execute(params![sql(index), act.case])?;
    let each = |text: &str, alerts: &[AlertId]| -> Result<(), StoreError> {
        let mut statement = db.prepare_cached(text)?;
        for alert in alerts {
            statement.execute(params![act.case, alert.bytes()])?;
        }
        Ok(())
    };
    match &act.step {
        CaseStep::AlertsAdded { alerts, .. } => each(
            "INSERT OR IGNORE INTO case_alert (case_no, alert) VALUES (?1, ?2)",
            alerts,
        ),
        CaseStep::AlertsTaken { alerts, .. } => each(
            "DELETE FROM case_alert WHERE case_no = ?1 AND alert = ?2",
            alerts,
        ),
        _ => Ok(()),
    }
}

fn exhibit(db: &Connection, index: u64, act: &ExhibitAct) -> Result<(), StoreError> {
    let case = match act {
        ExhibitAct::Acquired(acquisition) => acquisition.case.as_deref(),
        _ => None,
    };
    db.prepare_cached("INSERT INTO exhibit_act (idx, exhibit, case_no) VALUES (?1, ?2, ?3)")?
        .execute(params![sql(index), act.exhibit(), case])?;
    Ok(())
}

fn handover(db: &Connection, index: u64, act: &HandoverAct) -> Result<(), StoreError> {
    let case = match act {
        HandoverAct::Offered { case, .. } => Some(case.as_str()),
        _ => None,
    };
    db.prepare_cached("INSERT INTO handover_act (idx, handover, case_no) VALUES (?1, ?2, ?3)")?
        .execute(params![sql(index), act.handover(), case])?;
    Ok(())
}

pub(crate) const fn author(by: Author) -> i64 {
    match by {
        Author::Guard => 0,
        Author::Operator => 1,
    }
}

/// Empties every projection.
pub(crate) fn clear(db: &Connection) -> Result<(), StoreError> {
    for (table, _) in PROJECTIONS {
        db.execute(&format!("DELETE FROM {table}"), [])?;
    }
    Ok(())
}
