//! `posse exhibit …` on the command line.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use model::{Timestamp, Tlp};

use crate::{
    case_command::{Acting, time},
    cli::{ListArgs, StateArgs},
    collect::{CollectArgs, PartArgs},
    person_command::Signing,
};

#[derive(Debug, Subcommand)]
pub(crate) enum ExhibitCommand {
    /// Take a file, standard input or an alert's raw lines as evidence; prints the number.
    Add(AddArgs),
    /// Live response: take what this machine's memory and disks show, the most fleeting first.
    Collect(CollectArgs),
    #[command(hide = true)]
    CollectPart(PartArgs),
    /// List the exhibits.
    List(ListExhibitsArgs),
    /// Show how an exhibit was acquired, and its custody; not the bytes.
    Show(OneArgs),
    /// Print an exhibit's bytes. The look is on the ledger before the first one.
    View(ViewArgs),
    /// Write an exhibit's bytes to a file. The look is on the ledger before the first one.
    Export(ExportArgs),
    /// Make a new exhibit in which ranges of this one are not shown.
    Redact(RedactArgs),
    /// Make a new exhibit of one range of this one.
    Extract(ExtractArgs),
    /// Read exhibits again and compare them with their hashes; clear away what a crash left.
    Verify(VerifyArgs),
    /// Keep an exhibit until two people release it, or a time has come.
    Hold(HoldArgs),
    /// Ask that a hold be released; another person must agree, each with their own key.
    Release(ReleaseArgs),
    /// Ask that an exhibit be destroyed; another person must agree, each with their own key.
    Purge(RequestArgs),
    /// Agree to what another person asked for: it is done at once.
    Agree(AnswerArgs),
    /// Refuse or withdraw what was asked for.
    Decline(DeclineArgs),
    /// Destroy what policy no longer keeps; a running guard does so daily.
    Retire(RetireArgs),
    /// Which key seals the exhibits, and what becomes of them without it.
    Key(ListArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// The file; `-` reads standard input.
    #[arg(
        value_name = "FILE",
        required_unless_present = "alert",
        conflicts_with = "alert"
    )]
    pub(crate) file: Option<PathBuf>,
    /// An alert, by its id or the first four digits or more: its raw lines, and the rules that it
    /// came from.
    #[arg(long, value_name = "ALERT")]
    pub(crate) alert: Option<String>,
    /// What it is [default: the file's name].
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Configuration whose rules, sources and retention to go by.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) taking: Taking,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// What must be said of everything that is taken as evidence.
#[derive(Args, Clone, Debug)]
pub(crate) struct Taking {
    /// The contract, consent or order that allows it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) authority: String,
    /// Why it is taken.
    #[arg(long, value_name = "TEXT", default_value = "evidence of an attack")]
    pub(crate) reason: String,
    /// The case it belongs to.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// How long it is kept: evidence, log, personal, or a class of [evidence] retention.
    #[arg(long, value_name = "CLASS", default_value = "evidence")]
    pub(crate) class: String,
    /// Who may be told (TLP 2.0).
    #[arg(long, default_value = "amber")]
    pub(crate) tlp: Tlp,
    /// As what you take it: administrator, investigator.
    #[arg(long, value_name = "TEXT", default_value = "operator")]
    pub(crate) role: String,
    /// Where it was taken [default: this machine's name].
    #[arg(long, value_name = "TEXT")]
    pub(crate) place: Option<String>,
    /// What its bytes are [default: application/octet-stream].
    #[arg(long, value_name = "TYPE")]
    pub(crate) media_type: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ListExhibitsArgs {
    /// Only those of this case.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The exhibit: EX-2026-000001.
    pub(crate) exhibit: String,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ViewArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// Why it is looked at.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who looks [default: the login name].
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ExportArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// The file to write; must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) to: PathBuf,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct RedactArgs {
    /// The exhibit to make it from.
    pub(crate) exhibit: String,
    /// Bytes that are not shown: FROM-TO, the first and the one after the last; may be given
    /// again.
    #[arg(long, value_name = "FROM-TO", required = true, value_parser = range)]
    pub(crate) range: Vec<(u64, u64)>,
    /// Why they are not shown.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct ExtractArgs {
    /// The exhibit to make it from.
    pub(crate) exhibit: String,
    /// The bytes that are shown: FROM-TO, the first and the one after the last.
    #[arg(long, value_name = "FROM-TO", value_parser = range)]
    pub(crate) range: (u64, u64),
    /// Why only these.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The exhibits [default: all].
    pub(crate) exhibits: Vec<String>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Args, Debug)]
pub(crate) struct HoldArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// Who asked for it, by which order or request.
    #[arg(long, value_name = "TEXT")]
    pub(crate) authority: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// When it ends by itself.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct ReleaseArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// The hold, as `posse exhibit show` names it.
    #[arg(long, value_name = "HOLD")]
    pub(crate) hold: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct RequestArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct AnswerArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// The request, as it was printed when it was made.
    pub(crate) request: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct DeclineArgs {
    /// The exhibit.
    pub(crate) exhibit: String,
    /// The request.
    pub(crate) request: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct RetireArgs {
    /// Only say what would be destroyed.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Say it for this long from now; only with --dry-run.
    #[arg(long, value_name = "TIME", requires = "dry_run", value_parser = model::parse_duration)]
    pub(crate) ahead: Option<Duration>,
    /// Configuration whose [evidence] retention to go by.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let bad = || format!("{text:?} is no range such as 100-250");
    let (from, to) = text.split_once('-').ok_or_else(bad)?;
    let (from, to) = (
        from.parse().map_err(|_| bad())?,
        to.parse().map_err(|_| bad())?,
    );
    if from < to {
        Ok((from, to))
    } else {
        Err(bad())
    }
}

impl ExhibitCommand {
    /// Of those that touch nothing but the state folder.
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        Some(match self {
            // They open files where the caller may and the owner of the state folder may not.
            Self::Add(_)
            | Self::Collect(_)
            | Self::CollectPart(_)
            | Self::Export(_)
            | Self::Release(_)
            | Self::Purge(_)
            | Self::Agree(_)
            | Self::Decline(_) => return None,
            Self::List(a) => &a.list.state,
            Self::Show(a) => &a.list.state,
            Self::View(a) => &a.state,
            Self::Redact(a) => &a.acting.state,
            Self::Extract(a) => &a.acting.state,
            Self::Verify(a) => &a.list.state,
            Self::Hold(a) => &a.acting.state,
            Self::Retire(a) => &a.list.state,
            Self::Key(a) => &a.state,
        })
    }
}
