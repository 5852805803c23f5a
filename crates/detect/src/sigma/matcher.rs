//! All rules against one event at once.
//!
//! The value of each field is scanned once, for all texts that any rule looks for in it; what is
//! found names the few rules that can match at all, and only their conditions are evaluated. So
//! the cost of an event depends on the event, hardly on the number of rules.

use aho_corasick::{AhoCorasick, MatchKind};
use hashbrown::HashMap;

use super::{
    atoms::{AtomId, Atoms, Scan},
    fields::{FieldId, Fields, WHOLE},
    program::Node,
    sources::{Groups, contains},
    values::{Value, Values},
};

/// A rule as the matcher knows it.
#[derive(Debug)]
pub(super) struct Runnable {
    pub(super) program: Node,
    /// Its log source's number.
    pub(super) group: u32,
}

#[derive(Debug)]
pub(super) struct Matcher {
    rules: Vec<Runnable>,
    atoms: Atoms,
    /// By atom: the rules that cannot match unless one of their atoms holds, and this is one.
    wakes: Vec<Vec<u32>>,
    /// By field.
    scanners: Vec<Option<Scanner>>,
    /// By group: rules that no atom of the scan is needed for.
    restless: Vec<Vec<u32>>,
    /// Groups with a rule that looks at the whole event.
    keyword_groups: Groups,
    state: State,
}

/// What the event at hand has shown so far.
#[derive(Debug, Default)]
struct State {
    epoch: u64,
    /// By atom: the epoch and, in the last two bits, what is known.
    atoms: Vec<u64>,
    rules: Vec<u64>,
    candidates: Vec<u32>,
}

const FOUND: u64 = 1;
const HOLDS: u64 = 2;
const FAILS: u64 = 3;

/// Looks for all texts that rules want in one field.
#[derive(Debug, Default)]
struct Scanner {
    equal: HashMap<Box<str>, Vec<AtomId>>,
    longest_equal: usize,
    texts: Option<AhoCorasick>,
    /// By text: the atoms that want it, and where.
    wanted: Vec<Vec<(AtomId, Place)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    End,
    Anywhere,
}

impl Matcher {
    pub(super) fn new(
        rules: Vec<Runnable>,
        mut atoms: Atoms,
        fields: &Fields,
        groups: usize,
    ) -> Self {
        let mut uses = vec![0u64; atoms.all.len()];
        for rule in &rules {
            rule.program.atoms(&mut |atom| {
                if let Some(count) = uses.get_mut(atom as usize) {
                    *count += 1;
                }
            });
        }
        let cost = |atoms: &Atoms, id: AtomId| price(atoms, id, &uses);
        let keys: Vec<Option<Vec<AtomId>>> = rules
            .iter()
            .map(|rule| rule.program.keys(&mut atoms, &cost))
            .collect();
        let mut wakes = vec![Vec::new(); atoms.all.len()];
        let mut restless = vec![Vec::new(); groups];
        for ((number, rule), keys) in (0..).zip(&rules).zip(keys) {
            match keys {
                None => {
                    if let Some(group) = restless.get_mut(rule.group as usize) {
                        group.push(number);
                    }
                }
                Some(keys) => keys.into_iter().for_each(|key| {
                    if let Some(woken) = wakes.get_mut(key as usize) {
                        woken.push(number);
                    }
                }),
            }
        }
        let mut keyword_groups = vec![0; groups.div_ceil(64)];
        for rule in &rules {
            rule.program.atoms(&mut |atom| {
                if atoms.get(atom).is_some_and(|a| a.field == WHOLE) {
                    super::sources::insert(&mut keyword_groups, rule.group as usize);
                }
            });
        }
        Self {
            scanners: scanners(&atoms, fields.len()),
            state: State {
                epoch: 0,
                atoms: vec![0; atoms.all.len()],
                rules: vec![0; rules.len()],
                candidates: Vec::new(),
            },
            rules,
            atoms,
            wakes,
            restless,
            keyword_groups,
        }
    }

