//! Questions to the kernel and batches of changes, each with its answer. IO over `socket`.

use crate::{
    decode::{self, Message, Messages, Status},
    error::EnforceError,
    socket::{Received, Socket},
    wire::{
        Batch, F_DUMP, F_DUMP_INTR, INET, Kind, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN, Writer,
    },
};

/// Whether the reader of an answer wants more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    More,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    /// The rules changed while it was given, so parts may be missing.
    Torn,
    /// The reader had enough.
    Stopped,
}

/// A socket to nf_tables, and the number of the last message.
#[derive(Debug)]
pub(crate) struct Exchange {
    socket: Socket,
    seq: u32,
}

impl Exchange {
    pub(crate) fn open() -> Result<Self, EnforceError> {
        Ok(Self {
            socket: Socket::open(0)?,
            seq: 0,
        })
    }

    pub(crate) const fn port(&self) -> u32 {
        self.socket.port()
    }

    /// A batch whose numbers follow those used before.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.seq)
    }

    /// See [`Socket::reserve_send`].
    pub(crate) fn reserve_send(&self, bytes: usize) -> Result<usize, EnforceError> {
        self.socket.reserve_send(bytes)
    }

    /// Asks the kernel for something; `each` gets every message of the answer.
    pub(crate) fn request(
        &mut self,
        kind: Kind,
        flags: u16,
        fill: &mut dyn FnMut(&mut Writer),
        each: &mut dyn FnMut(Message<'_>) -> Next,
    ) -> Result<Answer, EnforceError> {
        const DOING: &str = "read the firewall";
        self.seq = self.seq.wrapping_add(1);
        let mut writer = Writer::default();
        let mark = writer.message(kind.message_type(), flags, INET, 0, self.seq);
        fill(&mut writer);
        writer.end_message(mark);
        if flags & F_DUMP != F_DUMP {
            // Even a single answer is closed by an acknowledgement then.
            writer.acknowledge_last();
        }
        self.drain(DOING)?;
        self.socket.send(writer.bytes())?;
        let mut answer = Answer::Whole;
        loop {
            let datagram = match self.socket.receive()? {
                Received::Datagram(bytes) => bytes,
                Received::Overrun => return Err(EnforceError::Overrun { operation: DOING }),
                Received::Nothing => return Err(EnforceError::NoReply { operation: DOING }),
            };
            for message in Messages(datagram).filter(|m| m.seq == self.seq) {
                if message.flags & F_DUMP_INTR != 0 {
                    answer = Answer::Torn;
                }
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => return finish(message, DOING).map(|()| answer),
                    NLMSG_OVERRUN => return Err(EnforceError::Overrun { operation: DOING }),
                    _ => {
                        if each(message) == Next::Stop {
                            // A dump under way ends with its socket.
                            self.socket.reopen()?;
                            return Ok(Answer::Stopped);
                        }
                    }
                }
            }
        }
    }

    /// Sends a batch and reads what the kernel says of it.
    pub(crate) fn commit(
        &mut self,
        batch: &mut Batch,
        doing: &'static str,
    ) -> Result<(), EnforceError> {
        let last = batch.seq();
        let bytes = batch.finish();
        self.drain(doing)?;
        self.socket.send(bytes)?;
        self.seq = batch.seq();
        let mut acknowledged = false;
        let mut failure = None;
        loop {
            let datagram = match self.socket.receive()? {
                Received::Datagram(bytes) => bytes,
                Received::Overrun => return Err(EnforceError::Overrun { operation: doing }),
                Received::Nothing => break,
            };
            for message in Messages(datagram).filter(|m| m.kind == NLMSG_ERROR) {
                match finish(message, doing) {
                    Ok(()) => acknowledged |= message.seq == last,
                    // The first error is the cause; the others follow from it.
                    Err(error) => failure = failure.or(Some(error)),
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if acknowledged => Ok(()),
            None => Err(EnforceError::NoReply { operation: doing }),
        }
    }

    /// Throws away what an earlier exchange left behind.
    fn drain(&mut self, doing: &'static str) -> Result<(), EnforceError> {
        while !matches!(self.socket.receive()?, Received::Nothing) {
            tracing::debug!(doing, "a late reply was dropped");
        }
        Ok(())
    }
}

fn finish(message: Message<'_>, operation: &'static str) -> Result<(), EnforceError> {
    let status = decode::status(message).ok_or(EnforceError::Malformed { operation })?;
    match status {
        Status { errno: 0, .. } => Ok(()),
        Status {
            errno: libc::EPERM, ..
        } => Err(EnforceError::NotPermitted { operation }),
        Status { errno, text } => Err(EnforceError::Kernel {
            operation,
            errno,
            message: text,
        }),
    }
}
