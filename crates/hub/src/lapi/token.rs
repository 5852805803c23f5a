//! Tokens of machines that logged in: opaque to them, signed so that none need be kept.
//!
//! The form is a JSON Web Token's (RFC 7519) because clients expect one; nothing but this room
//! reads them. The key lives as long as the process: after a restart agents log in again by
//! themselves.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::HubTime;

/// How long a token is good. Longer than upstream's hour: agents compare it with their own
/// clock, and a clock may be some hours off.
pub(super) const LIFE_SECONDS: u64 = 12 * 3_600;
/// A person logs in again after this.
pub(super) const PERSON_LIFE_SECONDS: u64 = 3_600;
/// Longer texts are no tokens of ours.
const BYTES_MAX: usize = 2_048;

impl Bearer {
    pub(super) const fn seconds(&self) -> u64 {
        match self {
            Self::Machine(_) => LIFE_SECONDS,
            Self::Person(_) => PERSON_LIFE_SECONDS,
        }
    }
}

pub(super) struct Tokens {
    key: hmac::Key,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    /// Milliseconds on the hub's timeline.
    exp: u64,
    id: String,
    #[serde(default)]
    person: bool,
}

/// Whose token it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Bearer {
    Machine(String),
    Person(String),
}

impl Tokens {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &bytes),
        })
    }

    pub(super) fn make(&self, bearer: Bearer, now: HubTime) -> String {
        let seconds = bearer.seconds();
        let (id, person) = match bearer {
            Bearer::Machine(name) => (name, false),
            Bearer::Person(name) => (name, true),
        };
        let claims = Claims {
            exp: now.plus(Duration::from_secs(seconds)).0,
            id,
            person,
        };
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let tag = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// Whom a token was made for, while it is good.
    pub(super) fn bearer(&self, token: &str, now: HubTime) -> Option<Bearer> {
        if token.len() > BYTES_MAX {
            return None;
        }
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.key, signed.as_bytes(), &tag).ok()?;
        let (_, claims) = signed.split_once('.')?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        let bearer = match claims.person {
            true => Bearer::Person(claims.id),
            false => Bearer::Machine(claims.id),
        };
        (claims.exp > now.0).then_some(bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_machine_until_it_ends() {
        let tokens = Tokens::new().unwrap();
        let now = HubTime(1_000_000);
        let token = tokens.make(Bearer::Machine("web-1".to_owned()), now);
        assert_eq!(
            tokens.bearer(&token, now),
            Some(Bearer::Machine("web-1".to_owned()))
        );
        assert_eq!(
            tokens.bearer(&token, now.plus(Duration::from_secs(LIFE_SECONDS))),
            None
        );
        assert_eq!(Tokens::new().unwrap().bearer(&token, now), None);
        let person = tokens.make(Bearer::Person("ana".to_owned()), now);
        assert_eq!(
            tokens.bearer(&person, now),
            Some(Bearer::Person("ana".to_owned()))
        );
        let over = now.plus(Duration::from_secs(PERSON_LIFE_SECONDS));
        assert_eq!(tokens.bearer(&person, over), None);
        let mut forged = token.into_bytes();
        for at in 0..forged.len() {
            forged[at] ^= 1;
            if let Ok(text) = std::str::from_utf8(&forged) {
                assert_eq!(tokens.bearer(text, now), None, "byte {at}");
            }
            forged[at] ^= 1;
        }
        for text in ["", ".", "..", "x.y.z"] {
            assert_eq!(tokens.bearer(text, now), None);
        }
    }
}