    /// Whether a rule of these groups looks at the whole event.
    pub(super) fn wants_whole(&self, active: &[u64]) -> bool {
        active
            .iter()
            .zip(&self.keyword_groups)
            .any(|(active, keyword)| active & keyword != 0)
    }

    /// Appends the rules of `active` groups that match.
    pub(super) fn run(&mut self, values: &Values, active: &[u64], matches: &mut Vec<u32>) {
        self.state.epoch += 1;
        self.state.candidates.clear();
        for field in &values.filled {
            if let Some(Some(scanner)) = self.scanners.get(*field as usize) {
                let mut hits = Hits {
                    state: &mut self.state,
                    wakes: &self.wakes,
                    rules: &self.rules,
                    active,
                };
                values
                    .of(*field)
                    .filter(|value| !value.is_null)
                    .for_each(|value| scanner.scan(&value, &mut hits));
            }
        }
        for (group, rules) in self.restless.iter().enumerate() {
            if contains(active, group) {
                self.state.candidates.extend(rules);
            }
        }
        let Self {
            rules,
            atoms,
            state,
            ..
        } = self;
        let candidates = std::mem::take(&mut state.candidates);
        for number in &candidates {
            let Some(rule) = rules.get(*number as usize) else {
                continue;
            };
            if rule
                .program
                .holds(&mut |atom| state.holds(atom, atoms, values))
            {
                matches.push(*number);
            }
        }
        state.candidates = candidates;
        matches.sort_unstable();
    }

    /// What [`Self::run`] must give: every rule of the groups, each test by itself.
    pub(super) fn run_slowly(&self, values: &Values, active: &[u64]) -> Vec<u32> {
        let mut is = |id| self.atoms.get(id).is_some_and(|atom| atom.holds(values));
        (0..)
            .zip(&self.rules)
            .filter(|(_, rule)| contains(active, rule.group as usize))
            .filter(|(_, rule)| rule.program.holds(&mut is))
            .map(|(number, _)| number)
            .collect()
    }

    /// Texts one of which stands in the values of every event that a rule of these groups matches;
    /// `None` when there is a rule without.
    pub(super) fn texts(&self, active: &[u64]) -> Option<Vec<&str>> {
        let is_active = |rule: &u32| {
            self.rules
                .get(*rule as usize)
                .is_some_and(|rule| contains(active, rule.group as usize))
        };
        let restless = self.restless.iter().enumerate();
        for (group, rules) in restless {
            if contains(active, group) && !rules.is_empty() {
                return None;
            }
        }
        let mut texts = Vec::new();
        for (atom, woken) in self.atoms.all.iter().zip(&self.wakes) {
            if !woken.iter().any(is_active) {
                continue;
            }
            match &atom.scan {
                Scan::Never => return None,
                Scan::Equal(text)
                | Scan::Starts(text)
                | Scan::Ends(text)
                | Scan::Contains(text) => {
                    if text.is_empty() {
                        return None;
                    }
                    texts.push(&**text);
                }
            }
        }
        Some(texts)
    }
}

impl State {
    /// Marks what the scan found.
    fn find(&mut self, atom: AtomId) -> bool {
        let mark = self.epoch << 2 | FOUND;
        match self.atoms.get_mut(atom as usize) {
            Some(known) if *known != mark => {
                *known = mark;
                true
            }
            _ => false,
        }
    }

    fn holds(&mut self, id: AtomId, atoms: &Atoms, values: &Values) -> bool {
        let (Some(known), Some(atom)) = (self.atoms.get_mut(id as usize), atoms.get(id)) else {
            return false;
        };
        let now = (*known >> 2 == self.epoch).then_some(*known & 3);
        let Some(verify) = &atom.verify else {
            return now == Some(FOUND);
        };
        match now {
            Some(HOLDS) => return true,
            Some(FAILS) => return false,
            None if atom.scan != Scan::Never => return false,
            _ => {}
        }
        let holds = verify.holds(atom.field, values);
        *known = self.epoch << 2 | if holds { HOLDS } else { FAILS };
        holds
    }
}

