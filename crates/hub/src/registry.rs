//! Who belongs: organisations, communities, members with their certificates, invitations, keys of
//! third parties, people, allowlists.
//!
//! A [`Record`] is one row of `hub.db` (JSON under its kind and key) and one entry here. The
//! core's thread writes both in one step; readers look here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fleet::{CommunityId, HubTime, OrgId, PublicKey};
use model::{Prefix, Tlp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{
    caller::{Caller, KeyKind, Means, Role},
    order::Allowlist,
    secret,
};

/// Bytes that print as base64url: hashes and fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash<const N: usize>(pub [u8; N]);

pub(crate) type Fingerprint = Hash<32>;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Record {
    Organisation(Organisation),
    Community(Community),
    Member(Member),
    Certificate(Certificate),
    Invitation(Invitation),
    Key(Key),
    Person(Person),
    Allowlist(Allowlist),
    Handover(HandoverFile),
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Organisation {
    pub(crate) id: OrgId,
    /// The seed of the key by which the hub signs what third parties' agents of this organisation
    /// report; for the hub's own organisation, the community's key.
    pub(crate) seed: Hash<32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Community {
    pub id: CommunityId,
    pub members: BTreeSet<OrgId>,
    /// Statements marked stricter than this do not belong here.
    pub tlp_ceiling: Tlp,
    pub rules: CommunityRules,
}

/// What the hub itself refuses, whoever signed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommunityRules {
    /// Wider networks never pass.
    pub widest_ipv4: u8,
    pub widest_ipv6: u8,
    /// Bans that one organisation may issue in an hour (the hub's own excepted).
    pub bans_per_hour: u32,
    /// Never banned, beside the hub's own addresses and what no list may hold.
    pub never: Vec<Prefix>,
}

impl Default for CommunityRules {
    fn default() -> Self {
        Self {
            widest_ipv4: 16,
            widest_ipv6: 32,
            bans_per_hour: 20_000,
            never: Vec::new(),
        }
    }
}

/// A machine or a person of an organisation that came by an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub organisation: OrgId,
    pub name: String,
    pub role: fleet::Role,
    pub communities: Vec<CommunityId>,
    /// Signs its statements.
    pub statement_key: PublicKey,
    pub joined_unix_ms: u64,
    #[serde(default)]
    pub revoked: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) organisation: OrgId,
    pub(crate) name: String,
    pub(crate) not_after_unix_ms: u64,
    /// Set once and for good; open streams look at it.
    #[serde(default)]
    pub(crate) revoked: Arc<Flag>,
}

#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Relaxed);
    }
}

/// Stands under the SHA-256 of its secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) secret: Hash<32>,
    pub(crate) organisation: OrgId,
    pub(crate) role: fleet::Role,
    pub(crate) communities: Vec<CommunityId>,
    pub(crate) until: HubTime,
    /// SHA-256 over the keys that used it.
    #[serde(default)]
    pub(crate) used_by: Option<Hash<32>>,
}

/// A hand-over: its two sides, and all that happened between them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct HandoverFile {
    /// `acme/HO-2026-0001`.
    pub(crate) key: String,
    pub(crate) from: OrgId,
    pub(crate) to: OrgId,
    /// The first is the offer.
    pub(crate) acts: Vec<model::HandoverAct>,
}

/// A third party's API key or machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) kind: KeyKind,
    pub(crate) name: String,
    pub(crate) organisation: OrgId,
    pub(crate) communities: Vec<CommunityId>,
    pub(crate) secret: KeptSecret,
    pub(crate) accepted: bool,
    pub(crate) created_unix_ms: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeptSecret {
    /// SHA-512.
    Key(Hash<64>),
    /// PHC string.
    Password(String),
}

/// A person with a password and a second factor.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) organisation: OrgId,
    pub(crate) role: fleet::Role,
    pub(crate) password: String,
    pub(crate) totp: Option<Hash<20>>,
    /// The last time step whose code was used: no code counts twice (RFC 6238 section 5.2).
    #[serde(default)]
    pub(crate) totp_step: u64,
}

