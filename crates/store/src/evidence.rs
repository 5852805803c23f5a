//! Reading what concerns cases, exhibits and hand-overs.

use std::collections::BTreeSet;

use model::{
    AlertId, AuthorityAct, CaseAct, Decision, Entry, ExhibitAct, HandoverAct, PersonAct, Prefix,
    Release, limits::BANS_MAX,
};
use rusqlite::{Connection, params, types::Value};

use crate::{
    Store, StoreError,
    convert::{key, sql, unsigned},
    query::payloads,
    store::damaged,
};

/// Networks whose bans are looked for in one question.
const NETWORKS_MAX: usize = 100_000;

impl Store {
    /// The numbers of all cases, in the order in which they were opened.
    pub fn cases(&self) -> Result<Vec<String>, StoreError> {
        let text = "SELECT case_no FROM case_act GROUP BY case_no ORDER BY min(idx)";
        words(&self.db, text)
    }

    /// What was recorded of a case, in order.
    pub fn case_acts(&self, case: &str) -> Result<Vec<(u64, CaseAct)>, StoreError> {
        let text = "SELECT case_act.idx, entry.payload FROM case_act JOIN entry USING (idx)
                    WHERE case_no = ?1 ORDER BY case_act.idx";
        self.acts(text, case, |entry| match entry {
            Entry::Case(act) => Some(act),
            _ => None,
        })
    }

