//! The system calls that a running guard may make: one table, with the reason for each group.
//!
//! Pure. What is not in the table is refused with `EPERM`; what is in [`HOSTILE`] ends the
//! process, since none of our code nor of a program that we start makes it. A test runs every
//! feature and holds what was called against the table, both ways: nothing is refused, and what
//! no feature calls stands under `spare` with the reason why it is there all the same.

/// One system call, and how far it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// With the `SYS_` that the C headers put before it.
    name: &'static str,
    pub number: i64,
    pub limit: Limit,
}

impl Call {
    pub fn name(&self) -> &'static str {
        self.name.strip_prefix("SYS_").unwrap_or(self.name)
    }
}

/// What a call's arguments have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    None,
    /// `clone`: no new namespaces.
    SameNamespaces,
    /// `socket`: internet, Unix and netlink sockets.
    UsualFamilies,
    /// `socket`: the kernel's packet filter (`NETLINK_NETFILTER`).
    Firewall,
    /// `openat`: for reading.
    ReadOnly,
    /// `mmap`, `mprotect`: nothing that can be run.
    NoNewCode,
}

/// Calls that are there for one reason.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub reason: &'static str,
    pub calls: &'static [Call],
    /// Why the following stand here although a run of all features does not make them.
    pub spare_reason: &'static str,
    pub spare: &'static [Call],
}

impl Group {
    pub fn all(&self) -> impl Iterator<Item = &'static Call> + use<> {
        self.calls.iter().chain(self.spare)
    }
}

macro_rules! calls {
    (@limit) => { Limit::None };
    (@limit $limit:ident) => { Limit::$limit };
    ($($name:ident $(: $limit:ident)?),* $(,)?) => {
        &[$(Call {
            name: stringify!($name),
            number: libc::$name,
            limit: calls!(@limit $($limit)?),
        }),*]
    };
}

/// Ways of other C libraries, kernels and versions of our own parts to do the same.
const OTHER_WAYS: &str = "the same done another way, by another C library, kernel or version";
const NONE: &str = "";

