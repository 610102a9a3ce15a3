//! Writing what may block: standard output, FIFOs.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use forger_block::{Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::signals::{Ready, Signals};

/// How long to wait between two looks whether a FIFO has got a reader.
const PATIENCE: Duration = Duration::from_millis(20);

/// A file that is written forward; a signal ends the wait for its reader.
#[derive(Debug)]
pub(super) struct Outlet {
    file: File,
    signals: Signals,
}

impl Outlet {
    /// Takes standard output.
    pub(super) fn stdout(signals: Signals) -> Result<Self> {
        let name = "standard output";
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Error::NotAnOutput {
                path: name.into(),
                kind: "a terminal",
            });
        }
        let fd = stdout
            .as_fd()
            .try_clone_to_owned()
            .map_err(|error| Error::io("open", name, error))?;
        Ok(Self {
            file: File::from(alone(fd)),
            signals,
        })
    }

    /// Opens a FIFO (or a device like `/dev/null`), once it has a reader.
    pub(super) fn fifo(path: &Path, signals: Signals) -> Result<Self> {
        let error = |error: io::Error| Error::io("open", path.display().to_string(), error);
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        loop {
            match rustix::fs::open(path, flags, Mode::empty()) {
                Ok(fd) => {
                    return Ok(Self {
                        file: File::from(fd),
                        signals,
                    });
                }
                Err(Errno::NXIO) => signals.pause(PATIENCE).map_err(error)?,
                Err(errno) => return Err(error(errno.into())),
            }
        }
    }
}

/// Opens a pipe anew, so that it can be made non-blocking without its other owners noticing. What
/// is no pipe, or may not be opened again, is written as it is.
fn alone(fd: OwnedFd) -> OwnedFd {
    let pipe = rustix::fs::fstat(&fd)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_fifo());
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    match pipe.then(|| rustix::fs::open(path, flags, Mode::empty())) {
        Some(Ok(own)) => own,
        _ => fd,
    }
}

impl Write for Outlet {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        loop {
            self.signals.wait(self.file.as_fd(), Ready::Write)?;
            match self.file.write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
