//! What a firewall asks of a feed, in the parameters blocklist servers have.

use super::{Aggregation, Format, Row};

/// Bytes of a list's name.
const NAME_BYTES_MAX: usize = 32;
/// Words of one list parameter.
const WORDS_MAX: usize = 64;
/// Most neighbours a request may ask to be banned with the others, in percent.
const COLLATERAL_MAX: u8 = 50;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    #[default]
    Both,
    V4,
    V6,
}

/// A part of the list; the first page is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Page {
    pub number: usize,
    pub size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeedQuestion {
    pub format: Format,
    pub family: Family,
    /// Lower case; empty: all.
    pub origins: Vec<String>,
    /// Lower case; `ban` unless others are named.
    pub kinds: Vec<String>,
    /// What the firewall calls the list, where the format names it.
    pub name: String,
    pub page: Option<Page>,
    /// Lines at most; `None`: as many as there are.
    pub limit: Option<usize>,
    pub aggregation: Aggregation,
}

/// Why a request was not understood; answered with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    #[error("{name}={value:?} is not {what}")]
    Value {
        name: String,
        value: String,
        what: &'static str,
    },
    #[error("ipv4only and ipv6only leave nothing; name one of them")]
    NoFamily,
}

impl FeedQuestion {
    /// Unknown parameters are passed over: some devices append their own.
    pub fn read(format: Format, pairs: &[(String, String)]) -> Result<Self, FeedError> {
        let mut question = Self {
            format,
            family: Family::Both,
            origins: Vec::new(),
            kinds: vec!["ban".to_owned()],
            name: "posse".to_owned(),
            page: None,
            limit: format.lines_default(),
            aggregation: Aggregation::Exact,
        };
        let (mut number, mut size) = (None, None);
        for (name, value) in pairs {
            match name.as_str() {
                "ipv4only" => question.family = only(question.family, Family::V4)?,
                "ipv6only" => question.family = only(question.family, Family::V6)?,
                // Lists are sorted anyway: it costs nothing, and unsorted ones change for no
                // reason between two fetches.
                "nosort" => {}
                "origin" | "origins" => question.origins = words(value),
                "supported_decisions_types" if !value.is_empty() => question.kinds = words(value),
                "listname" => question.name = list_name(name, value)?,
                "page" => number = Some(count(name, value)?),
                "page_size" => size = Some(count(name, value)?),
                "limit" => question.limit = format.lines(count(name, value)?),
                "aggregate" => question.aggregation = aggregation(name, value)?,
                "collateral" => question.aggregation = collateral(name, value)?,
                _ => {}
            }
        }
        if number.is_some() || size.is_some() {
            question.page = Some(Page {
                number: number.unwrap_or(1),
                size: size.unwrap_or(10_000),
            });
        }
        Ok(question)
    }

    pub fn admits(&self, prefix: model::Prefix, kind: &str, origin: &str) -> bool {
        let family = match self.family {
            Family::Both => true,
            Family::V4 => prefix.is_ipv4(),
            Family::V6 => !prefix.is_ipv4(),
        };
        let has = |list: &[String], word: &str| list.iter().any(|w| w.eq_ignore_ascii_case(word));
        family && has(&self.kinds, kind) && (self.origins.is_empty() || has(&self.origins, origin))
    }
}

fn only(before: Family, family: Family) -> Result<Family, FeedError> {
    if before == Family::Both || before == family {
        Ok(family)
    } else {
        Err(FeedError::NoFamily)
    }
}

fn words(value: &str) -> Vec<String> {
    let words = value.split(',').map(|w| w.trim().to_lowercase());
    words.filter(|w| !w.is_empty()).take(WORDS_MAX).collect()
}

fn wrong(name: &str, value: &str, what: &'static str) -> FeedError {
    FeedError::Value {
        name: name.to_owned(),
        value: value.chars().take(80).collect(),
        what,
    }
}

