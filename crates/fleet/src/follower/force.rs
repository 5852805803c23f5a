//! Which rows of the copy are in force here, and what a change of one means for the kernel.

use std::time::Duration;

use model::{Prefix, Tlp};

use super::{Alarm, Applied, Effect, Refused, flood::Floods};
use crate::{
    Acceptance, FleetError, HubTime, Moment, OrgId, Unwanted,
    live::{IssuerId, Live},
    table::{LabelId, Row},
};

/// States of a row at a guard.
pub(super) const IN_FORCE: u8 = 0;
pub(super) const UNWANTED: u8 = 1;
pub(super) const HELD: u8 = 2;
pub(super) const STATES: u8 = 3;
/// Set while a snapshot is taken, on rows that it names.
pub(super) const MARK: u8 = 0x80;

/// Rows looked at in one go where bans are let in or judged anew.
const ROWS_AT_ONCE: usize = 20_000;

/// The copy and what this guard makes of it.
pub(super) struct Force {
    pub(super) live: Live,
    pub(super) floods: Floods,
    pub(super) acceptance: Acceptance,
    pub(super) hub: OrgId,
}

/// The present, by both clocks.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) hub: HubTime,
    pub(super) here: Moment,
}

/// Where effects go, and their count.
pub(super) struct Out<'a> {
    pub(super) each: &'a mut dyn FnMut(Effect),
    pub(super) applied: Applied,
}

impl<'a> Out<'a> {
    pub(super) fn new(each: &'a mut dyn FnMut(Effect)) -> Self {
        Self {
            each,
            applied: Applied::default(),
        }
    }

    pub(super) fn refuse(&mut self, refused: Refused) {
        self.applied.refused += 1;
        (self.each)(Effect::Refused(refused));
    }
}

/// Whether new bans are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    Flood,
    /// Of a first snapshot.
    Nothing,
}

/// One ban that the community's set has.
pub(super) struct Ban<'a> {
    pub(super) prefix: Prefix,
    pub(super) issuer: IssuerId,
    pub(super) kind: &'a std::sync::Arc<str>,
    pub(super) tlp: Tlp,
    pub(super) until: u32,
}

impl Force {
    /// Writes a ban into the copy, and whatever follows from it.
    pub(super) fn ban(
        &mut self,
        ban: &Ban,
        mark: u8,
        measure: Measure,
        now: Now,
        out: &mut Out,
    ) -> Result<(), FleetError> {
        let label = self.live.intern(ban.issuer, ban.kind, ban.tlp)?;
        let before = self.standing(ban.prefix);
        let was = self.live.row(ban.prefix, ban.issuer);
        let state = self.judge(ban, label, was, measure, now, out);
        self.live.put(ban.prefix, label, ban.until, state | mark);
        if let Some(was) = was {
            self.leave(was, state);
        }
        self.settle(ban.prefix, before, now, out);
        Ok(())
    }

    /// Takes an issuer's ban out of the copy.
    pub(super) fn release(&mut self, prefix: Prefix, issuer: IssuerId, now: Now, out: &mut Out) {
        let before = self.standing(prefix);
        let Some(was) = self.live.take(prefix, issuer) else {
            return;
        };
        self.leave(was, IN_FORCE);
        self.settle(prefix, before, now, out);
        let gauge = self.floods.of(issuer, &self.acceptance.flood, now.here);
        if let Some(released) = gauge.count_release(now.here)
            && let Some(issuer) = self.live.org(issuer).cloned()
        {
            (out.each)(Effect::Alarm(Alarm::ManyReleases { issuer, released }));
        }
    }

    pub(super) fn sweep(&mut self, to: u32) {
        let mut ended = Vec::new();
        let live = &mut self.live;
        live.sweep(to, &mut |row| {
            if row.state & STATES == HELD {
                ended.push(row);
            }
        });
        // A label that is free now still says whose it was.
        for row in ended {
            self.leave(row, IN_FORCE);
        }
    }

    /// A row's state was `was` and is `state` now, or the row is gone.
    fn leave(&mut self, was: Row, state: u8) {
        if was.state & STATES != HELD || state == HELD {
            return;
        }
        if let Some(label) = self.live.label(was.label) {
            let gauge = self
                .floods
                .of(label.issuer, &self.acceptance.flood, Moment::default());
            gauge.unhold();
        }
    }

