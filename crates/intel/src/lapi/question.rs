//! What is asked of `/v1/decisions` (live bouncers, cscli) and `/v1/alerts` (cscli).

use model::Prefix;

use super::stream::Admits;
use crate::GoDuration;

/// Alerts in an answer when the question names no number; `limit=0` asks for all.
const ALERTS_DEFAULT: usize = 100;

/// Why a question could not be understood; answered with 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    #[error("{name}={value:?} is not an address or network; write 192.0.2.1 or 192.0.2.0/24")]
    Prefix { name: String, value: String },
    #[error("{name}={value:?} is not {what}")]
    Value {
        name: String,
        value: String,
        what: &'static str,
    },
    #[error("filter parameter '{name}' is unknown (={value})")]
    Unknown { name: String, value: String },
}

/// How a network that is asked for relates to those of decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Relation {
    /// Decisions whose network contains it (`contains=true`, the default).
    #[default]
    Containing,
    /// Decisions within it.
    Within,
}

/// Filters over decisions; all that are given must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionQuestion {
    pub admits: Admits,
    /// From `ip=` or `range=`.
    pub network: Option<Prefix>,
    pub relation: Relation,
    pub value: Option<String>,
    pub kind: Option<String>,
    pub scenario: Option<String>,
    pub origin: Option<String>,
}

impl DecisionQuestion {
    /// For reading: unknown parameters are passed over.
    pub fn read(pairs: &[(String, String)]) -> Result<Self, QuestionError> {
        Self::with(pairs, |_, _| Ok(()))
    }

    /// For deleting: an unknown parameter is an error, because to pass it over would delete
    /// more than was asked.
    pub fn read_strictly(pairs: &[(String, String)]) -> Result<Self, QuestionError> {
        Self::with(pairs, |name, value| {
            Err(QuestionError::Unknown {
                name: name.to_owned(),
                value: value.to_owned(),
            })
        })
    }

    fn with(
        pairs: &[(String, String)],
        unknown: impl Fn(&str, &str) -> Result<(), QuestionError>,
    ) -> Result<Self, QuestionError> {
        let mut question = Self {
            admits: Admits::read(&with_scope(pairs), &[]),
            network: None,
            relation: Relation::default(),
            value: None,
            kind: None,
            scenario: None,
            origin: None,
        };
        for (name, value) in pairs {
            let text = || Some(value.clone()).filter(|v| !v.is_empty());
            match name.as_str() {
                "ip" | "range" => question.network = prefix(name, value)?,
                "contains" => question.relation = relation(name, value)?,
                "value" => question.value = text(),
                "type" => question.kind = text(),
                "scenario" => question.scenario = text(),
                "origin" => question.origin = text(),
                "scope"
                | "scopes"
                | "origins"
                | "scenarios_containing"
                | "scenarios_not_containing"
                | "simulated"
                | "limit" => {}
                _ => unknown(name, value)?,
            }
        }
        Ok(question)
    }

    /// Whether nothing was named that would narrow it.
    pub fn is_all(&self) -> bool {
        self.network.is_none()
            && self.value.is_none()
            && self.kind.is_none()
            && self.scenario.is_none()
            && self.origin.is_none()
            && self.admits == Admits::read(&[], &[])
    }

    /// Whether a decision fits, except its network.
    pub fn fits(&self, scope: &str, value: &str, kind: &str, origin: &str, scenario: &str) -> bool {
        let same = |asked: &Option<String>, is: &str| {
            asked.as_ref().is_none_or(|a| a.eq_ignore_ascii_case(is))
        };
        self.admits.admits(scope, origin, scenario)
            && same(&self.value, value)
            && same(&self.kind, kind)
            && same(&self.origin, origin)
            && same(&self.scenario, scenario)
    }

    /// Whether a decision's network fits.
    pub fn fits_network(&self, network: Prefix) -> bool {
        self.network.is_none_or(|asked| match self.relation {
            Relation::Containing => network.covers(asked),
            Relation::Within => asked.covers(network),
        })
    }
}

/// `scope=` means what `scopes=` with one word means.
fn with_scope(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let plural = |name: &str| if name == "scope" { "scopes" } else { name }.to_owned();
    pairs
        .iter()
        .map(|(name, value)| (plural(name), value.clone()))
        .collect()
}

fn prefix(name: &str, value: &str) -> Result<Option<Prefix>, QuestionError> {
    if value.is_empty() {
        return Ok(None);
    }
    value.parse().map(Some).map_err(|_| QuestionError::Prefix {
        name: name.to_owned(),
        value: value.chars().take(80).collect(),
    })
}

fn relation(name: &str, value: &str) -> Result<Relation, QuestionError> {
    Ok(if boolean(name, value)? {
        Relation::Containing
    } else {
        Relation::Within
    })
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(name: &str, value: &str) -> Result<bool, QuestionError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(wrong(name, value, "true or false")),
    }
}

fn wrong(name: &str, value: &str, what: &'static str) -> QuestionError {
    QuestionError::Value {
        name: name.to_owned(),
        value: value.chars().take(80).collect(),
        what,
    }
}

