//! Which kernel set a prefix lives in.
//!
//! Single addresses and IPv6 /64 networks (one subscriber, RFC 6177; our default width for an
//! IPv6 ban) live in hash sets: adding, removing and looking up take constant time however many
//! there are. Every other width lives in an interval set, where lookups are logarithmic and
//! members must not overlap; see `project.rs`.

use model::Prefix;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetKind {
    Host4,
    Host6,
    Net64,
    Range4,
    Range6,
}

impl SetKind {
    pub const ALL: [Self; 5] = [
        Self::Host4,
        Self::Host6,
        Self::Net64,
        Self::Range4,
        Self::Range6,
    ];

    pub const fn of(prefix: Prefix) -> Self {
        match (prefix.is_ipv4(), prefix.len()) {
            (true, 32) => Self::Host4,
            (true, _) => Self::Range4,
            (false, 128) => Self::Host6,
            (false, 64) => Self::Net64,
            (false, _) => Self::Range6,
        }
    }

    /// The set's name in the kernel.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host4 => "ban4",
            Self::Host6 => "ban6",
            Self::Net64 => "ban6_64",
            Self::Range4 => "net4",
            Self::Range6 => "net6",
        }
    }

    pub const fn is_interval(self) -> bool {
        matches!(self, Self::Range4 | Self::Range6)
    }

    pub const fn is_ipv4(self) -> bool {
        matches!(self, Self::Host4 | Self::Range4)
    }

    /// Bytes of an element's key.
    pub const fn key_len(self) -> usize {
        if self.is_ipv4() { 4 } else { 16 }
    }

    pub const fn index(self) -> usize {
        match self {
            Self::Host4 => 0,
            Self::Host6 => 1,
            Self::Net64 => 2,
            Self::Range4 => 3,
            Self::Range6 => 4,
        }
    }
}
