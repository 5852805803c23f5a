//! The intake journal: what detection needs to go on after a crash, in one append-only file.
//!
//! A snapshot, then records since. Appends are one `write` and no sync: they outlive a killed
//! process, not a power cut, and so cost microseconds. The file belongs to whoever holds the
//! state directory's lock.
//!
//! File: 8 bytes of magic, then records of
//! `kind u8 · length u32 · crc32 of the body u32 · crc32 of the header so far u32 · body`,
//! little-endian. The header has its own checksum so that a damaged length is not taken for a
//! record that was cut off at the end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::dir::sync_dir;

const MAGIC: &[u8; 8] = b"POSSEIJ1";
const HEADER_BYTES: usize = 13;
const SNAPSHOT: u8 = 1;
const RECORD: u8 = 2;
/// The file's size; beyond it appends fail until the journal is compacted.
pub const JOURNAL_BYTES_MAX: u64 = 256 << 20;
const DAMAGED_KEPT_MAX: u32 = 8;

/// What a journal held.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub snapshot: Option<Vec<u8>>,
    /// Records appended after the snapshot, in order.
    pub since: Vec<Vec<u8>>,
    /// What was wrong with the file and where it is kept; what came before the damage is above.
    pub damage: Option<String>,
}

#[derive(Debug)]
pub struct IntakeJournal {
    dir: PathBuf,
    file: File,
    /// Bytes known to be good; whatever is behind them is the rest of a failed write.
    good: u64,
    /// Where the records since the snapshot begin.
    snapshot_end: u64,
    /// The last write failed and could not be taken back yet.
    torn: bool,
}

impl IntakeJournal {
    /// Opens the journal in `dir` or begins one. Damage is not an error: the good part is used.
    pub fn open(dir: &Path) -> io::Result<(Self, Recovered)> {
        let path = journal_path(dir);
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let mut file = options.open(&path)?;
        let mut bytes = Vec::new();
        (&mut file)
            .take(JOURNAL_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        let mut scan = scan(&bytes);
        if let Some(why) = scan.damage.take() {
            let aside = set_aside(dir, &path)?;
            scan.recovered.damage = Some(format!(
                "the intake journal is damaged: {why}; what came before it was used, and the file \
                 is kept as {}",
                aside.display()
            ));
            let good = bytes.get(..scan.good).unwrap_or_default();
            file = replace(dir, if good.is_empty() { MAGIC } else { good })?;
            scan.good = scan.good.max(MAGIC.len());
        } else if scan.good < MAGIC.len() {
            file = replace(dir, MAGIC)?;
            scan.good = MAGIC.len();
        } else {
            file.set_len(scan.good as u64)?;
        }
        file.seek(SeekFrom::Start(scan.good as u64))?;
        let journal = Self {
            dir: dir.to_owned(),
            file,
            good: scan.good as u64,
            snapshot_end: scan.snapshot_end.max(MAGIC.len()) as u64,
            torn: false,
        };
        Ok((journal, scan.recovered))
    }

    /// Appends records with one write. After an error nothing of them is kept.
    pub fn append(&mut self, records: &[&[u8]]) -> io::Result<()> {
        self.take_back()?;
        let total: usize = records.iter().map(|r| r.len() + HEADER_BYTES).sum();
        if self.good + total as u64 > JOURNAL_BYTES_MAX {
            return Err(io::Error::other(
                "the intake journal is full until it is compacted",
            ));
        }
        let mut bytes = Vec::with_capacity(total);
        records
            .iter()
            .try_for_each(|record| encode(RECORD, record, &mut bytes))?;
        if let Err(e) = self.file.write_all(&bytes) {
            self.torn = true;
            // Tried again before the next append, should it fail now.
            let _ = self.take_back();
            return Err(e);
        }
        self.good += bytes.len() as u64;
        Ok(())
    }

    /// Puts a snapshot in the place of everything so far.
    pub fn compact(&mut self, snapshot: &[u8]) -> io::Result<()> {
        if snapshot.len() as u64 + 1024 > JOURNAL_BYTES_MAX {
            return Err(io::Error::other(
                "the snapshot is larger than the intake journal may be",
            ));
        }
        let mut bytes = MAGIC.to_vec();
        encode(SNAPSHOT, snapshot, &mut bytes)?;
        self.file = replace(&self.dir, &bytes)?;
        self.good = bytes.len() as u64;
        self.snapshot_end = self.good;
        self.torn = false;
        Ok(())
    }

    /// How much was appended since the last snapshot: when it is much, compact.
    pub const fn bytes_since_snapshot(&self) -> u64 {
        self.good - self.snapshot_end
    }

    fn take_back(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.good)?;
            self.file.seek(SeekFrom::Start(self.good))?;
            self.torn = false;
        }
        Ok(())
    }
}

