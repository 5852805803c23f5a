//! `posse rules import`: years of other people's detection content, taken over as it is.
//!
//! ```text
//! folder -> catalogue (what is there) -> choice (what is wanted) -> data (the lists it needs)
//!        -> judge (what of it runs)   -> shelf (in place at once, or nothing changed) -> report
//! ```
//!
//! Runs beside the guard, never in it: the guard sees the result at its next reload. Nothing of an
//! item is changed on the way; an item that does not run is kept, but not where rules are loaded.

mod acquisition;
mod catalogue;
mod choice;
mod data;
mod fetch;
mod installed;
mod judge;
mod overlap;
mod report;
mod shelf;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use catalogue::{Catalogue, Kind};
use choice::{Choice, Wish};
use data::{Found, Last, Places, Stamp, Wanted};
use detect::rules::RuleFile;
use fetch::Fetcher;
use judge::{Data, State, Verdicts};
use sha2::{Digest as _, Sha256};
use shelf::{Entry, Kept, MANIFEST, Manifest, SOURCE, Shelf};

use self::report::Report;
pub(crate) use self::report::origin_of;
use crate::{
    cli::{EnableArgs, ImportArgs, RefreshArgs},
    content,
    exit::Exit,
};

const CROWDSEC: &str = "crowdsec";

/// One import, wherever the wish for it came from.
struct Task<'a> {
    /// Where the content is read.
    dir: PathBuf,
    /// Where it came from in the first place.
    from: PathBuf,
    into: &'a Path,
    wish: Wish,
    mirror: Option<&'a Path>,
    patterns: Option<&'a Path>,
    fetching: Fetching,
    as_json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetching {
    Allowed,
    No,
}

pub(crate) fn import(arguments: &ImportArgs, out: &mut dyn Write) -> Result<Exit> {
    let last = Manifest::read(&arguments.into.join(CROWDSEC))?;
    let from = fs::canonicalize(&arguments.dir).unwrap_or_else(|_| arguments.dir.clone());
    let wish = if !arguments.enable.is_empty() {
        Wish::Names(arguments.enable.iter().cloned().collect())
    } else if arguments.all {
        Wish::Everything
    } else {
        // Importing again keeps what was chosen.
        last.filter(|last| last.from == from)
            .map_or(Wish::AsInstalled, |last| last.wish)
    };
    let may_fetch = arguments.fetch || (arguments.mirror.is_none() && !arguments.no_fetch);
    let task = Task {
        dir: arguments.dir.clone(),
        from,
        into: &arguments.into,
        wish,
        mirror: arguments.mirror.as_deref(),
        patterns: arguments.patterns.as_deref(),
        fetching: if may_fetch {
            Fetching::Allowed
        } else {
            Fetching::No
        },
        as_json: arguments.json,
    };
    task.run(out)
}

