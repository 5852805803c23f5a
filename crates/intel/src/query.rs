//! A query string (`a=1&b=2`) as pairs, percent signs resolved.

use percent_encoding::percent_decode_str;

/// Longer query strings are cut; more pairs are left out.
const BYTES_MAX: usize = 16 * 1024;
const PAIRS_MAX: usize = 64;

pub type Pairs = Vec<(String, String)>;

/// The pairs of a query string in their order; a name without `=` has an empty value.
pub fn pairs(query: &str) -> Pairs {
    let end = query.floor_char_boundary(BYTES_MAX);
    let query = query.get(..end).unwrap_or_default();
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .take(PAIRS_MAX)
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

fn decoded(text: &str) -> String {
    // `+` is a blank in what forms and bouncers send (WHATWG URL, urlencoded).
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let expected = |pairs: &[(&str, &str)]| -> Pairs {
            let owned = |&(a, b): &(&str, &str)| (a.to_owned(), b.to_owned());
            pairs.iter().map(owned).collect()
        };
        assert_eq!(
            pairs("ip=2001%3Adb8%3A%3A1&&startup&a+b=%zz%4"),
            expected(&[("ip", "2001:db8::1"), ("startup", ""), ("a b", "%zz%4")])
        );
        assert_eq!(pairs(""), expected(&[]));
    }

    #[test]
    fn long_queries_are_bounded() {
        assert_eq!(pairs(&"a=1&".repeat(100_000)).len(), PAIRS_MAX);
        assert!(pairs(&"é".repeat(BYTES_MAX))[0].0.len() <= BYTES_MAX);
    }
}
