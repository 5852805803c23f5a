//! Raw record to event to alert.
//!
//! Pure: rule texts and data files come in as values, time is an argument, alerts come out as
//! values. The data's way through this room:
//!
//! ```text
//! record -> prefilter -> parse (stages, nodes, grok, statics) -> Event
//!        -> buckets (scenarios indexed by what they require) -> Overflow
//!        -> postoverflow parse -> Alert
//! ```
//!
//! `expr` is the language both the parsers and the buckets are written in.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod ahead;
mod buckets;
mod candidates;
mod contexts;
pub mod data_files;
pub mod dates;
pub mod engine;
pub mod enrich;
pub mod event;
pub mod explain;
pub mod expr;
pub mod fail2ban;
mod flow;
pub mod grok;
pub mod hubtest;
pub mod lint;
pub mod literals;
mod network;
pub mod nodes;
pub mod overflow;
pub mod parse;
pub mod patterns;
pub mod prefilter;
mod reach;
pub mod regex_syntax;
pub mod rules;
mod scan;
pub mod sigma;
mod stage_index;
pub mod symbols;
mod walk;
pub mod yaml;
