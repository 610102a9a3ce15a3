//! Processes end, and somebody has to take note: the first process for all orphans.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use forger_wire::Ended;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};

use crate::stream::locked;

/// How long to wait before looking for children again when there are none.
const IDLE: Duration = Duration::from_millis(20);

/// Takes note of every process that ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Reaper {
    /// The jobs' processes: held while one is started, and while ended ones are collected.
    watched: Arc<Mutex<HashMap<Pid, Watched>>>,
}

#[derive(Debug)]
struct Watched {
    ended: SyncSender<Ended>,
    /// Closed when the process has ended.
    _mark: OwnedFd,
}

/// A job's process.
#[derive(Debug)]
pub(super) struct Child {
    pid: Pid,
    ended: Receiver<Ended>,
    mark: Arc<OwnedFd>,
}

impl Child {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns what polls as hung up once the process has ended.
    pub(super) fn ended(&self) -> &Arc<OwnedFd> {
        &self.mark
    }

    /// Waits for its end.
    pub(super) fn wait(&self) -> Ended {
        self.ended.recv().unwrap_or_else(|_| Ended::Failed {
            errno: 0,
            what: "nobody saw how it ended".to_owned(),
        })
    }
}

impl Reaper {
    /// Starts to take note.
    pub(super) fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let of_thread = reaper.clone();
        thread::Builder::new().spawn(move || of_thread.reap())?;
        Ok(reaper)
    }

    /// Starts a process.
    pub(super) fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let (mark, end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (sender, ended) = sync_channel(1);
        // Nothing is reaped between the start and the note of it.
        let mut watched = locked(&self.watched);
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let entry = Watched {
            ended: sender,
            _mark: end,
        };
        watched.insert(pid, entry);
        Ok(Child {
            pid,
            ended,
            mark: Arc::new(mark),
        })
    }

    fn reap(&self) {
        loop {
            // Looks without taking: a process that could not become its program is its starter's.
            let looked = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            if looked.is_err() {
                thread::sleep(IDLE);
                continue;
            }
            let mut watched = locked(&self.watched);
            while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
                if let Some(process) = watched.remove(&pid) {
                    // Whoever no longer waits does not miss it.
                    let _ = process.ended.try_send(how(status));
                }
            }
        }
    }
}

fn how(status: WaitStatus) -> Ended {
    let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Ended::Code(byte(code)),
        (_, Some(signal)) => Ended::Signal(byte(signal)),
        _ => Ended::Code(u8::MAX),
    }
}
