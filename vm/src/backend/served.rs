//! A disk that is served from this process, without a copy of it (vhost-user).

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use forger_block::{BlockRead, BlockStore};
use forger_disk::{Disk as Served, vhost_user};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, mkdir, open};

use crate::backend::Disk;
use crate::error::Error;

/// How often a server that waits for its machine looks whether there still is one.
const TICK: i64 = 100_000_000;

/// The folder of the sockets by which a machine finds its disks: it is gone before the machine starts,
/// which inherits them.
#[derive(Debug)]
pub(crate) struct Sockets(PathBuf);

impl Sockets {
    /// Makes a folder that nobody else may enter.
    pub(crate) fn make(above: &Path) -> Result<Self, Error> {
        let process = std::process::id();
        for number in 0..10_000 {
            let path = above.join(format!("forger-{process}-{number}"));
            match mkdir(&path, Mode::RWXU) {
                Ok(()) => return Ok(Self(path)),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(Error::host(format!("make {}", path.display()), error)),
            }
        }
        let source = std::io::Error::from(rustix::io::Errno::EXIST);
        Err(Error::host(
            format!("make a folder in {}", above.display()),
            source,
        ))
    }

    /// Removes folders that processes which are gone left behind.
    pub(crate) fn sweep(above: &Path) {
        let Ok(entries) = fs::read_dir(above) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let process = name
                .to_str()
                .and_then(|name| name.strip_prefix("forger-"))
                .and_then(|rest| rest.split_once('-'))
                .and_then(|(process, _)| process.parse::<u32>().ok());
            if process.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
                // Only what is ours can be removed, and only sockets lie in it.
                let _ = remove(&entry.path());
            }
        }
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // What cannot be removed now is swept at the next start.
        let _ = remove(&self.0);
    }
}

/// Removes a folder of sockets; anything else in it keeps it.
fn remove(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::FileTypeExt;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_socket() {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// A disk that is served until its machine is gone.
#[derive(Debug)]
pub(crate) struct ServedDisk {
    store: Arc<dyn BlockStore>,
    /// Set when the machine is gone, or will not come.
    gone: Arc<AtomicBool>,
    server: Mutex<Option<JoinHandle<Result<(), vhost_user::Error>>>>,
}

impl ServedDisk {
    /// Serves a disk to a machine that connects by itself; returns it and its socket, by which it is found
    /// even when that has no name any more.
    pub(crate) fn listening(
        disk: &Disk,
        number: usize,
        sockets: &Sockets,
    ) -> Result<(Self, OwnedFd), Error> {
        let path = sockets.0.join(number.to_string());
        let listener = UnixListener::bind(&path)
            .map_err(|error| Error::host(format!("listen at {}", path.display()), error))?;
        let socket = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Error::host(format!("open {}", path.display()), error))?;
        let gone = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&gone);
        let served = Self::start(disk, gone, move |served| {
            match comes(&listener, &of_thread) {
                true => vhost_user::accept(served, listener)?.wait(),
                false => Ok(()),
            }
        })?;
        Ok((served, socket))
    }

    /// Serves a disk to a machine that inherits the other end of the connection, which is returned.
    pub(crate) fn connected(disk: &Disk) -> Result<(Self, OwnedFd), Error> {
        let (ours, theirs) = super::pair()?;
        let gone = Arc::new(AtomicBool::new(false));
        let served = Self::start(disk, gone, move |served| {
            vhost_user::connected(served, ours)?.wait()
        })?;
        Ok((served, theirs.into()))
    }

    fn start(
        disk: &Disk,
        gone: Arc<AtomicBool>,
        serve: impl FnOnce(Served) -> Result<(), vhost_user::Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let served = match disk.read_only {
            true => Served::ReadOnly(Arc::clone(&disk.store) as Arc<dyn BlockRead>),
            false => Served::Writable(Arc::clone(&disk.store)),
        };
        let server = thread::Builder::new()
            .name("guest disk".to_owned())
            .spawn(move || serve(served))
            .map_err(|error| Error::host("start a thread", error))?;
        Ok(Self {
            store: Arc::clone(&disk.store),
            gone,
            server: Mutex::new(Some(server)),
        })
    }

    /// Ends a server whose machine is gone, and says whether it failed.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.gone.store(true, Ordering::Release);
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        match server.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(error))) => Err(Error::host(
                "serve the guest's disk",
                std::io::Error::other(error),
            )),
            Some(Err(_)) => {
                let source = std::io::Error::other("the server ended unexpectedly");
                Err(Error::host("serve the guest's disk", source))
            }
        }
    }

    /// Reads what the disk holds.
    pub(crate) fn reader(&self) -> Arc<dyn BlockRead> {
        Arc::clone(&self.store) as Arc<dyn BlockRead>
    }
}

/// Waits until somebody connects; not any more once the machine is gone.
fn comes(listener: &UnixListener, gone: &AtomicBool) -> bool {
    let tick = Timespec {
        tv_sec: 0,
        tv_nsec: TICK,
    };
    while !gone.load(Ordering::Acquire) {
        let mut fds = [PollFd::new(listener, PollFlags::IN)];
        if poll(&mut fds, Some(&tick)).is_ok_and(|ready| ready > 0) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_processes_that_are_gone_are_swept_and_others_are_not() {
        let above = tempfile::tempdir().unwrap();
        let kept = Sockets::make(above.path()).unwrap();
        // No process has such a number.
        for name in ["forger-4194999-0", "forger-4194999-1", "forger-x", "other"] {
            fs::create_dir(above.path().join(name)).unwrap();
        }
        UnixListener::bind(above.path().join("forger-4194999-0/0")).unwrap();
        fs::write(above.path().join("forger-4194999-1/file"), "mine").unwrap();
        Sockets::sweep(above.path());
        let left = |name: &str| above.path().join(name).exists();
        assert!(!left("forger-4194999-0"));
        assert!(left("forger-4194999-1/file") && left("forger-x") && left("other"));
        assert!(kept.0.exists());
        let path = kept.0.clone();
        drop(kept);
        assert!(!path.exists());
    }
}
