//! What text must stand in every match of a regular expression.
//!
//! Used before the regular expression runs (most lines fail here, at memchr speed) and to build
//! the prefilter. Must never claim a literal that some match lacks; claiming none is always right.

use ::regex_syntax::hir::{Class, Hir, HirKind};

/// Alternatives kept for one place of an expression.
const ALTERNATIVES_MAX: usize = 64;
/// Characters of a class that are told apart (`[Ff]` is two).
const CLASS_MAX: usize = 4;
/// Bytes of one literal.
const LITERAL_MAX: usize = 64;

/// At least one of these texts stands in every match. Never empty, and no text in it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnyOf(pub Vec<Vec<u8>>);

impl AnyOf {
    fn new(mut texts: Vec<Vec<u8>>) -> Option<Self> {
        if texts.is_empty() || texts.iter().any(Vec::is_empty) {
            return None;
        }
        texts.sort_unstable();
        texts.dedup();
        (texts.len() <= ALTERNATIVES_MAX).then_some(Self(texts))
    }

    fn shortest(&self) -> usize {
        self.0.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// Longer and fewer is rarer in a line. Spaces alone say little.
    fn worth(&self) -> (usize, usize) {
        let useful = self
            .0
            .iter()
            .map(|t| t.iter().filter(|b| !b.is_ascii_whitespace()).count())
            .min()
            .unwrap_or(0);
        (
            useful.min(self.shortest()),
            ALTERNATIVES_MAX.saturating_sub(self.0.len()),
        )
    }
}

/// The most telling literals of `hir`.
pub fn required(hir: &Hir) -> Option<AnyOf> {
    let facts = examine(hir);
    let whole = facts.exact.and_then(AnyOf::new);
    best(facts.inner.into_iter().chain(whole)).filter(|any| any.worth().0 >= 2)
}

struct Facts {
    /// All texts the expression matches, if they are few.
    exact: Option<Vec<Vec<u8>>>,
    /// The best literals found inside.
    inner: Option<AnyOf>,
}

impl Facts {
    const NOTHING: Self = Self {
        exact: None,
        inner: None,
    };

    fn empty_text() -> Self {
        Self {
            exact: Some(vec![Vec::new()]),
            inner: None,
        }
    }
}

fn best(candidates: impl Iterator<Item = AnyOf>) -> Option<AnyOf> {
    candidates.max_by_key(AnyOf::worth)
}

// Recursion is bounded by the parser's nest limit.
fn examine(hir: &Hir) -> Facts {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Facts::empty_text(),
        HirKind::Literal(literal) => {
            let text = literal.0.to_vec();
            let short = text.len() <= LITERAL_MAX;
            Facts {
                inner: AnyOf::new(vec![text.clone()]),
                exact: short.then(|| vec![text]),
            }
        }
        HirKind::Class(class) => Facts {
            exact: members(class),
            inner: None,
        },
        HirKind::Capture(capture) => examine(&capture.sub),
        HirKind::Repetition(repetition) => {
            let sub = examine(&repetition.sub);
            match (repetition.min, repetition.max) {
                (1, Some(1)) => sub,
                (0, Some(1)) => {
                    let exact = sub.exact.map(|mut texts| {
                        texts.push(Vec::new());
                        texts
                    });
                    Facts { exact, inner: None }
                }
                (0, _) => Facts::NOTHING,
                _ => {
                    let whole = sub.exact.and_then(AnyOf::new);
                    Facts {
                        exact: None,
                        inner: best(sub.inner.into_iter().chain(whole)),
                    }
                }
            }
        }
        HirKind::Concat(parts) => concat(parts),
        HirKind::Alternation(parts) => alternation(parts),
    }
}

fn members(class: &Class) -> Option<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    match class {
        Class::Unicode(class) => {
            for range in class.ranges() {
                for c in range.start()..=range.end() {
                    if texts.len() >= CLASS_MAX {
                        return None;
                    }
                    texts.push(c.to_string().into_bytes());
                }
            }
        }
        Class::Bytes(class) => {
            for range in class.ranges() {
                for b in range.start()..=range.end() {
                    if texts.len() >= CLASS_MAX {
                        return None;
                    }
                    texts.push(vec![b]);
                }
            }
        }
    }
    (!texts.is_empty()).then_some(texts)
}

