//! What the process needs, as data. Pure but for looking whether a path exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Component, Path, PathBuf},
};

use crate::capabilities::Capability;

/// What may be done with a path and everything beneath it. Each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    Read,
    /// Read, and run the programs there.
    Execute,
    /// Read and write what is there (a device); make nothing.
    Use,
    /// Read, write, make and remove files, folders and sockets.
    Keep,
}

impl Access {
    const fn includes(self, other: Self) -> bool {
        match (self, other) {
            (_, Self::Read)
            | (Self::Execute, Self::Execute)
            | (Self::Use | Self::Keep, Self::Use)
            | (Self::Keep, Self::Keep) => true,
            (Self::Read | Self::Use | Self::Keep, Self::Execute)
            | (Self::Read | Self::Execute, Self::Use)
            | (Self::Read | Self::Execute | Self::Use, Self::Keep) => false,
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Execute => "execute",
            Self::Use => "use",
            Self::Keep => "write in",
        })
    }
}

/// TCP ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    Any,
    Only(BTreeSet<u16>),
}

impl Default for Ports {
    fn default() -> Self {
        Self::Only(BTreeSet::new())
    }
}

impl Ports {
    pub fn allow(&mut self, port: u16) {
        match self {
            Self::Any => {}
            Self::Only(ports) => {
                ports.insert(port);
            }
        }
    }

    fn missing<'a>(&'a self, wanted: &'a Self) -> Vec<String> {
        match (self, wanted) {
            (Self::Any, _) => Vec::new(),
            (Self::Only(_), Self::Any) => vec!["any port".to_owned()],
            (Self::Only(held), Self::Only(wanted)) => {
                wanted.difference(held).map(u16::to_string).collect()
            }
        }
    }
}

/// Everything that the configuration needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) paths: BTreeMap<PathBuf, BTreeSet<Access>>,
    pub capabilities: BTreeSet<Capability>,
    /// TCP ports to listen on.
    pub listen: Ports,
    /// TCP ports to connect to.
    pub connect: Ports,
}

/// Read by the C library, by name resolution and by TLS; singly, since `/etc` has secrets.
const SYSTEM_FILES: [&str; 26] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/machine-id",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/os-release",
    "/run/utmp",
    "/var/run/utmp",
    "/dev/urandom",
    "/dev/random",
    "/etc/alternatives",
];

/// What is where programs run at all, what the kernel tells, and who is logged in.
const SYSTEM_FOLDERS: [&str; 12] = [
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/lib",
    "/lib64",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/proc",
    "/sys/fs/cgroup",
    "/run/systemd/resolve",
    "/run/systemd/sessions",
    "/run/NetworkManager",
];

/// The loader of every program, and where it looks for the libraries.
const PROGRAM_FOLDERS: [&str; 8] = [
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/usr/local/lib",
    "/usr/share",
    "/bin",
    "/sbin",
];

/// Never allowed whole, even if a log lies right in them; the log itself is.
const NEVER_WHOLE: [&str; 5] = ["/", "/etc", "/root", "/var", "/run"];

/// Folders so wide that allowing them would mean little; never taken for one that is missing.
const TOO_WIDE: [&str; 7] = ["/", "/home", "/root", "/etc", "/var", "/run", "/srv"];

impl Plan {
    /// What every guard needs on any machine.
    ///
    /// Name resolution reads files that other programs replace, and a file that took another's
    /// place is not the one that was granted. So all of `/etc` is granted to users from whom its
    /// secrets are safe anyway; to root, single files.
    pub fn new() -> Self {
        let mut plan = Self::default();
        if !rustix::process::geteuid().is_root() {
            plan.allow(Path::new("/etc"), Access::Read);
        }
        for path in SYSTEM_FILES.into_iter().chain(SYSTEM_FOLDERS) {
            plan.allow(Path::new(path), Access::Read);
        }
        plan.allow(Path::new("/dev/null"), Access::Use);
        plan
    }

