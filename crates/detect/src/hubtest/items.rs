//! Which file a test means by an item's name, and where that file stands once installed.
//!
//! Upstream's runner looks for an item of that name in the hub, then for that path below the hub,
//! then for it in the test's folder; and it installs items by their file names, so that a second
//! file of the same name in the same stage does not count.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::{
    data_files::DataSpec,
    rules::{RuleFile, RuleKind},
    yaml,
};

/// Where the hub keeps its own tests. A path into it is a path into the tests that run.
const TESTS_OF_HUB: &str = ".tests";

/// The three kinds of items that a test names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemKind {
    Parser,
    Postoverflow,
    Scenario,
}

impl ItemKind {
    pub const ALL: [Self; 3] = [Self::Parser, Self::Postoverflow, Self::Scenario];

    /// The hub's folder of such items.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Parser => "parsers",
            Self::Postoverflow => "postoverflows",
            Self::Scenario => "scenarios",
        }
    }
}

/// Where an item's file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path below the hub's root.
    Hub(String),
    /// A path below the folder that holds all tests.
    Tests(String),
    /// A path below the test's own folder.
    Test(String),
    /// The hub's own file of that name: what a test asked for elsewhere is not there.
    HubInstead(String),
}

/// The hub's items by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    names: BTreeMap<(ItemKind, String), String>,
}

impl Catalogue {
    /// From the paths of the hub's files, relative to its root.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p str>) -> Self {
        let mut names = BTreeMap::new();
        for path in paths {
            let parts: Vec<&str> = path.split('/').collect();
            let [folder, .., author, file] = parts.as_slice() else {
                continue;
            };
            let kind = ItemKind::ALL.into_iter().find(|k| k.folder() == *folder);
            if let (Some(kind), Some(stem)) = (kind, stem(file)) {
                names.insert((kind, format!("{author}/{stem}")), path.to_owned());
            }
        }
        Self { names }
    }

    /// Where to look for `item`, in this order.
    pub fn places(&self, kind: ItemKind, item: &str) -> Vec<Place> {
        let named = self.names.get(&(kind, item.to_owned()));
        if let Some(path) = named {
            return vec![Place::Hub(path.clone())];
        }
        let path = tidy(item);
        let mut places = vec![Place::Hub(path.clone())];
        if let Some(rest) = path.strip_prefix(TESTS_OF_HUB) {
            places.push(Place::Tests(rest.trim_start_matches('/').to_owned()));
        }
        places.push(Place::Test(path.clone()));
        let inner = path.match_indices(kind.folder()).find_map(|(at, _)| {
            let rest = path.get(at..)?;
            let starts = at > 0 && path.get(..at)?.ends_with('/');
            (starts && self.names.values().any(|known| known == rest)).then(|| rest.to_owned())
        });
        places.extend(inner.map(Place::HubInstead));
        places
    }

    /// A name of the hub that is most like `item`.
    pub fn nearest(&self, kind: ItemKind, item: &str) -> Option<&str> {
        let names = self.names.keys().filter(|(k, _)| *k == kind);
        yaml::nearest(item, names.map(|(_, name)| name.as_str()))
    }
}

/// `./a//b/../c` is `a/c`; what leads out of the folder is kept, for the caller's own paths.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn stem(file: &str) -> Option<&str> {
    file.strip_suffix(".yaml")
        .or_else(|| file.strip_suffix(".yml"))
}

/// The rule files of one test, installed.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    files: Vec<RuleFile>,
    taken: BTreeSet<String>,
}

impl Installed {
    /// Pattern files; a name with a dot is no pattern file.
    pub fn patterns(&mut self, name: &str, text: &str) {
        if !name.contains('.') {
            self.add(format!("patterns/{name}"), text);
        }
    }

    /// An item that was found at `path`. The error says what is wrong with the path.
    pub fn item(&mut self, kind: ItemKind, path: &str, text: &str) -> Result<(), String> {
        let file = path.rsplit('/').next().unwrap_or(path);
        if stem(file).is_none() {
            return Err(format!("{path} is no .yaml file"));
        }
        let path = match kind {
            ItemKind::Scenario => format!("scenarios/{file}"),
            ItemKind::Parser | ItemKind::Postoverflow => {
                let Some(stage) = stage_of(path) else {
                    return Err(format!(
                        "{path} stands in no stage's folder; put it into \
                         {}/s01-parse/AUTHOR/ (or another stage) below the test",
                        kind.folder()
                    ));
                };
                format!("{}/{stage}/{file}", kind.folder())
            }
        };
        self.add(path, text);
        Ok(())
    }

    fn add(&mut self, path: String, text: &str) {
        if self.taken.insert(path.clone()) {
            self.files.push(RuleFile::new(path, text));
        }
    }

    pub fn files(&self) -> &[RuleFile] {
        &self.files
    }

    /// The lists and databases that the items name, each once.
    pub fn data(&self) -> Vec<Wanted> {
        let mut all: BTreeMap<String, Wanted> = BTreeMap::new();
        for file in self.files.iter().filter(|f| f.text.contains("dest_file")) {
            // Mistakes are reported when the rules load.
            for document in yaml::documents::<Uses>(file).into_iter().flatten() {
                for spec in document.value.data.into_iter().flatten() {
                    let name = spec.dest_file.value;
                    all.entry(name.clone()).or_insert_with(|| Wanted {
                        path: spec.source_url.as_deref().and_then(path_of),
                        url: spec.source_url.unwrap_or_default(),
                        name,
                    });
                }
            }
        }
        all.into_values().collect()
    }
}

/// A file that items read by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `dest_file`.
    pub name: String,
    /// `source_url`, and its path, which is the path in a mirror.
    pub url: String,
    pub path: Option<String>,
}