fn concat(parts: &[Hir]) -> Facts {
    let mut run = vec![Vec::new()];
    let mut whole = true;
    let mut found: Vec<AnyOf> = Vec::new();
    for part in parts {
        let facts = examine(part);
        found.extend(facts.inner);
        let joined = facts.exact.as_ref().and_then(|texts| join(&run, texts));
        if let Some(joined) = joined {
            run = joined;
            continue;
        }
        whole = false;
        found.extend(AnyOf::new(std::mem::take(&mut run)));
        run = facts.exact.unwrap_or_else(|| vec![Vec::new()]);
    }
    if whole {
        let inner = best(found.into_iter().chain(AnyOf::new(run.clone())));
        return Facts {
            exact: Some(run),
            inner,
        };
    }
    found.extend(AnyOf::new(run));
    Facts {
        exact: None,
        inner: best(found.into_iter()),
    }
}

fn join(left: &[Vec<u8>], right: &[Vec<u8>]) -> Option<Vec<Vec<u8>>> {
    if left.len().saturating_mul(right.len()) > ALTERNATIVES_MAX {
        return None;
    }
    let mut all = Vec::with_capacity(left.len() * right.len());
    for a in left {
        for b in right {
            if a.len() + b.len() > LITERAL_MAX {
                return None;
            }
            all.push([a.as_slice(), b.as_slice()].concat());
        }
    }
    Some(all)
}

fn alternation(parts: &[Hir]) -> Facts {
    let mut exact = Some(Vec::new());
    let mut inner = Some(Vec::new());
    for part in parts {
        let facts = examine(part);
        let whole = facts.exact.clone().and_then(AnyOf::new);
        match (&mut inner, best(facts.inner.into_iter().chain(whole))) {
            (Some(all), Some(any)) => all.extend(any.0),
            _ => inner = None,
        }
        match (&mut exact, facts.exact) {
            (Some(all), Some(texts)) if all.len() + texts.len() <= ALTERNATIVES_MAX => {
                all.extend(texts);
            }
            _ => exact = None,
        }
    }
    Facts {
        exact,
        inner: inner.and_then(AnyOf::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Vec<String> {
        let hir = ::regex_syntax::parse(pattern).unwrap();
        let texts = required(&hir).map(|any| any.0).unwrap_or_default();
        texts
            .into_iter()
            .map(|t| String::from_utf8(t).unwrap())
            .collect()
    }

    #[test]
    fn inner_literals_are_found() {
        assert_eq!(of(r"^Failed \w+ for .* from"), ["Failed "]);
        assert_eq!(
            of(r"\w+ by (?:invalid|illegal) user \d+"),
            [" by illegal user ", " by invalid user "]
        );
        assert_eq!(of(r"(?:foo\d+|bar\d+)x"), ["bar", "foo"]);
        assert_eq!(of(r"a(?:bc)?d\w"), ["abcd", "ad"]);
        assert_eq!(of(r"(?:hello )+\d"), ["hello "]);
    }

    #[test]
    fn nothing_is_claimed_that_a_match_may_lack() {
        for pattern in [
            r"(?:foo)?\d+",
            r"foo|\d+",
            r"(?:foo)*",
            r".*",
            r"[a-z]+ \d",
            r"(?i)[abcde]x",
        ] {
            assert!(of(pattern).is_empty(), "{pattern}: {:?}", of(pattern));
        }
    }

    #[test]
    fn letters_of_any_case_become_all_their_spellings() {
        let all = of(r"(?i)fail\d");
        assert_eq!(all.len(), 16);
        assert!(all.contains(&"fAiL".to_owned()));
        assert!(
            of(r"(?i)authentication failure")
                .iter()
                .all(|t| t.len() >= 4)
        );
    }
}
