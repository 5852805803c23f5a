//! A child that carries out one step, as the one who waits for it sees it.

use std::{
    ffi::OsString,
    io::{self, Read, Write as _},
    os::fd::AsFd,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::{Step, actions::End};

/// A child ends itself in time; this much later nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(5);
/// What a child says of itself when it has ended; must fit into a pipe.
const REPORT_BYTES_MAX: u64 = 48 << 10;

/// What became of a step.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) end: End,
    pub(super) why: String,
    pub(super) rows: u64,
    /// What could not be read, in one line each.
    pub(super) faults: Vec<String>,
}

/// The same on its way from the child.
#[derive(Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) complete: bool,
    pub(super) why: String,
    pub(super) rows: u64,
    pub(super) faults: Vec<String>,
}

/// Started, and waiting for its turn.
pub(super) struct Helper {
    child: Child,
    time: Duration,
    bytes: u64,
}

impl Helper {
    pub(super) fn start(
        step: Step,
        time: Duration,
        bytes: u64,
        details: Vec<OsString>,
    ) -> Result<Self> {
        let itself = std::env::current_exe().context("cannot find this program")?;
        let child = Command::new(itself)
            .args(["exhibit", "collect-part", step.word()])
            .args(["--seconds", &time.as_secs().max(1).to_string()])
            .args(["--bytes", &bytes.to_string(), "--"])
            .args(details)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a helper")?;
        Ok(Self { child, time, bytes })
    }

    /// Its turn has come.
    pub(super) fn go(&self) -> Result<Stream<'_>> {
        let mut stdin: &ChildStdin = self.child.stdin.as_ref().context("no pipe to the helper")?;
        stdin.write_all(b"\n").context("the helper is gone")?;
        Ok(Stream {
            helper: self,
            until: Instant::now() + self.time + GRACE,
            read: 0,
            cut: None,
        })
    }
}

impl Drop for Helper {
    /// One that waits ends when its input does. Another user's child cannot be killed, and one
    /// that the kernel holds does not end: neither is waited for.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.stdout.take());
        let _ = self.child.kill();
        let _ = self.child.try_wait();
    }
}

/// What a child reads, as it comes; ends early rather than never.
pub(super) struct Stream<'a> {
    helper: &'a Helper,
    until: Instant,
    read: u64,
    cut: Option<String>,
}

impl Stream<'_> {
    /// What the child says of its step, after its last byte.
    pub(super) fn ended(&mut self) -> Got {
        let mut text = Vec::new();
        if self.cut.is_none() {
            self.hear(&mut text);
        }
        let last = text
            .split(|byte| *byte == b'\n')
            .rfind(|line| !line.is_empty());
        let report = last.and_then(|line| serde_json::from_slice::<Report>(line).ok());
        match (self.cut.take(), report) {
            (None, Some(report)) => Got {
                end: match (report.complete, report.faults.is_empty(), report.rows) {
                    (true, true, _) => End::Complete,
                    (true, false, _) => End::Partial,
                    (false, _, 0) => End::Failed,
                    (false, ..) => End::Partial,
                },
                why: match (report.complete, report.faults.first()) {
                    (true, Some(_)) => "something could not be read".to_owned(),
                    _ => report.why,
                },
                rows: report.rows,
                faults: report.faults,
            },
            (cut, _) => Got {
                end: if self.read == 0 {
                    End::Failed
                } else {
                    End::Partial
                },
                why: cut.unwrap_or_else(|| {
                    let said = String::from_utf8_lossy(&text).trim().to_owned();
                    format!("its helper ended without a word on how: {said}")
                }),
                rows: u64::from(self.read > 0),
                faults: Vec::new(),
            },
        }
    }

    fn hear(&self, text: &mut Vec<u8>) {
        let Some(stderr) = &self.helper.child.stderr else {
            return;
        };
        let mut buffer = [0; 4_096];
        while (text.len() as u64) < REPORT_BYTES_MAX && self.ready(stderr) {
            match rustix::io::read(stderr, &mut buffer) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) | Err(_) => return,
                Ok(count) => text.extend_from_slice(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// Waits for bytes or the end of them.
    fn ready(&self, from: &impl AsFd) -> bool {
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let left = Timespec::try_from(left).ok();
            match poll(&mut [PollFd::new(from, PollFlags::IN)], left.as_ref()) {
                Ok(0) => {}
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(stdout) = self.helper.child.stdout.as_ref() else {
            return Ok(0);
        };
        if !self.ready(stdout) {
            let seconds = self.helper.time.as_secs();
            self.cut = Some(format!("it did not end within {seconds} s"));
            return Ok(0);
        }
        let room = self.helper.bytes.saturating_sub(self.read);
        let count = rustix::io::read(stdout, &mut *buffer)?;
        // The child keeps to the limit itself.
        if count as u64 > room {
            self.cut = Some(format!("more than {} bytes", self.helper.bytes));
            self.read = self.helper.bytes;
            return Ok(usize::try_from(room).unwrap_or(count));
        }
        self.read += count as u64;
        Ok(count)
    }
}
