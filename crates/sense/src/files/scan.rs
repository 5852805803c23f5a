//! Which files there are now, and which lines of each are still to be read.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use model::{FileId, SourceInfo, limits::FILES_PER_SOURCE_MAX};
use rustix::fs::{Mode, OFlags};

use super::{
    Files, file_id, position,
    siblings::{self, Sibling},
    tail::Tail,
    watch::{Interest, Names},
};
use crate::{
    SourceProblem, StartAt,
    positions::{FilePosition, Marks, PositionChange, Standing},
    table::SourceTable,
};

/// Why a scan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    Start,
    Change,
}

/// Where in a file to begin.
enum Begin {
    At(u64),
    End,
}

impl Files {
    /// Looks at the sources that need it.
    pub(super) fn scan(&mut self, occasion: Occasion, marks: &mut Marks, table: &mut SourceTable) {
        for index in 0..self.specs.len() {
            let Some(spec) = self.specs.get_mut(index) else {
                continue;
            };
            if std::mem::take(&mut spec.needs_scan) {
                self.scan_one(index, occasion, marks, table);
            }
        }
        self.watches.prune();
    }

    fn scan_one(
        &mut self,
        index: usize,
        occasion: Occasion,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) {
        let Some(spec) = self.specs.get_mut(index) else {
            return;
        };
        let mut troubles: BTreeMap<PathBuf, io::Error> = BTreeMap::new();
        // Watches first: what changes after the look at the disk is then told by an event.
        let watched = spec.pattern.expand();
        self.watches.clear_interests(index);
        for (path, depth) in &watched.directories {
            let interest = Interest {
                spec: index,
                what: Names::AtDepth(*depth),
            };
            if let Err(error) = self.watches.add_directory(path, interest) {
                troubles.insert(path.clone(), error);
            }
        }
        let mut found = spec.pattern.expand();
        troubles.extend(found.errors.drain(..));
        if spec.pattern.is_glob() {
            keep_sources(&mut found.files);
        }
        let before = std::mem::take(&mut spec.by_path);
        let mut seen = HashSet::new();
        for path in found.files {
            self.watch_link_target(index, &path);
            match self.visit(index, &path, &before, &mut seen, occasion, marks, table) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    troubles.insert(path, error);
                }
            }
        }
        self.set_rotated(index, before, &seen, marks, table);
        self.open_orphans(index, marks, table);
        if found.left_out > 0 {
            let text = self
                .specs
                .get(index)
                .map_or_else(String::new, |s| s.text.clone());
            let why = format!(
                "{} more files or directories match than are read",
                found.left_out
            );
            troubles.insert(text.into(), io::Error::other(why));
        }
        self.report(index, troubles, table);
    }

    /// Opens the file at `path` unless it is open already.
    #[expect(
        clippy::too_many_arguments,
        reason = "one scan's state, used nowhere else"
    )]
    fn visit(
        &mut self,
        index: usize,
        path: &Path,
        before: &HashMap<PathBuf, u64>,
        seen: &mut HashSet<FileId>,
        occasion: Occasion,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> io::Result<()> {
        let meta = fs::metadata(path)?;
        if meta.is_dir() {
            return Ok(());
        }
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut id = file_id(&meta);
        if !self.by_id.contains_key(&id) {
            let file = open(path)?;
            id = file_id(&file.metadata()?);
            if !self.by_id.contains_key(&id) {
                let known = before.get(path).copied();
                self.open_current(index, path, file, known, occasion, marks, table)?;
            }
        }
        seen.insert(id);
        let Some(&key) = self.by_id.get(&id) else {
            return Ok(());
        };
        let Some(tail) = self.tails.get_mut(&key).filter(|t| t.spec == index) else {
            return Ok(());
        };
        if tail.path != path || tail.standing != Standing::Current {
            path.clone_into(&mut tail.path);
            tail.standing = Standing::Current;
            marks.record(PositionChange::File(position(tail)));
        }
        if let Some(spec) = self.specs.get_mut(index) {
            spec.by_path.insert(path.to_owned(), key);
        }
        Ok(())
    }

    /// Opens a file that now stands at its path, after those with older lines.
    #[expect(
        clippy::too_many_arguments,
        reason = "one scan's state, used nowhere else"
    )]
    fn open_current(
        &mut self,
        index: usize,
        path: &Path,
        file: File,
        live: Option<u64>,
        occasion: Occasion,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> io::Result<()> {
        let meta = file.metadata()?;
        let id = file_id(&meta);
        let head = siblings::read_head(&file);
        if let Some(key) = live {
            self.settle(key, marks, table);
        }
        let stored = self.take_resume(path, id);
        if let Some(stored) = &stored
            && meta.len() >= stored.offset
            && stored.fingerprint.fits(&head)
        {
            let older = self.open_older(index, path, None, live, marks, table);
            let begin = Begin::At(stored.offset);
            if stored.file != id {
                marks.record(PositionChange::ForgetFile { file: stored.file });
            }
            return self.open_tail(index, path, file, begin, older, occasion, marks, table);
        }
        let known = live
            .and_then(|key| self.tails.get(&key).map(position))
            .or(stored)
            .or_else(|| self.take_resume_of_path(path))
            .or_else(|| self.youngest_rotated(path));
        let begin = match (&known, occasion, self.specs.get(index).map(|s| s.start)) {
            (None, Occasion::Start, Some(StartAt::End)) => Begin::End,
            _ => Begin::At(0),
        };
        let older = self.open_older(index, path, known.as_ref(), live, marks, table);
        self.open_tail(index, path, file, begin, older, occasion, marks, table)
    }

    /// Opens the rotated files of `path` that hold lines not read yet, oldest first. Gives the
    /// last of them, after which `path` itself is to be read.
    fn open_older(
        &mut self,
        index: usize,
        path: &Path,
        known: Option<&FilePosition>,
        live: Option<u64>,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> Option<u64> {
        let list = siblings::of(path, known.map(|k| k.file));
        self.open_listed(index, path, &list, known, live, marks, table)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one scan's state, used nowhere else"
    )]
    fn open_listed(
        &mut self,
        index: usize,
        path: &Path,
        list: &[Sibling],
        known: Option<&FilePosition>,
        live: Option<u64>,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> Option<u64> {
        let is_wanted = |p: &FilePosition| p.path == path && p.standing == Standing::Rotated;
        if known.is_none() && !self.resume.values().any(is_wanted) {
            return live;
        }
        let known_at = known.and_then(|known| siblings::locate(list, known));
        let mut last = live;
        for (at, sibling) in list.iter().enumerate() {
            if self.by_id.contains_key(&sibling.file) {
                continue;
            }
            let resumed = self
                .resume
                .get(&sibling.file)
                .filter(|p| is_wanted(p) && sibling.size >= p.offset && siblings::fits(sibling, p))
                .map(|p| p.offset);
            let offset = match (resumed, known_at) {
                (Some(offset), _) => offset,
                (None, Some(k)) if at == k => known.map_or(0, |known| known.offset),
                (None, Some(k)) if at > k => 0,
                _ => continue,
            };
            self.resume.remove(&sibling.file);
            last = self
                .open_rotated(index, path, sibling, offset, last, marks, table)
                .or(last);
        }
        self.forget_gone(path, known, known_at, live, marks);
        last
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one scan's state, used nowhere else"
    )]
    fn open_rotated(
        &mut self,
        index: usize,
        path: &Path,
        sibling: &Sibling,
        offset: u64,
        after: Option<u64>,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> Option<u64> {
        let file = open(&sibling.path).ok()?;
        let begin = Begin::At(offset);
        // Whatever is in a rotated file was written before we looked.
        self.open_tail(
            index,
            path,
            file,
            begin,
            after,
            Occasion::Start,
            marks,
            table,
        )
        .ok()?;
        let key = *self.by_id.get(&sibling.file)?;
        let tail = self.tails.get_mut(&key)?;
        tail.standing = Standing::Rotated;
        marks.record(PositionChange::File(position(tail)));
        Some(key)
    }

    // A position whose file is neither here nor open will never be used again.
    fn forget_gone(
        &mut self,
        path: &Path,
        known: Option<&FilePosition>,
        known_at: Option<usize>,
        live: Option<u64>,
        marks: &mut Marks,
    ) {
        let gone: Vec<FileId> = self
            .resume
            .values()
            .filter(|p| p.path == path && p.standing == Standing::Rotated)
            .map(|p| p.file)
            .collect();
        for file in gone {
            self.resume.remove(&file);
            marks.record(PositionChange::ForgetFile { file });
        }
        let Some(known) = known.filter(|_| live.is_none()) else {
            return;
        };
        if !self.by_id.contains_key(&known.file) {
            marks.record(PositionChange::ForgetFile { file: known.file });
        }
        if known_at.is_none() && !self.by_id.contains_key(&known.file) {
            self.problems.push(SourceProblem {
                source: path.display().to_string(),
                why: "it was rotated while nobody read it, and the old file is not found: lines \
                      written there since may not have been seen"
                    .to_owned(),
                fix: "rotate with `delaycompress`, so that the last file stays readable".to_owned(),
            });
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one scan's state, used nowhere else"
    )]
    fn open_tail(
        &mut self,
        index: usize,
        path: &Path,
        file: File,
        begin: Begin,
        after: Option<u64>,
        occasion: Occasion,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) -> io::Result<()> {
        let Some(spec) = self.specs.get(index) else {
            return Ok(());
        };
        if self.tails.len() >= FILES_PER_SOURCE_MAX.saturating_mul(self.specs.len() + 1) {
            return Err(io::Error::other("too many files are open"));
        }
        let info = SourceInfo {
            name: path.display().to_string(),
            module: "file".to_owned(),
            labels: spec.spec.labels.clone(),
        };
        let source = table.intern(info, &spec.text);
        let key = self.next_key;
        self.next_key += 1;
        // The watch comes before the first read, so that no growth falls between them.
        let watch = self.watches.add_file(&file, path, key);
        if let Err(error) = &watch {
            tracing::debug!(%error, "no inotify watch; the file is looked at now and then");
        }
        let meta = file.metadata()?;
        let head = siblings::read_head(&file);
        let mut tail = Tail::new(file, file_id(&meta), path.to_owned(), index, source, head);
        tail.watch = watch.ok();
        tail.after = after;
        match begin {
            Begin::At(offset) => tail.start_at(offset),
            Begin::End => tail.start_at_end(meta.len())?,
        }
        if occasion == Occasion::Start {
            tail.catch_up_until = meta.len();
        }
        table.count(source, |status| status.error = None);
        marks.record(PositionChange::File(position(&tail)));
        self.by_id.insert(tail.id, key);
        self.tails.insert(key, tail);
        self.queue(key);
        Ok(())
    }

    /// The file was cut (copy-truncate): finds its old lines in the copy, then begins anew.
    pub(super) fn on_replaced(&mut self, key: u64, marks: &mut Marks, table: &mut SourceTable) {
        let Some(tail) = self.tails.get_mut(&key) else {
            return;
        };
        if tail.standing == Standing::Rotated {
            // The next copy was written over the last one. What is new in it, the file that was
            // copied knows.
            return self.let_overwritten_go(key, marks);
        }
        let known = position(tail);
        let before = tail.after.take();
        tail.restart();
        let (index, path) = (tail.spec, tail.path.clone());
        marks.record(PositionChange::File(position(tail)));
        let mut list = siblings::of(&path, Some(known.file));
        // It may have been renamed since the cut; what is younger than it is not its past.
        if let Some(own) = list.iter().position(|sibling| sibling.file == known.file) {
            list.truncate(own);
        }
        for sibling in &list {
            if let Some(&other) = self.by_id.get(&sibling.file)
                && let Some(tail) = self.tails.get_mut(&other)
                && tail.standing == Standing::Rotated
                && tail.was_replaced()
            {
                self.let_overwritten_go(other, marks);
            }
        }
        let older = self.open_listed(index, &path, &list, Some(&known), before, marks, table);
        if let Some(tail) = self.tails.get_mut(&key) {
            tail.after = older.filter(|older| *older != key);
        }
        self.queue(key);
    }

    fn let_overwritten_go(&mut self, key: u64, marks: &mut Marks) {
        let Some(tail) = self.tails.remove(&key) else {
            return;
        };
        if let Some(watch) = tail.watch {
            self.watches.remove_file(watch);
        }
        if self.by_id.get(&tail.id) == Some(&key) {
            self.by_id.remove(&tail.id);
            marks.record(PositionChange::ForgetFile { file: tail.id });
        }
        if let Some(spec) = self.specs.get_mut(tail.spec)
            && spec.by_path.get(&tail.path) == Some(&key)
        {
            spec.by_path.remove(&tail.path);
        }
    }

    // A file may be cut and then renamed before anyone looked.
    fn settle(&mut self, key: u64, marks: &mut Marks, table: &mut SourceTable) {
        if self.tails.get_mut(&key).is_some_and(Tail::was_replaced) {
            self.on_replaced(key, marks, table);
        }
    }

    /// Files whose path has no file, or another, since the last scan.
    fn set_rotated(
        &mut self,
        index: usize,
        before: HashMap<PathBuf, u64>,
        seen: &HashSet<FileId>,
        marks: &mut Marks,
        table: &mut SourceTable,
    ) {
        for (path, key) in before {
            self.settle(key, marks, table);
            let Some(tail) = self.tails.get_mut(&key) else {
                continue;
            };
            if seen.contains(&tail.id) {
                continue;
            }
            let was = std::mem::replace(&mut tail.standing, Standing::Rotated);
            let known = position(tail);
            if was == Standing::Current {
                tail.last_growth = std::time::Instant::now();
                marks.record(PositionChange::File(known.clone()));
                self.queue(key);
            }
            if self
                .specs
                .get(index)
                .is_some_and(|spec| spec.by_path.contains_key(&path))
            {
                continue;
            }
            let last = self.open_older(index, &path, Some(&known), Some(key), marks, table);
            if let Some(spec) = self.specs.get_mut(index) {
                spec.by_path.insert(path, last.unwrap_or(key));
            }
        }
    }

    /// Files an earlier run stood in, whose path has no file now: rotated, not yet made anew.
    fn open_orphans(&mut self, index: usize, marks: &mut Marks, table: &mut SourceTable) {
        let Some(spec) = self.specs.get(index) else {
            return;
        };
        let is_gone = |path: &Path| {
            let meta = path.symlink_metadata();
            matches!(meta, Err(e) if e.kind() == io::ErrorKind::NotFound)
        };
        let paths: HashSet<PathBuf> = self
            .resume
            .values()
            .map(|p| &p.path)
            .filter(|path| spec.pattern.matches(path) && !spec.by_path.contains_key(*path))
            .filter(|path| path.parent().is_some_and(Path::is_dir) && is_gone(path))
            .cloned()
            .collect();
        for path in paths {
            let stands = |p: &&FilePosition| p.path == path && p.standing == Standing::Current;
            let current = self.resume.values().find(stands).cloned();
            let Some(known) = current.or_else(|| self.youngest_rotated(&path)) else {
                continue;
            };
            let list = siblings::of(&path, Some(known.file));
            if siblings::locate(&list, &known).is_none() {
                continue;
            }
            self.resume.remove(&known.file);
            let last = self.open_older(index, &path, Some(&known), None, marks, table);
            if let (Some(key), Some(spec)) = (last, self.specs.get_mut(index)) {
                spec.by_path.insert(path, key);
            }
        }
    }

    /// Where an earlier run stood when the path had no file: all that is younger is unread.
    fn youngest_rotated(&self, path: &Path) -> Option<FilePosition> {
        let stood = |s: &Sibling| {
            let position = self.resume.get(&s.file)?;
            let is_it = position.path == path && siblings::fits(s, position);
            is_it.then(|| position.clone())
        };
        if !self.resume.values().any(|p| p.path == path) {
            return None;
        }
        siblings::of(path, None).iter().rev().find_map(stood)
    }

    /// What an earlier run stored for this file, by its id, or by its inode when only the device
    /// number changed (it may at every boot).
    fn take_resume(&mut self, path: &Path, id: FileId) -> Option<FilePosition> {
        let file = if self.resume.contains_key(&id) {
            id
        } else {
            let same = |p: &&FilePosition| p.path == path && p.file.inode == id.inode;
            self.resume.values().find(same)?.file
        };
        self.resume.remove(&file)
    }

    fn take_resume_of_path(&mut self, path: &Path) -> Option<FilePosition> {
        let stands = |p: &&FilePosition| p.path == path && p.standing == Standing::Current;
        let file = self.resume.values().find(stands)?.file;
        self.resume.remove(&file)
    }

    // A link to a file in another directory: rotation happens there.
    fn watch_link_target(&mut self, index: usize, path: &Path) {
        let Ok(target) = fs::read_link(path) else {
            return;
        };
        let target = path
            .parent()
            .map_or_else(|| target.clone(), |parent| parent.join(&target));
        if let (Some(parent), Some(name)) = (target.parent(), target.file_name()) {
            let interest = Interest {
                spec: index,
                what: Names::Only(name.to_owned()),
            };
            let _ = self.watches.add_directory(parent, interest);
        }
    }

    /// Says what is wrong once, and again when it changes.
    fn report(
        &mut self,
        index: usize,
        troubles: BTreeMap<PathBuf, io::Error>,
        table: &mut SourceTable,
    ) {
        let Some(spec) = self.specs.get_mut(index) else {
            return;
        };
        let mut said = BTreeMap::new();
        for (path, error) in troubles {
            let why = error.to_string();
            if spec.said.get(&path) != Some(&why) {
                self.problems.push(SourceProblem {
                    source: path.display().to_string(),
                    why: why.clone(),
                    fix: fix_for(&error, &path),
                });
            }
            let name = path.display().to_string();
            let error = Some(why.clone());
            table.set_error(&name, &spec.spec.labels, error);
            said.insert(path, why);
        }
        for path in spec.said.keys().filter(|path| !said.contains_key(*path)) {
            table.set_error(&path.display().to_string(), &spec.spec.labels, None);
        }
        spec.said = said;
    }
}

// Neither rotated copies nor compressed files are sources of their own.
fn keep_sources(files: &mut Vec<PathBuf>) {
    let all: HashSet<PathBuf> = files.iter().cloned().collect();
    files.retain(|path| {
        !siblings::is_compressed(path)
            && !siblings::is_rotated_name(path, |base| all.contains(base) || base.exists())
    });
}

// NONBLOCK: a FIFO put in the file's place must not hold us.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

fn fix_for(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "run as root, or give the service's user the right to read it: setfacl -m u:posse:rX {}",
            path.display()
        ),
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            "raise the limit of open files (LimitNOFILE= in the service)".to_owned()
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) => {
            "raise fs.inotify.max_user_watches (sysctl)".to_owned()
        }
        _ => String::new(),
    }
}
