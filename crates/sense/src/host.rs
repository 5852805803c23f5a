//! What a ban on this machine must never hit, read from `/proc` and the resolver's files.
//!
//! Thin: [`facts`] reads, everything else is a parser over text. A file that is missing gives
//! nothing; a line that is malformed is passed over.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use model::HostFacts;

use crate::utmp;

/// Where systemd-resolved writes the servers that stand behind its stub on 127.0.0.53.
const RESOLVED_UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";
/// What systemd-logind writes of each session.
const SESSIONS: &str = "/run/systemd/sessions";
const UTMP: &str = "/run/utmp";
/// Sessions looked at, and how much of each.
const SESSIONS_MAX: usize = 4_096;
const SESSION_BYTES_MAX: u64 = 16 << 10;
/// Processes and descriptors looked at in search of sshd.
const PROCESSES_MAX: usize = 65_536;
const DESCRIPTORS_MAX: usize = 1_024;

/// Gathers the facts. `ssh_connection` is the value of `$SSH_CONNECTION`, if any.
///
/// Sessions are known in three ways, and all count: by the connections that their sshd holds (which
/// only root sees), by what systemd-logind says, and by utmp as long as there is a connection from
/// there (which everybody may read).
pub fn facts(proc_root: &Path, resolv_conf: &Path, ssh_connection: Option<&str>) -> HostFacts {
    let read = |name: &str| fs::read_to_string(proc_root.join(name)).unwrap_or_default();
    let mut own = local_v4(&read("net/fib_trie"));
    own.extend(local_v6(&read("net/if_inet6")));
    let mut gateways = gateways_v4(&read("net/route"));
    gateways.extend(gateways_v6(&read("net/ipv6_route")));
    let mut resolvers = nameservers(&fs::read_to_string(resolv_conf).unwrap_or_default());
    if resolvers.iter().any(IpAddr::is_loopback) {
        let upstreams = fs::read_to_string(RESOLVED_UPSTREAMS).unwrap_or_default();
        resolvers.extend(nameservers(&upstreams));
    }
    let mut sockets = tcp_sockets(&read("net/tcp"));
    sockets.extend(tcp_sockets(&read("net/tcp6")));
    let mut admins = peers_of(&sockets, &session_sockets(proc_root));
    admins.extend(logind_sessions(Path::new(SESSIONS)));
    admins.extend(still_connected(
        utmp::remote_ends(Path::new(UTMP)),
        &sockets,
    ));
    admins.extend(ssh_connection.and_then(ssh_client));
    HostFacts {
        own_addresses: sorted(own),
        gateways: sorted(gateways),
        resolvers: sorted(resolvers),
        admin_peers: sorted(admins),
    }
}

fn sorted(list: Vec<IpAddr>) -> Vec<IpAddr> {
    let set: BTreeSet<IpAddr> = list.into_iter().map(|a| a.to_canonical()).collect();
    set.into_iter().collect()
}

/// `/proc/net/fib_trie`: an address line followed by `/32 host LOCAL`.
fn local_v4(text: &str) -> Vec<IpAddr> {
    let mut out = Vec::new();
    let mut last = None;
    for line in text.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            out.extend(last.map(IpAddr::V4));
        }
    }
    out
}

/// `/proc/net/if_inet6`: the address in 32 hexadecimal digits comes first.
fn local_v6(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| hex_v6(line.split_whitespace().next()?))
        .collect()
}

/// `/proc/net/route`: interface, destination, gateway, flags, …, mask; in host byte order.
fn gateways_v4(text: &str) -> Vec<IpAddr> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let (to, gateway) = (columns.next()?, columns.next()?);
        let mask = columns.nth(4)?;
        let address = hex_v4(gateway)?;
        (to == "00000000" && mask == "00000000" && !address.is_unspecified())
            .then_some(IpAddr::V4(address))
    };
    text.lines().skip(1).filter_map(row).collect()
}

/// `/proc/net/ipv6_route`: destination, its length, source, its length, next hop, …
fn gateways_v6(text: &str) -> Vec<IpAddr> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace();
        let (to, length) = (hex_v6(columns.next()?)?, columns.next()?);
        let hop = hex_v6(columns.nth(2)?)?;
        (to.is_unspecified() && length == "00" && !hop.is_unspecified()).then_some(hop)
    };
    text.lines().filter_map(row).collect()
}

/// `nameserver` lines of resolv.conf(5).
fn nameservers(text: &str) -> Vec<IpAddr> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then_some(())?;
        // A link-local address may carry its interface: fe80::1%eth0.
        words.next()?.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(row).collect()
}

/// The first word of `$SSH_CONNECTION`: the client's address.
fn ssh_client(text: &str) -> Option<IpAddr> {
    text.split_whitespace()
        .next()?
        .split('%')
        .next()?
        .parse()
        .ok()
}

/// An established connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TcpSocket {
    remote: IpAddr,
    inode: u64,
}

