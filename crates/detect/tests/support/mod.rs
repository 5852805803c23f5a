//! The shared corpus of rules: where it is, and its tests with all that they name.
//!
//! It lies in `$POSSE_SHARED` or `../shared` beside the workspace; without it a test says so
//! loudly and passes.

#![expect(
    clippy::unwrap_used,
    reason = "a test's helpers report and fail as the test does"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use detect::{
    engine::DataFile,
    hubtest::{
        TestConfig,
        items::{Catalogue, Installed, ItemKind, Place},
    },
    rules::RuleFile,
};
use model::Timestamp;

pub(crate) fn corpora() -> Option<PathBuf> {
    outside::shared("corpora/crowdsec-hub")?;
    outside::shared("corpora")
}

pub(crate) fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap())
}

pub(crate) struct Hub {
    pub(crate) root: PathBuf,
    lists: PathBuf,
    pub(crate) patterns: Installed,
    catalogue: Catalogue,
}

/// One test of the hub.
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) config: TestConfig,
    pub(crate) rules: Installed,
    pub(crate) data: Vec<DataFile>,
    pub(crate) log: PathBuf,
}

impl Hub {
    pub(crate) fn open(corpora: &Path) -> Self {
        let root = corpora.join("crowdsec-hub");
        let mut patterns = Installed::default();
        for path in outside::files(&corpora.join("grok-patterns"), &[]) {
            patterns.patterns(&name_of(&path), &outside::read(&path));
        }
        let below = |path: PathBuf| path.strip_prefix(&root).unwrap().display().to_string();
        let paths: Vec<String> = ItemKind::ALL
            .iter()
            .flat_map(|kind| outside::files(&root.join(kind.folder()), &[]))
            .map(below)
            .collect();
        let catalogue = Catalogue::new(paths.iter().map(String::as_str));
        Self {
            lists: corpora.join("sec-lists"),
            patterns,
            catalogue,
            root,
        }
    }

    /// The rule files in one of the hub's folders.
    pub(crate) fn rules(&self, folder: &str) -> Vec<RuleFile> {
        let all = outside::files(&self.root.join(folder), &[]);
        let is_yaml = |p: &&PathBuf| p.extension().is_some_and(|e| e == "yaml" || e == "yml");
        all.iter()
            .filter(is_yaml)
            .map(|path| {
                let name = path.strip_prefix(&self.root).unwrap().display().to_string();
                RuleFile::new(name, outside::read(path))
            })
            .collect()
    }

    /// The tests whose items are all there.
    pub(crate) fn tests(&self) -> Vec<Test> {
        let all = outside::files(&self.root.join("tests"), &[]);
        let configs = all.iter().filter(|path| path.ends_with("config.yaml"));
        configs
            .filter_map(|path| self.test(path.parent().unwrap()))
            .collect()
    }

    fn test(&self, folder: &Path) -> Option<Test> {
        let text = outside::read(&folder.join("config.yaml"));
        let config = TestConfig::read(&RuleFile::new("config.yaml", text)).ok()?;
        let mut rules = self.patterns.clone();
        for (kind, items) in [
            (ItemKind::Parser, &config.parsers),
            (ItemKind::Postoverflow, &config.postoverflows),
            (ItemKind::Scenario, &config.scenarios),
        ] {
            for item in items {
                let places = self.catalogue.places(kind, item).into_iter();
                let path = places
                    .map(|place| match place {
                        Place::Hub(path) | Place::HubInstead(path) => self.root.join(path),
                        Place::Tests(path) => self.root.join("tests").join(path),
                        Place::Test(path) => folder.join(path),
                    })
                    .find(|path| path.is_file())?;
                rules
                    .item(kind, &path.to_string_lossy(), &outside::read(&path))
                    .ok()?;
            }
        }
        Some(Test {
            name: name_of(folder),
            log: folder.join(&config.log_file),
            data: self.data(&rules),
            config,
            rules,
        })
    }

    /// The lists that rules name, from the corpus beside the hub.
    pub(crate) fn data(&self, rules: &Installed) -> Vec<DataFile> {
        let wanted = rules.data().into_iter();
        wanted
            .filter_map(|wanted| {
                Some(DataFile {
                    bytes: fs::read(self.lists.join(wanted.path?)).ok()?,
                    name: wanted.name,
                })
            })
            .collect()
    }
}
