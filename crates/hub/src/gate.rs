//! Least privilege, as two tables: which role may do what, and what each route asks for. And what
//! nobody may ban.
//!
//! A route that the second table does not name is open to no role: whoever adds one decides here.
//! That an organisation never touches another's is the caller's part ([`Caller::may_see`],
//! [`Caller::may_release`]) and the registry's, which gives a caller its own communities only.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use axum::{
    extract::{FromRequestParts, MatchedPath},
    http::{Extensions, Method, request::Parts},
};
use fleet::CommunityId;
use model::Prefix;

use crate::{
    caller::{Caller, Role},
    error::OrderError,
};

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Read bans: doors, streams, snapshots.
    Read,
    /// Bring alerts and bans through a third party's door.
    Report,
    /// Send signed statements.
    State,
    /// Lift own bans through a door.
    Release,
    /// Say that a community's ban is wrong.
    Appeal,
    /// Tell how one is.
    Here,
    /// Read alerts, and delete them.
    Alerts,
    /// Change allowlists of the own organisation.
    Allow,
    /// Offer files of cases to another organisation, and answer its requests.
    Offer,
    /// Take files that were offered to the own organisation.
    Receive,
    /// Send exhibits, and read those of the own organisation.
    Exhibit,
    /// Invite, revoke, add keys, change communities.
    Govern,
}

impl Act {
    pub const ALL: [Self; 12] = [
        Self::Read,
        Self::Report,
        Self::State,
        Self::Release,
        Self::Appeal,
        Self::Here,
        Self::Alerts,
        Self::Allow,
        Self::Offer,
        Self::Receive,
        Self::Exhibit,
        Self::Govern,
    ];

    pub const fn words(self) -> &'static str {
        match self {
            Self::Read => "read bans",
            Self::Report => "report",
            Self::State => "send statements",
            Self::Release => "lift bans",
            Self::Appeal => "appeal",
            Self::Here => "tell how it is",
            Self::Alerts => "work with alerts",
            Self::Allow => "change allowlists",
            Self::Offer => "offer files of cases",
            Self::Receive => "receive files of cases",
            Self::Exhibit => "send and read exhibits",
            Self::Govern => "govern the hub",
        }
    }
}

/// What a route asks of whoever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nobody is asked who they are, or the body alone says it: a token, a password.
    Nothing,
    /// Known to the hub, whatever the role.
    Member,
    /// One of these acts.
    OneOf(&'static [Act]),
}

/// All routes behind which somebody is known, and those that ask for nothing.
pub(crate) const ROUTES: [(&str, &str, Needs); 41] = {
    use Needs::{Member, Nothing, OneOf};
    const READ: Needs = OneOf(&[Act::Read]);
    const HERE: Needs = OneOf(&[Act::Here]);
    const RELEASE: Needs = OneOf(&[Act::Release]);
    const ALERTS: Needs = OneOf(&[Act::Alerts]);
    const REPORT: Needs = OneOf(&[Act::Report]);
    const RECEIVE: Needs = OneOf(&[Act::Receive]);
    const OFFER: Needs = OneOf(&[Act::Offer]);
    const EITHER_SIDE: Needs = OneOf(&[Act::Offer, Act::Receive]);
    [
        ("POST", "/fleet/v1/join", Nothing),
        ("POST", "/fleet/v1/renew", Member),
        ("POST", "/fleet/v1/here", HERE),
        ("GET", "/fleet/v1/{community}/stream", READ),
        ("GET", "/fleet/v1/{community}/snapshot/{hash}", READ),
        (
            "POST",
            "/fleet/v1/{community}/statements",
            OneOf(&[Act::State]),
        ),
        (
            "POST",
            "/fleet/v1/{community}/appeals",
            OneOf(&[Act::Appeal]),
        ),
        ("POST", "/fleet/v1/{community}/spread", READ),
        ("GET", "/handover/v1/offers", EITHER_SIDE),
        ("POST", "/handover/v1/offers", OFFER),
        ("GET", "/handover/v1/offers/{org}/{number}", EITHER_SIDE),
        ("GET", "/handover/v1/offers/{org}/{number}/package", RECEIVE),
        (
            "POST",
            "/handover/v1/offers/{org}/{number}/receipt",
            RECEIVE,
        ),
        (
            "POST",
            "/handover/v1/offers/{org}/{number}/decline",
            RECEIVE,
        ),
        (
            "POST",
            "/handover/v1/offers/{org}/{number}/requests",
            RECEIVE,
        ),
        ("POST", "/handover/v1/offers/{org}/{number}/answers", OFFER),
        (
            "POST",
            "/handover/v1/offers/{org}/{number}/outcomes",
            RECEIVE,
        ),
        ("GET", "/v1/decisions", READ),
        ("DELETE", "/v1/decisions", RELEASE),
        ("GET", "/v1/decisions/stream", READ),
        ("DELETE", "/v1/decisions/{id}", RELEASE),
        ("POST", "/v1/usage-metrics", HERE),
        ("POST", "/v1/watchers", Nothing),
        ("POST", "/v1/watchers/login", Nothing),
        ("DELETE", "/v1/watchers/self", REPORT),
        ("GET", "/v1/refresh_token", HERE),
        ("GET", "/v1/heartbeat", HERE),
        ("POST", "/v1/alerts", REPORT),
        ("GET", "/v1/alerts", ALERTS),
        ("DELETE", "/v1/alerts", ALERTS),
        ("GET", "/v1/alerts/{id}", ALERTS),
        ("DELETE", "/v1/alerts/{id}", ALERTS),
        ("GET", "/v1/allowlists", READ),
        ("POST", "/v1/allowlists/check", READ),
        ("GET", "/v1/allowlists/check/{*value}", READ),
        ("GET", "/v1/allowlists/{name}", READ),
        ("POST", "/people/v1/login", Nothing),
        ("GET", "/health", Nothing),
        ("GET", "/feeds/{format}", READ),
        ("POST", "/openc2", REPORT),
        ("POST", "/.well-known/openc2", REPORT),
    ]
};

