//! Whose content a folder holds.

use std::{fs, path::Path};

use anyhow::{Result, bail};
use detect::rules::{RuleFile, RuleKind};

/// Files looked at before a folder is given up.
const LOOKS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    CrowdSec,
    Fail2ban,
    Sigma,
}

impl Origin {
    pub(super) const ALL: [Self; 3] = [Self::CrowdSec, Self::Fail2ban, Self::Sigma];

    /// The name of its folder among the rules.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::CrowdSec => "crowdsec",
            Self::Fail2ban => "fail2ban",
            Self::Sigma => "sigma",
        }
    }

    pub(super) fn of(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            bail!("{} is no folder that can be read", dir.display());
        }
        let has = |names: &[&str]| names.iter().any(|name| dir.join(name).exists());
        if has(&["jail.conf", "filter.d"]) {
            return Ok(Self::Fail2ban);
        }
        if has(&[
            "parsers",
            "scenarios",
            "collections",
            "postoverflows",
            "contexts",
        ]) {
            return Ok(Self::CrowdSec);
        }
        if holds_sigma(dir, 0, &mut 0) {
            return Ok(Self::Sigma);
        }
        bail!(
            "{} holds no detection content that is known here\n  fix: name a checkout of the \
             CrowdSec hub, an installed /etc/crowdsec or /etc/fail2ban, or a folder of Sigma rules",
            dir.display()
        )
    }
}

fn holds_sigma(folder: &Path, depth: usize, looks: &mut usize) -> bool {
    let Ok(listing) = fs::read_dir(folder) else {
        return false;
    };
    let mut paths: Vec<_> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        *looks += 1;
        if *looks > LOOKS_MAX {
            return false;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX && holds_sigma(&path, depth + 1, looks) {
                return true;
            }
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if RuleFile::new(path.display().to_string(), text).kind() == RuleKind::Sigma {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_tell_whose_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let error = Origin::of(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no detection content"), "{error}");
        let rule = dir.path().join("web/rule.yml");
        fs::create_dir_all(rule.parent().unwrap()).unwrap();
        fs::write(
            rule,
            "title: t\nlogsource:\n  category: web\ndetection:\n  x: y\n",
        )
        .unwrap();
        assert_eq!(Origin::of(dir.path()).unwrap(), Origin::Sigma);
        fs::create_dir(dir.path().join("scenarios")).unwrap();
        assert_eq!(Origin::of(dir.path()).unwrap(), Origin::CrowdSec);
        fs::write(dir.path().join("jail.conf"), "").unwrap();
        assert_eq!(Origin::of(dir.path()).unwrap(), Origin::Fail2ban);
    }
}
