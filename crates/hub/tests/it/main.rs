//! The core through its public handle: what is durable, who sees what.

mod core;
