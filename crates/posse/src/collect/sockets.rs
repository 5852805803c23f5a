//! TCP, UDP and raw sockets of this network namespace, with the processes that hold them.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use serde_json::{Value, json};

use super::{processes, sheet::Sheet};

const TABLES: [&str; 6] = ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"];
const SOCKETS_MAX: usize = 500_000;
const DESCRIPTORS_MAX: usize = 4_000_000;

/// A row of the kernel's table (proc_net_tcp.rst).
#[derive(Debug, PartialEq, Eq)]
struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    uid: u32,
    inode: u64,
}

pub(super) fn read(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let mut found = Vec::new();
    for table in TABLES {
        match fs::read_to_string(format!("/proc/self/net/{table}")) {
            Ok(text) => {
                let rows = text.lines().skip(1).filter_map(row);
                found.extend(rows.map(|row| (table, row)));
            }
            Err(e) => sheet.fault(&format!("/proc/self/net/{table}: {e}")),
        }
    }
    // First all sockets, then who holds them: they come and go faster.
    let holders = holders(sheet);
    if found.len() > SOCKETS_MAX {
        sheet.fault(&format!(
            "only {SOCKETS_MAX} of {} sockets are told",
            found.len()
        ));
    }
    for (table, row) in found.into_iter().take(SOCKETS_MAX) {
        let held: Vec<Value> = holders
            .get(&row.inode)
            .into_iter()
            .flatten()
            .map(|(pid, name)| json!({ "pid": pid, "name": name }))
            .collect();
        sheet.row(&json!({
            "socket": table, "local": row.local, "remote": row.remote,
            "state": state(table, row.state), "uid": row.uid, "inode": row.inode,
            "held_by": held,
        }))?;
    }
    Ok(())
}

/// By the inode of the socket: the processes that have it open.
fn holders(sheet: &mut Sheet<'_>) -> BTreeMap<u64, Vec<(u32, String)>> {
    let mut holders: BTreeMap<u64, Vec<(u32, String)>> = BTreeMap::new();
    let mut looked = 0usize;
    let (mut hidden, mut why) = (0u64, String::new());
    for pid in processes::pids(sheet) {
        let folder = format!("/proc/{pid}/fd");
        let listing = match fs::read_dir(&folder) {
            Ok(listing) => listing,
            // It has ended meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => {
                hidden += 1;
                why = e.to_string();
                continue;
            }
        };
        let mut name = None;
        for entry in listing.flatten() {
            looked += 1;
            if looked > DESCRIPTORS_MAX {
                sheet.fault(&format!("only {DESCRIPTORS_MAX} open files were looked at"));
                return holders;
            }
            let Some(inode) = fs::read_link(entry.path())
                .ok()
                .and_then(|to| inode(to.to_str()?))
            else {
                continue;
            };
            let name = name.get_or_insert_with(|| processes::name(pid));
            let held = holders.entry(inode).or_default();
            if held.last().is_none_or(|(last, _)| *last != pid) {
                held.push((pid, name.clone()));
            }
        }
    }
    if hidden > 0 {
        sheet.fault(&format!(
            "the open files of {hidden} processes could not be read: {why}"
        ));
    }
    holders
}

/// `socket:[12345]`
fn inode(link: &str) -> Option<u64> {
    let number = link.strip_prefix("socket:[")?.strip_suffix(']')?;
    number.parse().ok()
}

fn row(line: &str) -> Option<Row> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    Some(Row {
        local: address(local)?,
        remote: address(remote)?,
        state: u8::from_str_radix(state, 16).ok()?,
        uid,
        inode,
    })
}

/// Words of an address in the byte order of the machine, in hexadecimal digits; then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            for (byte, from) in bytes.iter_mut().zip(words.as_flattened()) {
                *byte = *from;
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// include/net/tcp_states.h; a UDP socket is connected (1) or not (7).
fn state(table: &str, number: u8) -> &'static str {
    match number {
        1 => "established",
        7 if !table.starts_with("tcp") => "unconnected",
        2 => "syn_sent",
        3 => "syn_received",
        4 => "fin_wait_1",
        5 => "fin_wait_2",
        6 => "time_wait",
        7 => "close",
        8 => "close_wait",
        9 => "last_ack",
        10 => "listen",
        11 => "closing",
        12 => "new_syn_received",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_rows_are_read() {
        let line = "   1: 0100007F:1F90 090200C0:C001 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 22334 1 0000000000000000 100 0 0 10 0";
        let expected = Row {
            local: "127.0.0.1:8080".parse().unwrap(),
            remote: "192.0.2.9:49153".parse().unwrap(),
            state: 10,
            uid: 1_000,
            inode: 22_334,
        };
        assert_eq!(row(line), Some(expected));
        assert_eq!(
            address("B80D0120000000000000000001000000:0016"),
            Some("[2001:db8::1]:22".parse().unwrap())
        );
        for bad in [
            "",
            "1: x y",
            "0: 0100007F 0:0 0A",
            "0: é100007F:1F90 0:0 0A",
        ] {
            assert_eq!(row(bad), None, "{bad}");
        }
    }

    #[test]
    fn sockets_are_told_from_other_files() {
        assert_eq!(inode("socket:[77]"), Some(77));
        assert_eq!(inode("pipe:[77]"), None);
        assert_eq!(inode("socket:[x]"), None);
    }
}
