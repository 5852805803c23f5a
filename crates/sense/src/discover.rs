//! The logs that the usual distributions keep in the usual places.
//!
//! Debian and Ubuntu, RHEL and its kin, Alpine. What is there is watched; what is not is named
//! with the reason, so that nothing is silently left out.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::{Input, SourceSpec, StartAt, files::pattern::FilePattern};

/// A place where logs usually are, and whether they are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// `logins (Debian, Ubuntu)`, `nginx access`, …
    pub what: &'static str,
    pub spec: SourceSpec,
    pub verdict: Verdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Watch,
    Missing { why: String },
    Unreadable { why: String, fix: String },
}

/// What, its pattern, its type, and whether it holds logins (which the journal may hold instead).
const PLACES: [(&str, &str, &str, Holds); 14] = [
    (
        "logins (Debian, Ubuntu)",
        "/var/log/auth.log",
        "syslog",
        Holds::Logins,
    ),
    (
        "logins (RHEL and kin)",
        "/var/log/secure",
        "syslog",
        Holds::Logins,
    ),
    (
        "system messages (RHEL and kin, Alpine)",
        "/var/log/messages",
        "syslog",
        Holds::Messages,
    ),
    (
        "system messages (Debian, Ubuntu)",
        "/var/log/syslog",
        "syslog",
        Holds::Other,
    ),
    (
        "kernel messages (Debian, Ubuntu)",
        "/var/log/kern.log",
        "syslog",
        Holds::Other,
    ),
    (
        "mail (Debian, Ubuntu)",
        "/var/log/mail.log",
        "syslog",
        Holds::Other,
    ),
    (
        "mail (RHEL and kin)",
        "/var/log/maillog",
        "syslog",
        Holds::Other,
    ),
    (
        "nginx access",
        "/var/log/nginx/*access*.log",
        "nginx",
        Holds::Other,
    ),
    (
        "nginx error",
        "/var/log/nginx/*error*.log",
        "nginx",
        Holds::Other,
    ),
    (
        "Apache access (Debian, Ubuntu, Alpine)",
        "/var/log/apache2/*access*.log",
        "apache2",
        Holds::Other,
    ),
    (
        "Apache error (Debian, Ubuntu, Alpine)",
        "/var/log/apache2/*error*.log",
        "apache2",
        Holds::Other,
    ),
    (
        "Apache (RHEL and kin) access",
        "/var/log/httpd/*access_log",
        "apache2",
        Holds::Other,
    ),
    (
        "Apache (RHEL and kin) TLS",
        "/var/log/httpd/*request_log",
        "apache2",
        Holds::Other,
    ),
    (
        "Apache (RHEL and kin) error",
        "/var/log/httpd/*error_log",
        "apache2",
        Holds::Other,
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Logins,
    /// Everything, logins too where there is no file for them (Alpine).
    Messages,
    Other,
}

/// Units and programs that check logins; each match is tried by itself (`+`).
const JOURNAL_MATCHES: [&str; 13] = [
    "_SYSTEMD_UNIT=ssh.service",
    "+",
    "_SYSTEMD_UNIT=sshd.service",
    "+",
    // Sessions leave the service's unit, and socket activation never enters it.
    "_COMM=sshd",
    "+",
    "_COMM=sshd-session",
    "+",
    "_COMM=sshd-auth",
    "+",
    "SYSLOG_FACILITY=4",
    "+",
    "SYSLOG_FACILITY=10",
];

/// Looks below `root` (`/` but in tests). Pass those with [`Verdict::Watch`] to
/// [`crate::Sensors::open`].
pub fn usual_sources(root: &Path) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = PLACES.iter().map(|place| look(root, place)).collect();
    let has_logins = PLACES.iter().zip(&found).any(|(place, candidate)| {
        let is_file_for_it = match place.3 {
            Holds::Logins => true,
            Holds::Messages => !has_journal(root),
            Holds::Other => false,
        };
        is_file_for_it && candidate.verdict == Verdict::Watch
    });
    leave_out_doubles(root, &mut found);
    found.push(journal(root, has_logins));
    found
}

// A line read from two files would count twice against its author.
fn leave_out_doubles(root: &Path, found: &mut [Candidate]) {
    let is = |c: &Candidate, path: &str| {
        c.spec.input.to_string() == under(root, path).display().to_string()
    };
    let syslog = |c: &Candidate| is(c, "/var/log/syslog") && c.verdict == Verdict::Watch;
    if !found.iter().any(syslog) {
        return;
    }
    for candidate in found {
        let is_double = is(candidate, "/var/log/mail.log") || is(candidate, "/var/log/kern.log");
        if is_double && candidate.verdict == Verdict::Watch {
            let why = "not needed: /var/log/syslog has the same lines as this system is delivered; \
                       name the file in the configuration if yours keeps them apart";
            candidate.verdict = Verdict::Missing {
                why: why.to_owned(),
            };
        }
    }
}

