//! Names of files in a pack: plain ones, so that they mean the same on every system.

use super::PackError;

const NAME_BYTES_MAX: usize = 100;
const PATH_BYTES_MAX: usize = 400;

/// Letters, digits, `-`, `_`, `.`; not beginning with a dot.
pub(super) fn plain(what: &'static str, name: &str) -> Result<String, PackError> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.starts_with('.')
        || !name.bytes().all(fine)
    {
        return Err(PackError::Name {
            what,
            name: name.chars().take(NAME_BYTES_MAX).collect(),
        });
    }
    Ok(name.to_owned())
}

/// The place of a rule file. Its folders stay, because they say what kind of rule it is; what is
/// not plain in a name becomes `_`.
pub(super) fn rule(path: &str) -> Result<String, PackError> {
    let mut out = String::from("data/rules");
    for part in path.split(['/', '\\']) {
        if part.is_empty() || part == "." || part == ".." {
            continue;
        }
        out.push('/');
        // The hidden files of a folder are not rules, and some readers hide them.
        for (at, c) in part.chars().enumerate() {
            let fine = c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || (c == '.' && at > 0);
            out.push(if fine { c } else { '_' });
        }
    }
    if out == "data/rules" || out.len() > PATH_BYTES_MAX {
        return Err(PackError::Name {
            what: "the rule file",
            name: path.chars().take(PATH_BYTES_MAX).collect(),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_pack() {
        assert_eq!(
            rule("/etc/posse/rules/a.yaml").unwrap(),
            "data/rules/etc/posse/rules/a.yaml"
        );
        assert_eq!(rule("../../x y/.z").unwrap(), "data/rules/x_y/_z");
        assert!(rule("..").is_err() && rule("").is_err());
        assert!(plain("the exhibit", "EX-2026-000001").is_ok());
        for bad in ["", ".", "..", "a/b", "a\nb", "\u{e4}"] {
            assert!(plain("the exhibit", bad).is_err(), "{bad:?}");
        }
    }
}
