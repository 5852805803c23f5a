//! A live-fire exercise: a real attack on a real service in network namespaces, seen, banned and
//! proven, with the times measured.
//!
//! Needs root and iproute2. Without them the drill says so and runs the half that needs neither:
//! the same attack as a recorded log through the same engine.

mod hosts;
mod report;
mod service;
mod timeline;
mod visitor;

use std::{
    io::{BufRead as _, BufReader, Write},
    path::Path,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosts::{Host, Hosts};
use report::Said;
use timeline::{Seen, Timeline};

use crate::{
    cli::{DrillArgs, DrillPartArgs, DrillRole, RunArgs, StateArgs},
    exit::Exit,
    guard, replay,
};

/// The whole exercise must end within this, whatever hangs.
const DEADLINE: Duration = Duration::from_secs(50);
/// How long the benign client works on after the last ban.
const AFTERMATH: Duration = Duration::from_secs(2);

pub(crate) fn run(arguments: &DrillArgs, out: &mut dyn Write) -> Result<Exit> {
    if let Some(why) = missing() {
        writeln!(out, "The live half of the drill cannot run here: {why}")?;
        writeln!(
            out,
            "Running the replay half: the same attack as a recorded log.\n"
        )?;
        replay_half(out)?;
        return Ok(Exit::Degraded);
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let folder = Scratch::make()?;
    let timeline = exercise(&folder.path, &interrupted, out, arguments.json)?;
    if arguments.keep {
        writeln!(out, "kept: {}", folder.keep().display())?;
    }
    let verdict = timeline.verdict();
    if arguments.json {
        writeln!(out, "{}", timeline.json())?;
    } else {
        write!(out, "{}", timeline.human())?;
    }
    Ok(if verdict.is_empty() {
        Exit::Success
    } else {
        Exit::Failure
    })
}

/// A part of the drill, started by the drill inside a namespace; ends with it.
pub(crate) fn part(arguments: &DrillPartArgs) -> Result<Exit> {
    let orphaned = rustix::process::Signal::KILL;
    rustix::process::set_parent_process_death_signal(Some(orphaned))
        .context("cannot tie the drill's part to the drill")?;
    match arguments.role {
        DrillRole::Attacker => visitor::attack(hosts::address(&arguments.target)?)?,
        DrillRole::Client => visitor::work(hosts::address(&arguments.target)?)?,
        DrillRole::Service => service::serve(Path::new(&arguments.target))?,
        DrillRole::Guard => {
            let folder = Path::new(&arguments.target);
            return guard::run(&RunArgs {
                config: Some(folder.join("posse.toml")),
                state: StateArgs {
                    state: Some(folder.join("state")),
                },
                observe: false,
                json: true,
                until_end: false,
                duty: crate::cli::Duty::Everything,
            });
        }
    }
    Ok(Exit::Success)
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it makes network namespaces, which needs root; run it with sudo".into());
    }
    let found = std::process::Command::new("ip")
        .arg("-V")
        .output()
        .is_ok_and(|o| o.status.success());
    (!found).then(|| "it needs the ip program; apt-get install iproute2".into())
}

fn exercise(
    folder: &Path,
    interrupted: &AtomicBool,
    out: &mut dyn Write,
    quiet: bool,
) -> Result<Timeline> {
    let mut say = |text: &str| {
        if quiet {
            Ok(())
        } else {
            writeln!(out, "{text}")
        }
    };
    say("Building four hosts: a victim, two attackers (IPv4, IPv6), a benign client.")?;
    let hosts = Hosts::build()?;
    write_config(folder)?;
    let (sender, events) = unbounded();
    let mut parts = Parts {
        children: Vec::new(),
        sender,
    };
    let place = folder.display().to_string();
    let mut stage = Stage {
        events,
        timeline: Timeline::default(),
        deadline: Instant::now() + DEADLINE,
    };

    parts.start(&hosts, Host::Victim, "service", &place)?;
    stage.until("the service did not start", interrupted, |t| {
        t.service_ready()
    })?;
    parts.start(&hosts, Host::Victim, "guard", &place)?;
    wait_for(&folder.join("state/control.sock"), &stage, interrupted)?;
    parts.start(&hosts, Host::Client, "client", Host::Client.target())?;
    stage.until("the client was not served", interrupted, |t| {
        t.client_served() >= 3
    })?;

    for (attacker, what) in [
        (
            Host::AttackerV4,
            "Attack 1: SSH-style password guessing over IPv4 from 198.51.100.66.",
        ),
        (
            Host::AttackerV6,
            "Attack 2: web log-in guessing over IPv6 from 2001:db8:bad::77.",
        ),
    ] {
        say(what)?;
        parts.start(&hosts, attacker, "attacker", attacker.target())?;
        stage.until("the attack did not end", interrupted, |t| {
            t.attack_over(attacker)
        })?;
    }
    say("Both attacks are over; the benign client works on for two seconds.\n")?;
    let served = stage.timeline.client_served();
    let end = Instant::now() + AFTERMATH;
    stage.until("the client was not served on", interrupted, |t| {
        Instant::now() >= end && t.client_served() > served
    })?;
    parts.end();
    stage.timeline.read_ledger(&folder.join("state"))?;
    drop(hosts);
    Ok(stage.timeline)
}

fn write_config(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder.join("state"))?;
    let logs = folder.display();
    let text = format!(
        "[[source]]\nfile = \"{logs}/auth.log\"\ntype = \"syslog\"\nstart = \"beginning\"\n\n\
         [[source]]\nfile = \"{logs}/access.log\"\ntype = \"nginx\"\nstart = \"beginning\"\n"
    );
    std::fs::write(folder.join("posse.toml"), text)?;
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder.join("state"), std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn wait_for(path: &Path, stage: &Stage, interrupted: &AtomicBool) -> Result<()> {
    while std::os::unix::net::UnixStream::connect(path).is_err() {
        ensure!(Instant::now() < stage.deadline, "the guard did not start");
        ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// What the parts say, gathered until something holds.
struct Stage {
    events: Receiver<(Host, Seen)>,
    timeline: Timeline,
    deadline: Instant,
}

impl Stage {
    fn until(
        &mut self,
        complaint: &str,
        interrupted: &AtomicBool,
        done: impl Fn(&Timeline) -> bool,
    ) -> Result<()> {
        while !done(&self.timeline) {
            if interrupted.load(Ordering::Relaxed) {
                bail!("interrupted; namespaces and processes are removed");
            }
            ensure!(Instant::now() < self.deadline, "{complaint}");
            if let Ok((host, seen)) = self.events.recv_timeout(Duration::from_millis(50)) {
                self.timeline.add(host, seen);
            }
        }
        Ok(())
    }
}

/// The drill's processes; ended when dropped.
struct Parts {
    children: Vec<Child>,
    sender: Sender<(Host, Seen)>,
}

impl Parts {
    fn start(&mut self, hosts: &Hosts, host: Host, role: &str, target: &str) -> Result<()> {
        let mut child = hosts.start(host, &["drill-part", role, target])?;
        let output = child
            .stdout
            .take()
            .context("a part without standard output")?;
        self.children.push(child);
        let sender = self.sender.clone();
        let guard = role == "guard";
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let seen = if guard {
                    serde_json::from_str(&line).map(Seen::Guard)
                } else {
                    serde_json::from_str::<Said>(&line).map(Seen::Part)
                };
                if let Ok(seen) = seen {
                    sender.send((host, seen)).ok();
                }
            }
        });
        Ok(())
    }

    /// The guard gets the chance to close its books; the others have none to close.
    fn end(&mut self) {
        for child in &self.children {
            let id = i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = id {
                rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
            }
        }
        let patience = Instant::now() + Duration::from_secs(5);
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < patience {
                thread::sleep(Duration::from_millis(10));
            }
            child.kill().ok();
            child.wait().ok();
        }
        self.children.clear();
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        self.end();
    }
}

