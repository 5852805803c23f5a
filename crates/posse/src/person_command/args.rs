//! `posse person …` on the command line, and `--as` of what takes two people.

use std::path::PathBuf;

use casework::persons::PersonKey;
use clap::{Args, Subcommand};

use crate::cli::{ListArgs, StateArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum PersonCommand {
    /// Make your own key, in a file sealed under a passphrase; prints its public half.
    Key(KeyArgs),
    /// Enrol a person's key, by the word of persons who are enrolled.
    Enroll(EnrollArgs),
    /// Revoke a person's key: nothing that it signs from then on counts.
    Revoke(RevokeArgs),
    /// Who is enrolled, since when, by whose word.
    List(ListArgs),
}

#[derive(Args, Debug)]
pub(crate) struct KeyArgs {
    /// The person's name, as the record will show it.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The file to make; must not exist. Keep it where only this person can get it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// A file whose first line is the passphrase [default: asked for twice on the terminal].
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct EnrollArgs {
    /// The person's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// The public half, as `posse person key` printed it.
    #[arg(long, value_name = "PUBLIC", value_parser = public)]
    pub(crate) key: PersonKey,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The person's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

/// Whose key signs.
#[derive(Args, Clone, Debug)]
pub(crate) struct Signing {
    /// The key file of the person who does it; `posse person key` makes one.
    #[arg(long = "as", value_name = "KEYFILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A file whose first line is its passphrase [default: asked for on the terminal].
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

fn public(text: &str) -> Result<PersonKey, String> {
    PersonKey::parse(text.trim()).map_err(|e| e.to_string())
}

impl PersonCommand {
    /// `None` where key files are the caller's, who may read what the owner of the state may not.
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        match self {
            Self::Key(_) | Self::Enroll(_) | Self::Revoke(_) => None,
            Self::List(a) => Some(&a.state),
        }
    }
}