    fn judge(
        &mut self,
        ban: &Ban,
        label: LabelId,
        was: Option<Row>,
        measure: Measure,
        now: Now,
        out: &mut Out,
    ) -> u8 {
        if let Err(why) = self.wanted(ban.prefix, label) {
            self.refuse(ban, why, out);
            return UNWANTED;
        }
        match was.map(|row| row.state & STATES) {
            Some(IN_FORCE) => return IN_FORCE,
            Some(HELD) => return HELD,
            _ => {}
        }
        let limit = self.acceptance.bans_per_issuer_max;
        if self.live.rows_of(ban.issuer) >= limit {
            self.refuse(ban, Unwanted::TooMany { limit }, out);
            return UNWANTED;
        }
        let flood = &self.acceptance.flood;
        let gauge = self.floods.of(ban.issuer, flood, now.here);
        if measure == Measure::Nothing || gauge.take(flood, now.here) {
            return IN_FORCE;
        }
        gauge.hold(now.here);
        out.applied.held += 1;
        HELD
    }

    fn refuse(&self, ban: &Ban, why: Unwanted, out: &mut Out) {
        let Some(issuer) = self.live.org(ban.issuer).cloned() else {
            return;
        };
        out.refuse(Refused::Unwanted {
            prefix: ban.prefix,
            issuer,
            kind: std::sync::Arc::clone(ban.kind),
            why,
        });
    }

    /// What the policy says, floods and counts apart. Issuer, kind and TLP are judged once a label.
    fn wanted(&mut self, prefix: Prefix, id: LabelId) -> Result<(), Unwanted> {
        self.acceptance.judge_width(prefix)?;
        let Some(label) = self.live.label(id) else {
            return Err(Unwanted::Kind);
        };
        if let Some(verdict) = label.verdict {
            return verdict;
        }
        let issuer = self.live.org(label.issuer).ok_or(Unwanted::Org)?;
        let acceptance = &self.acceptance;
        let verdict = acceptance.judge_label(issuer, &self.hub, &label.kind, label.tlp);
        if let Some(label) = self.live.label_mut(id) {
            label.verdict = Some(verdict);
        }
        verdict
    }

    /// The latest end of the accepted bans on a prefix.
    fn standing(&self, prefix: Prefix) -> Option<u32> {
        let rows = self
            .live
            .on(prefix)
            .filter(|r| r.state & STATES == IN_FORCE);
        rows.map(|row| row.until).max()
    }

    fn settle(&self, prefix: Prefix, before: Option<u32>, now: Now, out: &mut Out) {
        let after = self.standing(prefix);
        if before == after {
            return;
        }
        let left = |until: Option<u32>| until.and_then(|until| self.left(until, now.hub));
        if let Some(lasts) = left(after) {
            out.applied.added += 1;
            (out.each)(Effect::Put { prefix, lasts });
        } else if left(before).is_some() {
            out.applied.removed += 1;
            (out.each)(Effect::Release { prefix });
        }
    }

    /// What is left of a ban: never more than this guard lets any ban last.
    fn left(&self, until: u32, now: HubTime) -> Option<Duration> {
        let left = HubTime::from_seconds(until).since(now);
        let max = Duration::from_secs(u64::from(self.acceptance.seconds_max));
        Some(left.min(max)).filter(|left| !left.is_zero())
    }

    pub(super) fn tell_of_floods(&mut self, out: &mut Out) {
        for issuer in self.floods.holding() {
            let gauge = self
                .floods
                .of(issuer, &self.acceptance.flood, Moment::default());
            let held = gauge.held;
            if gauge.must_tell()
                && let Some(issuer) = self.live.org(issuer).cloned()
            {
                (out.each)(Effect::Alarm(Alarm::Flood { issuer, held }));
            }
        }
    }

