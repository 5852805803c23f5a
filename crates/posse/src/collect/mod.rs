//! `posse exhibit collect`: live response on this machine, in the order of volatility (RFC 3227,
//! section 2.1), each step an exhibit, the list of steps one too.
//!
//! What only root may read is read by children, one a step, that were started before this process
//! became the owner of the state folder; each waits for its turn and then writes what it reads into
//! a pipe, from where it is hashed and sealed as it comes. A child that hangs costs its own step
//! only. A step that fails, or is left out, is on the list with its reason.

mod actions;
mod files;
mod helper;
mod part;
mod processes;
mod sessions;
mod sheet;
mod sockets;
mod tables;

use std::{io::Write, path::PathBuf, time::Duration};

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use evidence::EvidenceError;
use sense::SourceSpec;

pub(crate) use part::{PartArgs, run as part};

use crate::{
    budget::Bytes,
    case_command::Acting,
    clock,
    config::Config,
    exhibit_command::{Desk, Taking, check_case, check_class},
    exit::Exit,
    guard, service, state,
};
use actions::{Action, Actions, End};
use files::LogFile;
use helper::{Got, Helper};

const STEP_TIME: &str = "2m";
const STEP_BYTES: &str = "256M";

#[derive(Args, Debug)]
pub(crate) struct CollectArgs {
    /// Only these steps; may be given again. The others are on the list as left out.
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// List what lies here with hashes, instead of [evidence] collect_paths; may be given again.
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
    /// How long a step may take.
    #[arg(long, value_name = "TIME", default_value = STEP_TIME, value_parser = model::parse_duration)]
    time: Duration,
    /// How much a step, or one log, may bring; of a longer log the end is taken.
    #[arg(long, value_name = "BYTES", default_value = STEP_BYTES)]
    bytes: Bytes,
    /// Configuration whose sources, paths, time servers and retention to go by.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    taking: Taking,
    #[command(flatten)]
    acting: Acting,
}

/// In the order in which they are taken: what is gone first comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Step {
    /// TCP and UDP sockets with the processes that hold them.
    Sockets,
    /// The neighbour tables (ARP, NDP).
    Neighbours,
    /// Routes.
    Routes,
    /// The nftables rule set with all sets.
    Firewall,
    /// Processes, and the hashes of the programs that they run.
    Processes,
    /// Who is logged in.
    Sessions,
    /// Loaded kernel modules.
    Modules,
    /// What is mounted where.
    Mounts,
    /// The journal since boot, if it is a source.
    Journal,
    /// The log files of the sources.
    Logs,
    /// Files with their hashes; not their bytes.
    Disk,
}

impl Step {
    const fn word(self) -> &'static str {
        match self {
            Self::Sockets => "sockets",
            Self::Neighbours => "neighbours",
            Self::Routes => "routes",
            Self::Firewall => "firewall",
            Self::Processes => "processes",
            Self::Sessions => "sessions",
            Self::Modules => "modules",
            Self::Mounts => "mounts",
            Self::Journal => "journal",
            Self::Logs => "logs",
            Self::Disk => "disk",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Sockets => "Open sockets with their processes",
            Self::Neighbours => "Neighbour tables",
            Self::Routes => "Routes",
            Self::Firewall => "Firewall rules and ban sets",
            Self::Processes => "Running processes",
            Self::Sessions => "Logged-in sessions",
            Self::Modules => "Loaded kernel modules",
            Self::Mounts => "Mounts",
            Self::Journal => "Journal since boot",
            Self::Logs => "Log",
            Self::Disk => "Files on disk with their hashes",
        }
    }
}

