//! The command line's own definition. Help, completions and the manual come from here.

mod ledger;
mod rules;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::{Prefix, parse_duration};

use crate::{
    case_command::CaseCommand,
    exhibit_command::ExhibitCommand,
    handover_command::HandoverCommand,
    hub_command::HubOrder,
    pack_command::PackVerifyArgs,
    person_command::PersonCommand,
    refer_command::{IntakeCommand, ReferArgs},
    subject_command::SubjectArgs,
};

pub(crate) use ledger::{
    LedgerCommand, LedgerWitnessCommand, RotateArgs, VerifyArgs, WitnessAction, WitnessArgs,
};
pub(crate) use rules::{
    EnableArgs, ExplainArgs, ImportArgs, RefreshArgs, RulesCommand, RulesTestArgs,
};

/// First aid against cybercrime: see the attack, ban it in the kernel, keep the record.
#[derive(Debug, Parser)]
#[command(name = "posse", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, \
    3 done with less than asked for, 4 refused by the never-ban guard."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch this machine: find its logs, detect attacks, ban them, record everything.
    Run(RunArgs),
    /// Enforce a hub's bans and an operator's, without watching any log; for small machines.
    Guard(RunArgs),
    /// Make this machine a member of a hub, by a token of `posse hub invite`.
    Join(JoinArgs),
    /// One ban set for many machines: serve it, invite members, revoke them.
    Hub(HubArgs),
    /// Keys for programs that speak CrowdSec's Local API, fetch feeds or send OpenC2, on a hub.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// The members of a hub: generation, lag, last contact, version.
    Members(ListArgs),
    /// What is known of an address: here, from the hub, and why.
    Explain(AddressArgs),
    /// Run the same detection over recorded logs, in the recording's own time.
    Replay(ReplayArgs),
    /// A live-fire exercise in network namespaces: attack, alert, ban and proof, with times.
    Drill(DrillArgs),
    /// Ban an address or network now.
    Ban(BanArgs),
    /// Lift a ban, or all of them.
    Unban(UnbanArgs),
    /// List the bans in force.
    Bans(ListArgs),
    /// List the latest alerts, with the lines that caused them; acknowledge them, try the channels.
    #[command(visible_alias = "alert", args_conflicts_with_subcommands = true)]
    Alerts(AlertsArgs),
    /// What the running guard sees, does and records.
    Status(ListArgs),
    /// The live stream of a running guard: every alert, ban and notice as it happens.
    Watch(ListArgs),
    /// What would be watched on this machine, what not, and why; what enforcement can do.
    Doctor(DoctorArgs),
    /// The tamper-evident record: verify, export, rebuild; its witnesses and time stamps.
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Be a witness for the ledgers of others: cosign what only ever grows.
    #[command(args_conflicts_with_subcommands = true)]
    Witness(WitnessArgs),
    /// Cases: what belongs together, who is hurt, what was done, what came of it.
    #[command(subcommand)]
    Case(CaseCommand),
    /// Refer a case: one referral for each country it touches, cut to that country's share.
    Refer(ReferArgs),
    /// Hand a referral or a court pack over, get a receipt, and what follows.
    #[command(subcommand)]
    Handover(HandoverCommand),
    /// Orders by which authorities ask this operator for data, with their clocks.
    #[command(subcommand)]
    Intake(IntakeCommand),
    /// Evidence: take it in, look at it on record, keep it, destroy it by two people.
    #[command(subcommand)]
    Exhibit(ExhibitCommand),
    /// Persons with keys of their own, for what takes two of them.
    #[command(subcommand)]
    Person(PersonCommand),
    /// What is held about one address, account or party, for a request for access.
    Subject(SubjectArgs),
    /// Check a court pack, offline: what it proves, by whom, and what not.
    Verify(PackVerifyArgs),
    /// Detection content: list it, check it, test it.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Make this program a service of the machine, or take it away again.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Print a shell completion script.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages and completions into a folder.
    #[command(hide = true)]
    Manual { dir: PathBuf },
    #[command(hide = true)]
    DrillPart(DrillPartArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct StateArgs {
    /// Where bans, alerts and the ledger are kept [default: /var/lib/posse as root, else
    /// $XDG_STATE_HOME/posse].
    #[arg(long, value_name = "DIR", env = "POSSE_STATE")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// Configuration file [default: /etc/posse/posse.toml if it exists, else what is found].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Never touch the kernel: detect, decide and record only.
    #[arg(long)]
    pub(crate) observe: bool,
    /// Print one JSON object a line for everything that happens.
    #[arg(long)]
    pub(crate) json: bool,
    /// End when every source has ended (standard input closed), instead of waiting.
    #[arg(long)]
    pub(crate) until_end: bool,
    #[arg(skip)]
    pub(crate) duty: Duty,
}

/// How much of a guard's work is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Duty {
    #[default]
    Everything,
    /// No log is read and no rule loaded.
    EnforceOnly,
}

