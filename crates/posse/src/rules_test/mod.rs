//! `posse rules test`: does detection content do what it says? Each kind of content brings its
//! own form of test; this module only chooses the runner.

mod hubtest;
mod own;

use std::io::Write;

use anyhow::{Result, bail};

use crate::{cli::RulesTestArgs, exit::Exit};

pub(crate) fn run(arguments: &RulesTestArgs, out: &mut dyn Write) -> Result<Exit> {
    if arguments.hubtest {
        hubtest::run(arguments, out)
    } else if arguments.fail2ban {
        bail!("--fail2ban: this build cannot run fail2ban's samples; see `posse rules test --help`")
    } else if arguments.sigma.is_some() {
        bail!("--sigma: this build cannot run Sigma rules; see `posse rules test --help`")
    } else {
        own::run(arguments.dir.as_deref(), out)
    }
}
