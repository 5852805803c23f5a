//! Reading a pack, folder or ZIP, as if an enemy had made it: nothing is unpacked, every path and
//! length is judged before a byte is believed, and no file is larger in memory than a bound.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Seek},
    path::{Path, PathBuf},
};

use ring::digest::{Context, SHA256, SHA512};
use zip::ZipArchive;

use crate::{PackIoError, error::at};

/// Files of one pack.
pub const FILES_MAX: usize = 500_000;
/// Files that are read as a whole: documents, proofs, rules.
pub const SMALL_FILE_BYTES_MAX: u64 = 64 << 20;
/// Folders within folders.
const DEPTH_MAX: usize = 32;
const PATH_BYTES_MAX: usize = 1_024;
/// An archive that says it grows more than so is a bomb.
const GROWTH_MAX: u64 = 100;
const GROWTH_FREE: u64 = 64 << 20;
const READ_AT_ONCE: usize = 256 << 10;

/// What is computed over a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hashes {
    /// Lower-case hex.
    pub sha256: String,
    pub sha512: String,
    pub bytes: u64,
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

enum Source {
    Folder,
    Zip(Box<ZipArchive<Box<dyn ReadSeek>>>),
}

/// A pack that is open for reading.
pub struct OpenPack {
    source: Source,
    /// By path within the bag: where the source has it, and how long it says it is.
    files: BTreeMap<String, (Place, u64)>,
}

#[derive(Clone, Debug)]
enum Place {
    Path(PathBuf),
    Index(usize),
}

impl OpenPack {
    /// A folder or a ZIP file; of a folder that holds nothing but the bag's folder, that one.
    pub fn open(path: &Path) -> Result<Self, PackIoError> {
        let meta = fs::metadata(path).map_err(at(path, "read"))?;
        if meta.is_dir() {
            return Self::folder(path);
        }
        let mut file = BufReader::new(File::open(path).map_err(at(path, "read"))?);
        let mut head = [0; 21];
        let n = file.read(&mut head).map_err(at(path, "read"))?;
        let no_pack = |why: &str| PackIoError::NoPack {
            path: path.to_owned(),
            why: why.to_owned(),
        };
        if head.get(..n).is_some_and(|h| h == b"age-encryption.org/v1") {
            return Err(no_pack(
                "it is encrypted; decrypt it first: age -d -i KEYFILE -o pack.zip FILE",
            ));
        }
        file.rewind().map_err(at(path, "read"))?;
        Self::zip(file, meta.len()).map_err(|e| match e {
            PackIoError::NoPack { why, .. } => no_pack(&why),
            other => other,
        })
    }

    /// A ZIP file of `length` bytes.
    pub fn zip(reader: impl Read + Seek + 'static, length: u64) -> Result<Self, PackIoError> {
        let hostile = |why: String| PackIoError::Hostile(why);
        let broken = |e: zip::result::ZipError| PackIoError::NoPack {
            path: PathBuf::new(),
            why: format!("it is neither a folder nor a whole ZIP file ({e})"),
        };
        let reader: Box<dyn ReadSeek> = Box::new(reader);
        let mut archive = ZipArchive::new(reader).map_err(broken)?;
        if archive.len() > FILES_MAX {
            return Err(hostile(format!("more than {FILES_MAX} files")));
        }
        if archive.has_duplicate_names() {
            return Err(hostile("two files have the same name".to_owned()));
        }
        if archive.has_overlapping_entries().map_err(broken)? {
            return Err(hostile("files share bytes of the archive".to_owned()));
        }
        let mut files = BTreeMap::new();
        let mut total = 0u64;
        for index in 0..archive.len() {
            let entry = archive.by_index_raw(index).map_err(broken)?;
            let name = String::from_utf8(entry.name_raw().to_vec())
                .map_err(|_| hostile("a file's name is not UTF-8".to_owned()))?;
            if entry.is_symlink() || entry.encrypted() {
                return Err(hostile(format!("{name:?} is a link or encrypted")));
            }
            if entry.is_dir() {
                continue;
            }
            check_path(&name)?;
            total = total.saturating_add(entry.size());
            files.insert(name, (Place::Index(index), entry.size()));
        }
        if total
            > length
                .saturating_mul(GROWTH_MAX)
                .saturating_add(GROWTH_FREE)
        {
            return Err(hostile(format!(
                "{length} bytes that say they are {total} unpacked"
            )));
        }
        let files = without_top(files)?;
        Ok(Self {
            source: Source::Zip(Box::new(archive)),
            files,
        })
    }