impl Needs {
    /// By the route that a request took; a look at the head is a look.
    pub(crate) fn of(method: &Method, extensions: &Extensions) -> Self {
        let path = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        let method = match method {
            &Method::HEAD => "GET",
            other => other.as_str(),
        };
        let named = ROUTES
            .iter()
            .find(|(verb, route, _)| *verb == method && Some(*route) == path);
        named.map_or(Self::OneOf(&[]), |(_, _, needs)| *needs)
    }
}

impl<S: Sync> FromRequestParts<S> for Needs {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.method, &parts.extensions))
    }
}

/// Whether somebody of this role may take a route.
pub(crate) fn may_take(by: &Caller, needs: Needs) -> Result<(), OrderError> {
    match needs {
        Needs::Nothing | Needs::Member => Ok(()),
        Needs::OneOf(wanted) => {
            let mine = acts(by.role);
            match wanted.iter().any(|act| mine.contains(act)) {
                true => Ok(()),
                false => may(by, *wanted.first().unwrap_or(&Act::Govern)),
            }
        }
    }
}

const fn acts(role: Role) -> &'static [Act] {
    match role {
        Role::Guard => &[
            Act::Read,
            Act::State,
            Act::Release,
            Act::Appeal,
            Act::Here,
            Act::Offer,
            Act::Exhibit,
        ],
        Role::Analyst => &[
            Act::Read,
            Act::State,
            Act::Release,
            Act::Appeal,
            Act::Alerts,
            Act::Allow,
            Act::Here,
            Act::Offer,
            Act::Exhibit,
        ],
        Role::Partner => &[Act::Read, Act::State, Act::Appeal, Act::Here, Act::Offer],
        // What was offered to its organisation, and nothing else.
        Role::Police => &[Act::Receive],
        Role::Witness => &[Act::Here],
        Role::Bouncer => &[Act::Read, Act::Here],
        Role::Machine => &[
            Act::Read,
            Act::Report,
            Act::Release,
            Act::Alerts,
            Act::Allow,
            Act::Here,
        ],
        Role::Operator => &Act::ALL,
    }
}

/// The one place that says no to a role.
pub fn may(by: &Caller, act: Act) -> Result<(), OrderError> {
    if acts(by.role).contains(&act) {
        return Ok(());
    }
    Err(OrderError::Forbidden {
        name: by.name.to_string(),
        role: by.role.word(),
        act: act.words(),
    })
}

/// The same within one community, of which the caller's organisation must be a member.
pub fn may_in(by: &Caller, act: Act, community: &CommunityId) -> Result<(), OrderError> {
    may(by, act)?;
    if by.communities.contains(community) {
        return Ok(());
    }
    Err(OrderError::NotMember {
        organisation: by.organisation.to_string(),
        community: community.to_string(),
    })
}

