//! Reading what may block: standard input, FIFOs, devices.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use forger_block::FileReader;
use rustix::fs::{Mode, OFlags};

use crate::exit::Failure;
use crate::progress::{Console, Meter};
use crate::signals::{Ready, Signals};

/// A file that is read forward; a signal ends the wait for its next bytes.
#[derive(Debug)]
pub(crate) struct Stream {
    file: File,
    signals: Signals,
    meter: Arc<Meter>,
}

/// How a file that is read forward is called in messages.
pub(crate) fn shown(path: &OsStr) -> String {
    match path == OsStr::new("-") {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// Opens a file, a FIFO, or standard input for `-`; `kind` is what should be in it.
///
/// # Errors
/// When it cannot be opened, is a folder, or is a terminal.
pub(crate) fn open(path: &OsStr, kind: &str, console: &Console) -> Result<Stream, Failure> {
    let name = shown(path);
    let (signals, meter) = (console.signals().clone(), Arc::clone(console.meter()));
    let failed = |error| Failure::failed(format!("cannot open {name}")).because(error);
    let mut stream = if path == OsStr::new("-") {
        if io::stdin().is_terminal() {
            return Err(Failure::usage(format!(
                "standard input is a terminal, which is no {kind}"
            ))
            .help(format!("pipe a {kind} in, or name a file")));
        }
        Stream::stdin(signals, meter).map_err(failed)?
    } else {
        Stream::open(Path::new(path), signals, meter).map_err(failed)?
    };
    let metadata = stream.file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(Failure::failed(format!("{name} is a folder, not a {kind}")));
    }
    if metadata.is_file() {
        let read = stream.file.stream_position().unwrap_or(0);
        stream.meter.expect(metadata.len().saturating_sub(read));
    }
    Ok(stream)
}

impl Stream {
    fn stdin(signals: Signals, meter: Arc<Meter>) -> io::Result<Self> {
        let fd = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self::new(File::from(fd), signals, meter))
    }

    /// Reads an open file from where it stands.
    fn new(file: File, signals: Signals, meter: Arc<Meter>) -> Self {
        Self {
            file,
            signals,
            meter,
        }
    }

    /// The file, for reading at any offset, if it is a regular one that stands at its start.
    ///
    /// Both share the position, which looking for holes moves: only when the stream is read to its end may
    /// the file be read.
    pub(crate) fn as_file(&self, name: &str) -> Option<FileReader> {
        let mut file = &self.file;
        let whole = self.file.metadata().ok()?.is_file() && file.stream_position().ok()? == 0;
        let file = self.file.try_clone().ok().filter(|_| whole)?;
        FileReader::from_file(file, name).ok()
    }

    /// Opens a path without waiting for a FIFO's writer; the first read waits.
    ///
    /// # Errors
    /// The operating system's refusal.
    fn open(path: &Path, signals: Signals, meter: Arc<Meter>) -> io::Result<Self> {
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
                // Another process shares the descriptor and has made it non-blocking, or was
                // faster.
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
