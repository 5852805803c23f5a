//! Which of the chosen items run: each is compiled as the guard would, with its data files, and
//! what does not load is left out, so that it can never stop the others from being reloaded.

use std::collections::{BTreeMap, BTreeSet};

use detect::{
    engine::{DataFile, Rules},
    rules::RuleFile,
};
use model::{Diagnostic, Severity};

use super::{
    catalogue::{Catalogue, Id, Kind},
    choice::{self, Choice},
    data::{self, Found, Wanted},
};

/// Leaving one item out may take a pattern from another; more rounds than this no content needs.
const ROUNDS_MAX: usize = 8;
const NOTES_MAX: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    AsIs,
    WithNote(String),
    /// Why, and what to do about it.
    Not(String),
}

/// What the import says of everything that was chosen.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) states: BTreeMap<Id, State>,
    /// What was said of pattern files.
    pub(super) patterns: Vec<Diagnostic>,
}

impl Verdicts {
    /// The items that the guard will load.
    pub(super) fn running(&self) -> impl Iterator<Item = &Id> {
        let all = self
            .states
            .iter()
            .filter(|(_, state)| !matches!(state, State::Not(_)));
        all.map(|(id, _)| id)
    }
}

/// What is known of the data files.
pub(super) struct Data<'a> {
    pub(super) wanted: &'a BTreeMap<String, Wanted>,
    pub(super) found: &'a BTreeMap<String, Result<Found, String>>,
}

pub(super) fn judge(catalogue: &Catalogue, choice: &Choice, data: &Data<'_>) -> Verdicts {
    let mut judge = Judge {
        catalogue,
        refused: BTreeMap::new(),
        notes: BTreeMap::new(),
    };
    judge.look_at(choice, data);
    let patterns = judge.compile(choice, data);
    let mut verdicts = Verdicts {
        states: BTreeMap::new(),
        patterns,
    };
    for id in choice.items.iter().filter(|id| id.kind != Kind::Collection) {
        verdicts.states.insert(id.clone(), judge.state(id));
    }
    for (absent, collection) in &choice.absent {
        let state = if absent.kind.is_appsec() {
            State::Not(APPSEC.to_owned())
        } else {
            State::Not(format!("{} lists it, but it is not here", collection.name))
        };
        verdicts.states.entry(absent.clone()).or_insert(state);
    }
    let mut collections = BTreeMap::new();
    for id in choice.items.iter().filter(|id| id.kind == Kind::Collection) {
        collections.insert(id.clone(), judge.of_collection(id, &verdicts));
    }
    verdicts.states.append(&mut collections);
    verdicts
}

const APPSEC: &str = "a rule of a web application firewall, which sees whole requests; this program \
                      reads logs (keep such a firewall for it)";

pub(super) const APPSEC_ONLY: &str = "all its members are rules of a web application firewall";

/// What asks the DNS for the name of an address, or reads the answer.
const NAME_SIGNS: [&str; 2] = ["method: reverse_dns", "Enriched.reverse_dns"];
const NO_NAMES: &str = "names of addresses are not looked up here (a guard asks no DNS), so what \
                        it knows by name alone it does not know";

struct Judge<'a> {
    catalogue: &'a Catalogue,
    refused: BTreeMap<Id, String>,
    notes: BTreeMap<Id, Vec<String>>,
}

