//! Between the ledger's numbers and SQLite's, which are signed.

/// Ledger indices stay far below 2^63.
pub(crate) fn sql(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A negative number cannot be one of ours; it reads as one that is too large to be found.
pub(crate) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
