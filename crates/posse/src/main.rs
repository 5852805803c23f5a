//! First aid against cybercrime. This crate is the command line and the wiring, nothing else:
//! every decision is made in a room, every effect is started from here.

mod alert_command;
mod board;
mod budget;
mod case_command;
mod cli;
mod clock;
mod collect;
mod config;
mod content;
mod control;
mod crew;
mod deadlines;
mod doctor;
mod drill;
mod evidence_keeper;
mod exhibit_command;
mod exit;
mod explain;
mod facts;
mod feed;
mod fleet_command;
mod geoip;
mod guard;
mod handover_command;
mod hub_command;
mod import;
mod ink;
mod ledger_command;
mod manual;
mod operator;
mod order;
mod pack_command;
mod person_command;
mod record;
mod refer_command;
mod replay;
mod rules_command;
mod rules_lint;
mod rules_test;
mod sandbox;
mod service;
mod shield;
mod state;
mod status;
mod subject_command;
mod watch;
mod what_if;
mod witness_command;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use anyhow::Result;
use clap::{CommandFactory as _, Parser as _};
use cli::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(io::stdout());
    let outcome = dispatch(&cli, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    match outcome {
        Ok(exit) => exit.into(),
        // `posse … | head` is no fault.
        Err(e) if is_broken_pipe(&e) => Exit::Success.into(),
        Err(e) => {
            eprintln!("posse: {e:#}");
            Exit::Failure.into()
        }
    }
}

fn dispatch(cli: &Cli, out: &mut dyn Write) -> Result<Exit> {
    if let Some(arguments) = cli.command.state_of_owner() {
        service::step_down(&state::folder(arguments.state.as_deref())?)?;
    }
    match &cli.command {
        Command::Run(arguments) => guard::run(arguments),
        Command::Guard(arguments) => guard::enforce_only(arguments),
        Command::Hub(arguments) => hub_command::run(arguments, out),
        Command::Keys(command) => hub_command::keys(command, out),
        Command::Members(arguments) => hub_command::members(arguments, out),
        Command::Join(arguments) => fleet_command::join(arguments, out),
        Command::Explain(arguments) => fleet_command::explain(arguments, out),
        Command::Replay(arguments) => replay::run(arguments, out),
        Command::Drill(arguments) => drill::run(arguments, out),
        Command::Ban(arguments) => operator::ban(arguments, out),
        Command::Unban(arguments) => operator::unban(arguments, out),
        Command::Bans(arguments) => operator::bans(arguments, out),
        Command::Alerts(arguments) => alert_command::run(arguments, out),
        Command::Status(arguments) => operator::status(arguments, out),
        Command::Watch(arguments) => watch::run(arguments, out),
        Command::Doctor(arguments) => doctor::run(arguments, out),
        Command::Ledger(command) => ledger_command::run(command, out),
        Command::Witness(arguments) => witness_command::run(arguments, out),
        Command::Verify(arguments) => pack_command::verify(arguments, out),
        Command::Case(command) => case_command::run(command, out),
        Command::Refer(arguments) => refer_command::run(arguments, out),
        Command::Handover(command) => handover_command::run(command, out),
        Command::Intake(command) => refer_command::intake(command, out),
        Command::Exhibit(command) => exhibit_command::run(command, out),
        Command::Person(command) => person_command::run(command, out),
        Command::Subject(arguments) => subject_command::run(arguments, out),
        Command::Rules(command) => rules_command::run(command, out),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "posse", out);
            Ok(Exit::Success)
        }
        Command::Service(command) => service::run(command, out),
        Command::Manual { dir } => manual::write(dir, out),
        Command::DrillPart(arguments) => drill::part(arguments),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
