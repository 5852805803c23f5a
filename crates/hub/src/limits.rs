//! Bounds of the hub. What is hit is counted and shown by `posse status`.

/// Orders that wait for the core; beyond it a door waits, and then tells its client to come again.
pub const ORDERS_MAX: usize = 1_024;
/// How long a door waits for a place among them.
pub const ORDER_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// Bans in force at a time, over all communities.
pub const BANS_MAX: usize = 4_000_000;
/// Changes kept for pollers that come back; who is further behind gets everything again.
pub const CHANGES_MAX: usize = 262_144;
/// Bans that one report may ask for.
pub const BANS_PER_REPORT_MAX: usize = 10_000;
/// Reports in one order.
pub const REPORTS_PER_ORDER_MAX: usize = 1_000;
/// Bytes of one alert's JSON.
pub const ALERT_BYTES_MAX: usize = 1 << 20;
/// Alerts kept; beyond it the oldest go.
pub const ALERTS_MAX: u64 = 200_000;
/// Alerts in one answer.
pub const ALERTS_PER_ANSWER_MAX: usize = 10_000;
/// API keys and machines.
pub const KEYS_MAX: usize = 20_000;
/// Bytes of a key's or machine's name.
pub const KEY_NAME_BYTES_MAX: usize = 128;
/// People who may log in.
pub const PEOPLE_MAX: usize = 10_000;
/// Characters of a person's password, at least.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Bytes of a password.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// Passwords being checked at a time: each takes 19 MiB and tens of milliseconds.
pub const PASSWORD_CHECKS_MAX: usize = 4;
/// Bytes of a ban's scenario, origin and reason.
pub const WORD_BYTES_MAX: usize = 200;
/// Longest ban: ten years.
pub const BAN_SECONDS_MAX: u64 = 10 * 366 * 86_400;
/// Allowlists, and items of one.
pub const ALLOWLISTS_MAX: usize = 1_000;
pub const ALLOWLIST_ITEMS_MAX: usize = 100_000;
/// Communities of one hub.
pub const COMMUNITIES_MAX: usize = 256;
/// Networks that one community never bans.
pub const NEVER_MAX: usize = 10_000;
/// Hand-overs of files, and of them those in one list: the newest.
pub const HANDOVERS_MAX: usize = 20_000;
pub const HANDOVERS_LISTED_MAX: usize = 500;
/// How long a package may take on its way in.
pub const PACKAGE_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(1_800);
/// Exhibits on their way in or out at a time, and of them those of one organisation.
pub const EXHIBITS_MOVING_MAX: usize = 16;
pub const EXHIBITS_MOVING_PER_ORGANISATION_MAX: usize = 4;
/// Bytes of an exhibit that comes in, unless the operator says otherwise.
pub const EXHIBIT_BYTES_MAX: u64 = 1 << 30;
/// Bytes that exhibits leave free on the disk, unless the operator says otherwise.
pub const EXHIBIT_ROOM_MIN: u64 = 1 << 30;
/// How long an exhibit may take on its way in or out, and how long its next bytes.
pub const EXHIBIT_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(7_200);
pub const EXHIBIT_PIECE_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Questions about exhibits that read the ledger at a time.
pub const EXHIBIT_QUESTIONS_MAX: usize = 4;
/// Exhibits in one list, and those looked at for it.
pub const EXHIBITS_LISTED_MAX: usize = 200;
pub const EXHIBITS_LOOKED_AT_MAX: usize = 5_000;
/// Members of all organisations.
pub const MEMBERS_MAX: usize = 100_000;
/// Invitations that are not over yet, used or not.
pub const INVITATIONS_MAX: usize = 50_000;
/// Statements whose answers are remembered for those that repeat them.
pub const ANSWERS_MAX: usize = 65_536;
/// Connections open at a time, and of them from one address.
pub const CONNECTIONS_MAX: usize = 50_000;
/// Connections without a client certificate, from one address.
pub const STRANGERS_PER_ADDRESS_MAX: usize = 256;
/// Streams of one organisation.
pub const STREAMS_PER_ORGANISATION_MAX: usize = 20_000;
/// How long a TLS handshake or a first byte may take.
pub const HANDSHAKE_MAX: std::time::Duration = std::time::Duration::from_secs(10);
/// Bytes of a request's head, and its headers.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
pub const HEADERS_MAX: usize = 64;
/// Bytes of a body in the guards' protocol.
pub const BODY_BYTES_MAX: usize = 256 << 10;
/// Bytes of a body at the doors for third parties: agents send batches of alerts.
pub const DOOR_BODY_BYTES_MAX: usize = 50 << 20;
/// How long a body may take.
pub const BODY_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Streams of requests on one HTTP/2 connection.
pub const REQUESTS_AT_A_TIME_MAX: u32 = 16;
/// Snapshots of one community that are kept to be fetched.
pub const SNAPSHOTS_MAX: usize = 2;
/// Refused logins from one address within a minute.
pub const REFUSED_LOGINS_MAX: u32 = 10;
