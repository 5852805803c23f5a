//! The table itself: read, checked, looked up in.

use std::{collections::BTreeMap, time::Duration};

use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{Country, Field};

/// Bytes of a table that are read.
pub const TABLE_BYTES_MAX: usize = 4 << 20;
/// Countries, and instruments, of one table.
const ENTRIES_MAX: usize = 400;
const TEXT_CHARS_MAX: usize = 1_000;
const FORMAT: u32 = 1;

/// Why a table cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("the table of jurisdictions is no UTF-8 text of at most {TABLE_BYTES_MAX} bytes")]
    Bytes,
    #[error("the table of jurisdictions cannot be read: {0}")]
    Toml(String),
    #[error("the table of jurisdictions has format {0}; this program reads {FORMAT}")]
    Format(u32),
    #[error("the table of jurisdictions, {place}: {why}")]
    Content { place: String, why: String },
}

/// How far a value can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Nobody has looked.
    Memory,
    /// It follows from other values.
    Derived,
    /// An unverified list says so.
    ThirdParty,
    /// A kept copy of the source says so.
    Sourced,
    /// Two people looked at the source.
    Confirmed,
}

impl Confidence {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Derived => "derived",
            Self::ThirdParty => "third party",
            Self::Sourced => "sourced",
            Self::Confirmed => "confirmed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jurisdictions {
    meta: Meta,
    /// What the sources are, by the names that values give them.
    #[serde(default)]
    source: BTreeMap<String, String>,
    #[serde(default)]
    pub instrument: BTreeMap<String, Instrument>,
    #[serde(default)]
    pub country: BTreeMap<Country, CountryEntry>,
    #[serde(default)]
    pub block: BTreeMap<Country, Block>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    format: u32,
    #[serde(deserialize_with = "day")]
    as_of: Timestamp,
    max_age_days: MaxAge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxAge {
    contact: u32,
    law: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instrument {
    pub title: String,
    pub cite: String,
    pub source: String,
    #[serde(deserialize_with = "day")]
    pub as_of: Timestamp,
    pub confidence: Confidence,
    pub who_may: String,
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    pub clock: Vec<Clock>,
}

/// A deadline of an instrument.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    pub name: String,
    /// What it runs from, in words.
    pub from: String,
    #[serde(default)]
    days: u32,
    #[serde(default)]
    hours: u32,
    #[serde(default)]
    alarm_hours: u32,
    /// What happens when it lapses.
    pub lapse: String,
}

impl Clock {
    pub const fn span(&self) -> Duration {
        Duration::from_secs(self.days as u64 * 86_400 + self.hours as u64 * 3_600)
    }

    /// When somebody must be woken, after the same moment.
    pub fn alarm(&self) -> Option<Duration> {
        (self.alarm_hours > 0).then(|| Duration::from_secs(u64::from(self.alarm_hours) * 3_600))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountryEntry {
    pub name: String,
    pub instruments: Vec<String>,
    /// Where in the country it goes on to.
    #[serde(default)]
    pub routing: String,
    #[serde(default)]
    pub note: String,
    pub budapest: Option<Fact>,
    pub second_protocol: Option<Fact>,
    pub un_convention: Option<Fact>,
    pub cloud_act: Option<Fact>,
    authority: Option<Fact>,
    portal: Option<Fact>,
    email: Option<Fact>,
    telephone: Option<Fact>,
    point_24_7: Option<Fact>,
    europol_unit: Option<Fact>,
    csirt: Option<Fact>,
}

/// A value with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    pub value: String,
    pub source: String,
    #[serde(deserialize_with = "day")]
    pub as_of: Timestamp,
    pub confidence: Confidence,
}

/// A country to which nothing goes on the word of one person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    pub name: String,
    pub reason: String,
    pub source: String,
    #[serde(deserialize_with = "day")]
    pub as_of: Timestamp,
}

fn day<'de, D: Deserializer<'de>>(d: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(d)?;
    format!("{text}T00:00:00Z")
        .parse()
        .map_err(|_| D::Error::custom(format!("{text:?} is no day such as 2026-11-22")))
}

impl CountryEntry {
    pub const fn fact(&self, field: Field) -> Option<&Fact> {
        match field {
            Field::Authority => self.authority.as_ref(),
            Field::Portal => self.portal.as_ref(),
            Field::Email => self.email.as_ref(),
            Field::Telephone => self.telephone.as_ref(),
            Field::PointOfContact => self.point_24_7.as_ref(),
            Field::EuropolUnit => self.europol_unit.as_ref(),
            Field::Csirt => self.csirt.as_ref(),
        }
    }