fn look(root: &Path, (what, pattern, kind, _): &(&'static str, &str, &str, Holds)) -> Candidate {
    let pattern = under(root, pattern).display().to_string();
    let verdict = judge(&pattern);
    let input = Input::File {
        pattern,
        start: StartAt::End,
    };
    Candidate {
        what,
        spec: SourceSpec::new(input, kind),
        verdict,
    }
}

fn judge(pattern: &str) -> Verdict {
    let Ok(parsed) = FilePattern::new(pattern) else {
        return Verdict::Missing {
            why: format!("{pattern} is no path"),
        };
    };
    let found = parsed.expand();
    if let Some((path, error)) = found.errors.first() {
        return unreadable(path, error);
    }
    let files: Vec<&PathBuf> = found.files.iter().filter(|path| !path.is_dir()).collect();
    if files.is_empty() {
        let why = match Path::new(pattern).parent() {
            Some(parent) if !parent.exists() => format!("{} does not exist", parent.display()),
            _ if parsed.is_glob() => format!("nothing matches {pattern}"),
            _ => format!("{pattern} does not exist"),
        };
        return Verdict::Missing { why };
    }
    // One readable file is worth watching; the sensors report the others.
    let mut first_error = None;
    for path in files {
        match File::open(path) {
            Ok(_) => return Verdict::Watch,
            Err(error) => first_error = first_error.or_else(|| Some(unreadable(path, &error))),
        }
    }
    first_error.unwrap_or(Verdict::Watch)
}

fn unreadable(path: &Path, error: &io::Error) -> Verdict {
    let why = format!("{} cannot be read: {error}", path.display());
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "run as root, or add the service's user to the group that may read logs \
             (usermod -aG adm posse; systemd-journal for the journal)"
        }
        _ => "see whether the file system is mounted and sound",
    };
    Verdict::Unreadable {
        why,
        fix: fix.to_owned(),
    }
}

fn journal(root: &Path, has_logins: bool) -> Candidate {
    let matches = JOURNAL_MATCHES.iter().map(|m| (*m).to_owned()).collect();
    let spec = SourceSpec::new(
        Input::Journal {
            matches,
            directory: None,
        },
        "syslog",
    );
    let verdict = if has_logins {
        Verdict::Missing {
            why: "not needed: a log file has the logins".to_owned(),
        }
    } else if !has_journal(root) {
        let why = "no systemd journal (/run/systemd/journal, /var/log/journal)".to_owned();
        Verdict::Missing { why }
    } else if !has_journalctl(root) {
        Verdict::Unreadable {
            why: "there is a journal, but no journalctl to read it".to_owned(),
            fix: "install the systemd package".to_owned(),
        }
    } else {
        Verdict::Watch
    };
    Candidate {
        what: "logins (journal)",
        spec,
        verdict,
    }
}

// An empty directory is what a package leaves in a container that has no journald.
fn has_journal(root: &Path) -> bool {
    [
        "/run/systemd/journal",
        "/var/log/journal",
        "/run/log/journal",
    ]
    .iter()
    .any(|path| fs::read_dir(under(root, path)).is_ok_and(|mut entries| entries.next().is_some()))
}

fn has_journalctl(root: &Path) -> bool {
    ["/usr/bin/journalctl", "/bin/journalctl"]
        .iter()
        .any(|path| under(root, path).exists())
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[&str]) -> (tempfile::TempDir, Vec<Candidate>) {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = under(dir.path(), file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = usual_sources(dir.path());
        (dir, found)
    }

    fn watched(found: &[Candidate]) -> Vec<(&str, &str)> {
        found
            .iter()
            .filter(|c| c.verdict == Verdict::Watch)
            .map(|c| (c.what, c.spec.labels["type"].as_str()))
            .collect()
    }

    #[test]
    fn debian_with_rsyslog_and_nginx() {
        let (_dir, found) = machine(&[
            "/var/log/auth.log",
            "/var/log/nginx/access.log",
            "/var/log/nginx/site_error.log",
            "/run/systemd/journal/socket",
            "/usr/bin/journalctl",
        ]);
        assert_eq!(
            watched(&found),
            [
                ("logins (Debian, Ubuntu)", "syslog"),
                ("nginx access", "nginx"),
                ("nginx error", "nginx")
            ]
        );
        let apache = found
            .iter()
            .find(|c| c.what.starts_with("Apache error"))
            .unwrap();
        let Verdict::Missing { why } = &apache.verdict else {
            panic!("{apache:?}")
        };
        assert!(why.ends_with("/var/log/apache2 does not exist"), "{why}");
    }

    #[test]
    fn lines_that_two_files_have_are_read_once() {
        let (_dir, found) = machine(&["/var/log/syslog", "/var/log/mail.log"]);
        assert_eq!(
            watched(&found),
            [("system messages (Debian, Ubuntu)", "syslog")]
        );
        let (_dir, found) = machine(&["/var/log/mail.log"]);
        assert_eq!(watched(&found), [("mail (Debian, Ubuntu)", "syslog")]);
    }

    #[test]
    fn debian_without_rsyslog_has_the_journal() {
        let (_dir, found) = machine(&["/run/systemd/journal/socket", "/usr/bin/journalctl"]);
        assert_eq!(watched(&found), [("logins (journal)", "syslog")]);
        let (_dir, found) = machine(&["/var/log/journal/x/system.journal"]);
        let last = found.last().unwrap();
        assert!(
            matches!(&last.verdict, Verdict::Unreadable { fix, .. } if fix.contains("systemd"))
        );
    }

    #[test]
    fn rhel_and_alpine() {
        let (_dir, found) = machine(&["/var/log/secure", "/var/log/httpd/ssl_access_log"]);
        assert_eq!(
            watched(&found),
            [
                ("logins (RHEL and kin)", "syslog"),
                ("Apache (RHEL and kin) access", "apache2")
            ]
        );
        let (_dir, found) = machine(&["/var/log/messages"]);
        assert_eq!(
            watched(&found),
            [("system messages (RHEL and kin, Alpine)", "syslog")]
        );
    }

    #[test]
    fn an_empty_machine_says_why_of_each() {
        let (_dir, found) = machine(&[]);
        assert_eq!(found.len(), PLACES.len() + 1);
        assert!(
            found
                .iter()
                .all(|c| matches!(&c.verdict, Verdict::Missing { why } if !why.is_empty()))
        );
    }
}
