//! What is known of connections whose lines tell only together who failed.
//!
//! A line names its connection (`<F-MLFID>`); what lines of one connection say is put together:
//! one has the address, another the failure. Bounded: the connections heard of longest ago are
//! forgotten, counted.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::texts::{Texts, Values};

/// Connections kept, in two generations of half as many.
pub(super) const SESSIONS_MAX: usize = 20_000;
/// Bytes of a connection's name.
const ID_MAX: usize = 1_024;
/// Lines kept of one connection.
pub(super) const LINES_MAX: usize = 100;
/// Bytes kept of one such line.
const LINE_BYTES_MAX: usize = 1_024;
/// User names kept of one connection.
const USERS_MAX: usize = 100;

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: String,
    pub(super) values: Values,
    /// Sorted, without empty ones.
    pub(super) users: Texts,
    /// A failure was seen of which it is not known yet whose it is.
    pub(super) pending: bool,
    /// The last line was no failure.
    pub(super) nofail: bool,
    gained: bool,
    pub(super) lines: Texts,
    helper_lines: Texts,
}

/// What a line says of its connection besides its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// It only helps (`<F-NOFAIL>`, `<F-MLFGAINED>`).
    pub(super) helper: bool,
    /// Access was gained: failures that wait are forgiven.
    pub(super) gained: bool,
    /// The connection ends with it.
    pub(super) forget: bool,
}

impl Session {
    /// Forgets all, and keeps the memory.
    fn reuse(&mut self) {
        self.id.clear();
        self.values.reuse();
        self.users.reuse();
        self.lines.reuse();
        self.helper_lines.reuse();
        (self.pending, self.nofail, self.gained) = (false, false, false);
    }

    fn add_user(&mut self, user: Option<&str>) {
        if let Some(user) = user {
            self.users.insert_sorted(user, USERS_MAX);
        }
    }

    /// Takes in a further line of the connection.
    fn merge(&mut self, values: &Values, user: Option<&str>, marks: Marks) {
        self.add_user(user);
        let helped = std::mem::take(&mut self.nofail) | std::mem::take(&mut self.gained);
        if marks.gained {
            self.pending = false;
        }
        if !helped && !self.pending {
            // They were handed out with the failure before.
            self.lines.clear();
        }
        self.values.update(values);
        self.nofail = marks.helper;
        self.gained = marks.gained;
    }

    /// Decides whether the line counts, now that all is known, and keeps it.
    fn settle(&mut self, mut marks: Marks, lines: &mut dyn Iterator<Item = &str>) {
        // More than one user name on one connection is a failure whatever the line says.
        if std::mem::take(&mut self.pending) || self.users.len() > 1 {
            self.nofail = false;
            self.gained = false;
            (marks.helper, marks.gained) = (false, false);
        }
        if !marks.helper {
            if !self.helper_lines.is_empty() {
                self.helper_lines.append(&self.lines);
                std::mem::swap(&mut self.lines, &mut self.helper_lines);
                self.helper_lines.clear();
            }
            if !marks.gained {
                lines.for_each(|line| self.lines.push(short(line)));
            }
        } else if !marks.forget {
            lines.for_each(|line| self.helper_lines.push(short(line)));
        }
        self.lines.truncate(LINES_MAX);
        self.helper_lines.truncate(LINES_MAX);
    }
}

/// A line as it is kept.
fn short(line: &str) -> &str {
    let mut end = line.len().min(LINE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default()
}

/// All connections of one filter.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    all: Vec<Session>,
    /// Places in `all` that are not in use. What ended last is readable until the next line.
    free: Vec<usize>,
    young: HashTable<usize>,
    old: HashTable<usize>,
    hasher: DefaultHashBuilder,
    /// Given up at the ceiling.
    pub(super) forgotten: u64,
}

impl Sessions {
    /// A line that names no connection, as a connection of its own that has ended.
    pub(super) fn alone(
        &mut self,
        values: &Values,
        lines: &mut dyn Iterator<Item = &str>,
    ) -> usize {
        let at = self.blank();
        if let Some(session) = self.all.get_mut(at) {
            session.values.update(values);
            lines.for_each(|line| session.lines.push(short(line)));
        }
        self.free.push(at);
        at
    }

    /// Puts what a line says to what is known of connection `id`; its place is returned.
    pub(super) fn merge(
        &mut self,
        id: &str,
        values: &Values,
        user: Option<&str>,
        marks: Marks,
        lines: &mut dyn Iterator<Item = &str>,
    ) -> usize {
        let hash = self.hasher.hash_one(id);
        let (at, known) = match self.find(hash, id, marks) {
            Some(at) => (at, true),
            None => (self.blank(), false),
        };
        if !known && !marks.forget && id.len() <= ID_MAX {
            self.keep(hash, at);
        } else if marks.forget || !known {
            self.free.push(at);
        }
        if let Some(session) = self.all.get_mut(at) {
            if known {
                session.merge(values, user, marks);
            } else {
                session.id.push_str(id);
                session.values.update(values);
                (session.nofail, session.gained) = (marks.helper, marks.gained);
                session.add_user(user.filter(|_| !marks.forget));
            }
            session.settle(marks, lines);
        }
        at
    }

    /// Finds the connection; one that is heard of again is young again, one that ends is taken out.
    fn find(&mut self, hash: u64, id: &str, marks: Marks) -> Option<usize> {
        let Self {
            all, young, old, ..
        } = self;
        let is = |at: &usize| all.get(*at).is_some_and(|session| session.id == id);
        if !marks.forget
            && let Some(at) = young.find(hash, is)
        {
            return Some(*at);
        }
        let found = match young.find_entry(hash, is) {
            Ok(found) => found.remove().0,
            Err(_) => old.find_entry(hash, is).ok()?.remove().0,
        };
        if !marks.forget {
            self.keep(hash, found);
        }
        Some(found)
    }

    fn keep(&mut self, hash: u64, at: usize) {
        if self.young.len() >= SESSIONS_MAX / 2 {
            self.forgotten += self.old.len() as u64;
            self.free.extend(self.old.drain());
            std::mem::swap(&mut self.old, &mut self.young);
        }
        let Self {
            all, young, hasher, ..
        } = self;
        young.insert_unique(hash, at, |at| {
            hasher.hash_one(all.get(*at).map_or("", |session| &*session.id))
        });
    }

    fn blank(&mut self) -> usize {
        let at = self.free.pop().unwrap_or_else(|| {
            self.all.push(Session::default());
            self.all.len() - 1
        });
        if let Some(session) = self.all.get_mut(at) {
            session.reuse();
        }
        at
    }

    pub(super) fn get(&self, at: usize) -> Option<&Session> {
        self.all.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Session> {
        self.all.get_mut(at)
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
