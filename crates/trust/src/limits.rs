//! Every bound of this room. What is turned away or forgotten at one is counted in
//! [`crate::CourtStats`].

/// Targets with open reports, a ban or a tombstone; beyond it the one untouched longest goes.
pub const CASES_MAX: usize = 262_144;
/// Organisations that vote on one target; beyond it only a heavier voice replaces the lightest.
pub const VOTES_PER_CASE_MAX: usize = 64;
/// Acts that one case remembers: the last ones.
pub const ACTS_PER_CASE_MAX: usize = 16;
/// Organisations with a standing.
pub const ORGS_MAX: usize = 16_384;
/// Kinds of detection with a circuit breaker; beyond it the one quiet longest is forgotten.
pub const KINDS_MAX: usize = 4_096;
/// Organisations that one breaker tells apart.
pub const FAULTY_ORGS_MAX: usize = 16;
/// Cases that wait for a person; the case stays beyond it, only the list does not grow.
pub const HELD_MAX: usize = 4_096;
/// Daily peers that one organisation may name.
pub const PEERS_PER_ORG_MAX: usize = 1_000;
/// Daily peers of all organisations together.
pub const PEERS_MAX: usize = 4_000_000;
/// Penalties remembered per organisation, so that one mistake is not paid for twice.
pub const PENALTIES_PER_ORG_MAX: usize = 32;
/// Networks in the table of classes.
pub const CLASS_ENTRIES_MAX: usize = 2_000_000;
/// Bytes of an organisation's name.
pub const ORG_BYTES_MAX: usize = 63;
/// Bytes of a kind word; the rest is cut off.
pub const KIND_BYTES_MAX: usize = 64;
/// Bytes of the reason that a person or member gives; the rest is cut off.
pub const WHY_BYTES_MAX: usize = 200;
