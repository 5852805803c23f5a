//! What the walls hold, and what they cannot.

use crate::{config::Mode, filter, walls};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub mode: Mode,
    pub no_new_privileges: bool,
    /// Those kept, by their short names.
    pub capabilities: Vec<String>,
    /// The kernel's version of landlock, if it holds.
    pub landlock: Option<u32>,
    pub seccomp: bool,
    /// What was asked for and this kernel cannot do.
    pub gaps: Vec<String>,
}

impl Report {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    /// One line for the status.
    pub fn summary(&self) -> String {
        if self.mode == Mode::Off {
            return "off".to_owned();
        }
        let kept = if self.capabilities.is_empty() {
            "none".to_owned()
        } else {
            self.capabilities.join("+")
        };
        let mut parts = vec![format!("capabilities {kept}")];
        if let Some(abi) = self.landlock {
            parts.push(format!("landlock ABI {abi}"));
        }
        if self.seccomp {
            parts.push("seccomp".to_owned());
        }
        if !self.gaps.is_empty() {
            parts.push(format!("{} gaps (see `posse doctor`)", self.gaps.len()));
        }
        parts.join(", ")
    }
}

/// What [`crate::enter`] could hold on this machine; changes nothing for the caller.
pub fn probe(mode: Mode) -> Report {
    let landlock = walls::kernels_abi();
    let seccomp = filter::is_known();
    let mut gaps = walls::gaps(landlock);
    if !seccomp {
        gaps.push(filter::UNKNOWN.to_owned());
    }
    Report {
        mode,
        no_new_privileges: true,
        capabilities: Vec::new(),
        landlock,
        seccomp,
        gaps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_holds() {
        let report = Report {
            capabilities: vec!["net_admin".into()],
            landlock: Some(7),
            seccomp: true,
            ..Report::new(Mode::Auto)
        };
        assert_eq!(
            report.summary(),
            "capabilities net_admin, landlock ABI 7, seccomp"
        );
        assert_eq!(Report::new(Mode::Off).summary(), "off");
        let gaps = vec!["x".to_owned()];
        let report = Report {
            gaps,
            ..Report::new(Mode::Auto)
        };
        assert!(report.summary().contains("1 gaps"));
    }
}
