//! "Did you mean": the known name nearest to a mistyped one.

/// The nearest of `known`, if one is near enough to be what was meant.
pub(super) fn closest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    const LENGTH_MAX: usize = 64;
    if name.len() > LENGTH_MAX {
        return None;
    }
    let limit = 1 + name.len() / 4;
    known
        .map(|k| {
            let same = k.eq_ignore_ascii_case(name);
            (if same { 0 } else { distance(name, k) }, k)
        })
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Edits from `a` to `b`: insertions, deletions, replacements.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let above: Vec<usize> = row.iter().skip(1).copied().collect();
        let mut next = vec![left];
        for (cb, above) in b.iter().zip(above) {
            let cost = usize::from(ca != *cb);
            left = (diagonal + cost).min(above + 1).min(left + 1);
            diagonal = above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let known = ["Parsed", "Meta", "Line"];
        assert_eq!(closest("Prased", known.iter().copied()), Some("Parsed"));
        assert_eq!(closest("meta", known.iter().copied()), Some("Meta"));
        assert_eq!(closest("Whitelisted", known.iter().copied()), None);
        assert_eq!(
            (
                distance("", "abc"),
                distance("abc", "abc"),
                distance("kitten", "sitting")
            ),
            (3, 0, 3)
        );
    }
}
