//! OpenC2: commands of orchestrators as values, and the responses to them.
//!
//! The consumer's side of a subset: Language Specification 1.0 with the actuator profile for
//! packet filtering, as SLPF 1.0 (`slpf`) and its successor PF 1.0 (`pf`). What is not supported
//! is answered with 501 and never with 200 (SLPF 1.0 section 2.3.2). `hub::openc2` carries the
//! commands out.

mod command;
mod response;

pub use self::{
    command::{
        Direction, Feature, Order, Profile, Request, Requested, Window, read, rule_number_max,
    },
    response::{Envelope, Refusal, Response, Status},
};

/// What a command's or a response's body is (HTTPS transfer 1.1 section 3.3.1).
pub const CONTENT_TYPE: &str = "application/openc2+json;version=1.0";
/// Bytes of one command; the largest one that is understood has some hundred.
pub const BYTES_MAX: usize = 64 * 1024;
