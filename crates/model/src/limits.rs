//! Every bound in one place. A bound that is hit is counted where the operator can see it.

/// Longest line kept; the rest of a longer one is dropped and counted.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Lines handed on at a time.
pub const BATCH_LINES_MAX: usize = 1_024;
/// Bytes handed on at a time, so long as one line fits.
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Files one source may match.
pub const FILES_PER_SOURCE_MAX: usize = 1_024;
/// Syslog connections open at a time.
pub const SYSLOG_CONNECTIONS_MAX: usize = 256;
/// Bytes of one syslog message; the rest of a longer one is dropped and counted.
pub const SYSLOG_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of one journal entry; a longer one is skipped and counted.
pub const JOURNAL_ENTRY_BYTES_MAX: usize = 2 << 20;
/// Rotated files that are still read to their end at a time.
pub const ROTATED_FILES_MAX: usize = 256;
/// Directories watched for new log files.
pub const WATCHED_DIRECTORIES_MAX: usize = 4_096;

/// Bytes of a raw line kept in an alert; its hash and length are always of the whole line.
pub const EVIDENCE_LINE_BYTES_MAX: usize = 8 << 10;
/// Raw lines kept in an alert: the last ones before it.
pub const EVIDENCE_LINES_MAX: usize = 50;

/// Live buckets; beyond it the one that was quiet longest goes.
pub const BUCKETS_MAX: usize = 1_000_000;
/// Events kept in one bucket's queue.
pub const BUCKET_QUEUE_MAX: usize = 1_024;
/// Bytes of events that wait in buckets; beyond it the bucket that was quiet longest goes.
pub const BUCKET_QUEUE_BYTES_MAX: usize = 1 << 30;
/// Bytes of one field of an event that waits in a bucket; the rest is cut off.
pub const QUEUED_FIELD_BYTES_MAX: usize = 8 << 10;
/// Silenced groups (`blackhole`); beyond it the one that would end first is heard again.
pub const BLACKHOLES_MAX: usize = 1_000_000;
/// Overflows that cause overflows that cause overflows.
pub const REPROCESS_DEPTH_MAX: u8 = 4;
/// Bytes of parsed events kept in an alert: the last ones before it.
pub const ALERT_EVENTS_BYTES_MAX: usize = 1 << 20;
/// Values of one key that an alert's context tells, and bytes of each.
pub const CONTEXT_VALUES_MAX: usize = 16;
pub const CONTEXT_VALUE_BYTES_MAX: usize = 512;
/// Different values one bucket's `distinct` remembers.
pub const BUCKET_DISTINCT_MAX: usize = 4_096;
/// Compiled size of one regular expression.
pub const REGEX_BYTES_MAX: usize = 16 << 20;
/// Depth of grok patterns within grok patterns.
pub const GROK_DEPTH_MAX: usize = 64;
/// Steps that one evaluation of an expression may take.
pub const EXPRESSION_STEPS_MAX: u64 = 1_000_000;
/// Depth of an expression within expressions.
pub const EXPRESSION_DEPTH_MAX: u32 = 100;
/// Size of one expression (the largest in public rule sets has 41 kB).
pub const EXPRESSION_BYTES_MAX: usize = 1 << 20;
/// Different field names.
pub const SYMBOLS_MAX: usize = 65_536;
/// Size of one rule file.
pub const RULE_FILE_BYTES_MAX: usize = 4 << 20;

/// Prefixes banned at a time.
pub const BANS_MAX: usize = 4_000_000;
/// Offenders remembered for growing ban times.
pub const OFFENDERS_MAX: usize = 1_000_000;

/// Entries that wait for the recorder; beyond it the loss is counted and recorded later.
pub const RECORD_QUEUE_MAX: usize = 65_536;
/// The same in bytes, roughly: alerts carry their evidence.
pub const RECORD_QUEUE_BYTES_MAX: usize = 256 << 20;
/// Bytes of one leaf (C2SP tlog-tiles: a bundle gives an entry's length in 16 bits).
pub const LEAF_BYTES_MAX: usize = 65_535;
/// Bytes of one payload.
pub const PAYLOAD_BYTES_MAX: usize = 4 << 20;

const _: () = assert!(BATCH_BYTES_MAX >= LINE_BYTES_MAX);
const _: () = assert!(EVIDENCE_LINE_BYTES_MAX * EVIDENCE_LINES_MAX * 2 < PAYLOAD_BYTES_MAX);
