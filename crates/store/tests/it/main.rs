//! The state directory from outside: what it promises, and what it notices.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, and what they skip"
)]

mod attest;
mod conformance;
mod crash;
mod full_disk;
mod recording;
mod samples;
mod tamper;
mod upgrade;
