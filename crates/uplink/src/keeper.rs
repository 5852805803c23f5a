//! One community's copy on disk: the follower as it was, and every frame it took since.
//!
//! Frames are appended as they are taken, so that after `kill -9` the copy is exactly what the
//! kernel holds; the whole is written anew when the log has grown. Each part carries its time, on
//! the clock of the boot and on the wall, so that a restart knows how long it slept.

use std::{
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use fleet::{CommunityId, FRAME_BYTES_MAX};
use model::Timestamp;
use ring::digest::{SHA256, digest};

use crate::{clock, error::UplinkError, files};

const SET_MAGIC: &[u8; 8] = b"PFSET01\n";
const LOG_MAGIC: &[u8; 8] = b"PFLOG01\n";
const BOOT_BYTES: usize = 36;
const STAMP_BYTES: usize = BOOT_BYTES + 16;
const SUM_BYTES: usize = 8;
const SET_BYTES_MAX: u64 = 128 << 20;
const LOG_BYTES_MAX: u64 = 64 << 20;
/// The log is worth a new whole when it is larger than this, and than half of the whole.
const LOG_BYTES_WORTH: u64 = 1 << 20;

/// What was found at the start.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The follower's own bytes, written so long ago.
    pub(crate) set: Option<(Duration, Vec<u8>)>,
    /// Frames it took since, with how long ago.
    pub(crate) frames: Vec<(Duration, Vec<u8>)>,
    /// What could not be read, for the operator.
    pub(crate) damage: Option<String>,
}

pub(crate) struct Keeper {
    set: PathBuf,
    log: PathBuf,
    file: Option<File>,
    log_bytes: u64,
    set_bytes: u64,
    dirty: bool,
}

impl Keeper {
    pub(crate) fn open(state: &Path, community: &CommunityId) -> Result<(Self, Kept), UplinkError> {
        let folder = files::folder(state);
        files::make_folder(&folder)?;
        let keeper = Self {
            set: folder.join(format!("{community}.set")),
            log: folder.join(format!("{community}.log")),
            file: None,
            log_bytes: 0,
            set_bytes: 0,
            dirty: false,
        };
        let kept = keeper.read();
        Ok((keeper, kept))
    }

    fn read(&self) -> Kept {
        let mut kept = Kept::default();
        match files::read(&self.set, SET_BYTES_MAX) {
            Ok(Some(bytes)) => kept.set = read_set(&bytes),
            Ok(None) => {}
            Err(e) => kept.damage = Some(e.in_full()),
        }
        if kept.damage.is_none() {
            kept.frames = read_log(&self.log);
        }
        kept
    }

    /// A frame that was taken. Not synchronised: it must outlive this process, and after a loss
    /// of power the kernel is empty as well.
    pub(crate) fn append(&mut self, frame: &[u8]) -> Result<(), UplinkError> {
        let failed = |source| files::failed(&self.log, "cannot append", source);
        if self.file.is_none() {
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&self.log)
                .map_err(failed)?;
            let at = file.metadata().map_err(failed)?.len();
            if at == 0 {
                file.write_all(LOG_MAGIC).map_err(failed)?;
            }
            self.log_bytes = at;
            self.file = Some(file);
        }
        let mut record = Vec::with_capacity(frame.len() + STAMP_BYTES + SUM_BYTES + 4);
        record.extend(u32::try_from(frame.len()).unwrap_or(u32::MAX).to_be_bytes());
        record.extend(stamp());
        record.extend(sum(frame));
        record.extend(frame);
        if let Some(file) = &mut self.file {
            file.write_all(&record).map_err(failed)?;
        }
        self.log_bytes += record.len() as u64;
        self.dirty = true;
        Ok(())
    }

    /// Whether the whole should be written anew.
    pub(crate) fn is_worth_saving(&self) -> bool {
        self.log_bytes > LOG_BYTES_WORTH.max(self.set_bytes / 2)
    }

    /// Writes the whole and begins a new log.
    pub(crate) fn save(&mut self, follower: &[u8]) -> Result<(), UplinkError> {
        files::replace(&self.set, &[SET_MAGIC, &stamp(), follower])?;
        // Frames that are in both are passed over at the next start: they lead on from an older
        // generation.
        self.file = None;
        match std::fs::remove_file(&self.log) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(files::failed(&self.log, "cannot remove", e));
            }
            _ => {}
        }
        self.log_bytes = 0;
        self.set_bytes = follower.len() as u64;
        self.dirty = false;
        Ok(())
    }

    /// Every few seconds, against a loss of power.
    pub(crate) fn synchronise(&mut self) {
        if std::mem::take(&mut self.dirty)
            && let Some(file) = &self.file
        {
            file.sync_data().ok();
        }
    }
}

