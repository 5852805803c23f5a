//! Root's command line steps down to the owner of the state folder before it touches it.
//!
//! The service's user owns that folder. Files that root left there would lock the service out, and
//! a link that an intruder in the service laid there would be followed with root's rights.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result};
use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{
        CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_groups,
        set_thread_res_gid, set_thread_res_uid,
    },
};

/// For a process with one thread, before anything is opened. Keeps the right to change the
/// kernel's table. Does nothing without root, without the folder, or when root owns it.
pub(crate) fn step_down(state: &Path) -> Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let Ok(folder) = fs::symlink_metadata(state) else {
        return Ok(());
    };
    if !folder.is_dir() || folder.uid() == 0 {
        return Ok(());
    }
    become_owner(Uid::from_raw(folder.uid()), Gid::from_raw(folder.gid()))
        .with_context(|| format!("cannot act as the owner of {}", state.display()))
}

fn become_owner(user: Uid, group: Gid) -> rustix::io::Result<()> {
    set_keep_capabilities(true)?;
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    let kernel_table = CapabilitySet::NET_ADMIN;
    set_capabilities(
        None,
        CapabilitySets {
            effective: kernel_table,
            permitted: kernel_table,
            inheritable: CapabilitySet::empty(),
        },
    )
}