impl Judge<'_> {
    fn refuse(&mut self, id: &Id, why: impl Into<String>) {
        self.refused.entry(id.clone()).or_insert_with(|| why.into());
    }

    fn note(&mut self, id: &Id, note: String) {
        let notes = self.notes.entry(id.clone()).or_default();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// What can be said without compiling.
    fn look_at(&mut self, choice: &Choice, data: &Data<'_>) {
        for id in &choice.items {
            if id.kind.is_appsec() {
                self.refuse(id, APPSEC);
            }
            match self.catalogue.items.get(id).map(|item| &item.text) {
                Some(Err(why)) => self.refuse(id, why.clone()),
                Some(Ok(text)) if NAME_SIGNS.iter().any(|sign| text.contains(sign)) => {
                    self.note(id, NO_NAMES.to_owned());
                }
                Some(Ok(_)) => {}
                None => self.refuse(id, "it is not here"),
            }
        }
        for id in &choice.simulated {
            let fix = format!("--enable {} runs it in earnest", id.name);
            self.refuse(
                id,
                format!("it is only simulated in this installation; {fix}"),
            );
        }
        for (name, found) in data.found {
            let users = data.wanted.get(name).map(|wanted| &wanted.users);
            for id in users.into_iter().flatten() {
                match found {
                    Ok(found) => {
                        if let Some(note) = &found.note {
                            self.note(id, note.clone());
                        }
                    }
                    Err(why) if data::is_database(name) => {
                        let lost = "without it country and network stay unknown";
                        self.note(id, format!("no database {name} ({why}); {lost}"));
                    }
                    Err(why) => {
                        let fix = "give --mirror FOLDER or --fetch";
                        self.refuse(id, format!("data file {name}: {why}; {fix}"));
                    }
                }
            }
        }
    }

    /// Compiles what is left until nothing is refused any more; what was said of pattern files.
    fn compile(&mut self, choice: &Choice, data: &Data<'_>) -> Vec<Diagnostic> {
        let places: BTreeMap<&str, &Id> = choice
            .items
            .iter()
            .filter_map(|id| Some((self.catalogue.items.get(id)?.place.as_str(), id)))
            .collect();
        let files = data_files(data);
        for _ in 0..ROUNDS_MAX {
            let (rules, diagnostics) = Rules::load(self.files(choice), &files);
            let refused = self.refused.len();
            for diagnostic in diagnostics.iter().filter(|d| d.severity == Severity::Error) {
                if let Some(id) = places.get(diagnostic.file.as_str()) {
                    self.refuse(id, in_one_line(diagnostic));
                }
            }
            if self.refused.len() == refused {
                self.note_all(&diagnostics, &places, data);
                let loaded: BTreeSet<&str> = rules
                    .entries()
                    .iter()
                    .map(|entry| entry.file.as_str())
                    .collect();
                let empty = places.iter().filter(|(place, id)| {
                    let is_rule = matches!(
                        id.kind,
                        Kind::Parser | Kind::Postoverflow | Kind::Scenario | Kind::Sigma
                    );
                    is_rule && !loaded.contains(*place) && !self.refused.contains_key(**id)
                });
                let empty: Vec<Id> = empty.map(|(_, id)| (*id).clone()).collect();
                for id in &empty {
                    self.refuse(id, "the file holds no rule");
                }
                let is_pattern = |d: &Diagnostic| d.file.starts_with("patterns/");
                return diagnostics.into_iter().filter(is_pattern).collect();
            }
        }
        Vec::new()
    }

    fn files(&self, choice: &Choice) -> Vec<RuleFile> {
        let chosen = choice
            .items
            .iter()
            .filter(|id| !self.refused.contains_key(id));
        let items = chosen.filter_map(|id| {
            let item = self.catalogue.items.get(id)?;
            Some(RuleFile::new(item.place.clone(), item.text.clone().ok()?))
        });
        let patterns = self.catalogue.patterns.iter();
        let patterns =
            patterns.map(|(name, text)| RuleFile::new(format!("patterns/{name}"), text.clone()));
        items.chain(patterns).collect()
    }

    fn note_all(
        &mut self,
        diagnostics: &[Diagnostic],
        places: &BTreeMap<&str, &Id>,
        data: &Data<'_>,
    ) {
        let mut unread: BTreeMap<&str, (u64, &Diagnostic)> = BTreeMap::new();
        for diagnostic in diagnostics {
            if let Some(id) = places.get(diagnostic.file.as_str()) {
                // A database that is missing was told of already.
                if !(diagnostic.message.contains(".mmdb")) {
                    self.note(id, in_one_line(diagnostic));
                }
            } else if data.wanted.contains_key(&diagnostic.file) {
                unread.entry(&diagnostic.file).or_insert((0, diagnostic)).0 += 1;
            }
        }
        for (name, (count, first)) in unread {
            let note = format!(
                "{count} lines of the data file {name} cannot be read and are left out, the first: \
                 line {}: {}",
                first.line, first.message
            );
            let users = data.wanted.get(name).map(|wanted| wanted.users.clone());
            for id in users.into_iter().flatten() {
                self.note(&id, note.clone());
            }
        }
    }

    fn state(&self, id: &Id) -> State {
        if let Some(why) = self.refused.get(id) {
            return State::Not(why.clone());
        }
        match self.notes.get(id) {
            Some(notes) => {
                let more = notes.len().saturating_sub(NOTES_MAX);
                let mut text = notes
                    .iter()
                    .take(NOTES_MAX)
                    .cloned()
                    .collect::<Vec<_>>()
                    .join("; ");
                if more > 0 {
                    text.push_str(&format!("; and {more} more (posse rules check names them)"));
                }
                State::WithNote(text)
            }
            None => State::AsIs,
        }
    }

    fn of_collection(&self, id: &Id, verdicts: &Verdicts) -> State {
        if let Some(why) = self.refused.get(id) {
            return State::Not(why.clone());
        }
        let members = choice::members(self.catalogue, id);
        let fails = |member: &&Id| matches!(verdicts.states.get(member), Some(State::Not(_)));
        let failing: Vec<&Id> = members.iter().filter(fails).collect();
        let appsec = failing
            .iter()
            .filter(|member| member.kind.is_appsec())
            .count();
        match (failing.len(), appsec) {
            (0, _) => State::AsIs,
            (n, a) if n == members.len() && n == a => State::Not(APPSEC_ONLY.to_owned()),
            (n, _) if n == members.len() => State::Not("none of its members runs".to_owned()),
            (n, a) if n == a => State::WithNote(format!("{a} appsec members do not run")),
            (n, 0) => State::WithNote(format!("{n} of its {} members do not run", members.len())),
            (n, a) => State::WithNote(format!(
                "{n} of its {} members do not run ({a} of them appsec)",
                members.len()
            )),
        }
    }
}

/// The data files as the engine takes them.
fn data_files(data: &Data<'_>) -> Vec<DataFile> {
    let found = data
        .found
        .iter()
        .filter(|(name, _)| !data::is_database(name));
    found
        .filter_map(|(name, found)| {
            let bytes = found.as_ref().ok()?.bytes.clone();
            Some(DataFile {
                name: name.clone(),
                bytes,
            })
        })
        .collect()
}

fn in_one_line(diagnostic: &Diagnostic) -> String {
    format!(
        "line {}: {} ({})",
        diagnostic.line, diagnostic.message, diagnostic.fix
    )
}
