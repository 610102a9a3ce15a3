//! Devices that appear when their driver has found them.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a driver may take to find its device.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens a device as soon as it is there.
///
/// # Errors
/// One that does not appear, or cannot be opened; it is named.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        match options.open(path) {
            Err(error) if is_coming(&error) && Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(error) => return Err(explained("open", path, error)),
            Ok(file) => return Ok(file),
        }
    }
}

/// Tells whether a device may still appear: its name comes first, and then what is behind it.
fn is_coming(error: &io::Error) -> bool {
    let nothing_behind = rustix::io::Errno::NXIO.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nothing_behind)
}

/// Waits until a device is there.
///
/// # Errors
/// As [`open`].
pub(crate) fn wait(path: &Path) -> io::Result<()> {
    open(path, OpenOptions::new().read(true)).map(drop)
}

/// Says what could not be done with what.
pub(crate) fn explained(verb: &str, path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(
        error.kind(),
        format!("cannot {verb} {}: {error}", path.display()),
    )
}
