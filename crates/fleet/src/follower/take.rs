//! Taking a snapshot: everything is checked before anything changes.

use std::collections::{BTreeMap, BTreeSet};

use model::{Prefix, Tlp};

use super::{
    FollowError, Follower, Refused,
    force::{Ban, MARK, Measure, Now, Out, STATES},
};
use crate::{
    FleetError, Generation, KeyId, Op, OrgId, Roster, Statement, end_of,
    set::{check_ops, check_time, hub_key, target},
    snapshot::SnapshotReader,
};

/// What members' statements in a snapshot come to.
#[derive(Default)]
struct Members {
    bans: BTreeMap<(Prefix, OrgId), Member>,
    /// Taken away by a statement that is new here: no longer in `bans`.
    released: BTreeSet<(Prefix, OrgId)>,
}

struct Member {
    until: u32,
    kind: std::sync::Arc<str>,
    tlp: Tlp,
    /// The key whose statement this guard had seen before, and its sequence.
    seen: Option<(KeyId, u64)>,
}

/// A snapshot of which everything was checked.
struct Checked<'b> {
    reader: SnapshotReader<'b>,
    roster: Roster,
    members: Members,
    /// The last sequence of each key that signed a statement in it.
    sequences: BTreeMap<KeyId, u64>,
}

impl Follower {
    pub(super) fn take_checked(
        &mut self,
        bytes: &[u8],
        now: Now,
        out: &mut Out,
    ) -> Result<(), FollowError> {
        let checked = self.check_snapshot(bytes)?;
        let head = &checked.reader.head;
        // The time that is signed: what is left of a ban is no more than it was then.
        let now = Now {
            hub: now.hub.max(head.now),
            ..now
        };
        let is_first = self.generation == Generation::ZERO && self.force.live.len() == 0;
        let measure = if is_first {
            Measure::Nothing
        } else {
            let flood = self.force.acceptance.flood;
            self.force.floods.fill_for_absence(&flood, now.here);
            Measure::Flood
        };
        self.roster = checked.roster;
        self.force.live.set_states(|state| state & STATES);
        self.put_members(&checked.members, measure, now, out);
        let issuer = self.force.live.issuer(&self.config.hub);
        let force = &mut self.force;
        checked
            .reader
            .for_each(self.config.bans_max, &mut |group, row| {
                let ban = Ban {
                    prefix: row.prefix,
                    issuer,
                    kind: &group.kind,
                    tlp: group.tlp,
                    until: row.until,
                };
                force.ban(&ban, MARK, measure, now, out)
            })?;
        self.drop_unnamed(&checked.members, now, out);
        for (key, sequence) in head.sequences.iter().copied().chain(checked.sequences) {
            let last = self.sequences.entry(key).or_default();
            *last = sequence.max(*last);
        }
        self.generation = head.generation;
        self.roster_led = 0;
        self.accepted = self.accepted.max(head.accepted);
        self.force.sweep(head.swept_to);
        Ok(())
    }

