//! The fields of a complaint to the FBI's Internet Crime Complaint Center, to be typed or pasted
//! in: plain text, nothing attached, each within what the form takes.

use super::{
    letter::Letter,
    text::{self, Page},
};

/// What the form's field for the description is taken to hold; the form itself decides.
const DESCRIPTION_CHARS_MAX: usize = 3_500;
/// Subjects that the description and the subject field list one by one.
const SUBJECTS_MAX: usize = 20;

pub(super) fn render(letter: &Letter) -> String {
    let mut page = Page::default();
    text::begin(&mut page, letter, "Complaint to IC3");
    page.paragraph(
        "IC3 takes no attachments: keep the evidence, and be ready to hand it to an agent who \
         asks. Put each part below into the form's field of that name.",
    );
    page.head("1. Who is filing");
    page.field("On behalf of", &on_behalf(letter));
    page.field("Name", &letter.reporter.name);
    page.field("Organisation", &letter.reporter.organisation);
    page.field("E-mail", &letter.reporter.email);
    page.field("Telephone", &letter.reporter.telephone);
    page.head("2. Complainant");
    for victim in &letter.victims {
        page.item(&victim.name);
        page.field("  contacts", &victim.contacts.join(", "));
    }
    if letter.victims.is_empty() {
        page.field("Name", &letter.reporter.organisation);
    }
    page.head("3. Financial transactions");
    if letter.losses.is_empty() {
        page.paragraph("None is known.");
    }
    for loss in &letter.losses {
        page.item(&format!("{}, {}: {}", loss.party, loss.what, loss.range));
    }
    page.head("4. Subjects");
    for source in letter.sources.iter().take(SUBJECTS_MAX) {
        page.line(&format!("IP address: {} (name not known)", source.address));
        if let Some(contact) = source.contacts.first() {
            page.line(&format!(
                "  {}",
                text::contact_text(&source.address, contact)
            ));
        }
    }
    if letter.sources.len() > SUBJECTS_MAX {
        let more = letter.sources.len() - SUBJECTS_MAX;
        page.line(&format!("and {more} more, kept by the complainant"));
    }
    page.head(&format!(
        "5. Description (at most {DESCRIPTION_CHARS_MAX} characters)"
    ));
    page.line(&description(letter));
    page.head("6. Other information");
    page.field(
        "E-mail headers",
        "none: the attack did not come by e-mail, as far as is known",
    );
    letter.not_done.iter().for_each(|text| page.item(text));
    for exhibit in &letter.exhibits {
        let text = format!("{}: SHA-256 {}", exhibit.exhibit, exhibit.sha256);
        page.item(&text);
    }
    page.finish()
}

fn on_behalf(letter: &Letter) -> String {
    let names: Vec<_> = letter.victims.iter().map(|v| v.name.as_str()).collect();
    if names.is_empty() {
        letter.reporter.organisation.clone()
    } else {
        names.join(", ")
    }
}

/// Whole lines only, as many as fit.
fn description(letter: &Letter) -> String {
    let mut lines = vec![
        format!(
            "Case {}, referral {}: {}",
            letter.case, letter.referral, letter.title
        ),
        "All times are UTC. Source address, port, protocol and time of each contact:".to_owned(),
    ];
    for source in &letter.sources {
        lines.push(format!(
            "{}: {} events from {} to {}",
            source.address, source.events, source.first, source.last
        ));
        let contacts = source.contacts.iter().take(3);
        lines.extend(contacts.map(|c| text::contact_text(&source.address, c)));
    }
    let kinds = letter.kinds.iter();
    lines.extend(kinds.map(|k| format!("{}: {} alerts, {} events", k.rule, k.alerts, k.events)));
    lines.extend(letter.measures.iter().map(|m| format!("Measure: {m}")));
    let end = "The rest is kept by the complainant and can be asked for.";
    let mut text = String::new();
    for line in lines {
        let length = text.chars().count() + line.chars().count() + end.chars().count() + 2;
        if length > DESCRIPTION_CHARS_MAX {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str(end);
    text
}