/// A folder of our own that goes when the drill does.
struct Scratch {
    path: std::path::PathBuf,
    kept: bool,
}

impl Scratch {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("posse-drill-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    fn keep(mut self) -> std::path::PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }
}

/// The attacks as logs, through the engine that the live half runs.
fn replay_half(out: &mut dyn Write) -> Result<()> {
    let folder = Scratch::make()?;
    let mut ssh = String::new();
    let mut web = String::new();
    for second in 0..8 {
        ssh += &format!(
            "2026-01-05T10:00:{second:02}.000000+00:00 victim sshd[4711]: Failed password for \
             invalid user admin from 198.51.100.66 port 4{second:04} ssh2\n"
        );
        web += &format!(
            "2001:db8:bad::77 - - [05/Jan/2026:10:00:{second:02} +0000] \"POST /login HTTP/1.1\" \
             401 3 \"-\" \"drill/1.0\"\n"
        );
    }
    ssh += "2026-01-05T10:00:09.000000+00:00 victim sshd[4711]: Accepted password for backup from \
            203.0.113.10 port 40100 ssh2\n";
    for (name, kind, text) in [("auth.log", "syslog", ssh), ("access.log", "nginx", web)] {
        let path = folder.path.join(name);
        std::fs::write(&path, text)?;
        replay::replay_one(&path, kind, out)?;
    }
    Ok(())
}
