//! The netlink socket. IO, and this room's only unsafe code: three socket options for which
//! `rustix` has no call.
//!
//! nf_tables answers within `send`: when it returns, every reply is already in the receive
//! buffer. So nothing here waits, and a missing answer is an error rather than a hang.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname,
        netlink::{NETFILTER, SocketAddrNetlink},
        recvfrom, sendto, socket_with, sockopt,
    },
};

use crate::error::EnforceError;

/// Larger than any datagram the kernel builds for a dump (it stops at 32 KiB).
const DATAGRAM_BYTES_MAX: usize = 128 << 10;
const SEND_BUFFER_BYTES: usize = 8 << 20;
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
/// What the kernel keeps of the send buffer for itself; generous.
const SEND_OVERHEAD_BYTES: usize = 4 << 10;
const SOL_NETLINK: i32 = 270;
const NETLINK_CAP_ACK: i32 = 10;
const NETLINK_EXT_ACK: i32 = 11;
/// Multicast group `NFNLGRP_NFTABLES` (7) as a bit.
pub(crate) const GROUP_NFTABLES: u32 = 1 << 6;

#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    port: u32,
    groups: u32,
    buffer: Vec<u8>,
}

/// What came of asking for the next datagram.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    Datagram(&'a [u8]),
    /// The kernel had more to say than the buffer holds; something was lost.
    Overrun,
    Nothing,
}

impl Socket {
    pub(crate) fn open(groups: u32) -> Result<Self, EnforceError> {
        let fd = create()?;
        bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(bind_failed)?;
        let address = getsockname(&fd).map_err(|e| failed("read the address", e))?;
        let address =
            SocketAddrNetlink::try_from(address).map_err(|e| failed("read the address", e))?;
        let buffer = vec![0; DATAGRAM_BYTES_MAX];
        let socket = Self {
            fd,
            port: address.pid(),
            groups,
            buffer,
        };
        socket.configure()?;
        Ok(socket)
    }

    /// Replaces the socket by a new one of the same port: the only way to end a dump early.
    pub(crate) fn reopen(&mut self) -> Result<(), EnforceError> {
        // The old one must go first for its port to be free.
        self.fd = create()?;
        bind(&self.fd, &SocketAddrNetlink::new(self.port, self.groups)).map_err(bind_failed)?;
        self.configure()
    }

    fn configure(&self) -> Result<(), EnforceError> {
        // Better errors, shorter replies; a kernel without them (before 4.12) still works.
        set_flag(self.fd.as_fd(), NETLINK_EXT_ACK);
        set_flag(self.fd.as_fd(), NETLINK_CAP_ACK);
        if sockopt::set_socket_recv_buffer_size_force(&self.fd, RECEIVE_BUFFER_BYTES).is_err() {
            sockopt::set_socket_recv_buffer_size(&self.fd, RECEIVE_BUFFER_BYTES)
                .map_err(|e| failed("size the receive buffer", e))?;
        }
        self.reserve_send(SEND_BUFFER_BYTES).map(drop)
    }

    pub(crate) const fn port(&self) -> u32 {
        self.port
    }

    /// Makes room for a datagram of `bytes` if the kernel lets us, and returns the size that fits.
    pub(crate) fn reserve_send(&self, bytes: usize) -> Result<usize, EnforceError> {
        let fits = self.send_size()?;
        if fits >= bytes {
            return Ok(fits);
        }
        // The kernel doubles the number it is given.
        let wanted = bytes / 2 + SEND_OVERHEAD_BYTES;
        if sockopt::set_socket_send_buffer_size_force(&self.fd, wanted).is_err() {
            sockopt::set_socket_send_buffer_size(&self.fd, wanted)
                .map_err(|e| failed("size the send buffer", e))?;
        }
        self.send_size()
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), EnforceError> {
        let kernel = SocketAddrNetlink::new(0, 0);
        loop {
            match sendto(&self.fd, bytes, SendFlags::empty(), &kernel) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("send", errno)),
            }
        }
    }

    /// The next waiting datagram; never blocks. What did not come from the kernel is skipped:
    /// any local process may send to a netlink socket's port.
    pub(crate) fn receive(&mut self) -> Result<Received<'_>, EnforceError> {
        let len = loop {
            match recvfrom(&self.fd, self.buffer.as_mut_slice(), RecvFlags::TRUNC) {
                Ok((_, len, from)) => {
                    let from = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
                    if from.is_some_and(|from| from.pid() == 0) {
                        break len;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => return Ok(Received::Overrun),
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(errno) => return Err(failed("receive", errno)),
            }
        };
        Ok(self
            .buffer
            .get(..len)
            .map_or(Received::Overrun, Received::Datagram))
    }

    /// Has the kernel keep back notifications of what `port` did itself, so that a bulk load of
    /// our own cannot overflow the monitor. Best effort: the monitor checks the port as well.
    pub(crate) fn ignore_port(&self, port: u32) {
        // Classic BPF over the first header: load nlmsg_pid (offset 12, read as big-endian);
        // equal → keep 0 bytes, else → keep all.
        let own = u32::from_be_bytes(port.to_ne_bytes());
        let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
        let mut program = [
            instruction(0x20, 0, 0, 12),
            instruction(0x15, 0, 1, own),
            instruction(0x06, 0, 0, 0),
            instruction(0x06, 0, 0, u32::MAX),
        ];
        let filter = libc::sock_fprog {
            len: 4,
            filter: program.as_mut_ptr(),
        };
        set_option(
            self.fd.as_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            &filter,
        );
    }

    fn send_size(&self) -> Result<usize, EnforceError> {
        sockopt::socket_send_buffer_size(&self.fd)
            .map(|size| size.saturating_sub(SEND_OVERHEAD_BYTES))
            .map_err(|e| failed("read the send buffer's size", e))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn create() -> Result<OwnedFd, EnforceError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        flags,
        Some(NETFILTER),
    )
    .map_err(|errno| match errno {
        Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT => EnforceError::NoNfTables {
            operation: "open a netfilter socket",
        },
        _ => failed("open", errno),
    })
}

fn bind_failed(errno: Errno) -> EnforceError {
    match errno {
        Errno::PERM => EnforceError::NotPermitted {
            operation: "listen for changes",
        },
        _ => failed("bind", errno),
    }
}

fn set_flag(fd: BorrowedFd<'_>, option: i32) {
    let on: libc::c_int = 1;
    set_option(fd, SOL_NETLINK, option, &on);
}

fn set_option<T>(fd: BorrowedFd<'_>, level: i32, option: i32, value: &T) {
    let Ok(len) = libc::socklen_t::try_from(size_of::<T>()) else {
        return;
    };
    // SAFETY: `fd` is open for the length of the call; the kernel reads `len` bytes at `value`,
    // which is the whole of a live `T`, and (for SO_ATTACH_FILTER) the four instructions its
    // pointer leads to, which the caller keeps alive; it copies both before it returns.
    #[expect(unsafe_code, reason = "rustix has no call for these options")]
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(value).cast(),
            len,
        )
    };
    if result != 0 {
        tracing::debug!(level, option, error = %io::Error::last_os_error(), "setsockopt");
    }
}

fn failed(operation: &'static str, errno: Errno) -> EnforceError {
    EnforceError::Socket {
        operation,
        source: errno.into(),
    }
}
