//! Enforcement against the real kernel, each test in a network namespace of its own that dies
//! with the test's process. `nft` is the oracle, never part of the way.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; a failure there is a failed test"
)]

mod bench_net;
mod elements;
mod repair;
mod traffic;
