//! A place to test in: this test again, as a process of its own in a fresh network namespace.

use std::{
    env, io,
    net::UdpSocket,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use enforce::{Firewall, FirewallOptions, KernelChange};
use model::Prefix;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

const INSIDE: &str = "POSSE_TEST_NETNS";

/// Runs `body` in a fresh network namespace; `test` is the full name of the calling test.
pub(crate) fn in_namespace(test: &str, body: fn()) {
    if env::var(INSIDE).as_deref() == Ok(test) {
        run("ip", &["link", "set", "lo", "up"]);
        return body();
    }
    if !usable() {
        // Written past the test harness's capture, so that nobody takes a skip for a pass.
        let note = format!("SKIPPED: {test}: needs root, unshare, ip, nft and nf_tables\n");
        let _ = io::Write::write_all(&mut io::stderr().lock(), note.as_bytes());
        return;
    }
    let exe = env::current_exe().unwrap();
    let output = Command::new("timeout")
        .args(["60", "unshare", "--net"])
        .arg(exe)
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn usable() -> bool {
    let works = |program: &str, args: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|s| s.success())
    };
    works("unshare", &["--net", "nft", "list", "ruleset"]) && works("ip", &["link"])
}

pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn nft(command: &str) -> String {
    run("nft", &[command])
}

pub(crate) fn firewall() -> Firewall {
    Firewall::open(FirewallOptions::default()).unwrap()
}

pub(crate) fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub(crate) fn hour() -> Duration {
    Duration::from_secs(3_600)
}

pub(crate) fn add(prefix: &str) -> KernelChange {
    KernelChange::Add {
        prefix: p(prefix),
        timeout: Some(hour()),
    }
}

pub(crate) fn remove(prefix: &str) -> KernelChange {
    KernelChange::Remove { prefix: p(prefix) }
}

/// The prefixes in the kernel, sorted, as text.
pub(crate) fn held(firewall: &mut Firewall) -> Vec<String> {
    let mut prefixes: Vec<_> = firewall
        .dump()
        .unwrap()
        .into_iter()
        .map(|(p, _)| p)
        .collect();
    prefixes.sort();
    prefixes.iter().map(ToString::to_string).collect()
}

/// The other machine: a second namespace, joined to ours by a cable.
pub(crate) struct Peer {
    holder: Child,
}

impl Peer {
    /// We are 10.9.0.1 and fd00:9::1; the peer has every address in `addresses`.
    pub(crate) fn connect(addresses: &[&'static str]) -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "60"])
            .spawn()
            .unwrap();
        let peer = Self { holder };
        let pid = peer.holder.id().to_string();
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{pid}/ns/net");
        while std::fs::read_link(&theirs).is_ok_and(|link| link == own) {
            thread::sleep(Duration::from_millis(5));
        }
        run(
            "ip",
            &[
                "link", "add", "cable0", "type", "veth", "peer", "name", "cable1",
            ],
        );
        run("ip", &["link", "set", "cable1", "netns", &pid]);
        run("ip", &["addr", "add", "10.9.0.1/16", "dev", "cable0"]);
        run(
            "ip",
            &["addr", "add", "fd00:9::1/32", "dev", "cable0", "nodad"],
        );
        run("ip", &["link", "set", "cable0", "up"]);
        for address in addresses {
            let (len, nodad) = if address.contains(':') {
                ("32", "nodad")
            } else {
                ("16", "")
            };
            let mut args = vec![
                "addr".to_owned(),
                "add".to_owned(),
                format!("{address}/{len}"),
            ];
            args.extend(
                ["dev", "cable1", nodad]
                    .iter()
                    .filter(|a| !a.is_empty())
                    .map(|a| (*a).to_owned()),
            );
            peer.ip(&args.iter().map(String::as_str).collect::<Vec<_>>());
        }
        peer.ip(&["link", "set", "cable1", "up"]);
        for address in addresses {
            peer.wait_for(address);
        }
        peer
    }

    fn ip(&self, args: &[&str]) {
        let pid = self.holder.id().to_string();
        run("nsenter", &[&["-t", &pid, "--net", "ip"], args].concat());
    }

    /// Runs `body` on a thread that stands in the peer's namespace; sockets it makes stay there.
    pub(crate) fn inside<T: Send + 'static>(&self, body: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        let thread = thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).unwrap();
            body()
        });
        thread.join().unwrap()
    }

    /// A fresh link needs a moment until it carries anything.
    fn wait_for(&self, address: &'static str) {
        let us = udp(if address.contains(':') {
            "fd00:9::1"
        } else {
            "10.9.0.1"
        });
        let them = self.udp(address);
        assert!(
            (0..20).any(|_| passes(&them, &us)),
            "{address} cannot be reached"
        );
    }

    pub(crate) fn udp(&self, address: &'static str) -> UdpSocket {
        self.inside(move || udp(address))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

pub(crate) fn udp(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    socket
}

/// Whether a datagram gets from one socket to the other.
pub(crate) fn passes(from: &UdpSocket, to: &UdpSocket) -> bool {
    // What netfilter drops on the way out is EPERM here.
    if from.send_to(b"knock", to.local_addr().unwrap()).is_err() {
        return false;
    }
    let mut buffer = [0; 16];
    matches!(to.recv_from(&mut buffer), Ok((5, who)) if who == from.local_addr().unwrap())
}
