//! Black-box tests: the real binary, real files, and, where we are root, the real kernel in
//! network namespaces of our own.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends by panicking, and says on standard output what it skipped"
)]

mod alerts;
mod audit;
mod browser;
mod cases;
mod chaos;
mod clock_truth;
mod collect;
mod command_line;
mod court_pack;
mod court_pack_damage;
mod crash;
mod crew;
mod debian;
mod drill;
mod evidence_api;
mod exhibits;
mod explain;
mod first_aid;
mod geoip;
mod guard;
mod handover;
mod hub;
mod hub_and_guard;
mod hubtest;
mod kernel;
mod local_api;
mod openlog;
mod openlog_stamps;
mod openlog_tampering;
mod package;
mod persons;
mod referral;
mod referral_exhibits;
mod replay;
mod rules_import;
mod rules_lint;
mod sandbox;
mod sigma_test;
mod sources;
mod status_page;
mod subject;
mod support;
#[path = "../../../uplink/tests/support/hub.rs"]
mod test_hub;
mod vitals;
mod watch;
mod week;
