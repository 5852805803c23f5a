//! `[fleet]` of the configuration: which communities are followed, what is taken from them, and
//! what is told to them.

use std::{collections::BTreeSet, time::Duration};

use fleet::{Acceptance, BackoffConfig, CommunityId, Flood, HubBans, OrgId};
use model::{Prefix, Tlp, parse_duration};
use serde::{Deserialize, Deserializer, de::Error as _};

use crate::address::HubUrl;

/// The whole table. It matters once this machine has joined a hub; see `posse join`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetConfig {
    /// `off`: the membership is kept but not used.
    pub mode: Mode,
    /// Hubs to try in turn; absent: the one that was joined.
    pub hubs: Vec<HubUrl>,
    /// Communities to follow; absent: all that this machine is a member of.
    pub communities: Option<BTreeSet<CommunityId>>,
    /// Name of the nftables table; of further communities with their name behind it.
    pub table: String,
    pub accept: Accept,
    pub share: Share,
    /// Never banned by a community, beyond `[never_ban]`.
    pub never: Vec<Prefix>,
    /// An alert when the hub was not reached for so long.
    #[serde(deserialize_with = "duration")]
    pub lost_after: Duration,
    /// After a lost connection a guard knocks again within this time, which doubles with every
    /// failure; guards of one hub come back spread over it.
    #[serde(deserialize_with = "duration")]
    pub retry_spread: Duration,
    /// The longest that the doubled time gets.
    #[serde(deserialize_with = "duration")]
    pub retry_max: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Auto,
    Off,
}

/// `[fleet.accept]`: see [`fleet::Acceptance`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accept {
    /// Bans that the community decided: `take` or `refuse`.
    pub community_bans: HubBans,
    /// Organisations whose own bans are taken as well; `["*"]`: all.
    pub organisations: Vec<String>,
    pub organisations_refused: BTreeSet<OrgId>,
    pub kinds: Vec<String>,
    pub kinds_refused: Vec<String>,
    pub widest_ipv4: u8,
    pub widest_ipv6: u8,
    pub tlp_max: Tlp,
    #[serde(deserialize_with = "duration")]
    pub duration_max: Duration,
    pub bans_per_organisation: usize,
    pub flood: Flood,
}

/// `[fleet.share]`: what of this machine's own bans the community is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Share {
    pub bans: BTreeSet<SharedKind>,
    /// Kinds told, as patterns with `*` and `?`.
    pub kinds: Vec<String>,
    /// Who may see them.
    pub tlp: Tlp,
}

/// Whose bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedKind {
    Detection,
    Operator,
}

impl Default for FleetConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Auto,
            hubs: Vec::new(),
            communities: None,
            table: "posse_fleet".to_owned(),
            accept: Accept::default(),
            share: Share::default(),
            never: Vec::new(),
            lost_after: Duration::from_secs(300),
            retry_spread: BackoffConfig::default().spread,
            retry_max: BackoffConfig::default().max,
        }
    }
}

impl Default for Accept {
    fn default() -> Self {
        let Acceptance {
            hub_bans,
            orgs: _,
            orgs_refused,
            kinds,
            kinds_refused,
            width_v4_min,
            width_v6_min,
            tlp_max,
            seconds_max,
            bans_per_issuer_max,
            flood,
        } = Acceptance::default();
        Self {
            community_bans: hub_bans,
            organisations: Vec::new(),
            organisations_refused: orgs_refused,
            kinds,
            kinds_refused,
            widest_ipv4: width_v4_min,
            widest_ipv6: width_v6_min,
            tlp_max,
            duration_max: Duration::from_secs(u64::from(seconds_max)),
            bans_per_organisation: bans_per_issuer_max,
            flood,
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self {
            bans: [SharedKind::Detection, SharedKind::Operator].into(),
            kinds: vec!["*".to_owned()],
            tlp: Tlp::Green,
        }
    }
}

/// No configuration makes a guard knock without a pause.
const RETRY_MIN: Duration = Duration::from_millis(500);

impl FleetConfig {
    pub(crate) fn backoff(&self) -> BackoffConfig {
        BackoffConfig {
            spread: self.retry_spread.max(RETRY_MIN),
            max: self.retry_max.max(RETRY_MIN),
            ..BackoffConfig::default()
        }
    }
}

impl Accept {
    pub(crate) fn policy(&self) -> Acceptance {
        let all = self.organisations.iter().any(|name| name == "*");
        // What is no name can be nobody's.
        let named = self
            .organisations
            .iter()
            .filter_map(|name| name.parse().ok());
        Acceptance {
            hub_bans: self.community_bans,
            orgs: (!all).then(|| named.collect()),
            orgs_refused: self.organisations_refused.clone(),
            kinds: self.kinds.clone(),
            kinds_refused: self.kinds_refused.clone(),
            width_v4_min: self.widest_ipv4,
            width_v6_min: self.widest_ipv6,
            tlp_max: self.tlp_max,
            seconds_max: u32::try_from(self.duration_max.as_secs()).unwrap_or(u32::MAX),
            bans_per_issuer_max: self.bans_per_organisation,
            flood: self.flood,
        }
    }

    /// For people, after joining: one line each.
    pub fn in_words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(match self.community_bans {
            HubBans::Take => "bans that the community's members confirmed: taken".to_owned(),
            HubBans::Refuse => "bans that the community's members confirmed: refused".to_owned(),
        });
        lines.push(if self.organisations.is_empty() {
            "bans of single organisations: refused".to_owned()
        } else {
            format!(
                "bans of single organisations: {}",
                self.organisations.join(", ")
            )
        });
        lines.push(format!(
            "no network wider than /{} (IPv4) or /{} (IPv6), no ban longer than {}",
            self.widest_ipv4,
            self.widest_ipv6,
            model::format_duration(self.duration_max)
        ));
        lines.push(
            "never this machine, its gateways, resolvers, administrators, the hub, or what \
             [never_ban] and [fleet] never name"
                .to_owned(),
        );
        lines
    }
}

impl Share {
    /// For people: one line.
    pub fn in_words(&self) -> String {
        let words = |kind: &SharedKind| match kind {
            SharedKind::Detection => "what this machine detects and bans",
            SharedKind::Operator => "what its operators ban",
        };
        if self.bans.is_empty() {
            return "nothing is reported".to_owned();
        }
        let what: Vec<_> = self.bans.iter().map(words).collect();
        format!(
            "reported: {} (address, time, kind and reason; no log lines), TLP:{}",
            what.join(", "),
            self.tlp
        )
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_takes_what_the_community_decided_only() {
        let config: FleetConfig = toml::from_str("").unwrap();
        assert_eq!(config, FleetConfig::default());
        assert_eq!(config.accept.policy(), Acceptance::default());
    }

    #[test]
    fn keys_are_read_and_unknown_ones_refused() {
        let text = "hubs = [\"hub.example.net\"]\n[accept]\norganisations = [\"*\"]\n\
                    duration_max = \"2h\"\n[share]\nbans = [\"operator\"]\n";
        let config: FleetConfig = toml::from_str(text).unwrap();
        let policy = config.accept.policy();
        assert_eq!((policy.orgs, policy.seconds_max), (None, 7_200));
        assert_eq!(config.share.bans, [SharedKind::Operator].into());
        for wrong in [
            "acept = 1",
            "[accept]\norgs = []",
            "[share]\nbans = [\"all\"]",
        ] {
            assert!(toml::from_str::<FleetConfig>(wrong).is_err(), "{wrong}");
        }
    }
}
