//! A referral's content: what every profile says, whatever its form. Written as JSON as it is.

use std::collections::{BTreeMap, BTreeSet};

use model::{ContentHash, Pap, RawText, Timestamp, Tlp};
use serde::Serialize;

use super::{
    Asked, Keep, Profile, Reporter, SIGHTINGS_MAX, Stage,
    cut::Cut,
    exhibits::{self, AttachedLine, ExhibitLine},
    share::{Share, Source},
    sighting::{Clock, Sighting, sightings, users},
};
use crate::{
    jurisdiction::{Basis, Contact, Country, Field},
    span_in_words,
};

/// Instruments that an authority may use on what a letter tells; the others are a victim's duties
/// or go without saying.
const USEFUL: [&str; 6] = [
    "budapest",
    "second_protocol",
    "e_evidence",
    "sca_2703f",
    "cloud_act",
    "europol",
];

/// What Posse does and does not, whatever the case; the case's own words follow it.
const NOT_DONE: [&str; 3] = [
    "No machine of any source was entered, probed, scanned or changed.",
    "Nothing was sent to a source but what its own connections called for.",
    "Nothing was asked of a provider or of any third party for this referral.",
];

#[derive(Clone, Debug, Serialize)]
pub(super) struct Letter {
    pub(super) referral: String,
    pub(super) profile: Profile,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) draft: Option<&'static str>,
    pub(super) made: String,
    pub(super) country: Country,
    pub(super) recipient: Recipient,
    pub(super) reporter: Reporter,
    pub(super) tlp: Tlp,
    pub(super) pap: Pap,
    pub(super) purpose: String,
    pub(super) legal_basis: String,
    pub(super) case: String,
    pub(super) title: String,
    pub(super) kinds: Vec<Kind>,
    pub(super) sources: Vec<SourceLine>,
    pub(super) victims: Vec<PartyLine>,
    pub(super) infrastructure: Vec<PartyLine>,
    pub(super) losses: Vec<LossLine>,
    pub(super) measures: Vec<String>,
    pub(super) not_done: Vec<String>,
    pub(super) exhibits: Vec<ExhibitLine>,
    /// Parts of them that lie in the same bag.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attached: Vec<AttachedLine>,
    pub(super) instruments: Vec<InstrumentLine>,
    pub(super) left_out: Vec<String>,
}

/// To whom, and how they are reached.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Recipient {
    pub(super) country: Country,
    pub(super) authority: String,
    /// `portal`, `email`, …; empty in a draft.
    pub(super) by: &'static str,
    pub(super) contact: String,
    /// Where and when the contact was looked up.
    pub(super) looked_up: String,
}

impl Recipient {
    pub(super) fn authority(
        country: Country,
        name: &Contact,
        by: Field,
        contact: &Contact,
    ) -> Self {
        let people = match &contact.basis {
            Basis::Table => "by the keepers of the table of jurisdictions",
            // Who they are is on the ledger; the recipient need not know.
            Basis::People(..) => "by two people",
        };
        Self {
            country,
            authority: name.value.clone(),
            by: by.name(),
            contact: contact.value.clone(),
            looked_up: format!("{} {people}, {}", second(contact.as_of), contact.source),
        }
    }

    pub(super) fn nobody(country: Country) -> Self {
        Self {
            country,
            authority: "nobody: this is a draft".to_owned(),
            by: "",
            contact: String::new(),
            looked_up: String::new(),
        }
    }
}

/// What was seen, by rule.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Kind {
    pub(super) rule: String,
    pub(super) alerts: u64,
    pub(super) events: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct SourceLine {
    pub(super) address: String,
    pub(super) country: String,
    pub(super) network: String,
    pub(super) place_told_by: String,
    pub(super) first: String,
    pub(super) last: String,
    pub(super) rules: BTreeSet<String>,
    pub(super) events: u64,
    /// Entries of the reporter's ledger that hold the alerts.
    pub(super) ledger: Vec<u64>,
    pub(super) contacts: Vec<ContactLine>,
    /// Contacts that are not listed.
    pub(super) more: u64,
}

