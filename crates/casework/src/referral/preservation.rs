//! Drafts by which an authority can have data preserved before it is gone. A private party sends
//! none of them: it hands them to its own police, who know whether and how to use them.

use std::time::Duration;

use super::{
    Asked,
    letter::{Letter, second},
    text::{self, Page},
};
use crate::{jurisdiction::Instrument, span_in_words};

/// One draft, as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub name: String,
    pub text: String,
}

struct Form {
    /// In the table of jurisdictions.
    instrument: &'static str,
    clock: &'static str,
    title: &'static str,
    file: &'static str,
    wish: &'static str,
}

const AT_HOME: Form = Form {
    instrument: "budapest",
    clock: "domestic_preservation",
    title: "Draft of an order to preserve (Budapest Convention, article 16)",
    file: "draft-budapest-16.txt",
    wish: "Please have the providers of the addresses below ordered to preserve, without delay, \
           the stored data named here, so that it can be asked for in the ordinary way.",
};
const ABROAD: Form = Form {
    instrument: "budapest",
    clock: "foreign_preservation",
    title: "Draft of a request to preserve abroad (Budapest Convention, article 29)",
    file: "draft-budapest-29.txt",
    wish: "Please ask, through the points of contact of article 35, the party named below to \
           have the stored data named here preserved; a request for mutual assistance follows.",
};
const STORED_COMMUNICATIONS: Form = Form {
    instrument: "sca_2703f",
    clock: "preservation",
    title: "Draft of a preservation request (18 U.S.C. 2703(f)) for a governmental entity",
    file: "draft-18usc2703f.txt",
    wish: "Please ask the providers of the addresses below to take all necessary steps to preserve \
           the records named here, pending the issuance of a court order or other process.",
};
const EUROPEAN_ORDER: Form = Form {
    instrument: "e_evidence",
    clock: "preservation",
    title: "Draft of a European Preservation Order Certificate (EPOC-PR) for an issuing authority",
    file: "draft-epoc-pr.txt",
    wish: "Please consider an order under article 6 of Regulation (EU) 2023/1543 to the service \
           providers of the addresses below; the certificate itself is the form of its Annex II.",
};

/// Those that the country's instruments allow.
pub(super) fn drafts(asked: &Asked<'_>, letter: &Letter) -> Result<Vec<Draft>, Vec<String>> {
    let country = letter.country;
    let own = asked.reporter.country;
    let home_is_bound = |law| own.is_some_and(|own| asked.table.has_instrument(own, law));
    let mut forms = Vec::new();
    if asked.table.has_instrument(country, "budapest") && home_is_bound("budapest") {
        forms.push(if own == Some(country) {
            AT_HOME
        } else {
            ABROAD
        });
    }
    if asked.table.has_instrument(country, "sca_2703f") {
        forms.push(STORED_COMMUNICATIONS);
    }
    if asked.table.has_instrument(country, "e_evidence") && home_is_bound("e_evidence") {
        forms.push(EUROPEAN_ORDER);
    }
    if letter.sources.is_empty() {
        return Err(vec![format!(
            "{country}: no source of this case concerns it"
        )]);
    }
    let known = |form: &Form| Some((asked.table.instrument.get(form.instrument)?, form.clock));
    let drafts: Vec<_> = forms
        .iter()
        .filter_map(|form| Some(draft(asked, letter, form, known(form)?)))
        .collect();
    if drafts.is_empty() {
        return Err(vec![format!(
            "{country}: the table of jurisdictions knows no instrument of preservation between it \
             and the reporter's country; ask the police for mutual legal assistance"
        )]);
    }
    Ok(drafts)
}

fn draft(
    asked: &Asked<'_>,
    letter: &Letter,
    form: &Form,
    (law, clock): (&Instrument, &str),
) -> Draft {
    let mut page = Page::default();
    text::begin(&mut page, letter, form.title);
    page.head("Who may use this");
    page.field("Instrument", &format!("{}, {}", law.title, law.cite));
    page.field("For", &law.who_may);
    page.paragraph(
        "The reporter is a private party and sends this to no provider. It is a draft for the \
         authority named above.",
    );
    page.head("What is asked for");
    page.paragraph(form.wish);
    page.item("Which subscriber used each address and port at each time below.");
    page.item("The traffic data of these connections that the provider holds.");
    page.item("How long it holds such data, if it cannot preserve it.");
    if let Some(clock) = asked.table.clock(form.instrument, clock) {
        page.head("Its clock");
        page.field("Runs", &span_in_words(clock.span()));
        page.field("From", &clock.from);
        let end = lapses(asked.dossier.now, clock.span());
        page.field("If it began when this was written, it would lapse", &end);
        page.field("Then", &clock.lapse);
    }
    text::sources(&mut page, letter);
    text::kept(&mut page, letter);
    page.head("What was not done");
    letter.not_done.iter().for_each(|text| page.item(text));
    Draft {
        name: form.file.to_owned(),
        text: page.finish(),
    }
}

fn lapses(from: model::Timestamp, span: Duration) -> String {
    second(from.plus(span))
}
