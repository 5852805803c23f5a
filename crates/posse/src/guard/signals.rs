//! Signals and the control socket's doorbell, as descriptors that the sensors can wait on.

use std::{
    io::{self, Read as _},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// What a signal asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Reload,
    Stop,
}

/// SIGTERM and SIGINT stop, SIGHUP reloads.
pub(super) struct Signals {
    stop: UnixStream,
    reload: UnixStream,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let (stop, ring_stop) = pair()?;
        let (reload, ring_reload) = pair()?;
        signal_hook::low_level::pipe::register(SIGTERM, ring_stop.try_clone()?)?;
        signal_hook::low_level::pipe::register(SIGINT, ring_stop)?;
        signal_hook::low_level::pipe::register(SIGHUP, ring_reload)?;
        Ok(Self { stop, reload })
    }

    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.stop.as_fd(), self.reload.as_fd()]
    }

    pub(super) fn take(&self) -> Wish {
        if drain(&self.stop) {
            Wish::Stop
        } else if drain(&self.reload) {
            Wish::Reload
        } else {
            Wish::Nothing
        }
    }
}

/// Rung when a control request waits.
pub(super) struct Bell {
    near: UnixStream,
}

impl Bell {
    /// The bell and the button that rings it.
    pub(super) fn hang() -> io::Result<(Self, UnixStream)> {
        let (near, far) = pair()?;
        Ok((Self { near }, far))
    }

    pub(super) fn hush(&self) {
        drain(&self.near);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near.as_fd()
    }
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((near, far))
}

fn drain(mut stream: &UnixStream) -> bool {
    let mut bytes = [0; 64];
    let mut rung = false;
    while stream.read(&mut bytes).is_ok_and(|n| n > 0) {
        rung = true;
    }
    rung
}
