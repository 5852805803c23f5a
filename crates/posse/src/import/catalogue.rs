//! What a folder of detection content offers: its items by kind and name.
//!
//! First step of an import. Reads a checkout of the CrowdSec hub (`scenarios/<author>/x.yaml`), an
//! installed `/etc/crowdsec`, whose links say what is enabled there, and trees of Sigma rules.
//! Judges nothing and writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use detect::rules::{RuleFile, RuleKind};
use model::limits;
use serde::Serialize;

use super::{
    choice,
    installed::{self, Installation},
    origin::Origin,
};

const ITEMS_MAX: usize = 20_000;
const DEPTH_MAX: usize = 10;

/// What an item is, in the order in which reports list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Collection,
    Parser,
    Postoverflow,
    Scenario,
    Context,
    AppsecConfig,
    AppsecRule,
    Jail,
    Filter,
    Sigma,
    SigmaMapping,
}

impl Kind {
    /// Those of CrowdSec, each in a folder of its own.
    const OF_CROWDSEC: [Self; 7] = [
        Self::Collection,
        Self::Parser,
        Self::Postoverflow,
        Self::Scenario,
        Self::Context,
        Self::AppsecConfig,
        Self::AppsecRule,
    ];

    /// The folder that holds them, in every layout.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Collection => "collections",
            Self::Parser => "parsers",
            Self::Postoverflow => "postoverflows",
            Self::Scenario => "scenarios",
            Self::Context => "contexts",
            Self::AppsecConfig => "appsec-configs",
            Self::AppsecRule => "appsec-rules",
            Self::Jail | Self::Filter | Self::Sigma | Self::SigmaMapping => "",
        }
    }

    const fn has_stages(self) -> bool {
        matches!(self, Self::Parser | Self::Postoverflow)
    }

    /// Whether it belongs to a web application firewall, which this program is not.
    pub(super) const fn is_appsec(self) -> bool {
        matches!(self, Self::AppsecConfig | Self::AppsecRule)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Collection => "collection",
            Self::Parser => "parser",
            Self::Postoverflow => "postoverflow",
            Self::Scenario => "scenario",
            Self::Context => "context",
            Self::AppsecConfig => "appsec config",
            Self::AppsecRule => "appsec rule",
            Self::Jail => "jail",
            Self::Filter => "filter",
            Self::Sigma => "sigma rule",
            Self::SigmaMapping => "sigma mapping",
        })
    }
}

/// Names an item: `author/file`, as collections and their users call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) kind: Kind,
    pub(super) name: String,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Where it lies within its origin: `scenarios/author/x.yaml`.
    pub(super) place: String,
    /// Its text, or why it cannot be read.
    pub(super) text: Result<String, String>,
}

/// All that a folder offers.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    pub(super) items: BTreeMap<Id, Item>,
    /// Files of grok patterns, by name.
    pub(super) patterns: BTreeMap<String, String>,
    /// What an installed CrowdSec says besides; nothing for a checkout.
    pub(super) installed: Option<Installation>,
}

impl Catalogue {
    /// What `dir` offers of `origin`.
    pub(super) fn read(dir: &Path, origin: Origin) -> Result<Self> {
        match origin {
            Origin::Sigma => Self::of_sigma(dir),
            Origin::CrowdSec | Origin::Fail2ban => Self::of_crowdsec(dir),
        }
    }

    fn of_sigma(dir: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(dir, 0, &mut files)?;
        files.sort();
        let mut catalogue = Self::default();
        for file in files {
            let below = file.strip_prefix(dir).unwrap_or(&file);
            let Some(place) = below.to_str() else {
                continue;
            };
            let text = read_text(&file);
            let rule = RuleFile::new(place, text.clone().unwrap_or_default());
            let kind = match rule.kind() {
                RuleKind::SigmaMapping | RuleKind::SigmaPlaceholders => Kind::SigmaMapping,
                RuleKind::Sigma => Kind::Sigma,
                _ => continue,
            };
            let name = choice::path_name(place);
            let place = place.to_owned();
            if catalogue.items.len() >= ITEMS_MAX {
                bail!("{}: more than {ITEMS_MAX} rules", dir.display());
            }
            catalogue
                .items
                .insert(Id { kind, name }, Item { place, text });
        }
        Ok(catalogue)
    }

    fn of_crowdsec(dir: &Path) -> Result<Self> {
        let mut catalogue = Self::default();
        let installation = installed::find(dir)?;
        if let Some(hub) = installation.as_ref().and_then(|i| i.hub.as_deref()) {
            catalogue.add_tree(hub)?;
        }
        let own = catalogue.add_tree(dir)?;
        catalogue.installed = installation.map(|mut installation| {
            installation.enabled = own;
            installation
        });
        catalogue.add_patterns(&dir.join("patterns"))?;
        Ok(catalogue)
    }

    /// Every file of grok patterns in `folder`, if it exists.
    pub(super) fn add_patterns(&mut self, folder: &Path) -> Result<()> {
        let listing = match fs::read_dir(folder) {
            Ok(listing) => listing,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", folder.display())),
        };
        for entry in listing {
            let path = entry?.path();
            let name = file_name(&path);
            // A dot in the name marks what is no pattern file: backups, notes.
            if path.is_file() && !name.contains('.') {
                let text = read_text(&path).map_err(|why| anyhow::anyhow!(why))?;
                self.patterns.insert(name, text);
            }
        }
        Ok(())
    }

