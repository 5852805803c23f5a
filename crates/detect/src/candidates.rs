//! Which of many conditions an event can fulfil at all.
//!
//! A tree of questions, asked once for all conditions. A condition that cannot be true unless a
//! field has one of a few values is listed under those values; below them, one that needs a text
//! to stand in a field is found by one pass over that field for all such texts. What is found
//! still has to be asked itself. Conditions of which nothing is known are tried for every event.
//! Used for the filters of scenarios and the expressions of whitelists.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use hashbrown::HashMap;

use crate::{
    event::{Event, FieldMap},
    expr::{DataFiles, Expr, FieldAtom, Places},
    symbols::Sym,
};

/// Questions asked one below the other.
const DEPTH_MAX: usize = 4;
/// So few conditions are cheaper to try than to tell apart.
const CROWD_MIN: usize = 3;

/// Texts of one field that are worth the memory of the fastest automaton.
const DFA_TEXTS_MAX: usize = 1_000;

/// What is known of one condition.
struct Facts {
    number: u32,
    equals: Vec<FieldAtom>,
    places: Option<Places>,
}

#[derive(Debug, Default)]
pub(crate) struct Candidates {
    always: Vec<u32>,
    fields: Vec<FieldIndex>,
    scans: Vec<FieldScan>,
}

/// Conditions by the value one field must have.
#[derive(Debug)]
struct FieldIndex {
    map: FieldMap,
    sym: Sym,
    by_value: HashMap<String, Candidates>,
}

/// Conditions by the texts they need in one field.
#[derive(Debug)]
struct FieldScan {
    map: FieldMap,
    sym: Sym,
    automaton: AhoCorasick,
    /// Bytes of the shortest text.
    least: usize,
    /// For each text.
    owners: Vec<Vec<u32>>,
}

impl Candidates {
    pub(crate) fn new<'e>(
        conditions: impl IntoIterator<Item = (u32, &'e Expr)>,
        data: &DataFiles,
    ) -> Self {
        let facts: Vec<Facts> = conditions
            .into_iter()
            .map(|(number, condition)| Facts {
                number,
                equals: condition.requirements().equals.clone(),
                places: condition.places(data),
            })
            .collect();
        Self::of(&facts.iter().collect::<Vec<_>>(), &[], DEPTH_MAX)
    }

    /// `asked`: the fields whose value is known above.
    // Recursion is bounded by `depth`.
    fn of(facts: &[&Facts], asked: &[(FieldMap, Sym)], depth: usize) -> Self {
        let mut index = Self::default();
        if depth == 0 || (!asked.is_empty() && facts.len() < CROWD_MIN) {
            index.always = facts.iter().map(|facts| facts.number).collect();
            return index;
        }
        let crowds = crowds(facts);
        let mut tables: BTreeMap<(FieldMap, Sym), BTreeMap<&str, Vec<&Facts>>> = BTreeMap::new();
        let mut scanned: BTreeMap<(FieldMap, Sym), BTreeMap<&str, Vec<u32>>> = BTreeMap::new();
        for facts in facts {
            let open = facts
                .equals
                .iter()
                .filter(|atom| !asked.contains(&(atom.map, atom.sym)));
            let crowd = |atom: &&FieldAtom| -> usize {
                let of = |v: &String| crowds.get(&(atom.map, atom.sym, v.as_str())).copied();
                atom.any_of.iter().map(|v| of(v).unwrap_or(0)).sum()
            };
            let atom = open.min_by_key(crowd);
            // A value is found at once; to look for a text takes a pass over the field.
            let places = facts
                .places
                .as_ref()
                .filter(|_| atom.is_none() || !asked.is_empty())
                // Of a field whose value is known it says nothing new.
                .filter(|places| places.iter().all(|p| !asked.contains(&(p.map, p.sym))));
            if let Some(places) = places {
                for place in places {
                    let texts = scanned.entry((place.map, place.sym)).or_default();
                    for text in &place.texts {
                        texts.entry(text).or_default().push(facts.number);
                    }
                }
            } else if let Some(atom) = atom {
                let table = tables.entry((atom.map, atom.sym)).or_default();
                for value in &atom.any_of {
                    let list = table.entry(value).or_default();
                    // A value may be written twice in one atom.
                    if list.last().is_none_or(|last| last.number != facts.number) {
                        list.push(*facts);
                    }
                }
            } else {
                index.always.push(facts.number);
            }
        }
        for (field, table) in tables {
            index
                .fields
                .push(FieldIndex::new(field, table, asked, depth));
        }
        for (field, texts) in scanned {
            match FieldScan::new(field, &texts) {
                Some(scan) => index.scans.push(scan),
                None => index.always.extend(texts.into_values().flatten()),
            }
        }
        index
    }

