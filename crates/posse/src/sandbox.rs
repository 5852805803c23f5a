//! What the configuration needs of this machine, and the walls around a running guard that leave
//! nothing else; see `confine`.

mod examine;

pub(crate) use examine::{examine, print};

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::Result;
use confine::{Access, Capability, Denied, Mode, Plan, Ports, Report, Thread, permissions};
use notify::ChannelConfig;
use sense::{Input, SourceSpec};

use crate::config::{self, Config};

const URL_BYTES_MAX: u64 = 16 << 10;

/// The walls that stand, and what they were built for.
pub(crate) struct Sandbox {
    mode: Mode,
    plan: Plan,
    report: Report,
}

/// What a guard is about to work with.
pub(crate) struct Needs<'a> {
    pub(crate) config: &'a Config,
    /// The configuration file, if one was named.
    pub(crate) config_path: Option<&'a Path>,
    pub(crate) state: &'a Path,
    pub(crate) sources: &'a [SourceSpec],
    pub(crate) observe: bool,
}

impl Sandbox {
    /// For this thread and all that are started from now on.
    pub(crate) fn enter(needs: &Needs<'_>) -> Result<Self> {
        let mode = needs.config.sandbox.mode;
        let plan = needs.plan();
        let report = confine::enter(&plan, mode, denied())?;
        let sandbox = Self { mode, plan, report };
        sandbox.announce();
        Ok(sandbox)
    }

    fn announce(&self) {
        eprintln!("posse: sandbox: {}", self.report.summary());
        if self.mode == Mode::Off {
            eprintln!(
                "posse: NO SANDBOX, as configured ([sandbox] mode = \"off\"): a fault in a parser \
                 could do whatever this user can"
            );
        }
        for gap in &self.report.gaps {
            eprintln!("posse: SANDBOX INCOMPLETE: {gap}");
        }
    }

    /// The last step of the start: the thread that runs the parsers gives up all but reading,
    /// deciding and telling the kernel.
    pub(crate) fn tighten_guard(&self) -> Result<()> {
        tighten(self.mode, Thread::Guard)
    }

    pub(crate) fn summary(&self) -> String {
        self.report.summary()
    }

    /// What a changed configuration needs that only a restart can grant.
    pub(crate) fn missing(&self, needs: &Plan) -> Vec<String> {
        match self.mode {
            Mode::Off => Vec::new(),
            Mode::Auto | Mode::Require => self.plan.missing(needs),
        }
    }
}

pub(crate) fn tighten(mode: Mode, thread: Thread) -> Result<()> {
    match mode {
        Mode::Off => Ok(()),
        Mode::Auto | Mode::Require => Ok(confine::tighten(thread, denied())?),
    }
}

/// Tests end the process at the first call that was refused.
fn denied() -> Denied {
    let by_test = cfg!(debug_assertions)
        && std::env::var_os("POSSE_TEST_DENIED").is_some_and(|value| value == "kill");
    if by_test {
        Denied::Kill
    } else {
        Denied::Refuse
    }
}

/// Who else could tell this guard what to do, or read what it keeps.
pub(crate) fn check_permissions(needs: &Needs<'_>) -> Result<()> {
    let file = needs
        .config_path
        .unwrap_or_else(|| Path::new(config::DEFAULT_PATH));
    permissions::check_trusted(file)?;
    for folder in &needs.config.rules.folders {
        permissions::check_trusted(folder)?;
    }
    for channel in &needs.config.alerts.channel {
        for path in secrets_of(channel) {
            permissions::check_secret(path)?;
        }
    }
    if let Some(path) = &needs.config.console.token_file {
        permissions::check_secret(path)?;
    }
    for path in needs.config.ledger.others().files() {
        permissions::check_trusted(path)?;
    }
    Ok(permissions::check_state(needs.state)?)
}

