//! An installed fail2ban: its jails and filters, taken over as they are.
//!
//! The files are copied unchanged; which jails run stands in one further file that is read after
//! all others (`jail.d/zz-posse.local`), as an administrator of fail2ban would write it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    io::Write,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use detect::{
    fail2ban::{
        CompiledFilter,
        format::{Files, Jail, Options, UseDns, jail_names, read_filter, read_jail},
    },
    yaml,
};
use model::limits;

use super::{
    Switch,
    catalogue::{Id, Kind},
    choice::Wish,
    judge::{State, Verdicts},
    report::Report,
    shelf::{Entry, MANIFEST, Manifest, SOURCE, Shelf},
    task::{Task, now, sha256},
};
use crate::{content, exit::Exit, replay};

const FILES_MAX: usize = 5_000;
/// Read after every other file, so that it has the last word on what is enabled.
const OVERLAY: &str = "jail.d/zz-posse.local";

/// A jail as it was judged.
struct Judged {
    jail: Option<Jail>,
    state: State,
}

pub(super) fn run(task: &Task<'_>, out: &mut dyn Write) -> Result<Exit> {
    let texts = read(&task.dir)?;
    let files: Files = texts.clone().into_iter().collect();
    let known = known_jails(&files)?;
    let chosen = chosen(&files, &known, &task.wish)?;
    let jails: BTreeMap<String, Judged> = chosen
        .iter()
        .map(|name| (name.clone(), judge(&files, name)))
        .collect();
    let verdicts = Verdicts {
        states: states(&files, &jails),
        patterns: Vec::new(),
    };
    let running: BTreeSet<&str> = jails
        .iter()
        .filter(|(_, judged)| !matches!(judged.state, State::Not(_)))
        .map(|(name, _)| name.as_str())
        .collect();
    let shelf = Shelf::open(task.into)?;
    let origin = task.origin.name();
    let mut manifest = Manifest::new(origin, task.from.clone(), now(), task.wish.clone());
    manifest.items = entries(&files, &known, &running, &verdicts);
    let mut stored: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (path, text) in &texts {
        stored.insert(format!("{SOURCE}/{path}"), text.clone().into_bytes());
        stored.insert(path.clone(), text.clone().into_bytes());
    }
    stored.insert(OVERLAY.to_owned(), overlay(&known, &running).into_bytes());
    stored.insert(MANIFEST.to_owned(), serde_json::to_vec_pretty(&manifest)?);
    shelf.replace(origin, &stored)?;
    let at_work: Vec<&Jail> = jails
        .iter()
        .filter(|(name, _)| running.contains(name.as_str()))
        .filter_map(|(_, judged)| judged.jail.as_ref())
        .collect();
    let report = Report {
        verdicts: &verdicts,
        manifest: &manifest,
        into: task.into,
        available: known.len(),
        sources: sources(&at_work),
        notes: notes(&at_work),
        overlaps: overlaps(&at_work)?,
    };
    report.print(task.as_json, out)
}

/// The wish that results from switching jails on or off.
pub(super) fn switched(own: &Path, last: &Manifest, named: &[String], to: Switch) -> Result<Wish> {
    let files: Files = read(own)?.into_iter().collect();
    let known = known_jails(&files)?;
    let mut names: BTreeSet<String> = match &last.wish {
        Wish::Names(names) => names.clone(),
        Wish::Everything | Wish::AsInstalled => {
            let on = last
                .items
                .iter()
                .filter(|e| e.enabled && e.kind == Kind::Jail.to_string());
            on.map(|entry| entry.name.clone()).collect()
        }
    };
    for name in named {
        check(&known, name)?;
        match to {
            Switch::On => names.insert(name.clone()),
            Switch::Off => names.remove(name),
        };
    }
    Ok(Wish::Names(names))
}

