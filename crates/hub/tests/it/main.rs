//! The core through its public handle: what is durable, who sees what.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod core;
