//! The live bans of one community, as hub and guards keep them: one row for each prefix and
//! issuer, with the digest of all.

use std::{collections::BTreeMap, sync::Arc};

use model::{Prefix, Tlp};

use crate::{
    Digest, Entry, FleetError, OrgId, Unwanted,
    table::{LabelId, Row, Table},
};

/// Different (issuer, kind, TLP) at a time, and of one issuer.
const LABELS_MAX: usize = 200_000;
const LABELS_PER_ISSUER_MAX: usize = 1_000;

/// An organisation as a number; never given to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct IssuerId(pub(crate) u32);

#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) issuer: IssuerId,
    pub(crate) kind: Arc<str>,
    pub(crate) tlp: Tlp,
    rows: usize,
    /// What a guard's policy says of it, widths apart; `None` while nobody asked.
    pub(crate) verdict: Option<Result<(), Unwanted>>,
}

#[derive(Clone, Debug)]
struct Issuer {
    org: OrgId,
    rows: usize,
    labels: usize,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    table: Table,
    labels: Vec<Label>,
    free: Vec<LabelId>,
    by_name: BTreeMap<(IssuerId, Arc<str>, Tlp), LabelId>,
    issuers: Vec<Issuer>,
    by_org: BTreeMap<OrgId, IssuerId>,
    digest: Digest,
    swept_to: u32,
}

impl Live {
    /// Puts `issuer`'s ban on the prefix in place of its earlier one there, which is returned.
    pub(crate) fn put(
        &mut self,
        prefix: Prefix,
        label: LabelId,
        until: u32,
        state: u8,
    ) -> Option<Row> {
        let was = self
            .label(label)
            .map(|label| label.issuer)
            .and_then(|issuer| self.row(prefix, issuer));
        let row = Row {
            prefix,
            label,
            until,
            state,
        };
        if let Some(was) = was {
            self.count_out(was);
            if was.label != label {
                self.table.remove(prefix, was.label);
            }
        }
        self.table.put(row);
        self.digest.add(self.part(row));
        self.count(label, 1);
        if let Some(was) = was {
            self.free_if_unused(was.label);
        }
        was
    }

    /// Takes `issuer`'s ban from the prefix.
    pub(crate) fn take(&mut self, prefix: Prefix, issuer: IssuerId) -> Option<Row> {
        let row = self.row(prefix, issuer)?;
        self.table.remove(prefix, row.label);
        self.count_out(row);
        self.free_if_unused(row.label);
        Some(row)
    }

    /// Writes another state to a row that is there.
    pub(crate) fn set_state(&mut self, row: Row, state: u8) {
        self.table.put(Row { state, ..row });
    }

    pub(crate) fn set_states(&mut self, change: impl Fn(u8) -> u8 + Copy) {
        self.table.set_states(change);
    }

    /// Takes out what ends at `to` or before. Never goes back.
    pub(crate) fn sweep(&mut self, to: u32, each: &mut dyn FnMut(Row)) {
        if to <= self.swept_to {
            return;
        }
        self.swept_to = to;
        let mut table = std::mem::take(&mut self.table);
        table.sweep(to, &mut |row| {
            self.count_out(row);
            self.free_if_unused(row.label);
            each(row);
        });
        self.table = table;
    }

    pub(crate) fn row(&self, prefix: Prefix, issuer: IssuerId) -> Option<Row> {
        self.table
            .on(prefix)
            .find(|row| self.label(row.label).is_some_and(|l| l.issuer == issuer))
    }