    /// Adds what lies below `root`; the items that were found there.
    fn add_tree(&mut self, root: &Path) -> Result<BTreeSet<Id>> {
        let mut found = BTreeSet::new();
        for kind in Kind::OF_CROWDSEC {
            let mut files = Vec::new();
            let folder = installed::target(&root.join(kind.folder()), root);
            collect(&folder, 0, &mut files)?;
            files.sort();
            for file in files {
                let target = installed::target(&file, root);
                let place = place_of(&target, kind).or_else(|| place_of(&file, kind));
                let Some((id, place)) = place.and_then(|place| id_of(kind, place)) else {
                    continue;
                };
                if self.items.len() >= ITEMS_MAX {
                    bail!("{}: more than {ITEMS_MAX} items", root.display());
                }
                let text = read_text(&target);
                found.insert(id.clone());
                self.items.insert(id, Item { place, text });
            }
        }
        Ok(found)
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", folder.display())),
    };
    for entry in listing {
        let path = entry?.path();
        let name = file_name(&path);
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            if depth < DEPTH_MAX {
                collect(&path, depth + 1, files)?;
            }
        } else if name.ends_with(".yaml") || name.ends_with(".yml") {
            files.push(path);
        }
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// The part of a path from its kind's folder on: `scenarios/author/x.yaml`.
fn place_of(path: &Path, kind: Kind) -> Option<Vec<String>> {
    let parts: Vec<String> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_str()?.to_owned()),
            _ => None,
        })
        .collect();
    let start = parts.iter().rposition(|part| part == kind.folder())?;
    Some(parts.get(start..)?.to_vec())
}

fn id_of(kind: Kind, place: Vec<String>) -> Option<(Id, String)> {
    let skipped = if kind.has_stages() { 2 } else { 1 };
    let named = place.get(skipped..).filter(|rest| !rest.is_empty())?;
    let name = named.join("/");
    let name = name
        .strip_suffix(".yaml")
        .or_else(|| name.strip_suffix(".yml"))?
        .to_owned();
    Some((Id { kind, name }, place.join("/")))
}

/// The text of a rule file, or what is wrong with it.
fn read_text(path: &Path) -> Result<String, String> {
    let fault = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => format!(
            "the link points to {}, which is not there; mend or remove it",
            path.display()
        ),
        _ => format!("{} cannot be read: {e}", path.display()),
    };
    let size = fs::metadata(path).map_err(fault)?.len();
    if size > limits::RULE_FILE_BYTES_MAX as u64 {
        let max = limits::RULE_FILE_BYTES_MAX;
        return Err(format!("{size} bytes; a rule file has at most {max}"));
    }
    let bytes = fs::read(path).map_err(fault)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, place: &str, text: &str) {
        let path = root.join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn names(catalogue: &Catalogue) -> Vec<String> {
        catalogue.items.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_checkout_gives_items_by_author_and_file() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "parsers/s01-parse/me/a-logs.yaml",
            "name: other\n",
        );
        write(dir.path(), "scenarios/me/a-bf.yml", "");
        write(dir.path(), "scenarios/me/README.md", "");
        write(dir.path(), "patterns/mine", "A b\n");
        write(dir.path(), "patterns/mine.bak", "A c\n");
        let catalogue = Catalogue::read(dir.path(), Origin::CrowdSec).unwrap();
        assert_eq!(names(&catalogue), ["parser me/a-logs", "scenario me/a-bf"]);
        assert_eq!(catalogue.patterns.len(), 1);
        assert!(catalogue.installed.is_none());
    }

    #[test]
    fn links_say_what_is_enabled() {
        let dir = tempfile::tempdir().unwrap();
        let hub = "var/lib/crowdsec/hub/scenarios/me";
        // The hub's folders may be links in turn, as Debian's are.
        let real = "usr/share/hub/scenarios/me";
        write(dir.path(), &format!("{real}/on.yaml"), "name: me/on\n");
        write(dir.path(), &format!("{real}/off.yaml"), "name: me/off\n");
        let folder = dir.path().join("var/lib/crowdsec/hub");
        fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink("/usr/share/hub/scenarios", folder.join("scenarios")).unwrap();
        let etc = dir.path().join("etc/crowdsec");
        write(
            &etc,
            "config.yaml",
            "config_paths:\n  hub_dir: /var/lib/crowdsec/hub/\n",
        );
        write(&etc, "scenarios/local.yaml", "name: local\n");
        // As on the machine that the folder comes from: absolute.
        for (target, link) in [("on", "on"), ("gone", "gone")] {
            std::os::unix::fs::symlink(
                format!("/{hub}/{target}.yaml"),
                etc.join(format!("scenarios/{link}.yaml")),
            )
            .unwrap();
        }
        let catalogue = Catalogue::read(&etc, Origin::CrowdSec).unwrap();
        assert_eq!(
            names(&catalogue),
            [
                "scenario local",
                "scenario me/gone",
                "scenario me/off",
                "scenario me/on"
            ]
        );
        let enabled = &catalogue.installed.as_ref().unwrap().enabled;
        let enabled: Vec<_> = enabled.iter().map(|id| id.name.as_str()).collect();
        assert_eq!(enabled, ["local", "me/gone", "me/on"]);
        let gone = catalogue
            .items
            .values()
            .find(|i| i.place.ends_with("gone.yaml"));
        assert!(gone.unwrap().text.is_err());
    }
}
