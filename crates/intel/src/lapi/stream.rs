//! What a bouncer asks of `/v1/decisions/stream`.

/// Words of one list parameter.
const WORDS_MAX: usize = 256;

/// The parameters of a stream request. Unknown ones are passed over: every version of the
/// clients brings new ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamQuestion {
    /// Everything in force, not only what changed.
    pub startup: bool,
    /// Of several decisions on one value, only the longest.
    pub dedup: bool,
    pub admits: Admits,
}

/// Which decisions are asked for. Empty lists admit all, except `scopes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admits {
    /// Lower case.
    scopes: Vec<String>,
    origins: Vec<String>,
    containing: Vec<String>,
    not_containing: Vec<String>,
}

impl StreamQuestion {
    pub fn read(pairs: &[(String, String)]) -> Self {
        let flag = |name: &str| pairs.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v);
        Self {
            startup: flag("startup").is_some_and(|v| v == "true"),
            dedup: flag("dedup").is_none_or(|v| v != "false"),
            admits: Admits::read(pairs, &["ip", "range"]),
        }
    }
}

impl Admits {
    /// `default`: the scopes meant when none are named; none at all admits every scope.
    pub fn read(pairs: &[(String, String)], default: &[&str]) -> Self {
        let scopes = words(pairs, "scopes");
        let scopes = if scopes.is_empty() {
            default.iter().map(|&s| s.to_owned()).collect()
        } else {
            scopes
        };
        Self {
            scopes,
            origins: words(pairs, "origins"),
            containing: words(pairs, "scenarios_containing"),
            not_containing: words(pairs, "scenarios_not_containing"),
        }
    }

    pub fn admits(&self, scope: &str, origin: &str, scenario: &str) -> bool {
        let equal = |list: &[String], word: &str| {
            list.is_empty() || list.iter().any(|w| w.eq_ignore_ascii_case(word))
        };
        if !equal(&self.scopes, scope) || !equal(&self.origins, origin) {
            return false;
        }
        if self.containing.is_empty() && self.not_containing.is_empty() {
            return true;
        }
        let scenario = scenario.to_lowercase();
        let has = |word: &String| scenario.contains(word.as_str());
        (self.containing.is_empty() || self.containing.iter().any(has))
            && !self.not_containing.iter().any(has)
    }
}

/// A comma list in lower case, over all pairs of that name.
fn words(pairs: &[(String, String)], name: &str) -> Vec<String> {
    pairs
        .iter()
        .filter(|(n, _)| n == name)
        .flat_map(|(_, value)| value.split(','))
        .map(|word| word.trim().to_lowercase())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX)
        .collect()
}

/// Leaves of those that are the same by `key` only the one that lasts longest, of equals the
/// first. Keeps the order otherwise.
pub fn longest<T, K: Ord>(rows: &mut Vec<T>, key: impl Fn(&T) -> K, until: impl Fn(&T) -> u64) {
    if rows.len() < 2 {
        return;
    }
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let row = |at: usize| rows.get(at).map(|r| (key(r), until(r)));
    order.sort_by(|&a, &b| match (row(a), row(b)) {
        (Some(a), Some(b)) => a.0.cmp(&b.0).then(b.1.cmp(&a.1)),
        _ => std::cmp::Ordering::Equal,
    });
    order.dedup_by(|b, a| match (row(*a), row(*b)) {
        (Some(a), Some(b)) => a.0 == b.0,
        _ => false,
    });
    let mut keep = vec![false; rows.len()];
    for at in order {
        if let Some(flag) = keep.get_mut(at) {
            *flag = true;
        }
    }
    let mut flags = keep.into_iter();
    rows.retain(|_| flags.next().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs;

    #[test]
    fn the_oldest_and_the_newest_bouncers_ask_alike() {
        let old = StreamQuestion::read(&pairs(""));
        assert!(!old.startup && old.dedup);
        let new = StreamQuestion::read(&pairs(
            "additional_pull=false&community_pull=false&scopes=ip%2Crange&startup=true",
        ));
        assert!(new.startup);
        assert_eq!(new.admits, old.admits);
        assert!(!StreamQuestion::read(&pairs("dedup=false&startup=1")).dedup);
    }

    #[test]
    fn lists_admit_by_word_and_by_substring() {
        let ask = |query: &str| StreamQuestion::read(&pairs(query)).admits;
        let ssh = |admits: &Admits| admits.admits("Ip", "crowdsec", "crowdsecurity/ssh-bf");
        assert!(ssh(&ask("")));
        assert!(ssh(&ask("origins=cscli,CrowdSec")));
        assert!(!ssh(&ask("origins=cscli")));
        assert!(!ssh(&ask("scopes=country")));
        assert!(ssh(&ask("scopes=IP")));
        assert!(ssh(&ask("scenarios_containing=http,SSH")));
        assert!(!ssh(&ask("scenarios_containing=http")));
        assert!(!ssh(&ask("scenarios_not_containing=bf")));
        assert!(!ask("").admits("Country", "crowdsec", "x"));
    }

    #[test]
    fn the_longest_of_equals_stays() {
        let mut rows = vec![("a", 1, 'x'), ("b", 9, 'y'), ("a", 5, 'z'), ("a", 5, 'w')];
        longest(&mut rows, |r| r.0, |r| r.1);
        assert_eq!(rows, [("b", 9, 'y'), ("a", 5, 'z')]);
    }
}
