//! The hand that signs: a person's key file, opened for one act.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use casework::{
    jurisdiction::same_person,
    persons::{Persons, Signer},
};
use evidence::person_key::{SealedKey, read_passphrase};

use super::{Signing, terminal};
use crate::{case_command::Acting, cli::StateArgs, service, state};

/// A key file as it was read by whoever called; it is opened when the act is known to be possible.
#[derive(Debug)]
pub(crate) struct Hand {
    sealed: Option<SealedKey>,
    passphrase: Option<String>,
    by: Option<String>,
    /// As it was typed, for the commands in errors.
    state: String,
}

impl Hand {
    /// Reads the caller's files, then becomes the owner of the state folder.
    pub(crate) fn of(acting: &Acting, signing: &Signing) -> Result<Self> {
        Self::take(&acting.state, acting.by.clone(), signing)
    }

    pub(super) fn take(state: &StateArgs, by: Option<String>, signing: &Signing) -> Result<Self> {
        let sealed = signing.key_file.as_deref().map(SealedKey::read);
        let passphrase = signing.passphrase_file.as_deref().map(read_passphrase);
        let (sealed, passphrase) = (sealed.transpose()?, passphrase.transpose()?);
        let folder = state::folder(state.state.as_deref())?;
        service::step_down(&folder)?;
        let named = |dir: &PathBuf| format!(" --state {}", shown(dir));
        Ok(Self {
            sealed,
            passphrase,
            by,
            state: state.state.as_ref().map_or_else(String::new, named),
        })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.sealed.is_none()
    }

    /// Opens the key for something that takes two people.
    pub(crate) fn of_two(&self, persons: &Persons, command: &str) -> Result<Signer> {
        self.two_are_enrolled(persons)?;
        if self.sealed.is_none() {
            bail!(
                "it takes two persons, each with their own key: {command}{} --as KEYFILE",
                self.state
            );
        }
        self.open(persons)
    }

    fn two_are_enrolled(&self, persons: &Persons) -> Result<()> {
        let state = &self.state;
        let mut enrolled = persons.enrolled();
        let first = match (enrolled.next(), enrolled.next()) {
            (Some(_), Some(_)) => return Ok(()),
            (first, _) => first,
        };
        let key = "each makes a key of their own:\n  posse person key --name NAME --out KEYFILE";
        let later = format!("  posse person enroll{state} --name NAME --key PUBLIC --as KEYFILE");
        match first {
            None => bail!(
                "it takes two persons with keys of their own, and nobody is enrolled; {key}\n\
                 the first is enrolled:\n  posse person enroll{state} --name NAME --key PUBLIC\n\
                 and the second by the word of the first:\n{later}"
            ),
            Some(one) => bail!(
                "it takes two persons with keys of their own, and only {} is enrolled; \
                 {key}\nand another person is enrolled by the word of {}:\n{later}",
                one.name,
                one.name
            ),
        }
    }

    /// Opens the key, whose person must be enrolled.
    pub(super) fn open(&self, persons: &Persons) -> Result<Signer> {
        let sealed = self.sealed.as_ref().context("--as KEYFILE is missing")?;
        let name = sealed.name();
        if let Some(by) = &self.by
            && !same_person(by, name)
        {
            bail!("--by says {by:?}, the key file is of {name:?}; leave --by away");
        }
        let mut enrolled = persons.enrolled().peekable();
        if enrolled.peek().is_none() {
            bail!("nobody is enrolled yet; the first one is enrolled without --as");
        }
        if !enrolled.any(|one| one.key == sealed.key() && same_person(&one.name, name)) {
            bail!(
                "the key of {name} is not enrolled here (`posse person list{}`); someone who is \
                 must run:\n  posse person enroll{} --name {} --key {} --as KEYFILE",
                self.state,
                self.state,
                shown(Path::new(name)),
                sealed.key()
            );
        }
        let passphrase = match &self.passphrase {
            Some(passphrase) => passphrase.clone(),
            None => terminal::ask(&format!("passphrase of {name}: "))?,
        };
        Ok(sealed.open(&passphrase)?)
    }
}

/// As a word of a shell.
pub(super) fn shown(word: &Path) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them_otherwise() {
        for (word, text) in [
            ("/var/lib/posse", "/var/lib/posse"),
            ("duty officer", "'duty officer'"),
            ("o'neil; rm", "'o'\\''neil; rm'"),
            ("", "''"),
        ] {
            assert_eq!(shown(Path::new(word)), text);
        }
    }
}
