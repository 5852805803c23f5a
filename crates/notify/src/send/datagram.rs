//! Local datagram sockets: `/dev/log` and the journal.

use std::{os::unix::net::UnixDatagram, path::Path, time::Duration};

use super::Answer;
use crate::outbox::Failure;

pub(crate) fn to_unix(path: &Path, bytes: &[u8], timeout: Duration) -> Answer {
    let fault = |e: &std::io::Error| Failure::passing(format!("{}: {e}", path.display()));
    let socket = UnixDatagram::unbound().map_err(|e| fault(&e))?;
    socket
        .set_write_timeout(Some(timeout))
        .map_err(|e| fault(&e))?;
    socket.send_to(bytes, path).map_err(|e| fault(&e))?;
    Ok(format!("written to {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_and_what_cannot_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let second = Duration::from_secs(1);
        assert!(to_unix(&path, b"x", second).is_err());
        let receiver = UnixDatagram::bind(&path).unwrap();
        to_unix(&path, b"hello", second).unwrap();
        let mut bytes = [0; 16];
        let n = receiver.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..n], b"hello");
    }
}
