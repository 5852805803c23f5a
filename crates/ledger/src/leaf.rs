//! A leaf: what the tree commits to for good. It names no one; the payload it commits to by a
//! salted hash may be erased, and the leaf still stands.

use serde::{Deserialize, Serialize};

use crate::{Hash, LedgerError};

/// Keeps a payload from being guessed out of its commitment. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

// Sets these hashes apart from every other SHA-256 in the log.
const COMMITMENT_DOMAIN: &[u8] = b"posse/payload-commitment/v1\0";

/// SHA-256 over the domain, the salt and the payload. The first two have fixed lengths.
pub fn commitment(salt: &Salt, payload: &[u8]) -> Hash {
    Hash::of(&[COMMITMENT_DOMAIN, &salt.0, payload])
}

/// The version of the leaf format.
const VERSION: u8 = 1;

/// Keys of [`Leaf::kind`] are short words; anything longer is not a leaf of ours.
const KIND_BYTES_MAX: usize = 32;

/// One leaf. Its bytes are canonical JSON after RFC 8785: keys sorted, no spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub seq: u64,
    /// When it was recorded, RFC 3339 in UTC.
    pub time: model::Timestamp,
    /// What kind of entry the payload is: lower-case letters and underscores.
    pub kind: String,
    pub commitment: Hash,
}

// The fields in the order of RFC 8785 section 3.2.3.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    commitment: &'a str,
    kind: &'a str,
    seq: u64,
    time: &'a str,
    v: u8,
}

impl Leaf {
    pub fn encode(&self) -> Vec<u8> {
        let wire = Wire {
            commitment: &self.commitment.to_string(),
            kind: &self.kind,
            seq: self.seq,
            time: &self.time.to_string(),
            v: VERSION,
        };
        // Strings and numbers only: there is nothing in it that JSON could refuse.
        serde_json::to_vec(&wire).unwrap_or_default()
    }

    /// Takes exactly what [`Self::encode`] writes.
    pub fn parse(bytes: &[u8]) -> Result<Self, LedgerError> {
        let bad = |why| LedgerError::Leaf { why };
        if bytes.len() > model::limits::LEAF_BYTES_MAX {
            return Err(LedgerError::TooLong {
                limit: model::limits::LEAF_BYTES_MAX,
            });
        }
        // An escaped string cannot be borrowed and so is refused here: none of ours needs escapes.
        let wire: Wire<'_> = serde_json::from_slice(bytes).map_err(|_| bad("no such JSON"))?;
        if wire.v != VERSION {
            return Err(bad("unknown version"));
        }
        if wire.kind.is_empty()
            || wire.kind.len() > KIND_BYTES_MAX
            || !wire
                .kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_')
        {
            return Err(bad("the kind is no plain word"));
        }
        let leaf = Self {
            seq: wire.seq,
            time: wire
                .time
                .parse()
                .map_err(|_| bad("the time is not RFC 3339"))?,
            kind: wire.kind.to_owned(),
            commitment: Hash::from_hex(wire.commitment).ok_or_else(|| bad("no commitment"))?,
        };
        if leaf.encode() == bytes {
            Ok(leaf)
        } else {
            Err(bad("not in canonical form"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            seq: 7,
            time: "2026-11-21T20:15:00.5Z".parse().unwrap(),
            kind: "alert".into(),
            commitment: commitment(&Salt([1; 32]), b"{}"),
        }
    }

    #[test]
    fn the_bytes_are_canonical() {
        let text = String::from_utf8(leaf().encode()).unwrap();
        let hash = leaf().commitment;
        assert_eq!(
            text,
            format!(
                "{{\"commitment\":\"{hash}\",\"kind\":\"alert\",\"seq\":7,\
                 \"time\":\"2026-11-21T20:15:00.5Z\",\"v\":1}}"
            )
        );
        assert_eq!(Leaf::parse(text.as_bytes()), Ok(leaf()));
        for bad in [
            text.replace(":7", ": 7"),
            text.replace(":7", ":07"),
            text.replace("\"v\":1", "\"v\":2"),
            text.replace(".5Z", ".50Z"),
            text.replace("Z\"", "+00:00\""),
            text.replace("alert", "al\\u0065rt"),
            text.replace("alert", "Alert"),
            text.replace('}', ",\"x\":1}"),
            format!("{text}\n"),
            text.to_uppercase(),
        ] {
            assert_ne!(bad, text);
            assert!(Leaf::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_commitment_hangs_on_salt_and_payload() {
        let base = commitment(&Salt([1; 32]), b"{}");
        assert_ne!(base, commitment(&Salt([2; 32]), b"{}"));
        assert_ne!(base, commitment(&Salt([1; 32]), b"{} "));
    }

    proptest! {
        #[test]
        fn leaves_round_trip(seq: u64, nanos: i64, kind in "[a-z_]{1,32}", salt: [u8; 32]) {
            let leaf = Leaf {
                seq,
                time: model::Timestamp::from_nanos(nanos),
                kind,
                commitment: commitment(&Salt(salt), b""),
            };
            prop_assert_eq!(Leaf::parse(&leaf.encode()), Ok(leaf));
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes: Vec<u8>) {
            let _ = Leaf::parse(&bytes);
        }
    }
}
