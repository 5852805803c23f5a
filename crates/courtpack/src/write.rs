//! Writing a pack: whole or not at all.
//!
//! Everything goes into a neighbour of the target whose name ends in `.part`; only when all of it
//! is on the disk does it get its name. A killed export leaves at most such a neighbour, which the
//! next export to the same place takes away. Within a ZIP nothing is compressed, so that the bytes
//! hang on the case alone and on no version of a compressor.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, BufWriter, Read, Seek as _, Write},
    path::{Path, PathBuf},
};

use casework::pack::{Content, ExhibitBytes, Pack};
use model::Timestamp;
use ring::digest::{Context, SHA256, SHA512};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{PackIoError, Recipient, age, error::at};

const COPY_AT_ONCE: usize = 256 << 10;
/// Files larger than this need ZIP's 64-bit lengths.
const ZIP_SMALL: u64 = u32::MAX as u64 - (1 << 20);

/// Gives the bytes of exhibits, once the look is on the ledger.
pub trait Exhibits {
    fn open(&mut self, exhibit: &str) -> Result<Box<dyn Read + '_>, PackIoError>;

    /// The pack is on the disk and only lacks its name: the last moment to record it, or to refuse.
    fn written(&mut self) -> Result<(), PackIoError>;
}

/// What the pack becomes.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    Folder,
    Zip,
    /// A ZIP encrypted to these, in age's format.
    Encrypted(&'a [Recipient]),
}

/// Writes a pack to `target`, which must not be there yet.
pub fn write(
    pack: &Pack,
    exhibits: &mut dyn Exhibits,
    target: &Path,
    form: Form<'_>,
) -> Result<(), PackIoError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(PackIoError::Exists {
            path: target.to_owned(),
        });
    }
    let part = Part::beside(target)?;
    match form {
        Form::Folder => write_folder(pack, exhibits, &part.path)?,
        Form::Zip => {
            let file = new_file(&part.path)?;
            write_zip(pack, exhibits, &file)?;
            file.sync_all().map_err(at(&part.path, "sync"))?;
        }
        Form::Encrypted(recipients) => {
            let folder = folder_of(&part.path);
            // Without a name: a killed export leaves no plain text behind.
            let mut plain =
                tempfile::tempfile_in(folder).map_err(at(folder, "make a temporary file in"))?;
            write_zip(pack, exhibits, &plain)?;
            plain.rewind().map_err(at(folder, "read back from"))?;
            let file = new_file(&part.path)?;
            let mut out = BufWriter::new(&file);
            age::encrypt(recipients, &mut BufReader::new(plain), &mut out, &part.path)?;
            out.flush().map_err(at(&part.path, "write"))?;
            drop(out);
            file.sync_all().map_err(at(&part.path, "sync"))?;
        }
    }
    exhibits.written()?;
    part.rename(target)
}

/// The neighbour that is written; taken away unless it got its name.
struct Part {
    path: PathBuf,
}

impl Part {
    fn beside(target: &Path) -> Result<Self, PackIoError> {
        let no_name = || {
            at(target, "write to")(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it has no name of its own",
            ))
        };
        let mut name = std::ffi::OsString::from(".");
        name.push(target.file_name().ok_or_else(no_name)?);
        name.push(".part");
        let path = target.with_file_name(name);
        remove(&path).map_err(at(&path, "take away the leftover"))?;
        Ok(Self { path })
    }

    fn rename(self, target: &Path) -> Result<(), PackIoError> {
        match renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => {
                return Err(PackIoError::Exists {
                    path: target.to_owned(),
                });
            }
            // Some file systems cannot rename so; a race is then the user's own.
            Err(rustix::io::Errno::INVAL) => {
                fs::rename(&self.path, target).map_err(at(target, "give the name"))?;
            }
            Err(e) => return Err(at(target, "give the name")(e.into())),
        }
        sync_folder(folder_of(target))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // After the renaming there is nothing under this name.
        let _ = remove(&self.path);
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let gone = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match gone {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn new_file(path: &Path) -> Result<File, PackIoError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(at(path, "make"))
}

