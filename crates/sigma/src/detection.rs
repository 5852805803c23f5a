//! The `detection` of a rule: search identifiers and the condition over them.
//!
//! Rules specification, "Detection": a map is all of its fields, a list is any of its members, a
//! value without a field is looked for in the whole event.

use crate::{
    DEPTH_MAX, Placeholders, TESTS_MAX,
    condition::{self, Condition},
    modifiers::{Key, Test},
    yaml::{Fault, Node, Value},
};

#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    pub names: Vec<String>,
    /// One for each name.
    pub searches: Vec<Search>,
    pub condition: Condition,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Search {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Test(Test),
}

/// Keys beside the search identifiers.
const RESERVED: [&str; 2] = ["condition", "timeframe"];

impl Detection {
    /// `skipped`: further keys that are no search identifiers.
    pub(crate) fn read(
        node: &Node,
        skipped: &[&str],
        placeholders: &Placeholders,
    ) -> Result<Self, Fault> {
        let Value::Map(entries) = &node.value else {
            return Err(node.fault(
                "`detection` is not a map",
                "write search identifiers and a `condition` under it",
            ));
        };
        let mut reader = Reader {
            placeholders,
            tests: 0,
        };
        let (mut names, mut searches) = (Vec::new(), Vec::new());
        for (name, value) in entries {
            if RESERVED.contains(&name.as_str()) || skipped.contains(&name.as_str()) {
                continue;
            }
            searches.push(reader.search(value, 0)?);
            names.push(name.clone());
        }
        let condition = condition_of(node, &names)?;
        Ok(Self {
            names,
            searches,
            condition,
        })
    }
}

/// Several conditions are alternatives.
fn condition_of(node: &Node, names: &[String]) -> Result<Condition, Fault> {
    let Some(written) = node.get("condition") else {
        return Err(node.fault(
            "the key `condition` is missing",
            "add `condition: selection` under `detection:`",
        ));
    };
    let mut ways = Vec::new();
    for item in written.items() {
        let text = item
            .text()
            .ok_or_else(|| item.fault("a condition is a text", "write `condition: selection`"))?;
        let way =
            condition::parse(&text, names).map_err(|(message, fix)| item.fault(message, fix))?;
        ways.push(way);
    }
    match (ways.len(), ways.pop()) {
        (_, None) => Err(written.fault("the condition is empty", "write `condition: selection`")),
        (1, Some(only)) => Ok(only),
        (_, Some(last)) => {
            ways.push(last);
            Ok(Condition::Any(ways))
        }
    }
}

struct Reader<'p> {
    placeholders: &'p Placeholders,
    tests: usize,
}

