//! Files that have no name, so that nobody else sees them and nothing is left behind.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open, unlink};
use rustix::io::Errno;

use crate::error::Error;

/// Makes an empty unnamed file in a folder.
pub(crate) fn file(folder: &Path) -> Result<File, Error> {
    let failed = |error: Errno| {
        let what = format!("make a temporary file in {}", folder.display());
        Error::host(what, error)
    };
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    match open(folder, flags | OFlags::TMPFILE, mode) {
        Ok(file) => Ok(file.into()),
        // A filesystem without unnamed files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR) => named(folder, flags, mode).map_err(failed),
        Err(error) => Err(failed(error)),
    }
}

/// Makes a file under a name that is taken away at once.
fn named(folder: &Path, flags: OFlags, mode: Mode) -> Result<File, Errno> {
    let process = std::process::id();
    for number in 0..1000 {
        let path = folder.join(format!(".forger-{process}-{number}"));
        match open(&path, flags | OFlags::CREATE | OFlags::EXCL, mode) {
            Ok(file) => {
                unlink(&path)?;
                return Ok(file.into());
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

/// Returns a path by which programs of the same user open an unnamed file, as long as this process has it.
pub(crate) fn path_of(file: &File) -> PathBuf {
    let (process, number) = (std::process::id(), file.as_raw_fd());
    format!("/proc/{process}/fd/{number}").into()
}
