//! Who is logged in: what systemd-logind says, and utmp(5).

use std::{
    fs::{self, File},
    io::{self, Read as _},
    mem::{offset_of, size_of},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use libc::utmpx;
use model::Timestamp;
use serde_json::{Map, Value, json};

use super::sheet::Sheet;

const SESSIONS: &str = "/run/systemd/sessions";
const UTMP: &str = "/run/utmp";
const SESSIONS_MAX: usize = 16_384;
const SESSION_BYTES_MAX: u64 = 16 << 10;
const RECORD: usize = size_of::<utmpx>();
const RECORDS_MAX: u64 = 65_536;

pub(super) fn read(sheet: &mut Sheet<'_>) -> io::Result<()> {
    match fs::read_dir(SESSIONS) {
        Ok(listing) => {
            for entry in listing.flatten().take(SESSIONS_MAX) {
                // Beside each session there is a pipe, which would be waited at.
                if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    continue;
                }
                let name = entry.file_name().to_string_lossy().into_owned();
                let mut bytes = Vec::new();
                let file = File::open(entry.path());
                match file.and_then(|f| f.take(SESSION_BYTES_MAX).read_to_end(&mut bytes)) {
                    Ok(_) => sheet.row(&session(&name, &String::from_utf8_lossy(&bytes)))?,
                    Err(e) => sheet.fault(&format!("session {name}: {e}")),
                }
            }
        }
        Err(e) => sheet.absent(SESSIONS, &e)?,
    }
    let mut bytes = Vec::new();
    let limit = RECORDS_MAX * RECORD as u64;
    match File::open(UTMP).and_then(|f| f.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => {
            for record in bytes.chunks_exact(RECORD) {
                if let Some(row) = login(record) {
                    sheet.row(&row)?;
                }
            }
        }
        Err(e) => sheet.absent(UTMP, &e)?,
    }
    Ok(())
}

/// `NAME=value` lines, as they are.
fn session(name: &str, text: &str) -> Value {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let values: Map<String, Value> = lines
        .map(|(key, value)| (key.to_lowercase(), Value::from(value)))
        .collect();
    json!({ "session": name, "logind": values })
}

/// Only sessions of users: not boots, waiting terminals and dead ones.
fn login(record: &[u8]) -> Option<Value> {
    let kind: [u8; 2] = part(record, offset_of!(utmpx, ut_type))?;
    if i16::from_ne_bytes(kind) != libc::USER_PROCESS {
        return None;
    }
    let pid: [u8; 4] = part(record, offset_of!(utmpx, ut_pid))?;
    let seconds: [u8; 4] = part(record, offset_of!(utmpx, ut_tv))?;
    let address: [u8; 16] = part(record, offset_of!(utmpx, ut_addr_v6))?;
    // An IPv4 address has only the first word.
    let address = match address {
        [a, b, c, d, rest @ ..] if rest == [0; 12] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        other => IpAddr::V6(Ipv6Addr::from(other)).to_canonical(),
    };
    Some(json!({
        "login": text(record, offset_of!(utmpx, ut_user), 32),
        "line": text(record, offset_of!(utmpx, ut_line), 32),
        "host": text(record, offset_of!(utmpx, ut_host), 256),
        "address": (!address.is_unspecified()).then_some(address),
        "process": i32::from_ne_bytes(pid),
        "since": Timestamp::from_seconds(i64::from(u32::from_ne_bytes(seconds))),
    }))
}

fn part<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..)?.first_chunk().copied()
}

fn text(record: &[u8], at: usize, length: usize) -> String {
    let bytes = record.get(at..at + length).unwrap_or_default();
    let end = bytes.iter().position(|byte| *byte == 0);
    let bytes = bytes.get(..end.unwrap_or(length)).unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_login_is_told_and_a_boot_is_not() {
        let mut record = vec![0; RECORD];
        let mut put = |at: usize, bytes: &[u8]| {
            record[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(
            offset_of!(utmpx, ut_type),
            &libc::USER_PROCESS.to_ne_bytes(),
        );
        put(offset_of!(utmpx, ut_pid), &77i32.to_ne_bytes());
        put(offset_of!(utmpx, ut_user), b"operator");
        put(offset_of!(utmpx, ut_line), b"pts/0");
        put(offset_of!(utmpx, ut_addr_v6), &[192, 0, 2, 7]);
        put(offset_of!(utmpx, ut_tv), &1_795_348_800u32.to_ne_bytes());
        let row = login(&record).unwrap();
        assert_eq!(row["login"], "operator");
        assert_eq!(row["address"], "192.0.2.7");
        assert_eq!(row["process"], 77);
        assert_eq!(row["since"], "2026-11-22T12:00:00Z");
        let kind = offset_of!(utmpx, ut_type);
        record[kind..kind + 2].copy_from_slice(&libc::BOOT_TIME.to_ne_bytes());
        assert_eq!(login(&record), None);
        assert_eq!(login(&[7; 3]), None);
    }

    #[test]
    fn what_logind_wrote_is_kept_as_it_is() {
        let row = session("4", "# comment\nUSER=operator\nREMOTE_HOST=192.0.2.7\n");
        assert_eq!(row["logind"]["user"], "operator");
        assert_eq!(row["logind"]["remote_host"], "192.0.2.7");
    }
}
