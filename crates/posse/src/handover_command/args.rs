//! `posse handover …` on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use model::{OutcomeKind, Timestamp};

use crate::{
    case_command::{Acting, time, word},
    cli::StateArgs,
};

#[derive(Debug, Subcommand)]
pub(crate) enum HandoverCommand {
    /// Offer a referral or a court pack to an organisation, signed with this ledger's key.
    Offer(OfferArgs),
    /// Send an offer that is on record to the hub again.
    Send(OneArgs),
    /// Take what was offered, check it, and sign for it.
    Receive(ReceiveArgs),
    /// Take in the receipt that the receiver sent as a file.
    Take(TakeArgs),
    /// Refuse what was offered, with the reason.
    Decline(DeclineArgs),
    /// Ask for more, under a stated basis and with a deadline.
    Ask(AskArgs),
    /// Answer a request for more.
    Answer(AnswerArgs),
    /// Tell what came of it.
    Outcome(OutcomeArgs),
    /// List hand-overs; those that nobody signed for show how long they have waited.
    List(HandoverListArgs),
}

impl HandoverCommand {
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        match self {
            // These read or write files of the caller.
            Self::Offer(_) | Self::Receive(_) | Self::Take(_) => None,
            Self::Send(a) => Some(&a.acting.state),
            Self::Decline(a) => Some(&a.one.acting.state),
            Self::Ask(a) => Some(&a.one.acting.state),
            Self::Answer(a) => Some(&a.one.acting.state),
            Self::Outcome(a) => Some(&a.one.acting.state),
            Self::List(a) => Some(&a.state),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct OfferArgs {
    /// A referral's number (REF-2026-0001), or a court pack: a folder or a ZIP file.
    pub(crate) what: String,
    /// The organisation that is to receive it.
    #[arg(long, value_name = "ORG")]
    pub(crate) to: String,
    /// The case, of a court pack.
    #[arg(long, value_name = "CASE")]
    pub(crate) case: Option<String>,
    /// Offer it at the hub that this machine is a member of.
    #[arg(long)]
    pub(crate) hub: bool,
    /// Write package and offer into this folder, to be carried by hand.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct OneArgs {
    /// The hand-over: HO-2026-0001, or acme/HO-2026-0001 where another organisation offered it.
    pub(crate) handover: String,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct SideArgs {
    #[command(flatten)]
    pub(crate) of: HandoverOf,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct HandoverOf {
    /// The hand-over: HO-2026-0001, or acme/HO-2026-0001 where another organisation offered it.
    pub(crate) handover: String,
    /// At the hub that this machine is a member of.
    #[arg(long)]
    pub(crate) hub: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReceiveArgs {
    /// The hand-over at the hub (acme/HO-2026-0001), or the package that was carried here.
    pub(crate) what: String,
    /// At the hub that this machine is a member of.
    #[arg(long, conflicts_with = "offer")]
    pub(crate) hub: bool,
    /// The offer that came with a package carried here.
    #[arg(long, value_name = "FILE")]
    pub(crate) offer: Option<PathBuf>,
    /// Where the package, or the receipt for one carried here, is written.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) to: PathBuf,
    /// Take and check it, but do not sign for it yet.
    #[arg(long, requires = "hub")]
    pub(crate) unsigned: bool,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct TakeArgs {
    /// The receipt: HO-2026-0001.receipt.json.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) acting: Acting,
}

#[derive(Args, Debug)]
pub(crate) struct DeclineArgs {
    #[command(flatten)]
    pub(crate) one: SideArgs,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
}

#[derive(Args, Debug)]
pub(crate) struct AskArgs {
    #[command(flatten)]
    pub(crate) one: SideArgs,
    /// What is asked for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) wish: String,
    /// Under which law or order.
    #[arg(long, value_name = "TEXT")]
    pub(crate) legal_basis: String,
    /// By when: 2026-12-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) due: Timestamp,
}

#[derive(Args, Debug)]
pub(crate) struct AnswerArgs {
    #[command(flatten)]
    pub(crate) one: SideArgs,
    /// The request: RQ-1.
    #[arg(long, value_name = "REQUEST")]
    pub(crate) request: String,
    /// The answer, or the hand-over that brings it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) answer: String,
}

#[derive(Args, Debug)]
pub(crate) struct OutcomeArgs {
    #[command(flatten)]
    pub(crate) one: SideArgs,
    /// arrests, charges, convictions, seizures, servers-taken-down, hosts-cleaned,
    /// money-recovered, no-action, other.
    #[arg(long, value_parser = word::<OutcomeKind>)]
    pub(crate) kind: OutcomeKind,
    /// How many.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) count: u64,
    /// When [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) when: Option<Timestamp>,
    /// Who says so, by what document.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: String,
    /// Anything else.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) note: String,
}

#[derive(Args, Debug)]
pub(crate) struct HandoverListArgs {
    /// Fetch first what the hub knows: receipts, requests, outcomes.
    #[arg(long)]
    pub(crate) hub: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