impl Record {
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Organisation(_) => "organisation",
            Self::Community(_) => "community",
            Self::Member(_) => "member",
            Self::Certificate(_) => "certificate",
            Self::Invitation(_) => "invitation",
            Self::Key(_) => "key",
            Self::Person(_) => "person",
            Self::Allowlist(_) => "allowlist",
            Self::Handover(_) => "handover",
        }
    }

    /// Unique among its kind.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Organisation(o) => o.id.to_string(),
            Self::Community(c) => c.id.to_string(),
            Self::Member(m) => format!("{}/{}", m.organisation, m.name),
            Self::Certificate(c) => c.fingerprint.to_string(),
            Self::Invitation(i) => i.secret.to_string(),
            Self::Key(k) => format!("{}/{}", k.kind.word(), k.name),
            Self::Person(p) => p.name.clone(),
            Self::Allowlist(a) => format!("{}/{}", a.organisation, a.name),
            Self::Handover(h) => h.key.clone(),
        }
    }
}

#[derive(Default)]
pub(crate) struct Registry {
    /// By the offering organisation and its number.
    pub(crate) handovers: BTreeMap<String, Arc<HandoverFile>>,
    pub(crate) hub: Option<OrgId>,
    pub(crate) organisations: BTreeMap<OrgId, Arc<Organisation>>,
    pub(crate) communities: BTreeMap<CommunityId, Arc<Community>>,
    pub(crate) members: BTreeMap<(OrgId, String), Arc<Member>>,
    pub(crate) certificates: HashMap<Fingerprint, Arc<Certificate>>,
    by_member: BTreeMap<(OrgId, String), BTreeSet<Fingerprint>>,
    pub(crate) invitations: BTreeMap<Hash<32>, Arc<Invitation>>,
    bouncers: HashMap<Hash<64>, Arc<Key>>,
    pub(crate) keys: BTreeMap<(KeyKind, String), Arc<Key>>,
    pub(crate) people: BTreeMap<String, Arc<Person>>,
    pub(crate) allowlists: BTreeMap<(OrgId, String), Arc<Allowlist>>,
}

impl Registry {
    pub(crate) fn put(&mut self, record: Record) {
        match record {
            Record::Organisation(o) => {
                self.organisations.insert(o.id.clone(), Arc::new(o));
            }
            Record::Community(c) => {
                self.communities.insert(c.id.clone(), Arc::new(c));
            }
            Record::Member(m) => {
                let place = (m.organisation.clone(), m.name.clone());
                self.members.insert(place, Arc::new(m));
            }
            Record::Certificate(c) => {
                let place = (c.organisation.clone(), c.name.clone());
                self.by_member
                    .entry(place)
                    .or_default()
                    .insert(c.fingerprint);
                self.certificates.insert(c.fingerprint, Arc::new(c));
            }
            Record::Invitation(i) => {
                self.invitations.insert(i.secret, Arc::new(i));
            }
            Record::Key(k) => {
                let k = Arc::new(k);
                if let KeptSecret::Key(hash) = k.secret {
                    self.bouncers.insert(hash, Arc::clone(&k));
                }
                self.keys.insert((k.kind, k.name.clone()), k);
            }
            Record::Person(p) => {
                self.people.insert(p.name.clone(), Arc::new(p));
            }
            Record::Handover(h) => {
                self.handovers.insert(h.key.clone(), Arc::new(h));
            }
            Record::Allowlist(a) => {
                let place = (a.organisation.clone(), a.name.clone());
                self.allowlists.insert(place, Arc::new(a));
            }
        }
    }

    pub(crate) fn remove(&mut self, record: &Record) {
        match record {
            Record::Organisation(o) => drop(self.organisations.remove(&o.id)),
            Record::Community(c) => drop(self.communities.remove(&c.id)),
            Record::Member(m) => {
                self.members
                    .remove(&(m.organisation.clone(), m.name.clone()));
            }
            Record::Certificate(c) => {
                self.certificates.remove(&c.fingerprint);
                let place = (c.organisation.clone(), c.name.clone());
                if let Some(own) = self.by_member.get_mut(&place) {
                    own.remove(&c.fingerprint);
                }
            }
            Record::Invitation(i) => drop(self.invitations.remove(&i.secret)),
            Record::Key(k) => {
                if let KeptSecret::Key(hash) = &k.secret {
                    self.bouncers.remove(hash);
                }
                self.keys.remove(&(k.kind, k.name.clone()));
            }
            Record::Handover(h) => drop(self.handovers.remove(&h.key)),
            Record::Person(p) => drop(self.people.remove(&p.name)),
            Record::Allowlist(a) => {
                self.allowlists
                    .remove(&(a.organisation.clone(), a.name.clone()));
            }
        }
    }