    pub(crate) fn on(&self, prefix: Prefix) -> impl Iterator<Item = Row> + '_ {
        self.table.on(prefix)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row> + '_ {
        self.table.iter()
    }

    pub(crate) fn from(&self, prefix: Prefix, label: LabelId) -> impl Iterator<Item = Row> + '_ {
        self.table.from(prefix, label)
    }

    /// The organisation's number, given at first sight.
    pub(crate) fn issuer(&mut self, org: &OrgId) -> IssuerId {
        if let Some(id) = self.by_org.get(org) {
            return *id;
        }
        let id = IssuerId(u32::try_from(self.issuers.len()).unwrap_or(u32::MAX));
        self.issuers.push(Issuer {
            org: org.clone(),
            rows: 0,
            labels: 0,
        });
        self.by_org.insert(org.clone(), id);
        id
    }

    pub(crate) fn issuer_known(&self, org: &OrgId) -> Option<IssuerId> {
        self.by_org.get(org).copied()
    }

    pub(crate) fn org(&self, issuer: IssuerId) -> Option<&OrgId> {
        let issuer = self.issuers.get(usize::try_from(issuer.0).ok()?);
        issuer.map(|issuer| &issuer.org)
    }

    pub(crate) fn rows_of(&self, issuer: IssuerId) -> usize {
        let at = usize::try_from(issuer.0).unwrap_or(usize::MAX);
        self.issuers.get(at).map_or(0, |issuer| issuer.rows)
    }

    pub(crate) fn intern(
        &mut self,
        issuer: IssuerId,
        kind: &Arc<str>,
        tlp: Tlp,
    ) -> Result<LabelId, FleetError> {
        let name = (issuer, Arc::clone(kind), tlp);
        if let Some(id) = self.by_name.get(&name) {
            return Ok(*id);
        }
        let at = usize::try_from(issuer.0).unwrap_or(usize::MAX);
        let of_issuer = self.issuers.get_mut(at).map(|issuer| &mut issuer.labels);
        let of_issuer = of_issuer.filter(|labels| **labels < LABELS_PER_ISSUER_MAX);
        let Some(of_issuer) = of_issuer else {
            return Err(FleetError::Full {
                what: "kinds of one organisation",
                limit: LABELS_PER_ISSUER_MAX,
            });
        };
        let label = Label {
            issuer,
            kind: Arc::clone(kind),
            tlp,
            rows: 0,
            verdict: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                let place = usize::try_from(id.0).unwrap_or(usize::MAX);
                self.labels
                    .get_mut(place)
                    .into_iter()
                    .for_each(|l| *l = label.clone());
                id
            }
            None if self.labels.len() < LABELS_MAX => {
                self.labels.push(label);
                LabelId(u32::try_from(self.labels.len() - 1).unwrap_or(LabelId::MAX.0))
            }
            None => {
                return Err(FleetError::Full {
                    what: "kinds of all organisations",
                    limit: LABELS_MAX,
                });
            }
        };
        *of_issuer += 1;
        self.by_name.insert(name, id);
        Ok(id)
    }

    pub(crate) fn label(&self, id: LabelId) -> Option<&Label> {
        self.labels.get(usize::try_from(id.0).ok()?)
    }

    pub(crate) fn label_mut(&mut self, id: LabelId) -> Option<&mut Label> {
        self.labels.get_mut(usize::try_from(id.0).ok()?)
    }

    pub(crate) fn forget_verdicts(&mut self) {
        self.labels
            .iter_mut()
            .for_each(|label| label.verdict = None);
    }

    pub(crate) fn entry(&self, row: Row) -> Option<Entry> {
        let label = self.label(row.label)?;
        Some(Entry {
            prefix: row.prefix,
            until: row.until,
            issuer: self.org(label.issuer)?.clone(),
            kind: Arc::clone(&label.kind),
            tlp: label.tlp,
        })
    }

    pub(crate) const fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) const fn swept_to(&self) -> u32 {
        self.swept_to
    }

    fn part(&self, row: Row) -> Digest {
        let label = self.label(row.label);
        let org = label.and_then(|label| self.org(label.issuer));
        match (label, org) {
            (Some(label), Some(org)) => Digest::of_entry(row.prefix, row.until, org, &label.kind),
            _ => Digest::default(),
        }
    }

    fn count_out(&mut self, row: Row) {
        self.digest.subtract(self.part(row));
        self.count(row.label, -1);
    }

    fn count(&mut self, id: LabelId, by: isize) {
        let Some(label) = self.label_mut(id) else {
            return;
        };
        label.rows = label.rows.saturating_add_signed(by);
        let at = usize::try_from(label.issuer.0).unwrap_or(usize::MAX);
        if let Some(issuer) = self.issuers.get_mut(at) {
            issuer.rows = issuer.rows.saturating_add_signed(by);
        }
    }

    /// A label that no row bears any more is given anew; what bears one is put right after.
    fn free_if_unused(&mut self, id: LabelId) {
        let Some(label) = self.label(id).filter(|label| label.rows == 0) else {
            return;
        };
        let name = (label.issuer, Arc::clone(&label.kind), label.tlp);
        let at = usize::try_from(label.issuer.0).unwrap_or(usize::MAX);
        if self.by_name.remove(&name).is_some() {
            self.free.push(id);
            if let Some(issuer) = self.issuers.get_mut(at) {
                issuer.labels = issuer.labels.saturating_sub(1);
            }
        }
    }
}