    /// Lets in what was held long enough, as fast as the limit allows.
    pub(super) fn let_in_held(&mut self, now: Now, out: &mut Out) {
        let flood = self.acceptance.flood;
        let hold = Duration::from_secs(u64::from(flood.hold_seconds));
        for issuer in self.floods.holding() {
            let gauge = self.floods.of(issuer, &flood, now.here);
            if gauge.since.is_none_or(|since| now.here.since(since) < hold) {
                continue;
            }
            let room = gauge.room(&flood, now.here);
            let cursor = gauge.cursor;
            let (found, next) = self.held_from(issuer, cursor, room);
            for row in found {
                self.let_in(row, now, out);
                self.floods
                    .of(issuer, &flood, now.here)
                    .take(&flood, now.here);
            }
            self.floods.of(issuer, &flood, now.here).cursor = next;
        }
    }

    pub(super) fn let_all_in(&mut self, issuer: IssuerId, now: Now, out: &mut Out) {
        let mut cursor = None;
        loop {
            let (found, next) = self.held_from(issuer, cursor, usize::MAX);
            for row in found {
                self.let_in(row, now, out);
            }
            if next.is_none() {
                return;
            }
            cursor = next;
        }
    }

    fn let_in(&mut self, row: Row, now: Now, out: &mut Out) {
        let before = self.standing(row.prefix);
        self.live.set_state(row, IN_FORCE);
        self.leave(row, IN_FORCE);
        self.settle(row.prefix, before, now, out);
    }

    /// At most `max` held rows of an issuer from the cursor on, and where to go on; `None` at the
    /// end.
    fn held_from(
        &self,
        issuer: IssuerId,
        cursor: Option<(Prefix, LabelId)>,
        max: usize,
    ) -> (Vec<Row>, Option<(Prefix, LabelId)>) {
        let mut found = Vec::new();
        for (looked, row) in self.rows_from(cursor).enumerate() {
            if looked >= ROWS_AT_ONCE || found.len() >= max {
                return (found, Some((row.prefix, row.label)));
            }
            let theirs = self
                .live
                .label(row.label)
                .is_some_and(|l| l.issuer == issuer);
            if theirs && row.state & STATES == HELD {
                found.push(row);
            }
        }
        (found, None)
    }

    fn rows_from(&self, cursor: Option<(Prefix, LabelId)>) -> Box<dyn Iterator<Item = Row> + '_> {
        match cursor {
            Some((prefix, label)) => Box::new(self.live.from(prefix, label)),
            None => Box::new(self.live.iter()),
        }
    }

    /// Judges every row by a new policy.
    pub(super) fn set_acceptance(&mut self, acceptance: Acceptance, now: Now, out: &mut Out) {
        self.acceptance = acceptance;
        self.live.forget_verdicts();
        let mut cursor = None;
        loop {
            let mut rows: Vec<_> = self.rows_from(cursor).take(ROWS_AT_ONCE + 1).collect();
            cursor = if rows.len() > ROWS_AT_ONCE {
                rows.pop().map(|row| (row.prefix, row.label))
            } else {
                None
            };
            for row in rows {
                self.judge_anew(row, now, out);
            }
            if cursor.is_none() {
                return;
            }
        }
    }

    fn judge_anew(&mut self, row: Row, now: Now, out: &mut Out) {
        let state = match (self.wanted(row.prefix, row.label), row.state & STATES) {
            (Ok(()), UNWANTED) => IN_FORCE,
            (Ok(()), state) => state,
            (Err(_), _) => UNWANTED,
        };
        if state == row.state & STATES {
            return;
        }
        let before = self.standing(row.prefix);
        self.live.set_state(row, state);
        self.leave(row, state);
        self.settle(row.prefix, before, now, out);
    }

    /// Every prefix in force with what is left of it.
    pub(super) fn for_each(&self, now: HubTime, each: &mut dyn FnMut(Prefix, Duration)) {
        let mut last: Option<(Prefix, u32)> = None;
        let mut tell = |last: Option<(Prefix, u32)>| {
            let left = last.and_then(|(prefix, until)| Some((prefix, self.left(until, now)?)));
            if let Some((prefix, left)) = left {
                each(prefix, left);
            }
        };
        for row in self.live.iter().filter(|r| r.state & STATES == IN_FORCE) {
            match &mut last {
                Some((prefix, until)) if *prefix == row.prefix => *until = row.until.max(*until),
                _ => tell(last.replace((row.prefix, row.until))),
            }
        }
        tell(last);
    }
}
