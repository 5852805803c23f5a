//! The exhibits: what was taken, its hashes in full, and through whose hands it went.

use casework::{
    Dossier, ExhibitRecord,
    pack::{custody_text, seconds_utc},
};
use model::Acquisition;

use crate::{
    ROWS_MAX,
    page::{MARGIN, Paper},
    table::{column, table},
    typeface::Face,
};

/// A whole SHA-512 on one line, so that it can be searched for and compared.
const HASH_SIZE: f32 = 6.2;

pub(crate) fn list(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Exhibits");
    if dossier.exhibits.is_empty() {
        paper.paragraph("No exhibit is part of this case.");
        return;
    }
    for exhibit in &dossier.exhibits {
        one(exhibit, paper);
    }
}

fn one(exhibit: &ExhibitRecord, paper: &mut Paper<'_>) {
    let a = &exhibit.acquired.what;
    // Its head and its hashes stay together.
    paper.room_for(150.0);
    paper.heading(&format!("{}  {}", a.exhibit, a.title));
    if exhibit.purged {
        paper.fact(
            "State",
            "bytes destroyed by rule; hashes and custody remain",
        );
    }
    paper.fact(
        "File",
        &format!("{} ({}, {} bytes)", a.file_name, a.media_type, a.bytes),
    );
    paper.fact_in("SHA-256", &a.sha256.to_string(), Face::Mono, 7.6);
    paper.label("SHA-512");
    paper.text((MARGIN, paper.y + 7.0), Face::Mono, HASH_SIZE, &a.sha512);
    paper.space(12.0);
    paper.fact(
        "Taken",
        &format!("{} to {}", seconds_utc(a.began), seconds_utc(a.at)),
    );
    paper.fact("By", &format!("{} ({})", a.by, a.role));
    paper.fact("Where", &a.place);
    paper.fact("How", &how(a));
    paper.fact("On the authority of", &a.authority);
    paper.fact("Why", &a.reason);
    paper.fact("Clock", &clock(a));
    if let Some(network) = &a.clock.network {
        paper.fact("Clock by NTP", &network.in_words());
        for server in &network.servers {
            paper.fact("Time server", &server.in_words());
        }
    }
    if let (Some(began), Some(ended)) = (a.clock.corrected(a.began), a.clock.corrected(a.at)) {
        paper.fact(
            "Taken, corrected",
            &format!("{} to {}", seconds_utc(began), seconds_utc(ended)),
        );
    }
    paper.fact("Note", &a.note);
    if let Some(parent) = &a.parent {
        paper.fact(
            "Made from",
            &format!(
                "{}, with {} part(s) left out or changed",
                parent.exhibit,
                parent.redactions.len()
            ),
        );
    }
    if let Some(alert) = a.alert {
        paper.fact("Raw lines of alert", &alert.to_string());
    }
    paper.fact("Ledger entry", &exhibit.acquired.index.to_string());
    paper.space(8.0);
}

fn how(a: &Acquisition) -> String {
    let mut text = format!("{}, with {} {}", a.method, a.tool.name, a.tool.version);
    if !a.tool.rules_hash.is_empty() {
        text.push_str(&format!(", rules {}", a.tool.rules_hash));
    }
    text
}

fn clock(a: &Acquisition) -> String {
    let c = &a.clock;
    if c.synchronised {
        format!(
            "kept by NTP or PTP; off by {} \u{b5}s, at most {} \u{b5}s ({}); time zone {}",
            c.offset_microseconds, c.error_bound_microseconds, c.told_by, c.time_zone
        )
    } else {
        format!(
            "not known to be kept by NTP or PTP ({}); time zone {}",
            c.told_by, c.time_zone
        )
    }
}

pub(crate) fn custody(dossier: &Dossier, paper: &mut Paper<'_>) {
    paper.chapter("Custody");
    let mut rows: Vec<(u64, Vec<String>)> = Vec::new();
    for step in dossier.exhibits.iter().flat_map(|e| &e.custody) {
        rows.push((
            step.index,
            vec![
                seconds_utc(step.what.at())
                    .trim_end_matches(" UTC")
                    .to_owned(),
                step.what.exhibit().to_owned(),
                custody_text(&step.what),
                step.index.to_string(),
            ],
        ));
    }
    if rows.is_empty() {
        paper.paragraph("Nothing to tell: there is no exhibit.");
        return;
    }
    rows.sort();
    let count = rows.len();
    let rows: Vec<Vec<String>> = rows.into_iter().take(ROWS_MAX).map(|(_, r)| r).collect();
    table(
        paper,
        &[
            column("TIME (UTC)", 19.0),
            column("EXHIBIT", 18.0),
            column("WHAT WAS DONE", 54.0),
            column("ENTRY", 9.0),
        ],
        &rows,
    );
    if count > ROWS_MAX {
        paper.note(&format!(
            "The first {ROWS_MAX} of {count} steps; all of them are in the custody.json files."
        ));
    }
    paper.note(
        "Nobody gets an exhibit's bytes before that is on the ledger. What is not in this table \
         did not pass through Posse.",
    );
}
