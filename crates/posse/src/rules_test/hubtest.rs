//! `posse rules test --hubtest`: the hub's tests on this engine.

use std::io::Write;

use anyhow::{Result, bail};

use crate::{cli::RulesTestArgs, exit::Exit};

pub(crate) fn run(_arguments: &RulesTestArgs, _out: &mut dyn Write) -> Result<Exit> {
    bail!("--hubtest: this build cannot run the hub's tests; see `posse rules test --help`")
}