fn journal_path(dir: &Path) -> PathBuf {
    dir.join("intake.journal")
}

fn encode(kind: u8, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let len = u32::try_from(body.len()).map_err(|_| io::Error::other("the record is too long"))?;
    let start = out.len();
    out.push(kind);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    let header = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&header.to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// A new journal with these bytes takes the old one's place, durably.
fn replace(dir: &Path, bytes: &[u8]) -> io::Result<File> {
    let fresh = dir.join("intake.journal.new");
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&fresh, journal_path(dir))?;
    sync_dir(dir)?;
    Ok(file)
}

fn set_aside(dir: &Path, path: &Path) -> io::Result<PathBuf> {
    let name = |n| dir.join(format!("intake.journal.damaged-{n}"));
    let free = (1..DAMAGED_KEPT_MAX).map(name).find(|p| !p.exists());
    let aside = free.unwrap_or_else(|| name(DAMAGED_KEPT_MAX));
    fs::rename(path, &aside)?;
    Ok(aside)
}

struct Scan {
    recovered: Recovered,
    good: usize,
    snapshot_end: usize,
    damage: Option<String>,
}

fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan {
        recovered: Recovered::default(),
        good: 0,
        snapshot_end: 0,
        damage: None,
    };
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        // A crash while the file was new leaves less than the magic.
        if !MAGIC.starts_with(bytes) && bytes.iter().any(|b| *b != 0) {
            scan.damage = Some("it does not begin as an intake journal does".into());
        }
        return scan;
    };
    scan.good = MAGIC.len();
    scan.snapshot_end = MAGIC.len();
    loop {
        match next(rest) {
            Next::End => return scan,
            Next::Damaged(why) => {
                scan.damage = Some(format!("{why} at byte {}", scan.good));
                return scan;
            }
            Next::Record { kind, body, tail } => {
                scan.good += rest.len() - tail.len();
                rest = tail;
                if kind == SNAPSHOT {
                    scan.recovered.snapshot = Some(body.to_vec());
                    scan.recovered.since.clear();
                    scan.snapshot_end = scan.good;
                } else {
                    scan.recovered.since.push(body.to_vec());
                }
            }
        }
    }
}

enum Next<'a> {
    Record {
        kind: u8,
        body: &'a [u8],
        tail: &'a [u8],
    },
    /// Nothing more, or a record that was never written to its end.
    End,
    Damaged(&'static str),
}