/// RFC 6302: address, port, protocol and time to the second; what is missing is said.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ContactLine {
    pub(super) time: String,
    /// `log`, or `read` when the log's own time was not kept.
    pub(super) clock: &'static str,
    pub(super) source_port: Option<u16>,
    pub(super) protocol: Option<&'static str>,
    pub(super) service: Option<String>,
    pub(super) target: Option<String>,
    pub(super) target_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line_sha256: Option<ContentHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct PartyLine {
    pub(super) name: String,
    pub(super) addresses: Vec<String>,
    pub(super) networks: Vec<String>,
    pub(super) contacts: Vec<String>,
    pub(super) note: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct LossLine {
    pub(super) party: String,
    pub(super) what: String,
    pub(super) range: String,
    pub(super) source: String,
    pub(super) method: String,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct InstrumentLine {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) cite: String,
    pub(super) who_may: String,
    pub(super) clocks: Vec<String>,
}

/// To the second, as the letter's times are.
pub(super) fn second(at: Timestamp) -> String {
    Timestamp::from_seconds(at.seconds()).to_string()
}

impl Letter {
    pub(super) fn write(
        asked: &Asked<'_>,
        share: &Share<'_>,
        profile: Profile,
        recipient: Recipient,
        id: &str,
    ) -> Self {
        let (case, cut) = (&asked.dossier.case, &share.cut);
        let clean = |text: &str| cut.clean(text);
        let measures = case.measures.iter().map(|m| {
            let text = format!("{}: {}: {}", second(m.when), m.what, m.effect);
            clean(&text)
        });
        let forborne = case
            .forborne
            .iter()
            .map(|f| clean(&format!("{}: {}", f.what, f.reason)));
        let not_done = NOT_DONE.iter().map(|text| (*text).to_owned());
        let sources = share.sources.iter();
        Self {
            referral: id.to_owned(),
            profile,
            draft: (asked.stage == Stage::Draft).then_some("DRAFT: not to be sent"),
            made: second(asked.dossier.now),
            country: share.country,
            recipient,
            reporter: asked.reporter.clone(),
            tlp: case.tlp,
            pap: case.pap,
            purpose: clean(&case.purpose),
            legal_basis: clean(&case.authority),
            case: case.id.clone(),
            title: clean(&case.title),
            kinds: kinds(share),
            sources: sources.map(|s| source_line(asked, share, s)).collect(),
            victims: parties(&share.victims, cut),
            infrastructure: parties(&share.infrastructure, cut),
            losses: losses(asked, share),
            measures: measures.collect(),
            not_done: not_done.chain(forborne).collect(),
            exhibits: exhibits::kept(asked, share),
            attached: exhibits::attached(asked),
            instruments: instruments(asked, share.country),
            left_out: left_out(asked),
        }
    }
}

fn kinds(share: &Share<'_>) -> Vec<Kind> {
    let mut by_rule: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for alert in share.sources.iter().flat_map(|s| &s.alerts) {
        let counts = by_rule.entry(&alert.what.rule).or_default();
        counts.0 += 1;
        counts.1 = counts.1.saturating_add(alert.what.events_count);
    }
    let one = |(rule, (alerts, events)): (&str, (u64, u64))| Kind {
        rule: share.cut.clean(rule),
        alerts,
        events,
    };
    by_rule.into_iter().map(one).collect()
}

fn source_line(asked: &Asked<'_>, share: &Share<'_>, source: &Source<'_>) -> SourceLine {
    let alerts = source.alerts.iter().map(|a| &a.what);
    let first = alerts.clone().map(|a| a.first).min().unwrap_or_default();
    let last = alerts.clone().map(|a| a.last).max().unwrap_or_default();
    let events = alerts.clone().map(|a| a.events_count).sum();
    let seen: Vec<_> = alerts
        .clone()
        .flat_map(|alert| {
            let hidden: BTreeSet<&str> = alert.events.iter().flat_map(users).collect();
            let all = sightings(alert, source.address);
            all.into_iter().map(move |s| (s, hidden.clone()))
        })
        .collect();
    let mut contacts: Vec<_> = seen
        .iter()
        .map(|(sighting, hidden)| contact_line(asked, share, sighting, hidden))
        .collect();
    contacts.sort_by(|a, b| (&a.time, a.source_port).cmp(&(&b.time, b.source_port)));
    contacts.dedup_by(|a, b| {
        (&a.time, a.source_port, &a.line_sha256) == (&b.time, b.source_port, &b.line_sha256)
    });
    contacts.truncate(SIGHTINGS_MAX);
    let place = source.place;
    SourceLine {
        address: source.address.to_string(),
        country: place
            .and_then(|p| p.country)
            .or_else(|| source.is_here.then_some(share.country))
            .map_or_else(|| "not known".to_owned(), |c| c.to_string()),
        network: place.map_or_else(String::new, |p| share.cut.clean(&p.network)),
        place_told_by: place.map_or_else(|| "the case's parties".to_owned(), |p| p.told_by.clone()),
        first: second(first),
        last: second(last),
        rules: alerts.map(|a| share.cut.clean(&a.rule)).collect(),
        events,
        ledger: source.alerts.iter().map(|a| a.index).collect(),
        more: events.saturating_sub(contacts.len() as u64),
        contacts,
    }
}

fn contact_line(
    asked: &Asked<'_>,
    share: &Share<'_>,
    sighting: &Sighting<'_>,
    hidden: &BTreeSet<&str>,
) -> ContactLine {
    let target = sighting.target.filter(|t| share.names_target(*t));
    let line = sighting.line.filter(|_| asked.keep == Keep::Lines);
    ContactLine {
        time: second(sighting.at),
        clock: match sighting.clock {
            Clock::Log => "log",
            Clock::Read => "read",
        },
        source_port: sighting.source_port,
        protocol: sighting.protocol,
        service: sighting.service.map(|s| share.cut.clean(s)),
        target: target.map(|t| t.to_string()),
        target_port: sighting.target_port,
        line_sha256: sighting.line.map(|line| line.sha256),
        line: line.and_then(|line| match &line.raw {
            RawText::Text(text) => Some(without(text, hidden, &share.cut)),
            RawText::Base64(_) => None,
        }),
    }
}

fn without(line: &str, users: &BTreeSet<&str>, cut: &Cut) -> String {
    let mut accounts = Cut::default();
    users.iter().for_each(|user| accounts.hide_any_word(user));
    cut.clean(&accounts.clean_words(line))
}

fn parties(parties: &[&model::Party], cut: &Cut) -> Vec<PartyLine> {
    let one = |party: &&model::Party| PartyLine {
        name: party.name.clone(),
        addresses: party.addresses.iter().map(ToString::to_string).collect(),
        networks: party.networks.iter().map(ToString::to_string).collect(),
        contacts: party.contacts.clone(),
        note: cut.clean(&party.note),
    };
    parties.iter().map(one).collect()
}

/// Losses of the share's victims only.
fn losses(asked: &Asked<'_>, share: &Share<'_>) -> Vec<LossLine> {
    let clean = |text: &str| share.cut.clean(text);
    let losses = asked.dossier.case.losses.iter();
    losses
        .filter_map(|loss| {
            let victim = share.victims.iter().find(|v| v.id == loss.party)?;
            Some(LossLine {
                party: victim.name.clone(),
                what: clean(&loss.what),
                range: range(loss.low, loss.high, &loss.unit),
                source: clean(&loss.source),
                method: clean(&loss.method),
            })
        })
        .collect()
}

fn range(low: u64, high: u64, unit: &str) -> String {
    let number = |n: u64| format!("{}.{:02}", n / 100, n % 100);
    if low == high {
        format!("{} {unit}", number(low))
    } else {
        format!("{} to {} {unit}", number(low), number(high))
    }
}

fn instruments(asked: &Asked<'_>, country: Country) -> Vec<InstrumentLine> {
    let Some(entry) = asked.table.entry(country) else {
        return Vec::new();
    };
    let known = entry
        .instruments
        .iter()
        .filter(|name| USEFUL.contains(&name.as_str()))
        .filter_map(|name| Some((name, asked.table.instrument.get(name)?)));
    known
        .map(|(name, law)| InstrumentLine {
            name: name.clone(),
            title: law.title.clone(),
            cite: law.cite.clone(),
            who_may: law.who_may.clone(),
            clocks: law
                .clock
                .iter()
                .map(|c| {
                    let span = span_in_words(c.span());
                    format!("{}: {span} from {}; {}", c.name, c.from, c.lapse)
                })
                .collect(),
        })
        .collect()
}

fn left_out(asked: &Asked<'_>) -> Vec<String> {
    let lines = match asked.keep {
        Keep::Facts if !asked.attached.is_empty() => {
            "Log lines, but for those in the exhibits that go with it, which have this country's \
             share of them."
        }
        Keep::Facts => "Log lines and what they carried; their hashes are given.",
        Keep::Lines => "Within log lines: what is not of this country's share.",
    };
    [
        lines,
        "Names of accounts.",
        "Internal addresses.",
        "Names, addresses and contacts of parties outside this country's share.",
    ]
    .map(str::to_owned)
    .to_vec()
}
