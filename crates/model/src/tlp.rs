//! Traffic Light Protocol 2.0 (FIRST): who may be told.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A label of TLP 2.0. The order is that of strictness: `Clear` is the least, `Red` the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// No limit on disclosure.
    Clear,
    /// Within the community.
    Green,
    /// Within the recipient's organisation and its clients. What bears no label is this.
    #[default]
    Amber,
    /// Within the recipient's organisation only.
    AmberStrict,
    /// For the eyes and ears of individual recipients only.
    Red,
}

impl Tlp {
    pub const ALL: [Self; 5] = [
        Self::Clear,
        Self::Green,
        Self::Amber,
        Self::AmberStrict,
        Self::Red,
    ];

    /// The label in lower case and without `TLP:`, as `amber+strict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Green => "green",
            Self::Amber => "amber",
            Self::AmberStrict => "amber+strict",
            Self::Red => "red",
        }
    }

    /// 0 (`Clear`) to 4 (`Red`): the place in the order.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// What [`Self::number`] gave.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text was no label of TLP 2.0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no TLP 2.0 label; write clear, green, amber, amber+strict or red")]
pub struct TlpError(String);

impl FromStr for Tlp {
    type Err = TlpError;

    /// Upper or lower case, with or without `TLP:`. TLP 1's `white` is `clear`.
    fn from_str(text: &str) -> Result<Self, TlpError> {
        let lower = text.trim().to_ascii_lowercase();
        let label = lower.strip_prefix("tlp:").unwrap_or(&lower);
        let known = Self::ALL.into_iter().find(|tlp| tlp.name() == label);
        match (known, label) {
            (Some(tlp), _) => Ok(tlp),
            (None, "white") => Ok(Self::Clear),
            (None, _) => Err(TlpError(text.chars().take(40).collect())),
        }
    }
}

impl Serialize for Tlp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Tlp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_read_back_and_stand_in_the_order_of_strictness() {
        for tlp in Tlp::ALL {
            assert_eq!(tlp.to_string().parse(), Ok(tlp));
            assert_eq!(
                format!("TLP:{}", tlp.name().to_uppercase()).parse(),
                Ok(tlp)
            );
            assert_eq!(Tlp::from_number(tlp.number()), Some(tlp));
        }
        assert!(Tlp::Clear < Tlp::Green && Tlp::Amber < Tlp::AmberStrict);
        assert_eq!("white".parse(), Ok(Tlp::Clear));
        assert!("purple".parse::<Tlp>().is_err());
        assert_eq!(Tlp::from_number(5), None);
    }
}
