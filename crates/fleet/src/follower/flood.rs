//! How fast each issuer's bans may grow at this guard.

use std::collections::BTreeMap;

use crate::{Flood, Moment, live::IssuerId, table::LabelId};
use model::Prefix;

/// A whole token, in thousandths of a minute's share.
const TOKEN: u64 = 60_000;
/// Releases of one issuer within a minute that are worth an alarm.
const RELEASES_MANY: usize = 5_000;
const WINDOW_SECONDS: u64 = 60;

#[derive(Debug, Default)]
pub(super) struct Floods {
    issuers: BTreeMap<IssuerId, Gauge>,
}

/// One issuer's measure. All but [`Self::held`] may be forgotten over a restart.
#[derive(Debug)]
pub(super) struct Gauge {
    tokens: u64,
    filled: Moment,
    /// Bans that wait.
    pub(super) held: usize,
    /// Since when something waits, and from where on the next look goes.
    pub(super) since: Option<Moment>,
    pub(super) cursor: Option<(Prefix, LabelId)>,
    /// Whether the present flood was told of.
    told: bool,
    window: Moment,
    released: usize,
}

impl Floods {
    pub(super) fn of(&mut self, issuer: IssuerId, flood: &Flood, now: Moment) -> &mut Gauge {
        self.issuers.entry(issuer).or_insert_with(|| Gauge {
            tokens: u64::from(flood.burst) * TOKEN,
            filled: now,
            held: 0,
            since: None,
            cursor: None,
            told: false,
            window: now,
            released: 0,
        })
    }

    pub(super) fn holding(&self) -> Vec<IssuerId> {
        let holding = self.issuers.iter().filter(|(_, gauge)| gauge.held > 0);
        holding.map(|(issuer, _)| *issuer).collect()
    }

    pub(super) fn held(&self) -> usize {
        self.issuers.values().map(|gauge| gauge.held).sum()
    }

    /// What came up since is let in at once with a snapshot after a long absence.
    pub(super) fn fill_for_absence(&mut self, flood: &Flood, now: Moment) {
        for gauge in self.issuers.values_mut() {
            gauge.fill(flood, now, u64::MAX);
        }
    }
}

impl Gauge {
    pub(super) fn take(&mut self, flood: &Flood, now: Moment) -> bool {
        self.fill(flood, now, u64::from(flood.burst) * TOKEN);
        let enough = self.tokens >= TOKEN;
        if enough {
            self.tokens -= TOKEN;
        }
        enough
    }

    /// How many could be taken now.
    pub(super) fn room(&mut self, flood: &Flood, now: Moment) -> usize {
        self.fill(flood, now, u64::from(flood.burst) * TOKEN);
        usize::try_from(self.tokens / TOKEN).unwrap_or(usize::MAX)
    }

    pub(super) fn hold(&mut self, now: Moment) {
        self.held += 1;
        self.since.get_or_insert(now);
    }

    pub(super) fn unhold(&mut self) {
        self.held = self.held.saturating_sub(1);
        if self.held == 0 {
            (self.since, self.cursor, self.told) = (None, None, false);
        }
    }

    /// Once a flood.
    pub(super) const fn must_tell(&mut self) -> bool {
        let tell = self.held > 0 && !self.told;
        self.told |= tell;
        tell
    }

    /// Counts a release; says how many there were in this minute when it is time for an alarm.
    pub(super) fn count_release(&mut self, now: Moment) -> Option<usize> {
        if now.since(self.window).as_secs() >= WINDOW_SECONDS {
            (self.window, self.released) = (now, 0);
        }
        self.released += 1;
        (self.released == RELEASES_MANY).then_some(self.released)
    }

    fn fill(&mut self, flood: &Flood, now: Moment, cap: u64) {
        let millis = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        let more = millis.saturating_mul(u64::from(flood.per_minute));
        self.tokens = self.tokens.max(self.tokens.saturating_add(more).min(cap));
        self.filled = self.filled.max(now);
    }
}
