//! `posse refer …` and `posse intake …` on the command line.

use std::{net::IpAddr, path::PathBuf};

use casework::{
    intake::Urgency,
    jurisdiction::{Country, Field},
    referral::{Attach, Keep, Profile, Stage},
};
use clap::{Args, Subcommand};
use model::Timestamp;

use crate::{
    case_command::{Acting, time},
    cli::{ListArgs, StateArgs},
    person_command::Signing,
};

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ReferArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ReferCommand>,
    /// The case: CASE-2026-0001.
    pub(crate) case: Option<String>,
    /// Only this country, or where an address is (ADDRESS=CC); may be given again.
    #[arg(long, value_name = "CC|ADDRESS=CC", value_parser = placed)]
    pub(crate) country: Vec<Placed>,
    /// What it looks like: police, ic3, europol, preservation, abuse [default: ic3 for the US,
    /// police for all others].
    #[arg(long)]
    pub(crate) profile: Option<Profile>,
    /// A database of countries or networks (MMDB); may be given again [default: as [geoip] says].
    #[arg(long, value_name = "FILE")]
    pub(crate) mmdb: Vec<PathBuf>,
    /// A table of jurisdictions of your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
    /// Also write each referral below this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
    /// As one ZIP file each, instead of a folder each.
    #[arg(long, requires = "to")]
    pub(crate) zip: bool,
    /// The case as it was then: 2026-12-01T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) at: Option<Timestamp>,
    /// Put log lines in too, without what is not of the country's share.
    #[arg(long)]
    lines: bool,
    /// Put each country's part of the exhibits in, whatever the profile [default: with the profiles
    /// police and europol].
    #[arg(long, conflicts_with = "draft")]
    exhibits: bool,
    /// Put no exhibits in, only their numbers and hashes.
    #[arg(long, conflicts_with = "exhibits")]
    no_exhibits: bool,
    /// Write drafts to read, whether or not there is a good contact. Nothing is recorded.
    #[arg(long, requires = "to")]
    draft: bool,
    /// The country of whoever refers [default: as [refer] says].
    #[arg(long, value_name = "CC")]
    pub(crate) own_country: Option<Country>,
    #[arg(
        long,
        value_name = "FILE",
        help = "Configuration file, for its [refer] and [geoip]"
    )]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

impl ReferArgs {
    pub(crate) const fn keep(&self) -> Keep {
        if self.lines { Keep::Lines } else { Keep::Facts }
    }

    pub(crate) const fn attach(&self) -> Attach {
        match (self.exhibits, self.no_exhibits) {
            (true, _) => Attach::Always,
            (false, true) => Attach::Never,
            (false, false) => Attach::Usual,
        }
    }

    pub(crate) const fn stage(&self) -> Stage {
        if self.draft {
            Stage::Draft
        } else {
            Stage::Final
        }
    }

    /// `None` where it writes for the caller.
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        match &self.action {
            Some(ReferCommand::List(a)) => Some(&a.state),
            Some(ReferCommand::Contacts(a)) => Some(&a.state),
            // They read key files, which are the caller's.
            Some(ReferCommand::Confirm(_) | ReferCommand::Agree(_)) => None,
            None if self.to.is_none() => Some(&self.acting.state),
            None => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReferCommand {
    /// List what was referred.
    List(ListArgs),
    /// Say that you looked a contact up. Two people with their own keys make it good.
    Confirm(ConfirmArgs),
    /// What is known of a country's authorities, and what must be confirmed.
    Contacts(ContactsArgs),
    /// Agree that a case goes to a country on the block list. It takes two people with their keys.
    Agree(AgreeArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ConfirmArgs {
    /// The country, by two letters.
    pub(crate) country: Country,
    /// authority, portal, email, telephone, point_24_7, europol_unit, csirt.
    pub(crate) field: Field,
    /// Where you looked it up: an address, a letter, a call.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: String,
    /// What you found [default: what the table, or the last one who looked, says].
    #[arg(long, value_name = "TEXT")]
    pub(crate) value: Option<String>,
    /// A table of jurisdictions of your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct ContactsArgs {
    /// The country, by two letters.
    pub(crate) country: Country,
    /// A table of jurisdictions of your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AgreeArgs {
    /// The case.
    pub(crate) case: String,
    /// The country, by two letters.
    #[arg(long, value_name = "CC")]
    pub(crate) country: Country,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) signing: Signing,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

/// A country to keep to, or where an address is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Placed {
    Only(Country),
    Address(IpAddr, Country),
}

fn placed(text: &str) -> Result<Placed, String> {
    let country = |text: &str| text.parse::<Country>().map_err(|e| e.to_string());
    match text.split_once('=') {
        None => country(text).map(Placed::Only),
        Some((address, code)) => {
            let address = address.trim().parse::<IpAddr>();
            let address = address.map_err(|_| format!("{text:?}: write ADDRESS=CC"))?;
            Ok(Placed::Address(address.to_canonical(), country(code)?))
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum IntakeCommand {
    /// Take an order in; its clock runs from the receipt.
    Add(IntakeAddArgs),
    /// The orders and their clocks; exit code 3 when one is in alarm or overdue.
    List(ListArgs),
    /// Say what was done about an order.
    Step(IntakeStepArgs),
}

impl IntakeCommand {
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        Some(match self {
            Self::Add(a) => &a.acting.state,
            Self::List(a) => &a.state,
            Self::Step(a) => &a.acting.state,
        })
    }
}

#[derive(Args, Debug)]
pub(crate) struct IntakeAddArgs {
    /// What it is: epoc, epoc_pr (Regulation (EU) 2023/1543), national.
    #[arg(long, value_name = "KIND")]
    pub(crate) instrument: String,
    /// The issuing authority.
    #[arg(long, value_name = "NAME")]
    pub(crate) issuer: String,
    /// Its country, by two letters.
    #[arg(long, value_name = "CC")]
    pub(crate) country: Country,
    /// Its file number.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reference: String,
    /// What it asks for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) asks: String,
    /// When it came: 2026-12-01T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) received: Option<Timestamp>,
    /// The deadline of a national order.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) due: Option<Timestamp>,
    /// The order says that it is an emergency: 8 hours.
    #[arg(long)]
    emergency: bool,
    /// The order as it came; its SHA-256 is recorded.
    #[arg(long, value_name = "FILE")]
    pub(crate) document: Option<PathBuf>,
    /// The case it belongs to.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// A table of jurisdictions of your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) table: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

impl IntakeAddArgs {
    pub(crate) const fn urgency(&self) -> Urgency {
        if self.emergency {
            Urgency::Emergency
        } else {
            Urgency::Ordinary
        }
    }
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct IntakeStepArgs {
    /// The order: IN-2026-0001.
    pub(crate) order: String,
    /// The data went out, or the preservation is in place.
    #[arg(long, group = "what")]
    pub(crate) answered: bool,
    /// The authority was told that it cannot be carried out; say why in --note.
    #[arg(long, group = "what")]
    pub(crate) objected: bool,
    /// The authority took it back.
    #[arg(long, group = "what")]
    pub(crate) withdrawn: bool,
    /// The authority set another deadline.
    #[arg(long, group = "what", value_name = "TIME", value_parser = time)]
    pub(crate) moved: Option<Timestamp>,
    /// Anything else.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}