/// `/proc/net/tcp` and `tcp6`: sl, local, remote, state, …, inode.
fn tcp_sockets(text: &str) -> Vec<TcpSocket> {
    let row = |line: &str| {
        let mut columns = line.split_whitespace().skip(1);
        let remote = endpoint(columns.nth(1)?)?;
        (columns.next()? == "01").then_some(())?;
        let inode = columns.nth(5)?.parse().ok()?;
        Some(TcpSocket { remote, inode })
    };
    text.lines().skip(1).filter_map(row).collect()
}

fn endpoint(text: &str) -> Option<IpAddr> {
    let (address, _port) = text.split_once(':')?;
    match address.len() {
        8 => hex_v4(address).map(IpAddr::V4),
        // Four words, each in host byte order.
        32 if address.is_ascii() => {
            let word = |n: usize| {
                let text = address.get(n * 8..n * 8 + 8)?;
                u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes)
            };
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?];
            Some(IpAddr::V6(Ipv6Addr::from(
                <[u8; 16]>::try_from(bytes.concat()).ok()?,
            )))
        }
        _ => None,
    }
}

fn peers_of(sockets: &[TcpSocket], inodes: &HashSet<u64>) -> Vec<IpAddr> {
    sockets
        .iter()
        .filter(|s| inodes.contains(&s.inode))
        .map(|s| s.remote)
        .collect()
}

/// Sockets of SSH sessions whose user has logged in. A connection alone proves nothing: whoever
/// tries passwords has one too, and must not be protected by it.
fn session_sockets(proc_root: &Path) -> HashSet<u64> {
    let mut inodes = HashSet::new();
    let Ok(processes) = fs::read_dir(proc_root) else {
        return inodes;
    };
    for process in processes.take(PROCESSES_MAX).filter_map(Result::ok) {
        let path = process.path();
        let is_number = process
            .file_name()
            .to_str()
            .is_some_and(|n| n.parse::<u32>().is_ok());
        let title = || fs::read(path.join("cmdline")).unwrap_or_default();
        if !is_number || !is_session_title(&String::from_utf8_lossy(&title())) {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(path.join("fd")) else {
            continue;
        };
        for descriptor in descriptors.take(DESCRIPTORS_MAX).filter_map(Result::ok) {
            let target = fs::read_link(descriptor.path()).unwrap_or_default();
            inodes.extend(target.to_str().and_then(socket_inode));
        }
    }
    inodes
}

/// OpenSSH writes its state into its title: `sshd: root@pts/0` and `sshd: bob` have logged in;
/// `[listener]`, `[accepted]`, `[net]`, `[priv]` and `[preauth]` mark all others.
fn is_session_title(title: &str) -> bool {
    let title = title.trim_end_matches(['\0', ' ']);
    let rest = title
        .strip_prefix("sshd: ")
        .or_else(|| title.strip_prefix("sshd-session: "));
    rest.is_some_and(|who| !who.is_empty() && !who.starts_with('/') && !who.contains('['))
}

/// Without those whose record is all that is left of them.
fn still_connected(mut remotes: Vec<IpAddr>, sockets: &[TcpSocket]) -> Vec<IpAddr> {
    remotes.retain(|remote| {
        let is_it = |s: &TcpSocket| s.remote.to_canonical() == *remote;
        sockets.iter().any(is_it)
    });
    remotes
}

/// The remote ends of the sessions in this folder.
fn logind_sessions(folder: &Path) -> Vec<IpAddr> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let read = |path: &Path| {
        let mut text = String::new();
        let file = fs::File::open(path).ok()?;
        file.take(SESSION_BYTES_MAX)
            .read_to_string(&mut text)
            .ok()?;
        Some(text)
    };
    entries
        .take(SESSIONS_MAX)
        .filter_map(|entry| session_peer(&read(&entry.ok()?.path())?))
        .collect()
}

/// `KEY=value` lines; a session that is `closing` has no one at its other end.
fn session_peer(text: &str) -> Option<IpAddr> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let is_remote = value("REMOTE") == Some("1") && value("STATE") != Some("closing");
    let host = value("REMOTE_HOST").filter(|_| is_remote)?;
    host.split('%').next()?.parse().ok()
}