    fn check_snapshot<'b>(&self, bytes: &'b [u8]) -> Result<Checked<'b>, FollowError> {
        let reader = SnapshotReader::new(bytes)?;
        let head = &reader.head;
        self.check_community(&head.community)?;
        if head.generation < self.generation {
            return Err(FollowError::Old {
                have: self.generation,
                found: head.generation,
            });
        }
        let mut roster = self.roster.clone();
        let newer = head
            .roster
            .iter()
            .filter(|e| e.entry().serial > roster.serial());
        for entry in newer.cloned().collect::<Vec<_>>() {
            roster.take(entry)?;
        }
        reader.verify(&hub_key(&roster, head.key, &self.config.hub)?)?;
        let (members, sequences) = self.check_members(&reader, &roster)?;
        // Once through all of it, so that its second half cannot turn out to be broken.
        reader.for_each(self.config.bans_max, &mut |_, _| Ok(()))?;
        Ok(Checked {
            reader,
            roster,
            members,
            sequences,
        })
    }

    fn check_members(
        &self,
        reader: &SnapshotReader,
        roster: &Roster,
    ) -> Result<(Members, BTreeMap<KeyId, u64>), FleetError> {
        let mut members = Members::default();
        let mut sequences = BTreeMap::new();
        for accepted in &reader.head.statements {
            let unread = accepted.signed.read()?;
            // Its key may have been revoked since: what it said before stays.
            let entry = roster
                .get(unread.key)
                .ok_or_else(|| FleetError::UnknownKey {
                    key: unread.key,
                    community: self.config.community.clone(),
                })?;
            let statement = accepted.signed.verify(&entry.key)?;
            self.check_community(&statement.community)?;
            check_time(statement.at, accepted.at, self.config.signed_within)?;
            check_ops(&statement.ops, &entry.org, &self.config.hub, accepted.at)?;
            let last = sequences.insert(statement.key, statement.sequence);
            if let Some(last) = last.filter(|last| *last >= statement.sequence) {
                return Err(FleetError::Replayed {
                    key: statement.key,
                    found: statement.sequence,
                    last,
                });
            }
            let known = self.sequences.get(&statement.key);
            let is_seen = known.is_some_and(|last| *last >= statement.sequence);
            members.apply(
                &statement,
                &entry.org,
                &self.config.hub,
                accepted.at,
                is_seen,
            );
        }
        members.sweep(reader.head.swept_to);
        Ok((members, sequences))
    }

    fn put_members(&mut self, members: &Members, measure: Measure, now: Now, out: &mut Out) {
        for ((prefix, org), member) in &members.bans {
            let issuer = self.force.live.issuer(org);
            let have = self.force.live.row(*prefix, issuer).map(|row| row.until);
            // A statement seen before cannot bring back what ended or was released since.
            if let Some((key, found)) = member.seen
                && have.is_none_or(|until| until < member.until)
            {
                let last = self.sequences.get(&key).copied().unwrap_or(found);
                let why = FleetError::Replayed { key, found, last };
                out.refuse(Refused::Statement {
                    key: Some(key),
                    why,
                });
                continue;
            }
            let ban = Ban {
                prefix: *prefix,
                issuer,
                kind: &member.kind,
                tlp: member.tlp,
                until: member.until,
            };
            if let Err(why) = self.force.ban(&ban, MARK, measure, now, out) {
                out.refuse(Refused::Statement { key: None, why });
            }
        }
    }

    /// The hub's bans that the snapshot does not name are gone, for it is signed by the hub's own
    /// key. A member's ban goes only by a signed release: silence does not take it away.
    fn drop_unnamed(&mut self, members: &Members, now: Now, out: &mut Out) {
        let live = &self.force.live;
        let unnamed = live.iter().filter(|row| row.state & MARK == 0);
        let gone: Vec<_> = unnamed
            .filter_map(|row| {
                let issuer = live.label(row.label)?.issuer;
                let org = live.org(issuer)?;
                let is_hubs = *org == self.config.hub;
                let released = is_hubs || members.released.contains(&(row.prefix, org.clone()));
                released.then_some((row.prefix, issuer))
            })
            .collect();
        for (prefix, issuer) in gone {
            self.force.release(prefix, issuer, now, out);
        }
    }
}

impl Members {
    fn apply(
        &mut self,
        statement: &Statement,
        org: &OrgId,
        hub: &OrgId,
        at: crate::HubTime,
        is_seen: bool,
    ) {
        for op in &statement.ops {
            let of = target(op, org);
            if of == hub {
                continue;
            }
            let place = (op.prefix(), of.clone());
            match op {
                Op::Ban(ban) => {
                    self.released.remove(&place);
                    let member = Member {
                        until: end_of(at, ban.lasts).unwrap_or(u32::MAX),
                        kind: std::sync::Arc::clone(&ban.kind),
                        tlp: ban.tlp,
                        seen: is_seen.then_some((statement.key, statement.sequence)),
                    };
                    self.bans.insert(place, member);
                }
                Op::Release(_) => {
                    self.bans.remove(&place);
                    // One that was seen before was done then: what stands there now came later.
                    if !is_seen {
                        self.released.insert(place);
                    }
                }
            }
        }
    }

    /// Forgets what has ended. A ban that its issuer cut short, and that ended before this guard
    /// heard of it, takes away the longer one that the guard still has.
    fn sweep(&mut self, to: u32) {
        let Self { bans, released } = self;
        bans.retain(|place, ban| {
            let stands = ban.until > to;
            if !stands && ban.seen.is_none() {
                released.insert(place.clone());
            }
            stands
        });
    }
}