/// It ends up in scripts that a router runs, so nothing but plain words may pass.
fn list_name(name: &str, value: &str) -> Result<String, FeedError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if value.is_empty() || value.len() > NAME_BYTES_MAX || !value.bytes().all(plain) {
        return Err(wrong(name, value, "1 to 32 letters, digits, `-`, `_`, `.`"));
    }
    Ok(value.to_owned())
}

fn count(name: &str, value: &str) -> Result<usize, FeedError> {
    match value.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(wrong(name, value, "a number above 0")),
    }
}

fn aggregation(name: &str, value: &str) -> Result<Aggregation, FeedError> {
    match value {
        "" | "exact" | "true" | "1" => Ok(Aggregation::Exact),
        "none" | "false" | "0" => Ok(Aggregation::None),
        _ => Err(wrong(name, value, "exact or none")),
    }
}

fn collateral(name: &str, value: &str) -> Result<Aggregation, FeedError> {
    match value.parse::<u8>() {
        Ok(0) => Ok(Aggregation::Exact),
        Ok(share) if share <= COLLATERAL_MAX => Ok(Aggregation::Share {
            percent: 100 - share,
        }),
        _ => Err(wrong(name, value, "a number of percent, 0 to 50")),
    }
}

/// The page asked for, or as many rows as the firewall holds. `rows` are sorted before and
/// after; what is left out for want of room is what ends first.
pub fn cut(mut rows: Vec<Row>, question: &FeedQuestion) -> Vec<Row> {
    if let Some(page) = question.page {
        let start = page
            .size
            .saturating_mul(page.number.saturating_sub(1))
            .min(rows.len());
        rows.drain(..start);
        rows.truncate(page.size);
    }
    let Some(limit) = question.limit.filter(|&limit| limit < rows.len()) else {
        return rows;
    };
    let last_first = |row: &Row| (std::cmp::Reverse(row.until), row.prefix);
    rows.select_nth_unstable_by_key(limit, last_first);
    rows.truncate(limit);
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs;

    fn ask(query: &str) -> Result<FeedQuestion, FeedError> {
        FeedQuestion::read(Format::Plain, &pairs(query))
    }

    #[test]
    fn parameters_are_those_of_blocklist_servers() {
        let question = ask(
            "ipv4only&nosort&origin=crowdsec,CSCLI&supported_decisions_types=ban,captcha\
             &listname=perimeter&page=2&page_size=500&vdom=root",
        )
        .unwrap();
        assert_eq!(question.family, Family::V4);
        assert_eq!(
            question.page,
            Some(Page {
                number: 2,
                size: 500
            })
        );
        let v4 = "192.0.2.1".parse().unwrap();
        assert!(question.admits(v4, "captcha", "cscli"));
        assert!(!question.admits(v4, "ban", "lists"));
        assert!(!question.admits("2001:db8::1".parse().unwrap(), "ban", "cscli"));
        assert!(!ask("").unwrap().admits(v4, "captcha", "cscli"));
    }

    #[test]
    fn bad_values_are_named() {
        for query in [
            "listname=a;/system/reset",
            "listname=",
            "page=0",
            "limit=x",
            "collateral=51",
            "aggregate=wide",
            "ipv4only&ipv6only",
        ] {
            assert!(ask(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_firewalls_limit_keeps_what_ends_last() {
        let rows: Vec<Row> = (0..10u8)
            .map(|n| Row {
                prefix: std::net::IpAddr::from([192, 0, 2, n]).into(),
                until: i64::from(n % 5),
            })
            .collect();
        let question = ask("limit=4").unwrap();
        let kept = cut(rows.clone(), &question);
        let shown: Vec<String> = kept.iter().map(|r| r.prefix.to_string()).collect();
        assert_eq!(shown, ["192.0.2.3", "192.0.2.4", "192.0.2.8", "192.0.2.9"]);
        let pages: Vec<Row> = (1..=4)
            .flat_map(|page| {
                cut(
                    rows.clone(),
                    &ask(&format!("page={page}&page_size=3")).unwrap(),
                )
            })
            .collect();
        assert_eq!(pages, rows);
    }
}
