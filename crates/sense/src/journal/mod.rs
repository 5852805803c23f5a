//! The systemd journal, by way of `journalctl`, which knows all its formats.
//!
//! The child is killed with its source, and started again (ever more slowly) when it ends.

pub(crate) mod children;
pub(crate) mod export;

use std::{
    io::{self, PipeReader, Read as _},
    path::PathBuf,
    process::Command,
    sync::mpsc::Receiver,
    time::{Duration, Instant},
};

use model::{
    Batch, LineOrigin, RecordMeta, SourceId, Timestamp,
    limits::{BATCH_BYTES_MAX, BATCH_LINES_MAX, JOURNAL_ENTRY_BYTES_MAX},
};

use self::{
    children::{Children, Running},
    export::Reader,
};
use crate::{
    clock,
    positions::{Marks, PositionChange},
    render,
    syslog::{Turn, is_for_later},
    table::SourceTable,
};

const CHUNK: usize = 64 << 10;
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A child that lived so long was well.
const HEALTHY: Duration = Duration::from_secs(30);
/// Starts that end at once before a cursor is given up as the cause.
const CURSOR_FAILURES_MAX: u32 = 3;

#[derive(Debug)]
pub(crate) struct Journal {
    matches: Vec<String>,
    directory: Option<PathBuf>,
    program: PathBuf,
    /// Tells this journal source from others in the positions.
    name: String,
    pub(crate) source: SourceId,
    children: Children,
    child: Option<Running>,
    /// How the last child ended, as soon as that is known.
    farewell: Option<Receiver<String>>,
    reader: Reader,
    oversize_counted: u64,
    /// Entries before this were there when the sensor began.
    opened: Timestamp,
    started: Instant,
    failures: u32,
    backoff: Duration,
    /// When to start the child again.
    pub(crate) restart_at: Option<Instant>,
}

impl Journal {
    pub(crate) fn new(
        matches: Vec<String>,
        directory: Option<PathBuf>,
        name: String,
        source: SourceId,
        children: Children,
    ) -> Self {
        Self {
            matches,
            directory,
            program: PathBuf::from("journalctl"),
            name,
            source,
            children,
            child: None,
            farewell: None,
            reader: Reader::new(JOURNAL_ENTRY_BYTES_MAX),
            oversize_counted: 0,
            opened: clock::now(),
            started: Instant::now(),
            failures: 0,
            backoff: BACKOFF_MIN,
            restart_at: None,
        }
    }

    pub(crate) fn start(&mut self, marks: &Marks) -> io::Result<()> {
        let cursor = marks
            .positions
            .journal_cursor(&self.name)
            .filter(|_| self.failures < CURSOR_FAILURES_MAX);
        let mut command = Command::new(&self.program);
        command.args(["--output=export", "--follow", "--quiet", "--no-pager"]);
        match cursor {
            Some(cursor) => command.args(["--lines=all", &format!("--after-cursor={cursor}")]),
            // From when the sensor began, not from now: the child may have been away meanwhile.
            None => command.args([
                "--lines=all",
                &format!("--since=@{}", self.opened.seconds()),
            ]),
        };
        if let Some(directory) = &self.directory {
            command.arg("--directory").arg(directory);
        }
        // A match begins with a field's name or is `+`; nothing else may look like an option.
        command.arg("--").args(&self.matches);
        self.reader = Reader::new(JOURNAL_ENTRY_BYTES_MAX);
        self.oversize_counted = 0;
        self.restart_at = None;
        self.started = Instant::now();
        match self.children.order(command) {
            Ok((child, farewell)) => {
                self.child = Some(child);
                self.farewell = Some(farewell);
                Ok(())
            }
            Err(error) => {
                self.plan_restart();
                Err(error)
            }
        }
    }

    pub(crate) fn output(&self) -> Option<&PipeReader> {
        self.child.as_ref().map(|child| &child.output)
    }

