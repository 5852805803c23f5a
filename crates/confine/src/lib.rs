//! What a running guard may do, and the walls that hold it to that.
//!
//! Stands beside the data's way: `posse` says in a [`Plan`] which files, programs and ports the
//! configuration needs, [`enter`] gives up everything else before the first line is read, and
//! [`tighten`] gives single threads less still. Four walls, each of its own make, so that one with
//! a hole does not open the others: capabilities, landlock (files and TCP ports), seccomp (system
//! calls), and `no_new_privs` (no program that we start can get more than we have).
//!
//! Must not: open anything that it was not told of, trust that the kernel knows every wall (what
//! is missing is said in the [`Report`]), or be undone: nothing here can be taken back, by us
//! neither. `docs/sandbox.md` says what each wall holds.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod calls;
mod capabilities;
mod config;
mod error;
mod filter;
pub mod permissions;
mod plan;
mod report;
mod walls;

pub use capabilities::{Capability, may_see_other_processes};
pub use config::{Mode, SandboxConfig};
pub use error::ConfineError;
pub use filter::Denied;
pub use plan::{Access, Plan, Ports};
pub use report::{Report, probe};

/// Threads that have walls of their own within those of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    /// Runs every parser and rule over attackers' text.
    Guard,
    /// Reads `/proc` and the resolver's files; see [`tighten`].
    Facts,
}

/// Gives up what `plan` does not name, for this thread and all it starts from now on. Call it
/// while the process has no other threads but those that [`tighten`] themselves.
///
/// What the kernel does not know is left out and named in the report; with [`Mode::Require`] it
/// is an error instead.
pub fn enter(plan: &Plan, mode: Mode, denied: Denied) -> Result<Report, ConfineError> {
    let mut report = Report::new(mode);
    if mode == Mode::Off {
        return Ok(report);
    }
    // The order matters: landlock and seccomp may need a capability on kernels that refuse
    // no_new_privs, and once the calls are filtered nothing else can be given up.
    rustix::thread::set_no_new_privs(true).map_err(ConfineError::NoNewPrivileges)?;
    report.no_new_privileges = true;
    walls::build(plan, &mut report)?;
    capabilities::keep(&plan.capabilities, &mut report)?;
    filter::install_process(denied, &mut report)?;
    if mode == Mode::Require && !report.gaps.is_empty() {
        return Err(ConfineError::Incomplete {
            gaps: report.gaps.join("; "),
        });
    }
    Ok(report)
}

/// Gives the calling thread only the system calls that its work needs.
///
/// The facts thread starts before [`enter`], because landlock would hide from it which processes
/// hold which connections; it keeps the two capabilities for looking at them, and can neither
/// write, nor use the network, nor start anything.
pub fn tighten(thread: Thread, denied: Denied) -> Result<(), ConfineError> {
    rustix::thread::set_no_new_privs(true).map_err(ConfineError::NoNewPrivileges)?;
    match thread {
        Thread::Guard => filter::install_thread(calls::GUARD, denied),
        Thread::Facts => {
            capabilities::keep_to_look()?;
            filter::install_thread(calls::FACTS, denied)
        }
    }
}
