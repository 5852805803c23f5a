//! A report to the provider of a source: plain text for people, and for machines XARF 4
//! (`connection` reports of the schema in version 4.2.0), one file for each source.

use std::net::IpAddr;

use model::ContentHash;
use serde_json::{Map, Value, json};

use super::{
    letter::{Letter, Recipient, SourceLine},
    share::Share,
    text::{self, Page},
};

const XARF_VERSION: &str = "4.2.0";
/// Of XARF's `description`.
const DESCRIPTION_CHARS_MAX: usize = 1_000;
/// Of XARF's `org`.
const ORG_CHARS_MAX: usize = 200;

/// The provider in the case's parties. Nothing is asked on the net.
pub(super) fn recipient(share: &Share<'_>) -> Result<Recipient, Vec<String>> {
    let reachable = |party: &&&model::Party| party.contacts.iter().any(|c| c.contains('@'));
    let mut known = share.providers.iter().filter(reachable);
    let Some(provider) = known.next() else {
        return Err(vec![format!(
            "{}: no provider with an e-mail address for abuse is among the case's parties; look \
             the contact of the network up in the registry (RDAP) and add the provider: \
             posse case party CASE --id ID --role provider --country {0} --name NAME --contact ADDRESS",
            share.country
        )]);
    };
    if known.next().is_some() {
        return Err(vec![format!(
            "{}: several providers are among the case's parties; one report goes to one provider, \
             so keep those of other sources in cases of their own",
            share.country
        )]);
    }
    let contact = provider.contacts.iter().find(|c| c.contains('@'));
    Ok(Recipient {
        country: share.country,
        authority: provider.name.clone(),
        by: "email",
        contact: contact.cloned().unwrap_or_default(),
        looked_up: "as the case's parties have it".to_owned(),
    })
}

pub(super) fn files(share: &Share<'_>, letter: &Letter) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut remarks = Vec::new();
    for source in share.sources_here() {
        let address = source.address.to_string();
        let Some(line) = letter.sources.iter().find(|s| s.address == address) else {
            continue;
        };
        match xarf(letter, line, source.address) {
            Ok(report) => {
                let name = format!("xarf/{}.json", address.replace([':', '.'], "-"));
                let mut bytes = serde_json::to_vec_pretty(&report).unwrap_or_default();
                bytes.push(b'\n');
                files.push((name, bytes));
            }
            Err(why) => remarks.push(format!("{address}: no XARF report: {why}")),
        }
    }
    files.push((
        "abuse.txt".to_owned(),
        render(letter, &remarks).into_bytes(),
    ));
    files
}

fn render(letter: &Letter, remarks: &[String]) -> String {
    let mut page = Page::default();
    text::begin(&mut page, letter, "Abuse report");
    text::seen(&mut page, letter);
    text::sources(&mut page, letter);
    page.head("What is asked of you");
    page.item("To stop what comes from these addresses, by your own terms of use.");
    page.item("To tell your customer, who may be a victim too, and to keep your records.");
    page.item("To answer with the reference above.");
    text::taken(&mut page, letter);
    if !remarks.is_empty() {
        page.head("Machine-readable reports");
        remarks.iter().for_each(|remark| page.item(remark));
    }
    page.finish()
}

