//! Tables of the kernel: neighbours, routes, modules, mounts, and the firewall's rules.

use std::{
    ffi::OsStr,
    fs, io,
    io::Read as _,
    net::{Ipv4Addr, Ipv6Addr},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use super::sheet::Sheet;

const READ_AT_ONCE: usize = 64 << 10;
/// Of a program's answer that is read whole.
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const COMPLAINT_BYTES_MAX: u64 = 4 << 10;

/// IPv4 from /proc; the kernel tells those of IPv6 over netlink only, which `ip` speaks.
pub(super) fn neighbours(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let text = fs::read_to_string("/proc/self/net/arp")?;
    for line in text.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, kind, flags, hardware, _, device] = words[..] else {
            sheet.fault("a row of /proc/self/net/arp is not understood");
            continue;
        };
        sheet.row(&json!({
            "neighbour": address, "hardware": hardware, "device": device,
            "type": kind, "flags": flags,
        }))?;
    }
    let mut answer = Vec::new();
    let mut take = |bytes: &[u8]| {
        answer.extend_from_slice(bytes);
        within(answer.len() as u64, ANSWER_BYTES_MAX)
    };
    if let Err(e) = run("ip", &["-6", "-j", "neigh", "show"], &mut take) {
        sheet.fault(&format!("neighbours of IPv6 are not read: {e}"));
        return Ok(());
    }
    match serde_json::from_slice::<Vec<Value>>(&answer) {
        Ok(rows) => rows.into_iter().try_for_each(|row| {
            sheet.row(&json!({
                "neighbour": row["dst"], "hardware": row["lladdr"], "device": row["dev"],
                "state": row["state"],
            }))
        }),
        // No neighbours are no JSON at all.
        Err(_) if answer.trim_ascii().is_empty() => Ok(()),
        Err(e) => {
            sheet.fault(&format!("neighbours of IPv6 are not understood: {e}"));
            Ok(())
        }
    }
}

fn within(bytes: u64, limit: u64) -> io::Result<()> {
    if bytes > limit {
        return Err(io::Error::other(format!("more than {limit} bytes")));
    }
    Ok(())
}

/// The main table of each family.
pub(super) fn routes(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let four = fs::read_to_string("/proc/self/net/route")?;
    for line in four.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        match route_v4(line) {
            Some(row) => sheet.row(&row)?,
            None => sheet.fault("a row of /proc/self/net/route is not understood"),
        }
    }
    let Ok(six) = fs::read_to_string("/proc/self/net/ipv6_route") else {
        sheet.fault("/proc/self/net/ipv6_route is not there: this kernel has no IPv6");
        return Ok(());
    };
    for line in six.lines() {
        match route_v6(line) {
            Some(row) => sheet.row(&row)?,
            None => sheet.fault("a row of /proc/self/net/ipv6_route is not understood"),
        }
    }
    Ok(())
}

/// Interface, destination, gateway, flags, three counts, mask; in the machine's byte order.
fn route_v4(line: &str) -> Option<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| {
        let number = u32::from_str_radix(words.get(at)?, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let length = address(7)?.to_bits().leading_ones();
    let metric: u32 = words.get(6)?.parse().ok()?;
    Some(json!({
        "route": format!("{}/{length}", address(1)?), "via": address(2)?, "device": words.first()?,
        "flags": words.get(3)?, "metric": metric,
    }))
}

/// Destination, its length, source, its length, next hop, metric, two counts, flags, interface.
fn route_v6(line: &str) -> Option<Value> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |at: usize| {
        let number = u128::from_str_radix(words.get(at)?, 16).ok()?;
        Some(Ipv6Addr::from(number))
    };
    let number = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    Some(json!({
        "route": format!("{}/{}", address(0)?, number(1)?), "via": address(4)?,
        "device": words.get(9)?, "flags": words.get(8)?, "metric": number(5)?,
    }))
}

/// `nft`'s own JSON, byte for byte, after the head.
pub(super) fn firewall(sheet: &mut Sheet<'_>) -> io::Result<()> {
    run("nft", &["-j", "list", "ruleset"], &mut |bytes| {
        sheet.raw(bytes)
    })?;
    sheet.counted(1);
    Ok(())
}