    /// Fills `to` with the conditions that `event` may fulfil, in their order.
    pub(crate) fn find(&self, event: &Event, to: &mut Vec<u32>) {
        to.clear();
        self.collect(event, to);
        to.sort_unstable();
        to.dedup();
    }

    // Recursion is bounded by `DEPTH_MAX`.
    fn collect(&self, event: &Event, to: &mut Vec<u32>) {
        to.extend_from_slice(&self.always);
        for field in &self.fields {
            let value = event.field(field.map, field.sym);
            if let Some(below) = field.by_value.get(value) {
                below.collect(event, to);
            }
        }
        for scan in &self.scans {
            scan.collect(event.field(scan.map, scan.sym), to);
        }
    }
}

/// How many conditions ask for each value.
fn crowds<'f>(facts: &[&'f Facts]) -> BTreeMap<(FieldMap, Sym, &'f str), usize> {
    let mut uses = BTreeMap::new();
    for atom in facts.iter().flat_map(|facts| &facts.equals) {
        for value in &atom.any_of {
            *uses
                .entry((atom.map, atom.sym, value.as_str()))
                .or_default() += 1;
        }
    }
    uses
}

impl FieldIndex {
    fn new(
        (map, sym): (FieldMap, Sym),
        table: BTreeMap<&str, Vec<&Facts>>,
        asked: &[(FieldMap, Sym)],
        depth: usize,
    ) -> Self {
        let mut asked = asked.to_vec();
        asked.push((map, sym));
        let below = |(value, list): (&str, Vec<&Facts>)| {
            let index = Candidates::of(&list, &asked, depth - 1);
            (value.to_owned(), index)
        };
        Self {
            map,
            sym,
            by_value: table.into_iter().map(below).collect(),
        }
    }
}

impl FieldScan {
    fn new((map, sym): (FieldMap, Sym), texts: &BTreeMap<&str, Vec<u32>>) -> Option<Self> {
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind((texts.len() <= DFA_TEXTS_MAX).then_some(AhoCorasickKind::DFA))
            .build(texts.keys());
        Some(Self {
            map,
            sym,
            automaton: automaton.ok()?,
            least: texts.keys().map(|text| text.len()).min().unwrap_or(0),
            owners: texts.values().cloned().collect(),
        })
    }