/// Filters over alerts. Unknown parameters are refused, as upstream does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertQuestion {
    pub scope: Option<String>,
    pub value: Option<String>,
    pub scenario: Option<String>,
    pub network: Option<Prefix>,
    pub relation: Relation,
    /// Only alerts younger, older than this.
    pub since_seconds: Option<u64>,
    pub until_seconds: Option<u64>,
    pub has_active_decision: Option<bool>,
    pub decision_type: Option<String>,
    pub origin: Option<String>,
    /// `None`: all.
    pub limit: Option<usize>,
}

impl AlertQuestion {
    pub fn read(pairs: &[(String, String)]) -> Result<Self, QuestionError> {
        let mut question = Self {
            limit: Some(ALERTS_DEFAULT),
            ..Self::default()
        };
        for (name, value) in pairs {
            let text = || Some(value.clone()).filter(|v| !v.is_empty());
            match name.as_str() {
                "scope" => question.scope = text(),
                "value" => question.value = text(),
                "scenario" => question.scenario = text(),
                "ip" | "range" => question.network = prefix(name, value)?,
                "contains" => question.relation = relation(name, value)?,
                "since" | "created_after" => question.since_seconds = age(name, value)?,
                "until" | "created_before" => question.until_seconds = age(name, value)?,
                "has_active_decision" => {
                    question.has_active_decision = Some(boolean(name, value)?);
                }
                "decision_type" => question.decision_type = text(),
                "origin" => question.origin = text(),
                "limit" => question.limit = limit(name, value)?,
                // Nothing here is simulated, and nothing comes from CrowdSec's central API.
                "simulated" | "include_capi" | "sort" | "with_decisions" => {}
                _ => {
                    return Err(QuestionError::Unknown {
                        name: name.clone(),
                        value: value.chars().take(80).collect(),
                    });
                }
            }
        }
        Ok(question)
    }
}

fn age(name: &str, value: &str) -> Result<Option<u64>, QuestionError> {
    if value.is_empty() {
        return Ok(None);
    }
    let duration: GoDuration = value
        .parse()
        .map_err(|_| wrong(name, value, "a duration such as 4h"))?;
    Ok(Some(duration.seconds().unsigned_abs()))
}

fn limit(name: &str, value: &str) -> Result<Option<usize>, QuestionError> {
    match value.parse() {
        Ok(0) => Ok(None),
        Ok(limit) => Ok(Some(limit)),
        Err(_) => Err(wrong(name, value, "a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs;

    fn p(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn a_live_bouncer_finds_the_range_that_holds_an_address() {
        let question = DecisionQuestion::read(&pairs("ip=198.51.100.7&new=1")).unwrap();
        assert!(question.fits_network(p("198.51.100.0/24")));
        assert!(!question.fits_network(p("198.51.101.0/24")));
        assert!(question.fits("Range", "198.51.100.0/24", "ban", "cscli", "manual"));
        let within = DecisionQuestion::read(&pairs("range=198.51.100.0/24&contains=false"));
        let within = within.unwrap();
        assert!(within.fits_network(p("198.51.100.9")));
        assert!(!within.fits_network(p("198.51.0.0/16")));
    }

    #[test]
    fn deleting_is_strict() {
        assert!(DecisionQuestion::read_strictly(&pairs("ip=192.0.2.1&what=1")).is_err());
        let all = DecisionQuestion::read_strictly(&pairs("limit=0")).unwrap();
        assert!(all.is_all());
        let one = DecisionQuestion::read_strictly(&pairs("scope=Ip&value=192.0.2.1")).unwrap();
        assert!(!one.is_all());
        assert!(one.fits("Ip", "192.0.2.1", "ban", "cscli", "x"));
        assert!(!one.fits("Range", "192.0.2.1", "ban", "cscli", "x"));
    }

    #[test]
    fn bad_values_are_named() {
        for query in [
            "ip=300.1.1.1",
            "range=x",
            "contains=maybe",
            "ip=192.0.2.1/99",
        ] {
            assert!(DecisionQuestion::read(&pairs(query)).is_err(), "{query}");
        }
        for query in ["limit=x", "since=x", "has_active_decision=x", "nosuch=1"] {
            assert!(AlertQuestion::read(&pairs(query)).is_err(), "{query}");
        }
    }

    #[test]
    fn csclis_alert_filters_are_read() {
        let question = AlertQuestion::read(&pairs(
            "scope=ip&value=192.0.2.1&since=-4h&until=1h&limit=0&has_active_decision=true\
             &simulated=false&include_capi=false&contains=true&decision_type=ban&origin=cscli",
        ))
        .unwrap();
        assert_eq!(question.since_seconds, Some(14_400));
        assert_eq!(question.until_seconds, Some(3_600));
        assert_eq!(question.limit, None);
        assert_eq!(question.has_active_decision, Some(true));
        assert_eq!(AlertQuestion::read(&[]).unwrap().limit, Some(100));
    }
}
