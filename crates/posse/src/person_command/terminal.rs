//! Asking for a passphrase where nobody sees it.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
};

use anyhow::{Context as _, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

const TERMINAL: &str = "/dev/tty";
const BYTES_MAX: u64 = 1024;

/// One line, typed unseen.
pub(super) fn ask(prompt: &str) -> Result<String> {
    let mut terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .context("there is no terminal to ask for the passphrase on; give --passphrase-file")?;
    let before = tcgetattr(&terminal).context("cannot read how the terminal is set")?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(&terminal, OptionalActions::Flush, &silent).context("cannot silence the terminal")?;
    let _restored = Restored(terminal.try_clone()?, before);
    write!(terminal, "{prompt}")?;
    let mut line = String::new();
    BufReader::new(&terminal)
        .take(BYTES_MAX)
        .read_line(&mut line)?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => bail!("no passphrase was typed"),
    }
}

/// The same twice, since nobody sees what they type.
pub(super) fn ask_anew() -> Result<String> {
    let first = ask("new passphrase: ")?;
    if ask("the same again: ")? != first {
        bail!("the two passphrases differ; nothing was made");
    }
    Ok(first)
}

struct Restored(File, Termios);

impl Drop for Restored {
    fn drop(&mut self) {
        // Nothing better can be done with a terminal that is gone.
        let _ = tcsetattr(&self.0, OptionalActions::Flush, &self.1);
    }
}
