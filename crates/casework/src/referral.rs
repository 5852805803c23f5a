//! One case, one referral for each country it touches, each cut to that country's share.
//!
//! Stands behind the dossier and in front of the door: what leaves for an authority or a provider
//! is made here, as named files, and nowhere else. Every text that goes in passes the cut
//! ([`cut`]), and every file is searched once more before it is handed out. Must not: send, decide
//! that a contact is good (the table of jurisdictions does), or put anything into a letter that
//! the recipient's share does not hold.

mod abuse;
mod accounts;
mod cut;
mod exhibits;
#[doc(hidden)]
pub mod fuzzing;
mod ic3;
mod letter;
mod lines;
mod preservation;
mod share;
mod sighting;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    str::FromStr,
};

use model::{AuthorityAct, ContentHash, PartyRole, Timestamp, Tlp};
use serde::Serialize;

use crate::{
    Dossier, bag,
    jurisdiction::{Confirmation, Contact, Country, Field, Jurisdictions, Obstacle},
};
use cut::Cut;
use letter::{Letter, Recipient};
use share::Share;

pub use exhibits::{Attach, Attached, SHARE_METHOD};
pub use lines::{LineCut, Part};
pub use preservation::Draft;

/// Sources of one referral, and contacts of one source, that are listed; the rest is counted.
const SOURCES_MAX: usize = 2_000;
const SIGHTINGS_MAX: usize = 200;

/// What a referral looks like, and to whom it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// A report to the police of the country.
    Police,
    /// The fields of the FBI's Internet Crime Complaint Center, plain text.
    Ic3,
    /// Information for Europol, by way of the national unit of the reporter's country.
    Europol,
    /// Drafts by which an authority can have data preserved.
    Preservation,
    /// To the provider of a source: plain text, and XARF.
    Abuse,
}

impl Profile {
    pub const ALL: [Self; 5] = [
        Self::Police,
        Self::Ic3,
        Self::Europol,
        Self::Preservation,
        Self::Abuse,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Police => "police",
            Self::Ic3 => "ic3",
            Self::Europol => "europol",
            Self::Preservation => "preservation",
            Self::Abuse => "abuse",
        }
    }

    /// What a country gets when nobody says.
    fn usual(country: Country) -> Self {
        if country.as_str() == "US" {
            Self::Ic3
        } else {
            Self::Police
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|p| p.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no profile; write one of {names}")
        })
    }
}

/// Where an address is, and who says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub country: Option<Country>,
    /// `AS64500 Example Net`; empty when it is not known.
    pub network: String,
    pub told_by: String,
}

pub type Geography = BTreeMap<IpAddr, Place>;

/// Who refers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reporter {
    pub organisation: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub telephone: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<Country>,
}

/// What is kept of what minimisation leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Neither log lines nor names of accounts.
    #[default]
    Facts,
    /// Log lines too, without what is not of the share and without names of accounts.
    Lines,
}

/// Whether it may go out as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The contact must be good.
    #[default]
    Final,
    /// Written for reading only; says so on every page, and names no contact.
    Draft,
}

/// What referrals are made from.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub dossier: &'a Dossier,
    pub geography: &'a Geography,
    pub table: &'a Jurisdictions,
    pub confirmations: &'a [Confirmation],
    /// For transfers that people agreed to.
    pub acts: &'a [AuthorityAct],
    pub reporter: &'a Reporter,
    /// `None`: what is usual in each country.
    pub profile: Option<Profile>,
    /// `None`: every country that the case touches.
    pub only: Option<Country>,
    pub keep: Keep,
    pub stage: Stage,
    pub attach: Attach,
    /// For `only`; empty as long as they are not made.
    pub attached: &'a [Attached],
    /// The first free number of this year.
    pub number: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub ready: Vec<Ready>,
    pub refused: Vec<Refused>,
    /// Sources whose country nobody told.
    pub unplaced: Vec<IpAddr>,
    /// Sources and other things left out of every referral, with the reason.
    pub remarks: Vec<String>,
}

/// A referral, as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// `REF-2026-0001`.
    pub referral: String,
    pub country: Country,
    pub profile: Profile,
    /// To whom, in words.
    pub authority: String,
    pub stage: Stage,
    /// A bag (RFC 8493): path within it, bytes.
    pub files: Vec<(String, Vec<u8>)>,
    /// SHA-256 of `tagmanifest-sha256.txt`.
    pub manifest: ContentHash,
    pub sources: usize,
    pub victims: usize,
    /// Derived exhibits that are in the bag.
    pub exhibits: Vec<String>,
    /// Exhibits of which it is to carry the part that `lines` leaves.
    pub wanted: Vec<String>,
    pub lines: LineCut,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub country: Country,
    pub profile: Profile,
    /// Each with what to do.
    pub reasons: Vec<String>,
}