fn socket_inode(target: &str) -> Option<u64> {
    target
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn hex_v4(text: &str) -> Option<Ipv4Addr> {
    (text.len() == 8)
        .then(|| u32::from_str_radix(text, 16).ok())?
        .map(|n| n.to_ne_bytes().into())
}

fn hex_v6(text: &str) -> Option<IpAddr> {
    let bits = (text.len() == 32).then(|| u128::from_str_radix(text, 16).ok())??;
    Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
}

/// Whether this process runs as root; what is unreadable to others is readable then.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIB: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n\
        Local:\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n\
             |-- 10.0.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
    const INET6: &str = "00000000000000000000000000000001 01 80 10 80       lo\n\
        20010db8000000000000000000000007 02 40 00 80     eth0\nrubbish\n";
    const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
    const ROUTE6: &str = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo\n";
    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1\n\
        1: 0700000A:0016 090071CB:C350 01 00000000:00000000 00:00000000 00000000     0        0 101 1\n\
        2: 00000000:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1\n\
        3: 0700000A:08AE 0A0071CB:C350 01 00000000:00000000 00:00000000 00000000     0        0 103 1\n\
        4: 0700000A:01BB 0B0071CB:C350 01 00000000:00000000 00:00000000 00000000     0        0 104 1\n";
    const TCP6: &str = "  sl  local_address                         remote_address\n\
        0: 0000000000000000FFFF00000700000A:0016 0000000000000000FFFF00000C0071CB:C351 01 00000000:00000000 00:00000000 00000000 0 0 105 1\n";

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn a_whole_machine() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (name, text) in [
            ("net/fib_trie", FIB),
            ("net/if_inet6", INET6),
            ("net/route", ROUTE),
            ("net/ipv6_route", ROUTE6),
            ("net/tcp", TCP),
            ("net/tcp6", TCP6),
            ("77/cmdline", "sshd: root@pts/0\0\0"),
            ("78/cmdline", "sshd: root [net]\0"),
            ("79/cmdline", "sshd-session: bob@notty\0"),
            (
                "resolv.conf",
                "# x\nnameserver 9.9.9.9\nsearch a\nnameserver fe80::1%eth0\n",
            ),
        ] {
            put(name, text);
        }
        for (process, inode) in [(77, 103), (78, 101), (79, 105)] {
            let fd = dir.path().join(format!("{process}/fd"));
            fs::create_dir_all(&fd).unwrap();
            std::os::unix::fs::symlink(format!("socket:[{inode}]"), fd.join("3")).unwrap();
        }
        let found = facts(
            dir.path(),
            &dir.path().join("resolv.conf"),
            Some("198.51.100.4 5 10.0.0.7 22"),
        );
        assert_eq!(
            found.own_addresses,
            ips(&["10.0.0.7", "127.0.0.1", "::1", "2001:db8::7"])
        );
        assert_eq!(found.gateways, ips(&["10.0.0.1", "fe80::1"]));
        assert_eq!(found.resolvers, ips(&["9.9.9.9", "fe80::1"]));
        // By the environment and by two sessions; not by the one that is still trying passwords.
        assert_eq!(
            found.admin_peers,
            ips(&["198.51.100.4", "203.113.0.10", "203.113.0.12"])
        );
    }

    #[test]
    fn only_those_who_logged_in_have_a_session() {
        for session in ["sshd: root@pts/0", "sshd: bob", "sshd-session: a@b@notty\0"] {
            assert!(is_session_title(session), "{session}");
        }
        for other in [
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
            "sshd: [accepted]",
            "sshd: unknown [priv]",
            "sshd: root [net]",
            "sshd-session: a@b [priv]",
            "sshd-auth: root [preauth]",
            "/usr/sbin/sshd -D",
            "sshd: ",
            "",
        ] {
            assert!(!is_session_title(other), "{other}");
        }
    }

    #[test]
    fn a_record_without_a_connection_protects_nobody() {
        let sockets = tcp_sockets(TCP6);
        let remotes = ips(&["203.113.0.12", "203.113.0.13"]);
        assert_eq!(still_connected(remotes, &sockets), ips(&["203.113.0.12"]));
    }

    #[test]
    fn logind_names_the_remote_end_of_a_session() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let session = "# made by logind\nUID=0\nUSER=root\nACTIVE=1\nSTATE=active\nREMOTE=1\n\
                       REMOTE_HOST=203.0.113.77\nSERVICE=sshd\n";
        put("3", session);
        put("4", &session.replace("203.0.113.77", "fe80::7%eth0"));
        put("5", &session.replace("STATE=active", "STATE=closing"));
        put("6", &session.replace("REMOTE=1", "REMOTE=0"));
        put("7", &session.replace("203.0.113.77", "a name"));
        put("8", "");
        assert_eq!(
            sorted(logind_sessions(dir.path())),
            ips(&["203.0.113.77", "fe80::7"])
        );
        assert_eq!(logind_sessions(Path::new("/nonexistent")), ips(&[]));
    }

    #[test]
    fn this_machine_has_itself() {
        let found = facts(Path::new("/proc"), Path::new("/etc/resolv.conf"), None);
        assert!(
            found
                .own_addresses
                .contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
            "{found:?}"
        );
    }

    #[test]
    fn a_missing_proc_gives_nothing() {
        let none = Path::new("/nonexistent");
        assert_eq!(facts(none, none, None), HostFacts::default());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[ -~\n\té]{0,300}") {
            for parse in [local_v4, local_v6, gateways_v4, gateways_v6, nameservers] {
                parse(&text);
            }
            tcp_sockets(&format!("\n{text}"));
            ssh_client(&text);
        }
    }
}
