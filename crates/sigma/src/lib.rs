//! Sigma rules as values.
//!
//! A format room: texts of rule files come in, rules, filters and correlations come out, with all
//! modifiers applied and every search identifier resolved. It follows the Sigma rules
//! specification 2.1 with its appendix on modifiers, the correlation specification 2.1 and the
//! filter specification 2.0 (github.com/SigmaHQ/sigma-specification). It knows nothing of events:
//! `detect::sigma` compiles what it gives. Files come from people and from the network, so size,
//! nesting and expansion are bounded. Must not read a disk or a clock.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod condition;
mod correlation;
mod detection;
mod document;
mod mapping;
mod modifiers;
mod pattern;
mod yaml;

pub use crate::{
    condition::Condition,
    correlation::{Aggregate, Bound, Compare, Correlation, CorrelationKind, Reference},
    detection::{Detection, Search},
    document::{Document, Filter, LogSource, Meta, Rule, RuleScope, read},
    mapping::{Mapping, MappingEntry, read_mapping, read_placeholders},
    modifiers::{Case, Check, RegexFlags, Relation, Test, TimePart},
    pattern::{Pattern, Piece},
    yaml::{Fault, Node, Value, documents},
};

use std::collections::BTreeMap;

/// Values for `%placeholders%` of the `expand` modifier, by name without the percent signs.
pub type Placeholders = BTreeMap<String, Vec<String>>;

/// Alternatives that one value may expand to (`windash`, placeholders).
pub const EXPANSION_MAX: usize = 1_024;
/// Tests in one rule.
pub const TESTS_MAX: usize = 20_000;
/// Depth of a condition's parentheses, and of lists and maps in a search.
pub const DEPTH_MAX: usize = 32;
