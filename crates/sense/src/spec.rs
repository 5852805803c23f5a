//! What is to be watched, and what to say when it cannot be.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf};

use crate::files::pattern::FilePattern;

/// One source as the configuration (or [`crate::discover`]) names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    pub input: Input,
    /// At least `type` (`syslog`, `nginx`, …).
    pub labels: BTreeMap<String, String>,
}

impl SourceSpec {
    /// A source with nothing but its `type` label.
    pub fn new(input: Input, kind: &str) -> Self {
        Self {
            input,
            labels: BTreeMap::from([("type".to_owned(), kind.to_owned())]),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    File {
        /// A path, or a glob (`*`, `?`, `[…]`, and `**` for any depth of directories).
        pattern: String,
        start: StartAt,
    },
    Journal {
        /// As for `journalctl`: `_SYSTEMD_UNIT=ssh.service`, `+`, …
        matches: Vec<String>,
        directory: Option<PathBuf>,
    },
    SyslogUdp {
        listen: SocketAddr,
    },
    SyslogTcp {
        listen: SocketAddr,
    },
    Stdin,
}

impl Input {
    /// The files that this input names on this disk at this moment.
    pub fn files(&self) -> Vec<PathBuf> {
        let Self::File { pattern, .. } = self else {
            return Vec::new();
        };
        FilePattern::new(pattern).map_or_else(|_| Vec::new(), |parsed| parsed.expand().files)
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { pattern, .. } => f.write_str(pattern),
            Self::Journal { .. } => f.write_str("journal"),
            Self::SyslogUdp { listen } => write!(f, "udp://{listen}"),
            Self::SyslogTcp { listen } => write!(f, "tcp://{listen}"),
            Self::Stdin => f.write_str("stdin"),
        }
    }
}

/// Where to begin in a file that is there at start and has no stored position. A file that
/// appears later is always read from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    Beginning,
    End,
}

/// A source that cannot be watched (yet): which, why, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProblem {
    pub source: String,
    pub why: String,
    pub fix: String,
}

impl fmt::Display for SourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.why)?;
        if !self.fix.is_empty() {
            write!(f, "\n  fix: {}", self.fix)?;
        }
        Ok(())
    }
}