    /// Grants `access` to the path, to what a symbolic link there leads to, and to everything
    /// beneath. A path that is missing is passed over.
    pub fn allow(&mut self, path: &Path, access: Access) {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        if let Ok(real) = absolute.canonicalize() {
            self.paths.entry(real).or_default().insert(access);
        }
    }

    /// As [`Plan::allow`]; a folder that is not there yet is stood in for by the nearest one
    /// above it, unless that is too wide to be allowed.
    pub fn allow_coming(&mut self, folder: &Path, access: Access) {
        let there = folder.ancestors().find(|path| path.is_dir());
        if let Some(path) = there {
            let wide = if path == folder {
                &NEVER_WHOLE[..]
            } else {
                &TOO_WIDE[..]
            };
            if !is_one_of(path, wide) {
                self.allow(path, access);
            }
        }
    }

    /// Grants reading of a file and of those that will take its place: of its folder.
    pub fn allow_file(&mut self, file: &Path) {
        for path in [Some(file.to_owned()), file.canonicalize().ok()] {
            let Some(path) = path else { continue };
            match path.parent() {
                Some(folder) if !is_one_of(folder, &TOO_WIDE) => self.allow(folder, Access::Read),
                Some(_) | None => self.allow(&path, Access::Read),
            }
        }
    }

    /// Grants reading of the files that `pattern` (a path or a glob) names, now and after they
    /// were rotated: of the folder that they are in.
    pub fn allow_logs(&mut self, pattern: &str, found: &[PathBuf]) {
        self.allow_coming(&folder_of(pattern), Access::Read);
        for file in found {
            // A link may lead anywhere: what it leads to is rotated where it is.
            if let Ok(real) = file.canonicalize() {
                self.allow_file(&real);
            }
        }
    }

    /// Grants running `journalctl`.
    pub fn allow_journal(&mut self) {
        for folder in [
            "/var/log/journal",
            "/run/log/journal",
            "/run/systemd/journal",
        ] {
            self.allow(Path::new(folder), Access::Read);
        }
        self.allow_program(Path::new("journalctl"));
    }

    /// Grants running alert commands, and what they start in turn: programs of the system.
    pub fn allow_commands<'a>(&mut self, programs: impl Iterator<Item = &'a Path>) {
        let mut any = false;
        for program in programs {
            any = true;
            self.allow_program(program);
            let folder = program.parent().filter(|p| p.is_absolute());
            if let Some(folder) = folder.filter(|p| !is_one_of(p, &TOO_WIDE)) {
                self.allow(folder, Access::Execute);
            }
        }
        if any {
            for folder in PROGRAM_FOLDERS
                .into_iter()
                .chain(SYSTEM_FOLDERS.into_iter().take(5))
            {
                self.allow(Path::new(folder), Access::Execute);
            }
            // What they connect to is theirs.
            self.connect = Ports::Any;
        }
    }

    /// The program by its path or from `$PATH`'s usual folders, and its loader.
    fn allow_program(&mut self, program: &Path) {
        if program.is_absolute() {
            self.allow(program, Access::Execute);
        } else {
            for folder in PROGRAM_FOLDERS {
                self.allow(&Path::new(folder).join(program), Access::Execute);
            }
        }
        for loader in LOADERS {
            self.allow(Path::new(loader), Access::Execute);
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = (&Path, Access)> {
        self.paths
            .iter()
            .flat_map(|(path, access)| access.iter().map(|a| (path.as_path(), *a)))
    }

    /// What `wanted` needs that this plan does not grant: what only a restart can give.
    pub fn missing(&self, wanted: &Self) -> Vec<String> {
        let mut missing: Vec<String> = wanted
            .paths()
            .filter(|(path, access)| !self.grants(path, *access))
            .map(|(path, access)| format!("{access} {}", path.display()))
            .collect();
        let listen = self.listen.missing(&wanted.listen);
        missing.extend(listen.iter().map(|port| format!("listen on TCP {port}")));
        let connect = self.connect.missing(&wanted.connect);
        missing.extend(connect.iter().map(|port| format!("connect to TCP {port}")));
        let more = wanted.capabilities.difference(&self.capabilities);
        missing.extend(more.map(|c| format!("the capability {}", c.name())));
        missing
    }

    fn grants(&self, path: &Path, access: Access) -> bool {
        path.ancestors()
            .filter_map(|above| self.paths.get(above))
            .flatten()
            .any(|held| held.includes(access))
    }
}

fn is_one_of(path: &Path, list: &[&str]) -> bool {
    list.iter().any(|one| path == Path::new(one))
}

/// The program interpreters that ELF files name on the machines we are built for.
const LOADERS: [&str; 4] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
];

