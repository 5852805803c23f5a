//! A ban as the doors see it, and what happened to it.

use std::sync::Arc;

use model::Prefix;
use serde::{Deserialize, Serialize};

use crate::names::{CommunityId, HubTime, OrgId};

/// Grows with every ban the hub takes; never used twice. Decision id of the Local API.
pub type BanId = u64;

/// A place in the hub's sequence of changes: grows with every ban and every end of one, over all
/// communities, and survives restarts.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Point(pub u64);

/// A ban in force, or one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    pub id: BanId,
    pub community: CommunityId,
    /// Who issued it; the hub's own organisation for what the community decided.
    pub organisation: OrgId,
    pub prefix: Prefix,
    /// What to do with it, in the Local API's word: `ban`, `captcha`, `throttle`, …
    pub kind: Arc<str>,
    /// Where it came from, in the Local API's word: `crowdsec`, `cscli`, `lists`, …
    pub origin: Arc<str>,
    /// The scenario that caused it, or the reason an operator gave.
    pub scenario: Arc<str>,
    /// The alert it came with; see [`crate::Core::alert`].
    pub alert: Option<u64>,
    pub added: HubTime,
    pub until: HubTime,
    /// Where it came into the sequence of changes.
    pub point: Point,
}

impl Ban {
    /// Milliseconds left; negative when it is over.
    pub const fn remaining_ms(&self, now: HubTime) -> i64 {
        let (until, now) = (self.until.0.cast_signed(), now.0.cast_signed());
        until.saturating_sub(now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its time was over.
    Expired,
    /// Somebody lifted it.
    Released,
    /// The same organisation banned the same prefix again; the newer ban stands in its place.
    Replaced,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Added(Arc<Ban>),
    Ended {
        ban: Arc<Ban>,
        cause: EndCause,
        at: HubTime,
        point: Point,
    },
}

impl Change {
    pub fn point(&self) -> Point {
        match self {
            Self::Added(ban) => ban.point,
            Self::Ended { point, .. } => *point,
        }
    }

    pub const fn ban(&self) -> &Arc<Ban> {
        match self {
            Self::Added(ban) | Self::Ended { ban, .. } => ban,
        }
    }
}

/// A stretch of the sequence, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Only what the caller may see.
    pub list: Vec<Change>,
    /// Ask from here next.
    pub up_to: Point,
    /// There is more behind `up_to` already.
    pub more: bool,
}
