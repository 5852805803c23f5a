//! Whose key is whose. Every entry is signed by the hub's roster key, which guards pinned at join.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    CommunityId, FleetError, KeyId, OrgId, PublicKey, Signature, SigningKey,
    cbor::{Reader, Writer, Written, written},
};

/// Keys of one community, revoked ones included.
pub const ROSTER_MAX: usize = 20_000;

const ENTRY_BYTES_MAX: usize = 512;
const VERSION: u64 = 1;
const DOMAIN: &[u8] = b"posse fleet roster 1\0";

/// What a member of an organisation may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A machine that detects, reports and enforces.
    Guard,
    /// A person of the organisation who also reverses and explains.
    Analyst,
    /// Another system: a feed, a bouncer, an agent.
    Partner,
    Police,
    /// Countersigns the ledger; may neither report nor ban.
    Witness,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Guard,
        Self::Analyst,
        Self::Partner,
        Self::Police,
        Self::Witness,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Analyst => "analyst",
            Self::Partner => "partner",
            Self::Police => "police",
            Self::Witness => "witness",
        }
    }

    /// Whether it is part of communities: follows their bans and has a key on their rosters.
    pub const fn follows(self) -> bool {
        match self {
            Self::Guard | Self::Analyst | Self::Partner => true,
            Self::Police | Self::Witness => false,
        }
    }

    /// Whether its statements may put bans into a community's set.
    pub const fn may_ban(self) -> bool {
        !matches!(self, Self::Witness)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text was no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; write guard, analyst, partner, police or witness")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| RoleError(text.chars().take(40).collect()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Active,
    /// Statements by this key are no longer taken. Bans it made before stay until they end or the
    /// hub releases them.
    Revoked,
}

/// Binds a key to an organisation within one community.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterEntry {
    pub community: CommunityId,
    pub org: OrgId,
    pub key: PublicKey,
    pub role: Role,
    pub standing: Standing,
    /// Greater than that of every entry before it in this community. A later entry for the same
    /// key replaces the earlier one, but never moves the key to another organisation.
    pub serial: u64,
}

impl RosterEntry {
    fn encode(&self) -> Vec<u8> {
        written(|w| {
            w.array(7)?.u64(VERSION)?;
            w.str(self.community.as_str())?.str(self.org.as_str())?;
            w.bytes(&self.key.0)?.u8(self.role as u8)?;
            w.u8(self.standing as u8)?.u64(self.serial)?;
            Ok(())
        })
    }

    fn decode(bytes: &[u8]) -> Result<Self, FleetError> {
        let mut r = Reader::new("roster entry", bytes);
        r.tuple(7)?;
        if r.u64()? != VERSION {
            return Err(r.fail("a version that is not known here; update this program"));
        }
        let (community, org) = (r.community()?, r.org()?);
        let key = PublicKey(r.exactly()?);
        let role = Role::ALL.get(usize::from(r.u8()?)).copied();
        let role = role.ok_or_else(|| r.fail("no role"))?;
        let standing = match r.u8()? {
            0 => Standing::Active,
            1 => Standing::Revoked,
            _ => return Err(r.fail("neither active nor revoked")),
        };
        let serial = r.u64()?;
        r.end()?;
        let entry = Self {
            community,
            org,
            key,
            role,
            standing,
            serial,
        };
        if entry.encode() != bytes {
            return Err(r.fail("not in canonical form"));
        }
        Ok(entry)
    }
}

/// An entry and the roster key's signature over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRosterEntry {
    entry: RosterEntry,
    signature: Signature,
}

impl SignedRosterEntry {
    pub fn sign(entry: RosterEntry, roster_key: &SigningKey) -> Self {
        let signature = roster_key.sign(DOMAIN, &entry.encode());
        Self { entry, signature }
    }

    /// What it says, whoever signed it.
    pub const fn entry(&self) -> &RosterEntry {
        &self.entry
    }

