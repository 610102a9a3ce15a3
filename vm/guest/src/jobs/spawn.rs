//! From a job to a process.
#![expect(
    unsafe_code,
    reason = "what a process does between its start and its program"
)]

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use forger_wire::{Job, Resource as Limited};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::process::{Resource, Rlimit, ioctl_tiocsctty, setrlimit, setsid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::thread::{
    CapabilitySet, remove_capability_from_bounding_set, set_thread_gid, set_thread_groups,
    set_thread_uid,
};

use super::resize;
use crate::user::{self, Identity};

/// The guest's ends of a job's input and output.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<OwnedFd>,
}

/// Room in a pipe in bytes.
const PIPE: usize = 1 << 20;

/// What no job may do unless it is privileged: change the kernel, or reach around it.
const WITHHELD: [CapabilitySet; 2] = [CapabilitySet::SYS_MODULE, CapabilitySet::SYS_RAWIO];

/// Prepares a job's process.
///
/// # Errors
/// A user that the image does not know, or a folder that it does not have; a system without pipes or terminals to give.
pub(super) fn prepare(job: &Job, privileged: bool) -> io::Result<(Command, Ends)> {
    let identity = user::find(&job.user)?;
    let mut words = job.argv.iter().map(|word| OsStr::from_bytes(word));
    let program = words.next().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(words).env_clear();
    environment(&mut command, job, &identity);
    let cwd = match job.cwd.is_empty() {
        true => OsStr::new("/"),
        false => OsStr::from_bytes(&job.cwd),
    };
    if !std::fs::metadata(cwd).is_ok_and(|found| found.is_dir()) {
        let what = format!("there is no folder {}", cwd.display());
        return Err(io::Error::other(what));
    }
    let cwd = cwd.to_owned();
    let ends = match job.terminal {
        Some(size) => {
            let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
            grantpt(&terminal)?;
            unlockpt(&terminal)?;
            resize(&terminal, size)?;
            let peer = ioctl_tiocgptpeer(&terminal, OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
            command.stdin(Stdio::from(peer.try_clone()?));
            command.stdout(Stdio::from(peer.try_clone()?));
            command.stderr(Stdio::from(peer));
            Ends {
                stdin: Some(terminal.try_clone()?),
                stdout: Some(terminal.try_clone()?),
                stderr: None,
                terminal: Some(terminal),
            }
        }
        None => pipes(&mut command, job.stdin)?,
    };
    let limits = limits(job);
    let has_terminal = job.terminal.is_some();
    let become_job = move || {
        setsid()?;
        if has_terminal {
            ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        for (resource, limit) in &limits {
            setrlimit(*resource, *limit)?;
        }
        if !privileged {
            for capability in WITHHELD {
                remove_capability_from_bounding_set(capability)?;
            }
        }
        set_thread_groups(&identity.groups)?;
        set_thread_gid(identity.gid)?;
        set_thread_uid(identity.uid)?;
        // As the user, who may not be let in.
        rustix::process::chdir(&*cwd)?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made, on memory that was allocated before;
    // `chdir` copies a short path to the stack and allocates only for names no kernel takes.
    unsafe { command.pre_exec(become_job) };
    Ok((command, ends))
}

/// Sets the environment: the host's, and what the image says of the user where the host is silent.
fn environment(command: &mut Command, job: &Job, identity: &Identity) {
    command.env("HOME", &identity.home);
    command.env("USER", &identity.name);
    for pair in &job.env {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let key = parts.next().unwrap_or_default();
        let value = parts.next().unwrap_or_default();
        if !key.is_empty() {
            command.env(OsStr::from_bytes(key), OsStr::from_bytes(value));
        }
    }
}

fn pipes(command: &mut Command, with_input: bool) -> io::Result<Ends> {
    let stdin = match with_input {
        true => {
            let (read, write) = wide_pipe()?;
            command.stdin(Stdio::from(read));
            Some(write)
        }
        false => {
            command.stdin(Stdio::null());
            None
        }
    };
    let (stdout, write) = wide_pipe()?;
    command.stdout(Stdio::from(write));
    let (stderr, write) = pipe_with(PipeFlags::CLOEXEC)?;
    command.stderr(Stdio::from(write));
    Ok(Ends {
        stdin,
        stdout: Some(stdout),
        stderr: Some(stderr),
        terminal: None,
    })
}

/// Makes a pipe with room for several pieces: each change from one process to another takes its time.
fn wide_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // One that stays narrow is only slower.
    let _ = fcntl_setpipe_size(&write, PIPE);
    Ok((read, write))
}

fn limits(job: &Job) -> Vec<(Resource, Rlimit)> {
    let limit = |limit: &forger_wire::Limit| {
        let resource = match limit.resource {
            Limited::Cpu => Resource::Cpu,
            Limited::FileSize => Resource::Fsize,
            Limited::Files => Resource::Nofile,
            Limited::Processes => Resource::Nproc,
            Limited::AddressSpace => Resource::As,
            Limited::Core => Resource::Core,
        };
        let value = Some(limit.value).filter(|value| *value != u64::MAX);
        let both = Rlimit {
            current: value,
            maximum: value,
        };
        (resource, both)
    };
    job.limits.iter().map(limit).collect()
}
