//! `posse case …` on the command line.

use clap::{Args, Subcommand};
use model::{MilestoneKind, OutcomeKind, Pap, PartyRole, Prefix, Timestamp, Tlp};
use serde::de::DeserializeOwned;

use crate::{
    cli::{ListArgs, StateArgs},
    pack_command::ExportArgs,
};

#[derive(Debug, Subcommand)]
pub(crate) enum CaseCommand {
    /// Open a case; prints its number.
    Open(OpenArgs),
    /// List the cases.
    List(ListArgs),
    /// Show all that is known of a case.
    Show(OneCaseArgs),
    /// Put alerts into a case, and take their raw lines and rules as evidence.
    AddAlerts(AddAlertsArgs),
    /// Take alerts out of a case again; that they were in it stays on record.
    TakeAlerts(AlertsOfCaseArgs),
    /// Name somebody who has a part in it, or replace what was said of them.
    Party(PartyArgs),
    /// Set a task, or replace it.
    Task(TaskArgs),
    /// Write a note.
    Note(NoteArgs),
    /// State a loss: a range, with where the figure comes from and how it was reckoned.
    Loss(LossArgs),
    /// State something done to stop or to limit the harm.
    Measure(MeasureArgs),
    /// State what others did: a receipt, an order, a takedown, an arrest.
    Milestone(MilestoneArgs),
    /// State what could have been done and was not, and why.
    Forborne(ForborneArgs),
    /// Record what came of it, with who says so.
    Outcome(OutcomeArgs),
    /// Write the case as a court pack: exhibits, proofs, and a report for people.
    Export(ExportArgs),
    /// Time to first aid and time to law, and what lapses when.
    Clocks(ClocksArgs),
    /// What a year's cases came to, by outcome and with who says so.
    Report(ReportArgs),
    /// Close a case.
    Close(ReasonArgs),
    /// Open a closed case again.
    Reopen(ReasonArgs),
}

impl CaseCommand {
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        Some(match self {
            Self::Open(a) => &a.acting.state,
            Self::List(a) => &a.state,
            Self::Show(a) => &a.state,
            Self::Clocks(a) => &a.acting.state,
            Self::Report(a) => &a.list.state,
            // It reads logs where the caller may and the owner of the state folder may not.
            Self::AddAlerts(_) => return None,
            Self::TakeAlerts(a) => &a.acting.state,
            Self::Party(a) => &a.acting.state,
            Self::Task(a) => &a.acting.state,
            Self::Note(a) => &a.acting.state,
            Self::Loss(a) => &a.acting.state,
            Self::Measure(a) => &a.acting.state,
            Self::Milestone(a) => &a.acting.state,
            Self::Forborne(a) => &a.acting.state,
            Self::Outcome(a) => &a.acting.state,
            Self::Close(a) | Self::Reopen(a) => &a.acting.state,
            // Writes where the caller may, which the owner of the state folder may not.
            Self::Export(_) => return None,
        })
    }
}