/// Why nothing of a case may be referred.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferralError {
    #[error(
        "{0} is marked TLP:{1}: it does not leave this organisation; nothing was written. Whoever \
         marked it must lower the marking first"
    )]
    Marked(String, String),
    #[error(
        "{0} touches no country that is known: say where addresses are with --mmdb FILE or \
         --country ADDRESS=CC, or give its parties a country (`posse case party`)"
    )]
    NoCountry(String),
    #[error("{country} has no part in {case}; it touches {touched}")]
    NotTouched {
        country: Country,
        case: String,
        touched: String,
    },
}

/// Every address whose country matters, for whoever looks it up.
pub fn addresses(dossier: &Dossier) -> BTreeSet<IpAddr> {
    let sources = dossier.alerts.iter().filter_map(|a| a.what.address);
    let parties = dossier.case.parties.values();
    let parties =
        parties.filter(|p| matches!(p.role, PartyRole::Source | PartyRole::Infrastructure));
    sources
        .chain(parties.flat_map(|p| p.addresses.iter().copied()))
        .map(|address| address.to_canonical())
        .collect()
}

/// One referral for each country, or the reasons why not.
pub fn plan(asked: &Asked<'_>) -> Result<Plan, ReferralError> {
    let case = &asked.dossier.case;
    // TLP 2.0: RED is for the individual recipients, AMBER+STRICT stays in the organisation.
    if case.tlp >= Tlp::AmberStrict {
        let marked = case.tlp.name().to_uppercase();
        return Err(ReferralError::Marked(case.id.clone(), marked));
    }
    let touched = share::countries(asked);
    if touched.is_empty() {
        return Err(ReferralError::NoCountry(case.id.clone()));
    }
    if let Some(country) = asked.only
        && !touched.contains(&country)
    {
        let names: Vec<_> = touched.iter().map(Country::to_string).collect();
        return Err(ReferralError::NotTouched {
            country,
            case: case.id.clone(),
            touched: names.join(", "),
        });
    }
    let mut plan = Plan {
        unplaced: share::unplaced(asked),
        ..Plan::default()
    };
    let mut number = asked.number;
    for country in touched {
        if asked.only.is_some_and(|only| only != country) {
            continue;
        }
        let profile = asked.profile.unwrap_or_else(|| Profile::usual(country));
        let share = Share::of(asked, country);
        let id = format!("REF-{}-{number:04}", year(asked.dossier.now));
        match one(asked, &share, profile, &id) {
            Ok(ready) => {
                number += 1;
                plan.ready.push(ready);
            }
            Err(reasons) => plan.refused.push(Refused {
                country,
                profile,
                reasons,
            }),
        }
        plan.remarks.extend(share.remarks);
    }
    Ok(plan)
}

/// Of an RFC 3339 time, the first four characters.
fn year(at: Timestamp) -> String {
    at.to_string().chars().take(4).collect()
}

fn one(
    asked: &Asked<'_>,
    share: &Share<'_>,
    profile: Profile,
    id: &str,
) -> Result<Ready, Vec<String>> {
    let mut reasons = Vec::new();
    let case = &asked.dossier.case;
    let blocked = asked
        .table
        .transfer_refused(share.country, &case.id, asked.acts);
    reasons.extend(blocked);
    let recipient = recipient(asked, share, profile);
    let recipient = match (recipient, asked.stage) {
        (Ok(recipient), Stage::Final) => Some(recipient),
        (Err(obstacles), Stage::Final) => {
            reasons.extend(obstacles);
            None
        }
        (_, Stage::Draft) => Some(Recipient::nobody(share.country)),
    };
    if profile == Profile::Abuse && share.sources_here().next().is_none() {
        reasons.push(format!(
            "{}: no source of this case is there",
            share.country
        ));
    }
    let (Some(recipient), true) = (recipient, reasons.is_empty()) else {
        return Err(reasons);
    };
    let authority = recipient.authority.clone();
    let letter = Letter::write(asked, share, profile, recipient, id);
    let lines = share.line_cut(asked);
    let files = files(asked, share, &letter)?;
    check(&files, &share.cut)?;
    if let Some(bad) = asked.attached.iter().find(|a| lines.leaks(&a.bytes)) {
        return Err(vec![format!(
            "{} is not this country's part of its parent: a line of it holds more; nothing was \
             written. Run the command again",
            bad.acquired.what.exhibit
        )]);
    }
    let (files, manifest) = bag::make(
        files,
        &[("External-Identifier", id), ("Bag-Count", "1 of 1")],
    );
    Ok(Ready {
        referral: id.to_owned(),
        country: share.country,
        profile,
        authority,
        stage: asked.stage,
        files,
        manifest,
        sources: letter.sources.len(),
        victims: letter.victims.len(),
        exhibits: letter
            .attached
            .into_iter()
            .map(|a| a.exhibit.exhibit)
            .collect(),
        wanted: if asked.attach.applies(profile, asked.stage) {
            exhibits::wanted(asked, share)
        } else {
            Vec::new()
        },
        lines,
    })
}