impl Reader<'_> {
    fn search(&mut self, node: &Node, depth: usize) -> Result<Search, Fault> {
        if depth > DEPTH_MAX {
            return Err(node.fault("this nests too deep", "use several search identifiers"));
        }
        match &node.value {
            Value::Map(entries) if entries.is_empty() => Err(empty(node)),
            Value::Map(entries) => {
                let parts: Result<Vec<Search>, Fault> = entries
                    .iter()
                    .map(|(key, value)| self.field(key, value))
                    .collect();
                Ok(all(parts?))
            }
            Value::List(items) if items.is_empty() => Err(empty(node)),
            Value::List(items) => {
                let parts: Result<Vec<Search>, Fault> = items
                    .iter()
                    .map(|item| self.search(item, depth + 1))
                    .collect();
                Ok(any(parts?))
            }
            Value::Null => Err(empty(node)),
            // A word alone is a keyword.
            _ => self.field("", node),
        }
    }

    fn field(&mut self, key: &str, value: &Node) -> Result<Search, Fault> {
        let parsed = Key::parse(key, value)?;
        let values: Vec<&Node> = match &value.value {
            Value::List(items) if items.is_empty() => return Err(empty(value)),
            Value::List(items) => items.iter().collect(),
            Value::Map(_) => {
                return Err(value.fault(
                    format!("`{}` has a map where values belong", clip(key)),
                    "write the nested field with dots: `outer.inner: value`",
                ));
            }
            _ => vec![value],
        };
        let mut parts = Vec::with_capacity(values.len());
        for value in values {
            if matches!(value.value, Value::List(_) | Value::Map(_)) {
                return Err(value.fault(
                    "a list of values holds only texts, numbers, true, false and null",
                    "write one flat list",
                ));
            }
            parts.push(self.value(&parsed, value)?);
        }
        let joined = if parsed.wants_all {
            all(parts)
        } else {
            any(parts)
        };
        Ok(if parsed.negated {
            Search::Not(Box::new(joined))
        } else {
            joined
        })
    }

    fn value(&mut self, key: &Key<'_>, value: &Node) -> Result<Search, Fault> {
        let checks = key.tests(value, self.placeholders)?;
        self.tests += checks.len();
        if self.tests > TESTS_MAX {
            return Err(value.fault(
                format!("the rule holds more than {TESTS_MAX} values"),
                "split the rule",
            ));
        }
        let tests = checks.into_iter().map(|check| {
            Search::Test(Test {
                field: key.field.map(str::to_owned),
                check,
            })
        });
        let search = any(tests.collect());
        Ok(if key.is_absence(value) {
            Search::Not(Box::new(search))
        } else {
            search
        })
    }
}

fn empty(node: &Node) -> Fault {
    node.fault(
        "there is nothing to look for here",
        "write at least one value, or `null` for a field without one",
    )
}

fn all(mut parts: Vec<Search>) -> Search {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            Search::All(parts)
        }
    }
}

fn any(mut parts: Vec<Search>) -> Search {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            parts.extend(last);
            Search::Any(parts)
        }
    }
}

fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{modifiers::Check, yaml::documents};

    fn read(text: &str) -> Result<Detection, Fault> {
        let node = documents(text).remove(0)?;
        Detection::read(&node, &[], &Placeholders::new())
    }

    #[test]
    fn maps_are_all_lists_are_any_and_all_turns_that_round() {
        let found = read(
            "a:\n  X: 1\n  Y|contains|all: [b, c]\nb:\n  - Z: null\n  - word\nk:\n  '|all': [d, e]\ncondition: 1 of them\n",
        )
        .unwrap();
        let Search::All(parts) = &found.searches[0] else {
            panic!("{found:?}");
        };
        assert!(matches!(&parts[1], Search::All(both) if both.len() == 2));
        let Search::Any(parts) = &found.searches[1] else {
            panic!("{found:?}");
        };
        assert!(matches!(&parts[0], Search::Test(t) if t.check == Check::Null));
        assert!(matches!(&parts[1], Search::Test(t) if t.field.is_none()));
        assert!(matches!(&found.searches[2], Search::All(both) if both.len() == 2));
    }

    #[test]
    fn opposites_wrap_the_whole_list() {
        let found = read("a:\n  X|neq: [1, 2]\n  Y|exists: false\ncondition: a\n").unwrap();
        let Search::All(parts) = &found.searches[0] else {
            panic!("{found:?}");
        };
        assert!(matches!(&parts[0], Search::Not(inner) if matches!(&**inner, Search::Any(_))));
        assert!(matches!(&parts[1], Search::Not(_)));
    }

    #[test]
    fn mistakes_have_their_line() {
        for (text, line) in [
            ("a:\n  X|foo: 1\ncondition: a\n", 2),
            ("a:\n  X:\n    Y: 1\ncondition: a\n", 3),
            ("a:\n  X: []\ncondition: a\n", 2),
            ("a:\n  X: 1\ncondition: b\n", 3),
            ("a:\n  X: 1\n", 1),
        ] {
            let fault = read(text).unwrap_err();
            assert_eq!(fault.line, line, "{text}: {fault:?}");
            assert!(!fault.fix.is_empty());
        }
    }
}
