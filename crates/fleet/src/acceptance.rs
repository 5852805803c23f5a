//! A guard's own policy: which of the community's bans it takes. What it does not take it still
//! keeps in its copy of the set (the digest is over all of it), but no kernel sees it.

use std::{collections::BTreeSet, fmt};

use model::{Prefix, Tlp, glob};
use serde::{Deserialize, Serialize};

use crate::OrgId;

/// What a guard takes from one community. To follow a community at all is one [`crate::Follower`]
/// each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Acceptance {
    /// Whether bans that the hub's organisation makes for the community (by its quorum) are taken.
    pub hub_bans: HubBans,
    /// Organisations whose own bans are taken; empty: none but the hub's. `None`: all.
    pub orgs: Option<BTreeSet<OrgId>>,
    /// Organisations whose bans are not taken, whatever `orgs` says.
    pub orgs_refused: BTreeSet<OrgId>,
    /// Kinds taken, as patterns with `*` and `?`. The default takes all.
    pub kinds: Vec<String>,
    /// Kinds not taken, whatever `kinds` says.
    pub kinds_refused: Vec<String>,
    /// No network wider than this: the least prefix length. 24 and 48.
    pub width_v4_min: u8,
    pub width_v6_min: u8,
    /// No ban whose label is stricter. `red` takes all.
    pub tlp_max: Tlp,
    /// No ban lasts longer from now on; a longer one is cut to it. 30 days.
    pub seconds_max: u32,
    /// Bans of one organisation (the hub's own counts as one) in force at a time. 1,500,000.
    pub bans_per_issuer_max: usize,
    /// Beyond it, new bans are held back.
    pub flood: Flood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HubBans {
    Take,
    Refuse,
}

/// How fast one issuer's bans may grow at this guard. What comes beyond is held: reported, not in
/// force, still reversible. When nobody reversed it within `hold_seconds`, it is let in at
/// `per_minute`. A first snapshot is no flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flood {
    /// New bans taken at once. 20,000.
    pub burst: u32,
    /// New bans a minute in the long run. 15,000 (a hub at 200 a second makes 12,000).
    pub per_minute: u32,
    /// 600.
    pub hold_seconds: u32,
}

impl Default for Flood {
    fn default() -> Self {
        Self {
            burst: 20_000,
            per_minute: 15_000,
            hold_seconds: 600,
        }
    }
}

impl Default for Acceptance {
    fn default() -> Self {
        Self {
            hub_bans: HubBans::Take,
            orgs: Some(BTreeSet::new()),
            orgs_refused: BTreeSet::new(),
            kinds: vec!["*".to_owned()],
            kinds_refused: Vec::new(),
            width_v4_min: 24,
            width_v6_min: 48,
            tlp_max: Tlp::Red,
            seconds_max: 30 * 86_400,
            bans_per_issuer_max: 1_500_000,
            flood: Flood::default(),
        }
    }
}

/// Why a ban is not taken. Prints as the reason to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Unwanted {
    /// The hub's own bans are refused by configuration.
    HubBans,
    Org,
    Kind,
    Width {
        min: u8,
    },
    Tlp {
        max: Tlp,
    },
    /// The issuer has [`Acceptance::bans_per_issuer_max`] bans here already.
    TooMany {
        limit: usize,
    },
}

impl fmt::Display for Unwanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HubBans => f.write_str("this guard takes no bans that the hub made itself"),
            Self::Org => f.write_str("this guard takes no bans of that organisation"),
            Self::Kind => f.write_str("this guard takes no bans of that kind"),
            Self::Width { min } => write!(f, "wider than /{min}, the widest this guard takes"),
            Self::Tlp { max } => write!(f, "its label is stricter than TLP:{max}"),
            Self::TooMany { limit } => {
                write!(
                    f,
                    "its organisation has {limit} bans here, which is the limit"
                )
            }
        }
    }
}

impl Acceptance {
    /// Whether a ban of `issuer` is taken, floods and counts apart.
    pub fn judge(
        &self,
        prefix: Prefix,
        issuer: &OrgId,
        hub: &OrgId,
        kind: &str,
        tlp: Tlp,
    ) -> Result<(), Unwanted> {
        self.judge_width(prefix)?;
        self.judge_label(issuer, hub, kind, tlp)
    }

    pub(crate) fn judge_width(&self, prefix: Prefix) -> Result<(), Unwanted> {
        let min = if prefix.is_ipv4() {
            self.width_v4_min
        } else {
            self.width_v6_min
        };
        if prefix.len() < min {
            return Err(Unwanted::Width { min });
        }
        Ok(())
    }

    pub(crate) fn judge_label(
        &self,
        issuer: &OrgId,
        hub: &OrgId,
        kind: &str,
        tlp: Tlp,
    ) -> Result<(), Unwanted> {
        self.judge_issuer(issuer, hub)?;
        self.judge_kind(kind)?;
        if tlp > self.tlp_max {
            return Err(Unwanted::Tlp { max: self.tlp_max });
        }
        Ok(())
    }

    fn judge_issuer(&self, issuer: &OrgId, hub: &OrgId) -> Result<(), Unwanted> {
        if issuer == hub {
            return match self.hub_bans {
                HubBans::Take => Ok(()),
                HubBans::Refuse => Err(Unwanted::HubBans),
            };
        }
        let named = self.orgs.as_ref().is_none_or(|orgs| orgs.contains(issuer));
        if named && !self.orgs_refused.contains(issuer) {
            Ok(())
        } else {
            Err(Unwanted::Org)
        }
    }

    fn judge_kind(&self, kind: &str) -> Result<(), Unwanted> {
        let among = |globs: &[String]| globs.iter().any(|pattern| glob::fits(pattern, kind));
        if among(&self.kinds) && !among(&self.kinds_refused) {
            Ok(())
        } else {
            Err(Unwanted::Kind)
        }
    }
}