fn stamp() -> [u8; STAMP_BYTES] {
    let mut out = [0; STAMP_BYTES];
    let boot = clock::boot_id();
    let boot_time = u64::try_from(clock::since_boot().as_nanos()).unwrap_or(u64::MAX);
    let parts = boot
        .bytes()
        .chain(std::iter::repeat(b' '))
        .take(BOOT_BYTES)
        .chain(boot_time.to_be_bytes())
        .chain(clock::wall().nanos().to_be_bytes());
    out.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
    out
}

/// How long ago: by the boot's clock within the same boot, else by the wall clock, and nothing
/// when that ran backwards.
fn ago(stamp: &[u8]) -> Option<Duration> {
    let (boot, times) = stamp.split_at_checked(BOOT_BYTES)?;
    let (boot_time, wall) = times.split_first_chunk::<8>()?;
    let wall = Timestamp::from_nanos(i64::from_be_bytes(wall.try_into().ok()?));
    let same = String::from_utf8_lossy(boot).trim() == clock::boot_id();
    Some(if same {
        let then = Duration::from_nanos(u64::from_be_bytes(*boot_time));
        clock::since_boot().saturating_sub(then)
    } else {
        clock::wall().since(wall)
    })
}

fn sum(bytes: &[u8]) -> [u8; SUM_BYTES] {
    let hash = digest(&SHA256, bytes);
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

fn read_set(bytes: &[u8]) -> Option<(Duration, Vec<u8>)> {
    let rest = bytes.strip_prefix(SET_MAGIC)?;
    let (stamp, content) = rest.split_at_checked(STAMP_BYTES)?;
    Some((ago(stamp)?, content.to_vec()))
}

/// Up to the first record that is not whole: a crash may have cut it off.
fn read_log(path: &Path) -> Vec<(Duration, Vec<u8>)> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        file.take(LOG_BYTES_MAX).read_to_end(&mut bytes).ok();
    }
    let mut rest = bytes.strip_prefix(LOG_MAGIC).unwrap_or_default();
    let mut frames = Vec::new();
    while let Some((record, after)) = read_record(rest) {
        frames.push(record);
        rest = after;
    }
    frames
}

type Record = (Duration, Vec<u8>);

fn read_record(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (stamp, rest) = rest.split_at_checked(STAMP_BYTES)?;
    let (wanted, rest) = rest.split_first_chunk::<SUM_BYTES>()?;
    let (frame, rest) = rest.split_at_checked(length)?;
    let is_whole = length <= FRAME_BYTES_MAX && sum(frame) == *wanted;
    is_whole.then(|| Some(((ago(stamp)?, frame.to_vec()), rest)))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> (Keeper, Kept) {
        Keeper::open(dir, &"main".parse().unwrap()).unwrap()
    }

    fn frames(kept: &Kept) -> Vec<&[u8]> {
        kept.frames.iter().map(|(_, frame)| &frame[..]).collect()
    }

    #[test]
    fn what_was_taken_is_there_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let (mut keeper, kept) = open(dir.path());
        assert!(kept.set.is_none() && kept.frames.is_empty());
        keeper.append(b"one").unwrap();
        keeper.save(b"whole").unwrap();
        keeper.append(b"two").unwrap();
        keeper.append(b"three").unwrap();
        let (mut keeper, kept) = open(dir.path());
        let (asleep, set) = kept.set.as_ref().unwrap();
        assert_eq!((set.as_slice(), asleep.as_secs()), (&b"whole"[..], 0));
        assert_eq!(frames(&kept), [&b"two"[..], b"three"]);
        keeper.append(b"four").unwrap();
        assert_eq!(frames(&open(dir.path()).1).len(), 3);
    }

    #[test]
    fn a_cut_log_gives_what_is_whole_and_damage_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let (mut keeper, _) = open(dir.path());
        keeper.append(b"one").unwrap();
        keeper.append(b"two").unwrap();
        let log = dir.path().join("fleet/main.log");
        let bytes = std::fs::read(&log).unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&log, &bytes[..end]).unwrap();
            assert!(open(dir.path()).1.frames.len() < 2);
        }
        keeper.save(b"whole").unwrap();
        let set = dir.path().join("fleet/main.set");
        std::fs::write(&set, b"nonsense nonsense nonsense nonsense nonsense").unwrap();
        let kept = open(dir.path()).1;
        assert!(kept.damage.unwrap().contains("hash"));
    }
}