/// Why no list of any organisation may hold this prefix.
pub fn never(prefix: Prefix) -> Option<&'static str> {
    const V4: [(Ipv4Addr, u8, &str); 6] = [
        (
            Ipv4Addr::new(0, 0, 0, 0),
            8,
            "\"this network\" (RFC 1122) is never banned",
        ),
        (Ipv4Addr::LOCALHOST, 8, "loopback is never banned"),
        (
            Ipv4Addr::new(169, 254, 0, 0),
            16,
            "link-local addresses are never banned",
        ),
        (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast is never banned"),
        (
            Ipv4Addr::new(255, 255, 255, 255),
            32,
            "broadcast is never banned",
        ),
        (
            Ipv4Addr::new(240, 0, 0, 0),
            4,
            "reserved addresses are never banned",
        ),
    ];
    const V6: [(Ipv6Addr, u8, &str); 4] = [
        (
            Ipv6Addr::UNSPECIFIED,
            128,
            "the unspecified address is never banned",
        ),
        (Ipv6Addr::LOCALHOST, 128, "loopback is never banned"),
        (
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
            10,
            "link-local addresses are never banned",
        ),
        (
            Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
            8,
            "multicast is never banned",
        ),
    ];
    let v4 = V4.iter().map(|(a, len, why)| (IpAddr::V4(*a), *len, *why));
    let v6 = V6.iter().map(|(a, len, why)| (IpAddr::V6(*a), *len, *why));
    v4.chain(v6).find_map(|(addr, len, why)| {
        let network = Prefix::new(addr, len).ok()?;
        network.overlaps(prefix).then_some(why)
    })
}

#[cfg(test)]
mod every_route;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use super::*;
    use crate::caller::Means;

    fn caller(role: Role) -> Caller {
        let org: fleet::OrgId = "acme".parse().unwrap();
        Caller {
            name: "x".into(),
            sees: Arc::new(BTreeSet::from([org.clone()])),
            organisation: org,
            communities: Arc::from(["main".parse().unwrap()]),
            role,
            means: Means::Control,
        }
    }

    #[test]
    fn a_role_may_no_more_than_it_needs() {
        let all = [
            (Role::Guard, "RSLAHOX"),
            (Role::Witness, "H"),
            (Role::Bouncer, "RH"),
        ];
        let letter = |act: Act| match act {
            Act::Read => 'R',
            Act::State => 'S',
            Act::Release => 'L',
            Act::Appeal => 'A',
            Act::Here => 'H',
            Act::Offer => 'O',
            Act::Exhibit => 'X',
            Act::Report | Act::Alerts | Act::Allow | Act::Receive | Act::Govern => '!',
        };
        for (role, allowed) in all {
            for act in Act::ALL {
                let is = may(&caller(role), act).is_ok();
                assert_eq!(is, allowed.contains(letter(act)), "{role} {act:?}");
            }
        }
        let governs = |role| may(&caller(role), Act::Govern).is_ok();
        assert!(governs(Role::Operator));
        assert!(!governs(Role::Analyst) && !governs(Role::Police) && !governs(Role::Machine));
    }

    #[test]
    fn exhibits_are_for_who_defends() {
        let exhibits = |role| may(&caller(role), Act::Exhibit).is_ok();
        assert!(exhibits(Role::Guard) && exhibits(Role::Analyst));
        for role in [
            Role::Partner,
            Role::Police,
            Role::Witness,
            Role::Bouncer,
            Role::Machine,
        ] {
            assert!(!exhibits(role), "{role}");
        }
    }

    #[test]
    fn a_community_is_for_its_members() {
        let other = "other".parse().unwrap();
        assert!(may_in(&caller(Role::Guard), Act::Read, &"main".parse().unwrap()).is_ok());
        assert!(may_in(&caller(Role::Guard), Act::Read, &other).is_err());
    }

    #[test]
    fn what_holds_everybody_is_never_banned() {
        for text in [
            "0.0.0.0/0",
            "127.0.0.1",
            "::/0",
            "::1",
            "224.0.0.0/3",
            "fe80::/64",
        ] {
            assert!(never(text.parse().unwrap()).is_some(), "{text}");
        }
        assert!(never("203.0.113.9".parse().unwrap()).is_none());
    }
}
