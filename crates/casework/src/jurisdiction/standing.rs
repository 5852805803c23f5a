//! Whether a contact is good now: confirmed, by whom, and not too old.

use std::fmt;

use model::{AuthorityAct, Timestamp};
use serde::Serialize;

use super::{Confidence, Country, Field, Jurisdictions};

const DAY: u64 = 86_400;

/// A person's word on one field, from the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub at: Timestamp,
    pub country: Country,
    pub field: Field,
    pub value: String,
    pub by: String,
    pub source: String,
}

impl Confirmation {
    /// `None`: another act, or one about what this program does not know. Whether a person signed
    /// it is `persons`' to say, before.
    pub fn of(act: &AuthorityAct) -> Option<Self> {
        let AuthorityAct::ContactConfirmed {
            at,
            country,
            field,
            value,
            by,
            source,
            ..
        } = act
        else {
            return None;
        };
        Some(Self {
            at: *at,
            country: country.parse().ok()?,
            field: field.parse().ok()?,
            value: value.clone(),
            by: by.clone(),
            source: source.clone(),
        })
    }
}

/// A contact that may be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contact {
    pub value: String,
    pub source: String,
    /// The older of the two confirmations, or the table's day.
    pub as_of: Timestamp,
    pub basis: Basis,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "basis", content = "by", rename_all = "snake_case")]
pub enum Basis {
    /// The table says that it is confirmed.
    Table,
    /// Two people looked it up.
    People(String, String),
}

/// Why nothing may be sent to a contact, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Obstacle {
    pub country: Country,
    pub field: Field,
    pub why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    NoCountry,
    NoValue,
    Stale {
        days: u64,
        max: u64,
    },
    Unconfirmed {
        value: String,
        confidence: Confidence,
    },
    /// One person has confirmed it.
    Half {
        by: String,
        value: String,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { country, field, .. } = self;
        match &self.why {
            Why::NoCountry => write!(
                f,
                "{country} {field}: the table of jurisdictions has no entry for {country}; find \
                 the value"
            )?,
            Why::NoValue => write!(
                f,
                "{country} {field}: the table of jurisdictions has no value; find it"
            )?,
            Why::Stale { days, max } => write!(
                f,
                "{country} {field}: the contact is stale: last looked up {days} days ago, at most \
                 {max} are allowed; look it up again"
            )?,
            Why::Unconfirmed { value, confidence } => write!(
                f,
                "{country} {field}: {value:?} is unconfirmed (confidence in the table: {}); look it up",
                confidence.word()
            )?,
            Why::Half { by, value } => write!(
                f,
                "{country} {field}: {value:?} is confirmed by {by} alone; a second person must \
                 look it up too"
            )?,
        }
        let people = match self.why {
            Why::Half { .. } => "by another person than the first",
            _ => "by two different people",
        };
        write!(
            f,
            " and run `posse refer confirm {country} {field} --as KEYFILE --source WHERE`, {people}"
        )?;
        if matches!(self.why, Why::NoCountry | Why::NoValue) {
            f.write_str(", with --value VALUE")?;
        }
        Ok(())
    }
}

/// Whether two names are one person's, as far as names tell.
pub fn same_person(a: &str, b: &str) -> bool {
    let plain = |name: &str| {
        let words: Vec<_> = name.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ")
    };
    plain(a) == plain(b)
}

impl Jurisdictions {
    /// The contact, if it is good at `now`. What people say counts before what the table says;
    /// the value that was confirmed last counts alone.
    pub fn contact(
        &self,
        country: Country,
        field: Field,
        confirmations: &[Confirmation],
        now: Timestamp,
    ) -> Result<Contact, Obstacle> {
        let obstacle = |why| Obstacle {
            country,
            field,
            why,
        };
        let fresh = |at: Timestamp| at <= now && self.age_days(at, now) <= self.contact_days_max();
        let mut said: Vec<&Confirmation> = confirmations
            .iter()
            .filter(|c| c.country == country && c.field == field && fresh(c.at))
            .collect();
        said.sort_by_key(|c| c.at);
        if let Some(last) = said.last() {
            let second = said
                .iter()
                .rev()
                .find(|c| c.value == last.value && !same_person(&c.by, &last.by));
            return match second {
                Some(second) => Ok(Contact {
                    value: last.value.clone(),
                    source: last.source.clone(),
                    as_of: second.at,
                    basis: Basis::People(second.by.clone(), last.by.clone()),
                }),
                None => Err(obstacle(Why::Half {
                    by: last.by.clone(),
                    value: last.value.clone(),
                })),
            };
        }
        let entry = self
            .entry(country)
            .ok_or_else(|| obstacle(Why::NoCountry))?;
        let fact = entry.fact(field).ok_or_else(|| obstacle(Why::NoValue))?;
        let days = self.age_days(fact.as_of, now);
        if days > self.contact_days_max() {
            let max = self.contact_days_max();
            return Err(obstacle(Why::Stale { days, max }));
        }
        if fact.confidence != Confidence::Confirmed {
            let value = fact.value.clone();
            let confidence = fact.confidence;
            return Err(obstacle(Why::Unconfirmed { value, confidence }));
        }
        Ok(Contact {
            value: fact.value.clone(),
            source: self.source_in_words(&fact.source).to_owned(),
            as_of: fact.as_of,
            basis: Basis::Table,
        })
    }

    fn age_days(&self, at: Timestamp, now: Timestamp) -> u64 {
        now.since(at).as_secs() / DAY
    }

