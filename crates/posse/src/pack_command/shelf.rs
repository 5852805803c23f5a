//! An exhibit's bytes, after the look is on the ledger.

use std::{io::Read, path::Path};

use anyhow::{Context as _, Result};
use evidence::{Look, Vault};

use crate::{clock, record::StateLedger};

pub(super) fn open(state: &Path, exhibit: &str, by: &str, reason: &str) -> Result<Box<dyn Read>> {
    let vault = Vault::open(state, clock::now)
        .with_context(|| format!("cannot open the vault in {}", state.display()))?;
    let look = Look {
        by,
        how: "pack",
        reason,
    };
    let looked = vault.look(&StateLedger(state.to_owned()), exhibit, &look)?;
    Ok(Box::new(looked.bytes))
}
