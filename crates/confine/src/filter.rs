//! The tables of `calls`, made into seccomp filters and installed.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use crate::{
    calls::{self, Call, Group, Limit},
    error::ConfineError,
    report::Report,
};

pub(crate) const UNKNOWN: &str =
    "this kernel or machine has no seccomp filters, so every system call can be made";

/// What becomes of a call that is not in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Denied {
    /// `EPERM`; the program goes on.
    #[default]
    Refuse,
    /// The process ends, so that a test cannot overlook it.
    Kill,
}

impl From<Denied> for SeccompAction {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refuse => Self::Errno(libc::EPERM.unsigned_abs()),
            Denied::Kill => Self::KillProcess,
        }
    }
}

/// Whether filters can be had here; see seccomp(2).
pub(crate) fn is_known() -> bool {
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    arch().is_some() && actions.is_ok_and(|text| text.contains("kill_process"))
}

fn arch() -> Option<TargetArch> {
    TargetArch::try_from(std::env::consts::ARCH).ok()
}

/// The kernel asks all filters and takes the strictest answer; of several `errno` answers, that
/// of the filter installed last. It remembers which calls pass whatever their arguments are, so
/// that several filters cost no more than one.
pub(crate) fn install_process(denied: Denied, report: &mut Report) -> Result<(), ConfineError> {
    if !is_known() {
        report.gaps.push(UNKNOWN.to_owned());
        return Ok(());
    }
    let allowed = compile(
        rules_of(calls::PROCESS)?,
        denied.into(),
        SeccompAction::Allow,
    )?;
    let hostile = compile(
        rules_of_calls(calls::HOSTILE.iter())?,
        SeccompAction::Allow,
        SeccompAction::KillProcess,
    )?;
    let unknown = compile(
        rules_of_calls(calls::UNKNOWN.iter())?,
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
    )?;
    for program in [allowed, hostile, unknown] {
        install(&program)?;
    }
    report.seccomp = true;
    Ok(())
}

pub(crate) fn install_thread(table: &[Group], denied: Denied) -> Result<(), ConfineError> {
    if !is_known() {
        return Ok(());
    }
    let hostile = compile(
        rules_of_calls(calls::HOSTILE.iter())?,
        SeccompAction::Allow,
        SeccompAction::KillProcess,
    )?;
    let allowed = compile(rules_of(table)?, denied.into(), SeccompAction::Allow)?;
    // The narrower one last: it may not allow what it takes to install another.
    install(&hostile)?;
    install(&allowed)
}

fn install(program: &BpfProgram) -> Result<(), ConfineError> {
    apply_filter(program).map_err(|e| ConfineError::Filter { why: e.to_string() })
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn compile(
    rules: Rules,
    otherwise: SeccompAction,
    listed: SeccompAction,
) -> Result<BpfProgram, ConfineError> {
    let arch = arch().ok_or_else(|| ConfineError::Filter {
        why: format!("no filters are made for {}", std::env::consts::ARCH),
    })?;
    SeccompFilter::new(rules, otherwise, listed, arch)
        .and_then(TryInto::try_into)
        .map_err(|e| failed(&e))
}

fn rules_of(table: &[Group]) -> Result<Rules, ConfineError> {
    rules_of_calls(table.iter().flat_map(Group::all))
}

fn rules_of_calls<'a>(calls: impl Iterator<Item = &'a Call>) -> Result<Rules, ConfineError> {
    calls
        .map(|call| Ok((call.number, conditions(call.limit)?)))
        .collect::<Result<_, BackendError>>()
        .map_err(|e| failed(&e))
}

fn failed(error: &BackendError) -> ConfineError {
    ConfineError::Filter {
        why: error.to_string(),
    }
}

