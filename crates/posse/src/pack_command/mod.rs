//! Court packs on the command line: `posse case export` and `posse verify`.

mod export;
mod keeper;
mod reproduce;
mod rules;
mod shelf;
mod verify;

use std::path::PathBuf;

use clap::Args;
use model::Timestamp;

use crate::case_command::Acting;

pub(crate) use export::run as export;
pub(crate) use verify::run as verify;

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The case: CASE-2026-0001.
    pub(crate) case: String,
    /// Where to: a folder that is not there yet, or a file that ends in .zip. With --age, a file
    /// that ends in .zip.age.
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) to: PathBuf,
    /// Encrypt to this recipient (age1…); may be given again.
    #[arg(long, value_name = "RECIPIENT")]
    pub(crate) age: Vec<courtpack::Recipient>,
    /// The case as it stood then: 2026-11-21T20:15:00Z [default: now]. The same case at the same
    /// time gives the same pack.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<Timestamp>,
    /// Why, for the record of those who looked at the exhibits.
    #[arg(long, value_name = "TEXT", default_value = "court pack")]
    pub(crate) reason: String,
    /// Configuration whose [rules] raised the alerts.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Pack the rules in this folder instead.
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct PackVerifyArgs {
    /// The pack: a folder or a ZIP file.
    pub(crate) pack: PathBuf,
    /// The ledger's key as its owner gave it to you: name+hash+base64; may be given again.
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Vec<String>,
    /// A witness's key as it gave it to you; may be given again. All of them must have signed.
    #[arg(long, value_name = "VKEY")]
    pub(crate) witness: Vec<String>,
    /// A policy for witnesses (c2sp.org/tlog-policy) that the pack must meet.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// The certificate of the time stamping authority, as you got it from it (PEM).
    #[arg(long, value_name = "FILE")]
    pub(crate) tsa: Option<PathBuf>,
    /// Run the packed rules over the packed lines, and compare with the packed alerts.
    #[arg(long)]
    pub(crate) reproduce: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