#[derive(Args, Debug)]
pub(crate) struct JoinArgs {
    /// The hub: https://hub.example.net:7443.
    #[arg(value_name = "URL")]
    pub(crate) hub: uplink::HubUrl,
    /// What `posse hub invite` printed; `-` reads it from standard input.
    pub(crate) token: String,
    /// How this machine calls itself [default: its host name].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Leave the hub that was joined before.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Configuration whose [fleet] table says what is accepted and shared.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct AddressArgs {
    pub(crate) address: std::net::IpAddr,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct HubArgs {
    #[command(subcommand)]
    pub(crate) action: Option<HubCommand>,
    /// Address and port to serve all doors on: 192.0.2.1:8443, [::]:8443. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// DNS name that members reach this hub by; may be given again.
    #[arg(long, value_name = "DNS")]
    pub(crate) name: Vec<String>,
    /// The hub's own organisation, set at the first start [default: hub].
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<hub::OrgId>,
    /// Serve metrics at http://ADDR:PORT/metrics; keep it on loopback.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
    /// Who runs which network (GeoLite2-ASN or of that kind, .mmdb), so that reports from one
    /// autonomous system count as what they are.
    #[arg(long, value_name = "FILE")]
    pub(crate) asn: Option<PathBuf>,
    /// Configuration whose [ledger] table names witnesses and time stamping authorities.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// End when standard input does.
    #[arg(long, hide = true)]
    pub(crate) while_input: bool,
    /// Run the hub as a child, again when it ends, until standard input ends.
    #[arg(long, hide = true)]
    pub(crate) keep: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum HubCommand {
    /// Print a one-time token for `posse join`.
    Invite(InviteArgs),
    /// Revoke a member, or all of an organisation: certificates and keys no longer count, and
    /// open streams are cut.
    Revoke(RevokeArgs),
    /// Make an organisation a member of a community; both are made if they do not exist.
    Admit(MembershipArgs),
    /// End an organisation's membership in a community. Its bans there end with their time.
    Expel(MembershipArgs),
    /// Answer for an organisation that nobody knows yet, as if it had been right so many times:
    /// the first members of a community have nobody to confirm them.
    Vouch(VouchArgs),
    /// What a community takes: show it, or change it.
    Rules(CommunityRulesArgs),
    /// People who log in with a password and a one-time code.
    #[command(subcommand)]
    People(PeopleCommand),
}

#[derive(Args, Debug)]
pub(crate) struct InviteArgs {
    /// The organisation it joins as; made if it does not exist.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: hub::OrgId,
    /// What it may do: guard, analyst, partner, police, witness.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: fleet::Role,
    /// A community it takes part in; may be given again [default: main].
    #[arg(long, value_name = "NAME")]
    pub(crate) community: Vec<hub::CommunityId>,
    /// How long the token may be used: 30m, 1h, 7d.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub(crate) duration: std::time::Duration,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RevokeArgs {
    /// The organisation.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: hub::OrgId,
    /// Only this member of it, as `posse members` names it.
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct MembershipArgs {
    /// The organisation.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: hub::OrgId,
    /// The community.
    #[arg(long, value_name = "NAME")]
    pub(crate) community: hub::CommunityId,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct VouchArgs {
    /// The organisation.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: hub::OrgId,
    /// The community.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) community: hub::CommunityId,
    /// Reports that it is taken to have been right with.
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) reports: u32,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a key or a machine, and print its credentials once.
    Add(KeyAddArgs),
    /// List keys and machines.
    List(ListArgs),
    /// Let a machine that registered by itself log in.
    Accept(KeyAcceptArgs),
    /// Take a key or machine away.
    Remove(KeyRemoveArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KeyWord {
    /// Reads bans: a firewall bouncer, a feed's reader.
    Bouncer,
    /// Reports alerts: a CrowdSec agent.
    Machine,
}

impl From<KeyWord> for hub::KeyKind {
    fn from(word: KeyWord) -> Self {
        match word {
            KeyWord::Bouncer => Self::Bouncer,
            KeyWord::Machine => Self::Machine,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct KeyAddArgs {
    /// What to call it; a machine logs in by this name.
    pub(crate) name: String,
    /// What it is for.
    #[arg(long)]
    pub(crate) kind: KeyWord,
    /// A password of your own for a machine, or a bouncer's key that exists already
    /// [default: one is made].
    #[arg(long, value_name = "TEXT")]
    pub(crate) password: Option<String>,
    /// The organisation it acts for [default: the hub's own].
    #[arg(long, value_name = "NAME")]
    pub(crate) org: Option<hub::OrgId>,
    /// The community it reads and reports to [default: main].
    #[arg(long, value_name = "NAME")]
    pub(crate) community: Option<hub::CommunityId>,
    /// Print the credentials as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct KeyAcceptArgs {
    /// The machine's name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct KeyRemoveArgs {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    #[arg(long)]
    pub(crate) kind: KeyWord,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

impl InviteArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::Invite {
            organisation: self.org.clone(),
            role: self.role,
            communities: self.community.clone(),
            seconds: self.duration.as_secs().max(1),
        }
    }
}

impl RevokeArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::Revoke {
            organisation: self.org.clone(),
            name: self.member.clone(),
        }
    }
}

impl MembershipArgs {
    pub(crate) fn admit(&self) -> HubOrder {
        HubOrder::Admit {
            organisation: self.org.clone(),
            community: self.community.clone(),
        }
    }

    pub(crate) fn expel(&self) -> HubOrder {
        HubOrder::Expel {
            organisation: self.org.clone(),
            community: self.community.clone(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct CommunityRulesArgs {
    /// The community.
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) community: hub::CommunityId,
    /// The strictest label that belongs here: clear, green, amber, amber+strict, red.
    #[arg(long, value_name = "LABEL")]
    pub(crate) tlp: Option<model::Tlp>,
    /// The widest IPv4 network that a member may ban, as a prefix length.
    #[arg(long, value_name = "BITS")]
    pub(crate) widest_ipv4: Option<u8>,
    /// The widest IPv6 network that a member may ban, as a prefix length.
    #[arg(long, value_name = "BITS")]
    pub(crate) widest_ipv6: Option<u8>,
    /// Bans that one organisation may issue in an hour.
    #[arg(long, value_name = "N")]
    pub(crate) bans_per_hour: Option<u32>,
    /// A network that nobody bans here; may be given again.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) never: Vec<Prefix>,
    /// Take a network off that list; may be given again.
    #[arg(long, value_name = "NETWORK")]
    pub(crate) not_never: Vec<Prefix>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PeopleCommand {
    /// Let somebody in; prints the password and the authenticator's link once.
    Add(PersonAddArgs),
    /// List who may log in.
    List(ListArgs),
    /// Let somebody in no longer; their tokens end at once.
    Remove(PersonRemoveArgs),
}

#[derive(Args, Debug)]
pub(crate) struct PersonAddArgs {
    /// The name to log in by.
    pub(crate) name: String,
    /// The organisation they belong to; made if it does not exist.
    #[arg(long, value_name = "NAME")]
    pub(crate) org: hub::OrgId,
    /// What they may do: analyst, partner.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: fleet::Role,
    /// A password of their own, 12 characters or more [default: one is made].
    #[arg(long, value_name = "TEXT")]
    pub(crate) password: Option<String>,
    /// Print the credentials as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PersonRemoveArgs {
    /// The name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

impl PersonAddArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::AddPerson {
            name: self.name.clone(),
            organisation: self.org.clone(),
            role: self.role,
            password: self.password.clone(),
        }
    }
}

impl CommunityRulesArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::Rule {
            community: self.community.clone(),
            change: hub::RulesChange {
                tlp_ceiling: self.tlp,
                widest_ipv4: self.widest_ipv4,
                widest_ipv6: self.widest_ipv6,
                bans_per_hour: self.bans_per_hour,
                never: self.never.clone(),
                not_never: self.not_never.clone(),
            },
        }
    }
}

impl VouchArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::Vouch {
            organisation: self.org.clone(),
            community: self.community.clone(),
            reports: self.reports,
        }
    }
}

impl KeyAddArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::AddKey {
            name: self.name.clone(),
            kind: self.kind.into(),
            organisation: self.org.clone(),
            community: self.community.clone(),
            secret: self.password.clone(),
        }
    }
}

impl KeyRemoveArgs {
    pub(crate) fn order(&self) -> HubOrder {
        HubOrder::RemoveKey {
            name: self.name.clone(),
            kind: self.kind.into(),
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    /// Log files, in order; `-` reads standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// What the lines are: syslog, nginx, apache2, … [default: guessed from the file's name].
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Use the rules in this folder instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    pub(crate) rules: Option<PathBuf>,
    /// Configuration whose [ban] and [never_ban] tables to judge with, and whose [geoip]
    /// databases to look addresses up in.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Say which bans this log would have caused, and which ordinary clients they would have
    /// cut off.
    #[arg(long)]
    pub(crate) what_if: bool,
    /// Record alerts and decisions on a ledger of its own in this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// Threads that read lines; the result is the same with any number [default: one for each
    /// processor].
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Ceiling on the memory of the whole program, such as 256M: the sources that say least of an
    /// attack are forgotten first, and counted.
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory: Option<crate::budget::Bytes>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print only the summary.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DrillArgs {
    /// Print the timeline as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the drill's state folder (ledger, logs) and say where it is.
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DrillRole {
    Attacker,
    Client,
    Guard,
    Service,
}

#[derive(Args, Debug)]
pub(crate) struct DrillPartArgs {
    pub(crate) role: DrillRole,
    /// Folder of the drill (service, guard) or address of the service (attacker, client).
    pub(crate) target: String,
}

#[derive(Args, Debug)]
pub(crate) struct BanArgs {
    /// IPv4 or IPv6 address or network: 203.0.113.9, 203.0.113.0/24, 2001:db8::/64.
    pub(crate) prefix: Prefix,
    /// How long: 30m, 4h, 7d.
    #[arg(long = "for", value_name = "TIME", default_value = "4h", value_parser = parse_duration)]
    pub(crate) duration: std::time::Duration,
    /// Why; goes on the ledger.
    #[arg(long, default_value = "operator's decision")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct UnbanArgs {
    /// The address or network to release; bans within it are lifted too.
    #[arg(required_unless_present = "all")]
    pub(crate) prefix: Option<Prefix>,
    /// The panic button: lift every ban, now.
    #[arg(long, conflicts_with = "prefix")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AlertsArgs {
    #[command(subcommand)]
    pub(crate) action: Option<AlertsCommand>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// How many, newest first.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// Show the raw lines that caused each alert.
    #[arg(long)]
    pub(crate) lines: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Say that somebody looks after a grave alert, so that it does not escalate.
    Ack(AckArgs),
    /// Send a test message by every channel and say what each answered.
    Test(AlertTestArgs),
    /// Print the day so far, as the daily digest tells it.
    Digest(ListArgs),
}

#[derive(Args, Debug)]
pub(crate) struct AckArgs {
    /// The alert's id as messages give it, or its first four digits or more.
    #[arg(required_unless_present = "all")]
    pub(crate) id: Option<String>,
    /// All that wait.
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print the result as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct AlertTestArgs {
    /// Configuration whose channels to try [default: /etc/posse/posse.toml].
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Configuration file to examine.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Install the program, its user, configuration, manual and a hardened unit; start it.
    Install {
        /// Where the program goes: PREFIX/bin/posse.
        #[arg(long, value_name = "PREFIX", default_value = "/usr/local")]
        prefix: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// Stop and remove the service. Bans leave the kernel and stay on record.
    Uninstall {
        /// Where the program was put.
        #[arg(long, value_name = "PREFIX", default_value = "/usr/local")]
        prefix: PathBuf,
        /// Remove bans, alerts, the ledger with its key, and the configuration too.
        #[arg(long)]
        purge: bool,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
    /// What the service manager says of it; `posse status` asks the guard itself.
    Status,
    /// Take every ban out of the kernel. They stay on record: a guard that starts puts those
    /// that are not over back.
    Withdraw,
}

impl Command {
    /// The state folder's argument of a command that only looks at or changes that folder: as
    /// root it can do so as the folder's owner.
    pub(crate) const fn state_of_owner(&self) -> Option<&StateArgs> {
        match self {
            Self::Ban(arguments) => Some(&arguments.state),
            Self::Explain(arguments) => Some(&arguments.state),
            Self::Join(arguments) => Some(&arguments.state),
            Self::Unban(arguments) => Some(&arguments.state),
            Self::Bans(arguments) | Self::Status(arguments) | Self::Watch(arguments) => {
                Some(&arguments.state)
            }
            Self::Alerts(arguments) => arguments.state_of_owner(),
            Self::Ledger(command) => command.state_of_owner(),
            Self::Case(command) => command.state_of_owner(),
            Self::Refer(arguments) => arguments.state_of_owner(),
            Self::Handover(command) => command.state_of_owner(),
            Self::Intake(command) => command.state_of_owner(),
            Self::Exhibit(command) => command.state_of_owner(),
            Self::Person(command) => command.state_of_owner(),
            Self::Subject(arguments) => Some(&arguments.acting.state),
            _ => None,
        }
    }
}

impl AlertsArgs {
    const fn state_of_owner(&self) -> Option<&StateArgs> {
        match &self.action {
            None => Some(&self.state),
            Some(AlertsCommand::Ack(arguments)) => Some(&arguments.state),
            Some(AlertsCommand::Digest(arguments)) => Some(&arguments.state),
            // Reads the channels' secrets, which are root's.
            Some(AlertsCommand::Test(_)) => None,
        }
    }
}
