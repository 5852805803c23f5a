//! The drill's hosts: network namespaces on this machine, joined by virtual cables.
//!
//! ```text
//!   attacker4 198.51.100.66 ── 198.51.100.1 ┐
//!   attacker6 2001:db8:bad::77 ── fd5e::1   ├ victim (service, posse)
//!   client    203.0.113.10 ── 203.0.113.1   ┘
//! ```
//!
//! All addresses are reserved for documentation (RFC 5737, RFC 3849) and exist only inside the
//! namespaces. Namespaces are named after the drill's process, so that a later drill finds and
//! removes what a killed one left behind.

use std::{
    net::IpAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

pub(super) const ATTACKER_V4: &str = "198.51.100.66";
pub(super) const ATTACKER_V6: &str = "2001:db8:bad::77";
pub(super) const CLIENT: &str = "203.0.113.10";
const PREFIX: &str = "posse-drill-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    AttackerV4,
    AttackerV6,
    Client,
    Victim,
}

impl Host {
    const ALL: [Self; 4] = [
        Self::Victim,
        Self::AttackerV4,
        Self::AttackerV6,
        Self::Client,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::AttackerV4 => "attacker4",
            Self::AttackerV6 => "attacker6",
            Self::Client => "client",
            Self::Victim => "victim",
        }
    }

    /// The victim's address as this host reaches it.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::AttackerV4 => "198.51.100.1",
            Self::AttackerV6 => "fd5e::1",
            Self::Client | Self::Victim => "203.0.113.1",
        }
    }
}

/// Removed, with everything in them, when dropped.
pub(super) struct Hosts {
    owner: u32,
}

impl Hosts {
    pub(super) fn build() -> Result<Self> {
        remove_leftovers();
        let hosts = Self {
            owner: std::process::id(),
        };
        for host in Host::ALL {
            ip(&["netns", "add", &hosts.name(host)])?;
            hosts.inside(host, &["link", "set", "dev", "lo", "up"])?;
        }
        hosts.cable(Host::AttackerV4, "198.51.100.1/24", "198.51.100.66/24")?;
        hosts.cable(Host::Client, "203.0.113.1/24", "203.0.113.10/24")?;
        hosts.cable(Host::AttackerV6, "fd5e::1/64", "fd5e::2/64")?;
        // The IPv6 attacker's address is in a network of its own, as on the Internet: a ban of
        // its /64 must not take the victim's own link along.
        let far = format!("{ATTACKER_V6}/128");
        hosts.inside(Host::AttackerV6, &["addr", "add", &far, "dev", "lo"])?;
        hosts.inside(
            Host::AttackerV6,
            &[
                "-6",
                "route",
                "replace",
                "fd5e::1/128",
                "dev",
                "wire",
                "src",
                ATTACKER_V6,
            ],
        )?;
        hosts.inside(
            Host::Victim,
            &["-6", "route", "add", "2001:db8:bad::/64", "via", "fd5e::2"],
        )?;
        Ok(hosts)
    }

    fn name(&self, host: Host) -> String {
        format!("{PREFIX}{}-{}", self.owner, host.word())
    }

    fn inside(&self, host: Host, arguments: &[&str]) -> Result<()> {
        let name = self.name(host);
        let mut words = vec!["-n", name.as_str()];
        words.extend_from_slice(arguments);
        ip(&words)
    }

    fn cable(&self, host: Host, near: &str, far: &str) -> Result<()> {
        let (victim, other) = (self.name(Host::Victim), self.name(host));
        let port = host.word();
        self.inside(
            Host::Victim,
            &[
                "link", "add", port, "type", "veth", "peer", "name", "wire", "netns", &other,
            ],
        )?;
        for (side, device, address) in [(&victim, port, near), (&other, "wire", far)] {
            ip(&["-n", side, "addr", "add", address, "dev", device, "nodad"])
                .or_else(|_| ip(&["-n", side, "addr", "add", address, "dev", device]))?;
            ip(&["-n", side, "link", "set", "dev", device, "up"])?;
        }
        Ok(())
    }

    /// Starts this very program inside a host, its standard output piped to us.
    pub(super) fn start(&self, host: Host, arguments: &[&str]) -> Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        Command::new("ip")
            .args(["netns", "exec", &self.name(host)])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {} in {}", arguments.join(" "), host.word()))
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in Host::ALL {
            ip(&["netns", "del", &self.name(host)]).ok();
        }
    }
}

pub(super) fn address(text: &str) -> Result<IpAddr> {
    text.parse()
        .with_context(|| format!("{text:?} is not an address"))
}

/// Namespaces of drills whose process is gone.
fn remove_leftovers() {
    let Ok(listing) = std::fs::read_dir("/run/netns") else {
        return;
    };
    for name in listing
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
    {
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            ip(&["netns", "del", &name]).ok();
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("cannot run ip; install iproute2 (apt-get install iproute2)")?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr);
    bail!("ip {}: {}", arguments.join(" "), why.trim())
}
