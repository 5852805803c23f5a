//! The voices on one target, in the order of their organisations' names.
//!
//! A sorted list: most targets have one voice or two, and a tree's node would be room for eleven.

use serde::{Deserialize, Serialize};

use crate::{Org, case::Ballot, limits};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<Ballot>")]
pub(crate) struct Ballots(Vec<Ballot>);

impl From<Vec<Ballot>> for Ballots {
    fn from(mut all: Vec<Ballot>) -> Self {
        all.sort_by(|a, b| a.vote.org.cmp(&b.vote.org));
        all.dedup_by(|a, b| a.vote.org == b.vote.org);
        all.truncate(limits::VOTES_PER_CASE_MAX);
        Self(all)
    }
}

impl Ballots {
    pub(crate) fn get(&self, org: &Org) -> Option<&Ballot> {
        self.place(org).ok().and_then(|at| self.0.get(at))
    }

    pub(crate) fn get_mut(&mut self, org: &Org) -> Option<&mut Ballot> {
        self.place(org).ok().and_then(|at| self.0.get_mut(at))
    }

    pub(crate) fn has(&self, org: &Org) -> bool {
        self.place(org).is_ok()
    }

    /// Only for one that has no voice yet.
    pub(crate) fn insert(&mut self, ballot: Ballot) {
        if let Err(at) = self.place(&ballot.vote.org) {
            // The usual growth would begin with room for four.
            let room = self.0.capacity() - self.0.len();
            self.0
                .reserve_exact(if room == 0 { 1 + self.0.len() } else { 0 });
            self.0.insert(at, ballot);
        }
    }

    pub(crate) fn remove(&mut self, org: &Org) -> bool {
        let found = self.place(org);
        found.map(|at| self.0.remove(at)).is_ok()
    }

    pub(crate) fn retain(&mut self, stays: impl FnMut(&Ballot) -> bool) {
        self.0.retain(stays);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Ballot> {
        self.0.iter()
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    fn place(&self, org: &Org) -> Result<usize, usize> {
        self.0.binary_search_by(|ballot| ballot.vote.org.cmp(org))
    }
}
