//! Which built-in scenarios would count what imported ones count: both would alert on one attack.
//!
//! Two scenarios overlap when their filters can hold for one event: they require a common value of
//! a field, and none requires a value of a field that the other rules out.

use std::collections::{BTreeMap, BTreeSet};

use detect::{
    expr::{self, FieldAtom, Vars},
    rules::{RuleFile, RuleKind},
    symbols::Symbols,
    yaml,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Scenario {
    name: Option<String>,
    filter: Option<String>,
}

/// The built-in scenarios that overlap, each with those of `imported` that it overlaps with.
pub(super) fn find(
    built_in: &[RuleFile],
    imported: &[RuleFile],
) -> BTreeMap<String, BTreeSet<String>> {
    let mut symbols = Symbols::default();
    let theirs = atoms(imported, &mut symbols);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, ours) in atoms(built_in, &mut symbols) {
        let same = theirs.iter().filter(|(_, theirs)| meet(&ours, theirs));
        let same: BTreeSet<String> = same.map(|(name, _)| name.clone()).collect();
        if !same.is_empty() {
            found.entry(name).or_default().extend(same);
        }
    }
    found
}

/// The one of `theirs` whose name has most words in common with `ours`.
pub(super) fn most_alike<'a>(ours: &str, theirs: &'a BTreeSet<String>) -> &'a str {
    let words = |name: &str| -> BTreeSet<String> {
        let last = name.rsplit('/').next().unwrap_or(name);
        last.split(['-', '_']).map(str::to_owned).collect()
    };
    let own = words(ours);
    let best = theirs.iter().max_by_key(|their| {
        let their = words(their);
        (
            own.intersection(&their).count(),
            std::cmp::Reverse(their.len()),
        )
    });
    best.map_or("", String::as_str)
}

/// The values that each scenario's filter requires.
fn atoms(files: &[RuleFile], symbols: &mut Symbols) -> Vec<(String, Vec<FieldAtom>)> {
    let mut all = Vec::new();
    for file in files
        .iter()
        .filter(|file| file.kind() == RuleKind::Scenario)
    {
        for document in yaml::documents::<Scenario>(file).into_iter().flatten() {
            let Scenario {
                name: Some(name),
                filter: Some(filter),
            } = document.value
            else {
                continue;
            };
            if let Ok(expr) = expr::compile(&filter, Vars::Event, symbols) {
                all.push((name, expr.requirements().equals.clone()));
            }
        }
    }
    all
}

fn meet(ours: &[FieldAtom], theirs: &[FieldAtom]) -> bool {
    let mut common = false;
    for our in ours {
        let same_field = theirs
            .iter()
            .filter(|their| their.map == our.map && their.sym == our.sym);
        for their in same_field {
            if !our.any_of.iter().any(|value| their.any_of.contains(value)) {
                return false;
            }
            common = true;
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(name: &str, filter: &str) -> RuleFile {
        let text = format!("name: {name}\nfilter: \"{filter}\"\n");
        RuleFile::new(format!("scenarios/{name}.yaml"), text)
    }

    #[test]
    fn names_tell_which_is_meant() {
        let theirs = ["a/http-flood-slow", "a/http-flood", "a/ssh-bf"]
            .map(str::to_owned)
            .into();
        assert_eq!(most_alike("posse/http-flood", &theirs), "a/http-flood");
    }

    #[test]
    fn scenarios_of_the_same_events_overlap() {
        let ours = [
            scenario("our/bf", "evt.Meta.log_type == 'failed'"),
            scenario(
                "our/web",
                "evt.Meta.log_type == 'web' && evt.Meta.verb == 'GET'",
            ),
        ];
        let theirs = [
            scenario("their/bf", "evt.Meta.log_type in ['failed', 'odd']"),
            scenario(
                "their/web",
                "evt.Meta.log_type == 'web' && evt.Meta.verb == 'POST'",
            ),
            scenario("their/other", "evt.Meta.log_type == 'other'"),
            scenario("their/any", "evt.Parsed.x contains 'y'"),
        ];
        let found = find(&ours, &theirs);
        assert_eq!(found.len(), 1);
        assert_eq!(found["our/bf"], BTreeSet::from(["their/bf".to_owned()]));
    }
}