impl Needs<'_> {
    pub(crate) fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        self.files(&mut plan);
        self.sources(&mut plan);
        self.alerts(&mut plan);
        self.fleet(&mut plan);
        self.ledger(&mut plan);
        if self.config.console.enabled {
            plan.listen.allow(self.config.console.listen.port());
        }
        if !self.observe {
            plan.capabilities.insert(Capability::Firewall);
        }
        let low = |port: &u16| (1..1_024).contains(port);
        if matches!(&plan.listen, Ports::Only(ports) if ports.iter().any(low)) {
            plan.capabilities.insert(Capability::BindLowPorts);
        }
        plan
    }

    fn files(&self, plan: &mut Plan) {
        plan.allow(self.state, Access::Keep);
        match self.config_path {
            Some(path) => plan.allow_file(path),
            None => plan.allow_coming(Path::new("/etc/posse"), Access::Read),
        }
        for folder in &self.config.rules.folders {
            plan.allow(folder, Access::Read);
        }
        if let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") {
            plan.allow(Path::new(&folder), Access::Read);
        }
        if let Some(path) = &self.config.console.token_file {
            plan.allow_file(path);
        }
        let geoip = &self.config.geoip;
        for path in geoip.city.iter().chain(&geoip.asn) {
            plan.allow_file(path);
        }
        let sandbox = &self.config.sandbox;
        for (paths, access) in [
            (&sandbox.read, Access::Read),
            (&sandbox.write, Access::Keep),
            (&sandbox.execute, Access::Execute),
        ] {
            paths.iter().for_each(|path| plan.allow(path, access));
        }
    }

    fn sources(&self, plan: &mut Plan) {
        // What is found may be more after a reload.
        if self.config.sources().is_empty() {
            plan.allow(Path::new("/var/log"), Access::Read);
        }
        let mut unreadable = BTreeSet::new();
        for source in self.sources {
            match &source.input {
                Input::File { pattern, .. } => {
                    let found = source.input.files();
                    plan.allow_logs(pattern, &found);
                    unreadable.extend(found.into_iter().filter(|f| !is_readable(f)));
                }
                Input::Journal { .. } => plan.allow_journal(),
                // Datagrams need no leave of landlock, but their port may need a capability.
                Input::SyslogUdp { listen } | Input::SyslogTcp { listen } => {
                    plan.listen.allow(listen.port());
                }
                Input::Stdin => {}
            }
        }
        if !unreadable.is_empty() {
            plan.capabilities.insert(Capability::ReadAnyLog);
        }
    }

    /// The hubs' ports, once this machine has joined.
    fn fleet(&self, plan: &mut Plan) {
        let fleet = &self.config.fleet;
        let joined = uplink::Membership::load(self.state).ok().flatten();
        let Some(joined) = joined.filter(|_| fleet.mode != uplink::Mode::Off) else {
            return;
        };
        for hub in fleet.hubs.iter().chain(&joined.hubs) {
            plan.connect.allow(hub.port());
        }
    }

    /// Witnesses and time stamping authorities. (Their files are read before the walls stand.)
    fn ledger(&self, plan: &mut Plan) {
        for url in self.config.ledger.others().urls() {
            plan.connect.allow(url_port(url));
        }
    }

    fn alerts(&self, plan: &mut Plan) {
        // A name may have more addresses than fit a datagram.
        plan.connect.allow(53);
        for channel in &self.config.alerts.channel {
            for path in secrets_of(channel).chain(&channel.ca_file) {
                plan.allow_file(path);
            }
            for port in ports_of(channel) {
                plan.connect.allow(port);
            }
        }
        let commands = self.config.alerts.channel.iter();
        plan.allow_commands(
            commands.filter_map(|channel| Some(Path::new(channel.run.as_ref()?.first()?))),
        );
    }
}

/// The file and its folder, by owner and mode alone.
fn is_readable(file: &Path) -> bool {
    let folder = file.parent().unwrap_or_else(|| Path::new("/"));
    [file, folder]
        .into_iter()
        .all(permissions::is_readable_without_capabilities)
}

fn secrets_of(channel: &ChannelConfig) -> impl Iterator<Item = &PathBuf> {
    [
        &channel.password_file,
        &channel.url_file,
        &channel.secret_file,
        &channel.token_file,
        &channel.routing_key_file,
    ]
    .into_iter()
    .flatten()
}

