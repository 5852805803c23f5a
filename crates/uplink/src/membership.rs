//! What this machine got when it joined, and the keys it made for it: one file, mode 0600. The
//! private halves are nowhere else and never leave.

use std::{fmt, path::Path, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use fleet::{CommunityId, OrgId, PublicKey, Role, SigningKey};
use model::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde::{Deserialize, Serialize};

use crate::{address::HubUrl, clock, error::UplinkError, files};

const FILE: &str = "membership.json";
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Bytes that must not be printed; base64 in the file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl TryFrom<String> for Secret {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD.decode(text).map(Self)
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        STANDARD.encode(secret.0)
    }
}

/// A key for TLS, made here.
pub(crate) struct TlsKey {
    pub(crate) pkcs8: Secret,
    /// The public half as the hub wants it.
    pub(crate) public: String,
}

impl TlsKey {
    pub(crate) fn generate() -> Result<Self, UplinkError> {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .map_err(|_| UplinkError::Key("no randomness"))?;
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random)
            .map_err(|_| UplinkError::Key("it cannot be read back"))?;
        Ok(Self {
            public: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
            pkcs8: Secret(pkcs8.as_ref().to_vec()),
        })
    }
}

/// Everything that makes this machine a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Tried in turn.
    pub hubs: Vec<HubUrl>,
    /// The hub's own organisation.
    pub hub: OrgId,
    pub organisation: OrgId,
    pub role: Role,
    pub name: String,
    pub communities: Vec<CommunityId>,
    pub roster_key: PublicKey,
    pub joined: Timestamp,
    /// The hub's CA certificate (PEM), pinned by the token.
    pub(crate) authority: String,
    /// The client certificate, PEM.
    pub(crate) certificate: String,
    pub(crate) issued: Timestamp,
    pub(crate) valid_seconds: u64,
    pub(crate) renew_after_seconds: u64,
    pub(crate) tls_key: Secret,
    pub(crate) statement_seed: Secret,
}

impl Membership {
    pub(crate) fn secret(bytes: &[u8]) -> Secret {
        Secret(bytes.to_vec())
    }

    /// `None`: this machine has not joined.
    pub fn load(state: &Path) -> Result<Option<Self>, UplinkError> {
        let path = files::folder(state).join(FILE);
        let Some(bytes) = files::read(&path, FILE_BYTES_MAX)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| UplinkError::Damaged {
                path,
                why: "it is not a membership",
                next: "join again with a new token",
            })
    }

    pub(crate) fn save(&self, state: &Path) -> Result<(), UplinkError> {
        let folder = files::folder(state);
        files::make_folder(&folder)?;
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        files::replace(&folder.join(FILE), &[&bytes])
    }

    pub(crate) fn signing_key(&self) -> Result<SigningKey, UplinkError> {
        let seed = self.statement_seed.bytes().try_into();
        let seed = seed.map_err(|_| UplinkError::Key("its seed is not 32 bytes"))?;
        Ok(SigningKey::from_seed(seed)?)
    }

    /// How long until the certificate should be renewed: when the hub said, give or take a tenth
    /// by `share` (0 to 255), so that members do not come all at once.
    pub(crate) fn renew_in(&self, now: Timestamp, share: u8) -> Duration {
        let after = self.renew_after_seconds.min(self.valid_seconds);
        let jitter = (after / 5).saturating_mul(u64::from(share)) / 255;
        let due = Duration::from_secs(after - after / 10 + jitter);
        due.saturating_sub(now.since(self.issued))
    }

    /// What is left of the certificate's life by this machine's clock.
    pub fn valid_for(&self) -> Duration {
        Duration::from_secs(self.valid_seconds).saturating_sub(clock::wall().since(self.issued))
    }

    /// Who this machine is to the hub, in words.
    pub fn introduce(&self) -> String {
        let communities: Vec<_> = self.communities.iter().map(CommunityId::as_str).collect();
        let place = match communities.is_empty() {
            true => "no community".to_owned(),
            false => communities.join(", "),
        };
        format!(
            "{} of organisation {} (role {}) in {place}",
            self.name, self.organisation, self.role
        )
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn a_membership() -> Membership {
        let key = TlsKey::generate().unwrap();
        Membership {
            hubs: vec!["192.0.2.1".parse().unwrap()],
            hub: "hub".parse().unwrap(),
            organisation: "acme".parse().unwrap(),
            role: Role::Guard,
            name: "web-1".into(),
            communities: vec!["main".parse().unwrap()],
            roster_key: SigningKey::from_seed(&[1; 32]).unwrap().public(),
            joined: Timestamp::from_seconds(0),
            authority: String::new(),
            certificate: String::new(),
            issued: Timestamp::from_seconds(1_000),
            valid_seconds: 1_000,
            renew_after_seconds: 500,
            tls_key: key.pkcs8,
            statement_seed: Secret(vec![7; 32]),
        }
    }

    #[test]
    fn a_membership_is_kept_and_its_secrets_are_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Membership::load(dir.path()).unwrap(), None);
        let membership = a_membership();
        membership.save(dir.path()).unwrap();
        assert_eq!(
            Membership::load(dir.path()).unwrap(),
            Some(membership.clone())
        );
        let shown = format!("{membership:?}");
        assert!(shown.contains("Secret(…)"), "{shown}");
        assert!(!shown.contains(&String::from(membership.statement_seed)));
    }

    #[test]
    fn renewal_comes_around_half_of_the_life() {
        let membership = a_membership();
        let at = |seconds| Timestamp::from_seconds(seconds);
        assert_eq!(membership.renew_in(at(1_000), 0).as_secs(), 450);
        assert_eq!(membership.renew_in(at(1_000), 255).as_secs(), 550);
        assert_eq!(membership.renew_in(at(1_500), 128).as_secs(), 0);
        // A clock that was set back must not put it off for ever.
        assert_eq!(membership.renew_in(at(0), 0).as_secs(), 450);
    }

    #[test]
    fn a_tls_key_s_public_half_is_an_uncompressed_point() {
        let key = TlsKey::generate().unwrap();
        let point = URL_SAFE_NO_PAD.decode(key.public).unwrap();
        assert_eq!((point.len(), point[0]), (65, 4));
    }
}
