//! All sensors behind one epoll.
//!
//! Level-triggered: what a source could not hand over now is reported again. Sources with lines
//! take turns, and wake-up descriptors and lines take turns too, so that none starves another.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use model::{
    Batch, SourceId, SourceInfo,
    limits::{BATCH_BYTES_MAX, BATCH_LINES_MAX, SYSLOG_CONNECTIONS_MAX},
};
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    io::Errno,
};

use crate::{
    Doors, Held, Input, Listeners, PositionChange, Positions, SenseError, SourceProblem,
    SourceSpec, SourceStatus,
    files::{Files, pattern::FilePattern},
    journal::{Journal, children::Children},
    positions::Marks,
    stream::{Stream, standard_input},
    syslog::{Connection, IDLE_MAX, Listener, Turn, Udp},
    table::SourceTable,
};

/// Kinds of epoll data: the files' inotify, a channel by its key, a wake-up by its token.
const FILES: u64 = 0;
const CHANNEL: u64 = 1 << 32;
const WAKE: u64 = 2 << 32;
const KIND: u64 = !0 << 32;

const EVENTS_MAX: usize = 64;
/// A connection silent for so long gives way to a new one when all places are taken.
const EVICT_AFTER: Duration = Duration::from_secs(30);
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(5);

/// Why [`Sensors::next_batch`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The batch has lines.
    Lines,
    Timeout,
    /// The descriptor added with this token is ready. It is reported until it is no longer so.
    Signalled(u32),
    /// Every input is at its end for good (or there never was one).
    Finished,
}

/// Owns every log source.
#[derive(Debug)]
pub struct Sensors {
    epoll: OwnedFd,
    table: SourceTable,
    marks: Marks,
    files: Files,
    channels: BTreeMap<u32, Channel>,
    doors: Doors,
    next_key: u32,
    ready: VecDeque<u32>,
    signals: VecDeque<u32>,
    was_signalled: bool,
    files_first: bool,
    next_housekeeping: Instant,
    problems: Vec<SourceProblem>,
    zone: TimeZone,
}

/// A source with a descriptor of its own.
#[derive(Debug)]
enum Channel {
    Connection(Connection),
    Journal(Box<Journal>),
    Listener(Listener),
    Stdin(Stream),
    Udp(Udp),
}

impl Sensors {
    /// Opens what can be opened and says what cannot. Files and the journal are tried again later
    /// by themselves.
    pub fn open(
        specs: Vec<SourceSpec>,
        positions: &Positions,
    ) -> Result<(Self, Vec<SourceProblem>), SenseError> {
        let doors = Doors::open(&specs).map_err(|source| SenseError::Setup {
            what: "the thread that starts programs",
            source,
        })?;
        Self::open_through(specs, positions, doors)
    }

    /// As [`Sensors::open`], by a thread that may open no socket and start nothing.
    pub fn open_through(
        specs: Vec<SourceSpec>,
        positions: &Positions,
        doors: Doors,
    ) -> Result<(Self, Vec<SourceProblem>), SenseError> {
        Self::open_with(specs, positions, doors, &mut standard_input)
    }

