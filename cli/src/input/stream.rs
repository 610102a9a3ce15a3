//! Reading what may block: standard input, FIFOs, devices.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::progress::Meter;
use crate::signals::{Ready, Signals};

/// A file that is read forward; a signal ends the wait for its next bytes.
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    signals: Signals,
    meter: Arc<Meter>,
}

impl Stream {
    /// Reads an open file from where it stands.
    pub(crate) fn new(file: File, signals: Signals, meter: Arc<Meter>) -> Self {
        Self {
            file,
            signals,
            meter,
        }
    }

    /// Opens a path without waiting for a FIFO's writer; the first read waits.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub(crate) fn open(path: &Path, signals: Signals, meter: Arc<Meter>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        // Only the opening shall not block: reads wait for a signal as well.
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags - OFlags::NONBLOCK)?;
        Ok(Self::new(File::from(fd), signals, meter))
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.signals.wait(self.file.as_fd(), Ready::Read)?;
            match self.file.read(buffer) {
                // Another process shares the descriptor and has made it non-blocking, or was faster.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    let count = result?;
                    self.meter.add(u64::try_from(count).unwrap_or(0));
                    return Ok(count);
                }
            }
        }
    }
}
