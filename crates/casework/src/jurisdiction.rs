//! Whom to turn to in which country, and by which instruments.
//!
//! A table (`data/jurisdictions.toml`, or the operator's own) tells values with their source, age
//! and confidence; confirmations from the ledger override what it says. Referrals ask here for a
//! contact and get either one that is good or the reason why not. Must not: guess, or hand out a
//! contact that nobody has looked up lately.

mod standing;
mod table;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use standing::{Basis, Confirmation, Contact, Obstacle, Why, same_person};
pub use table::{
    Block, Clock, Confidence, CountryEntry, Fact, Instrument, Jurisdictions, TABLE_BYTES_MAX,
    TableError,
};

/// ISO 3166-1 alpha-2, in capitals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// The text was no country's code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no country code; write two letters as in DE, FR, US")]
pub struct CountryError(String);

impl Country {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Country {
    type Err = CountryError;

    fn from_str(text: &str) -> Result<Self, CountryError> {
        match text.trim().as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(CountryError(text.chars().take(20).collect())),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// What a referral may need to know of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Authority,
    Portal,
    Email,
    Telephone,
    /// The point of contact that answers day and night (Budapest Convention, article 35).
    PointOfContact,
    EuropolUnit,
    /// The national CSIRT: no police, but often the fastest.
    Csirt,
}

impl Field {
    pub const ALL: [Self; 7] = [
        Self::Authority,
        Self::Portal,
        Self::Email,
        Self::Telephone,
        Self::PointOfContact,
        Self::EuropolUnit,
        Self::Csirt,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Authority => "authority",
            Self::Portal => "portal",
            Self::Email => "email",
            Self::Telephone => "telephone",
            Self::PointOfContact => "point_24_7",
            Self::EuropolUnit => "europol_unit",
            Self::Csirt => "csirt",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|field| field.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no field of a contact; write one of {names}")
        })
    }
}
