//! What an installed CrowdSec says of itself: where its hub and data lie, what it only simulates,
//! which logs it reads.
//!
//! The folder may come from another machine (a backup, a container's layers): absolute paths in it
//! are then looked up below the root that `etc/crowdsec` hangs from.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use detect::{rules::RuleFile, yaml};
use serde::Deserialize;

use super::catalogue::Id;

const HUB: &str = "/var/lib/crowdsec/hub";
const DATA: &str = "/var/lib/crowdsec/data";
/// Links followed for one path; more are a circle.
const LINKS_MAX: u32 = 40;

#[derive(Debug, Default)]
pub(super) struct Installation {
    pub(super) hub: Option<PathBuf>,
    pub(super) data: Option<PathBuf>,
    pub(super) enabled: BTreeSet<Id>,
    pub(super) simulation: Simulation,
    /// What it reads, as documents of its acquisition files.
    pub(super) acquisition: Vec<Acquisition>,
}

/// `simulation.yaml`: scenarios that decide nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Simulation {
    simulation: Option<bool>,
    exclusions: Option<Vec<String>>,
}

impl Simulation {
    /// The list holds the exceptions from what the switch says.
    pub(super) fn covers(&self, scenario: &str) -> bool {
        let listed = self
            .exclusions
            .as_ref()
            .is_some_and(|all| all.iter().any(|e| e == scenario));
        self.simulation.unwrap_or(false) != listed
    }
}

/// One document of `acquis.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Acquisition {
    pub(super) source: Option<String>,
    pub(super) filename: Option<String>,
    pub(super) filenames: Option<Vec<String>>,
    pub(super) journalctl_filter: Option<Vec<String>>,
    pub(super) listen_addr: Option<String>,
    pub(super) listen_port: Option<u16>,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Settings {
    config_paths: Paths,
    crowdsec_service: Service,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Paths {
    data_dir: Option<PathBuf>,
    hub_dir: Option<PathBuf>,
    simulation_path: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Service {
    acquisition_path: Option<PathBuf>,
    acquisition_dir: Option<PathBuf>,
}

/// What `dir` says when it is an installation; nothing when it is a checkout of the hub.
pub(super) fn find(dir: &Path) -> Result<Option<Installation>> {
    let config = dir.join("config.yaml");
    if !config.is_file() && !dir.join("hub").is_dir() {
        return Ok(None);
    }
    let settings: Settings = first(&config)?.unwrap_or_default();
    let Settings {
        config_paths: paths,
        crowdsec_service: service,
    } = settings;
    let existing = |named: Option<PathBuf>, usual: &[&Path]| {
        let usual = usual.iter().map(|path| path.to_path_buf());
        named
            .into_iter()
            .chain(usual)
            .map(|path| below(&path, dir))
            .find(|path| path.is_dir())
    };
    let hub = existing(paths.hub_dir, &[&dir.join("hub"), Path::new(HUB)]);
    let data = existing(paths.data_dir, &[&dir.join("data"), Path::new(DATA)]);
    let simulation = paths
        .simulation_path
        .unwrap_or_else(|| dir.join("simulation.yaml"));
    let mut acquisition = Vec::new();
    let file = service
        .acquisition_path
        .unwrap_or_else(|| dir.join("acquis.yaml"));
    acquisition.extend(all(&below(&file, dir))?);
    let folder = service
        .acquisition_dir
        .unwrap_or_else(|| dir.join("acquis.d"));
    for path in yaml_files(&below(&folder, dir))? {
        acquisition.extend(all(&path)?);
    }
    Ok(Some(Installation {
        hub,
        data,
        enabled: BTreeSet::new(),
        simulation: first(&below(&simulation, dir))?.unwrap_or_default(),
        acquisition,
    }))
}

/// Where a file really lies. A link to a place that is not there is looked up below the root that
/// the folder hangs from.
pub(super) fn target(file: &Path, root: &Path) -> PathBuf {
    if let Ok(real) = fs::canonicalize(file) {
        return real;
    }
    match fs::read_link(file) {
        Ok(target) if target.is_absolute() => below(&target, root),
        Ok(target) => file
            .parent()
            .map_or_else(|| target.clone(), |dir| dir.join(&target)),
        Err(_) => file.to_owned(),
    }
}

/// `path`, or the same path below the root that `dir` hangs from (`ROOT/etc/crowdsec`).
fn below(path: &Path, dir: &Path) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let roots = dir.ancestors().skip(1);
    let mut moved = roots.filter_map(|root| resolve_in(root, path));
    moved.next().unwrap_or_else(|| path.to_owned())
}

/// Follows every link of `path` as a process would whose root is `root`.
fn resolve_in(root: &Path, path: &Path) -> Option<PathBuf> {
    let mut open = parts_backwards(path);
    let mut real = root.to_owned();
    let mut links = 0;
    while let Some(part) = open.pop() {
        let next = real.join(&part);
        match fs::read_link(&next) {
            Ok(target) if links < LINKS_MAX => {
                links += 1;
                if target.is_absolute() {
                    real = root.to_owned();
                }
                open.extend(parts_backwards(&target));
            }
            Ok(_) => return None,
            Err(_) if part == ".." => {
                if real != root {
                    real.pop();
                }
            }
            Err(_) => real = next,
        }
    }
    real.exists().then_some(real)
}

fn parts_backwards(path: &Path) -> Vec<OsString> {
    let parts = path.components().rev().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(listing) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for entry in listing {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn first<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    Ok(all(path)?.into_iter().next())
}

fn all<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let file = RuleFile::new(path.display().to_string(), text);
    let documents = yaml::documents::<T>(&file).into_iter();
    documents
        .map(|one| {
            one.map(|document| document.value)
                .map_err(|d| anyhow!("{d}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulation_has_a_switch_and_exceptions_from_it() {
        let all_but = Simulation {
            simulation: Some(true),
            exclusions: Some(vec!["a".into()]),
        };
        assert!(all_but.covers("b") && !all_but.covers("a"));
        let only = Simulation {
            simulation: None,
            exclusions: Some(vec!["a".into()]),
        };
        assert!(only.covers("a") && !only.covers("b"));
    }

    #[test]
    fn acquisition_documents_are_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("config.yaml"),
            "common:\n  log_level: info\n",
        )
        .unwrap();
        let text = "filenames:\n  - /var/log/a.log\nlabels:\n  type: nginx\n---\n\
                    source: journalctl\njournalctl_filter: [\"_SYSTEMD_UNIT=x.service\"]\n";
        fs::write(dir.path().join("acquis.yaml"), text).unwrap();
        let found = find(dir.path()).unwrap().unwrap();
        assert_eq!(found.acquisition.len(), 2);
        assert_eq!(found.acquisition[0].labels["type"], "nginx");
        assert!(find(&dir.path().join("none")).unwrap().is_none());
    }
}
