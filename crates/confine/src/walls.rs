//! Landlock: which files and which TCP ports.

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, LandlockStatus,
    NetPort, PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use crate::{
    error::ConfineError,
    plan::{Access, Plan, Ports},
    report::Report,
};

/// The newest rights that this was tested with.
const NEWEST: ABI = ABI::V7;

pub(crate) fn build(plan: &Plan, report: &mut Report) -> Result<(), ConfineError> {
    let status = restrict(plan).map_err(|e| ConfineError::Landlock { why: e.to_string() })?;
    report.landlock = abi(&status);
    report.gaps.extend(gaps(report.landlock));
    Ok(())
}

fn restrict(plan: &Plan) -> Result<RestrictionStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(scopes())?;
    if plan.listen != Ports::Any {
        rules = rules.handle_access(AccessNet::BindTcp)?;
    }
    if plan.connect != Ports::Any {
        rules = rules.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut rules = rules.create()?;
    for (path, access) in plan.paths() {
        // What went away since the plan was made needs no rule.
        let Ok(handle) = PathFd::new(path) else {
            continue;
        };
        let rights = if path.is_dir() {
            rights(access)
        } else {
            rights(access) & AccessFs::from_file(NEWEST)
        };
        rules = rules.add_rule(PathBeneath::new(handle, rights))?;
    }
    for (ports, access) in [
        (&plan.listen, AccessNet::BindTcp),
        (&plan.connect, AccessNet::ConnectTcp),
    ] {
        if let Ports::Only(ports) = ports {
            for port in ports {
                rules = rules.add_rule(NetPort::new(*port, access))?;
            }
        }
    }
    rules.restrict_self()
}

/// Signals go to nobody but our own children. The service manager may listen on an abstract
/// socket for news of us.
fn scopes() -> BitFlags<Scope> {
    let manager = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    if manager.as_encoded_bytes().first() == Some(&b'@') {
        Scope::Signal.into()
    } else {
        Scope::from_all(NEWEST)
    }
}

fn rights(access: Access) -> BitFlags<AccessFs> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    match access {
        Access::Read => read,
        Access::Execute => read | AccessFs::Execute,
        Access::Use => read | AccessFs::WriteFile | AccessFs::Truncate,
        Access::Keep => {
            read | make_bitflags!(AccessFs::{
                WriteFile | Truncate | MakeReg | MakeDir | MakeSock | MakeSym | RemoveFile
                    | RemoveDir | Refer
            })
        }
    }
}

fn abi(status: &RestrictionStatus) -> Option<u32> {
    if status.ruleset == RulesetStatus::NotEnforced {
        return None;
    }
    match status.landlock {
        LandlockStatus::Available {
            effective_abi,
            kernel_abi,
        } => {
            let abi = kernel_abi.unwrap_or(effective_abi as i32);
            u32::try_from(abi).ok()
        }
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => None,
    }
}

/// What each generation of landlock brought, for kernels that are older than it.
/// <https://docs.kernel.org/userspace-api/landlock.html#previous-limitations>
pub(crate) fn gaps(abi: Option<u32>) -> Vec<String> {
    const BROUGHT: [(u32, &str); 5] = [
        (2, "linking and renaming between folders (Linux 5.19)"),
        (3, "truncating files by their descriptor (Linux 6.2)"),
        (4, "TCP ports (Linux 6.7)"),
        (5, "commands to devices (Linux 6.10)"),
        (
            6,
            "signals and abstract sockets to other programs (Linux 6.12)",
        ),
    ];
    let Some(abi) = abi else {
        return vec![
            "this kernel has no landlock (Linux 5.13 has it; `lsm=` on the kernel's command line \
             may leave it out), so only the user's rights limit which files are opened"
                .to_owned(),
        ];
    };
    BROUGHT
        .iter()
        .filter(|(since, _)| abi < *since)
        .map(|(_, what)| format!("landlock here does not restrict {what}"))
        .collect()
}

/// What the kernel knows, found out by a thread that is spent on it.
pub(crate) fn kernels_abi() -> Option<u32> {
    let ask = || {
        let rules = Ruleset::default().handle_access(AccessFs::Execute).ok()?;
        let root = PathBeneath::new(PathFd::new("/").ok()?, AccessFs::Execute);
        let status = rules.create().ok()?.add_rule(root).ok()?.restrict_self();
        abi(&status.ok()?)
    };
    std::thread::spawn(ask).join().ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_reaches_what_it_was_granted_and_nothing_else() {
        if kernels_abi().is_none() {
            eprintln!("SKIPPED: this kernel has no landlock");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        for folder in ["logs", "state", "other"] {
            std::fs::create_dir(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("a"), "a").unwrap();
        }
        let thread = std::thread::spawn(move || {
            let mut plan = Plan::new();
            plan.allow(&root.join("logs"), Access::Read);
            plan.allow(&root.join("state"), Access::Keep);
            let mut report = Report::default();
            build(&plan, &mut report).unwrap();
            std::fs::read(root.join("logs/a")).unwrap();
            std::fs::write(root.join("state/b"), "b").unwrap();
            std::fs::remove_file(root.join("state/b")).unwrap();
            std::fs::read("/proc/self/status").unwrap();
            std::fs::write("/dev/null", "x").unwrap();
            for denied in [root.join("other/a"), "/etc/shadow".into(), "/root".into()] {
                assert!(
                    std::fs::File::open(&denied).is_err(),
                    "{}",
                    denied.display()
                );
            }
            assert!(std::fs::write(root.join("logs/b"), "b").is_err());
            assert!(std::process::Command::new("/usr/bin/id").output().is_err());
            if report.landlock >= Some(4) {
                assert!(std::net::TcpListener::bind("127.0.0.1:0").is_err());
            }
        });
        thread.join().unwrap();
    }

    #[test]
    fn what_old_kernels_lack_is_named() {
        assert_eq!(gaps(Some(7)), Vec::<String>::new());
        assert_eq!(gaps(Some(5)).len(), 1);
        assert!(gaps(Some(3)).join(" ").contains("TCP ports"));
        assert!(gaps(None).join(" ").contains("no landlock"));
    }
}