/// The configuration's files, by path below the folder.
fn read(dir: &Path) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for folder in ["", "jail.d", "filter.d"] {
        let listing = match fs::read_dir(dir.join(folder)) {
            Ok(listing) => listing,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", dir.display())),
        };
        for entry in listing {
            let path = entry?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let is_ours = name.ends_with(".conf") || name.ends_with(".local");
            let is_ours = is_ours
                && (!folder.is_empty() || name.starts_with("jail.") || name.starts_with("paths-"));
            let place = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            if !is_ours || !path.is_file() || place == OVERLAY {
                continue;
            }
            let fail = || format!("cannot read {}", path.display());
            let size = fs::metadata(&path).with_context(fail)?.len();
            if size > limits::RULE_FILE_BYTES_MAX as u64 || texts.len() >= FILES_MAX {
                bail!(
                    "{}: {size} bytes, or more than {FILES_MAX} files",
                    path.display()
                );
            }
            let bytes = fs::read(&path).with_context(fail)?;
            texts.insert(place, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    Ok(texts)
}

fn known_jails(files: &Files) -> Result<BTreeSet<String>> {
    if files.get("jail.conf").is_none() && files.get("jail.local").is_none() {
        return Ok(BTreeSet::new());
    }
    let names = jail_names(files).map_err(|e| anyhow!("{e}"))?;
    let is_jail = |name: &String| name != "INCLUDES" && name != "DEFAULT";
    Ok(names.into_iter().filter(is_jail).collect())
}

fn check(known: &BTreeSet<String>, name: &str) -> Result<()> {
    if known.contains(name) {
        return Ok(());
    }
    let names = || known.iter().map(String::as_str);
    let words: BTreeSet<String> = name.to_lowercase().split('-').map(str::to_owned).collect();
    let is_like = |known: &&str| known.split('-').any(|word| words.contains(word));
    let mut like: BTreeSet<&str> = names().filter(is_like).take(5).collect();
    like.extend(yaml::nearest(name, names()));
    let like: Vec<&str> = like.into_iter().collect();
    if like.is_empty() {
        bail!(
            "there is no jail `{name}`; the jails are: {}",
            names().collect::<Vec<_>>().join(", ")
        );
    }
    bail!(
        "there is no jail `{name}`; did you mean {}?",
        like.join(", ")
    )
}

fn chosen(files: &Files, known: &BTreeSet<String>, wish: &Wish) -> Result<BTreeSet<String>> {
    match wish {
        Wish::Everything => Ok(known.clone()),
        Wish::Names(names) => {
            names.iter().try_for_each(|name| check(known, name))?;
            Ok(names.clone())
        }
        Wish::AsInstalled => {
            let is_on = |name: &&String| read_jail(files, name).is_ok_and(|jail| jail.enabled);
            Ok(known.iter().filter(is_on).cloned().collect())
        }
    }
}

fn judge(files: &Files, name: &str) -> Judged {
    let jail = match read_jail(files, name) {
        Ok(jail) => jail,
        Err(e) => {
            return Judged {
                jail: None,
                state: State::Not(e.to_string()),
            };
        }
    };
    if jail.filter.failregex.is_empty() {
        let why = "it has no failregex: nothing would ever match (name a filter in the jail)";
        return Judged {
            jail: None,
            state: State::Not(why.to_owned()),
        };
    }
    let compiled = match CompiledFilter::new(&jail.filter, jail.use_dns) {
        Ok(compiled) => compiled,
        Err(e) => {
            return Judged {
                jail: None,
                state: State::Not(e.to_string()),
            };
        }
    };
    let mut notes = Vec::new();
    let hard = compiled.backtracking();
    if hard > 0 {
        notes.push(backtracking(hard));
    }
    if jail.ignore_command.is_some() {
        notes.push("ignorecommand is not run; name what it spares in [never_ban] allow".to_owned());
    }
    let is_name =
        |own: &&String| own.chars().any(|c| c.is_ascii_alphabetic()) && !own.contains(':');
    let hosts: Vec<&str> = jail
        .ignore
        .iter()
        .filter(is_name)
        .map(String::as_str)
        .collect();
    if !hosts.is_empty() {
        notes.push(format!(
            "ignoreip names hosts, which are not looked up: {}; write their addresses",
            hosts.join(", ")
        ));
    }
    if jail.increment.enabled && jail.increment.formula.is_some() {
        notes.push("bantime.formula is not evaluated; ban times grow in the usual way".to_owned());
    }
    if !jail.backend.starts_with("systemd") && jail.log_paths.is_empty() {
        notes.push("no logpath: give a source the type of the jail's name".to_owned());
    }
    let state = if notes.is_empty() {
        State::AsIs
    } else {
        State::WithNote(notes.join("; "))
    };
    Judged {
        jail: Some(jail),
        state,
    }
}

fn backtracking(patterns: usize) -> String {
    format!("{patterns} of its patterns need look-ahead and run with a bounded number of steps")
}

/// The chosen jails, then every filter.
fn states(files: &Files, jails: &BTreeMap<String, Judged>) -> BTreeMap<Id, State> {
    let mut states = BTreeMap::new();
    for (name, judged) in jails {
        let id = Id {
            kind: Kind::Jail,
            name: name.clone(),
        };
        states.insert(id, judged.state.clone());
    }
    for name in filters(files) {
        let none = Options::new();
        let filter = match read_filter(files, &name, &none, &none) {
            // What other filters include is none itself.
            Ok(filter) if filter.failregex.is_empty() => continue,
            Ok(filter) => {
                CompiledFilter::new(&filter, UseDns::default()).map_err(|e| e.to_string())
            }
            Err(e) => Err(e.to_string()),
        };
        if filter.is_err() && is_part_of_others(files, &name) {
            continue;
        }
        let state = match filter.map(|filter| filter.backtracking()) {
            Ok(0) => State::AsIs,
            Ok(hard) => State::WithNote(backtracking(hard)),
            Err(why) => State::Not(why),
        };
        states.insert(
            Id {
                kind: Kind::Filter,
                name,
            },
            state,
        );
    }
    states
}

/// Whether other filters include it: then it need not stand by itself.
fn is_part_of_others(files: &Files, name: &str) -> bool {
    let file = format!("{name}.conf");
    files
        .in_folder("filter.d", ".conf")
        .filter_map(|path| files.get(path))
        .flat_map(str::lines)
        .filter_map(|line| line.split_once('='))
        .any(|(key, value)| matches!(key.trim(), "before" | "after") && value.trim() == file)
}

fn filters(files: &Files) -> Vec<String> {
    let paths = files.in_folder("filter.d", ".conf");
    let names = paths.filter_map(|path| path.strip_prefix("filter.d/")?.strip_suffix(".conf"));
    names.map(str::to_owned).collect()
}

fn entries(
    files: &Files,
    known: &BTreeSet<String>,
    running: &BTreeSet<&str>,
    verdicts: &Verdicts,
) -> Vec<Entry> {
    let entry = |kind: Kind, name: &str, file: String, enabled: bool| {
        let state = verdicts.states.get(&Id {
            kind,
            name: name.to_owned(),
        });
        Entry {
            kind: kind.to_string(),
            name: name.to_owned(),
            sha256: files
                .get(&file)
                .map(|text| sha256(text.as_bytes()))
                .unwrap_or_default(),
            file,
            enabled,
            note: match state {
                Some(State::WithNote(note) | State::Not(note)) => Some(note.clone()),
                Some(State::AsIs) | None => None,
            },
        }
    };
    let jails = known.iter().map(|name| {
        entry(
            Kind::Jail,
            name,
            "jail.conf".to_owned(),
            running.contains(name.as_str()),
        )
    });
    let mut all: Vec<Entry> = jails.collect();
    for name in filters(files) {
        let runs = verdicts.states.get(&Id {
            kind: Kind::Filter,
            name: name.clone(),
        });
        let runs = matches!(runs, Some(State::AsIs | State::WithNote(_)));
        all.push(entry(
            Kind::Filter,
            &name,
            format!("filter.d/{name}.conf"),
            runs,
        ));
    }
    all
}

/// What runs and what does not, jail by jail.
fn overlay(known: &BTreeSet<String>, running: &BTreeSet<&str>) -> String {
    let mut text =
        String::from("# Written by posse rules import; posse rules enable JAIL changes it.\n");
    for name in known {
        let on = running.contains(name.as_str());
        let _ = write!(text, "\n[{name}]\nenabled = {on}\n");
    }
    text
}

/// The logs of the jails, each once.
fn sources(jails: &[&Jail]) -> String {
    let mut inputs: BTreeSet<(String, String)> = BTreeSet::new();
    for jail in jails {
        if jail.backend.starts_with("systemd") {
            let words = jail
                .journal_match
                .as_deref()
                .unwrap_or_default()
                .split_whitespace();
            let words: Vec<String> = words.map(quoted).collect();
            inputs.insert((
                format!("journal = [{}]", words.join(", ")),
                "syslog".to_owned(),
            ));
            continue;
        }
        for path in &jail.log_paths {
            let path = path
                .strip_suffix(" tail")
                .or_else(|| path.strip_suffix(" head"))
                .unwrap_or(path);
            let kind = replay::guess(Path::new(path)).unwrap_or("syslog");
            inputs.insert((format!("file = {}", quoted(path.trim())), kind.to_owned()));
        }
    }
    let mut text = String::new();
    for (input, kind) in inputs {
        let _ = write!(text, "[[source]]\n{input}\ntype = {}\n\n", quoted(&kind));
    }
    text
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What is true of all jails, once.
fn notes(jails: &[&Jail]) -> Vec<String> {
    if jails.is_empty() {
        return vec!["no jail runs: name those wanted with --enable JAIL".to_owned()];
    }
    let mut notes = vec![
        "actions are not run: the ban itself goes into the kernel by this program, and alerts go \
         out by [alerts] (docs/alerts.md)"
            .to_owned(),
        "bantime and bantime.increment travel with each jail's alerts; names of hosts in logs are \
         not looked up (usedns)"
            .to_owned(),
    ];
    let own = ["127.0.0.1/8", "127.0.0.1", "::1", "::1/128"];
    let spared: BTreeSet<&str> = jails
        .iter()
        .flat_map(|jail| &jail.ignore)
        .map(String::as_str)
        .filter(|ignored| !own.contains(ignored))
        .collect();
    if !spared.is_empty() {
        let spared: Vec<String> = spared.into_iter().map(quoted).collect();
        notes.push(format!(
            "the jails spare what their ignoreip says; so that no other rule bans it, write into \
             posse.toml: [never_ban] allow = [{}]",
            spared.join(", ")
        ));
    }
    notes
}

/// Built-in rules for what a jail watches, by the names of their folders.
fn overlaps(jails: &[&Jail]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in content::files_of(None)? {
        let Some((folder, _)) = file.path.split_once("/scenarios/") else {
            continue;
        };
        for jail in jails {
            let filter = jail.filter.name.as_str();
            let first = filter.split('-').next().unwrap_or(filter);
            let stem = folder.trim_end_matches(|c: char| c.is_ascii_digit());
            if folder == filter || stem == first {
                let name = format!("fail2ban/{}", jail.name);
                found
                    .entry(format!("rules of {folder}"))
                    .or_default()
                    .insert(name);
            }
        }
    }
    Ok(found)
}
