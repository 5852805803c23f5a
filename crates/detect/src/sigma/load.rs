//! Files to compiled rules. Every mistake is one diagnostic; the other rules load.

use std::{collections::BTreeMap, sync::Arc};

use model::{Diagnostic, Severity};
use sha2::{Digest as _, Sha256};
use sigma::{
    Correlation, Document, Filter, LogSource, Mapping, Placeholders, Rule, RuleScope, Search, Test,
};

use super::{
    SigmaRule, SigmaRules,
    atoms::Atoms,
    facts::FactFields,
    fields::Fields,
    link::Links,
    matcher::{Matcher, Runnable},
    plan::Plans,
    program,
    sources::Sources,
    values::Values,
};
use crate::rules::{RuleFile, RuleKind};

/// Loads the Sigma rules among `files`. `None` when there are none.
pub fn load(files: &[RuleFile], found: &mut Vec<Diagnostic>) -> Option<SigmaRules> {
    let (mapping, placeholders) = settings(files, found);
    let mut documents = Documents::default();
    for file in files.iter().filter(|f| f.kind() == RuleKind::Sigma) {
        documents.read(file, &placeholders, found);
    }
    if documents.rules.is_empty() {
        return None;
    }
    Some(compile(documents, mapping, found))
}

/// Mapping files and placeholders among the files.
fn settings(files: &[RuleFile], found: &mut Vec<Diagnostic>) -> (Mapping, Placeholders) {
    let (mut mapping, mut placeholders) = (Mapping::default(), Placeholders::new());
    for file in files {
        match file.kind() {
            RuleKind::SigmaMapping => match sigma::read_mapping(&file.path, &file.text) {
                Ok(read) => mapping.entries.extend(read.entries),
                Err(diagnostic) => found.push(diagnostic),
            },
            RuleKind::SigmaPlaceholders => match sigma::read_placeholders(&file.path, &file.text) {
                Ok(read) => placeholders.extend(read),
                Err(diagnostic) => found.push(diagnostic),
            },
            _ => {}
        }
    }
    (mapping, placeholders)
}

#[derive(Default)]
struct Documents {
    rules: Vec<(Rule, SigmaRule)>,
    filters: Vec<(Filter, String)>,
    correlations: Vec<(Correlation, SigmaRule)>,
}

impl Documents {
    fn read(&mut self, file: &RuleFile, placeholders: &Placeholders, found: &mut Vec<Diagnostic>) {
        let hash = Sha256::digest(file.text.as_bytes());
        let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        let hash: Arc<str> = hash.into();
        for document in sigma::read(&file.path, &file.text, placeholders) {
            match document {
                Err(diagnostic) => found.push(diagnostic),
                Ok(Document::Rule(rule)) => {
                    let entry = SigmaRule {
                        meta: Arc::new(rule.meta.clone()),
                        file: file.path.clone(),
                        hash: Arc::clone(&hash),
                        log_source: rule.log_source.clone(),
                    };
                    self.rules.push((rule, entry));
                }
                Ok(Document::Filter(filter)) => self.filters.push((filter, file.path.clone())),
                Ok(Document::Correlation(correlation)) => {
                    let entry = SigmaRule {
                        meta: Arc::new(correlation.meta.clone()),
                        file: file.path.clone(),
                        hash: Arc::clone(&hash),
                        log_source: LogSource::default(),
                    };
                    self.correlations.push((correlation, entry));
                }
            }
        }
    }
}

fn compile(documents: Documents, mapping: Mapping, found: &mut Vec<Diagnostic>) -> SigmaRules {
    let mut fields = Fields::new();
    let facts = FactFields::new(&mut fields);
    let mut atoms = Atoms::default();
    let mut groups: BTreeMap<LogSource, u32> = BTreeMap::new();
    let (mut rules, mut runnables) = (Vec::new(), Vec::new());
    for (rule, entry) in documents.rules {
        warn_of_placeholders(&rule, &entry, found);
        let mut compiled = program::compile(&rule.detection, &mut atoms, &mut fields);
        for (filter, path) in &documents.filters {
            if applies(filter, &rule) {
                compiled = compiled.and_then(|node| {
                    let own = program::compile(&filter.detection, &mut atoms, &mut fields)
                        .map_err(|why| format!("{why} (in the filter {path})"))?;
                    Ok(program::both(node, own))
                });
            }
        }
        match compiled {
            Err(why) => found.push(refused(&rule, &entry, why)),
            Ok(program) => {
                let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
                let group = *groups.entry(rule.log_source).or_insert(next);
                runnables.push(Runnable { program, group });
                rules.push(entry);
            }
        }
    }
    let mut by_number: Vec<(LogSource, u32)> = groups.into_iter().collect();
    by_number.sort_by_key(|(_, number)| *number);
    let groups: Vec<LogSource> = by_number.into_iter().map(|(source, _)| source).collect();
    let count = groups.len();
    let sources = Sources::new(groups, mapping, &mut fields);
    let links = Links::new(&rules, documents.correlations, &mut fields, found);
    fields.add_aliases();
    SigmaRules {
        matcher: Matcher::new(runnables, atoms, &fields, count),
        active: vec![0; count.div_ceil(64)],
        rules,
        fields,
        sources,
        facts,
        links,
        plans: Plans::default(),
        values: Values::default(),
        matches: Vec::new(),
        unreadable: 0,
    }
}

fn applies(filter: &Filter, rule: &Rule) -> bool {
    let is_named = match &filter.rules {
        RuleScope::Any => true,
        RuleScope::Named(names) => names.iter().any(|name| rule.meta.is(name)),
    };
    is_named && filter.log_source.covers(&rule.log_source)
}

fn refused(rule: &Rule, entry: &SigmaRule, why: String) -> Diagnostic {
    let id = rule.meta.id.as_deref().unwrap_or("no id");
    Diagnostic {
        severity: Severity::Error,
        file: entry.file.clone(),
        line: rule.line,
        column: 1,
        message: format!("`{}` ({id}) cannot be run: {why}", rule.meta.title),
        fix: "change what it says; look-around and back-references are not supported".to_owned(),
    }
}

/// Rules specification, "Placeholders": a rule whose placeholders have no values is not complete.
fn warn_of_placeholders(rule: &Rule, entry: &SigmaRule, found: &mut Vec<Diagnostic>) {
    let mut names = Vec::new();
    rule.detection
        .searches
        .iter()
        .for_each(|search| unknown(search, &mut names));
    names.sort_unstable();
    names.dedup();
    let Some(first) = names.first() else {
        return;
    };
    found.push(Diagnostic {
        severity: Severity::Warning,
        file: entry.file.clone(),
        line: rule.line,
        column: 1,
        message: format!(
            "`{}` waits for values of %{}%",
            rule.meta.title,
            names.join("%, %")
        ),
        fix: format!("give them in a file with `placeholders:` and under it `{first}: [value, …]`"),
    });
}

fn unknown<'s>(search: &'s Search, names: &mut Vec<&'s str>) {
    match search {
        Search::All(parts) | Search::Any(parts) => parts.iter().for_each(|p| unknown(p, names)),
        Search::Not(inner) => unknown(inner, names),
        Search::Test(Test {
            check: sigma::Check::Unknown(name),
            ..
        }) => names.push(name),
        Search::Test(_) => {}
    }
}