/// One report of XARF 4, or why there is none.
fn xarf(letter: &Letter, source: &SourceLine, address: IpAddr) -> Result<Value, &'static str> {
    let reporter = &letter.reporter;
    let domain = reporter.email.rsplit_once('@').map(|(_, domain)| domain);
    let domain = domain
        .filter(|d| d.contains('.'))
        .ok_or("it needs the reporter's e-mail address (--email)")?;
    let contact = source.contacts.first().ok_or("no contact of it was kept")?;
    let kind = Kind::of(letter, source).ok_or("its rules fit no type of XARF's connections")?;
    let protocol = contact.protocol.or_else(|| kind.protocol());
    let protocol = protocol.ok_or("the log does not tell the protocol")?;
    let organisation: String = reporter.organisation.chars().take(ORG_CHARS_MAX).collect();
    let who = json!({ "org": organisation, "contact": reporter.email, "domain": domain });
    let mut report = json!({
        "xarf_version": XARF_VERSION,
        "report_id": uuid(&[letter.referral.as_bytes(), source.address.as_bytes()]),
        "timestamp": letter.made,
        "reporter": who,
        "sender": who,
        "source_identifier": address.to_string(),
        "category": "connection",
        "type": kind.name(),
        "evidence_source": "log_analysis",
        "protocol": protocol,
        "first_seen": source.first,
        "last_seen": source.last,
        "tags": [format!("posse:{}", letter.referral.to_lowercase())],
        "description": description(letter, source),
    });
    let map: &mut Map<String, Value> = report.as_object_mut().ok_or("it is no object")?;
    match contact.source_port {
        Some(port) => drop(map.insert("source_port".to_owned(), port.into())),
        // The schema asks for it with an address as the source.
        None if kind.needs_port() => return Err("the log does not tell the source port"),
        None => {}
    }
    if let (Some(target), true) = (&contact.target, kind.needs_port()) {
        map.insert("destination_ip".to_owned(), target.clone().into());
    }
    if let (Some(port), true) = (contact.target_port, kind.needs_port()) {
        map.insert("destination_port".to_owned(), port.into());
    }
    if kind == Kind::VulnerabilityScan {
        map.insert("scan_type".to_owned(), "web_vuln_scan".into());
        map.insert("total_requests".to_owned(), source.events.max(1).into());
    }
    Ok(report)
}

fn description(letter: &Letter, source: &SourceLine) -> String {
    let rules: Vec<_> = source.rules.iter().map(String::as_str).collect();
    let text = format!(
        "{} events between {} and {} (UTC), seen by {}. Reference {}.",
        source.events,
        source.first,
        source.last,
        rules.join(", "),
        letter.referral
    );
    text.chars().take(DESCRIPTION_CHARS_MAX).collect()
}

/// Types of the category `connection` that logs can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    LoginAttack,
    PortScan,
    VulnerabilityScan,
}

impl Kind {
    fn of(letter: &Letter, source: &SourceLine) -> Option<Self> {
        let mut words: Vec<String> = source.rules.iter().map(|r| r.to_lowercase()).collect();
        let services = source.contacts.iter().filter_map(|c| c.service.as_deref());
        words.extend(services.map(str::to_lowercase));
        words.push(letter.title.to_lowercase());
        let has = |signs: &[&str]| words.iter().any(|w| signs.iter().any(|s| w.contains(s)));
        if has(&["bf", "brute", "password", "login", "auth", "guess", "ssh"]) {
            Some(Self::LoginAttack)
        } else if has(&["port-scan", "portscan", "port_scan", "port scan"]) {
            Some(Self::PortScan)
        } else if has(&[
            "http", "web", "probing", "crawl", "cve", "scan", "path", "sqli", "xss",
        ]) {
            Some(Self::VulnerabilityScan)
        } else {
            None
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::LoginAttack => "login_attack",
            Self::PortScan => "port_scan",
            Self::VulnerabilityScan => "vulnerability_scan",
        }
    }

    const fn needs_port(self) -> bool {
        !matches!(self, Self::VulnerabilityScan)
    }

    /// `mixed` is a word of that type alone, for when nobody knows.
    const fn protocol(self) -> Option<&'static str> {
        match self {
            Self::VulnerabilityScan => Some("mixed"),
            Self::LoginAttack | Self::PortScan => None,
        }
    }
}

/// A version 8 UUID (RFC 9562 section 5.8) out of a hash, so that the same report has the same.
fn uuid(parts: &[&[u8]]) -> String {
    let hash = ContentHash::of(&parts.join(&0));
    let mut hex = hash.to_string();
    hex.truncate(32);
    let at = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!(
        "{}-{}-8{}-8{}-{}",
        at(0..8),
        at(8..12),
        at(13..16),
        at(17..20),
        at(20..32)
    )
}