    pub fn verify(&self, roster_key: &PublicKey) -> Result<(), FleetError> {
        if roster_key.verify(DOMAIN, &self.entry.encode(), &self.signature) {
            return Ok(());
        }
        Err(FleetError::BadSignature {
            key: roster_key.id(),
        })
    }

    /// CBOR `[entry bytes, signature]`, for keeping.
    pub fn encode(&self) -> Vec<u8> {
        written(|w| self.write(w))
    }

    /// Reads what [`Self::encode`] wrote. Says nothing of the signature.
    pub fn decode(bytes: &[u8]) -> Result<Self, FleetError> {
        let mut r = Reader::new("roster entry", bytes);
        let signed = Self::read_from(&mut r)?;
        r.end()?;
        Ok(signed)
    }

    pub(crate) fn write(&self, w: &mut Writer) -> Written {
        w.array(2)?
            .bytes(&self.entry.encode())?
            .bytes(&self.signature.0)?;
        Ok(())
    }

    pub(crate) fn read_from(r: &mut Reader) -> Result<Self, FleetError> {
        r.tuple(2)?;
        Ok(Self {
            entry: RosterEntry::decode(r.bytes(ENTRY_BYTES_MAX)?)?,
            signature: r.signature()?,
        })
    }
}

/// All keys of one community, as both hub and guards keep them.
#[derive(Clone, Debug)]
pub struct Roster {
    community: CommunityId,
    roster_key: PublicKey,
    entries: BTreeMap<KeyId, SignedRosterEntry>,
    serial: u64,
}

impl Roster {
    pub const fn new(community: CommunityId, roster_key: PublicKey) -> Self {
        Self {
            community,
            roster_key,
            entries: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Takes an entry that the roster key signed and whose serial is above all others'.
    pub fn take(&mut self, signed: SignedRosterEntry) -> Result<(), FleetError> {
        self.check(&signed)?;
        self.serial = signed.entry.serial;
        self.entries.insert(signed.entry.key.id(), signed);
        Ok(())
    }

    fn check(&self, signed: &SignedRosterEntry) -> Result<(), FleetError> {
        let entry = &signed.entry;
        if entry.community != self.community {
            return Err(FleetError::Community {
                found: entry.community.clone(),
                wanted: self.community.clone(),
            });
        }
        signed.verify(&self.roster_key)?;
        if entry.serial <= self.serial {
            return Err(FleetError::RosterOrder {
                found: entry.serial,
                last: self.serial,
            });
        }
        match self.entries.get(&entry.key.id()) {
            Some(was) if was.entry.org != entry.org => Err(FleetError::NotTheirs {
                org: entry.org.clone(),
                of: was.entry.org.clone(),
            }),
            None if self.entries.len() >= ROSTER_MAX => Err(FleetError::Full {
                what: "keys on the roster",
                limit: ROSTER_MAX,
            }),
            _ => Ok(()),
        }
    }

    /// The key's entry, also when it was revoked.
    pub fn get(&self, key: KeyId) -> Option<&RosterEntry> {
        self.entries.get(&key).map(SignedRosterEntry::entry)
    }

    /// The entry of a key whose statements are taken.
    pub fn active(&self, key: KeyId) -> Result<&RosterEntry, FleetError> {
        let entry = self.get(key).ok_or_else(|| FleetError::UnknownKey {
            key,
            community: self.community.clone(),
        })?;
        match entry.standing {
            Standing::Active => Ok(entry),
            Standing::Revoked => Err(FleetError::RevokedKey {
                key,
                org: entry.org.clone(),
            }),
        }
    }

    /// The greatest serial taken; 0 when there is none.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// The entries above `serial`, in the order of their serials.
    pub fn since(&self, serial: u64) -> Vec<SignedRosterEntry> {
        let newer = self.entries.values().filter(|e| e.entry.serial > serial);
        let mut newer: Vec<_> = newer.cloned().collect();
        newer.sort_by_key(|e| e.entry.serial);
        newer
    }

    pub fn entries(&self) -> impl Iterator<Item = &RosterEntry> {
        self.entries.values().map(SignedRosterEntry::entry)
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
