//! What of a catalogue is wanted: names of collections and items, and all that those need.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use detect::{rules::RuleFile, yaml};
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Id, Kind};

const SUGGESTIONS_MAX: usize = 5;

/// Who chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wish {
    Everything,
    /// What is enabled in the installation that is imported.
    AsInstalled,
    Names(BTreeSet<String>),
}

#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) items: BTreeSet<Id>,
    /// What a chosen collection lists but nobody has: the item, and the collection.
    pub(super) absent: Vec<(Id, Id)>,
    /// Scenarios that the installation only simulates.
    pub(super) simulated: BTreeSet<Id>,
}

/// A collection's lists of its members, by kind.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lists {
    collections: Option<Vec<String>>,
    parsers: Option<Vec<String>>,
    postoverflows: Option<Vec<String>>,
    scenarios: Option<Vec<String>>,
    contexts: Option<Vec<String>>,
    #[serde(rename = "appsec-configs")]
    appsec_configs: Option<Vec<String>>,
    #[serde(rename = "appsec-rules")]
    appsec_rules: Option<Vec<String>>,
}

impl Choice {
    pub(super) fn make(catalogue: &Catalogue, wish: &Wish) -> Result<Self> {
        let mut choice = Self::default();
        let mut open: Vec<Id> = match wish {
            Wish::Everything => catalogue.items.keys().cloned().collect(),
            Wish::AsInstalled => match &catalogue.installed {
                Some(installation) => installation.enabled.iter().cloned().collect(),
                None => catalogue.items.keys().cloned().collect(),
            },
            Wish::Names(names) => {
                let mut all = Vec::new();
                for name in names {
                    all.extend(named(catalogue, name)?);
                }
                all
            }
        };
        while let Some(id) = open.pop() {
            if choice.items.contains(&id) {
                continue;
            }
            if id.kind == Kind::Collection {
                for member in members(catalogue, &id) {
                    if catalogue.items.contains_key(&member) {
                        open.push(member);
                    } else {
                        choice.absent.push((member, id.clone()));
                    }
                }
            }
            choice.items.insert(id);
        }
        choice.absent.sort();
        choice.leave_simulated_out(catalogue, wish);
        Ok(choice)
    }

    /// A scenario that only watched there must not ban here; who names it wants it.
    fn leave_simulated_out(&mut self, catalogue: &Catalogue, wish: &Wish) {
        let Some(installation) = &catalogue.installed else {
            return;
        };
        let is_named = |id: &Id| matches!(wish, Wish::Names(names) if names.contains(&id.name));
        let simulated = self.items.iter().filter(|id| {
            id.kind == Kind::Scenario && installation.simulation.covers(&id.name) && !is_named(id)
        });
        self.simulated = simulated.cloned().collect();
    }
}

/// What a collection lists.
pub(super) fn members(catalogue: &Catalogue, collection: &Id) -> Vec<Id> {
    let Some(Ok(text)) = catalogue.items.get(collection).map(|item| &item.text) else {
        return Vec::new();
    };
    let file = RuleFile::new(collection.name.clone(), text.clone());
    let mut all = Vec::new();
    for document in yaml::documents::<Lists>(&file).into_iter().flatten() {
        let lists = document.value;
        for (kind, list) in [
            (Kind::Collection, lists.collections),
            (Kind::Parser, lists.parsers),
            (Kind::Postoverflow, lists.postoverflows),
            (Kind::Scenario, lists.scenarios),
            (Kind::Context, lists.contexts),
            (Kind::AppsecConfig, lists.appsec_configs),
            (Kind::AppsecRule, lists.appsec_rules),
        ] {
            all.extend(list.into_iter().flatten().map(|name| Id { kind, name }));
        }
    }
    all
}

/// A name that means one item only, whatever else has the same: `scenarios/author/file`.
pub(super) fn path_name(place: &str) -> String {
    place
        .strip_suffix(".yaml")
        .or_else(|| place.strip_suffix(".yml"))
        .unwrap_or(place)
        .to_owned()
}

