//! What a kind of client can hold, and how bans are told to it.
//!
//! The stock firewall bouncer in its nftables mode cuts a network to its first address, and
//! passes over an address that it has already, however long the new ban is. So it is told
//! networks as all of their addresses, and what changed is taken out before it is put in.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use intel::lapi::{Admits, Reader, Shown, write_decision};
use model::Prefix;

use super::decisions::scope;
use crate::{Ban, Caller, Change, Core, EndCause, HubTime, Point};

/// Networks up to this width are told address by address: 1,024 of them.
const SPREAD_WIDEST: u8 = 22;
/// Addresses in one answer that come from networks; further networks are told as they are.
const SPREAD_MAX: usize = 262_144;
/// Questions to the core at a time.
const ASKED_MAX: usize = 4_096;

/// What a client is, by its User-Agent (`type/version`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// `crowdsec-firewall-bouncer`, all versions: its nftables mode loses masks to this day, and
    /// which mode it runs in cannot be seen from here.
    Firewall,
    /// Others on the same Go library, whose requests may be held as well.
    Patient,
    /// Whoever may have a short timeout and fail closed.
    Other,
}

const PATIENT: [&str; 6] = [
    "crowdsec-aws-waf-bouncer",
    "crowdsec-blocklist-mirror",
    "crowdsec-cloudflare-bouncer",
    "crowdsec-cloudflare-worker-bouncer",
    "crowdsec-custom-bouncer",
    "crowdsec-spoa-bouncer",
];

impl Client {
    pub(super) fn of(user_agent: &str) -> Self {
        match user_agent.split('/').next().unwrap_or_default() {
            "crowdsec-firewall-bouncer" => Self::Firewall,
            kind if PATIENT.contains(&kind) => Self::Patient,
            _ => Self::Other,
        }
    }

    pub(super) fn may_be_held(self) -> bool {
        self != Self::Other
    }

    fn spreads(self, prefix: Prefix) -> bool {
        self == Self::Firewall
            && prefix.is_ipv4()
            && !prefix.is_host()
            && prefix.len() >= SPREAD_WIDEST
    }

    /// How wide a ban may be to count for an address or network that is told by itself.
    fn reach(self, unit: Prefix) -> u8 {
        if self == Self::Firewall && unit.is_ipv4() && unit.len() >= SPREAD_WIDEST {
            SPREAD_WIDEST
        } else {
            unit.len()
        }
    }
}

/// All addresses of a small network.
fn hosts(prefix: Prefix) -> impl Iterator<Item = Prefix> {
    let bounds = match (prefix.addr(), prefix.last()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => first.to_bits()..=last.to_bits(),
        #[expect(clippy::reversed_empty_ranges, reason = "none")]
        _ => 1..=0,
    };
    bounds.map(|bits| Prefix::host(IpAddr::V4(Ipv4Addr::from_bits(bits))))
}

/// A value that is told by itself, and its kind.
type Unit = (Prefix, Arc<str>);

/// A stretch of the changes, by what they were about.
#[derive(Default)]
pub(super) struct Touched {
    by_unit: BTreeMap<Unit, Told>,
    /// Something happened that a bouncer should know now.
    pub(super) is_urgent: bool,
}

#[derive(Default)]
struct Told {
    /// The last ban on it that ended.
    ended: Option<Arc<Ban>>,
}

/// Both lists of an answer, as JSON without their brackets.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) new: Vec<u8>,
    pub(super) deleted: Vec<u8>,
}

impl Lists {
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.new.len() + self.deleted.len() + 32);
        body.extend_from_slice(b"{\"deleted\":[");
        body.extend_from_slice(&self.deleted);
        body.extend_from_slice(b"],\"new\":[");
        body.extend_from_slice(&self.new);
        body.extend_from_slice(b"]}");
        body
    }
}

impl Touched {
    pub(super) fn len(&self) -> usize {
        self.by_unit.len()
    }

    /// `fresh_from`: what came before is only told once more.
    pub(super) fn note(&mut self, change: &Change, admits: &Admits, fresh_from: Point) {
        let ban = change.ban();
        if !admits.admits(scope(ban.prefix), &ban.origin, &ban.scenario) {
            return;
        }
        let told = self
            .by_unit
            .entry((ban.prefix, Arc::clone(&ban.kind)))
            .or_default();
        // What ended by itself has ended at the bouncer as well: it was told until when.
        let matters = match change {
            Change::Added(_) => true,
            Change::Ended { cause, .. } => *cause != EndCause::Expired,
        };
        if let Change::Ended { ban, .. } = change {
            told.ended = Some(Arc::clone(ban));
        }
        self.is_urgent |= matters && change.point() > fresh_from;
    }

    /// Only what was lifted, for a client that begins anew.
    pub(super) fn keep_lifted(&mut self, change: &Change, admits: &Admits) {
        if let Change::Ended {
            cause: EndCause::Released,
            ..
        } = change
        {
            self.note(change, admits, Point(u64::MAX));
        }
    }

