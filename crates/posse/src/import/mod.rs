//! `posse rules import`: years of other people's detection content, taken over as it is.
//!
//! ```text
//! folder -> catalogue (what is there) -> choice (what is wanted) -> data (the lists it needs)
//!        -> judge (what of it runs)   -> shelf (in place at once, or nothing changed) -> report
//! ```
//!
//! Runs beside the guard, never in it: the guard sees the result at its next reload. Nothing of an
//! item is changed on the way; an item that does not run is kept, but not where rules are loaded.
//! Here stand the commands; `task` is one import from end to end.

mod acquisition;
mod catalogue;
mod choice;
mod data;
mod fail2ban;
mod fetch;
mod installed;
mod judge;
mod origin;
mod overlap;
mod report;
mod shelf;
mod task;

use std::{collections::BTreeSet, fs, io::Write, path::Path};

use anyhow::{Result, anyhow, bail};
use catalogue::{Catalogue, Id, Kind};
use choice::{Choice, Wish};
use origin::Origin;
use shelf::{Entry, MANIFEST, Manifest, SOURCE};
use task::{Fetching, Task};

pub(crate) use self::report::origin_of;
use crate::{
    cli::{EnableArgs, ImportArgs, RefreshArgs},
    exit::Exit,
};

pub(crate) fn import(arguments: &ImportArgs, out: &mut dyn Write) -> Result<Exit> {
    let origin = Origin::of(&arguments.dir)?;
    let last = Manifest::read(&arguments.into.join(origin.name()))?;
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
        origin,
        dir: arguments.dir.clone(),
        from,
        into: &arguments.into,
        wish,
        mirror: arguments.mirror.as_deref(),
        patterns: arguments.patterns.as_deref(),
        fetching: Fetching::allowed_if(may_fetch),
        as_json: arguments.json,
    };
    task.run(out)
}

/// Fetches the data files again, and reads each origin again if it is still there.
pub(crate) fn refresh(arguments: &RefreshArgs, out: &mut dyn Write) -> Result<Exit> {
    let mut exit = Exit::Success;
    for (origin, last) in existing(&arguments.into)? {
        let own = arguments.into.join(origin.name()).join(SOURCE);
        let is_there = last.from.is_dir();
        let task = Task {
            origin,
            dir: if is_there { last.from.clone() } else { own },
            from: last.from,
            into: &arguments.into,
            wish: last.wish,
            mirror: arguments.mirror.as_deref(),
            patterns: None,
            fetching: Fetching::allowed_if(arguments.mirror.is_none()),
            as_json: arguments.json,
        };
        let one = task.run(out)?;
        exit = if one == Exit::Success { exit } else { one };
    }
    Ok(exit)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Switch {
    On,
    Off,
}

/// Enables more of what was imported, or less.
pub(crate) fn switch(arguments: &EnableArgs, to: Switch, out: &mut dyn Write) -> Result<Exit> {
    let mut refusal = None;
    for (origin, last) in existing(&arguments.into)? {
        let own = arguments.into.join(origin.name()).join(SOURCE);
        let wish = match switched(origin, &own, &last, &arguments.names, to) {
            Ok(wish) => wish,
            // Another origin may know the names.
            Err(e) => {
                refusal.get_or_insert(e);
                continue;
            }
        };
        let task = Task {
            origin,
            dir: own,
            from: last.from,
            into: &arguments.into,
            wish,
            mirror: arguments.mirror.as_deref(),
            patterns: None,
            fetching: Fetching::allowed_if(arguments.mirror.is_none()),
            as_json: arguments.json,
        };
        return task.run(out);
    }
    Err(refusal.unwrap_or_else(|| anyhow!("nothing is imported here")))
}

/// The wish that results from switching `named`; an error if the origin does not know them.
fn switched(
    origin: Origin,
    own: &Path,
    last: &Manifest,
    named: &[String],
    to: Switch,
) -> Result<Wish> {
    if origin == Origin::Fail2ban {
        return fail2ban::switched(own, last, named, to);
    }
    let catalogue = Catalogue::read(own, origin)?;
    let mut names = match &last.wish {
        Wish::Names(names) => names.clone(),
        Wish::Everything | Wish::AsInstalled => enabled(&last.items),
    };
    let given = Wish::Names(named.iter().cloned().collect());
    let given = Choice::make(&catalogue, &given)?.items;
    match to {
        Switch::On => names.extend(named.iter().cloned()),
        Switch::Off => names = without(&catalogue, names, &given)?,
    }
    Ok(Wish::Names(names))
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
    gone: &BTreeSet<Id>,
) -> Result<BTreeSet<String>> {
    let mut left = BTreeSet::new();
    for name in names {
        let wish = Wish::Names([name.clone()].into());
        let items = Choice::make(catalogue, &wish)?.items;
        if items.is_disjoint(gone) {
            left.insert(name);
        } else {
            let rest = items
                .difference(gone)
                .filter(|id| id.kind != Kind::Collection);
            left.extend(
                rest.filter_map(|id| catalogue.items.get(id))
                    .map(|item| choice::path_name(&item.place)),
            );
        }
    }
    Ok(left)
}

/// The origins that were imported into a folder.
fn existing(into: &Path) -> Result<Vec<(Origin, Manifest)>> {
    let mut all = Vec::new();
    for origin in Origin::ALL {
        if let Some(manifest) = Manifest::read(&into.join(origin.name()))? {
            all.push((origin, manifest));
        }
    }
    if all.is_empty() {
        bail!(
            "nothing was imported into {} yet\n  fix: posse rules import DIR, with a checkout of \
             the CrowdSec hub, /etc/crowdsec, /etc/fail2ban or a folder of Sigma rules",
            into.display()
        );
    }
    Ok(all)
}