/// The TCP ports that a channel may connect to.
fn ports_of(channel: &ChannelConfig) -> Vec<u16> {
    match channel.kind.as_str() {
        "email" => match (channel.port, channel.tls.as_deref()) {
            (Some(port), _) => vec![port],
            (None, Some("implicit")) => vec![465],
            (None, Some("none")) => vec![25],
            (None, _) => vec![587],
        },
        "syslog" => vec![
            channel
                .address
                .as_deref()
                .and_then(explicit_port)
                .unwrap_or(514),
        ],
        "journal" | "command" => Vec::new(),
        _ => {
            let hidden = secret_url(channel);
            let url = channel.url.as_deref().or(hidden.as_deref());
            match url {
                Some(url) => vec![url_port(url)],
                None => vec![443],
            }
        }
    }
}

fn secret_url(channel: &ChannelConfig) -> Option<String> {
    use std::io::Read as _;
    let path = match (&channel.url_file, &channel.url_credential) {
        (Some(path), _) => path.clone(),
        (None, Some(name)) => Path::new(&std::env::var_os("CREDENTIALS_DIRECTORY")?).join(name),
        (None, None) => return None,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(URL_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

fn url_port(url: &str) -> u16 {
    let (scheme, rest) = url.trim().split_once("://").unwrap_or(("https", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let default = if scheme == "http" { 80 } else { 443 };
    explicit_port(authority).unwrap_or(default)
}

fn explicit_port(address: &str) -> Option<u16> {
    let (before, port) = address.rsplit_once(':')?;
    // The colons of an IPv6 address without a port are inside or without brackets.
    let is_bare_ipv6 = before.contains(':') && !before.ends_with(']') && !before.contains("//");
    if is_bare_ipv6 {
        None
    } else {
        port.parse().ok()
    }
}

/// Stands for a parser that an attacker took over: in test builds, when asked for by the
/// environment, a line makes the guard's thread try what it must not be able to do.
#[cfg(debug_assertions)]
pub(crate) fn provoke(line: &[u8]) {
    use std::{net, process::Command, sync::OnceLock};
    static ASKED: OnceLock<Option<String>> = OnceLock::new();
    let asked = ASKED.get_or_init(|| std::env::var("POSSE_TEST_MISBEHAVE").ok());
    let Some(places) = asked.as_ref().filter(|_| line.ends_with(b"misbehave now")) else {
        return;
    };
    let say = |what: &str, outcome: std::io::Result<()>| match outcome {
        Ok(()) => eprintln!("misbehaved: {what}: DONE"),
        Err(e) => eprintln!("misbehaved: {what}: {e}"),
    };
    say("udp socket", net::UdpSocket::bind("127.0.0.1:0").map(drop));
    say(
        "tcp socket",
        net::TcpStream::connect("127.0.0.1:1").map(drop),
    );
    say("listener", net::TcpListener::bind("127.0.0.1:0").map(drop));
    say("program", Command::new("/bin/true").status().map(drop));
    say("thread", std::thread::Builder::new().spawn(|| {}).map(drop));
    for place in places.split(':') {
        let folder = Path::new(place);
        if folder.is_dir() {
            let file = folder.join("planted");
            say(&format!("write {place}"), std::fs::write(&file, "x"));
        } else {
            say(&format!("read {place}"), std::fs::read(folder).map(drop));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_addresses() {
        for (url, port) in [
            ("https://hooks.example.net/a:b", 443),
            ("http://127.0.0.1:8080/x", 8_080),
            ("http://example.net", 80),
            ("https://[2001:db8::1]/x", 443),
            ("https://[2001:db8::1]:8443/x", 8_443),
        ] {
            assert_eq!(url_port(url), port, "{url}");
        }
        assert_eq!(explicit_port("tcp://log.example.net:601"), Some(601));
        assert_eq!(explicit_port("2001:db8::1"), None);
    }

    #[test]
    fn a_channel_needs_its_own_port_and_nothing_else() {
        let text = "[[alerts.channel]]\nkind = \"email\"\nhost = \"mail.example.net\"\n\
                    from = \"posse@example.net\"\nto = [\"admin@example.net\"]\n\
                    [console]\nenabled = false\n";
        let config = Config::parse("posse.toml", text).unwrap();
        let needs = Needs {
            config: &config,
            config_path: None,
            state: Path::new("/nonexistent"),
            sources: &[],
            observe: true,
        };
        let plan = needs.plan();
        assert_eq!(plan.connect, Ports::Only([53, 587].into()));
        assert_eq!(plan.listen, Ports::default());
        assert!(plan.capabilities.is_empty());
    }
}
