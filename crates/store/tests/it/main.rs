//! The state directory from outside: what it promises, and what it notices.

mod conformance;
mod crash;
mod full_disk;
mod recording;
mod samples;
mod tamper;
