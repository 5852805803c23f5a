//! Which part of a case concerns one country: its victims, the sources in it, the sources that
//! struck its victims, its infrastructure; and the cut that keeps everything else out.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use model::{Alert, Party, PartyRole, RawText};

use super::{
    Asked, Place, SOURCES_MAX,
    cut::{Cut, addresses, is_internal},
    lines::LineCut,
    sighting::users,
};
use crate::{Indexed, jurisdiction::Country};

pub(super) struct Share<'a> {
    pub(super) country: Country,
    /// The country of whoever refers, and thus the place of what was struck there.
    pub(super) is_own: bool,
    pub(super) victims: Vec<&'a Party>,
    pub(super) infrastructure: Vec<&'a Party>,
    pub(super) providers: Vec<&'a Party>,
    /// In the order of their addresses.
    pub(super) sources: Vec<Source<'a>>,
    pub(super) cut: Cut,
    pub(super) remarks: Vec<String>,
}

/// An address that did something to this share, or does so from within the country.
pub(super) struct Source<'a> {
    pub(super) address: IpAddr,
    pub(super) place: Option<&'a Place>,
    pub(super) is_here: bool,
    pub(super) alerts: Vec<&'a Indexed<Alert>>,
}

/// Every country that the case touches.
pub(super) fn countries(asked: &Asked<'_>) -> BTreeSet<Country> {
    let case = &asked.dossier.case;
    let mut found: BTreeSet<Country> = sources(asked)
        .keys()
        .filter_map(|address| country_of(asked, *address))
        .collect();
    let roles = [
        PartyRole::Victim,
        PartyRole::Infrastructure,
        PartyRole::Source,
    ];
    let parties = case.parties.values().filter(|p| roles.contains(&p.role));
    found.extend(parties.filter_map(|party| home(asked, party)));
    let own = asked.reporter.country;
    if own.is_some()
        && asked
            .dossier
            .alerts
            .iter()
            .any(|a| victims_of(asked, &a.what).is_empty())
    {
        found.extend(own);
    }
    found
}

pub(super) fn unplaced(asked: &Asked<'_>) -> Vec<IpAddr> {
    sources(asked)
        .into_keys()
        .filter(|address| country_of(asked, *address).is_none() && !is_internal(*address))
        .collect()
}

/// Alerts by the address they are about.
fn sources<'a>(asked: &Asked<'a>) -> BTreeMap<IpAddr, Vec<&'a Indexed<Alert>>> {
    let mut found: BTreeMap<IpAddr, Vec<_>> = BTreeMap::new();
    for alert in &asked.dossier.alerts {
        if let Some(address) = alert.what.address {
            found.entry(address.to_canonical()).or_default().push(alert);
        }
    }
    found
}

/// A person's word on an address counts before a database's.
fn country_of(asked: &Asked<'_>, address: IpAddr) -> Option<Country> {
    let parties = asked.dossier.case.parties.values();
    let told = parties
        .filter(|party| party.role == PartyRole::Source && has(party, address))
        .find_map(|party| party.country.parse().ok());
    told.or_else(|| asked.geography.get(&address.to_canonical())?.country)
}

fn home(asked: &Asked<'_>, party: &Party) -> Option<Country> {
    let told = party.country.parse().ok();
    told.or_else(|| {
        let mut addresses = party.addresses.iter();
        addresses.find_map(|a| asked.geography.get(&a.to_canonical())?.country)
    })
}

fn has(party: &Party, address: IpAddr) -> bool {
    let address = address.to_canonical();
    party.addresses.iter().any(|a| a.to_canonical() == address)
        || party.networks.iter().any(|n| n.contains(address))
}

/// The victims that an alert names, by an address or by name, in what its events or lines say.
fn victims_of<'a>(asked: &Asked<'a>, alert: &Alert) -> Vec<&'a Party> {
    let case = &asked.dossier.case;
    let mut texts: Vec<&str> = alert
        .context
        .values()
        .flatten()
        .map(String::as_str)
        .collect();
    texts.extend(
        alert
            .events
            .iter()
            .flat_map(|e| e.meta.iter().map(|(_, v)| v)),
    );
    let lines = alert.evidence.iter().filter_map(|line| match &line.raw {
        RawText::Text(text) => Some(text.as_str()),
        RawText::Base64(_) => None,
    });
    texts.extend(lines);
    let named: BTreeSet<IpAddr> = texts
        .iter()
        .flat_map(|text| addresses(text))
        .map(|(_, address)| address)
        .filter(|address| Some(*address) != alert.address.map(|a| a.to_canonical()))
        .collect();
    let is_hit = |party: &&Party| {
        let by_name = || {
            let mut cut = Cut::default();
            cut.hide_word(&party.name);
            texts.iter().any(|text| cut.names(text))
        };
        named.iter().any(|address| has(party, *address)) || by_name()
    };
    let victims = case.parties.values();
    victims
        .filter(|party| party.role == PartyRole::Victim)
        .filter(is_hit)
        .collect()
}

