//! The child of one step: waits for its turn, reads, writes, says how it went, and ends in time.

use std::{
    ffi::OsString,
    io::{self, BufWriter, Read as _, Write},
    path::PathBuf,
    process, thread,
    time::Duration,
};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use super::{
    Step, actions::FORMAT, files, helper::Report, processes, sessions, sheet::Sheet, sockets,
    tables,
};
use crate::{clock, exit::Exit};

/// After its time a child is given this long to come to its own end.
const LATE: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub(crate) struct PartArgs {
    step: Step,
    #[arg(long)]
    seconds: u64,
    #[arg(long)]
    bytes: u64,
    details: Vec<OsString>,
}

pub(crate) fn run(arguments: &PartArgs) -> Result<Exit> {
    let mut turn = [0; 1];
    // Whoever started it is gone, or does not want it.
    if io::stdin().read(&mut turn)? == 0 {
        return Ok(Exit::Success);
    }
    let time = Duration::from_secs(arguments.seconds);
    let watch = move || {
        thread::sleep(time + LATE);
        report(
            false,
            "the time for it was over, in the middle of a read",
            1,
            Vec::new(),
        );
        process::exit(i32::from(Exit::Degraded.code()));
    };
    thread::Builder::new()
        .name("watchdog".into())
        .spawn(watch)?;
    let mut out = BufWriter::new(io::stdout());
    let mut sheet = Sheet::new(&mut out, arguments.bytes, time);
    let outcome = read(arguments, &mut sheet);
    let (rows, faults) = sheet.end();
    let outcome = outcome.and_then(|()| out.flush());
    // Its last byte is out before it says so.
    drop(out);
    let why = outcome.as_ref().err().map(ToString::to_string);
    report(outcome.is_ok(), &why.unwrap_or_default(), rows, faults);
    Ok(Exit::Success)
}

fn report(complete: bool, why: &str, rows: u64, faults: Vec<String>) {
    let report = Report {
        complete,
        why: why.to_owned(),
        rows,
        faults,
    };
    if let Ok(line) = serde_json::to_string(&report) {
        eprintln!("{line}");
    }
}

fn read(arguments: &PartArgs, sheet: &mut Sheet<'_>) -> io::Result<()> {
    let step = arguments.step;
    if step != Step::Journal {
        let head = json!({
            "format": FORMAT, "step": step.word(), "began": clock::now(),
            "uid": rustix::process::geteuid().as_raw(),
        });
        sheet.raw(format!("{head}\n").as_bytes())?;
    }
    match step {
        Step::Sockets => sockets::read(sheet),
        Step::Neighbours => tables::neighbours(sheet),
        Step::Routes => tables::routes(sheet),
        Step::Firewall => tables::firewall(sheet),
        Step::Processes => processes::read(sheet),
        Step::Sessions => sessions::read(sheet),
        Step::Modules => tables::modules(sheet),
        Step::Mounts => tables::mounts(sheet),
        Step::Journal => files::journal(&arguments.details, sheet),
        // Its files were opened where the paths are known.
        Step::Logs => Ok(()),
        Step::Disk => {
            let paths = arguments.details.iter().map(PathBuf::from).collect();
            files::disk(paths, sheet)
        }
    }
}
