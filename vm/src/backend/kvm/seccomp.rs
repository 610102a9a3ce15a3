//! Which system calls the threads may make that look at what a guest wrote.
//!
//! A call beyond them fails with `EPERM`: this is a library, and must not end whoever uses it. The threads of
//! processors, of the channel and of random bytes may make a few calls only. Those of disks compute or
//! fetch what the guest reads, by whatever means the disk has, so they may make all but those by which
//! a process gets at other processes, programs or rights.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use crate::error::Error;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thread {
    Processor,
    Channel,
    Entropy,
    Disk,
}

/// `KVM_RUN`, and what makes a socket block or not (`FIONBIO`).
const KVM_RUN: u64 = 0xae80;
const FIONBIO: u64 = 0x5421;

/// What every thread needs: memory, locks, signals, its own end.
const ALWAYS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sigaltstack,
    libc::SYS_tgkill,
    libc::SYS_write,
];

/// What devices wait with.
const WAITING: &[i64] = &[
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
];

/// What a socket needs.
const SOCKET: &[i64] = &[
    libc::SYS_fcntl,
    libc::SYS_recvfrom,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// What no thread needs that serves a disk.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_delete_module,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_finit_module,
    libc::SYS_fork,
    libc::SYS_init_module,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vfork,
];

/// Keeps this thread to what it needs, for good.
///
/// # Errors
/// A kernel without filters.
pub(super) fn confine(thread: Thread) -> Result<(), Error> {
    let failed = |error: seccompiler::Error| {
        Error::host(
            "restrict a thread's system calls",
            std::io::Error::other(error),
        )
    };
    let filter = filter(thread).map_err(|error| failed(error.into()))?;
    apply_filter(&filter).map_err(failed)
}

fn filter(thread: Thread) -> Result<BpfProgram, seccompiler::BackendError> {
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let rules = |lists: &[&[i64]]| {
        let calls = lists.iter().flat_map(|list| list.iter());
        calls.map(|call| (*call, Vec::new())).collect()
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = match thread {
        Thread::Processor => rules(&[ALWAYS]),
        Thread::Channel => rules(&[ALWAYS, WAITING, SOCKET]),
        Thread::Entropy => rules(&[ALWAYS, WAITING]),
        Thread::Disk => rules(&[NEVER]),
    };
    let request = match thread {
        Thread::Processor => Some(KVM_RUN),
        Thread::Channel => Some(FIONBIO),
        Thread::Entropy | Thread::Disk => None,
    };
    if let Some(request) = request {
        let only = SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?;
        rules.insert(libc::SYS_ioctl, vec![SeccompRule::new(vec![only])?]);
    }
    let (others, these) = match thread {
        Thread::Disk => (SeccompAction::Allow, refuse),
        _ => (refuse, SeccompAction::Allow),
    };
    let filter = SeccompFilter::new(rules, others, these, TargetArch::x86_64)?;
    filter.try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a file in a thread of some kind.
    fn opens(thread: Thread) -> std::io::Result<()> {
        std::thread::spawn(move || {
            confine(thread).unwrap();
            std::fs::File::open("/dev/null").map(drop)
        })
        .join()
        .unwrap()
    }

    #[test]
    fn threads_that_open_no_files_cannot_and_a_disk_can() {
        for thread in [Thread::Processor, Thread::Channel, Thread::Entropy] {
            let error = opens(thread).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
        }
        opens(Thread::Disk).unwrap();
    }

    #[test]
    fn a_disk_starts_no_program() {
        let started = std::thread::spawn(|| {
            confine(Thread::Disk).unwrap();
            // The process that is to become the program is refused.
            std::process::Command::new("/bin/true").status()
        });
        assert!(started.join().unwrap().is_err());
    }
}