/// The whole process, and the programs it starts: `journalctl` and alert commands.
pub const PROCESS: &[Group] = &[
    Group {
        reason: "memory",
        calls: calls![SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise],
        spare_reason: "the allocator and SQLite under pressure",
        spare: calls![
            SYS_mremap,
            SYS_mincore,
            SYS_msync,
            SYS_membarrier,
            SYS_mlock,
            SYS_munlock
        ],
    },
    Group {
        reason: "threads, and waiting for each other",
        calls: calls![
            SYS_clone: SameNamespaces, SYS_futex, SYS_set_robust_list, SYS_rseq,
            SYS_set_tid_address, SYS_sched_getaffinity, SYS_gettid, SYS_prctl,
            SYS_exit, SYS_exit_group
        ],
        spare_reason: OTHER_WAYS,
        spare: calls![
            // Answered with ENOSYS (see `UNKNOWN`): its flags lie in memory, where no filter
            // sees them; the C library then takes `clone`.
            SYS_clone3,
            SYS_sched_yield,
            SYS_get_robust_list,
            SYS_getcpu,
            SYS_sched_getparam,
            SYS_sched_getscheduler,
            SYS_sched_get_priority_max,
            SYS_sched_get_priority_min
        ],
    },
    Group {
        reason: "signals",
        calls: calls![
            SYS_rt_sigaction,
            SYS_rt_sigprocmask,
            SYS_rt_sigreturn,
            SYS_sigaltstack
        ],
        spare_reason: "an abort, a call that a signal broke off, programs that wait for signals",
        spare: calls![
            SYS_tgkill,
            SYS_tkill,
            SYS_restart_syscall,
            SYS_rt_sigtimedwait,
            SYS_rt_sigsuspend,
            SYS_rt_sigpending,
            SYS_signalfd4
        ],
    },
    Group {
        reason: "time",
        calls: calls![SYS_clock_nanosleep],
        spare_reason: "where the kernel's shared page cannot tell the time; alert commands",
        spare: calls![
            SYS_clock_gettime,
            SYS_clock_getres,
            SYS_gettimeofday,
            SYS_nanosleep,
            SYS_timerfd_create,
            SYS_timerfd_settime,
            SYS_timerfd_gettime,
            SYS_setitimer,
            SYS_getitimer,
            SYS_timer_create,
            SYS_timer_settime,
            SYS_timer_delete
        ],
    },
    Group {
        reason: "looking at files",
        calls: calls![
            SYS_openat,
            SYS_close,
            SYS_read,
            SYS_pread64,
            SYS_lseek,
            SYS_newfstatat,
            SYS_statx,
            SYS_getdents64,
            SYS_fcntl,
            SYS_ioctl,
            SYS_getcwd,
            SYS_inotify_init1,
            SYS_inotify_add_watch
        ],
        spare_reason: OTHER_WAYS,
        spare: calls![
            SYS_fstat,
            SYS_openat2,
            SYS_close_range,
            SYS_readv,
            SYS_preadv,
            SYS_statfs,
            SYS_fstatfs,
            SYS_readlinkat,
            SYS_faccessat,
            SYS_faccessat2,
            SYS_flock,
            SYS_fadvise64,
            SYS_inotify_rm_watch,
            SYS_readahead,
            SYS_getxattr,
            SYS_lgetxattr,
            SYS_fgetxattr
        ],
    },
    Group {
        reason: "the state folder",
        calls: calls![SYS_write, SYS_pwrite64, SYS_fsync, SYS_fdatasync,],
        spare_reason: OTHER_WAYS,
        spare: calls![
            SYS_ftruncate,
            SYS_writev,
            SYS_pwritev,
            SYS_fallocate,
            SYS_renameat,
            SYS_renameat2,
            SYS_unlinkat,
            SYS_mkdirat,
            SYS_linkat,
            SYS_symlinkat,
            SYS_fchmod,
            SYS_fchmodat,
            SYS_fchown,
            SYS_fchownat,
            SYS_utimensat,
            SYS_umask,
            SYS_sync_file_range,
            SYS_truncate
        ],
    },
    Group {
        reason: "waiting for what happens",
        calls: calls![SYS_epoll_create1, SYS_epoll_ctl, SYS_pipe2],
        spare_reason: OTHER_WAYS,
        spare: calls![
            SYS_epoll_pwait,
            SYS_epoll_pwait2,
            SYS_ppoll,
            SYS_pselect6,
            SYS_eventfd2,
            SYS_dup,
            SYS_dup3
        ],
    },
    Group {
        reason: "sockets: syslog, the control socket, the kernel's packet filter, the status \
                 page, mail and webhooks",
        calls: calls![
            SYS_socket: UsualFamilies, SYS_socketpair, SYS_bind, SYS_listen, SYS_accept4,
            SYS_connect, SYS_getsockname, SYS_getsockopt, SYS_setsockopt, SYS_sendto,
            SYS_recvfrom
        ],
        spare_reason: OTHER_WAYS,
        spare: calls![
            SYS_accept,
            SYS_getpeername,
            SYS_sendmsg,
            SYS_sendmmsg,
            SYS_recvmsg,
            SYS_recvmmsg,
            SYS_shutdown
        ],
    },
    Group {
        reason: "who and where we are",
        calls: calls![
            SYS_getuid,
            SYS_geteuid,
            SYS_getgid,
            SYS_getegid,
            SYS_getpid,
            SYS_getrandom,
            SYS_prlimit64,
            SYS_uname
        ],
        spare_reason: "what alert commands and shells ask at their start",
        spare: calls![
            SYS_capget,
            SYS_getppid,
            SYS_getpgid,
            SYS_getsid,
            SYS_getgroups,
            SYS_getresuid,
            SYS_getresgid,
            SYS_sysinfo,
            SYS_getrusage,
            SYS_times,
            SYS_getpriority
        ],
    },
    Group {
        reason: "starting journalctl and alert commands, and seeing to their end",
        calls: calls![SYS_execve, SYS_wait4, SYS_kill],
        spare_reason: "shells and the programs that they start",
        spare: calls![
            SYS_waitid,
            SYS_pidfd_open,
            SYS_pidfd_send_signal,
            SYS_setsid,
            SYS_setpgid,
            SYS_chdir,
            SYS_fchdir,
            SYS_sendfile,
            SYS_copy_file_range,
            SYS_splice,
            SYS_memfd_create,
            SYS_setpriority
        ],
    },
    Group {
        reason: "giving up still more",
        calls: calls![SYS_seccomp],
        spare_reason: "a thread that goes behind further walls",
        spare: calls![
            SYS_landlock_create_ruleset,
            SYS_landlock_add_rule,
            SYS_landlock_restrict_self
        ],
    },
    OLD_WAYS,
];

/// Older calls that only x86-64 has, and its C library still makes.
#[cfg(target_arch = "x86_64")]
const OLD_WAYS: Group = Group {
    reason: "older names of calls above, on x86-64",
    calls: calls![
        SYS_access,
        SYS_arch_prctl,
        SYS_epoll_wait,
        SYS_mkdir,
        SYS_poll,
        SYS_readlink,
        SYS_rename,
        SYS_unlink,
        SYS_chmod
    ],
    spare_reason: OTHER_WAYS,
    spare: calls![
        SYS_open,
        SYS_stat,
        SYS_lstat,
        SYS_link,
        SYS_dup2,
        SYS_pipe,
        SYS_vfork,
        SYS_fork,
        SYS_rmdir,
        SYS_symlink,
        SYS_chown,
        SYS_getdents,
        SYS_select,
        SYS_time,
        SYS_alarm,
        SYS_getpgrp,
        SYS_eventfd,
        SYS_epoll_create,
        SYS_inotify_init,
        SYS_utime,
        SYS_utimes,
        SYS_pause,
        SYS_getrlimit,
        SYS_setrlimit
    ],
};