/// To whom it goes, if everything that is needed to reach them is good.
fn recipient(
    asked: &Asked<'_>,
    share: &Share<'_>,
    profile: Profile,
) -> Result<Recipient, Vec<String>> {
    let find = |country: Country, field: Field| {
        asked
            .table
            .contact(country, field, asked.confirmations, asked.dossier.now)
    };
    let own = || {
        asked.reporter.country.ok_or_else(|| {
            vec![format!(
                "{profile} goes through the authority of the reporter's own country: say \
                 --own-country CC"
            )]
        })
    };
    let (country, name, by) = match profile {
        Profile::Abuse => return abuse::recipient(share),
        Profile::Police => (share.country, Field::Authority, Field::Portal),
        Profile::Ic3 => (share.country, Field::Portal, Field::Portal),
        Profile::Europol => (own()?, Field::EuropolUnit, Field::Portal),
        Profile::Preservation => (own()?, Field::Authority, Field::Portal),
    };
    let (name, by) = (find(country, name), by_any(&find, country, by));
    match (name, by) {
        (Ok(name), Ok((field, by))) => Ok(Recipient::authority(country, &name, field, &by)),
        (name, by) => {
            let obstacles = [name.err(), by.err()];
            let mut words: Vec<_> = obstacles
                .into_iter()
                .flatten()
                .map(|o| o.to_string())
                .collect();
            words.dedup();
            Err(words)
        }
    }
}

/// The portal; where there is none that is good, an address or a number that is.
fn by_any(
    find: &dyn Fn(Country, Field) -> Result<Contact, Obstacle>,
    country: Country,
    first: Field,
) -> Result<(Field, Contact), Obstacle> {
    let usual = match find(country, first) {
        Ok(contact) => return Ok((first, contact)),
        Err(obstacle) => obstacle,
    };
    let others = [Field::Email, Field::Telephone];
    let other = others
        .into_iter()
        .find_map(|field| Some((field, find(country, field).ok()?)));
    other.ok_or(usual)
}

fn files(
    asked: &Asked<'_>,
    share: &Share<'_>,
    letter: &Letter,
) -> Result<Vec<(String, Vec<u8>)>, Vec<String>> {
    let mut files = match letter.profile {
        Profile::Police | Profile::Europol => {
            vec![("referral.txt".to_owned(), text::render(letter).into_bytes())]
        }
        Profile::Ic3 => vec![("ic3.txt".to_owned(), ic3::render(letter).into_bytes())],
        Profile::Preservation => preservation::drafts(asked, letter)?
            .into_iter()
            .map(|draft| (draft.name, draft.text.into_bytes()))
            .collect(),
        Profile::Abuse => abuse::files(share, letter),
    };
    // IC3 takes no attachment, so what goes with it is for the reporter's own files.
    let mut json = serde_json::to_vec_pretty(letter).unwrap_or_default();
    json.push(b'\n');
    files.push(("referral.json".to_owned(), json));
    files.extend(exhibits::files(asked.attached));
    Ok(files)
}

/// Nothing leaves in which something is found that should have been cut.
fn check(files: &[(String, Vec<u8>)], cut: &Cut) -> Result<(), Vec<String>> {
    let leaks: Vec<String> = files
        .iter()
        .filter_map(|(name, bytes)| {
            let text = String::from_utf8_lossy(bytes);
            cut.leak(&text)?;
            // The word itself is what must not be seen, not even here.
            Some(format!(
                "{name} would hold a name, contact or address of somebody outside this country's \
                 share; nothing was written. Look for it in the case's title, authority, measures \
                 and losses, and put it more generally"
            ))
        })
        .collect();
    if leaks.is_empty() { Ok(()) } else { Err(leaks) }
}

#[cfg(test)]
mod tests;