    /// How everything touched stands now.
    pub(super) fn lists(&self, view: &Look<'_>) -> Lists {
        let mut lists = Lists::default();
        let mut room = SPREAD_MAX;
        let mut asked: BTreeMap<Unit, Option<&Arc<Ban>>> = BTreeMap::new();
        for ((prefix, kind), told) in &self.by_unit {
            let size = 1usize << 32u8.saturating_sub(prefix.len()).min(31);
            if view.client.spreads(*prefix) && size <= room {
                room -= size;
                for host in hosts(*prefix) {
                    let ended = asked.entry((host, Arc::clone(kind))).or_default();
                    *ended = ended.or(told.ended.as_ref());
                }
            } else {
                if view.client == Client::Firewall && !prefix.is_host() {
                    tracing::warn!(
                        network = %prefix,
                        "told to a firewall bouncer as a network; in nftables mode it will \
                         hold its first address only"
                    );
                }
                let ended = asked.entry((*prefix, Arc::clone(kind))).or_default();
                *ended = ended.or(told.ended.as_ref());
            }
        }
        let asked: Vec<_> = asked.into_iter().collect();
        for part in asked.chunks(ASKED_MAX) {
            let units: Vec<_> = part.iter().map(|(unit, _)| unit.clone()).collect();
            for (((unit, _), ended), (ban, count)) in part.iter().zip(view.longest(&units)) {
                // An element that may be there with another end would stay as it is.
                let was_there = ended.is_some() || count > 1;
                if let Some(ban) = &ban {
                    view.write(ban, *unit, view.left(ban), &mut lists.new);
                }
                let gone = match (&ban, ended) {
                    (None, ended) => *ended,
                    (Some(ban), _) if was_there && view.client == Client::Firewall => Some(ban),
                    (Some(_), _) => None,
                };
                if let Some(gone) = gone {
                    let left = gone.remaining_ms(view.now).min(-1_000);
                    view.write(gone, *unit, left, &mut lists.deleted);
                }
            }
        }
        lists
    }
}

/// Who looks, and at what.
pub(super) struct Look<'a> {
    pub(super) core: &'a Core,
    pub(super) caller: &'a Caller,
    pub(super) client: Client,
    pub(super) admits: &'a Admits,
    /// Of several bans on one value, only the longest.
    pub(super) dedup: bool,
    pub(super) now: HubTime,
}

impl Look<'_> {
    fn longest(&self, units: &[Unit]) -> Vec<(Option<Arc<Ban>>, usize)> {
        let admits = |ban: &Ban| {
            self.admits
                .admits(scope(ban.prefix), &ban.origin, &ban.scenario)
        };
        let reach = |unit| self.client.reach(unit);
        self.core.longest(self.caller, units, &reach, &admits)
    }

    /// What is left of a ban, and never nothing: the kernel takes a timeout of 0 for "for good".
    fn left(&self, ban: &Ban) -> i64 {
        ban.remaining_ms(self.now).max(1_000)
    }

    fn write(&self, ban: &Ban, unit: Prefix, remaining_ms: i64, out: &mut Vec<u8>) {
        if !out.is_empty() {
            out.push(b',');
        }
        let value = unit.to_string();
        let shown = Shown {
            id: ban.id,
            origin: &ban.origin,
            scenario: &ban.scenario,
            scope: scope(unit),
            kind: &ban.kind,
            value: &value,
            remaining_ms,
        };
        write_decision(&shown, Reader::Bouncer, out);
    }

    /// Writes a page of bans in force: each unit once, under the ban that holds longest.
    pub(super) fn page(&self, bans: &[Arc<Ban>], out: &mut Vec<u8>) {
        let mut asked: Vec<(Unit, &Arc<Ban>)> = Vec::new();
        for ban in bans {
            if !self
                .admits
                .admits(scope(ban.prefix), &ban.origin, &ban.scenario)
            {
                continue;
            }
            if self.client.spreads(ban.prefix) {
                let kind = &ban.kind;
                asked.extend(hosts(ban.prefix).map(|h| ((h, Arc::clone(kind)), ban)));
            } else if self.dedup {
                asked.push(((ban.prefix, Arc::clone(&ban.kind)), ban));
            } else {
                self.write(ban, ban.prefix, self.left(ban), out);
            }
            if asked.len() >= ASKED_MAX {
                self.flush(&mut asked, out);
            }
        }
        self.flush(&mut asked, out);
    }

    fn flush(&self, asked: &mut Vec<(Unit, &Arc<Ban>)>, out: &mut Vec<u8>) {
        let units: Vec<_> = asked.iter().map(|(unit, _)| unit.clone()).collect();
        for ((unit, ban), (longest, _)) in asked.drain(..).zip(self.longest(&units)) {
            // Gone since the page was taken: the changes will tell.
            if longest.is_some_and(|longest| longest.id == ban.id) {
                self.write(ban, unit.0, self.left(ban), out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_their_type() {
        assert_eq!(Client::of("crowdsec-firewall-bouncer/-"), Client::Firewall);
        assert_eq!(
            Client::of("crowdsec-firewall-bouncer/v0.0.34-debian"),
            Client::Firewall
        );
        assert_eq!(Client::of("crowdsec-custom-bouncer/v1"), Client::Patient);
        for other in [
            "",
            "crowdsec-nginx-bouncer/v1.0.8",
            "Crowdsec-Bouncer-Traefik-Plugin/1.X.X",
        ] {
            assert_eq!(Client::of(other), Client::Other);
        }
    }

    #[test]
    fn small_networks_are_spread_and_others_are_not() {
        let spreads = |text: &str| Client::Firewall.spreads(text.parse().unwrap());
        assert!(
            spreads("198.51.100.0/24") && spreads("198.51.100.0/22") && spreads("192.0.2.0/31")
        );
        assert!(!spreads("198.51.0.0/21") && !spreads("192.0.2.1") && !spreads("2001:db8::/120"));
        assert!(!Client::Patient.spreads("198.51.100.0/24".parse().unwrap()));
        assert_eq!(hosts("198.51.100.0/24".parse().unwrap()).count(), 256);
        assert_eq!(hosts("2001:db8::/120".parse().unwrap()).count(), 0);
    }
}