    fn folder(path: &Path) -> Result<Self, PackIoError> {
        let mut files = BTreeMap::new();
        let mut folders = vec![(path.to_owned(), String::new(), 0)];
        while let Some((folder, name, depth)) = folders.pop() {
            if depth > DEPTH_MAX {
                return Err(PackIoError::Hostile(format!("{name} is nested too deeply")));
            }
            for entry in fs::read_dir(&folder).map_err(at(&folder, "read"))? {
                let entry = entry.map_err(at(&folder, "read"))?;
                let bad = || PackIoError::Hostile("a file's name is not UTF-8".to_owned());
                let part = entry.file_name().into_string().map_err(|_| bad())?;
                let inner = if name.is_empty() {
                    part
                } else {
                    format!("{name}/{part}")
                };
                let path = entry.path();
                let meta = fs::symlink_metadata(&path).map_err(at(&path, "read"))?;
                if meta.is_dir() {
                    folders.push((path, inner, depth + 1));
                } else if meta.is_file() {
                    check_path(&inner)?;
                    files.insert(inner, (Place::Path(path), meta.len()));
                } else {
                    return Err(PackIoError::Hostile(format!(
                        "{inner} is neither a file nor a folder"
                    )));
                }
                if files.len() + folders.len() > FILES_MAX {
                    return Err(PackIoError::Hostile(format!("more than {FILES_MAX} files")));
                }
            }
        }
        Ok(Self {
            source: Source::Folder,
            files: without_top(files)?,
        })
    }

    /// All paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    /// A whole small file.
    pub fn small(&mut self, path: &str) -> Result<Vec<u8>, PackIoError> {
        let limit = SMALL_FILE_BYTES_MAX;
        let too_large = || PackIoError::TooLarge {
            path: path.to_owned(),
            limit,
        };
        if self
            .files
            .get(path)
            .is_some_and(|(_, bytes)| *bytes > limit)
        {
            return Err(too_large());
        }
        let mut out = Vec::new();
        self.each(path, &mut |chunk| {
            out.extend_from_slice(chunk);
            out.len() as u64 <= limit
        })?;
        if out.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(out)
    }

    pub fn hashes(&mut self, path: &str) -> Result<Hashes, PackIoError> {
        let (mut sha256, mut sha512) = (Context::new(&SHA256), Context::new(&SHA512));
        let mut bytes = 0u64;
        self.each(path, &mut |chunk| {
            sha256.update(chunk);
            sha512.update(chunk);
            bytes += chunk.len() as u64;
            true
        })?;
        Ok(Hashes {
            sha256: hex(sha256.finish().as_ref()),
            sha512: hex(sha512.finish().as_ref()),
            bytes,
        })
    }

    /// Reads a file piece by piece until `take` has enough. No more comes than the file's length
    /// as it was said at first.
    fn each(&mut self, path: &str, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<(), PackIoError> {
        let missing = || PackIoError::Missing {
            path: path.to_owned(),
        };
        let torn = |source: io::Error| PackIoError::Torn {
            path: path.to_owned(),
            source,
        };
        let (place, bytes) = self.files.get(path).cloned().ok_or_else(missing)?;
        let mut reader: Box<dyn Read + '_> = match (&mut self.source, &place) {
            (Source::Folder, Place::Path(full)) => {
                Box::new(File::open(full).map_err(at(full, "read"))?)
            }
            (Source::Zip(archive), Place::Index(index)) => {
                let file = archive
                    .by_index(*index)
                    .map_err(|e| torn(io::Error::other(e)))?;
                Box::new(file)
            }
            _ => return Err(missing()),
        };
        let mut left = bytes.saturating_add(1);
        let mut buffer = vec![0; READ_AT_ONCE];
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(torn(e)),
            };
            left = left.saturating_sub(n as u64);
            if n == 0 || !take(buffer.get(..n).unwrap_or_default()) {
                return Ok(());
            }
            if left == 0 {
                let why = "it is longer than it says";
                return Err(torn(io::Error::other(why)));
            }
        }
    }
}

/// A path that stays inside, on any system.
fn check_path(path: &str) -> Result<(), PackIoError> {
    let fine = !path.is_empty()
        && path.len() <= PATH_BYTES_MAX
        && !path.contains(['\\', '\0', ':'])
        && path.split('/').count() <= DEPTH_MAX
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..");
    if fine {
        Ok(())
    } else {
        let shown: String = path.chars().take(200).collect();
        Err(PackIoError::Hostile(format!(
            "the path {shown:?} does not stay inside the pack"
        )))
    }
}

/// The bag may lie in one folder of its own.
fn without_top(
    files: BTreeMap<String, (Place, u64)>,
) -> Result<BTreeMap<String, (Place, u64)>, PackIoError> {
    if files.contains_key("bagit.txt") {
        return Ok(files);
    }
    let no_bag = || PackIoError::NoPack {
        path: PathBuf::new(),
        why: "it has no bagit.txt".to_owned(),
    };
    let top = files
        .keys()
        .find_map(|path| path.strip_suffix("/bagit.txt").filter(|t| !t.contains('/')))
        .ok_or_else(no_bag)?
        .to_owned();
    let prefix = format!("{top}/");
    files
        .into_iter()
        .map(|(path, place)| match path.strip_prefix(&prefix) {
            Some(inner) => Ok((inner.to_owned(), place)),
            None => Err(PackIoError::Hostile(format!(
                "{path:?} lies beside the bag's folder {top}"
            ))),
        })
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
