//! A letter as plain text: ASCII rules, lines of bounded length, the same bytes each time.

use std::fmt::Write as _;

use super::letter::{ContactLine, Letter, PartyLine};

const WIDTH: usize = 78;

/// Text that grows by headings, lines and items.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn head(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let _ = writeln!(self.0, "{title}\n{}", "-".repeat(title.chars().count()));
    }

    /// One line, however long.
    pub(super) fn line(&mut self, text: &str) {
        let _ = writeln!(self.0, "{text}");
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        let value = if value.trim().is_empty() {
            "not known"
        } else {
            value
        };
        self.wrapped(&format!("{name}: "), value);
    }

    pub(super) fn item(&mut self, text: &str) {
        self.wrapped("- ", text);
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.wrapped("", text);
    }

    /// Lines after the first are indented by two.
    fn wrapped(&mut self, begin: &str, text: &str) {
        let mut column = begin.chars().count();
        self.0.push_str(begin);
        for (i, word) in text.split_whitespace().enumerate() {
            let length = word.chars().count();
            if i > 0 && column + 1 + length > WIDTH {
                self.0.push_str("\n  ");
                column = 2;
            } else if i > 0 {
                self.0.push(' ');
                column += 1;
            }
            self.0.push_str(word);
            column += length;
        }
        self.0.push('\n');
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// What every profile begins with: what it is, for whom, under which marks.
pub(super) fn begin(page: &mut Page, letter: &Letter, what: &str) {
    if let Some(draft) = letter.draft {
        page.line(&format!("*** {draft} ***"));
    }
    page.head(&format!("{what}: {}", letter.referral));
    page.field("TLP", &format!("TLP:{}", letter.tlp.name().to_uppercase()));
    page.field("PAP", &pap(letter));
    page.field("To", &letter.recipient.authority);
    page.field("Country", letter.recipient.country.as_str());
    if !letter.recipient.by.is_empty() {
        let reach = format!("{} ({})", letter.recipient.contact, letter.recipient.by);
        page.field("Reached by", &reach);
        page.field("Contact looked up", &letter.recipient.looked_up);
    }
    let reporter = &letter.reporter;
    let from: Vec<&str> = [
        &reporter.organisation,
        &reporter.name,
        &reporter.email,
        &reporter.telephone,
    ]
    .into_iter()
    .map(String::as_str)
    .filter(|text| !text.is_empty())
    .collect();
    page.field("From", &from.join(", "));
    page.field("Case", &format!("{}, {}", letter.case, letter.title));
    page.field("Written", &letter.made);
    page.field("Purpose", &letter.purpose);
    page.field("Legal basis", &letter.legal_basis);
    page.paragraph(
        "All times are UTC, to the second. This letter holds the part of the case that concerns \
         the country named, and no other.",
    );
}

pub(super) fn pap(letter: &Letter) -> String {
    let word = match letter.pap {
        model::Pap::Clear => "CLEAR",
        model::Pap::Green => "GREEN",
        model::Pap::Amber => "AMBER",
        model::Pap::Red => "RED",
    };
    format!("PAP:{word}")
}

/// A referral to the police, or for Europol.
pub(super) fn render(letter: &Letter) -> String {
    let mut page = Page::default();
    let what = match letter.profile {
        super::Profile::Europol => "Information for Europol through the national unit",
        _ => "Report of a cyber attack",
    };
    begin(&mut page, letter, what);
    seen(&mut page, letter);
    people(&mut page, "Who was harmed", &letter.victims);
    people(
        &mut page,
        "Infrastructure that was used",
        &letter.infrastructure,
    );
    losses(&mut page, letter);
    sources(&mut page, letter);
    taken(&mut page, letter);
    sent(&mut page, letter);
    kept(&mut page, letter);
    page.head("What is asked of you");
    page.item(
        "To take this as a report, and to tell the reporter the number under which you keep it.",
    );
    page.item(
        "To have the data that identifies the users of the addresses above preserved, where your \
         law allows it, before it is deleted.",
    );
    page.item("To ask for the evidence itself: it is kept under the numbers and hashes above.");
    law(&mut page, letter);
    page.finish()
}

/// The parts of exhibits that lie beside this letter.
fn sent(page: &mut Page, letter: &Letter) {
    if letter.attached.is_empty() {
        return;
    }
    page.head("Evidence that goes with this letter");
    for part in &letter.attached {
        let exhibit = &part.exhibit;
        page.item(&format!(
            "{}: data/{}, {} bytes, SHA-256 {}, ledger entry {}",
            exhibit.exhibit, part.file, exhibit.bytes, exhibit.sha256, exhibit.ledger
        ));
        page.field(
            "  made from",
            &format!("{}, SHA-256 {}", part.parent, part.parent_sha256),
        );
        page.field("  what it is", &part.note);
    }
    page.paragraph(
        "Beside each lies acquisition.json: who took it, when, how, on what authority, and which \
         places of the exhibit it was made from are not shown, each with the reason.",
    );
}

pub(super) fn seen(page: &mut Page, letter: &Letter) {
    page.head("What was seen");
    page.paragraph(&summary(letter));
    for kind in &letter.kinds {
        page.item(&format!(
            "{}: {} alerts, {} events",
            kind.rule, kind.alerts, kind.events
        ));
    }
    if letter.kinds.is_empty() {
        page.paragraph("No alert of this case concerns this country; parties of it do.");
    }
}

fn summary(letter: &Letter) -> String {
    let first = letter.sources.iter().map(|s| s.first.as_str()).min();
    let last = letter.sources.iter().map(|s| s.last.as_str()).max();
    let events: u64 = letter.sources.iter().map(|s| s.events).sum();
    let when = first.zip(last).map_or_else(String::new, |(first, last)| {
        format!(" between {first} and {last}")
    });
    format!(
        "{events} events of {} sources were observed{when}; {} victims of this country are known.",
        letter.sources.len(),
        letter.victims.len()
    )
}

pub(super) fn people(page: &mut Page, title: &str, parties: &[PartyLine]) {
    if parties.is_empty() {
        return;
    }
    page.head(title);
    for party in parties {
        page.item(&party.name);
        for (name, list) in [
            ("addresses", &party.addresses),
            ("networks", &party.networks),
            ("contacts", &party.contacts),
        ] {
            if !list.is_empty() {
                page.field(&format!("  {name}"), &list.join(", "));
            }
        }
        if !party.note.is_empty() {
            page.field("  note", &party.note);
        }
    }
}

pub(super) fn losses(page: &mut Page, letter: &Letter) {
    if letter.losses.is_empty() {
        return;
    }
    page.head("Losses");
    for loss in &letter.losses {
        page.item(&format!(
            "{}, {}: {} (source: {}; reckoned: {})",
            loss.party, loss.what, loss.range, loss.source, loss.method
        ));
    }
}

pub(super) fn sources(page: &mut Page, letter: &Letter) {
    page.head("Sources");
    page.paragraph(
        "An address is not a person; behind one address there may be many users at a time, which \
         the port and the second tell apart (RFC 6302).",
    );
    if letter.sources.is_empty() {
        page.paragraph("None is known that concerns this country.");
    }
    for source in &letter.sources {
        page.line("");
        page.line(&source.address);
        page.field(
            "  country",
            &format!("{} (by {})", source.country, source.place_told_by),
        );
        page.field("  network", &source.network);
        page.field(
            "  first and last",
            &format!("{} to {}", source.first, source.last),
        );
        page.field("  events", &source.events.to_string());
        let rules: Vec<_> = source.rules.iter().map(String::as_str).collect();
        page.field("  seen by", &rules.join(", "));
        let entries: Vec<_> = source.ledger.iter().map(u64::to_string).collect();
        page.field("  ledger entries", &entries.join(", "));
        for contact in &source.contacts {
            page.line(&format!("  {}", contact_text(&source.address, contact)));
            if let Some(line) = &contact.line {
                page.line(&format!("    | {line}"));
            }
        }
        if source.more > 0 {
            page.line(&format!("  and {} more that are not listed", source.more));
        }
    }
}

/// RFC 6302, section 2: address, port, protocol, time; what the log lacks is said.
pub(super) fn contact_text(address: &str, contact: &ContactLine) -> String {
    let port = contact.source_port.map_or_else(
        || "port not in the log".to_owned(),
        |port| format!("port {port}"),
    );
    let protocol = contact.protocol.unwrap_or("protocol not in the log");
    let mut text = format!("{} {address} {port} {protocol}", contact.time);
    if contact.clock == "read" {
        text.push_str(" (time of reading)");
    }
    if let Some(service) = &contact.service {
        let _ = write!(text, " {service}");
    }
    match (&contact.target, contact.target_port) {
        (Some(target), Some(port)) => {
            let _ = write!(text, " to {target} port {port}");
        }
        (Some(target), None) => {
            let _ = write!(text, " to {target}");
        }
        (None, Some(port)) => {
            let _ = write!(text, " to port {port}");
        }
        (None, None) => {}
    }
    text
}

pub(super) fn taken(page: &mut Page, letter: &Letter) {
    page.head("Measures taken");
    for measure in &letter.measures {
        page.item(measure);
    }
    if letter.measures.is_empty() {
        page.paragraph("None is recorded.");
    }
    page.head("What was not done");
    letter.not_done.iter().for_each(|text| page.item(text));
}

pub(super) fn kept(page: &mut Page, letter: &Letter) {
    page.head("Evidence that is kept");
    for exhibit in &letter.exhibits {
        page.item(&format!(
            "{}: {} bytes, acquired {}, SHA-256 {}, ledger entry {}",
            exhibit.exhibit, exhibit.bytes, exhibit.acquired, exhibit.sha256, exhibit.ledger
        ));
    }
    if letter.exhibits.is_empty() {
        page.paragraph("No exhibit of this share is recorded yet; ask for one.");
    }
    page.head("What is left out of this letter");
    letter.left_out.iter().for_each(|text| page.item(text));
}

pub(super) fn law(page: &mut Page, letter: &Letter) {
    if letter.instruments.is_empty() {
        return;
    }
    page.head("Instruments and their clocks");
    for law in &letter.instruments {
        page.item(&format!(
            "{} ({}): for {}",
            law.title, law.cite, law.who_may
        ));
        law.clocks
            .iter()
            .for_each(|clock| page.field("  clock", clock));
    }
    page.paragraph("This list is no legal advice; the texts decide.");
}