    fn facts(&self) -> impl Iterator<Item = &Fact> {
        let treaties = [
            &self.budapest,
            &self.second_protocol,
            &self.un_convention,
            &self.cloud_act,
        ];
        let contacts = Field::ALL.into_iter().filter_map(|f| self.fact(f));
        contacts.chain(treaties.into_iter().flatten())
    }
}

impl Jurisdictions {
    /// The project's own table.
    pub fn built_in() -> Result<Self, TableError> {
        Self::parse(include_bytes!("../../data/jurisdictions.toml"))
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        if bytes.len() > TABLE_BYTES_MAX {
            return Err(TableError::Bytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TableError::Bytes)?;
        let table: Self =
            toml::from_str(text).map_err(|e| TableError::Toml(e.to_string().trim().to_owned()))?;
        if table.meta.format != FORMAT {
            return Err(TableError::Format(table.meta.format));
        }
        table.check()?;
        Ok(table)
    }

    pub fn entry(&self, country: Country) -> Option<&CountryEntry> {
        self.country.get(&country)
    }

    pub fn has_instrument(&self, country: Country, instrument: &str) -> bool {
        self.entry(country)
            .is_some_and(|entry| entry.instruments.iter().any(|name| name == instrument))
    }

    pub fn clock(&self, instrument: &str, clock: &str) -> Option<&Clock> {
        let instrument = self.instrument.get(instrument)?;
        instrument.clock.iter().find(|c| c.name == clock)
    }

    pub(super) const fn contact_days_max(&self) -> u64 {
        self.meta.max_age_days.contact as u64
    }

    /// Instruments whose text should be looked at again.
    pub fn old_law(&self, now: Timestamp) -> Vec<&str> {
        let max = Duration::from_secs(u64::from(self.meta.max_age_days.law) * 86_400);
        self.instrument
            .iter()
            .filter(|(_, law)| now.since(law.as_of) > max)
            .map(|(name, _)| name.as_str())
            .collect()
    }

    fn check(&self) -> Result<(), TableError> {
        if self.country.len().max(self.instrument.len()) > ENTRIES_MAX {
            let why = format!("more than {ENTRIES_MAX} entries");
            return Err(content("whole", why));
        }
        for (name, law) in &self.instrument {
            let place = format!("instrument.{name}");
            texts(&place, &[&law.title, &law.cite, &law.who_may, &law.source])?;
            self.known(&place, &law.source)?;
            self.not_later(&place, law.as_of)?;
            for clock in &law.clock {
                texts(&place, &[&clock.name, &clock.from, &clock.lapse])?;
                if clock.span().is_zero() || clock.alarm().is_some_and(|a| a >= clock.span()) {
                    let why = format!("clock {} has no time, or alarms too late", clock.name);
                    return Err(content(&place, why));
                }
            }
        }
        for (code, entry) in &self.country {
            let place = format!("country.{code}");
            texts(&place, &[&entry.name])?;
            if let Some(name) = entry
                .instruments
                .iter()
                .find(|name| !self.instrument.contains_key(*name))
            {
                return Err(content(&place, format!("there is no instrument {name:?}")));
            }
            for fact in entry.facts() {
                texts(&place, &[&fact.value, &fact.source])?;
                self.known(&place, &fact.source)?;
                self.not_later(&place, fact.as_of)?;
            }
        }
        for (code, block) in &self.block {
            let place = format!("block.{code}");
            texts(&place, &[&block.name, &block.reason, &block.source])?;
            self.known(&place, &block.source)?;
            self.not_later(&place, block.as_of)?;
        }
        Ok(())
    }

    /// What a source's name stands for; an address stands for itself.
    pub fn source_in_words<'a>(&'a self, name: &'a str) -> &'a str {
        self.source.get(name).map_or(name, String::as_str)
    }

    fn known(&self, place: &str, source: &str) -> Result<(), TableError> {
        if self.source.contains_key(source) || source.starts_with("https://") {
            return Ok(());
        }
        let why = format!("{source:?} is no source of the table and no https address");
        Err(content(place, why))
    }

    fn not_later(&self, place: &str, as_of: Timestamp) -> Result<(), TableError> {
        if as_of > self.meta.as_of {
            return Err(content(
                place,
                "as_of lies after the table's own".to_owned(),
            ));
        }
        Ok(())
    }
}

fn texts(place: &str, texts: &[&str]) -> Result<(), TableError> {
    for text in texts {
        let is_plain = !text.trim().is_empty() && !text.chars().any(char::is_control);
        if !is_plain || text.chars().count() > TEXT_CHARS_MAX {
            let why = format!("a text is empty, too long or holds control characters: {text:?}");
            return Err(content(place, why.chars().take(300).collect()));
        }
    }
    Ok(())
}

fn content(place: &str, why: String) -> TableError {
    TableError::Content {
        place: place.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_projects_table_is_whole() {
        let table = Jurisdictions::built_in().unwrap();
        assert!(table.country.len() >= 70);
        for (code, entry) in &table.country {
            assert!(entry.budapest.is_some(), "{code}");
            for field in Field::ALL {
                let Some(fact) = entry.fact(field) else {
                    continue;
                };
                // Nobody stands for a contact in a table that comes with a program.
                assert_ne!(fact.confidence, Confidence::Confirmed, "{code} {field}");
                let looked = fact.confidence != Confidence::Memory;
                assert_eq!(looked, fact.source != "memory", "{code} {field}");
            }
            let party = entry
                .budapest
                .as_ref()
                .unwrap()
                .value
                .starts_with("party since");
            assert_eq!(party, table.has_instrument(*code, "budapest"), "{code}");
        }
        let bound = table
            .country
            .keys()
            .filter(|c| table.has_instrument(**c, "e_evidence"));
        assert_eq!(bound.count(), 26);
        for code in ["RU", "CN"] {
            assert!(table.block.contains_key(&code.parse().unwrap()), "{code}");
        }
    }

    #[test]
    fn clocks_are_those_of_the_law() {
        let table = Jurisdictions::built_in().unwrap();
        let hours =
            |law: &str, clock: &str| table.clock(law, clock).unwrap().span().as_secs() / 3_600;
        assert_eq!(hours("e_evidence", "answer"), 240);
        assert_eq!(hours("e_evidence", "emergency_answer"), 8);
        let alarm = table
            .clock("e_evidence", "emergency_answer")
            .unwrap()
            .alarm();
        assert_eq!(alarm.unwrap().as_secs(), 6 * 3_600);
        assert_eq!(hours("e_evidence", "preservation"), 60 * 24);
        assert_eq!(hours("budapest", "domestic_preservation"), 90 * 24);
        assert_eq!(hours("sca_2703f", "preservation"), 90 * 24);
        // Denmark takes no part in the Regulation (its recitals; Protocol 22).
        assert!(!table.has_instrument("DK".parse().unwrap(), "e_evidence"));
        assert!(table.has_instrument("IE".parse().unwrap(), "e_evidence"));
    }

    #[test]
    fn broken_tables_are_refused_with_the_place() {
        let good = std::str::from_utf8(include_bytes!("../../data/jurisdictions.toml")).unwrap();
        for (from, to) in [
            ("format = 1", "format = 2"),
            ("[country.DE]", "[country.DEU]"),
            ("hours = 8", "hours = 5"),
            ("\"e_evidence\", ", "\"e_evident\", "),
            ("confidence = \"memory\"", "confidence = \"surely\""),
            ("source = \"usc\"", "source = \"usd\""),
            ("as_of = \"2026-11-21\"", "as_of = \"2026-13-21\""),
            ("name = \"Germany\"", "name = \" \""),
            (
                "name = \"Germany\"",
                "name = \"Germany\"\ncapital = \"Berlin\"",
            ),
        ] {
            assert!(good.contains(from), "{from}");
            let bad = good.replacen(from, to, 1);
            assert!(Jurisdictions::parse(bad.as_bytes()).is_err(), "{to}");
        }
        assert_eq!(Jurisdictions::parse(b"\xff"), Err(TableError::Bytes));
        assert!(Jurisdictions::parse(b"").is_err());
    }
}
