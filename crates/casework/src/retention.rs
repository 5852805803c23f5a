//! How long exhibits are kept: a period for each class, and what outweighs it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use model::Timestamp;

use crate::ExhibitRecord;

const DAY: Duration = Duration::from_secs(86_400);
/// The classes there are when nobody says otherwise, with days.
const CLASSES: [(&str, u32); 4] = [
    // What a case stands on: the usual time for the law to act.
    ("evidence", 5 * 365),
    // Raw lines that no case needs.
    ("log", 90),
    // What tells of persons beyond what the case needs.
    ("personal", 30),
    // What detection went by; tells of nobody.
    ("rules", 5 * 365),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionPolicy {
    periods: BTreeMap<String, Duration>,
}

impl Default for RetentionPolicy {
    fn default() -> Self {
        let periods = CLASSES.map(|(class, days)| (class.to_owned(), DAY * days));
        Self {
            periods: periods.into(),
        }
    }
}

/// What policy makes of an exhibit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was destroyed before.
    Gone,
    /// Its time is over.
    Due {
        since: Timestamp,
    },
    KeptUntil(Timestamp),
    /// Under this hold.
    Held(String),
    /// In this case, which is open.
    InCase(String),
    /// Nobody said how long its class is kept, so it is not destroyed.
    UnknownClass,
}

impl RetentionPolicy {
    /// The usual classes, with `periods` in their place or beside them.
    pub fn with(periods: BTreeMap<String, Duration>) -> Self {
        let mut policy = Self::default();
        policy.periods.extend(periods);
        policy
    }

    pub fn knows(&self, class: &str) -> bool {
        self.periods.contains_key(class)
    }

    pub fn classes(&self) -> impl Iterator<Item = (&str, Duration)> {
        self.periods
            .iter()
            .map(|(class, period)| (class.as_str(), *period))
    }

    /// `open_cases` are those that have the exhibit.
    pub fn fate(
        &self,
        exhibit: &ExhibitRecord,
        open_cases: &BTreeSet<String>,
        now: Timestamp,
    ) -> Fate {
        let custody = exhibit.sum();
        if custody.purged.is_some() {
            return Fate::Gone;
        }
        let acquired = &exhibit.acquired.what;
        let Some(period) = self.periods.get(&acquired.class) else {
            return Fate::UnknownClass;
        };
        let end = acquired.at.plus(*period);
        if end > now {
            return Fate::KeptUntil(end);
        }
        match (custody.hold_in_force(now), open_cases.first()) {
            (Some(hold), _) => Fate::Held(hold.to_owned()),
            (None, Some(case)) => Fate::InCase(case.clone()),
            (None, None) => Fate::Due { since: end },
        }
    }
}
