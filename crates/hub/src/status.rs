//! What `posse status`, `posse members` and the metrics tell of a hub.

use fleet::CommunityId;
use serde::Serialize;

use crate::worker::circle::Circle;

#[derive(Clone, Debug, Serialize)]
pub struct CommunityStatus {
    pub community: CommunityId,
    pub generation: u64,
    pub digest: String,
    /// Live entries of the ban set.
    pub bans: usize,
    pub streams: usize,
    /// Keys on the roster.
    pub keys: usize,
    pub frames_sent: u64,
    /// Streams that were closed because they fell too far behind.
    pub streams_dropped: u64,
    /// Cases that the court has open, and those that wait for a person.
    pub cases: usize,
    pub held: usize,
}

impl CommunityStatus {
    pub(crate) fn of(id: &CommunityId, circle: &Circle) -> Self {
        use std::sync::atomic::Ordering::Relaxed;
        Self {
            community: id.clone(),
            generation: circle.set.generation().0,
            digest: circle.set.digest().to_string(),
            bans: circle.set.len(),
            streams: circle.fan.streams(),
            keys: circle.set.roster().len(),
            frames_sent: circle.fan.sent.load(Relaxed),
            streams_dropped: circle.fan.dropped.load(Relaxed),
            cases: circle.court.cases(),
            held: circle.court.held().count(),
        }
    }
}