fn sync_folder(path: &Path) -> Result<(), PackIoError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(at(path, "sync"))
}

fn write_folder(pack: &Pack, exhibits: &mut dyn Exhibits, root: &Path) -> Result<(), PackIoError> {
    fs::create_dir(root).map_err(at(root, "make"))?;
    let mut folders = std::collections::BTreeSet::from([root.to_owned()]);
    for file in &pack.files {
        let path = root.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(at(folder, "make"))?;
            folders.extend(
                folder
                    .ancestors()
                    .take_while(|f| f.starts_with(root))
                    .map(Path::to_owned),
            );
        }
        let out = new_file(&path)?;
        put(&file.content, exhibits, &mut &out, &path)?;
        out.sync_all().map_err(at(&path, "sync"))?;
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn write_zip(pack: &Pack, exhibits: &mut dyn Exhibits, file: &File) -> Result<(), PackIoError> {
    let mistake = |e: zip::result::ZipError| PackIoError::Zip(e.to_string());
    let mut out = ZipWriter::new(BufWriter::new(file));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(dos_time(pack.at))
        .unix_permissions(0o644);
    for file in &pack.files {
        let bytes = match &file.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Exhibit(exhibit) => exhibit.bytes,
        };
        let name = format!("{}/{}", pack.folder, file.path);
        out.start_file(name.as_str(), options.large_file(bytes > ZIP_SMALL))
            .map_err(mistake)?;
        put(&file.content, exhibits, &mut out, Path::new(&name))?;
    }
    let mut buffer = out.finish().map_err(mistake)?;
    buffer.flush().map_err(|e| PackIoError::Zip(e.to_string()))
}

/// In UTC; ZIP knows no time zone. The year's bounds are those of the format.
fn dos_time(at: Timestamp) -> DateTime {
    let text = Timestamp::from_seconds(at.seconds()).to_string();
    let part = |from: usize, to: usize| {
        text.get(from..to)
            .and_then(|t| t.parse::<u16>().ok())
            .unwrap_or_default()
    };
    let small = |from, to| u8::try_from(part(from, to)).unwrap_or_default();
    DateTime::from_date_and_time(
        part(0, 4),
        small(5, 7),
        small(8, 10),
        small(11, 13),
        small(14, 16),
        small(17, 19),
    )
    .unwrap_or_default()
}

fn put(
    content: &Content,
    exhibits: &mut dyn Exhibits,
    out: &mut dyn Write,
    path: &Path,
) -> Result<(), PackIoError> {
    match content {
        Content::Bytes(bytes) => out.write_all(bytes).map_err(at(path, "write")),
        Content::Exhibit(exhibit) => copy_exhibit(exhibit, exhibits, out, path),
    }
}

/// What leaves is what was taken in, or nothing leaves.
fn copy_exhibit(
    wanted: &ExhibitBytes,
    exhibits: &mut dyn Exhibits,
    out: &mut dyn Write,
    path: &Path,
) -> Result<(), PackIoError> {
    let mut source = exhibits.open(&wanted.exhibit)?;
    let (mut sha256, mut sha512) = (Context::new(&SHA256), Context::new(&SHA512));
    let mut bytes = 0u64;
    let mut buffer = vec![0; COPY_AT_ONCE];
    loop {
        let n = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                return Err(PackIoError::NoBytes {
                    exhibit: wanted.exhibit.clone(),
                    why: e.to_string(),
                });
            }
        };
        let chunk = buffer.get(..n).unwrap_or_default();
        sha256.update(chunk);
        sha512.update(chunk);
        bytes += n as u64;
        out.write_all(chunk).map_err(at(path, "write"))?;
    }
    let differs = |what| PackIoError::NotAsTaken {
        exhibit: wanted.exhibit.clone(),
        what,
    };
    if bytes != wanted.bytes {
        return Err(differs("another length"));
    }
    if sha256.finish().as_ref() != wanted.sha256.bytes() {
        return Err(differs("another SHA-256"));
    }
    if crate::open::hex(sha512.finish().as_ref()) != wanted.sha512 {
        return Err(differs("another SHA-512"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