    fn collect(&self, value: &str, to: &mut Vec<u32>) {
        // Beyond ASCII, changing the case can make one letter of another.
        if !value.is_ascii() {
            self.owners.iter().for_each(|own| to.extend_from_slice(own));
            return;
        }
        if value.len() < self.least {
            return;
        }
        for found in self.automaton.find_overlapping_iter(value) {
            let own = self.owners.get(found.pattern().as_usize());
            to.extend_from_slice(own.map_or(&[], |own| own));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        buckets,
        expr::{DataFile, Env, Services},
        rules::RuleFile,
        symbols::Symbols,
    };

    const FILTERS: &[&str] = &[
        "evt.Meta.kind == 'web'",
        "evt.Meta.kind in ['web', 'mail'] && evt.Meta.path contains '/Admin'",
        "evt.Meta.kind == 'web' && Upper(evt.Meta.path) contains '/ADMIN'",
        "evt.Meta.kind == 'web' && Upper(evt.Meta.path) matches '^/(ADMIN|WP-[A-Z]+)\\\\.PHP'",
        "evt.Meta.kind == 'web' && Lower(evt.Meta.agent) == 'nikto'",
        "evt.Meta.kind == 'web' && (evt.Meta.agent startsWith 'Nik' || evt.Meta.path endsWith '.sql')",
        "evt.Meta.kind == 'web' && any(File('paths'), { Upper(evt.Meta.path) contains Upper(#) })",
        "evt.Meta.kind == 'web' && any(File('gone'), { evt.Meta.path contains # })",
        "any(File('paths'), { evt.Meta.path == # ? evt.SetMeta('seen', #) : false })",
        "evt.Meta.kind == 'web' && RegexpInFile(evt.Meta.agent, 'agents')",
        "evt.Meta.kind == 'web' && Lower(evt.Meta.path) contains 'k'",
        "evt.Meta.kind == 'web' && Lower(evt.Meta.path) contains 'kk'",
        "evt.Meta.kind == 'web' && evt.Meta.path contains 'é'",
        "evt.Meta.kind == 'web' && not (evt.Meta.path contains '/admin')",
        "evt.Meta.kind == 'web' && evt.Meta.path in ['/admin', '/É']",
        "evt.Meta.kind != 'web' || evt.Meta.path contains '/admin'",
        "evt.Meta.kind == 'web' && (evt.Meta.path contains '.sql' ? true : false)",
    ];
    const PATHS: &[&str] = &[
        "",
        "/",
        "/Admin",
        "/admin.PHP",
        "/wp-x.php",
        "/x.sql",
        "\u{212a}\u{212a}",
        "/É",
        "/kk",
    ];
    const AGENTS: &[&str] = &["", "Nikto", "nikto", "n\u{131}kto", "zmap/1", "curl"];

    fn services() -> Services {
        let mut services = Services::default();
        let paths = vec!["/admin".to_owned(), ".sql".to_owned()];
        services
            .data
            .insert("paths", DataFile::Strings(paths.into()));
        let agents = [r"\bNikto\b", "(?i)zmap"].map(|p| crate::regex_syntax::compile(p).unwrap());
        let agents = DataFile::Regexes(agents.to_vec().into());
        services.data.insert("agents", agents);
        services
    }

    proptest! {
        #[test]
        fn nothing_that_matches_is_left_out(
            kind in prop::sample::select(&["web", "mail", ""][..]),
            path in prop::sample::select(PATHS), more in prop::sample::select(PATHS),
            agent in prop::sample::select(AGENTS),
        ) {
            let mut symbols = Symbols::default();
            let text: Vec<String> = (0..).zip(FILTERS).map(|(n, filter)| {
                format!("type: trigger\nname: a/{n}\ndescription: d\nfilter: |\n  {filter}\n")
            }).collect();
            let file = RuleFile::new("scenarios/a.yaml", text.join("---\n"));
            let mut found = Vec::new();
            let scenarios = buckets::load(&file, "", &mut symbols, &mut found);
            prop_assert_eq!(scenarios.len(), FILTERS.len(), "{:?}", found);
            let services = services();
            let filters = (0..).zip(scenarios.iter().map(|s| &s.filter.0));
            let index = Candidates::new(filters, &services.data);
            let mut event = Event::default();
            event.reset("");
            for (key, value) in [("kind", kind), ("path", &format!("{path}{more}")), ("agent", agent)] {
                let sym = symbols.intern(key);
                event.set_field(FieldMap::Meta, sym, value);
            }
            let mut candidates = Vec::new();
            index.find(&event, &mut candidates);
            let effects = RefCell::default();
            let env = Env::new(&event, &symbols, &services, &effects);
            for (number, scenario) in (0u32..).zip(&scenarios) {
                let matches = scenario.filter.0.test(&env) == Ok(true);
                prop_assert!(!matches || candidates.contains(&number), "{:?}", scenario.filter);
            }
        }
    }

    #[test]
    fn a_text_that_is_not_there_spares_the_scenario() {
        let mut symbols = Symbols::default();
        let text = ["one", "two", "three"].map(|word| {
            format!(
                "type: trigger\nname: a/{word}\ndescription: d\n\
                 filter: evt.Meta.kind == 'web' && Upper(evt.Meta.path) contains Upper('{word}')\n"
            )
        });
        let file = RuleFile::new("scenarios/a.yaml", text.join("---\n"));
        let scenarios = buckets::load(&file, "", &mut symbols, &mut Vec::new());
        let filters = (0..).zip(scenarios.iter().map(|s| &s.filter.0));
        let index = Candidates::new(filters, &DataFiles::default());
        let mut event = Event::default();
        event.set_field(FieldMap::Meta, symbols.intern("kind"), "web");
        event.set_field(FieldMap::Meta, symbols.intern("path"), "/x/TWO.php");
        let mut candidates = Vec::new();
        index.find(&event, &mut candidates);
        assert_eq!(candidates, [1]);
    }
}