    /// Reads once; epoll said that it will not block.
    pub(crate) fn read(
        &mut self,
        batch: &mut Batch,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> Turn {
        if self.pull(batch, marks, table) == Turn::Again {
            return Turn::Again;
        }
        let Some(child) = self.child.as_mut() else {
            return Turn::Wait;
        };
        let mut buffer = vec![0; CHUNK];
        match child.output.read(&mut buffer) {
            Ok(length) if length > 0 => {
                self.reader.feed(buffer.get(..length).unwrap_or_default());
                self.pull(batch, marks, table)
            }
            Err(error) if is_for_later(&error) => Turn::Wait,
            Ok(_) | Err(_) => Turn::Ended,
        }
    }

    /// The child is gone: plans the next. Why comes by [`Journal::farewell`].
    pub(crate) fn on_end(&mut self) {
        self.child = None;
        let is_quick = self.started.elapsed() < HEALTHY;
        self.failures = if is_quick {
            self.failures.saturating_add(1)
        } else {
            0
        };
        if !is_quick {
            self.backoff = BACKOFF_MIN;
        }
        self.plan_restart();
    }

    /// Why the last child ended, once.
    pub(crate) fn farewell(&mut self) -> Option<String> {
        if self.child.is_some() {
            return None;
        }
        let why = self.farewell.as_ref()?.try_recv().ok()?;
        self.farewell = None;
        Some(why)
    }

    fn plan_restart(&mut self) {
        self.restart_at = Some(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    fn pull(&mut self, batch: &mut Batch, marks: &mut Marks, table: &mut SourceTable) -> Turn {
        let received = clock::now();
        let mut cursor = None;
        let turn = loop {
            if batch.records.len() >= BATCH_LINES_MAX || batch.buffer.len() >= BATCH_BYTES_MAX {
                break Turn::Again;
            }
            let Some(raw) = self.reader.next() else {
                break Turn::Wait;
            };
            cursor = append(self.source, raw, received, self.opened, batch, table).or(cursor);
        };
        if let Some(cursor) = cursor {
            self.failures = 0;
            table.count(self.source, |status| status.error = None);
            marks.record(PositionChange::Journal {
                journal: self.name.clone(),
                cursor,
            });
        }
        let dropped = self.reader.oversize - self.oversize_counted;
        if dropped > 0 {
            self.oversize_counted = self.reader.oversize;
            table.count(self.source, |status| status.dropped += dropped);
        }
        turn
    }
}

/// Puts one entry into the batch as a traditional line. Gives its cursor.
fn append(
    source: SourceId,
    raw: &[u8],
    received: Timestamp,
    opened: Timestamp,
    batch: &mut Batch,
    table: &mut SourceTable,
) -> Option<String> {
    let entry = export::parse(raw);
    let cursor = std::str::from_utf8(entry.cursor)
        .ok()
        .filter(|c| !c.is_empty())?
        .to_owned();
    let range = batch.store(raw);
    let begin = batch.buffer.len();
    let line = render::Line {
        time: entry.time.unwrap_or(received),
        host: entry.host,
        ident: entry.ident,
        pid: entry.pid,
        message: entry.message,
    };
    render::append(&mut batch.buffer, &line);
    table.count(source, |status| {
        status.lines += 1;
        status.bytes += raw.len() as u64;
        status.last_line = Some(received);
    });
    batch.records.push(RecordMeta {
        source,
        origin: LineOrigin::Journal {
            cursor: cursor.clone(),
        },
        received,
        text: begin..batch.buffer.len(),
        raw: range,
        truncated: false,
        catch_up: entry.time.is_some_and(|time| time < opened),
    });
    Some(cursor)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const EXPORT: &[u8] = b"__CURSOR=s=1;i=1\n__REALTIME_TIMESTAMP=1795292100123456\n_HOSTNAME=web1\n\
        SYSLOG_IDENTIFIER=sshd\n_PID=42\nMESSAGE=Failed password for root from 203.0.113.9 port 1 ssh2\n\n\
        __CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795292100123457\n_HOSTNAME=web1\n_COMM=cron\nMESSAGE=hi\n\n";

    fn journal(program: &str, table: &mut SourceTable) -> Journal {
        let info = model::SourceInfo {
            name: "journal".to_owned(),
            module: "journalctl".to_owned(),
            labels: std::collections::BTreeMap::new(),
        };
        let source = table.intern(info, "journal");
        let children = Children::start().unwrap();
        let mut journal = Journal::new(vec!["_COMM=x".into()], None, "j".into(), source, children);
        journal.program = PathBuf::from(program);
        journal
    }

    #[test]
    fn a_child_is_read_its_end_explained_and_its_cursor_given_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let (canned, script) = (dir.path().join("export"), dir.path().join("journalctl"));
        std::fs::write(&canned, EXPORT).unwrap();
        let text = format!(
            "#!/bin/sh\necho \"$@\" >{0}/args\ncat {0}/export\necho no journal >&2\nexit 3\n",
            dir.path().display()
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (mut table, mut marks) = (SourceTable::default(), Marks::default());
        let mut journal = journal(script.to_str().unwrap(), &mut table);
        journal.start(&marks).unwrap();
        let mut batch = Batch::default();
        while journal.read(&mut batch, &mut marks, &mut table) != Turn::Ended {}
        let lines: Vec<_> = batch
            .iter()
            .map(|r| String::from_utf8_lossy(r.text))
            .collect();
        assert_eq!(
            lines,
            [
                "2026-11-21T20:15:00.123456+00:00 web1 sshd[42]: Failed password for root from 203.0.113.9 port 1 ssh2",
                "2026-11-21T20:15:00.123457+00:00 web1 cron: hi"
            ]
        );
        let first = batch.iter().next().unwrap();
        assert!(first.raw.starts_with(b"__CURSOR=s=1;i=1\n") && first.raw.ends_with(b"ssh2\n"));
        journal.on_end();
        assert!(why(&mut journal).contains("no journal"));
        assert!(journal.restart_at.unwrap() > Instant::now());
        journal.start(&marks).unwrap();
        while journal.read(&mut batch, &mut marks, &mut table) != Turn::Ended {}
        let args = std::fs::read_to_string(dir.path().join("args")).unwrap();
        assert!(
            args.contains("--after-cursor=s=1;i=2") && args.ends_with("-- _COMM=x\n"),
            "{args}"
        );
    }

    fn why(journal: &mut Journal) -> String {
        for _ in 0..1_000 {
            if let Some(why) = journal.farewell() {
                return why;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("no farewell");
    }

    #[test]
    fn a_missing_program_is_tried_again_later() {
        let (mut table, mut marks) = (SourceTable::default(), Marks::default());
        let mut journal = journal("/nonexistent/journalctl", &mut table);
        journal.start(&marks).unwrap();
        let mut batch = Batch::default();
        while journal.read(&mut batch, &mut marks, &mut table) != Turn::Ended {}
        journal.on_end();
        assert!(journal.restart_at.is_some());
        assert!(why(&mut journal).contains("cannot be started"));
    }

    #[test]
    fn a_child_ends_with_its_source() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("journalctl");
        std::fs::write(&script, "#!/bin/sh\necho $$\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut table = SourceTable::default();
        let mut journal = journal(script.to_str().unwrap(), &mut table);
        journal.start(&Marks::default()).unwrap();
        let mut number = [0; 16];
        let length = journal
            .child
            .as_mut()
            .unwrap()
            .output
            .read(&mut number)
            .unwrap();
        let number = String::from_utf8_lossy(&number[..length]).trim().to_owned();
        let process = PathBuf::from("/proc").join(number);
        assert!(process.exists());
        drop(journal);
        assert!(!process.exists());
    }

    /// Ends with the test, however that ends.
    struct Daemon(std::process::Child);

    impl Drop for Daemon {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// journald in a mount namespace of its own, with `run` as its `/run`.
    fn real_journald(run: &std::path::Path) -> Option<Daemon> {
        let script = "mount --bind \"$0\" /run && mkdir -p /run/systemd/journal /run/log/journal \
                      && exec /lib/systemd/systemd-journald";
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script])
            .arg(run)
            .stderr(std::process::Stdio::null())
            .spawn()
            .ok()?;
        let mut running = Daemon(child);
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(30));
            let has_journal =
                std::fs::read_dir(run.join("log/journal")).is_ok_and(|mut d| d.next().is_some());
            if has_journal && run.join("systemd/journal/dev-log").exists() {
                return Some(running);
            }
            if running.0.try_wait().ok()?.is_some() {
                return None;
            }
        }
        None
    }

    #[test]
    fn the_real_journal_from_cursor_to_cursor() {
        let dir = tempfile::tempdir().unwrap();
        let Some(_journald) = real_journald(dir.path()) else {
            eprintln!("SKIPPED: no systemd-journald can be run here (needs root and unshare)");
            return;
        };
        let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let log = |text: &str| {
            let to = dir.path().join("systemd/journal/dev-log");
            socket
                .send_to(format!("<38>sshd[77]: {text}").as_bytes(), to)
                .unwrap();
        };
        let spec = crate::SourceSpec::new(
            crate::Input::Journal {
                matches: vec!["SYSLOG_IDENTIFIER=sshd".to_owned()],
                directory: Some(dir.path().join("log/journal")),
            },
            "syslog",
        );
        let mut positions = crate::Positions::default();
        for round in 0..2 {
            if round == 1 {
                log("while away");
            }
            let (mut sensors, problems) =
                crate::Sensors::open(vec![spec.clone()], &positions).unwrap();
            assert_eq!(problems, []);
            log(&format!("round {round}"));
            let (mut batch, mut got) = (Batch::default(), Vec::new());
            let deadline = Instant::now() + Duration::from_secs(10);
            while got.len() <= round && Instant::now() < deadline {
                sensors
                    .next_batch(&mut batch, Duration::from_secs(1))
                    .unwrap();
                got.extend(
                    batch
                        .iter()
                        .map(|r| String::from_utf8_lossy(r.text).into_owned()),
                );
            }
            let ends: Vec<_> = got
                .iter()
                .filter_map(|l| l.split(" sshd[77]: ").nth(1))
                .collect();
            let expected: &[&str] = if round == 0 {
                &["round 0"]
            } else {
                &["while away", "round 1"]
            };
            assert_eq!(ends, expected);
            positions = sensors.positions().clone();
        }
    }
}