fn next(rest: &[u8]) -> Next<'_> {
    let Some((header, body)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Next::End;
    };
    let [kind, l0, l1, l2, l3, b0, b1, b2, b3, h0, h1, h2, h3] = *header;
    let checked = header.get(..HEADER_BYTES - 4).unwrap_or_default();
    if crc32fast::hash(checked) != u32::from_le_bytes([h0, h1, h2, h3]) {
        // After a power cut a file may be longer than what was written to it, by zeros.
        let zeros = rest.iter().all(|b| *b == 0);
        return if zeros {
            Next::End
        } else {
            Next::Damaged("bad record header")
        };
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let Some((body, tail)) = body.split_at_checked(len) else {
        return Next::End;
    };
    if crc32fast::hash(body) != u32::from_le_bytes([b0, b1, b2, b3]) {
        return if tail.is_empty() {
            Next::End
        } else {
            Next::Damaged("bad record body")
        };
    }
    match kind {
        SNAPSHOT | RECORD => Next::Record { kind, body, tail },
        _ => Next::Damaged("unknown record kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(dir: &Path) -> Vec<u8> {
        let (mut journal, recovered) = IntakeJournal::open(dir).unwrap();
        assert_eq!(recovered, Recovered::default());
        journal.append(&[b"lost to the snapshot"]).unwrap();
        journal.compact(b"snapshot").unwrap();
        assert_eq!(journal.bytes_since_snapshot(), 0);
        journal.append(&[b"one", b""]).unwrap();
        journal.append(&[b"three"]).unwrap();
        assert_eq!(journal.bytes_since_snapshot(), 3 * 13 + 8);
        fs::read(journal_path(dir)).unwrap()
    }

    const SINCE: [&[u8]; 3] = [b"one", b"", b"three"];

    #[test]
    fn gives_back_what_was_appended_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        let (mut journal, recovered) = IntakeJournal::open(dir.path()).unwrap();
        assert_eq!(recovered.snapshot.as_deref(), Some(b"snapshot".as_slice()));
        assert_eq!(recovered.since, SINCE);
        assert_eq!(recovered.damage, None);
        journal.append(&[b"four"]).unwrap();
        let (_, recovered) = IntakeJournal::open(dir.path()).unwrap();
        assert_eq!(recovered.since.len(), 4);
    }

    #[test]
    fn a_cut_tail_loses_only_what_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let whole = filled(dir.path());
        for cut in 0..whole.len() {
            fs::write(journal_path(dir.path()), &whole[..cut]).unwrap();
            let (mut journal, recovered) = IntakeJournal::open(dir.path()).unwrap();
            assert_eq!(recovered.damage, None, "cut at {cut}");
            assert!(SINCE.starts_with(&recovered.since.iter().map(|r| &r[..]).collect::<Vec<_>>()));
            journal.append(&[b"after"]).unwrap();
            let (_, again) = IntakeJournal::open(dir.path()).unwrap();
            assert_eq!(again.since.len(), recovered.since.len() + 1, "cut at {cut}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_a_cut_tail() {
        let dir = tempfile::tempdir().unwrap();
        let mut whole = filled(dir.path());
        whole.extend([0; 100]);
        fs::write(journal_path(dir.path()), &whole).unwrap();
        let (_, recovered) = IntakeJournal::open(dir.path()).unwrap();
        assert_eq!((recovered.damage, recovered.since.len()), (None, 3));
    }

    #[test]
    fn every_changed_byte_is_noticed_and_the_file_kept() {
        let whole = filled(tempfile::tempdir().unwrap().path());
        // The last record's body is at the very end: there a change looks like a cut tail.
        for at in 0..whole.len() - 5 {
            let dir = tempfile::tempdir().unwrap();
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            fs::write(journal_path(dir.path()), &bad).unwrap();
            let (mut journal, recovered) = IntakeJournal::open(dir.path()).unwrap();
            let damage = recovered.damage.unwrap();
            assert!(damage.contains("damaged-1"), "{damage}");
            assert_eq!(
                fs::read(dir.path().join("intake.journal.damaged-1")).unwrap(),
                bad
            );
            assert!(recovered.since.len() < 3);
            journal.append(&[b"after"]).unwrap();
            let (_, again) = IntakeJournal::open(dir.path()).unwrap();
            assert_eq!(again.damage, None);
            assert_eq!(again.since.len(), recovered.since.len() + 1);
        }
    }
}
