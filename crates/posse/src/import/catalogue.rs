//! What a folder of CrowdSec content offers: its items by kind and name.
//!
//! First step of an import. Reads two layouts: a checkout of the hub (`scenarios/<author>/x.yaml`)
//! and an installed `/etc/crowdsec`, whose links say what is enabled there. Judges nothing and
//! writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use model::limits;
use serde::Serialize;

use super::installed::{self, Installation};

const ITEMS_MAX: usize = 20_000;
const DEPTH_MAX: usize = 6;

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
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
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
    pub(super) fn read(dir: &Path) -> Result<Self> {
        if !dir.is_dir() {
            bail!("{} is no folder that can be read", dir.display());
        }
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
        if catalogue.items.is_empty() {
            bail!(
                "{} holds no detection content: there is no parsers, scenarios, postoverflows, \
                 collections or contexts folder with YAML files in it\n  fix: name a checkout of \
                 the CrowdSec hub or an installed /etc/crowdsec",
                dir.display()
            );
        }
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
        for kind in Kind::ALL {
            let mut files = Vec::new();
            collect(&root.join(kind.folder()), 0, &mut files)?;
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
        let catalogue = Catalogue::read(dir.path()).unwrap();
        assert_eq!(names(&catalogue), ["parser me/a-logs", "scenario me/a-bf"]);
        assert_eq!(catalogue.patterns.len(), 1);
        assert!(catalogue.installed.is_none());
    }

    #[test]
    fn links_say_what_is_enabled() {
        let dir = tempfile::tempdir().unwrap();
        let hub = "var/lib/crowdsec/hub/scenarios/me";
        write(dir.path(), &format!("{hub}/on.yaml"), "name: me/on\n");
        write(dir.path(), &format!("{hub}/off.yaml"), "name: me/off\n");
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
        let catalogue = Catalogue::read(&etc).unwrap();
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

    #[test]
    fn a_folder_without_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Catalogue::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("no detection content"), "{error}");
    }
}