/// Fetches the data files again, and reads the origin again if it is still there.
pub(crate) fn refresh(arguments: &RefreshArgs, out: &mut dyn Write) -> Result<Exit> {
    let last = existing(&arguments.into)?;
    let own = arguments.into.join(CROWDSEC).join(SOURCE);
    let task = Task {
        dir: if last.from.is_dir() {
            last.from.clone()
        } else {
            own
        },
        from: last.from,
        into: &arguments.into,
        wish: last.wish,
        mirror: arguments.mirror.as_deref(),
        patterns: None,
        fetching: if arguments.mirror.is_none() {
            Fetching::Allowed
        } else {
            Fetching::No
        },
        as_json: arguments.json,
    };
    task.run(out)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Enables more of what was imported, or less.
pub(crate) fn switch(arguments: &EnableArgs, to: Switch, out: &mut dyn Write) -> Result<Exit> {
    let last = existing(&arguments.into)?;
    let own = arguments.into.join(CROWDSEC).join(SOURCE);
    let catalogue = Catalogue::read(&own)?;
    let mut names = match last.wish {
        Wish::Names(names) => names,
        Wish::Everything | Wish::AsInstalled => enabled(&last.items),
    };
    match to {
        Switch::On => names.extend(arguments.names.iter().cloned()),
        Switch::Off => names = without(&catalogue, names, &arguments.names)?,
    }
    let task = Task {
        dir: own,
        from: last.from,
        into: &arguments.into,
        wish: Wish::Names(names),
        mirror: arguments.mirror.as_deref(),
        patterns: None,
        fetching: if arguments.mirror.is_none() {
            Fetching::Allowed
        } else {
            Fetching::No
        },
        as_json: arguments.json,
    };
    task.run(out)
}

/// What is enabled, each item by itself.
fn enabled(items: &[Entry]) -> BTreeSet<String> {
    let enabled = items.iter().filter(|entry| entry.enabled);
    enabled
        .map(|entry| choice::path_name(&entry.file))
        .collect()
}

/// The names that stay: those that were not taken away; of a collection that lists one that was,
/// the other members.
fn without(
    catalogue: &Catalogue,
    names: BTreeSet<String>,
    off: &[String],
) -> Result<BTreeSet<String>> {
    let gone = Choice::make(catalogue, &Wish::Names(off.iter().cloned().collect()))?.items;
    let mut left = BTreeSet::new();
    for name in names {
        let wish = Wish::Names([name.clone()].into());
        let items = Choice::make(catalogue, &wish)?.items;
        if items.is_disjoint(&gone) {
            left.insert(name);
        } else {
            let rest = items
                .difference(&gone)
                .filter(|id| id.kind != Kind::Collection);
            left.extend(
                rest.filter_map(|id| catalogue.items.get(id))
                    .map(|i| choice::path_name(&i.place)),
            );
        }
    }
    Ok(left)
}

fn existing(into: &Path) -> Result<Manifest> {
    match Manifest::read(&into.join(CROWDSEC))? {
        Some(manifest) => Ok(manifest),
        None => bail!(
            "nothing was imported into {} yet\n  fix: posse rules import DIR, with a checkout of \
             the CrowdSec hub or /etc/crowdsec",
            into.display()
        ),
    }
}

impl Task<'_> {
    fn run(&self, out: &mut dyn Write) -> Result<Exit> {
        let mut catalogue = Catalogue::read(&self.dir)?;
        if let Some(patterns) = self.patterns {
            catalogue.add_patterns(patterns)?;
        }
        let choice = Choice::make(&catalogue, &self.wish)?;
        let shelf = Shelf::open(self.into)?;
        let wanted = wanted(&catalogue, &choice);
        let found = self.gather(&catalogue, &wanted, &shelf)?;
        let verdicts = judge::judge(
            &catalogue,
            &choice,
            &Data {
                wanted: &wanted,
                found: &found,
            },
        );
        let mut manifest = Manifest::new(CROWDSEC, self.from.clone(), now(), self.wish.clone());
        let mut files = loaded_files(&catalogue, &verdicts);
        add_data(&mut files, &mut manifest, &verdicts, &wanted, &found);
        manifest.items = entries(&catalogue, &verdicts);
        add_source(&mut files, &catalogue);
        files.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&manifest)?);
        shelf.replace(CROWDSEC, &files)?;
        let report = Report {
            catalogue: &catalogue,
            verdicts: &verdicts,
            manifest: &manifest,
            into: self.into,
            overlaps: overlaps(&catalogue, &verdicts)?,
        };
        report.print(self.as_json, out)
    }

    fn gather(
        &self,
        catalogue: &Catalogue,
        wanted: &BTreeMap<String, Wanted>,
        shelf: &Shelf,
    ) -> Result<BTreeMap<String, Result<Found, String>>> {
        let folder = shelf.origin(CROWDSEC);
        let last = Manifest::read(&folder)?;
        let stamps: BTreeMap<String, Stamp> = last
            .into_iter()
            .flat_map(|last| last.data)
            .map(|(name, kept)| (name, kept.stamp))
            .collect();
        let mut places = Places {
            mirror: self.mirror,
            installed: catalogue.installed.as_ref().and_then(|i| i.data.as_deref()),
            fetcher: (self.fetching == Fetching::Allowed).then(Fetcher::new),
            last: Last {
                folder: &folder.join("data"),
                stamps: &stamps,
            },
        };
        Ok(places.gather(wanted))
    }
}

