//! Names of organisations and communities: `[a-z0-9][a-z0-9-]{0,62}`.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const NAME_BYTES_MAX: usize = 63;

/// The text is no short name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no short name; use 1 to 63 of a-z, 0-9 and -, beginning with a letter or a digit"
)]
pub struct NameError(String);

fn checked(text: &str) -> Result<Arc<str>, NameError> {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut bytes = text.bytes();
    let begins_well = bytes.next().is_some_and(is_plain);
    if begins_well && text.len() <= NAME_BYTES_MAX && bytes.all(|b| is_plain(b) || b == b'-') {
        Ok(text.into())
    } else {
        Err(NameError(text.chars().take(80).collect()))
    }
}

macro_rules! short_name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: &str) -> Result<Self, NameError> {
                checked(text).map(Self)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

short_name! {
    /// An organisation: the party that signs, and that trust speaks of.
    OrgId
}
short_name! {
    /// A sharing group with a ban set of its own.
    CommunityId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        let long = "a".repeat(63);
        for good in ["a", "0", "hub", "cert-example", "a-", long.as_str()] {
            assert_eq!(OrgId::new(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "A", "a_b", "a.b", "ä", "a b", too_long.as_str()] {
            assert!(CommunityId::new(bad).is_err(), "{bad}");
        }
    }
}