/// The part of a pattern before its first wildcard, without the file's name.
fn folder_of(pattern: &str) -> PathBuf {
    let is_wild = |part: &Component<'_>| {
        let text = part.as_os_str().as_encoded_bytes();
        text.iter().any(|b| matches!(b, b'*' | b'?' | b'['))
    };
    let plain: PathBuf = Path::new(pattern)
        .components()
        .take_while(|part| !is_wild(part))
        .collect();
    let is_whole = plain.as_path() == Path::new(pattern);
    match plain.parent() {
        Some(folder) if is_whole => folder.to_owned(),
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patterns_folder_ends_before_the_first_wildcard() {
        for (pattern, folder) in [
            ("/var/log/auth.log", "/var/log"),
            ("/var/log/nginx/*access*.log", "/var/log/nginx"),
            ("/srv/*/logs/access.log", "/srv"),
            ("/var/log/**/x.log", "/var/log"),
            ("/x?.log", "/"),
        ] {
            assert_eq!(folder_of(pattern), Path::new(folder), "{pattern}");
        }
    }

    #[test]
    fn a_missing_folder_is_stood_in_for_but_never_by_a_wide_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = Plan::default();
        plan.allow_coming(&dir.path().join("later/logs"), Access::Read);
        plan.allow_coming(Path::new("/nonexistent/logs"), Access::Read);
        plan.allow_coming(Path::new("/home/nobody-has-this-name/logs"), Access::Read);
        let paths: Vec<_> = plan.paths().map(|(p, _)| p.to_owned()).collect();
        assert_eq!(paths, [dir.path().canonicalize().unwrap()]);
    }

    #[test]
    fn a_link_grants_the_folder_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["logs", "data"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        std::fs::write(root.join("data/app.log"), "").unwrap();
        let link = root.join("logs/app.log");
        std::os::unix::fs::symlink(root.join("data/app.log"), &link).unwrap();
        let mut plan = Plan::default();
        plan.allow_logs(link.to_str().unwrap(), std::slice::from_ref(&link));
        assert!(plan.grants(&root.join("data/app.log.1"), Access::Read));
        assert!(plan.grants(&root.join("logs/app.log"), Access::Read));
        assert!(!plan.grants(&root.join("data/app.log"), Access::Keep));
        assert!(!plan.grants(&root.join("other"), Access::Read));
    }

    #[test]
    fn what_a_new_configuration_lacks_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mut held = Plan::default();
        held.listen.allow(601);
        let mut wanted = held.clone();
        assert_eq!(held.missing(&wanted), Vec::<String>::new());
        wanted.allow(dir.path(), Access::Read);
        wanted.listen.allow(514);
        wanted.connect = Ports::Any;
        wanted.capabilities.insert(Capability::BindLowPorts);
        let missing = held.missing(&wanted).join("\n");
        for part in [
            "read /",
            "listen on TCP 514",
            "connect to TCP any port",
            "net_bind_service",
        ] {
            assert!(missing.contains(part), "{part} in {missing}");
        }
    }
}