/// Of every command that changes something.
#[derive(Args, Debug)]
pub(crate) struct Acting {
    /// Who does it [default: the login name].
    #[arg(long, value_name = "NAME")]
    pub(crate) by: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct OneCaseArgs {
    /// The case: CASE-2026-0001.
    pub(crate) case: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ClocksArgs {
    /// The case: CASE-2026-0001.
    pub(crate) case: String,
    /// Learn from the hub when its bans were at every member, and record it in the case.
    #[arg(long)]
    pub(crate) hub: bool,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// The year.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1970..2262))]
    pub(crate) year: u16,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Args, Debug)]
pub(crate) struct OpenArgs {
    /// What it is about, in a few words.
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: String,
    /// Who asked for it and may use it for what: a contract, a complaint, a request.
    #[arg(long, value_name = "TEXT")]
    pub(crate) authority: String,
    /// What for: network security, a complaint to the police.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "network and information security"
    )]
    pub(crate) purpose: String,
    /// Who may be told (TLP 2.0): clear, green, amber, amber+strict, red.
    #[arg(long, default_value = "amber")]
    pub(crate) tlp: Tlp,
    /// What a receiver may do with it (PAP): clear, green, amber, red.
    #[arg(long, default_value = "amber", value_parser = word::<Pap>)]
    pub(crate) pap: Pap,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct AddAlertsArgs {
    #[command(flatten)]
    pub(crate) which: AlertsOfCaseArgs,
    /// Take nothing as evidence.
    #[arg(long)]
    pub(crate) no_exhibits: bool,
    /// How long the evidence is kept: evidence, log, personal, or a class of
    /// [evidence] retention.
    #[arg(long, value_name = "CLASS", default_value = "evidence")]
    pub(crate) class: String,
    /// Configuration whose rules, sources and retention to go by.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<std::path::PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct AlertsOfCaseArgs {
    /// The case.
    pub(crate) case: String,
    /// Alerts by their ids, or the first four digits or more.
    #[arg(required = true, value_name = "ALERT")]
    pub(crate) alerts: Vec<String>,
    /// Why they belong together, or not.
    #[arg(long, default_value = "operator's decision")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct PartyArgs {
    /// The case.
    pub(crate) case: String,
    /// Short name, unique in the case: victim-1.
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// victim, source, infrastructure, provider, witness, responder, authority, other.
    #[arg(long, value_parser = word::<PartyRole>)]
    pub(crate) role: PartyRole,
    /// The name.
    #[arg(long)]
    pub(crate) name: String,
    /// Country, by two letters (ISO 3166-1).
    #[arg(long, value_name = "CC", default_value = "")]
    pub(crate) country: String,
    /// An address of theirs; may be given again.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<std::net::IpAddr>,
    /// A network of theirs; may be given again.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) network: Vec<Prefix>,
    /// How to reach them; may be given again.
    #[arg(long, value_name = "TEXT")]
    pub(crate) contact: Vec<String>,
    /// Anything else.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct TaskArgs {
    /// The case.
    pub(crate) case: String,
    /// Short name, unique in the case.
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// What is to be done.
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: String,
    /// By whom.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) assignee: String,
    /// By when: 2026-12-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) due: Option<Timestamp>,
    /// It is done.
    #[arg(long)]
    pub(crate) done: bool,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct NoteArgs {
    /// The case.
    pub(crate) case: String,
    /// The note.
    pub(crate) text: String,
    /// Who may be told (TLP 2.0).
    #[arg(long, default_value = "amber")]
    pub(crate) tlp: Tlp,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct LossArgs {
    /// The case.
    pub(crate) case: String,
    /// The party that bore it, by its short name.
    #[arg(long, value_name = "ID")]
    pub(crate) party: String,
    /// What was lost.
    #[arg(long, value_name = "TEXT")]
    pub(crate) what: String,
    /// The least it was: 1200.50.
    #[arg(long, value_name = "NUMBER", value_parser = hundredths)]
    pub(crate) low: u64,
    /// The most it was.
    #[arg(long, value_name = "NUMBER", value_parser = hundredths)]
    pub(crate) high: u64,
    /// EUR, USD, hours, bytes.
    #[arg(long, value_name = "UNIT")]
    pub(crate) unit: String,
    /// Who or what says so.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: String,
    /// How it was reckoned.
    #[arg(long, value_name = "TEXT")]
    pub(crate) method: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct MeasureArgs {
    /// The case.
    pub(crate) case: String,
    /// What was done.
    #[arg(long, value_name = "TEXT")]
    pub(crate) what: String,
    /// What was measured of it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) effect: String,
    /// When [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) when: Option<Timestamp>,
    /// A network it was against; may be given again.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) prefix: Vec<Prefix>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct MilestoneArgs {
    /// The case.
    pub(crate) case: String,
    /// referred, received, preservation-asked, preservation-confirmed, order-issued, taken-down,
    /// arrest, other.
    #[arg(long, value_parser = word::<MilestoneKind>)]
    pub(crate) kind: MilestoneKind,
    /// When [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) when: Option<Timestamp>,
    /// Who says so, by what document.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: String,
    /// The referral, request or preservation it belongs to.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) about: String,
    /// Anything else.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    /// When what was granted lapses.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) lapses: Option<Timestamp>,
    /// The instrument, by its name in the table of jurisdictions.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) instrument: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct ForborneArgs {
    /// The case.
    pub(crate) case: String,
    /// What could have been done.
    #[arg(long, value_name = "TEXT")]
    pub(crate) what: String,
    /// Why it was not.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct OutcomeArgs {
    /// The case.
    pub(crate) case: String,
    /// arrests, charges, convictions, seizures, servers-taken-down, hosts-cleaned,
    /// money-recovered, no-action, other.
    #[arg(long, value_parser = word::<OutcomeKind>)]
    pub(crate) kind: OutcomeKind,
    /// When [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) when: Option<Timestamp>,
    /// How many; of money, the sum: 1200.50.
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    pub(crate) count: String,
    /// The currency, of money.
    #[arg(long, value_name = "UNIT", default_value = "")]
    pub(crate) unit: String,
    /// Who says so, by what document.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: String,
    /// Anything else.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct ReasonArgs {
    /// The case.
    pub(crate) case: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// One of a type's words, as the ledger spells them; a dash does for an underscore.
pub(crate) fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.trim().to_ascii_lowercase().replace('-', "_");
    serde_json::from_value(serde_json::Value::String(text)).map_err(|e| e.to_string())
}

pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse::<Timestamp>().map_err(|e| e.to_string())
}

/// `1200.5` as 120050.
pub(crate) fn hundredths(text: &str) -> Result<u64, String> {
    let bad = || format!("{text:?} is no number such as 1200 or 1200.50");
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 2 {
        return Err(bad());
    }
    let part = format!("{part:0<2}");
    let whole: u64 = whole.parse().map_err(|_| bad())?;
    let part: u64 = part.parse().map_err(|_| bad())?;
    whole
        .checked_mul(100)
        .and_then(|n| n.checked_add(part))
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_read_to_the_hundredth() {
        assert_eq!(hundredths("1200.5"), Ok(120_050));
        assert_eq!(hundredths("7"), Ok(700));
        assert_eq!(hundredths("0.05"), Ok(5));
        for bad in ["", ".5", "1.234", "-1", "1e3", "99999999999999999999"] {
            assert!(hundredths(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_are_taken_with_dashes() {
        assert_eq!(word("taken-down"), Ok(MilestoneKind::TakenDown));
        assert!(word::<MilestoneKind>("x").unwrap_err().contains("arrest"));
    }
}
