//! One import from end to end: what is read, chosen, gathered, judged, put in place and told.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Result;
use detect::rules::RuleFile;
use sha2::{Digest as _, Sha256};

use super::{
    acquisition,
    catalogue::{Catalogue, Id, Item},
    choice::{Choice, Wish},
    data::{self, Found, Last, Places, Stamp, Wanted},
    fail2ban,
    fetch::Fetcher,
    judge::{self, Data, State, Verdicts},
    origin::Origin,
    overlap,
    report::Report,
    shelf::{Entry, Kept, MANIFEST, Manifest, SOURCE, Shelf},
};
use crate::{content, exit::Exit};

/// One import, wherever the wish for it came from.
pub(super) struct Task<'a> {
    pub(super) origin: Origin,
    /// Where the content is read.
    pub(super) dir: PathBuf,
    /// Where it came from in the first place.
    pub(super) from: PathBuf,
    pub(super) into: &'a Path,
    pub(super) wish: Wish,
    pub(super) mirror: Option<&'a Path>,
    pub(super) patterns: Option<&'a Path>,
    pub(super) fetching: Fetching,
    pub(super) as_json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fetching {
    Allowed,
    No,
}

impl Fetching {
    pub(super) const fn allowed_if(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::No }
    }
}

impl Task<'_> {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<Exit> {
        if self.origin == Origin::Fail2ban {
            return fail2ban::run(self, out);
        }
        let origin = self.origin.name();
        let mut catalogue = Catalogue::read(&self.dir, self.origin)?;
        if let Some(patterns) = self.patterns {
            catalogue.add_patterns(patterns)?;
        }
        let choice = Choice::make(&catalogue, &self.wish)?;
        let shelf = Shelf::open(self.into)?;
        let wanted = wanted(&catalogue, &choice);
        let found = self.gather(&catalogue, &wanted, &shelf)?;
        let data = Data {
            wanted: &wanted,
            found: &found,
        };
        let verdicts = judge::judge(&catalogue, &choice, &data);
        let mut manifest = Manifest::new(origin, self.from.clone(), now(), self.wish.clone());
        let mut files = loaded_files(&catalogue, &verdicts);
        add_data(&mut files, &mut manifest, &verdicts, &data);
        manifest.items = entries(&catalogue, &verdicts);
        add_source(&mut files, &catalogue);
        files.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&manifest)?);
        shelf.replace(origin, &files)?;
        let installed = catalogue.installed.as_ref();
        let report = Report {
            verdicts: &verdicts,
            manifest: &manifest,
            into: self.into,
            available: catalogue.items.len(),
            sources: installed
                .map(|i| acquisition::as_toml(&i.acquisition))
                .unwrap_or_default(),
            notes: databases(&manifest, &shelf.origin(origin)),
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
        let folder = shelf.origin(self.origin.name());
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
    data: &Data<'_>,
) {
    for (name, found) in data.found {
        let is_used = data.wanted.get(name).is_some_and(|wanted| {
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

/// How the guard is told of the databases that came along.
fn databases(manifest: &Manifest, folder: &Path) -> Vec<String> {
    let names = manifest.data.keys().filter(|name| data::is_database(name));
    names
        .map(|name| {
            let key = if name.contains("ASN") { "asn" } else { "city" };
            let path = folder.join("data").join(name);
            format!(
                "for country and network, write into posse.toml: [geoip] {key} = \"{}\"",
                path.display()
            )
        })
        .collect()
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
    let entry = |(id, item): (&Id, &Item)| {
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

pub(super) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

pub(super) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