/// What a step is carried out by; made ready while we still are who called.
enum Ready {
    LeftOut(&'static str),
    Helper(Result<Helper>),
    Logs(Vec<LogFile>),
}

pub(crate) fn run(arguments: &CollectArgs, out: &mut dyn Write) -> Result<Exit> {
    let config = Config::load(arguments.config.as_deref()).map_err(|d| anyhow!("{d}"))?;
    check_class(&config, &arguments.taking.class)?;
    if arguments.taking.authority.trim().is_empty() {
        return Err(EvidenceError::Empty { what: "authority" }.into());
    }
    let dir = state::folder(arguments.acting.state.state.as_deref())?;
    let sources = guard::sources(&config);
    let steps: Vec<(Step, Ready)> = Step::value_variants()
        .iter()
        .map(|step| (*step, make_ready(*step, arguments, (&config, &sources))))
        .collect();
    service::step_down(&dir)?;
    let desk = Desk::at(&arguments.acting)?.asking(&config);
    desk.tidy();
    check_case(&desk, &arguments.taking)?;
    let (seconds, bytes) = (arguments.time.as_secs(), arguments.bytes.0);
    let bounds = format!("exhibit collect; a step has {seconds} s and {bytes} bytes at most");
    let mut actions = Actions::new(&desk, &arguments.taking, bounds);
    let count = steps.len();
    for (number, (step, ready)) in (1..).zip(steps) {
        eprintln!("posse: {number}/{count} {}", step.word());
        take(step, ready, arguments, &mut actions);
        if let Some(done) = actions.last() {
            eprintln!("posse:   {}", done.in_words());
        }
    }
    actions.finish(arguments.acting.json, out)
}

fn make_ready(
    step: Step,
    arguments: &CollectArgs,
    (config, sources): (&Config, &[SourceSpec]),
) -> Ready {
    if !arguments.only.is_empty() && !arguments.only.contains(&step) {
        return Ready::LeftOut("not asked for");
    }
    let details = match step {
        Step::Logs => return Ready::Logs(files::open_logs(sources)),
        Step::Journal => match files::journal_matches(sources) {
            Some(matches) => matches,
            None => return Ready::LeftOut("no source is a journal"),
        },
        Step::Disk => {
            let paths = if arguments.path.is_empty() {
                &config.evidence.collect_paths
            } else {
                &arguments.path
            };
            if paths.is_empty() {
                return Ready::LeftOut("no paths are named");
            }
            let paths = paths.iter().map(|path| path.as_os_str().to_owned());
            paths.collect()
        }
        _ => Vec::new(),
    };
    Ready::Helper(Helper::start(
        step,
        arguments.time,
        arguments.bytes.0,
        details,
    ))
}

fn take(step: Step, ready: Ready, arguments: &CollectArgs, actions: &mut Actions<'_>) {
    let action = Action::begin(step, clock::now());
    match ready {
        Ready::LeftOut(why) => actions.push(action.end(End::LeftOut, why.to_owned())),
        Ready::Helper(Err(e)) => actions.push(action.end(End::Failed, format!("{e:#}"))),
        Ready::Helper(Ok(helper)) => {
            let name = format!("{}.jsonl", step.word());
            let name = if step == Step::Journal {
                "journal.export"
            } else {
                &name
            };
            actions.exhibit(action, name, &mut |desk| {
                let mut stream = helper.go()?;
                let incoming = desk.vault.take_in(&mut stream)?;
                Ok((incoming, stream.ended()))
            });
        }
        Ready::Logs(logs) if logs.is_empty() => {
            actions.push(action.end(End::LeftOut, "no source is a file".to_owned()));
        }
        Ready::Logs(logs) => {
            for log in logs {
                take_log(log, arguments, actions);
            }
        }
    }
}

fn take_log(log: LogFile, arguments: &CollectArgs, actions: &mut Actions<'_>) {
    let action = Action::begin(Step::Logs, clock::now()).of(log.path.display().to_string());
    let file = match log.file {
        Ok(file) => file,
        Err(why) => return actions.push(action.end(End::Failed, why)),
    };
    let name = log
        .path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    let name = name.unwrap_or_else(|| "log".to_owned());
    actions.exhibit(action, &name, &mut |desk| {
        let mut tail = files::Tail::of(&file, arguments.bytes.0, arguments.time)?;
        let incoming = desk.vault.take_in(&mut tail)?;
        Ok::<(_, Got), anyhow::Error>((incoming, tail.ended()))
    });
}
