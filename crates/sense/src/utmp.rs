//! The sessions that utmp(5) knows of: written by sshd itself once a user with a terminal has
//! logged in, readable by everybody.

use std::{
    fs,
    io::Read as _,
    mem::{offset_of, size_of},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use libc::utmpx;

const RECORD: usize = size_of::<utmpx>();
const RECORDS_MAX: u64 = 4_096;

/// Remote ends. A record outlives a session that ended badly: whoever asks must know better.
pub(crate) fn remote_ends(path: &Path) -> Vec<IpAddr> {
    let mut bytes = Vec::new();
    let Ok(file) = fs::File::open(path) else {
        return Vec::new();
    };
    let limit = RECORDS_MAX * RECORD as u64;
    if file.take(limit).read_to_end(&mut bytes).is_err() {
        return Vec::new();
    }
    bytes.chunks_exact(RECORD).filter_map(remote_end).collect()
}

fn remote_end(record: &[u8]) -> Option<IpAddr> {
    let kind = record
        .get(offset_of!(utmpx, ut_type)..)?
        .first_chunk::<2>()?;
    if i16::from_ne_bytes(*kind) != libc::USER_PROCESS {
        return None;
    }
    // In network byte order; an IPv4 address has only the first word.
    let bytes = record
        .get(offset_of!(utmpx, ut_addr_v6)..)?
        .first_chunk::<16>()?;
    let (first, rest) = bytes.split_first_chunk::<4>()?;
    let address = if rest.iter().all(|byte| *byte == 0) {
        IpAddr::V4(Ipv4Addr::from(*first))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes)).to_canonical()
    };
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: i16, address: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; RECORD];
        let kind_at = offset_of!(utmpx, ut_type);
        bytes[kind_at..kind_at + 2].copy_from_slice(&kind.to_ne_bytes());
        let at = offset_of!(utmpx, ut_addr_v6);
        bytes[at..at + address.len()].copy_from_slice(address);
        bytes
    }

    #[test]
    fn users_from_elsewhere_are_found() {
        let v6: Ipv6Addr = "2001:db8::9".parse().unwrap();
        let bytes = [
            record(libc::BOOT_TIME, &[203, 0, 113, 1]),
            record(libc::USER_PROCESS, &[203, 0, 113, 9]),
            record(libc::DEAD_PROCESS, &[203, 0, 113, 10]),
            record(libc::USER_PROCESS, &v6.octets()),
            // At the console.
            record(libc::USER_PROCESS, &[]),
            vec![7; RECORD / 2],
        ]
        .concat();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("utmp");
        fs::write(&path, bytes).unwrap();
        let expected: Vec<IpAddr> = vec!["203.0.113.9".parse().unwrap(), IpAddr::V6(v6)];
        assert_eq!(remote_ends(&path), expected);
        assert!(remote_ends(&dir.path().join("absent")).is_empty());
    }
}
