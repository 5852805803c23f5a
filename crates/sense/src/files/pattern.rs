//! A path or glob, walked part by part: which files match now, and which directories must be
//! watched to learn of those that will.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use model::limits::{FILES_PER_SOURCE_MAX, WATCHED_DIRECTORIES_MAX};

/// Directories below a `**`.
const DEPTH_MAX: usize = 16;
/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 65_536;

const MATCH: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

#[derive(Debug)]
pub(crate) struct FilePattern {
    whole: glob::Pattern,
    path: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Name(std::ffi::OsString),
    Glob(glob::Pattern),
    AnyDepth,
}

/// What a pattern means on this disk at this moment.
#[derive(Debug, Default)]
pub(crate) struct Expansion {
    pub(crate) files: Vec<PathBuf>,
    /// With the index of the part that names in the directory are matched against.
    pub(crate) directories: Vec<(PathBuf, usize)>,
    pub(crate) errors: Vec<(PathBuf, io::Error)>,
    /// Matches beyond the limits.
    pub(crate) left_out: u64,
}

impl FilePattern {
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let path = std::path::absolute(text).map_err(|e| e.to_string())?;
        let absolute = path
            .to_str()
            .ok_or_else(|| "the path is not UTF-8".to_owned())?;
        let whole = glob::Pattern::new(absolute).map_err(|e| e.to_string())?;
        let mut parts = Vec::new();
        for component in path.components() {
            let Component::Normal(name) = component else {
                continue;
            };
            parts.push(match name.to_str() {
                Some("**") => Part::AnyDepth,
                Some(text) if text.contains(['*', '?', '[']) => {
                    Part::Glob(glob::Pattern::new(text).map_err(|e| e.to_string())?)
                }
                _ => Part::Name(name.to_owned()),
            });
        }
        if parts.is_empty() {
            return Err("the path names no file".to_owned());
        }
        Ok(Self { whole, path, parts })
    }

    pub(crate) fn is_glob(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Name(_)))
    }

    pub(crate) fn matches(&self, path: &Path) -> bool {
        path == self.path || self.whole.matches_path_with(path, MATCH)
    }

    /// Whether something of this name in a directory at `depth` can change the expansion.
    pub(crate) fn cares(&self, depth: usize, name: &OsStr) -> bool {
        match self.parts.get(depth) {
            Some(Part::Name(wanted)) => wanted == name,
            Some(Part::Glob(pattern)) => fits(pattern, name),
            Some(Part::AnyDepth) => true,
            None => false,
        }
    }

    pub(crate) fn expand(&self) -> Expansion {
        let mut found = Expansion::default();
        let mut stack = vec![(PathBuf::from("/"), 0, 0)];
        let mut visited = 0;
        while let Some((path, depth, below)) = stack.pop() {
            visited += 1;
            if visited > WATCHED_DIRECTORIES_MAX * 4 {
                found.left_out += 1;
                break;
            }
            self.step(path, depth, below, &mut stack, &mut found);
        }
        found.files.sort();
        found.files.dedup();
        found.left_out += cut(&mut found.files, FILES_PER_SOURCE_MAX);
        found.left_out += cut(&mut found.directories, WATCHED_DIRECTORIES_MAX);
        found
    }

    fn step(
        &self,
        path: PathBuf,
        depth: usize,
        below: usize,
        stack: &mut Vec<(PathBuf, usize, usize)>,
        found: &mut Expansion,
    ) {
        let Some(part) = self.parts.get(depth) else {
            return;
        };
        let is_last = depth + 1 == self.parts.len();
        match part {
            Part::Name(name) => {
                let next = path.join(name);
                let exists = next.symlink_metadata().is_ok();
                if is_last || !exists {
                    found.directories.push((path, depth));
                }
                match (exists, is_last) {
                    (true, true) => found.files.push(next),
                    (true, false) => stack.push((next, depth + 1, 0)),
                    (false, _) => {}
                }
            }
            Part::Glob(pattern) => {
                for (next, _) in entries(&path, found) {
                    if !next.file_name().is_some_and(|name| fits(pattern, name)) {
                        continue;
                    }
                    if is_last {
                        found.files.push(next);
                    } else if next.is_dir() {
                        stack.push((next, depth + 1, 0));
                    }
                }
                found.directories.push((path, depth));
            }
            Part::AnyDepth => {
                if below < DEPTH_MAX {
                    for (next, kind) in entries(&path, found) {
                        if kind.is_some_and(|kind| kind.is_dir()) {
                            stack.push((next, depth, below + 1));
                        }
                    }
                }
                found.directories.push((path.clone(), depth));
                stack.push((path, depth + 1, 0));
            }
        }
    }
}

fn fits(pattern: &glob::Pattern, name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| pattern.matches_with(name, MATCH))
}

fn entries(path: &Path, found: &mut Expansion) -> Vec<(PathBuf, Option<fs::FileType>)> {
    match fs::read_dir(path) {
        Ok(list) => list
            .take(ENTRIES_MAX)
            .filter_map(Result::ok)
            .map(|entry| (entry.path(), entry.file_type().ok()))
            .collect(),
        Err(error) => {
            // A file where a directory would have to be is no trouble, only no match.
            if error.kind() != io::ErrorKind::NotADirectory
                && error.kind() != io::ErrorKind::NotFound
            {
                found.errors.push((path.to_owned(), error));
            }
            Vec::new()
        }
    }
}

fn cut<T>(list: &mut Vec<T>, max: usize) -> u64 {
    let over = list.len().saturating_sub(max);
    list.truncate(max);
    over as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path, pattern: &str) -> Vec<String> {
        let pattern = FilePattern::new(&format!("{}/{pattern}", dir.display())).unwrap();
        let found = pattern.expand();
        for file in &found.files {
            assert!(pattern.matches(file), "{file:?}");
        }
        let strip = |p: PathBuf| p.strip_prefix(dir).unwrap().display().to_string();
        found.files.into_iter().map(strip).collect()
    }

    #[test]
    fn globs_match_names_at_each_depth() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "a/x.log",
            "a/y.txt",
            "b/x.log",
            "b/c/z.log",
            "x.log",
            ".hidden.log",
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(names(dir.path(), "x.log"), ["x.log"]);
        assert_eq!(names(dir.path(), "*.log"), ["x.log"]);
        assert_eq!(names(dir.path(), "*/x.log"), ["a/x.log", "b/x.log"]);
        assert_eq!(
            names(dir.path(), "[ab]/?.*"),
            ["a/x.log", "a/y.txt", "b/x.log"]
        );
        assert_eq!(
            names(dir.path(), "**/*.log"),
            ["a/x.log", "b/c/z.log", "b/x.log", "x.log"]
        );
        assert!(names(dir.path(), "none/*.log").is_empty());
    }

    #[test]
    fn the_nearest_directory_that_exists_is_watched() {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{}/later/deeper/x.log", dir.path().display());
        let pattern = FilePattern::new(&text).unwrap();
        let found = pattern.expand();
        let [(watched, depth)] = found.directories.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(watched, dir.path());
        assert!(pattern.cares(*depth, OsStr::new("later")));
        assert!(!pattern.cares(*depth, OsStr::new("other")));
    }
}