#[derive(Deserialize)]
struct Uses {
    #[serde(default)]
    data: Option<Vec<DataSpec>>,
}

/// `https://host/a/b.txt` is `a/b.txt`. Nothing that leads out of the mirror.
fn path_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next()?;
    let leaves = path.split('/').any(|part| part == "..");
    (!leaves && !path.is_empty()).then(|| tidy(path))
}

/// The innermost folder that is a stage.
fn stage_of(path: &str) -> Option<String> {
    let file = RuleFile::new(format!("parsers/{path}"), "");
    match file.kind() {
        RuleKind::Parser { stage } | RuleKind::Postoverflow { stage } => Some(stage),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub() -> Catalogue {
        Catalogue::new([
            "parsers/s01-parse/me/web-logs.yaml",
            "parsers/s02-enrich/me/dates.yml",
            "parsers/s01-parse/me/README.md",
            "scenarios/me/web-bf.yaml",
            "postoverflows/s00-enrich/me/web-logs.yaml",
            "contexts/me/web.yaml",
        ])
    }

    #[test]
    fn names_are_looked_up_by_kind() {
        let hub = hub();
        let places = |kind, name| hub.places(kind, name);
        assert_eq!(
            places(ItemKind::Parser, "me/web-logs"),
            [Place::Hub("parsers/s01-parse/me/web-logs.yaml".into())]
        );
        assert_eq!(
            places(ItemKind::Postoverflow, "me/web-logs"),
            [Place::Hub(
                "postoverflows/s00-enrich/me/web-logs.yaml".into()
            )]
        );
        assert_eq!(
            places(ItemKind::Parser, "me/dates"),
            [Place::Hub("parsers/s02-enrich/me/dates.yml".into())]
        );
        // A scenario's name is no parser; then it can only be a path.
        assert_eq!(
            places(ItemKind::Parser, "me/web-bf"),
            [
                Place::Hub("me/web-bf".into()),
                Place::Test("me/web-bf".into())
            ]
        );
        assert_eq!(
            hub.nearest(ItemKind::Parser, "me/web-log"),
            Some("me/web-logs")
        );
    }

    #[test]
    fn paths_are_below_the_hub_then_below_the_test() {
        let places = hub().places(ItemKind::Scenario, "./scenarios//x/../me/own.yaml");
        assert_eq!(
            places,
            [
                Place::Hub("scenarios/me/own.yaml".into()),
                Place::Test("scenarios/me/own.yaml".into())
            ]
        );
    }

    #[test]
    fn another_tests_file_is_looked_for_among_the_tests_and_may_stand_in_the_hub() {
        let item = "./.tests/other/parsers/s02-enrich/me/dates.yml";
        let places = hub().places(ItemKind::Parser, item);
        let path = |s: &str| s.to_owned();
        assert_eq!(
            places,
            [
                Place::Hub(path(".tests/other/parsers/s02-enrich/me/dates.yml")),
                Place::Tests(path("other/parsers/s02-enrich/me/dates.yml")),
                Place::Test(path(".tests/other/parsers/s02-enrich/me/dates.yml")),
                Place::HubInstead(path("parsers/s02-enrich/me/dates.yml")),
            ]
        );
    }

    #[test]
    fn installed_by_file_name_and_the_first_counts() {
        let mut installed = Installed::default();
        let mut item = |kind, path, text| installed.item(kind, path, text);
        item(ItemKind::Parser, "parsers/s01-parse/a/x.yaml", "one").unwrap();
        item(ItemKind::Parser, "parsers/s01-parse/b/x.yaml", "two").unwrap();
        item(ItemKind::Parser, "t/parsers/s02-enrich/b/x.yaml", "three").unwrap();
        item(
            ItemKind::Postoverflow,
            "postoverflows/s01-parse/b/x.yaml",
            "four",
        )
        .unwrap();
        item(ItemKind::Scenario, "scenarios/a/x.yaml", "five").unwrap();
        installed.patterns("web", "A b");
        installed.patterns("web.md", "no");
        let all: Vec<_> = installed
            .files()
            .iter()
            .map(|f| (&*f.path, &*f.text))
            .collect();
        assert_eq!(
            all,
            [
                ("parsers/s01-parse/x.yaml", "one"),
                ("parsers/s02-enrich/x.yaml", "three"),
                ("postoverflows/s01-parse/x.yaml", "four"),
                ("scenarios/x.yaml", "five"),
                ("patterns/web", "A b"),
            ]
        );
    }

    #[test]
    fn lists_are_found_by_the_path_of_their_address() {
        let mut installed = Installed::default();
        let text = "name: a\ndata:\n- source_url: https://x.example/web/a.txt?b\n  dest_file: a.txt\n\
                    - source_url: https://x.example/../b\n  dest_file: b.txt\n- dest_file: c.txt\n";
        installed
            .item(ItemKind::Scenario, "scenarios/me/a.yaml", text)
            .unwrap();
        installed
            .item(ItemKind::Scenario, "scenarios/me/b.yaml", text)
            .unwrap();
        let data = installed.data();
        let all: Vec<_> = data.iter().map(|w| (&*w.name, w.path.as_deref())).collect();
        let expected = [
            ("a.txt", Some("web/a.txt")),
            ("b.txt", None),
            ("c.txt", None),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn a_parser_without_a_stage_cannot_be_installed() {
        let fault = Installed::default()
            .item(ItemKind::Parser, "x.yaml", "")
            .unwrap_err();
        assert!(fault.contains("stage"), "{fault}");
        let fault = Installed::default()
            .item(ItemKind::Scenario, "x.log", "")
            .unwrap_err();
        assert!(fault.contains(".yaml"), "{fault}");
    }
}