#[cfg(not(target_arch = "x86_64"))]
const OLD_WAYS: Group = Group {
    reason: "older names of calls above, on x86-64",
    calls: &[],
    spare_reason: NONE,
    spare: &[],
};

/// Answered as by a kernel that does not know them.
pub const UNKNOWN: &[Call] = calls![SYS_clone3];

/// Nothing of ours calls these. Whoever does is in the wrong place: the process ends.
pub const HOSTILE: &[Call] = calls![
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_pidfd_getfd,
    SYS_bpf,
    SYS_userfaultfd,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_move_mount,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fsconfig,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_unshare,
    SYS_setns,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_open_by_handle_at,
];

/// The guard's thread, which runs the parsers over what attackers write. It opens files (landlock
/// says which) and asks the kernel's packet filter; it makes no other socket, connects to nobody,
/// starts nothing and makes no new code.
pub const GUARD: &[Group] = &[
    Group {
        reason: "memory",
        calls: calls![SYS_brk, SYS_munmap,],
        spare_reason: "when memory grows",
        spare: calls![
            SYS_mmap: NoNewCode, SYS_mremap, SYS_madvise, SYS_mprotect: NoNewCode
        ],
    },
    Group {
        reason: "other threads: locks, queues, the end",
        calls: calls![SYS_futex, SYS_exit_group],
        spare_reason: "rare turns of the same",
        spare: calls![
            SYS_sched_yield,
            SYS_sched_getaffinity,
            SYS_gettid,
            SYS_getpid,
            SYS_exit,
            SYS_tgkill,
            SYS_rseq,
            SYS_set_robust_list,
            SYS_getcpu,
            SYS_membarrier
        ],
    },
    Group {
        reason: "signals arrive on this thread too",
        calls: calls![SYS_rt_sigreturn],
        spare_reason: "an abort, a call that a signal broke off",
        spare: calls![
            SYS_rt_sigprocmask,
            SYS_rt_sigaction,
            SYS_sigaltstack,
            SYS_restart_syscall
        ],
    },
    Group {
        reason: "log files: finding, following, letting go",
        calls: calls![
            SYS_openat,
            SYS_close,
            SYS_read,
            SYS_pread64,
            SYS_statx,
            SYS_getdents64,
            SYS_fcntl,
            SYS_ioctl,
            SYS_inotify_add_watch,
            SYS_newfstatat
        ],
        spare_reason: OTHER_WAYS,
        spare: calls![
            SYS_lseek,
            SYS_fstat,
            SYS_inotify_rm_watch,
            SYS_readlinkat,
            SYS_readv,
            SYS_statfs,
            SYS_fstatfs,
            SYS_faccessat,
            SYS_faccessat2,
            SYS_getcwd
        ],
    },
    Group {
        reason: "the intake journal, the service's own log",
        calls: calls![SYS_write, SYS_fsync,],
        spare_reason: OTHER_WAYS,
        spare: calls![
            SYS_fdatasync,
            SYS_ftruncate,
            SYS_writev,
            SYS_pwrite64,
            SYS_renameat,
            SYS_renameat2,
            SYS_unlinkat,
            SYS_fallocate
        ],
    },
    Group {
        reason: "waiting for lines",
        calls: calls![SYS_epoll_ctl],
        spare_reason: "a reload makes them anew; where the shared page cannot tell the time",
        spare: calls![
            SYS_epoll_pwait,
            SYS_epoll_pwait2,
            SYS_epoll_create1,
            SYS_inotify_init1,
            SYS_pipe2,
            SYS_clock_gettime,
            SYS_clock_nanosleep,
            SYS_nanosleep,
            SYS_ppoll
        ],
    },
    Group {
        reason: "lines from open sockets; the kernel's packet filter",
        calls: calls![SYS_accept4, SYS_recvfrom, SYS_sendto, SYS_getsockopt,],
        spare_reason: "a listing of the kernel's set that is broken off needs its socket anew; \
                       the only kind of socket there is to bind then",
        spare: calls![
            SYS_socket: Firewall, SYS_bind, SYS_getsockname, SYS_setsockopt, SYS_recvmsg,
            SYS_sendmsg, SYS_shutdown, SYS_dup
        ],
    },
    Group {
        reason: "random numbers for hash tables; the limits of memory",
        calls: &[],
        spare_reason: "asked once, often before the filter",
        spare: calls![
            SYS_getrandom,
            SYS_prlimit64,
            SYS_getuid,
            SYS_geteuid,
            SYS_uname
        ],
    },
    OLD_WAYS_GUARD,
];

