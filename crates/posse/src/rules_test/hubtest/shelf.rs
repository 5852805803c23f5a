//! The folders that hub tests are made of: hub, tests, lists, databases and patterns.
//!
//! Only reads. What a name means is for [`detect::hubtest::items`] to say.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, anyhow, bail};
use detect::{
    engine::DataFile,
    hubtest::{
        TestConfig,
        items::{Catalogue, Installed, ItemKind, Place, Wanted},
    },
    rules::RuleFile,
};
use model::limits;

use crate::{
    cli::RulesTestArgs,
    geoip::{Database, GeoIp},
};

const CONFIG: &str = "config.yaml";
const FILES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 8;
/// Bytes of one log or list.
const FILE_BYTES_MAX: u64 = 256 << 20;
const CITY: &str = "GeoLite2-City.mmdb";
const ASN: &str = "GeoLite2-ASN.mmdb";
/// Where the hub's own mirror keeps the databases.
const MIRROR: &str = "mmdb_update";

pub(super) struct Shelf {
    hub: PathBuf,
    tests: PathBuf,
    data: Option<PathBuf>,
    catalogue: Catalogue,
    patterns: Installed,
    databases: Mutex<BTreeMap<PathBuf, Arc<Database>>>,
}

/// One test, read.
pub(super) struct Papers {
    pub(super) config: TestConfig,
    pub(super) rules: Installed,
    pub(super) data: Vec<DataFile>,
    pub(super) log_path: PathBuf,
    pub(super) log: Vec<u8>,
    pub(super) parser_asserts: String,
    pub(super) scenario_asserts: String,
    pub(super) geoip: GeoIp,
    /// Databases that the items name and nobody has.
    pub(super) missing: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Shelf {
    pub(super) fn open(arguments: &RulesTestArgs) -> Result<Self> {
        let (Some(hub), Some(tests)) = (&arguments.hub, &arguments.tests) else {
            bail!("--hubtest needs --hub DIR and --tests DIR");
        };
        let mut patterns = Installed::default();
        if let Some(folder) = &arguments.patterns {
            for path in files_below(folder)? {
                patterns.patterns(&name_of(&path), &text_of(&path)?);
            }
        }
        if let Some(data) = arguments.data.as_ref().filter(|d| !d.is_dir()) {
            bail!("--data {}: there is no such folder", data.display());
        }
        let mut paths = Vec::new();
        for kind in ItemKind::ALL {
            let folder = hub.join(kind.folder());
            if folder.is_dir() {
                paths.extend(files_below(&folder)?.iter().filter_map(|p| below(p, hub)));
            }
        }
        if paths.is_empty() {
            bail!(
                "--hub {}: there is no parsers/, scenarios/ or postoverflows/ in it",
                hub.display()
            );
        }
        Ok(Self {
            hub: hub.clone(),
            tests: tests.clone(),
            data: arguments.data.clone(),
            catalogue: Catalogue::new(paths.iter().map(String::as_str)),
            patterns,
            databases: Mutex::default(),
        })
    }

    /// The folders of all tests, by name.
    pub(super) fn tests(&self) -> Result<Vec<PathBuf>> {
        if is_test(&self.tests) {
            return Ok(vec![self.tests.clone()]);
        }
        let mut found = Vec::new();
        collect_tests(&self.tests, 0, &mut found)?;
        found.sort();
        Ok(found)
    }

    pub(super) fn read(&self, test: &Path) -> Result<Papers> {
        let config_path = test.join(CONFIG);
        let file = RuleFile::new(config_path.display().to_string(), text_of(&config_path)?);
        let config = TestConfig::read(&file).map_err(|fault| anyhow!("{fault}"))?;
        if config.log_file.is_empty() && !config.is_of_firewall() {
            bail!("{}: log_file is missing", file.path);
        }
        let mut papers = Papers {
            log_path: test.join(&config.log_file),
            config,
            rules: self.patterns.clone(),
            data: Vec::new(),
            log: Vec::new(),
            parser_asserts: asserts(test, "parser.assert")?,
            scenario_asserts: asserts(test, "scenario.assert")?,
            geoip: GeoIp::default(),
            missing: Vec::new(),
            notes: Vec::new(),
        };
        if !papers.config.is_of_firewall() {
            papers.log = bytes_of(&papers.log_path)?;
            self.install(test, &mut papers)?;
            self.supply(test, &mut papers)?;
        }
        Ok(papers)
    }

    fn install(&self, test: &Path, papers: &mut Papers) -> Result<()> {
        let config = &papers.config;
        for (kind, items) in [
            (ItemKind::Parser, &config.parsers),
            (ItemKind::Postoverflow, &config.postoverflows),
            (ItemKind::Scenario, &config.scenarios),
        ] {
            for item in items {
                let places = self.catalogue.places(kind, item);
                let found = places
                    .iter()
                    .map(|place| (place, self.path(place, test)))
                    .find(|(_, path)| path.is_file());
                let Some((place, path)) = found else {
                    bail!("{}", self.not_found(kind, item));
                };
                if let Place::HubInstead(own) = place {
                    papers
                        .notes
                        .push(format!("{item} is not there; the hub's own {own} ran"));
                }
                papers
                    .rules
                    .item(kind, &path.to_string_lossy(), &text_of(&path)?)
                    .map_err(|fault| anyhow!("{fault}"))?;
            }
        }
        Ok(())
    }

    fn path(&self, place: &Place, test: &Path) -> PathBuf {
        match place {
            Place::Hub(path) | Place::HubInstead(path) => self.hub.join(path),
            Place::Tests(path) => self.tests.join(path),
            Place::Test(path) => test.join(path),
        }
    }

    fn not_found(&self, kind: ItemKind, item: &str) -> String {
        let near = self.catalogue.nearest(kind, item);
        let near = near.map_or_else(String::new, |name| format!("; did you mean {name}?"));
        format!(
            "{}: {item} is no item of the hub, no path below it, and none below the test{near}",
            kind.folder()
        )
    }

    /// Lists and databases.
    fn supply(&self, test: &Path, papers: &mut Papers) -> Result<()> {
        for wanted in papers.rules.data() {
            let found = self
                .data_places(test, &wanted)
                .into_iter()
                .find(|p| p.is_file());
            let is_database = wanted.name.ends_with(".mmdb");
            match found {
                Some(path) if is_database => {
                    let database = self.database(&path)?;
                    papers.geoip.take(&wanted.name, database);
                }
                Some(path) => papers.data.push(DataFile {
                    bytes: bytes_of(&path)?,
                    name: wanted.name,
                }),
                None if is_database => papers.missing.push(wanted.name),
                None => {
                    papers
                        .notes
                        .push(missing_list(&wanted, self.data.as_deref()));
                    papers.data.push(DataFile {
                        name: wanted.name,
                        bytes: Vec::new(),
                    });
                }
            }
        }
        // Enrichment asks for databases by these names, whoever else names them.
        for (name, has) in [
            (CITY, papers.geoip.city.is_some()),
            (ASN, papers.geoip.asn.is_some()),
        ] {
            let places = self
                .data
                .iter()
                .flat_map(|d| [d.join(name), d.join(MIRROR).join(name)]);
            if !has && let Some(path) = places.into_iter().find(|p| p.is_file()) {
                papers.geoip.take(name, self.database(&path)?);
                papers.missing.retain(|missing| missing != name);
            }
        }
        Ok(())
    }

    /// In the order they are tried.
    fn data_places(&self, test: &Path, wanted: &Wanted) -> Vec<PathBuf> {
        let name = Path::new(&wanted.name);
        let mut places = vec![test.join("data").join(name)];
        if let Some(data) = &self.data {
            places.extend(wanted.path.as_ref().map(|path| data.join(path)));
            places.push(data.join(name));
        }
        places.push(self.hub.join("data").join(name));
        places
    }

    fn database(&self, path: &Path) -> Result<Arc<Database>> {
        let mut open = self
            .databases
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = open.get(path) {
            return Ok(Arc::clone(database));
        }
        let database = Arc::new(Database::open(path)?);
        open.insert(path.to_owned(), Arc::clone(&database));
        Ok(database)
    }
}

fn missing_list(wanted: &Wanted, data: Option<&Path>) -> String {
    let path = wanted.path.as_deref().unwrap_or(&wanted.name);
    match data {
        Some(data) => format!(
            "the list {} is empty: {} is not there",
            wanted.name,
            data.join(path).display()
        ),
        None => format!(
            "the list {} is empty: name a mirror of {} with --data DIR",
            wanted.name, wanted.url
        ),
    }
}

/// A folder with a test in it, or what is left of one.
fn is_test(folder: &Path) -> bool {
    [CONFIG, "parser.assert", "scenario.assert"]
        .iter()
        .any(|name| folder.join(name).is_file())
}

fn collect_tests(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        if !path.is_dir() {
            continue;
        }
        if is_test(&path) {
            found.push(path);
        } else if depth < DEPTH_MAX {
            collect_tests(&path, depth + 1, found)?;
        }
        if found.len() > FILES_MAX {
            bail!("{}: more than {FILES_MAX} tests", folder.display());
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let why = || format!("cannot read the folder {}", folder.display());
    let listing = fs::read_dir(folder).with_context(why)?;
    let paths: std::io::Result<Vec<PathBuf>> = listing.map(|e| Ok(e?.path())).collect();
    let mut paths = paths.with_context(why)?;
    paths.sort();
    Ok(paths)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for path in entries(&folder)? {
            if !path.is_dir() {
                found.push(path);
            } else if depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            }
        }
        if found.len() > FILES_MAX {
            bail!("{}: more than {FILES_MAX} files", folder.display());
        }
    }
    found.sort();
    Ok(found)
}

fn below(path: &Path, root: &Path) -> Option<String> {
    Some(path.strip_prefix(root).ok()?.to_string_lossy().into_owned())
}

pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

/// An assert file; an absent one asserts nothing.
fn asserts(test: &Path, name: &str) -> Result<String> {
    let path = test.join(name);
    if path.is_file() {
        Ok(String::from_utf8_lossy(&bytes_of(&path)?).into_owned())
    } else {
        Ok(String::new())
    }
}

fn text_of(path: &Path) -> Result<String> {
    let bytes = bytes_of(path)?;
    if bytes.len() > limits::RULE_FILE_BYTES_MAX {
        bail!(
            "{}: {} bytes; a rule file has at most {}",
            path.display(),
            bytes.len(),
            limits::RULE_FILE_BYTES_MAX
        );
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let why = || format!("cannot read {}", path.display());
    let size = fs::metadata(path).with_context(why)?.len();
    if size > FILE_BYTES_MAX {
        bail!(
            "{}: {size} bytes; at most {FILE_BYTES_MAX} are read",
            path.display()
        );
    }
    fs::read(path).with_context(why)
}