    /// The certificates that a member has.
    pub(crate) fn certificates_of(
        &self,
        organisation: &OrgId,
        name: &str,
    ) -> Vec<Arc<Certificate>> {
        let own = self.by_member.get(&(organisation.clone(), name.to_owned()));
        let own = own.into_iter().flatten();
        own.filter_map(|f| self.certificates.get(f))
            .cloned()
            .collect()
    }

    /// The bouncer whose key this is.
    pub(crate) fn bouncer(&self, secret: &str) -> Option<&Arc<Key>> {
        let hash = Hash(secret::hash_key(secret));
        let key = self.bouncers.get(&hash)?;
        match &key.secret {
            KeptSecret::Key(kept) if secret::same(&kept.0, &hash.0) => Some(key),
            _ => None,
        }
    }

    pub(crate) fn caller_of_key(&self, key: &Key) -> Caller {
        self.caller(
            &key.name,
            &key.organisation,
            &key.communities,
            key.kind.role(),
            Means::Key { kind: key.kind },
        )
    }

    pub(crate) fn caller_of_member(&self, member: &Member, fingerprint: Fingerprint) -> Caller {
        let means = Means::Certificate {
            fingerprint: fingerprint.0,
        };
        let role = Role::from(member.role);
        self.caller(
            &member.name,
            &member.organisation,
            &member.communities,
            role,
            means,
        )
    }

    /// In all communities of their organisation.
    pub(crate) fn caller_of_person(&self, person: &Person) -> Caller {
        let all: Vec<_> = self.communities.keys().cloned().collect();
        let role = Role::from(person.role);
        self.caller(
            &person.name,
            &person.organisation,
            &all,
            role,
            Means::Password,
        )
    }

    pub(crate) fn operator(&self, name: &str) -> Option<Caller> {
        let hub = self.hub.as_ref()?;
        let all: Vec<_> = self.communities.keys().cloned().collect();
        Some(self.caller(name, hub, &all, Role::Operator, Means::Control))
    }

    /// The communities it was given, as far as its organisation is still a member of them.
    fn caller(
        &self,
        name: &str,
        organisation: &OrgId,
        communities: &[CommunityId],
        role: Role,
        means: Means,
    ) -> Caller {
        let belongs = |id: &&CommunityId| {
            let found = self.communities.get(*id);
            found.is_some_and(|c| c.members.contains(organisation))
        };
        let sees = self.hub.iter().chain([organisation]).cloned().collect();
        Caller {
            name: name.into(),
            organisation: organisation.clone(),
            communities: communities.iter().filter(belongs).cloned().collect(),
            role,
            means,
            sees: Arc::new(sees),
        }
    }

    /// The allowlist of the caller's organisation, or of the hub's, that holds all of `prefix`.
    pub(crate) fn allowed(
        &self,
        caller: &Caller,
        prefix: Prefix,
        now: HubTime,
    ) -> Option<(Arc<Allowlist>, usize)> {
        let mine = |list: &&Arc<Allowlist>| caller.sees.contains(&list.organisation);
        self.allowlists.values().filter(mine).find_map(|list| {
            let at = list.items.iter().position(|item| {
                item.until.is_none_or(|until| until > now) && item.prefix.covers(prefix)
            });
            at.map(|at| (Arc::clone(list), at))
        })
    }
}

impl<const N: usize> fmt::Display for Hash<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<const N: usize> fmt::Debug for Hash<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

impl<const N: usize> Serialize for Hash<N> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hash<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(D::Error::custom)?;
        let bytes = bytes
            .try_into()
            .map_err(|_| D::Error::custom("of another length"))?;
        Ok(Self(bytes))
    }
}

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bool(self.is_set())
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Self(AtomicBool::new(bool::deserialize(d)?)))
    }
}

impl fmt::Debug for Organisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Organisation({})", self.id)
    }
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Person({})", self.name)
    }
}