pub(super) fn modules(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let text = match fs::read_to_string("/proc/modules") {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(io::Error::other("this kernel has no modules"));
        }
        other => other?,
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, bytes, uses, by, state, address, ..] = words[..] else {
            sheet.fault("a row of /proc/modules is not understood");
            continue;
        };
        let by: Vec<&str> = by
            .split(',')
            .filter(|name| !matches!(*name, "" | "-"))
            .collect();
        sheet.row(&json!({
            "module": name, "bytes": bytes, "uses": uses, "by": by, "state": state,
            "address": address, "taints": words.get(6),
        }))?;
    }
    Ok(())
}

/// Of our own mount namespace (proc_pid_mountinfo(5)).
pub(super) fn mounts(sheet: &mut Sheet<'_>) -> io::Result<()> {
    let text = fs::read("/proc/self/mountinfo")?;
    for line in String::from_utf8_lossy(&text).lines() {
        match mount(line) {
            Some(row) => sheet.row(&row)?,
            None => sheet.fault("a row of /proc/self/mountinfo is not understood"),
        }
    }
    Ok(())
}

fn mount(line: &str) -> Option<Value> {
    let (head, tail) = line.split_once(" - ")?;
    let head: Vec<&str> = head.split(' ').collect();
    let mut tail = tail.split(' ');
    Some(json!({
        "mount": head.get(4)?, "type": tail.next()?, "source": tail.next()?,
        "root": head.get(3)?, "device": head.get(2)?, "options": head.get(5)?,
        "filesystem_options": tail.next(),
    }))
}

/// What a program prints, as it comes; its complaint when it fails.
pub(super) fn run<T: AsRef<OsStr>>(
    program: &str,
    arguments: &[T],
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let failed = |why: &dyn std::fmt::Display| io::Error::other(format!("{program}: {why}"));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(&e))?;
    let mut buffer = vec![0; READ_AT_ONCE];
    let mut poured = Ok(());
    if let Some(mut out) = child.stdout.take() {
        while let Ok(count @ 1..) = out.read(&mut buffer) {
            poured = take(buffer.get(..count).unwrap_or_default());
            if poured.is_err() {
                let _ = child.kill();
                break;
            }
        }
    }
    let mut said = Vec::new();
    if let Some(complaint) = child.stderr.take() {
        let _ = complaint.take(COMPLAINT_BYTES_MAX).read_to_end(&mut said);
    }
    let status = child.wait()?;
    poured?;
    if status.success() {
        return Ok(());
    }
    Err(failed(&format!(
        "{status}: {}",
        String::from_utf8_lossy(&said).trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn routes_are_read() {
        let four = "eth0\t0002000A\t0102000A\t0003\t0\t0\t100\t00FFFFFF\t0\t0\t0";
        let row = route_v4(four).unwrap();
        assert_eq!(row["route"], "10.0.2.0/24");
        assert_eq!(
            (row["via"].clone(), row["metric"].clone()),
            (json!("10.0.2.1"), json!(100))
        );
        let six = "20010db8000000000000000000000000 20 00000000000000000000000000000000 00 \
                   fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0";
        let row = route_v6(six).unwrap();
        assert_eq!(row["route"], "2001:db8::/32");
        assert_eq!(row["via"], "fe80::1");
        assert_eq!(row["device"], "eth0");
        assert!(route_v4("eth0 x").is_none() && route_v6("").is_none());
    }

    #[test]
    fn mounts_are_read() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let row = mount(line).unwrap();
        assert_eq!(row["mount"], "/mnt2");
        assert_eq!(row["type"], "ext3");
        assert_eq!(row["source"], "/dev/root");
        assert!(mount("36 35 - ext3").is_none());
    }

    #[test]
    fn a_program_that_fails_is_told_with_its_words() {
        let mut nothing = |_: &[u8]| Ok(());
        let e = run(
            "sh",
            &["-c", "echo no such table >&2; exit 3"],
            &mut nothing,
        )
        .unwrap_err();
        assert!(e.to_string().contains("no such table"), "{e}");
        let e = run::<&str>("posse-no-such-program", &[], &mut nothing).unwrap_err();
        assert!(e.to_string().contains("posse-no-such-program"), "{e}");
        let mut full = |_: &[u8]| Err(io::Error::other("full"));
        let e = run("sh", &["-c", "yes"], &mut full).unwrap_err();
        assert_eq!(e.to_string(), "full");
    }
}
