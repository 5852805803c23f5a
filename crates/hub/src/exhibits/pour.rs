//! A body on its way from the network, which never blocks, to the vault, which does.
//!
//! The end is said: pieces that stop coming without it are torn off, and the vault then keeps
//! nothing of them.

use std::io::{self, Read};

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    time::{Instant, timeout, timeout_at},
};

use super::refused::Refused;
use crate::limits::{EXHIBIT_PIECE_WAIT_MAX, EXHIBIT_WAIT_MAX};

/// Pieces that wait for the vault; each is what one read of the connection gave.
const PIECES_AHEAD: usize = 8;
/// How often the room on the disk is looked at.
const LOOK_EVERY: u64 = 16 << 20;

pub(super) enum Piece {
    Bytes(Bytes),
    End,
}

pub(super) fn channel() -> (Sender<Piece>, Receiver<Piece>) {
    mpsc::channel(PIECES_AHEAD)
}

/// Hands the body's bytes on until its end, at most `bytes_max`. Whoever takes them may stop
/// listening, and then says why.
pub(super) async fn pump(body: Body, to: Sender<Piece>, bytes_max: u64) -> Result<(), Refused> {
    let deadline = Instant::now() + EXHIBIT_WAIT_MAX;
    let mut stream = body.into_data_stream();
    let mut left = bytes_max;
    loop {
        let next = timeout(EXHIBIT_PIECE_WAIT_MAX, stream.next());
        let Ok(Ok(next)) = timeout_at(deadline, next).await else {
            return Err(Refused::Torn("its bytes did not come in time"));
        };
        let (piece, is_last) = match next {
            Some(Ok(bytes)) => {
                left = left
                    .checked_sub(bytes.len() as u64)
                    .ok_or(Refused::TooLarge(bytes_max))?;
                (Piece::Bytes(bytes), false)
            }
            Some(Err(_)) => return Err(Refused::Torn("it broke off")),
            None => (Piece::End, true),
        };
        if to.send(piece).await.is_err() || is_last {
            return Ok(());
        }
    }
}

/// The other end, for a thread that may wait.
pub(super) struct Pour<'a> {
    from: Receiver<Piece>,
    piece: Bytes,
    is_over: bool,
    since_look: u64,
    /// Whether there is room for more.
    room: &'a dyn Fn() -> io::Result<()>,
}

impl<'a> Pour<'a> {
    pub(super) fn new(from: Receiver<Piece>, room: &'a dyn Fn() -> io::Result<()>) -> Self {
        Self {
            from,
            piece: Bytes::new(),
            is_over: false,
            since_look: 0,
            room,
        }
    }
}

impl Read for Pour<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.is_over {
                return Ok(0);
            }
            match self.from.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.piece = bytes,
                Some(Piece::End) => self.is_over = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = self.piece.len().min(out.len());
        if let Some(out) = out.get_mut(..count) {
            out.copy_from_slice(&self.piece.split_to(count));
        }
        self.since_look += count as u64;
        if self.since_look >= LOOK_EVERY {
            self.since_look = 0;
            (self.room)()?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: Vec<Piece>) -> io::Result<Vec<u8>> {
        let (sender, receiver) = channel();
        for piece in pieces {
            sender.try_send(piece).ok().unwrap();
        }
        drop(sender);
        let room = || Ok(());
        let mut all = Vec::new();
        Pour::new(receiver, &room).read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn what_ends_without_saying_so_is_torn() {
        let bytes = |text: &'static str| Piece::Bytes(Bytes::from_static(text.as_bytes()));
        let whole = read(vec![bytes("ab"), bytes(""), bytes("c"), Piece::End]);
        assert_eq!(whole.unwrap(), b"abc");
        let torn = read(vec![bytes("ab"), bytes("c")]).unwrap_err();
        assert_eq!(torn.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(vec![Piece::End]).unwrap(), b"");
    }

    #[test]
    fn no_room_stops_it() {
        let (sender, receiver) = channel();
        let many = usize::try_from(LOOK_EVERY).unwrap();
        sender
            .try_send(Piece::Bytes(vec![0; many].into()))
            .ok()
            .unwrap();
        let full = || Err(io::ErrorKind::StorageFull.into());
        let read = io::copy(&mut Pour::new(receiver, &full), &mut io::sink());
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_body_beyond_the_limit_is_not_handed_on() {
        let runtime = crate::door::runtime();
        runtime.block_on(async {
            let (sender, mut receiver) = channel();
            let refused = pump(Body::from("12345"), sender, 4).await;
            assert!(matches!(refused, Err(Refused::TooLarge(4))));
            assert!(receiver.recv().await.is_none());
        });
    }
}
