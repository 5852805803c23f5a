//! What was refused, each thing once: a member that sends the same nonsense a thousand times
//! makes one entry on the ledger, and the rest is counted.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use fleet::{Moment, Refused};
use model::{FleetAct, Prefix, Timestamp};

/// Different refusals remembered.
const KNOWN_MAX: usize = 20_000;
/// Entries for the ledger in one minute; what is beyond becomes one entry that counts.
const ENTRIES_PER_MINUTE: u32 = 60;
/// Prefixes that such an entry names.
const PREFIXES_MAX: usize = 100;
const MINUTE: Duration = Duration::from_secs(60);

/// One thing that was not done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refusal {
    /// Organisation or key, as far as it is known.
    pub(crate) who: String,
    pub(crate) prefix: Option<Prefix>,
    pub(crate) reason: String,
}

impl Refusal {
    pub(crate) fn of(refused: Refused) -> Self {
        match refused {
            Refused::Unwanted {
                prefix,
                issuer,
                kind,
                why,
            } => Self {
                who: issuer.to_string(),
                prefix: Some(prefix),
                reason: format!("policy: {why} ({kind})"),
            },
            Refused::Statement { key, why } => Self {
                who: key.map_or_else(|| "unknown".to_owned(), |key| format!("key {key}")),
                prefix: None,
                reason: format!("statement: {why}"),
            },
            Refused::Roster { why } => Self {
                who: "hub".to_owned(),
                prefix: None,
                reason: format!("roster: {why}"),
            },
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Refusals {
    known: BTreeSet<Refusal>,
    total: u64,
    window: Option<Moment>,
    in_window: u32,
    /// By who and reason, with some of the prefixes.
    unsaid: BTreeMap<(String, String), (u64, Vec<Prefix>)>,
}

impl Refusals {
    /// Everything that was refused since the start, said or not.
    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The entry for the ledger, if this is news.
    pub(crate) fn note(
        &mut self,
        community: &str,
        refusal: Refusal,
        now: Moment,
        at: Timestamp,
    ) -> Option<FleetAct> {
        self.total = self.total.saturating_add(1);
        if self.known.contains(&refusal) {
            return None;
        }
        self.open_window(now);
        if self.in_window < ENTRIES_PER_MINUTE && self.known.len() < KNOWN_MAX {
            self.in_window += 1;
            self.known.insert(refusal.clone());
            return Some(entry(community, refusal, at));
        }
        let key = (refusal.who, refusal.reason);
        if self.unsaid.len() < PREFIXES_MAX || self.unsaid.contains_key(&key) {
            let (count, prefixes) = self.unsaid.entry(key).or_default();
            *count += 1;
            if prefixes.len() < PREFIXES_MAX {
                prefixes.extend(refusal.prefix);
            }
        }
        None
    }

    /// Once a minute: what there was no room for, summed up.
    pub(crate) fn sum_up(&mut self, community: &str, now: Moment, at: Timestamp) -> Vec<FleetAct> {
        let is_over = self.window.is_some_and(|since| now.since(since) >= MINUTE);
        if !is_over {
            return Vec::new();
        }
        self.window = None;
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        std::mem::take(&mut self.unsaid)
            .into_iter()
            .map(
                |((organisation, reason), (times, prefixes))| FleetAct::RequestRefused {
                    at,
                    organisation,
                    name: community.to_owned(),
                    what: "bans of the community".to_owned(),
                    reason,
                    prefixes,
                    times,
                },
            )
            .collect()
    }

    fn open_window(&mut self, now: Moment) {
        if self.window.is_none_or(|since| now.since(since) >= MINUTE) {
            self.window = Some(now);
            self.in_window = 0;
        }
    }
}

fn entry(community: &str, refusal: Refusal, at: Timestamp) -> FleetAct {
    FleetAct::RequestRefused {
        at,
        organisation: refusal.who,
        name: community.to_owned(),
        what: "a ban of the community".to_owned(),
        reason: refusal.reason,
        prefixes: refusal.prefix.into_iter().collect(),
        times: 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(n: u32) -> Refusal {
        Refusal {
            who: "acme".into(),
            prefix: Some(Prefix::host(std::net::Ipv4Addr::from_bits(n).into())),
            reason: "no".into(),
        }
    }

    #[test]
    fn each_refusal_is_said_once_and_a_flood_is_summed_up() {
        let mut refusals = Refusals::default();
        let (start, at) = (Moment(MINUTE), Timestamp::EPOCH);
        assert!(refusals.note("main", refusal(1), start, at).is_some());
        assert!(refusals.note("main", refusal(1), start, at).is_none());
        let said = (2..100_000).filter_map(|n| refusals.note("main", refusal(n), start, at));
        assert_eq!(said.count(), ENTRIES_PER_MINUTE as usize - 1);
        assert!(refusals.sum_up("main", start, at).is_empty());
        let sums = refusals.sum_up("main", start.plus(MINUTE), at);
        let [
            FleetAct::RequestRefused {
                times, prefixes, ..
            },
        ] = sums.as_slice()
        else {
            panic!("{sums:?}");
        };
        assert_eq!(*times, 99_998 + 1 - u64::from(ENTRIES_PER_MINUTE));
        assert_eq!(prefixes.len(), PREFIXES_MAX);
        assert_eq!(refusals.total(), 100_000);
        let later = start.plus(MINUTE * 2);
        assert!(refusals.note("main", refusal(200_000), later, at).is_some());
    }
}