#[cfg(target_arch = "x86_64")]
const OLD_WAYS_GUARD: Group = Group {
    reason: "older names of calls above, on x86-64",
    calls: calls![SYS_open],
    spare_reason: OTHER_WAYS,
    spare: calls![
        SYS_epoll_wait,
        SYS_rename,
        SYS_unlink,
        SYS_readlink,
        SYS_access,
        SYS_poll,
        SYS_arch_prctl,
        SYS_stat,
        SYS_lstat
    ],
};

#[cfg(not(target_arch = "x86_64"))]
const OLD_WAYS_GUARD: Group = OLD_WAYS;

/// The facts thread: reads `/proc` and the resolver's files, nothing else.
pub const FACTS: &[Group] = &[
    Group {
        reason: "memory, other threads, the end",
        calls: calls![
            SYS_brk, SYS_mmap: NoNewCode, SYS_munmap, SYS_mremap, SYS_madvise,
            SYS_mprotect: NoNewCode, SYS_futex, SYS_exit, SYS_exit_group, SYS_sched_yield,
            SYS_gettid, SYS_getpid, SYS_getcpu, SYS_rseq, SYS_set_robust_list, SYS_tgkill,
            SYS_getrandom, SYS_prctl, SYS_sigaltstack, SYS_rt_sigaction, SYS_rt_sigprocmask,
            SYS_rt_sigreturn, SYS_restart_syscall, SYS_membarrier
        ],
        spare_reason: NONE,
        spare: &[],
    },
    Group {
        reason: "reading",
        calls: calls![
            SYS_openat: ReadOnly, SYS_close, SYS_read, SYS_pread64, SYS_lseek, SYS_statx,
            SYS_fstat, SYS_newfstatat, SYS_getdents64, SYS_readlinkat, SYS_fcntl, SYS_statfs,
            SYS_fstatfs, SYS_clock_nanosleep, SYS_nanosleep, SYS_clock_gettime
        ],
        spare_reason: NONE,
        spare: &[],
    },
    Group {
        reason: "saying what went wrong; passing on a signal that arrived here",
        calls: calls![SYS_write, SYS_sendto],
        spare_reason: NONE,
        spare: &[],
    },
    OLD_WAYS_FACTS,
];

#[cfg(target_arch = "x86_64")]
const OLD_WAYS_FACTS: Group = Group {
    reason: "older names of calls above, on x86-64",
    calls: calls![SYS_readlink, SYS_access, SYS_stat, SYS_lstat],
    spare_reason: NONE,
    spare: &[],
};

#[cfg(not(target_arch = "x86_64"))]
const OLD_WAYS_FACTS: Group = OLD_WAYS;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn numbers(groups: &[Group]) -> Vec<i64> {
        groups
            .iter()
            .flat_map(Group::all)
            .map(|c| c.number)
            .collect()
    }

    #[test]
    fn no_call_stands_in_a_table_twice() {
        for table in [PROCESS, GUARD, FACTS] {
            let all = numbers(table);
            let distinct: BTreeSet<i64> = all.iter().copied().collect();
            assert_eq!(all.len(), distinct.len());
        }
    }

    #[test]
    fn what_is_hostile_is_in_no_table() {
        let hostile: BTreeSet<i64> = HOSTILE.iter().map(|c| c.number).collect();
        for table in [PROCESS, GUARD, FACTS] {
            assert!(numbers(table).iter().all(|n| !hostile.contains(n)));
        }
    }

    #[test]
    fn a_thread_may_nothing_that_the_process_may_not() {
        let process: BTreeSet<i64> = numbers(PROCESS).into_iter().collect();
        for call in GUARD.iter().flat_map(Group::all) {
            assert!(process.contains(&call.number), "{}", call.name());
        }
    }

    #[test]
    fn the_guard_makes_no_sockets_and_starts_nothing() {
        let all: Vec<&Call> = GUARD.iter().flat_map(Group::all).collect();
        for name in [
            "connect", "execve", "clone", "listen", "fork", "vfork", "kill", "prctl",
        ] {
            assert!(all.iter().all(|c| c.name() != name), "{name}");
        }
        let socket = all.iter().find(|c| c.name() == "socket").unwrap();
        assert_eq!(socket.limit, Limit::Firewall);
    }

    #[test]
    fn every_group_says_why() {
        for group in PROCESS.iter().chain(GUARD).chain(FACTS) {
            assert!(!group.reason.is_empty());
            assert_eq!(
                group.spare.is_empty(),
                group.spare_reason.is_empty(),
                "{}",
                group.reason
            );
        }
    }
}
