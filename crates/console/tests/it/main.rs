//! Black-box tests over real sockets: what comes in, what goes out, and its bounds.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test ends by panicking, and says on standard output what it skipped"
)]

mod door;
mod metrics;
mod support;
