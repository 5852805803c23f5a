//! Tells the service manager how we are: sd_notify(3), one small datagram, own words.
//!
//! The guard speaks from its own thread, so a guard that hangs is found by its silence. The socket
//! never blocks; a manager that does not listen costs nothing. Without `NOTIFY_SOCKET` every call
//! does nothing.

use std::{
    env,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{ffi::OsStrExt as _, net::SocketAddr, net::UnixDatagram},
    },
    path::Path,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often to give a sign of life; absent when nobody waits for one.
    every: Option<Duration>,
    next: Instant,
}

impl Supervisor {
    /// Whoever started us says where it listens.
    pub(crate) fn from_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| connect(name.as_bytes()).ok());
        let limit = watchdog_limit(
            env::var("WATCHDOG_USEC").ok().as_deref(),
            env::var("WATCHDOG_PID").ok().as_deref(),
            std::process::id(),
        );
        Self {
            every: limit.filter(|_| socket.is_some()).map(|limit| limit / 2),
            socket,
            next: Instant::now(),
        }
    }

    pub(crate) fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// To be followed by [`Supervisor::ready`].
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
    }

    pub(crate) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Whether it is time for a sign of life; asked often, `true` once a period.
    pub(crate) fn is_due(&mut self) -> bool {
        let Some(every) = self.every else {
            return false;
        };
        let now = Instant::now();
        let is_due = now >= self.next;
        if is_due {
            self.next = now + every;
        }
        is_due
    }

    pub(crate) fn alive(&self, status: &str) {
        self.say(&format!("WATCHDOG=1\nSTATUS={}", one_line(status)));
    }

    fn say(&self, text: &str) {
        if let Some(socket) = &self.socket {
            // A full socket is no fault of ours: the next sign of life follows in time.
            socket.send(text.as_bytes()).ok();
        }
    }
}

fn connect(name: &[u8]) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name.strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(Path::new(std::ffi::OsStr::from_bytes(name)))?,
    }
    Ok(socket)
}

/// sd_watchdog_enabled(3): the limit counts for the process it names, or for whoever reads it.
fn watchdog_limit(micros: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    let micros: u64 = micros?.parse().ok()?;
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own));
    (micros > 0 && is_ours).then(|| Duration::from_micros(micros))
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_states_and_signs_of_life() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        manager
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut supervisor = Supervisor {
            socket: Some(connect(path.as_os_str().as_bytes()).unwrap()),
            every: Some(Duration::from_millis(1)),
            next: Instant::now(),
        };
        let hear = || {
            let mut bytes = [0; 200];
            let count = manager.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        supervisor.ready("2 bans\nWATCHDOG=trigger");
        assert_eq!(hear(), "READY=1\nSTATUS=2 bans WATCHDOG=trigger");
        supervisor.reloading();
        assert!(hear().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        std::thread::sleep(Duration::from_millis(2));
        assert!(supervisor.is_due());
        supervisor.alive("well");
        assert_eq!(hear(), "WATCHDOG=1\nSTATUS=well");
        supervisor.stopping();
        assert_eq!(hear(), "STOPPING=1");
    }

    #[test]
    fn a_manager_that_does_not_listen_never_blocks_us() {
        let (near, _far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let supervisor = Supervisor {
            socket: Some(near),
            every: None,
            next: Instant::now(),
        };
        for _ in 0..10_000 {
            supervisor.ready("nobody reads this");
        }
    }

    #[test]
    fn the_watchdog_is_ours_or_nobodys() {
        let limit = |micros, pid| watchdog_limit(micros, pid, 7);
        assert_eq!(
            limit(Some("3000000"), Some("7")),
            Some(Duration::from_secs(3))
        );
        assert_eq!(limit(Some("3000000"), None), Some(Duration::from_secs(3)));
        for (micros, pid) in [
            (Some("3000000"), Some("8")),
            (Some("0"), None),
            (Some("x"), None),
            (None, Some("7")),
        ] {
            assert_eq!(limit(micros, pid), None, "{micros:?} {pid:?}");
        }
    }
}
