//! fail2ban's configuration as values: the filters and jails of an installed `/etc/fail2ban`.
//!
//! Pure, and only the format: file texts come in, resolved [`Filter`]s and [`Jail`]s come out, as
//! jail.conf(5) describes them. What they mean for a line of a log is the detection room's matter.
//! Reading order:
//!
//! ```text
//! ini (text -> sections) -> layers (includes, .local, %(x)s) -> tags (<x>, <section/x>)
//!     -> filter, jail -> pattern (<HOST>, <F-USER> -> Python's regular expressions)
//! ```
//!
//! Nothing here reads a file, and nothing a file holds makes it recurse or grow without bound.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod duration;
mod filter;
pub mod ini;
mod jail;
mod layers;
mod options;
pub mod pattern;
mod tags;

use std::collections::BTreeMap;

pub use filter::{Filter, read_filter};
pub use jail::{Increment, Jail, UseDns, enabled_jails, jail_names, read_jail};
pub use layers::Config;
pub use options::{Call, Options, parse_call};

/// Bytes of one line of a file.
pub const LINE_MAX: usize = 64 * 1024;
/// Bytes of one value, before and after its references are resolved.
pub const VALUE_MAX: usize = 512 * 1024;
/// How deep references and includes may nest.
pub const DEPTH_MAX: usize = 32;
/// References resolved for one value.
pub const REPLACEMENTS_MAX: usize = 4_000;
/// Files read for one filter or one set of jails.
pub const FILES_MAX: usize = 1_000;

/// The files of a configuration folder, by path relative to it: `filter.d/sshd.conf`.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, String>);

impl Files {
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.0.insert(path.into(), text.into());
    }

    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Paths in order, those directly in `folder` that end with `suffix`.
    pub fn in_folder<'a>(
        &'a self,
        folder: &'a str,
        suffix: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(move |path| {
            path.rsplit_once('/')
                .is_some_and(|(dir, name)| dir == folder && name.ends_with(suffix))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(String, String)> for Files {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("{file}:{line}: {reason}")]
    Syntax {
        file: String,
        line: usize,
        reason: &'static str,
    },
    #[error("{file}:{line}: the line is longer than {limit} bytes; split it")]
    TooLong {
        file: String,
        line: usize,
        limit: usize,
    },
    #[error("{file}: there is no such file; check the name in the jail's `filter =`")]
    Missing { file: String },
    #[error("{file}: more than {limit} files are included; check [INCLUDES] for a circle")]
    TooManyFiles { file: String, limit: usize },
    #[error("{file}: includes itself; take it out of [INCLUDES]")]
    IncludeCycle { file: String },
    #[error("{file}: [{section}] {key}: refers to itself or nests too deep; break the circle")]
    Cycle {
        file: String,
        section: String,
        key: String,
    },
    #[error("{file}: [{section}] {key}: `{name}` is not defined; define it or take it out")]
    Undefined {
        file: String,
        section: String,
        key: String,
        name: String,
    },
    #[error("{file}: [{section}] {key}: the value grows beyond {limit} bytes")]
    ValueTooLong {
        file: String,
        section: String,
        key: String,
        limit: usize,
    },
    #[error("{file}: [{section}] {key} = {value}: {reason}")]
    Value {
        file: String,
        section: String,
        key: String,
        value: String,
        reason: &'static str,
    },
    #[error("{file}: no jail [{name}]")]
    NoJail { file: String, name: String },
}
