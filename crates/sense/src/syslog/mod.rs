//! Syslog over the network: UDP datagrams and TCP streams become records.

pub(crate) mod parse;

use std::{
    io::{self, Read as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use model::{
    Batch, LineOrigin, RecordMeta, SourceId, Timestamp,
    limits::{BATCH_BYTES_MAX, BATCH_LINES_MAX, SYSLOG_MESSAGE_BYTES_MAX},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    clock,
    framer::{Framer, Framing},
    render,
    table::SourceTable,
};

/// A connection that was silent for so long is closed.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(600);
/// The kernel's queue for datagrams, as far as it allows.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Datagrams taken in one turn.
const DATAGRAMS_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Udp {
    pub(crate) socket: UdpSocket,
    /// As configured.
    pub(crate) listen: SocketAddr,
    source: SourceId,
}

pub(crate) fn bind_udp(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    // Refused above the system's limit, where the default will have to do.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

pub(crate) fn bind_tcp(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(listen)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl Udp {
    pub(crate) const fn new(socket: UdpSocket, listen: SocketAddr, source: SourceId) -> Self {
        Self {
            socket,
            listen,
            source,
        }
    }

    /// Takes what has arrived. The kernel keeps (and epoll reports) what did not fit.
    pub(crate) fn read(&self, zone: &TimeZone, batch: &mut Batch, table: &mut SourceTable) {
        let mut buffer = vec![0; 65_536];
        for _ in 0..DATAGRAMS_MAX {
            if batch.records.len() >= BATCH_LINES_MAX || batch.buffer.len() >= BATCH_BYTES_MAX {
                return;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((length, peer)) => {
                    let frame = buffer.get(..length).unwrap_or_default();
                    let truncated = frame.len() > SYSLOG_MESSAGE_BYTES_MAX;
                    let kept = frame.get(..SYSLOG_MESSAGE_BYTES_MAX).unwrap_or(frame);
                    append(self.source, peer, kept, truncated, zone, batch, table);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    pub(crate) const fn source(&self) -> SourceId {
        self.source
    }

    /// Datagrams the kernel threw away because its queue was full (`/proc/net/udp`).
    pub(crate) fn kernel_drops(&self) -> u64 {
        let Ok(fd) = self.socket.as_fd().try_clone_to_owned() else {
            return 0;
        };
        let Ok(inode) = std::fs::File::from(fd).metadata().map(|meta| meta.ino()) else {
            return 0;
        };
        ["/proc/net/udp", "/proc/net/udp6"]
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok())
            .map(|text| drops_of(&text, inode))
            .sum()
    }
}

fn drops_of(text: &str, inode: u64) -> u64 {
    let wanted = inode.to_string();
    let row = text
        .lines()
        .find(|line| line.split_whitespace().nth(9) == Some(&wanted));
    row.and_then(|row| row.split_whitespace().nth(12)?.parse().ok())
        .unwrap_or(0)
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    /// As configured.
    pub(crate) listen: SocketAddr,
    source: SourceId,
}

impl Listener {
    pub(crate) const fn new(socket: TcpListener, listen: SocketAddr, source: SourceId) -> Self {
        Self {
            socket,
            listen,
            source,
        }
    }

    pub(crate) const fn source(&self) -> SourceId {
        self.source
    }

    pub(crate) fn accept(&self) -> Option<Connection> {
        let (socket, peer) = self.socket.accept().ok()?;
        socket.set_nonblocking(true).ok()?;
        Some(Connection {
            socket,
            peer,
            source: self.source,
            framer: Framer::new(Framing::Syslog, SYSLOG_MESSAGE_BYTES_MAX),
            heard: Instant::now(),
            has_ended: false,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    peer: SocketAddr,
    source: SourceId,
    framer: Framer,
    pub(crate) heard: Instant,
    has_ended: bool,
}

/// What is to become of a stream after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Wait for the descriptor.
    Wait,
    /// There are lines already read that did not fit.
    Again,
    Ended,
}

impl Connection {
    pub(crate) fn read(
        &mut self,
        zone: &TimeZone,
        batch: &mut Batch,
        table: &mut SourceTable,
    ) -> Turn {
        if self.pull(zone, batch, table) == Turn::Again {
            return Turn::Again;
        }
        let mut buffer = [0; 16 << 10];
        match self.socket.read(&mut buffer) {
            Ok(0) => self.has_ended = true,
            Ok(length) => {
                self.heard = Instant::now();
                self.framer.feed(buffer.get(..length).unwrap_or_default());
            }
            Err(error) if is_for_later(&error) => return Turn::Wait,
            Err(_) => self.has_ended = true,
        }
        if self.pull(zone, batch, table) == Turn::Again {
            return Turn::Again;
        }
        if !self.has_ended {
            return Turn::Wait;
        }
        if let Some(frame) = self.framer.last() {
            append(
                self.source,
                self.peer,
                frame.bytes,
                frame.truncated,
                zone,
                batch,
                table,
            );
        }
        Turn::Ended
    }

    fn pull(&mut self, zone: &TimeZone, batch: &mut Batch, table: &mut SourceTable) -> Turn {
        loop {
            if batch.records.len() >= BATCH_LINES_MAX || batch.buffer.len() >= BATCH_BYTES_MAX {
                return Turn::Again;
            }
            let Some(frame) = self.framer.next() else {
                return Turn::Wait;
            };
            append(
                self.source,
                self.peer,
                frame.bytes,
                frame.truncated,
                zone,
                batch,
                table,
            );
        }
    }
}

pub(crate) fn is_for_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Puts one message into the batch: as a traditional line, and as it arrived.
fn append(
    source: SourceId,
    peer: SocketAddr,
    frame: &[u8],
    truncated: bool,
    zone: &TimeZone,
    batch: &mut Batch,
    table: &mut SourceTable,
) {
    if frame.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
        return;
    }
    let received = clock::now();
    let raw = batch.store(frame);
    let text = render_message(frame, peer, received, zone, &mut batch.buffer);
    table.count(source, |status| {
        status.lines += 1;
        status.bytes += frame.len() as u64;
        status.truncated += u64::from(truncated);
        status.last_line = Some(received);
    });
    batch.records.push(RecordMeta {
        source,
        origin: LineOrigin::Network { peer },
        received,
        text,
        raw,
        truncated,
        catch_up: false,
    });
}

pub(crate) fn render_message(
    frame: &[u8],
    peer: SocketAddr,
    received: Timestamp,
    zone: &TimeZone,
    out: &mut Vec<u8>,
) -> std::ops::Range<usize> {
    let message = parse::parse(frame);
    let address = peer.ip().to_canonical().to_string();
    let line = render::Line {
        time: message
            .time
            .and_then(|t| t.resolve(received, zone))
            .unwrap_or(received),
        host: if message.host.is_empty() {
            address.as_bytes()
        } else {
            message.host
        },
        ident: message.ident,
        pid: message.pid,
        message: message.text,
    };
    let begin = out.len();
    render::append(out, &line);
    begin..out.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_drops_are_found_by_inode() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            49: 00000000:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n";
        assert_eq!(drops_of(text, 4711), 12);
        assert_eq!(drops_of(text, 47), 0);
    }
}
