//! `posse rules test`: does detection content do what it says? Each kind of content brings its
//! own form of test; this module only chooses the runner.

mod fail2ban;
mod hubtest;
mod own;
mod sigma;

use std::io::Write;

use anyhow::Result;

use crate::{cli::RulesTestArgs, exit::Exit};

pub(crate) fn run(arguments: &RulesTestArgs, out: &mut dyn Write) -> Result<Exit> {
    if arguments.hubtest {
        hubtest::run(arguments, out)
    } else if arguments.fail2ban {
        fail2ban::run(arguments, out)
    } else if arguments.sigma.is_some() {
        sigma::run(arguments, out)
    } else {
        own::run(arguments.dir.as_deref(), out)
    }
}
