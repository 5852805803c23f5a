//! The arguments of `posse ledger` and `posse witness`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

use super::StateArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerCommand {
    /// Recompute every hash, signature and table from the payloads up; check what witnesses and
    /// time stamping authorities said of it.
    Verify(VerifyArgs),
    /// Write the log as C2SP tiles that any outsider can audit, with its keys and time stamps.
    Export {
        /// The folder to write; made if it does not exist.
        dir: PathBuf,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Print the log's verifier keys (C2SP vkey), the present one first.
    Key {
        /// Print the keys of the past too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Sign by a new key beside the present one; with --finish, by the new one alone.
    RotateKey(RotateArgs),
    /// Have the checkpoint stamped now by every authority of the configuration (RFC 3161).
    Stamp {
        /// Configuration whose [ledger] table names the authorities [default:
        /// /etc/posse/posse.toml].
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// What the witnesses cosigned, and what went wrong.
    #[command(subcommand)]
    Witness(LedgerWitnessCommand),
    /// Throw the tables (bans, alerts, offenders) away and make them again from the ledger.
    Rebuild {
        #[command(flatten)]
        state: StateArgs,
    },
    /// Print entries as JSON, one a line.
    Show {
        /// First index.
        #[arg(default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 100)]
        limit: u64,
        #[command(flatten)]
        state: StateArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgerWitnessCommand {
    /// One line a witness.
    Status {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        state: StateArgs,
    },
}

#[derive(Args, Debug)]
pub(crate) struct VerifyArgs {
    /// The log's key, as you know it from elsewhere.
    #[arg(long, value_name = "VKEY")]
    pub(crate) vkey: Option<String>,
    /// A witness that must have cosigned; may be given again.
    #[arg(long, value_name = "VKEY")]
    pub(crate) witness: Vec<String>,
    /// A C2SP tlog-policy that the published checkpoint must meet.
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// A file or a folder of checkpoints that were kept elsewhere.
    #[arg(long, value_name = "PATH")]
    pub(crate) old: Vec<PathBuf>,
    /// Configuration whose [ledger] table names the witnesses that must have cosigned.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct RotateArgs {
    /// Once everybody knows the new key: the old one signs no more, and its secret is destroyed.
    #[arg(long)]
    pub(crate) finish: bool,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

impl LedgerCommand {
    pub(super) const fn state_of_owner(&self) -> Option<&StateArgs> {
        match self {
            Self::Key { state, .. }
            | Self::Rebuild { state }
            | Self::Show { state, .. }
            | Self::Witness(LedgerWitnessCommand::Status { state, .. }) => Some(state),
            Self::RotateKey(arguments) => Some(&arguments.state),
            // Export writes where the caller may, the others read files that may be the caller's;
            // the owner of the state folder may not.
            Self::Export { .. } | Self::Stamp { .. } | Self::Verify(_) => None,
        }
    }
}

#[derive(Args, Debug)]
pub(crate) struct WitnessArgs {
    #[command(subcommand)]
    pub(crate) action: Option<WitnessAction>,
    /// Where to serve: 192.0.2.1:7440. Port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The key of a log to cosign from now on; may be given again, and is remembered.
    #[arg(long, value_name = "VKEY")]
    pub(crate) log: Vec<String>,
    /// How this witness calls itself, a schema-less URL; fixed at the first start.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) folder: WitnessFolder,
}

#[derive(Args, Debug)]
pub(crate) struct WitnessFolder {
    /// Where its key and what it cosigned are kept.
    #[arg(
        long,
        value_name = "DIR",
        env = "POSSE_WITNESS_STATE",
        default_value = "/var/lib/posse-witness"
    )]
    pub(crate) state: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WitnessAction {
    /// Print the witness's verifier key (C2SP vkey, type 0x04); it is made if there is none.
    Key {
        #[command(flatten)]
        folder: WitnessFolder,
    },
    /// The logs it cosigns, and how far.
    Logs {
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: WitnessFolder,
    },
}