/// The collection of that name, else every item of that name; the author may be left out when
/// that leaves no doubt, a path names exactly one, and an author or a folder all of theirs.
fn named(catalogue: &Catalogue, name: &str) -> Result<Vec<Id>> {
    let by_path = catalogue
        .items
        .iter()
        .find(|(_, item)| path_name(&item.place) == name);
    if let Some((id, _)) = by_path {
        return Ok(vec![id.clone()]);
    }
    let of = |test: &dyn Fn(&Id) -> bool| -> Vec<Id> {
        let all: Vec<Id> = catalogue
            .items
            .keys()
            .filter(|id| test(id))
            .cloned()
            .collect();
        let collections: Vec<Id> = all
            .iter()
            .filter(|id| id.kind == Kind::Collection)
            .cloned()
            .collect();
        if collections.is_empty() {
            all
        } else {
            collections
        }
    };
    let exact = of(&|id| id.name == name);
    if !exact.is_empty() {
        return Ok(exact);
    }
    let below = format!("{}/", name.trim_end_matches('/'));
    let folder = of(&|id| id.name.starts_with(&below));
    if !folder.is_empty() {
        return Ok(folder);
    }
    let short = of(&|id| id.name.rsplit('/').next() == Some(name));
    let authors: BTreeSet<&str> = short.iter().map(|id| id.name.as_str()).collect();
    match authors.len() {
        0 => bail!(
            "there is no collection or item `{name}`; {}",
            suggestions(catalogue, name)
        ),
        1 => Ok(short),
        _ => {
            let all: Vec<&str> = authors.into_iter().collect();
            bail!(
                "`{name}` could be each of: {}; name one in full",
                all.join(", ")
            )
        }
    }
}

fn suggestions(catalogue: &Catalogue, name: &str) -> String {
    let word = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let mut like: BTreeSet<&str> = catalogue
        .items
        .keys()
        .map(|id| id.name.as_str())
        .filter(|known| {
            let last = known.rsplit('/').next().unwrap_or(known).to_lowercase();
            !word.is_empty() && (last.contains(&word) || (last.len() > 2 && word.contains(&last)))
        })
        .collect();
    like.extend(yaml::nearest(
        name,
        catalogue.items.keys().map(|id| id.name.as_str()),
    ));
    if like.is_empty() {
        return "`posse rules import DIR` without --enable lists all there are".to_owned();
    }
    let like: Vec<&str> = like.into_iter().take(SUGGESTIONS_MAX).collect();
    format!("did you mean {}?", like.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{super::catalogue::Item, *};

    fn catalogue(items: &[(Kind, &str, &str)]) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for (kind, name, text) in items {
            let id = Id {
                kind: *kind,
                name: (*name).to_owned(),
            };
            let place = format!("{}/{name}.yaml", kind.folder());
            catalogue.items.insert(
                id,
                Item {
                    place,
                    text: Ok((*text).to_owned()),
                },
            );
        }
        catalogue
    }

    fn chosen(catalogue: &Catalogue, name: &str) -> Vec<String> {
        let wish = Wish::Names([name.to_owned()].into());
        let choice = Choice::make(catalogue, &wish).unwrap();
        choice.items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_collection_brings_its_members_and_theirs_even_in_a_circle() {
        let catalogue = catalogue(&[
            (
                Kind::Collection,
                "me/all",
                "collections: [me/web]\nscenarios: [me/gone]\n",
            ),
            (
                Kind::Collection,
                "me/web",
                "collections: [me/all]\nscenarios: [me/a]\nparsers:\n",
            ),
            (Kind::Scenario, "me/a", ""),
            (Kind::Scenario, "me/b", ""),
        ]);
        let expected = ["collection me/all", "collection me/web", "scenario me/a"];
        assert_eq!(chosen(&catalogue, "me/all"), expected);
        assert_eq!(chosen(&catalogue, "web"), expected);
        assert_eq!(chosen(&catalogue, "me/b"), ["scenario me/b"]);
        let wish = Wish::Names(["me/all".to_owned()].into());
        let absent = Choice::make(&catalogue, &wish).unwrap().absent;
        assert_eq!(absent.len(), 1);
        assert_eq!(absent[0].0.to_string(), "scenario me/gone");
    }

    #[test]
    fn an_unknown_name_is_an_error_with_suggestions() {
        let catalogue = catalogue(&[
            (Kind::Collection, "me/nginx", ""),
            (Kind::Scenario, "x/y", ""),
        ]);
        for name in ["ngin", "me/ngnix", "you/nginx-all"] {
            let wish = Wish::Names([name.to_owned()].into());
            let error = Choice::make(&catalogue, &wish).unwrap_err().to_string();
            assert!(error.contains("did you mean me/nginx?"), "{error}");
        }
    }
}
