//! A guest as a process of the host.
#![expect(
    unsafe_code,
    reason = "what a process does between its start and its program"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{
    Pid, Signal, WaitOptions, kill_process_group, set_parent_process_death_signal, waitpgid,
};

use crate::error::Error;

/// Files that a process inherits under the numbers they have here.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<OwnedFd>);

impl Inherited {
    /// Adds a file; returns the number it has in the process.
    pub(crate) fn add(&mut self, file: impl Into<OwnedFd>) -> RawFd {
        let file = file.into();
        let number = file.as_raw_fd();
        self.0.push(file);
        number
    }
}

/// A process that runs in a group of its own; the group is killed when this is dropped, and the
/// process when this one ends.
#[derive(Debug)]
pub(crate) struct Child {
    group: Pid,
    ended: Mutex<(Receiver<()>, bool)>,
}

impl Child {
    /// Starts a process.
    pub(crate) fn start(mut command: Command, inherited: Inherited) -> Result<Self, Error> {
        let numbers: Vec<RawFd> = inherited.0.iter().map(AsRawFd::as_raw_fd).collect();
        let prepare = move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            for number in &numbers {
                // SAFETY: the files are open until the process was started: the thread that starts
                // it owns them.
                let file = unsafe { BorrowedFd::borrow_raw(*number) };
                fcntl_setfd(file, FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: between fork and exec only system calls are made.
        unsafe { command.pre_exec(prepare) };
        command.process_group(0);
        let (ready, started) = channel();
        let (done, ended) = channel();
        // The process ends with the thread that started it, so that thread stays.
        thread::Builder::new()
            .name("guest process".to_owned())
            .spawn(move || {
                let child = command.spawn();
                drop(inherited);
                match child {
                    Ok(mut child) => {
                        let pid = Pid::from_child(&child);
                        // Whoever started it may have given up already.
                        let _ = ready.send(Ok(pid));
                        let _ = child.wait();
                        end_group(pid);
                        let _ = done.send(());
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            })
            .map_err(|error| Error::host("start a thread", error))?;
        let group = started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))
            .map_err(|error| Error::host("start the guest's process", error))?;
        Ok(Self {
            group,
            ended: Mutex::new((ended, false)),
        })
    }

    /// Ends the process and all that belongs to it.
    pub(crate) fn kill(&self) {
        if !self.wait(Duration::ZERO) {
            // It may end on its own meanwhile.
            let _ = kill_process_group(self.group, Signal::KILL);
        }
    }

    /// Waits for its end at most so long; tells whether it has ended.
    pub(crate) fn wait(&self, limit: Duration) -> bool {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if !ended.1 {
            ended.1 = ended.0.recv_timeout(limit).is_ok();
        }
        ended.1
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        self.wait(Duration::from_secs(5));
    }
}

/// Ends what a process has left behind in its group, and takes note of those that became ours.
fn end_group(group: Pid) {
    for _ in 0..200 {
        let gone = kill_process_group(group, Signal::KILL).is_err();
        while let Ok(Some(_)) = waitpgid(group, WaitOptions::NOHANG) {}
        if gone {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
