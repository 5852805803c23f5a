//! Hub and guard of one community, with everything between them in the test's hand.

#![expect(clippy::unwrap_used, reason = "a test ends by panicking")]

mod agree;
mod flood;
mod lies;
mod million;
mod world;