    /// The cases that an alert is in now.
    pub fn cases_of(&self, alert: AlertId) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT case_no FROM case_alert WHERE alert = ?1 ORDER BY case_no")?;
        let rows = statement.query_map([alert.bytes()], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The numbers of all exhibits, in the order in which they were acquired.
    pub fn exhibits(&self) -> Result<Vec<String>, StoreError> {
        let text = "SELECT exhibit FROM exhibit_act GROUP BY exhibit ORDER BY min(idx)";
        words(&self.db, text)
    }

    /// The numbers of the exhibits that were acquired for a case.
    pub fn exhibits_of(&self, case: &str) -> Result<Vec<String>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT exhibit FROM exhibit_act WHERE case_no = ?1 ORDER BY idx")?;
        let rows = statement.query_map([case], |row| row.get(0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// An exhibit's life, in order.
    pub fn exhibit_acts(&self, exhibit: &str) -> Result<Vec<(u64, ExhibitAct)>, StoreError> {
        let text = "SELECT exhibit_act.idx, entry.payload FROM exhibit_act JOIN entry USING (idx)
                    WHERE exhibit = ?1 ORDER BY exhibit_act.idx";
        self.acts(text, exhibit, |entry| match entry {
            Entry::Exhibit(act) => Some(act),
            _ => None,
        })
    }

    /// The numbers of all hand-overs, in the order in which they were offered.
    pub fn handovers(&self) -> Result<Vec<String>, StoreError> {
        let text = "SELECT handover FROM handover_act GROUP BY handover ORDER BY min(idx)";
        words(&self.db, text)
    }

    /// What was recorded of a hand-over, in order.
    pub fn handover_acts(&self, handover: &str) -> Result<Vec<(u64, HandoverAct)>, StoreError> {
        let text = "SELECT handover_act.idx, entry.payload FROM handover_act JOIN entry USING (idx)
                    WHERE handover = ?1 ORDER BY handover_act.idx";
        self.acts(text, handover, handover_act)
    }

    /// The same of all hand-overs that were offered from a case.
    pub fn handover_acts_of_case(&self, case: &str) -> Result<Vec<(u64, HandoverAct)>, StoreError> {
        let text = "SELECT act.idx, entry.payload FROM handover_act AS act JOIN entry USING (idx)
                    WHERE act.handover IN (SELECT handover FROM handover_act WHERE case_no = ?1)
                    ORDER BY act.idx";
        self.acts(text, case, handover_act)
    }

    /// Bans that followed from any of the alerts, among those on the networks and the networks
    /// around them; in order.
    pub fn bans_after(
        &self,
        alerts: &BTreeSet<AlertId>,
        networks: &BTreeSet<Prefix>,
    ) -> Result<Vec<(u64, Decision)>, StoreError> {
        let mut found = BTreeSet::new();
        for network in around(networks) {
            keyed(&self.db, network, &mut found)?;
        }
        let mut bans = self.decisions(&found)?;
        bans.retain(|(_, ban)| ban.alerts.iter().any(|alert| alerts.contains(alert)));
        Ok(bans)
    }

    /// Bans on exactly these networks: those that alerts led to, and the last one of an operator
    /// if it was not released; in order.
    pub fn bans_on(&self, networks: &BTreeSet<Prefix>) -> Result<Vec<(u64, Decision)>, StoreError> {
        let mut found = BTreeSet::new();
        for network in networks.iter().take(NETWORKS_MAX) {
            keyed(&self.db, *network, &mut found)?;
            let mut statement = self
                .db
                .prepare_cached("SELECT idx FROM ban WHERE prefix = ?1")?;
            let mut rows = statement.query([key(*network)])?;
            while let Some(row) = rows.next()? {
                found.insert(unsigned(row.get(0)?));
            }
        }
        self.decisions(&found)
    }

    /// Releases of exactly these networks, in order.
    pub fn releases_of(
        &self,
        networks: &BTreeSet<Prefix>,
    ) -> Result<Vec<(u64, Release)>, StoreError> {
        let text = "SELECT release.idx, entry.payload FROM release JOIN entry USING (idx)
                    WHERE prefix = ?1 ORDER BY release.idx";
        let mut all = Vec::new();
        for network in networks.iter().take(NETWORKS_MAX) {
            let values = [Value::Blob(key(*network))];
            all.extend(payloads(
                &self.db,
                text,
                &values,
                &mut |index, entry| match entry {
                    Entry::Release(release) => Ok((index, release)),
                    _ => Err(damaged(&format!("release {index}"), "it is no release")),
                },
            )?);
        }
        all.sort_by_key(|(index, _)| *index);
        Ok(all)
    }

    fn decisions(&self, indices: &BTreeSet<u64>) -> Result<Vec<(u64, Decision)>, StoreError> {
        let text = "SELECT idx, payload FROM entry WHERE idx = ?1";
        let mut all = Vec::new();
        for index in indices {
            let values = [Value::Integer(sql(*index))];
            all.extend(payloads(
                &self.db,
                text,
                &values,
                &mut |index, entry| match entry {
                    Entry::Decision(decision) => Ok((index, decision)),
                    _ => Err(damaged(&format!("decision {index}"), "it is no decision")),
                },
            )?);
        }
        Ok(all)
    }

    /// All that passed with authorities beside hand-overs: contacts confirmed, transfers agreed
    /// to, orders taken in.
    pub fn authority_acts(&self) -> Result<Vec<(u64, AuthorityAct)>, StoreError> {
        let text = "SELECT authority_act.idx, entry.payload FROM authority_act
                    JOIN entry USING (idx) ORDER BY authority_act.idx";
        payloads(&self.db, text, &[], &mut |index, entry| match entry {
            Entry::Authority(act) => Ok((index, act)),
            _ => Err(damaged(
                &format!("entry {index}"),
                "it is not what its table says",
            )),
        })
    }

    /// Who was enrolled and revoked, in order.
    pub fn person_acts(&self) -> Result<Vec<(u64, PersonAct)>, StoreError> {
        let text = "SELECT person_act.idx, entry.payload FROM person_act
                    JOIN entry USING (idx) ORDER BY person_act.idx";
        payloads(&self.db, text, &[], &mut |index, entry| match entry {
            Entry::Person(act) => Ok((index, act)),
            _ => Err(damaged(
                &format!("entry {index}"),
                "it is not what its table says",
            )),
        })
    }

    fn acts<T>(
        &self,
        text: &str,
        name: &str,
        take: fn(Entry) -> Option<T>,
    ) -> Result<Vec<(u64, T)>, StoreError> {
        let values = [Value::Text(name.to_owned())];
        payloads(&self.db, text, &values, &mut |index, entry| {
            let act = take(entry).ok_or_else(|| {
                damaged(&format!("entry {index}"), "it is not what its table says")
            })?;
            Ok((index, act))
        })
    }
}

fn handover_act(entry: Entry) -> Option<HandoverAct> {
    match entry {
        Entry::Handover(act) => Some(act),
        _ => None,
    }
}

/// The networks and all that contain them, since a ban may be wider than the source that led to
/// it.
fn around(networks: &BTreeSet<Prefix>) -> BTreeSet<Prefix> {
    let wider = |network: &Prefix| {
        let network = *network;
        (0..=network.len()).filter_map(move |len| network.widen(len))
    };
    networks.iter().take(NETWORKS_MAX).flat_map(wider).collect()
}

/// Decisions on a network that alerts led to: their keys name it.
fn keyed(db: &Connection, network: Prefix, found: &mut BTreeSet<u64>) -> Result<(), StoreError> {
    // A semicolon is what comes after a colon.
    let (from, to) = (
        format!("decision:{network}:"),
        format!("decision:{network};"),
    );
    let mut statement =
        db.prepare_cached("SELECT idx FROM entry_key WHERE key >= ?1 AND key < ?2 LIMIT ?3")?;
    let mut rows = statement.query(params![from, to, sql(BANS_MAX as u64)])?;
    while let Some(row) = rows.next()? {
        found.insert(unsigned(row.get(0)?));
    }
    Ok(())
}

fn words(db: &Connection, text: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare_cached(text)?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Entries that stay however old they are: cases, exhibits, hand-overs, dealings with authorities
/// and persons, and the alerts that are in a case with the bans that followed from them.
pub(crate) fn kept(store: &Connection) -> Result<BTreeSet<i64>, StoreError> {
    let mut indices: BTreeSet<i64> = BTreeSet::new();
    let text = "SELECT idx FROM case_act UNION SELECT idx FROM exhibit_act
                UNION SELECT idx FROM handover_act
                UNION SELECT idx FROM authority_act
                UNION SELECT idx FROM person_act";
    let mut statement = store.prepare_cached(text)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        indices.insert(row.get(0)?);
    }
    let mut statement = store.prepare_cached("SELECT DISTINCT alert FROM case_alert")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let id: [u8; 16] = row.get(0)?;
        let id = AlertId::from_bytes(id);
        let text = "SELECT entry_key.idx, payload FROM entry_key JOIN entry USING (idx)
                    WHERE key = ?1";
        let values = [Value::Text(format!("alert:{id}"))];
        for (index, alert) in payloads(store, text, &values, &mut |i, e| Ok((i, e)))? {
            indices.insert(sql(index));
            let Entry::Alert(alert) = alert else { continue };
            let networks = alert
                .address
                .map(Prefix::host)
                .into_iter()
                .chain(alert.range);
            let mut found = BTreeSet::new();
            for network in around(&networks.collect()) {
                keyed(store, network, &mut found)?;
            }
            indices.extend(found.into_iter().map(sql));
        }
    }
    Ok(indices)
}
