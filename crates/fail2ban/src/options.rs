//! `name[key=value, key="value"]`: how a jail names its filter with options.

use std::collections::BTreeMap;

/// Options given to a filter, over what its file says.
pub type Options = BTreeMap<String, String>;

/// A name with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub name: String,
    pub options: Options,
}

/// Reads `sshd[mode=aggressive, logtype="short"]`. Quotes may be single or double; several
/// brackets may follow one another; what cannot be read is passed over.
pub fn parse_call(text: &str) -> Call {
    let text = text.trim();
    let Some((name, rest)) = text.split_once('[') else {
        return Call {
            name: text.to_owned(),
            options: Options::new(),
        };
    };
    let mut options = Options::new();
    let mut rest = rest;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '['));
        let Some((key, after)) = rest.split_once('=') else {
            break;
        };
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => {
                let inner = after.get(1..).unwrap_or_default();
                inner.split_once(quote).unwrap_or((inner, ""))
            }
            None => {
                let end = after.find([',', ']', '\n']).unwrap_or(after.len());
                after.split_at(end)
            }
        };
        let value = if quote.is_some() { value } else { value.trim() };
        options.insert(key.trim().to_owned(), value.to_owned());
        rest = after;
    }
    Call {
        name: name.trim().to_owned(),
        options,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_brackets() {
        let call = parse_call(" sshd[mode=aggressive, a=\"x, [y]\"][b='q' ,c= 1 ] ");
        assert_eq!(call.name, "sshd");
        let got: Vec<_> = call.options.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            got,
            [
                ("a", "x, [y]"),
                ("b", "q"),
                ("c", "1"),
                ("mode", "aggressive")
            ]
        );
        assert_eq!(parse_call("plain").options.len(), 0);
        assert_eq!(parse_call("x[broken").options.len(), 0);
        assert_eq!(parse_call("x[é=\"é").options.len(), 1);
    }
}
