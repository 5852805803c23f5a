//! What outlives a guard's restart: CBOR head, packed groups with states, SHA-256.

use std::time::Duration;

use super::{
    Effect, FollowError, Follower, FollowerConfig,
    force::{HELD, Now, STATES},
};
use crate::{
    FleetError, Generation, HubTime, KeyId, Moment, SignedRosterEntry, SnapshotHash,
    cbor::{Reader, written},
    frame::{read_list, read_roster, write_roster},
    packed,
    roster::ROSTER_MAX,
};

const WHAT: &str = "saved fleet state";
const VERSION: u64 = 1;
const HASH_BYTES: usize = 32;

struct Head {
    generation: Generation,
    hub_time: Option<HubTime>,
    accepted: HubTime,
    swept_to: u32,
    sequences: Vec<(KeyId, u64)>,
    roster: Vec<SignedRosterEntry>,
    groups: usize,
}

pub(super) fn save(follower: &Follower, now: Moment) -> Vec<u8> {
    let live = &follower.force.live;
    let mut groups = Vec::new();
    let count = packed::pack(live, &|row, _| Some(row.state & STATES), &mut groups).groups;
    let mut bytes = written(|w| {
        w.array(9)?
            .u64(VERSION)?
            .str(follower.config.community.as_str())?;
        w.u64(follower.generation.0)?;
        match follower.hub_time(now) {
            Some(time) => w.u64(time.0)?,
            None => w.null()?,
        };
        w.u64(follower.accepted.0)?.u32(live.swept_to())?;
        w.array(follower.sequences.len() as u64)?;
        for (key, sequence) in &follower.sequences {
            w.array(2)?.bytes(&key.0)?.u64(*sequence)?;
        }
        write_roster(w, &follower.roster.since(0))?;
        w.u64(count as u64)?;
        Ok(())
    });
    bytes.append(&mut groups);
    let hash = SnapshotHash::of(&bytes);
    bytes.extend(hash.0);
    bytes
}

pub(super) fn restore(
    config: FollowerConfig,
    saved: &[u8],
    asleep: Duration,
    now: Moment,
    each: &mut dyn FnMut(Effect),
) -> Result<Follower, FollowError> {
    let broken = |why| FleetError::Malformed {
        what: WHAT,
        at: saved.len(),
        why,
    };
    let parts = saved.split_last_chunk::<HASH_BYTES>();
    let (body, hash) = parts.ok_or_else(|| broken("it is cut off"))?;
    if SnapshotHash::of(body).0 != *hash {
        return Err(broken("its hash is another; the guard will start without it").into());
    }
    let mut r = Reader::new(WHAT, body);
    let head = read_head(&config, &mut r)?;
    let mut follower = Follower::new(config);
    for entry in head.roster {
        follower.roster.take(entry)?;
    }
    follower.generation = head.generation;
    follower.accepted = head.accepted;
    follower.sequences = head.sequences.into_iter().collect();
    let hub = head.hub_time.unwrap_or(head.accepted).plus(asleep);
    follower.clock = Some((hub, now));
    let (at, max) = (r.position(), follower.config.bans_max);
    let rest = body.get(at..).unwrap_or_default();
    let force = &mut follower.force;
    packed::unpack(WHAT, rest, at, head.groups, max, &mut |group, row| {
        if group.state & STATES != group.state {
            return Err(broken("a state that is not known here"));
        }
        let issuer = force.live.issuer(&group.issuer);
        let label = force.live.intern(issuer, &group.kind, group.tlp)?;
        force.live.put(row.prefix, label, row.until, group.state);
        if group.state == HELD {
            let flood = force.acceptance.flood;
            force.floods.of(issuer, &flood, now).hold(now);
        }
        Ok(())
    })?;
    force.sweep(head.swept_to);
    let now = Now { hub, here: now };
    force.for_each(now.hub, &mut |prefix, lasts| {
        each(Effect::Put { prefix, lasts });
    });
    Ok(follower)
}

fn read_head(config: &FollowerConfig, r: &mut Reader) -> Result<Head, FleetError> {
    r.tuple(9)?;
    if r.u64()? != VERSION {
        return Err(r.fail("of a version not known here"));
    }
    let community = r.community()?;
    if community != config.community {
        return Err(FleetError::Community {
            found: community,
            wanted: config.community.clone(),
        });
    }
    Ok(Head {
        generation: Generation(r.u64()?),
        hub_time: r.optional(Reader::u64)?.map(HubTime),
        accepted: HubTime(r.u64()?),
        swept_to: r.u32()?,
        sequences: read_list(r, ROSTER_MAX, |r| {
            r.tuple(2)?;
            Ok((r.key_id()?, r.u64()?))
        })?,
        roster: read_roster(r)?,
        groups: usize::try_from(r.u64()?).unwrap_or(usize::MAX),
    })
}
