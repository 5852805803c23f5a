//! What an import tells: a line an item, then the totals and what to do next.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::Path,
};

use anyhow::Result;
use serde_json::json;

use super::{
    catalogue::Id,
    judge::{self, State, Verdicts},
    overlap,
    shelf::Manifest,
};
use crate::{config::Config, content, exit::Exit};

/// Overlapping scenarios that the text names; the JSON names them all.
const OVERLAPS_MAX: usize = 12;

pub(super) struct Report<'a> {
    pub(super) verdicts: &'a Verdicts,
    pub(super) manifest: &'a Manifest,
    pub(super) into: &'a Path,
    /// How many items the origin offered.
    pub(super) available: usize,
    /// The logs that it read, as tables of our configuration.
    pub(super) sources: String,
    /// What else to know or to write into the configuration.
    pub(super) notes: Vec<String>,
    pub(super) overlaps: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Default)]
struct Totals {
    as_is: u64,
    with_note: u64,
    not: u64,
    /// Of `not`: parts of a web application firewall, which nobody expected to run.
    appsec: u64,
}

impl Report<'_> {
    pub(super) fn print(&self, as_json: bool, out: &mut dyn Write) -> Result<Exit> {
        let totals = self.totals();
        if as_json {
            self.lines_of_json(out)?;
            writeln!(out, "{}", self.totals_as_json(&totals))?;
        } else {
            self.lines(out)?;
            self.words(&totals, out)?;
        }
        let is_less = totals.not > totals.appsec;
        Ok(if is_less {
            Exit::Degraded
        } else {
            Exit::Success
        })
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for (id, state) in &self.verdicts.states {
            match state {
                State::AsIs => totals.as_is += 1,
                State::WithNote(_) => totals.with_note += 1,
                State::Not(why) => {
                    totals.not += 1;
                    let is_appsec = id.kind.is_appsec() || why == judge::APPSEC_ONLY;
                    totals.appsec += u64::from(is_appsec);
                }
            }
        }
        totals
    }

    fn lines(&self, out: &mut dyn Write) -> Result<()> {
        for (id, state) in &self.verdicts.states {
            let Id { kind, name } = id;
            match state {
                State::AsIs => writeln!(out, "{kind:<13} {name:<44} runs as is")?,
                State::WithNote(note) => {
                    writeln!(out, "{kind:<13} {name:<44} runs with a note: {note}")?;
                }
                State::Not(why) => writeln!(out, "{kind:<13} {name:<44} does not run: {why}")?,
            }
        }
        for diagnostic in &self.verdicts.patterns {
            writeln!(out, "{diagnostic}")?;
        }
        Ok(())
    }

    fn lines_of_json(&self, out: &mut dyn Write) -> Result<()> {
        for (id, state) in &self.verdicts.states {
            let (state, note) = match state {
                State::AsIs => ("runs as is", None),
                State::WithNote(note) => ("runs with a note", Some(note)),
                State::Not(why) => ("does not run", Some(why)),
            };
            let line = json!({
                "kind": id.kind.to_string(), "name": id.name, "state": state, "note": note,
            });
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    fn totals_as_json(&self, totals: &Totals) -> serde_json::Value {
        json!({
            "items": totals.as_is + totals.with_note + totals.not,
            "as_is": totals.as_is,
            "with_note": totals.with_note,
            "not": totals.not,
            "not_appsec": totals.appsec,
            "available": self.available,
            "data_files": self.manifest.data.len(),
            "folder": self.folder(),
            "loaded_by_guard": self.is_loaded(),
            "overlaps": self.overlaps,
            "sources": self.sources,
            "notes": self.notes,
        })
    }

    fn words(&self, totals: &Totals, out: &mut dyn Write) -> Result<()> {
        let Totals {
            as_is,
            with_note,
            not,
            appsec,
        } = totals;
        let all = as_is + with_note + not;
        let of_appsec = match appsec {
            0 => String::new(),
            n => format!(" ({n} of them appsec)"),
        };
        writeln!(
            out,
            "\n{all} items: {as_is} run as is, {with_note} run with a note, {not} do not \
             run{of_appsec}"
        )?;
        let offered = self.available;
        let data = self.manifest.data.len();
        writeln!(
            out,
            "{offered} items are at hand in {} (posse rules enable NAME, posse rules disable NAME), \
             with {data} data files",
            self.folder()
        )?;
        self.overlap(out)?;
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        let sources = &self.sources;
        if !sources.is_empty() {
            writeln!(
                out,
                "\nthe logs that it read; write them into posse.toml:\n\n{sources}"
            )?;
        }
        let into = self.into.display();
        if self.is_loaded() {
            writeln!(out, "the guard takes it with: systemctl reload posse")?;
        } else {
            writeln!(
                out,
                "try it: posse replay --rules {into} LOGFILE\n\
                 for the guard, write into posse.toml: [rules] folders = [\"{into}\"]"
            )?;
        }
        Ok(())
    }

    fn overlap(&self, out: &mut dyn Write) -> Result<()> {
        if self.overlaps.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "\nbuilt-in rules look at the same events ({}), so that one attack may give two alerts:",
            self.overlaps.len()
        )?;
        for (ours, theirs) in self.overlaps.iter().take(OVERLAPS_MAX) {
            let first = overlap::most_alike(ours, theirs);
            let more = match theirs.len() {
                0 | 1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            writeln!(out, "  {ours:<36} {first}{more}")?;
        }
        if let Some(more) = self
            .overlaps
            .len()
            .checked_sub(OVERLAPS_MAX)
            .filter(|n| *n > 0)
        {
            writeln!(out, "  and {more} more (--json names them all)")?;
        }
        writeln!(
            out,
            "  choose: only the imported ones with `[rules] built_in = false` in posse.toml, or \
             leave out here what is built in (posse rules disable NAME)\n"
        )?;
        Ok(())
    }

    fn folder(&self) -> String {
        self.into.join(&self.manifest.origin).display().to_string()
    }

    /// Whether a guard with the usual configuration reads the folder.
    fn is_loaded(&self) -> bool {
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let into = real(self.into);
        Config::load(None).is_ok_and(|config| {
            config
                .rules
                .folders
                .iter()
                .any(|f| into.starts_with(real(f)))
        })
    }
}

/// The origin of a loaded rule file: the import that brought it, or whose it is.
pub(crate) fn origin_of(file: &str) -> String {
    let path = Path::new(file);
    if content::is_built_in(file) {
        return "built-in".to_owned();
    }
    let imported = path
        .ancestors()
        .skip(1)
        .find(|folder| folder.join(super::MANIFEST).is_file())
        .and_then(|folder| folder.file_name());
    imported.map_or_else(
        || "own".to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
