//! What is known of connections whose lines tell only together who failed.
//!
//! A line names its connection (`<F-MLFID>`); what lines of one connection say is put together:
//! one has the address, another the failure. Bounded: the connections heard of longest ago are
//! forgotten, counted.

use hashbrown::HashMap;

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

/// What named groups took, by the number of their name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(Vec<(u16, String)>);

impl Values {
    pub(super) fn get(&self, name: u16) -> Option<&str> {
        let found = self.0.iter().find(|(n, _)| *n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The value, unless it is empty.
    pub(super) fn filled(&self, name: u16) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn set(&mut self, name: u16, value: &str) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => {
                old.clear();
                old.push_str(value);
            }
            None => self.0.push((name, value.to_owned())),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    fn update(&mut self, newer: &Self) {
        for (name, value) in &newer.0 {
            self.set(*name, value);
        }
    }
}

/// One connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) values: Values,
    /// Sorted, without empty ones.
    pub(super) users: Vec<String>,
    /// A failure was seen of which it is not known yet whose it is.
    pub(super) pending: bool,
    /// The last line was no failure.
    pub(super) nofail: bool,
    gained: bool,
    pub(super) lines: Vec<String>,
    helper_lines: Vec<String>,
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
    /// A failure of a line that names no connection.
    pub(super) fn of_line(values: Values, lines: Vec<String>) -> Self {
        Self {
            values,
            lines,
            ..Self::default()
        }
    }

    fn add_user(&mut self, user: Option<&str>) {
        if let Some(user) = user
            && let Err(at) = self.users.binary_search_by(|u| u.as_str().cmp(user))
            && self.users.len() < USERS_MAX
        {
            self.users.insert(at, user.to_owned());
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
            let mut all = std::mem::take(&mut self.helper_lines);
            all.append(&mut self.lines);
            if !marks.gained {
                all.extend(lines.map(short));
            }
            self.lines = all;
        } else if !marks.forget {
            self.helper_lines.extend(lines.map(short));
        }
        self.lines.truncate(LINES_MAX);
        self.helper_lines.truncate(LINES_MAX);
    }
}

/// A line as it is kept.
pub(super) fn short(line: &str) -> String {
    let mut end = line.len().min(LINE_BYTES_MAX);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.get(..end).unwrap_or_default().to_owned()
}

/// All connections of one filter.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    young: HashMap<Box<str>, Session>,
    old: HashMap<Box<str>, Session>,
    /// Given up at the ceiling.
    pub(super) forgotten: u64,
}

impl Sessions {
    /// Puts what a line says to what is known of connection `id`. The session is handed out; give
    /// it back with [`Sessions::keep`] unless the line ends the connection.
    pub(super) fn merge(
        &mut self,
        id: &str,
        values: Values,
        user: Option<&str>,
        marks: Marks,
        lines: &mut dyn Iterator<Item = &str>,
    ) -> Session {
        let known = self.young.remove(id).or_else(|| self.old.remove(id));
        let mut session = match known {
            Some(mut known) => {
                known.merge(&values, user, marks);
                known
            }
            None => {
                let mut new = Session {
                    values,
                    nofail: marks.helper,
                    gained: marks.gained,
                    ..Session::default()
                };
                if !marks.forget {
                    new.add_user(user);
                }
                new
            }
        };
        session.settle(marks, lines);
        session
    }

    pub(super) fn keep(&mut self, id: &str, session: Session) {
        if id.len() > ID_MAX {
            return;
        }
        if self.young.len() >= SESSIONS_MAX / 2 {
            self.forgotten += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(id.into(), session);
    }

    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}