    fn open_with(
        specs: Vec<SourceSpec>,
        positions: &Positions,
        doors: Doors,
        stdin: &mut dyn FnMut() -> io::Result<OwnedFd>,
    ) -> Result<(Self, Vec<SourceProblem>), SenseError> {
        let setup = |what| move |source| SenseError::Setup { what, source };
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from);
        let mut sensors = Self {
            epoll: epoll.map_err(setup("epoll"))?,
            table: SourceTable::default(),
            marks: Marks::new(positions.clone()),
            files: Files::new().map_err(setup("inotify"))?,
            channels: BTreeMap::new(),
            doors,
            next_key: 0,
            ready: VecDeque::new(),
            signals: VecDeque::new(),
            was_signalled: false,
            files_first: true,
            next_housekeeping: Instant::now() + HOUSEKEEPING_EVERY,
            problems: Vec::new(),
            zone: TimeZone::system(),
        };
        epoll::add(
            &sensors.epoll,
            sensors.files.fd(),
            EventData::new_u64(FILES),
            EventFlags::IN,
        )
        .map_err(|error| setup("inotify")(error.into()))?;
        for spec in specs {
            if let Err((why, fix)) = sensors.add(&spec, stdin) {
                sensors.problems.push(SourceProblem {
                    source: spec.input.to_string(),
                    why,
                    fix,
                });
            }
        }
        sensors.files.start(&mut sensors.marks, &mut sensors.table);
        let problems = sensors.take_problems();
        Ok((sensors, problems))
    }

    /// Clears `batch`, then waits until a source has lines, a wake-up descriptor is ready or
    /// `timeout` is over.
    pub fn next_batch(&mut self, batch: &mut Batch, timeout: Duration) -> Result<Wake, SenseError> {
        batch.clear();
        let begun = Instant::now();
        let deadline = begun
            .checked_add(timeout)
            .unwrap_or(begun + Duration::from_secs(86_400));
        loop {
            let now = Instant::now();
            self.keep_house(now);
            let is_finished = self.is_finished();
            self.wait(if is_finished {
                Duration::ZERO
            } else {
                self.patience(now, deadline)
            })?;
            if !self.was_signalled
                && let Some(wake) = self.signalled()
            {
                return Ok(wake);
            }
            self.read(batch);
            self.was_signalled = false;
            if !batch.is_empty() {
                return Ok(Wake::Lines);
            }
            if let Some(wake) = self.signalled() {
                return Ok(wake);
            }
            if is_finished {
                return Ok(Wake::Finished);
            }
            if !self.has_ready() && Instant::now() >= deadline {
                return Ok(Wake::Timeout);
            }
        }
    }

    /// Makes [`Sensors::next_batch`] return [`Wake::Signalled`] while `fd` is readable. The caller
    /// keeps `fd`; closing it (and all its duplicates) ends the watch.
    pub fn add_wake_fd(&mut self, fd: BorrowedFd<'_>, token: u32) -> Result<(), SenseError> {
        epoll::add(
            &self.epoll,
            fd,
            EventData::new_u64(WAKE | u64::from(token)),
            EventFlags::IN,
        )
        .map_err(|error| SenseError::WakeFd {
            token,
            source: error.into(),
        })
    }

    pub fn remove_wake_fd(&mut self, fd: BorrowedFd<'_>, token: u32) {
        // Fails when it was not there, which is what is wanted.
        let _ = epoll::delete(&self.epoll, fd);
        self.signals.retain(|signal| *signal != token);
    }

    /// By [`model::SourceId`]. Grows when files appear; never shrinks or changes.
    pub fn sources(&self) -> &[SourceInfo] {
        self.table.infos()
    }

    /// As of the end of the last batch handed out.
    pub const fn positions(&self) -> &Positions {
        &self.marks.positions
    }

    /// What changed in [`Sensors::positions`] since the last call; empty when nothing did.
    pub fn take_position_changes(&mut self) -> Vec<PositionChange> {
        self.marks.take_changes()
    }

    /// Trouble that arose (and was not reported) since the last call.
    pub fn take_problems(&mut self) -> Vec<SourceProblem> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.append(&mut self.files.problems);
        problems
    }

    /// By [`model::SourceId`], as [`Sensors::sources`].
    pub fn status(&self) -> Vec<SourceStatus> {
        let mut status = self.table.status().to_vec();
        for channel in self.channels.values() {
            if let Channel::Udp(udp) = channel
                && let Some(status) = status.get_mut(udp.source().0 as usize)
            {
                status.dropped += udp.kernel_drops();
            }
        }
        status
    }

    /// What is listened on, for a reload to open only what is new.
    pub fn held(&self) -> Held {
        let mut held = Held::default();
        for channel in self.channels.values() {
            match channel {
                Channel::Udp(udp) => held.udp.push(udp.listen),
                Channel::Listener(tcp) => held.tcp.push(tcp.listen),
                Channel::Connection(_) | Channel::Journal(_) | Channel::Stdin(_) => {}
            }
        }
        held
    }

    /// Doors for the sensors that follow these: what listens already, and what was opened for
    /// them since.
    pub fn hand_over(&self, mut fresh: Listeners) -> Doors {
        for channel in self.channels.values() {
            match channel {
                Channel::Udp(udp) => fresh.add_udp(udp.listen, udp.socket.try_clone()),
                Channel::Listener(tcp) => fresh.add_tcp(tcp.listen, tcp.socket.try_clone()),
                Channel::Connection(_) | Channel::Journal(_) | Channel::Stdin(_) => {}
            }
        }
        Doors {
            children: Children::clone(&self.doors.children),
            listeners: fresh,
        }
    }

    fn add(
        &mut self,
        spec: &SourceSpec,
        stdin: &mut dyn FnMut() -> io::Result<OwnedFd>,
    ) -> Result<(), (String, String)> {
        let no_fix = |why: String| (why, String::new());
        match &spec.input {
            Input::File { pattern, start } => {
                let fix = || "write an absolute path, or a glob such as /var/log/app/*.log";
                let parsed = FilePattern::new(pattern).map_err(|why| (why, fix().to_owned()))?;
                self.files.add(spec, parsed, *start);
            }
            Input::Journal { matches, directory } => {
                let source = self.intern(spec, "journalctl");
                let name = journal_name(matches, directory.as_deref());
                let children = Children::clone(&self.doors.children);
                let journal =
                    Journal::new(matches.clone(), directory.clone(), name, source, children);
                let key = self.add_channel(Channel::Journal(Box::new(journal)));
                self.start_journal(key);
            }
            Input::SyslogUdp { listen } => {
                let source = self.intern(spec, "syslog");
                let socket = self.doors.listeners.udp(*listen);
                let socket = socket.map_err(|e| (e.to_string(), fix_bind(&e)))?;
                let udp = Udp::new(socket, *listen, source);
                self.watch_new(Channel::Udp(udp)).map_err(no_fix)?;
            }
            Input::SyslogTcp { listen } => {
                let source = self.intern(spec, "syslog");
                let socket = self.doors.listeners.tcp(*listen);
                let socket = socket.map_err(|e| (e.to_string(), fix_bind(&e)))?;
                let tcp = Listener::new(socket, *listen, source);
                self.watch_new(Channel::Listener(tcp)).map_err(no_fix)?;
            }
            Input::Stdin => {
                let source = self.intern(spec, "stdin");
                let fd = stdin().map_err(|error| no_fix(error.to_string()))?;
                let key = self.add_channel(Channel::Stdin(Stream::new(fd, source)));
                // A file as standard input cannot be waited for, and need not be.
                if self.watch(key).is_err() {
                    self.ready.push_back(key);
                }
            }
        }
        Ok(())
    }

    fn intern(&mut self, spec: &SourceSpec, module: &str) -> SourceId {
        let name = spec.input.to_string();
        let labels = spec.labels.clone();
        let info = SourceInfo {
            name: name.clone(),
            module: module.to_owned(),
            labels,
        };
        self.table.intern(info, &name)
    }

    fn add_channel(&mut self, channel: Channel) -> u32 {
        while self.channels.contains_key(&self.next_key) {
            self.next_key = self.next_key.wrapping_add(1);
        }
        let key = self.next_key;
        self.next_key = self.next_key.wrapping_add(1);
        self.channels.insert(key, channel);
        key
    }

    fn watch_new(&mut self, channel: Channel) -> Result<u32, String> {
        let key = self.add_channel(channel);
        self.watch(key).map_err(|error| {
            self.channels.remove(&key);
            error.to_string()
        })?;
        Ok(key)
    }

    fn watch(&self, key: u32) -> io::Result<()> {
        let fd = match self.channels.get(&key) {
            Some(Channel::Connection(c)) => c.socket.as_fd(),
            Some(Channel::Listener(l)) => l.socket.as_fd(),
            Some(Channel::Stdin(s)) => s.file.as_fd(),
            Some(Channel::Udp(u)) => u.socket.as_fd(),
            Some(Channel::Journal(j)) => match j.output() {
                Some(output) => output.as_fd(),
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        let data = EventData::new_u64(CHANNEL | u64::from(key));
        Ok(epoll::add(&self.epoll, fd, data, EventFlags::IN)?)
    }

    fn start_journal(&mut self, key: u32) {
        let Some(Channel::Journal(journal)) = self.channels.get_mut(&key) else {
            return;
        };
        let source = journal.source;
        let started = journal.start(&self.marks).and_then(|()| self.watch(key));
        if let Err(error) = started {
            let why = format!("journalctl cannot be started: {error}");
            self.report_journal(source, why);
        }
    }

    // Once, until it is well again.
    fn report_journal(&mut self, source: SourceId, why: String) {
        let status = self.table.status().get(source.0 as usize);
        if status.is_none_or(|status| status.error.is_none()) {
            self.problems.push(SourceProblem {
                source: "journal".to_owned(),
                why: why.clone(),
                fix: "it is tried again by itself; if that goes on, see `journalctl --verify`, \
                      install systemd's journalctl, or name log files instead"
                    .to_owned(),
            });
        }
        self.table.count(source, |status| status.error = Some(why));
    }

    fn hear_farewells(&mut self) {
        let farewells: Vec<(SourceId, String)> = self
            .channels
            .values_mut()
            .filter_map(|channel| match channel {
                Channel::Journal(journal) => Some((journal.source, journal.farewell()?)),
                _ => None,
            })
            .collect();
        for (source, why) in farewells {
            self.report_journal(source, why);
        }
    }

    fn has_ready(&self) -> bool {
        self.files.has_ready() || !self.ready.is_empty()
    }

    fn is_finished(&self) -> bool {
        self.files.is_empty() && self.channels.is_empty()
    }

    fn patience(&self, now: Instant, deadline: Instant) -> Duration {
        if self.has_ready() {
            return Duration::ZERO;
        }
        let journals = self.channels.values().filter_map(|channel| match channel {
            Channel::Journal(journal) => journal.restart_at,
            _ => None,
        });
        let due = journals.fold(deadline.min(self.next_housekeeping), Instant::min);
        let due = if self.files.is_empty() {
            due
        } else {
            due.min(self.files.next_deadline())
        };
        due.saturating_duration_since(now)
    }

    /// Waits, and notes who is ready.
    fn wait(&mut self, patience: Duration) -> Result<(), SenseError> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let timeout = Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                return Err(SenseError::Wait {
                    source: error.into(),
                });
            }
        }
        for event in events {
            let data = event.data.u64();
            let low = u32::try_from(data & !KIND).unwrap_or(0);
            match data & KIND {
                FILES => self.files.on_event(&mut self.marks, &mut self.table),
                CHANNEL if !self.ready.contains(&low) => self.ready.push_back(low),
                WAKE if !self.signals.contains(&low) => self.signals.push_back(low),
                _ => {}
            }
        }
        Ok(())
    }

    fn signalled(&mut self) -> Option<Wake> {
        let token = self.signals.pop_front()?;
        // The rest is reported again as long as it is so.
        self.signals.clear();
        self.was_signalled = true;
        Some(Wake::Signalled(token))
    }

    fn read(&mut self, batch: &mut Batch) {
        self.files_first = !self.files_first;
        if self.files_first {
            self.files.read(batch, &mut self.marks, &mut self.table);
            self.read_channels(batch);
        } else {
            self.read_channels(batch);
            self.files.read(batch, &mut self.marks, &mut self.table);
        }
    }

    fn read_channels(&mut self, batch: &mut Batch) {
        let mut turns = self.ready.len();
        while turns > 0
            && batch.records.len() < BATCH_LINES_MAX
            && batch.buffer.len() < BATCH_BYTES_MAX
        {
            turns -= 1;
            let Some(key) = self.ready.pop_front() else {
                return;
            };
            let Some(channel) = self.channels.get_mut(&key) else {
                continue;
            };
            let turn = match channel {
                Channel::Connection(c) => c.read(&self.zone, batch, &mut self.table),
                Channel::Journal(j) => j.read(batch, &mut self.marks, &mut self.table),
                Channel::Stdin(s) => s.read(batch, &mut self.table),
                Channel::Udp(u) => {
                    u.read(&self.zone, batch, &mut self.table);
                    Turn::Wait
                }
                Channel::Listener(_) => {
                    self.accept(key);
                    Turn::Wait
                }
            };
            match turn {
                Turn::Wait => self.requeue_file_input(key),
                Turn::Again => self.ready.push_back(key),
                Turn::Ended => self.end(key),
            }
        }
    }

    // Standard input from a file is not in the epoll, and so always ready until its end.
    fn requeue_file_input(&mut self, key: u32) {
        if let Some(Channel::Stdin(stream)) = self.channels.get(&key)
            && stream.file.metadata().is_ok_and(|meta| meta.is_file())
        {
            self.ready.push_back(key);
        }
    }

    fn end(&mut self, key: u32) {
        if let Some(Channel::Journal(journal)) = self.channels.get_mut(&key) {
            journal.on_end();
            return;
        }
        self.channels.remove(&key);
    }

    fn accept(&mut self, key: u32) {
        // Level-triggered: who waits beyond this is reported again.
        const AT_ONCE_MAX: usize = 16;
        for _ in 0..AT_ONCE_MAX {
            let Some(Channel::Listener(listener)) = self.channels.get(&key) else {
                return;
            };
            let source = listener.source();
            let Some(connection) = listener.accept() else {
                return;
            };
            if !self.make_room() {
                self.table.count(source, |status| status.dropped += 1);
                continue;
            }
            if self.watch_new(Channel::Connection(connection)).is_err() {
                self.table.count(source, |status| status.dropped += 1);
            }
        }
    }

    /// Whether one more connection may be had, if need be in the place of the quietest.
    fn make_room(&mut self) -> bool {
        let mut open: Vec<(Instant, u32)> = self.connections().collect();
        if open.len() < SYSLOG_CONNECTIONS_MAX {
            return true;
        }
        open.sort_unstable();
        match open.first() {
            Some((heard, key)) if heard.elapsed() > EVICT_AFTER => {
                self.channels.remove(key);
                true
            }
            _ => false,
        }
    }

    fn connections(&self) -> impl Iterator<Item = (Instant, u32)> {
        self.channels
            .iter()
            .filter_map(|(key, channel)| match channel {
                Channel::Connection(connection) => Some((connection.heard, *key)),
                _ => None,
            })
    }

    fn keep_house(&mut self, now: Instant) {
        if !self.files.is_empty() {
            self.files.on_time(now, &mut self.marks, &mut self.table);
        }
        self.hear_farewells();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let due: Vec<u32> = self
            .channels
            .iter()
            .filter(|(_, channel)| matches!(channel, Channel::Journal(j) if is_due(j.restart_at)))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.start_journal(key);
        }
        if now < self.next_housekeeping {
            return;
        }
        self.next_housekeeping = now + HOUSEKEEPING_EVERY;
        let idle: Vec<u32> = self
            .connections()
            .filter(|(heard, _)| now.saturating_duration_since(*heard) > IDLE_MAX)
            .map(|(_, key)| key)
            .collect();
        for key in idle {
            self.channels.remove(&key);
        }
    }
}

fn journal_name(matches: &[String], directory: Option<&std::path::Path>) -> String {
    let place = directory.map_or_else(String::new, |path| path.display().to_string());
    format!("{place}?{}", matches.join("&"))
}

fn fix_bind(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there (rsyslog?); stop it or choose another port".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another port".to_owned()
        }
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "sensors_tests.rs"]
mod tests;
