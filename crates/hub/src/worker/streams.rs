//! How a guard's stream begins.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use fleet::{Body, CommunityId, Generation, Resume};

use super::{
    Worker, chain,
    circle::{Circle, CircleKeys},
};
use crate::{
    error::{HubError, OrderError},
    fanout::FanOut,
    member::Opening,
};

/// An opening that was made for one guard serves others that come from the same place this long.
const OPENING_FRESH_MS: u64 = 1_000;
const OPENINGS_MAX: usize = 64;

impl Worker {
    /// Hello, then what lies between; all before the place in the log where the reader begins.
    pub(super) fn open(
        &mut self,
        community: &CommunityId,
        from: Generation,
        roster: u64,
    ) -> Result<Opening, OrderError> {
        let now = self.shared.now();
        let shared = Arc::clone(&self.shared);
        let circle = self.circles.get_mut(community).ok_or(OrderError::Unknown)?;
        let place = (from.0, roster);
        let fresh = |at: &fleet::HubTime| now.0.saturating_sub(at.0) < OPENING_FRESH_MS;
        let first = match circle.openings.get(&place).filter(|(at, _)| fresh(at)) {
            Some((_, first)) => first.clone(),
            None => {
                let first = opening(circle, from, roster, now).map_err(|e| {
                    tracing::error!(cause = chain(&e), "a stream could not begin");
                    OrderError::Unrecorded(chain(&e))
                })?;
                if circle.openings.len() >= OPENINGS_MAX {
                    circle.openings.clear();
                }
                circle.openings.insert(place, (now, first.clone()));
                first
            }
        };
        if let Some(snapshot) = &circle.snapshot {
            shared.offer(community, Arc::clone(snapshot));
        }
        let reader = circle.fan.reader();
        Ok(Opening { first, reader })
    }

    /// A community that was made in this batch.
    pub(super) fn load_new_circle(&mut self, id: &CommunityId) -> Result<(), HubError> {
        let Some(hub) = self.desks.get(&self.hub_organisation).cloned() else {
            return Ok(());
        };
        let seed = self.db.blob("roster_seed")?.unwrap_or_default();
        let seed = seed
            .try_into()
            .map_err(|_| HubError::Corrupt("the roster key".to_owned()))?;
        let roster = Arc::new(fleet::SigningKey::from_seed(&seed)?);
        let hub_organisation = self.hub_organisation.clone();
        let fan = FanOut::new();
        self.shared.add_fan(id, &fan);
        let keys = CircleKeys {
            roster,
            hub,
            hub_organisation,
        };
        let circle = Circle::load(id, &keys, fan, &self.classes, &self.db)?;
        self.circles.insert(id.clone(), circle);
        Ok(())
    }
}

fn opening(
    circle: &mut Circle,
    from: Generation,
    roster: u64,
    now: fleet::HubTime,
) -> Result<Bytes, HubError> {
    let mut out = BytesMut::new();
    out.extend_from_slice(&circle.set.hello(roster, now).encode());
    match circle.set.since(from, now) {
        Resume::Current => {}
        Resume::Frames(frames) => {
            frames
                .iter()
                .for_each(|frame| out.extend_from_slice(&frame.encode()));
        }
        Resume::Snapshot => {
            let snapshot = circle.usable_snapshot(now)?;
            let offer = circle.frame(now, Body::Offer(snapshot.offer()));
            out.extend_from_slice(&offer.encode());
            // What came after the snapshot: the guard can go on from there at once.
            if let Resume::Frames(frames) = circle.set.since(snapshot.generation, now) {
                frames
                    .iter()
                    .for_each(|frame| out.extend_from_slice(&frame.encode()));
            }
        }
        Resume::Ahead => {
            tracing::error!(
                guard = from.0,
                hub = circle.set.generation().0,
                "a guard is ahead of this hub: it lost what it once told; see docs/hub.md"
            );
        }
    }
    if let Some(frame) = circle.set.digest_frame(now) {
        out.extend_from_slice(&frame.encode());
    }
    Ok(out.freeze())
}
