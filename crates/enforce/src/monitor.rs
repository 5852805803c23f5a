//! Tells when somebody else changed our table.

use std::os::fd::{AsFd, BorrowedFd};

use crate::{
    decode::{self, Message, Messages},
    error::EnforceError,
    firewall::Firewall,
    socket::{GROUP_NFTABLES, Received, Socket},
    wire::{INET, Kind, SUBSYS},
};

/// Datagrams read at one call, so that a flood of changes cannot hold the caller.
const DATAGRAMS_PER_READ_MAX: usize = 4_096;

/// What the monitor saw since it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Nothing that concerns our table.
    Quiet,
    /// Somebody else changed our table, or so much happened that we cannot know: call
    /// [`Firewall::ensure`], then reconcile against [`Firewall::dump`].
    Changed,
}

/// A subscription to nf_tables notifications. Poll [`AsFd`] for reading, then call
/// [`Monitor::read`]. What `firewall` does itself is not reported.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    table: String,
    own_port: u32,
}

impl Monitor {
    pub fn open(firewall: &Firewall) -> Result<Self, EnforceError> {
        let socket = Socket::open(GROUP_NFTABLES)?;
        socket.ignore_port(firewall.port());
        Ok(Self {
            socket,
            table: firewall.table().to_owned(),
            own_port: firewall.port(),
        })
    }

    /// Reads all that is waiting; never blocks.
    pub fn read(&mut self) -> Result<Sighting, EnforceError> {
        let mut sighting = Sighting::Quiet;
        for _ in 0..DATAGRAMS_PER_READ_MAX {
            match self.socket.receive()? {
                Received::Nothing => break,
                Received::Overrun => sighting = Sighting::Changed,
                Received::Datagram(bytes) => {
                    if Messages(bytes).any(|m| concerns(m, &self.table, self.own_port)) {
                        sighting = Sighting::Changed;
                    }
                }
            }
        }
        Ok(sighting)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

pub(crate) fn concerns(message: Message<'_>, table: &str, own_port: u32) -> bool {
    // In every nf_tables message but the generation's the first attribute names the table.
    message.kind >> 8 == SUBSYS
        && message.kind != Kind::NewGen.message_type()
        && message.port != own_port
        && message.family() == Some(INET)
        && message
            .attrs()
            .find(1)
            .is_some_and(|name| decode::text(name) == table)
}
