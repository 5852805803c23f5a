//! inotify: files are watched for growth by their inode, directories for names.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use model::limits::WATCHED_DIRECTORIES_MAX;
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags},
    io::Errno,
};

/// Events taken at a time, so that a storm cannot keep us here.
const EVENTS_MAX: usize = 4_096;

const FILE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::DELETE_SELF);
const DIRECTORY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

#[derive(Debug)]
pub(super) struct Watches {
    inotify: OwnedFd,
    files: HashMap<i32, u64>,
    directories: HashMap<i32, Vec<Interest>>,
}

/// Which names in a directory matter to which source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) spec: usize,
    pub(super) what: Names,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// Those that fit the pattern's part of this index.
    AtDepth(usize),
    /// The target of a symbolic link.
    Only(OsString),
}

/// What happened.
pub(super) enum Seen<'a> {
    FileGrew(u64),
    /// Renamed, deleted or given other rights.
    FileMoved(u64),
    /// A name came or went; `depth` is `None` when it matters in any case.
    Entry {
        spec: usize,
        depth: Option<usize>,
        name: &'a OsStr,
    },
    DirectoryGone {
        spec: usize,
    },
    /// Events were lost.
    Overflow,
}

impl Watches {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self {
            inotify,
            files: HashMap::new(),
            directories: HashMap::new(),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches the open file itself, whatever its name is by now.
    pub(super) fn add_file(
        &mut self,
        file: &std::fs::File,
        path: &Path,
        key: u64,
    ) -> io::Result<i32> {
        let by_fd = format!("/proc/self/fd/{}", file.as_raw_fd());
        let watch = inotify::add_watch(&self.inotify, by_fd.as_str(), FILE)
            .or_else(|_| inotify::add_watch(&self.inotify, path, FILE))?;
        self.files.insert(watch, key);
        Ok(watch)
    }

    pub(super) fn remove_file(&mut self, watch: i32) {
        if self.files.remove(&watch).is_some() {
            // Fails when the file is gone already, which is as good.
            let _ = inotify::remove_watch(&self.inotify, watch);
        }
    }

    pub(super) fn add_directory(&mut self, path: &Path, interest: Interest) -> io::Result<()> {
        if self.directories.len() >= WATCHED_DIRECTORIES_MAX {
            return Err(io::Error::other("too many directories to watch"));
        }
        let watch = inotify::add_watch(&self.inotify, path, DIRECTORY)?;
        let interests = self.directories.entry(watch).or_default();
        if !interests.contains(&interest) {
            interests.push(interest);
        }
        Ok(())
    }

    /// Forgets what the source wanted; [`Watches::prune`] then drops what nobody wants.
    pub(super) fn clear_interests(&mut self, spec: usize) {
        for interests in self.directories.values_mut() {
            interests.retain(|interest| interest.spec != spec);
        }
    }

    pub(super) fn prune(&mut self) {
        let inotify = &self.inotify;
        self.directories.retain(|watch, interests| {
            if interests.is_empty() {
                let _ = inotify::remove_watch(inotify, *watch);
            }
            !interests.is_empty()
        });
    }

    pub(super) fn drain(&mut self, each: &mut dyn FnMut(Seen<'_>)) {
        let Self {
            inotify,
            files,
            directories,
        } = self;
        let mut buffer = [MaybeUninit::uninit(); 16 << 10];
        let mut reader = Reader::new(inotify.as_fd(), &mut buffer);
        for _ in 0..EVENTS_MAX {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                each(Seen::Overflow);
                continue;
            }
            if let Some(&key) = files.get(&event.wd()) {
                if flags.contains(ReadFlags::IGNORED) {
                    files.remove(&event.wd());
                } else if flags.contains(ReadFlags::MODIFY) {
                    each(Seen::FileGrew(key));
                } else {
                    each(Seen::FileMoved(key));
                }
                continue;
            }
            let Some(interests) = directories.get(&event.wd()) else {
                continue;
            };
            let name = event
                .file_name()
                .map(|name| OsStr::from_bytes(name.to_bytes()));
            for interest in interests {
                let spec = interest.spec;
                match (name, &interest.what) {
                    (None, _) => each(Seen::DirectoryGone { spec }),
                    (Some(name), Names::AtDepth(depth)) => {
                        each(Seen::Entry {
                            spec,
                            depth: Some(*depth),
                            name,
                        });
                    }
                    (Some(name), Names::Only(wanted)) if wanted == name => {
                        each(Seen::Entry {
                            spec,
                            depth: None,
                            name,
                        });
                    }
                    (Some(_), Names::Only(_)) => {}
                }
            }
            if flags.contains(ReadFlags::IGNORED) {
                directories.remove(&event.wd());
            }
        }
    }
}