impl<'a> Share<'a> {
    pub(super) fn of(asked: &Asked<'a>, country: Country) -> Self {
        let parties = |role: PartyRole| -> Vec<&'a Party> {
            let all = asked.dossier.case.parties.values();
            all.filter(|p| p.role == role && home(asked, p) == Some(country))
                .collect()
        };
        let mut share = Self {
            country,
            is_own: asked.reporter.country == Some(country),
            victims: parties(PartyRole::Victim),
            infrastructure: parties(PartyRole::Infrastructure),
            providers: parties(PartyRole::Provider),
            sources: Vec::new(),
            cut: Cut::default(),
            remarks: Vec::new(),
        };
        let found = share.find_sources(asked);
        share.cut = share.make_cut(asked, &found);
        let before = found.len();
        share.sources = found
            .into_iter()
            .filter(|source| share.cut.shows(source.address))
            .collect();
        share.note_left_out(before);
        share
    }

    fn find_sources(&self, asked: &Asked<'a>) -> Vec<Source<'a>> {
        let concerns = |alert: &Alert, is_here: bool| {
            let victims = victims_of(asked, alert);
            let ours = |victim: &Party| self.victims.iter().any(|v| v.id == victim.id);
            is_here || (victims.is_empty() && self.is_own) || victims.iter().any(|v| ours(v))
        };
        let one = |(address, alerts): (IpAddr, Vec<&'a Indexed<Alert>>)| {
            let is_here = country_of(asked, address) == Some(self.country);
            let alerts: Vec<_> = alerts
                .into_iter()
                .filter(|alert| concerns(&alert.what, is_here))
                .collect();
            (!alerts.is_empty()).then(|| Source {
                address,
                place: asked.geography.get(&address),
                is_here,
                alerts,
            })
        };
        sources(asked).into_iter().filter_map(one).collect()
    }

    /// Sources are shown unless they are also somebody's whom this country does not concern.
    fn make_cut(&self, asked: &Asked<'a>, sources: &[Source<'_>]) -> Cut {
        let mut cut = Cut::default();
        for source in sources {
            if !is_internal(source.address) {
                cut.show_address(source.address);
            }
        }
        let (ours, others) = self.parties(asked);
        for party in others {
            match party.role {
                // Authorities are named as recipients and by their file numbers.
                PartyRole::Authority => {}
                // Its address is what struck a victim of this share, when it is shown at all.
                PartyRole::Source => cut.hide_names(party),
                _ => cut.hide_party(party),
            }
        }
        ours.into_iter().for_each(|party| cut.show_party(party));
        let reporter = asked.reporter;
        for word in [
            &reporter.organisation,
            &reporter.name,
            &reporter.email,
            &reporter.telephone,
        ] {
            cut.show_word(word);
        }
        cut
    }

    /// Those that the recipient may know of, and all others.
    fn parties(&self, asked: &Asked<'a>) -> (Vec<&'a Party>, Vec<&'a Party>) {
        let shown = [
            PartyRole::Victim,
            PartyRole::Infrastructure,
            PartyRole::Provider,
            PartyRole::Source,
        ];
        let all = asked.dossier.case.parties.values();
        all.partition(|p| shown.contains(&p.role) && home(asked, p) == Some(self.country))
    }

    /// How the lines of exhibits are cut for this share.
    pub(super) fn line_cut(&self, asked: &Asked<'a>) -> LineCut {
        let mut lines = LineCut::new(&self.cut);
        for source in &self.sources {
            lines.add_source(source.address, source.is_here);
            let events = source.alerts.iter().flat_map(|a| &a.what.events);
            events
                .flat_map(users)
                .for_each(|name| lines.add_account(name));
        }
        let (_, others) = self.parties(asked);
        others.into_iter().for_each(|party| lines.add_other(party));
        lines
    }

    fn note_left_out(&mut self, before: usize) {
        let left_out = before - self.sources.len();
        if left_out > 0 {
            self.remarks.push(format!(
                "{}: {left_out} sources left out: internal addresses, or those of a party outside \
                 this country's share",
                self.country
            ));
        }
        if self.sources.len() > SOURCES_MAX {
            self.remarks.push(format!(
                "{}: the first {SOURCES_MAX} of {} sources are listed",
                self.country,
                self.sources.len()
            ));
            self.sources.truncate(SOURCES_MAX);
        }
    }

    pub(super) fn sources_here(&self) -> impl Iterator<Item = &Source<'a>> {
        self.sources.iter().filter(|source| source.is_here)
    }

    /// Whether an address that was struck may be named.
    pub(super) fn names_target(&self, address: IpAddr) -> bool {
        self.victims.iter().any(|victim| has(victim, address)) && !is_internal(address)
            || self.cut.shows(address)
    }
}
