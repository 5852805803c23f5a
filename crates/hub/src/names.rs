//! Short names and the hub's own time.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

const NAME_BYTES_MAX: usize = 63;

/// Milliseconds on the hub's own timeline: never goes back, also over a restart.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HubTime(pub u64);

impl HubTime {
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000)))
    }

    /// Whole milliseconds since `earlier`; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.cast_signed().saturating_sub(earlier.0.cast_signed())
    }
}

macro_rules! short_name {
    ($name:ident, $what:literal) => {
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check(text, $what).map(|()| Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

short_name!(OrgId, "an organisation");
short_name!(CommunityId, "a community");

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot name {what}: 1 to {NAME_BYTES_MAX} of a-z, 0-9 and `-`, not first a `-`")]
pub struct NameError {
    text: String,
    what: &'static str,
}

fn check(text: &str, what: &'static str) -> Result<(), NameError> {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().all(|b| alphanumeric(b) || b == b'-');
    if fits {
        return Ok(());
    }
    let text = text.chars().take(NAME_BYTES_MAX + 1).collect();
    Err(NameError { text, what })
}
