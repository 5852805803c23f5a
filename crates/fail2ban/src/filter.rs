//! One filter of `filter.d`, with everything that its file leaves to others filled in.

use std::collections::BTreeMap;

use crate::{Config, Error, Files, Options, tags::Tags};

/// The most lines that a multi-line filter may keep.
const LINES_MAX: usize = 1_000;

/// A filter ready to be compiled. Its patterns are still in fail2ban's words, with `<HOST>` in
/// them; see [`crate::pattern`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub name: String,
    /// The path of its file.
    pub file: String,
    pub prefregex: Option<String>,
    pub failregex: Vec<String>,
    pub ignoreregex: Vec<String>,
    pub datepattern: Option<String>,
    /// Lines looked at together; 1 unless the filter says otherwise.
    pub maxlines: usize,
    pub journalmatch: Option<String>,
}

/// Reads `filter.d/<name>.conf` with `options` as a jail gives them, and `jail` as the jail's own
/// options, which stand above the filter's.
pub fn read_filter(
    files: &Files,
    name: &str,
    options: &Options,
    jail: &Options,
) -> Result<Filter, Error> {
    let config = Config::read(files, &format!("filter.d/{name}"))?;
    let mut given = jail.clone();
    given.extend(options.clone());
    let mut over = options.clone();
    let own: Vec<String> = config.keys("Init").map(str::to_owned).collect();
    for key in own {
        if let Some(value) = config.get("Init", &key, &Options::new())? {
            over.insert(format!("known/{key}"), value.clone());
            over.entry(key).or_insert(value);
        }
    }
    let mut tags = Tags {
        config: &config,
        section: "Definition",
        over: &over,
        given: &given,
        done: BTreeMap::new(),
        replacements: 0,
    };
    let mut value = |key: &str| tags.value(key);
    let maxlines = match value("maxlines")? {
        Some(text) if !text.trim().is_empty() => {
            let parsed: Result<usize, _> = text.trim().parse();
            let lines = parsed.map_err(|_| Error::Value {
                file: config.file.clone(),
                section: "Definition".to_owned(),
                key: "maxlines".to_owned(),
                value: text.clone(),
                reason: "expected a number of lines",
            })?;
            lines.clamp(1, LINES_MAX)
        }
        _ => 1,
    };
    Ok(Filter {
        name: name.to_owned(),
        prefregex: value("prefregex")?.filter(|text| !text.is_empty()),
        failregex: lines(value("failregex")?),
        ignoreregex: lines(value("ignoreregex")?),
        datepattern: value("datepattern")?.filter(|text| !text.is_empty()),
        maxlines,
        journalmatch: value("journalmatch")?.filter(|text| !text.is_empty()),
        file: config.file,
    })
}

/// One pattern a line; empty lines say nothing.
fn lines(value: Option<String>) -> Vec<String> {
    value
        .unwrap_or_default()
        .split('\n')
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, options: &[(&str, &str)]) -> Result<Filter, Error> {
        let mut files = Files::default();
        files.insert("filter.d/x.conf", text);
        let options = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        read_filter(&files, "x", &options, &Options::new())
    }

    const MODES: &str = "[DEFAULT]\n_d = \\S+\n[lt_a]\np = A<_d>\n[lt_b]\np = %(lt_a/p)sB\n\
        [Definition]\nmode = one\nre-one = ^<HOST> one\nre-two = ^two <F-USER>.</F-USER>\n  ^three\n\
        failregex = <re-<mode>>\n  <lt_<kind>/p>\n  <nothing>\nmaxlines = 2\n[Init]\nkind = a\n";

    #[test]
    fn options_pick_among_tags() {
        let filter = read(MODES, &[]).unwrap();
        assert_eq!(filter.failregex, ["^<HOST> one", "A\\S+", "<nothing>"]);
        assert_eq!(filter.maxlines, 2);
        let filter = read(MODES, &[("mode", "two"), ("kind", "b")]).unwrap();
        assert_eq!(
            filter.failregex,
            ["^two <F-USER>.</F-USER>", "^three", "A\\S+B", "<nothing>"]
        );
    }

    #[test]
    fn a_circle_of_tags_is_an_error() {
        let error = read("[Definition]\nfailregex = <a>\na = <b>\nb = <a>x\n", &[]).unwrap_err();
        assert!(matches!(error, Error::Cycle { .. }), "{error}");
    }

    #[test]
    fn maxlines_must_be_a_number() {
        let error = read("[Definition]\nmaxlines = many\n", &[]).unwrap_err();
        assert!(error.to_string().contains("maxlines = many"), "{error}");
    }
}