/// Any one of the rules lets the call pass; none at all: it passes whatever its arguments are.
fn conditions(limit: Limit) -> Result<Vec<SeccompRule>, BackendError> {
    let bits = |n: i32| u64::from(n.unsigned_abs());
    match limit {
        Limit::None => Ok(Vec::new()),
        Limit::SameNamespaces => {
            let new = [
                libc::CLONE_NEWNS,
                libc::CLONE_NEWUTS,
                libc::CLONE_NEWIPC,
                libc::CLONE_NEWUSER,
                libc::CLONE_NEWPID,
                libc::CLONE_NEWNET,
                libc::CLONE_NEWCGROUP,
            ];
            Ok(vec![rule(&[(
                0,
                without(new.into_iter().map(bits).sum()),
                0,
            )])?])
        }
        Limit::UsualFamilies => [
            libc::AF_UNIX,
            libc::AF_INET,
            libc::AF_INET6,
            libc::AF_NETLINK,
        ]
        .into_iter()
        .map(|family| rule(&[(0, SeccompCmpOp::Eq, bits(family))]))
        .collect(),
        Limit::Firewall => Ok(vec![rule(&[
            (0, SeccompCmpOp::Eq, bits(libc::AF_NETLINK)),
            (2, SeccompCmpOp::Eq, bits(libc::NETLINK_NETFILTER)),
        ])?]),
        Limit::ReadOnly => {
            let writes = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
            Ok(vec![rule(&[(2, without(bits(writes)), 0)])?])
        }
        Limit::NoNewCode => Ok(vec![rule(&[(2, without(bits(libc::PROT_EXEC)), 0)])?]),
    }
}

/// None of these bits.
const fn without(bits: u64) -> SeccompCmpOp {
    SeccompCmpOp::MaskedEq(bits)
}

fn rule(arguments: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = arguments
        .iter()
        .map(|(index, operator, value)| {
            SeccompCondition::new(*index, SeccompCmpArgLen::Dword, operator.clone(), *value)
        })
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream, UdpSocket},
        process::Command,
    };

    use super::*;
    use crate::{Thread, tighten};

    /// Filters are a thread's own, so a thread can be spent on each test.
    fn on_a_thread(work: impl FnOnce() + Send + 'static) {
        std::thread::spawn(work).join().unwrap();
    }

    fn is_refused<T>(outcome: &std::io::Result<T>) -> bool {
        matches!(outcome, Err(e) if e.raw_os_error() == Some(libc::EPERM))
    }

    #[test]
    fn the_process_works_on_behind_its_filter() {
        on_a_thread(|| {
            let mut report = Report::default();
            install_process(Denied::Refuse, &mut report).unwrap();
            assert!(report.seccomp);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert_eq!(
                Command::new("/bin/echo").arg("a").output().unwrap().stdout,
                b"a\n"
            );
            on_a_thread(|| {});
            let refused = rustix::process::set_parent_process_death_signal(None);
            assert!(refused.is_ok());
        });
    }

    #[test]
    fn the_guards_thread_makes_no_socket_and_starts_nothing() {
        on_a_thread(|| {
            let waiting = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = waiting.local_addr().unwrap();
            tighten(Thread::Guard, Denied::Refuse).unwrap();
            assert!(is_refused(&UdpSocket::bind("127.0.0.1:0")));
            assert!(is_refused(&TcpListener::bind("127.0.0.1:0")));
            assert!(is_refused(&TcpStream::connect(address)));
            assert!(is_refused(&Command::new("/bin/true").status()));
            assert!(is_refused(&std::thread::Builder::new().spawn(|| {})));
            std::fs::read("/proc/self/stat").unwrap();
            let large = vec![1_u8; 8 << 20];
            assert_eq!(large.len(), 8 << 20);
        });
    }

    #[test]
    fn the_facts_thread_only_reads() {
        on_a_thread(|| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a");
            std::fs::write(&path, "a").unwrap();
            tighten(Thread::Facts, Denied::Refuse).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), b"a");
            std::fs::read_dir("/proc").unwrap().next().unwrap().unwrap();
            std::fs::read_link("/proc/self/exe").unwrap();
            assert!(is_refused(&std::fs::write(&path, "b")));
            assert!(is_refused(&std::fs::remove_file(&path)));
            assert!(is_refused(&UdpSocket::bind("127.0.0.1:0")));
            std::mem::forget(dir);
        });
    }

    #[test]
    fn a_hostile_call_ends_the_process() {
        if std::env::var_os("CONFINE_TEST_HOSTILE").is_some() {
            let mut report = Report::default();
            install_process(Denied::Refuse, &mut report).unwrap();
            // chroot("/") changes nothing where it is allowed.
            let _ = std::os::unix::fs::chroot("/");
            return;
        }
        let this = std::env::current_exe().unwrap();
        let name = "filter::tests::a_hostile_call_ends_the_process";
        let status = Command::new(this)
            .args(["--exact", name, "--test-threads=1"])
            .env("CONFINE_TEST_HOSTILE", "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{status}");
    }
}
