//! What `posse status`, `posse members` and the metrics tell of a hub.

use std::net::IpAddr;

use fleet::{CommunityId, HubTime, OrgId, api::Here};
use serde::Serialize;

use crate::{Core, KeyKind, worker::circle::Circle};

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

/// The whole hub at a glance.
#[derive(Clone, Debug, Serialize)]
pub struct HubStatus {
    /// Its own organisation.
    pub hub: OrgId,
    pub version: &'static str,
    pub now: HubTime,
    pub communities: Vec<CommunityStatus>,
    pub organisations: usize,
    pub members: usize,
    pub members_connected: usize,
    pub keys: usize,
    pub bans: usize,
    pub invitations: usize,
    /// Files of cases that were offered and not received, and how long the oldest has waited.
    pub handovers_waiting: usize,
    pub handovers_oldest_seconds: u64,
}

/// A member, and what it told of itself.
#[derive(Clone, Debug, Serialize)]
pub struct MemberStatus {
    pub organisation: OrgId,
    pub name: String,
    pub role: fleet::Role,
    pub communities: Vec<CommunityId>,
    pub joined_unix_ms: u64,
    pub revoked: bool,
    /// Streams open now.
    pub streams: u32,
    /// `None`: not since this hub started.
    pub last_contact_seconds: Option<u64>,
    pub address: Option<IpAddr>,
    pub version: Option<String>,
    /// Sources, bans, drops, and by community generation, digest, lag.
    pub here: Option<Here>,
}

#[derive(Clone, Debug, Serialize)]
pub struct KeyStatus {
    pub kind: KeyKind,
    pub name: String,
    pub organisation: OrgId,
    pub communities: Vec<CommunityId>,
    pub accepted: bool,
    pub created_unix_ms: u64,
}

impl Core {
    pub fn status(&self) -> HubStatus {
        let communities = self.shared().communities();
        let (handovers_waiting, handovers_oldest_seconds) = self.handovers_waiting();
        let view = self.shared().view();
        let registry = &view.registry;
        HubStatus {
            hub: self.hub_organisation().clone(),
            version: env!("CARGO_PKG_VERSION"),
            now: self.now(),
            members_connected: communities.iter().map(|c| c.streams).sum(),
            communities,
            handovers_waiting,
            handovers_oldest_seconds,
            organisations: registry.organisations.len(),
            members: registry.members.values().filter(|m| !m.revoked).count(),
            keys: registry.keys.len(),
            bans: view.bans.len(),
            invitations: registry
                .invitations
                .values()
                .filter(|i| i.used_by.is_none())
                .count(),
        }
    }

    pub fn members(&self) -> Vec<MemberStatus> {
        let members: Vec<_> = self
            .shared()
            .view()
            .registry
            .members
            .values()
            .cloned()
            .collect();
        let one = |member: std::sync::Arc<crate::Member>| {
            let presence = self
                .shared()
                .presences
                .get(&member.organisation, &member.name);
            MemberStatus {
                organisation: member.organisation.clone(),
                name: member.name.clone(),
                role: member.role,
                communities: member.communities.clone(),
                joined_unix_ms: member.joined_unix_ms,
                revoked: member.revoked,
                streams: presence.as_ref().map_or(0, |p| p.streams),
                last_contact_seconds: presence.as_ref().map(|p| p.heard.elapsed().as_secs()),
                address: presence.as_ref().map(|p| p.from),
                version: presence
                    .as_ref()
                    .map(|p| p.agent.clone())
                    .filter(|a| !a.is_empty()),
                here: presence.and_then(|p| p.here),
            }
        };
        members.into_iter().map(one).collect()
    }

    pub fn keys(&self) -> Vec<KeyStatus> {
        let view = self.shared().view();
        let one = |key: &std::sync::Arc<crate::registry::Key>| KeyStatus {
            kind: key.kind,
            name: key.name.clone(),
            organisation: key.organisation.clone(),
            communities: key.communities.clone(),
            accepted: key.accepted,
            created_unix_ms: key.created_unix_ms,
        };
        view.registry.keys.values().map(one).collect()
    }
}