/// Takes what scanners find.
struct Hits<'h> {
    state: &'h mut State,
    wakes: &'h [Vec<u32>],
    rules: &'h [Runnable],
    active: &'h [u64],
}

impl Hits<'_> {
    fn take(&mut self, atom: AtomId) {
        if !self.state.find(atom) {
            return;
        }
        for number in self.wakes.get(atom as usize).into_iter().flatten() {
            let is_active = self
                .rules
                .get(*number as usize)
                .is_some_and(|rule| contains(self.active, rule.group as usize));
            let Some(seen) = self.state.rules.get_mut(*number as usize) else {
                continue;
            };
            if is_active && *seen != self.state.epoch {
                *seen = self.state.epoch;
                self.state.candidates.push(*number);
            }
        }
    }
}

impl Scanner {
    fn scan(&self, value: &Value<'_>, hits: &mut Hits<'_>) {
        if value.lower.len() <= self.longest_equal
            && let Some(atoms) = self.equal.get(value.lower)
        {
            atoms.iter().for_each(|atom| hits.take(*atom));
        }
        let Some(texts) = &self.texts else {
            return;
        };
        for found in texts.find_overlapping_iter(value.lower) {
            for (atom, place) in self
                .wanted
                .get(found.pattern().as_usize())
                .into_iter()
                .flatten()
            {
                let fits = match place {
                    Place::Start => found.start() == 0,
                    Place::End => found.end() == value.lower.len(),
                    Place::Anywhere => true,
                };
                if fits {
                    hits.take(*atom);
                }
            }
        }
    }
}

fn scanners(atoms: &Atoms, fields: usize) -> Vec<Option<Scanner>> {
    type Texts<'t> = (Vec<&'t str>, HashMap<&'t str, usize>);
    let mut scanners: Vec<Option<Scanner>> = (0..fields).map(|_| None).collect();
    let mut texts: HashMap<FieldId, Texts<'_>> = HashMap::new();
    for (id, atom) in (0..).zip(&atoms.all) {
        let (text, place) = match &atom.scan {
            Scan::Never => continue,
            Scan::Equal(text) => (text, None),
            Scan::Starts(text) => (text, Some(Place::Start)),
            Scan::Ends(text) => (text, Some(Place::End)),
            Scan::Contains(text) => (text, Some(Place::Anywhere)),
        };
        let Some(slot) = scanners.get_mut(atom.field as usize) else {
            continue;
        };
        let scanner = slot.get_or_insert_with(Scanner::default);
        let Some(place) = place else {
            scanner.longest_equal = scanner.longest_equal.max(text.len());
            scanner.equal.entry(text.clone()).or_default().push(id);
            continue;
        };
        let (list, known) = texts.entry(atom.field).or_default();
        let number = *known.entry(text).or_insert_with(|| {
            list.push(text);
            list.len() - 1
        });
        scanner.wanted.resize(list.len(), Vec::new());
        if let Some(wanted) = scanner.wanted.get_mut(number) {
            wanted.push((id, place));
        }
    }
    for (field, (list, _)) in texts {
        if let Some(Some(scanner)) = scanners.get_mut(field as usize) {
            scanner.texts = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .build(list)
                .ok();
        }
    }
    scanners
}

/// How often an atom may wake its rules: what many rules ask for is common in events, and so are
/// short texts.
fn price(atoms: &Atoms, id: AtomId, uses: &[u64]) -> u64 {
    let length = match atoms.get(id).map(|atom| &atom.scan) {
        Some(Scan::Equal(text)) => text.len() * 2,
        Some(Scan::Starts(text) | Scan::Ends(text) | Scan::Contains(text)) => text.len(),
        Some(Scan::Never) | None => 0,
    };
    let uses = uses.get(id as usize).copied().unwrap_or(1);
    (1 + uses) * 1_024 / (length as u64 + 1)
}
