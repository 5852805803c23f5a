//! What a step writes: JSON Lines, within a limit, with a count of rows and of what went wrong.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use model::harmless;
use serde_json::{Value, json};

/// Told one by one; the rest is counted.
const FAULTS_MAX: usize = 20;
const FAULT_CHARS_MAX: usize = 200;

pub(super) struct Sheet<'a> {
    out: &'a mut dyn Write,
    left: u64,
    until: Instant,
    rows: u64,
    faults: Vec<String>,
    more_faults: u64,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(out: &'a mut dyn Write, bytes: u64, time: Duration) -> Self {
        Self {
            out,
            left: bytes,
            until: Instant::now() + time,
            rows: 0,
            faults: Vec::new(),
            more_faults: 0,
        }
    }

    /// One line; an error when it does not fit any more, or there is no time left.
    pub(super) fn row(&mut self, row: &Value) -> io::Result<()> {
        let line = format!("{row}\n");
        self.raw(line.as_bytes())?;
        self.rows += 1;
        Ok(())
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.in_time()?;
        let length = bytes.len() as u64;
        let left = self.left.checked_sub(length);
        self.left = left.ok_or_else(|| io::Error::other("the limit of bytes was reached"))?;
        self.out.write_all(bytes)
    }

    /// That something is not there is a finding; that it cannot be read is a fault.
    pub(super) fn absent(&mut self, path: &str, e: &io::Error) -> io::Result<()> {
        if e.kind() == io::ErrorKind::NotFound {
            return self.row(&json!({ "absent": path }));
        }
        self.fault(&format!("{path}: {e}"));
        Ok(())
    }

    pub(super) fn counted(&mut self, rows: u64) {
        self.rows += rows;
    }

    pub(super) fn in_time(&self) -> io::Result<()> {
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(io::Error::other("the time for it was over"))
    }

    /// Something could not be read; the step goes on.
    pub(super) fn fault(&mut self, text: &str) {
        if self.faults.len() < FAULTS_MAX {
            let text = harmless(text).chars().take(FAULT_CHARS_MAX).collect();
            self.faults.push(text);
        } else {
            self.more_faults += 1;
        }
    }

    pub(super) fn end(mut self) -> (u64, Vec<String>) {
        if self.more_faults > 0 {
            self.faults
                .push(format!("and {} more faults", self.more_faults));
        }
        (self.rows, self.faults)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_keeps_its_limits_and_counts_what_it_does_not_tell() {
        let mut out = Vec::new();
        let mut sheet = Sheet::new(&mut out, 16, Duration::from_secs(60));
        sheet.row(&Value::from("12345678")).unwrap();
        assert!(sheet.row(&Value::from("12345678")).is_err());
        for number in 0..25 {
            sheet.fault(&format!("no {number}\u{1b}[2J"));
        }
        let (rows, faults) = sheet.end();
        assert_eq!(rows, 1);
        assert_eq!(faults.len(), 21);
        assert_eq!(faults.last().unwrap(), "and 5 more faults");
        assert!(!faults[0].contains('\u{1b}'));
        assert_eq!(out, b"\"12345678\"\n");
    }

    #[test]
    fn nothing_is_written_after_the_time() {
        let mut out = Vec::new();
        let mut sheet = Sheet::new(&mut out, 16, Duration::ZERO);
        assert!(sheet.row(&Value::Null).is_err());
    }
}