fn wanted(catalogue: &Catalogue, choice: &Choice) -> BTreeMap<String, Wanted> {
    let rules = choice
        .items
        .iter()
        .filter(|id| !choice.simulated.contains(id));
    let texts = rules.filter_map(|id| Some((id, catalogue.items.get(id)?.text.as_deref().ok()?)));
    data::wanted(texts)
}

/// What the guard will load, where its kind belongs.
fn loaded_files(catalogue: &Catalogue, verdicts: &Verdicts) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for item in verdicts.running().filter_map(|id| catalogue.items.get(id)) {
        if let Ok(text) = &item.text {
            files.insert(item.place.clone(), text.clone().into_bytes());
        }
    }
    for (name, text) in &catalogue.patterns {
        files.insert(format!("patterns/{name}"), text.clone().into_bytes());
    }
    files
}

/// The data files of what runs.
fn add_data(
    files: &mut BTreeMap<String, Vec<u8>>,
    manifest: &mut Manifest,
    verdicts: &Verdicts,
    wanted: &BTreeMap<String, Wanted>,
    found: &BTreeMap<String, Result<Found, String>>,
) {
    for (name, found) in found {
        let is_used = wanted.get(name).is_some_and(|wanted| {
            wanted
                .users
                .iter()
                .any(|id| !matches!(verdicts.states.get(id), Some(State::Not(_))))
        });
        let Some(found) = found.as_ref().ok().filter(|_| is_used) else {
            continue;
        };
        let kept = Kept {
            sha256: sha256(&found.bytes),
            bytes: found.bytes.len() as u64,
            stamp: found.stamp.clone(),
        };
        manifest.data.insert(name.clone(), kept);
        files.insert(format!("data/{name}"), found.bytes.clone());
    }
}

/// Everything there was, so that more of it can be enabled without the origin.
fn add_source(files: &mut BTreeMap<String, Vec<u8>>, catalogue: &Catalogue) {
    for item in catalogue.items.values() {
        if let Ok(text) = &item.text {
            files.insert(
                format!("{SOURCE}/{}", item.place),
                text.clone().into_bytes(),
            );
        }
    }
    for (name, text) in &catalogue.patterns {
        files.insert(
            format!("{SOURCE}/patterns/{name}"),
            text.clone().into_bytes(),
        );
    }
}

fn entries(catalogue: &Catalogue, verdicts: &Verdicts) -> Vec<Entry> {
    let entry = |(id, item): (&catalogue::Id, &catalogue::Item)| {
        let state = verdicts.states.get(id);
        Entry {
            kind: id.kind.to_string(),
            name: id.name.clone(),
            file: item.place.clone(),
            sha256: item
                .text
                .as_ref()
                .map(|text| sha256(text.as_bytes()))
                .unwrap_or_default(),
            enabled: matches!(state, Some(State::AsIs | State::WithNote(_))),
            note: match state {
                Some(State::WithNote(note) | State::Not(note)) => Some(note.clone()),
                Some(State::AsIs) | None => None,
            },
        }
    };
    catalogue.items.iter().map(entry).collect()
}

/// Built-in scenarios that would count the same events.
fn overlaps(
    catalogue: &Catalogue,
    verdicts: &Verdicts,
) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let items = verdicts.running().filter_map(|id| catalogue.items.get(id));
    let imported =
        items.filter_map(|item| Some(RuleFile::new(item.place.clone(), item.text.clone().ok()?)));
    Ok(overlap::find(
        &content::files_of(None)?,
        &imported.collect::<Vec<_>>(),
    ))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