    /// Why nothing goes to this country, unless two people agreed for the case. `acts` are those
    /// that persons signed (`persons::Persons::weighed`).
    pub fn transfer_refused(
        &self,
        country: Country,
        case: &str,
        acts: &[AuthorityAct],
    ) -> Option<String> {
        let block = self.block.get(&country)?;
        let agreed: Vec<&str> = acts
            .iter()
            .filter_map(|act| match act {
                AuthorityAct::TransferAgreed {
                    case: of,
                    country: to,
                    by,
                    ..
                } if of == case && to == country.as_str() => Some(by.as_str()),
                _ => None,
            })
            .collect();
        let first = agreed.first().copied();
        let second = agreed
            .iter()
            .find(|by| first.is_some_and(|first| !same_person(first, by)));
        if second.is_some() {
            return None;
        }
        let so_far = first.map_or_else(String::new, |by| format!(" ({by} has agreed)"));
        Some(format!(
            "{} ({country}) is on the block list for transfers: {}. Two different people must \
             agree{so_far}: posse refer agree {case} --country {country} --as KEYFILE \
             --reason TEXT",
            block.name, block.reason
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TABLE: &str = "\
[meta]
format = 1
as_of = \"2026-11-01\"
max_age_days = { contact = 90, law = 400 }
[country.DE]
name = \"Germany\"
instruments = []
authority = { value = \"Office\", source = \"https://o.example/\", as_of = \"2026-11-01\", \
confidence = \"confirmed\" }
portal = { value = \"https://p.example/\", source = \"https://p.example/\", \
as_of = \"2026-11-01\", confidence = \"sourced\" }
[block.KP]
name = \"North Korea\"
reason = \"listed\"
source = \"https://s.example/\"
as_of = \"2026-11-01\"
";

    fn table() -> Jurisdictions {
        Jurisdictions::parse(TABLE.as_bytes()).unwrap()
    }

    fn at(days: u64) -> Timestamp {
        let begin: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        begin.plus(Duration::from_secs(days * DAY))
    }

    fn word(by: &str, days: u64, value: &str) -> Confirmation {
        Confirmation {
            at: at(days),
            country: "DE".parse().unwrap(),
            field: Field::Portal,
            value: value.to_owned(),
            by: by.to_owned(),
            source: "its web page".to_owned(),
        }
    }

    fn ask(field: Field, words: &[Confirmation], days: u64) -> Result<Contact, Why> {
        let found = table().contact("de".parse().unwrap(), field, words, at(days));
        found.map_err(|o| o.why)
    }

    #[test]
    fn a_confirmed_contact_is_good_until_it_is_too_old() {
        assert_eq!(ask(Field::Authority, &[], 90).unwrap().value, "Office");
        let stale = ask(Field::Authority, &[], 91);
        assert_eq!(stale, Err(Why::Stale { days: 91, max: 90 }));
        assert!(matches!(
            ask(Field::Portal, &[], 1),
            Err(Why::Unconfirmed { .. })
        ));
        assert_eq!(ask(Field::Email, &[], 1), Err(Why::NoValue));
    }

    #[test]
    fn two_different_people_make_it_good_and_one_twice_does_not() {
        let url = "https://p.example/";
        let one = [word("Officer A", 1, url), word(" officer a ", 2, url)];
        assert!(matches!(ask(Field::Portal, &one, 3), Err(Why::Half { .. })));
        let two = [word("Officer A", 1, url), word("Officer B", 5, url)];
        let good = ask(Field::Portal, &two, 6).unwrap();
        assert_eq!(good.as_of, at(1));
        assert_eq!(
            good.basis,
            Basis::People("Officer A".into(), "Officer B".into())
        );
        // The first word is too old, the second one stands alone.
        assert!(matches!(
            ask(Field::Portal, &two, 92),
            Err(Why::Half { .. })
        ));
        // Whoever finds another value makes the old one doubtful.
        let changed = [
            two[0].clone(),
            two[1].clone(),
            word("Officer A", 7, "https://q.example/"),
        ];
        assert!(matches!(
            ask(Field::Portal, &changed, 8),
            Err(Why::Half { value, .. }) if value == "https://q.example/"
        ));
        // A word from the future counts for nothing.
        assert!(matches!(
            ask(
                Field::Portal,
                &[word("Officer A", 9, url), word("Officer B", 9, url)],
                8
            ),
            Err(Why::Unconfirmed { .. })
        ));
    }

    #[test]
    fn an_obstacle_says_what_to_do() {
        let country = "DE".parse().unwrap();
        let error = table()
            .contact(country, Field::Authority, &[], at(120))
            .unwrap_err()
            .to_string();
        for part in [
            "DE authority",
            "120 days",
            "at most 90",
            "posse refer confirm DE authority",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn blocked_countries_need_two_people_for_the_case() {
        let agree = |by: &str, case: &str| AuthorityAct::TransferAgreed {
            at: at(0),
            case: case.to_owned(),
            country: "KP".to_owned(),
            by: by.to_owned(),
            reason: "r".to_owned(),
            signed: None,
        };
        let kp = "KP".parse().unwrap();
        let refused = |acts: &[AuthorityAct]| table().transfer_refused(kp, "CASE-1", acts);
        assert!(refused(&[]).is_some());
        assert!(refused(&[agree("Officer A", "CASE-1"), agree("OFFICER A", "CASE-1")]).is_some());
        assert!(refused(&[agree("Officer A", "CASE-1"), agree("Officer B", "CASE-2")]).is_some());
        assert!(refused(&[agree("Officer A", "CASE-1"), agree("Officer B", "CASE-1")]).is_none());
        assert!(
            table()
                .transfer_refused("DE".parse().unwrap(), "CASE-1", &[])
                .is_none()
        );
    }
}
