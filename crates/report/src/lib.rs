//! The report of a court pack, for people: one PDF that a prosecutor can read and print.
//!
//! Stands beside `casework::pack`, which puts the PDF into the pack. Pure: a [`casework::Dossier`]
//! goes in, bytes come out; the same dossier gives the same bytes. PDF/A-2u, with the fonts in it.
//! It says nothing that the ledger does not say.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

mod chapters;
mod exhibits;
mod glossary;
mod page;
mod pdf;
mod picture;
mod table;
mod typeface;

use casework::Dossier;

pub use pdf::ReportError;

/// What the report tells of the ledger, besides the dossier.
#[derive(Clone, Debug, Default)]
pub struct LedgerFacts {
    /// The log's name and size at the checkpoint that the pack's proofs lead to.
    pub origin: String,
    pub size: u64,
    /// The root hash, lower-case hex.
    pub root: String,
    pub key: String,
    /// Witnesses whose signature is on that checkpoint.
    pub witnesses: Vec<String>,
    /// Authorities whose time stamps are in the pack.
    pub stamps: Vec<String>,
}

/// Rows of any one table; what is more is in the pack's other files, and the report says so.
pub const ROWS_MAX: usize = 400;

/// The report as a PDF. `document_id` names it; the same case and clock should give the same.
pub fn render(
    dossier: &Dossier,
    ledger: &LedgerFacts,
    document_id: &str,
) -> Result<Vec<u8>, ReportError> {
    let faces = typeface::Faces::load().ok_or(ReportError::Font)?;
    let mut paper = page::Paper::new(&faces);
    chapters::write(dossier, ledger, &mut paper);
    pdf::draw(paper.finish(), &faces, dossier, document_id)
}

#[cfg(test)]
mod tests;
