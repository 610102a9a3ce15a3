//! What the surroundings say: environment, user, clock. Only the binary asks them.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use forger_fs::tree::Time;

/// What commands may know of the world around them.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// `SOURCE_DATE_EPOCH`, when set and not empty.
    pub(crate) source_date_epoch: Option<OsString>,
    /// The effective user id.
    pub(crate) uid: u32,
    /// Reads the clock.
    pub(crate) clock: fn() -> Time,
}

impl Environment {
    /// Asks the real surroundings.
    pub(crate) fn real() -> Self {
        Self {
            source_date_epoch: variable("SOURCE_DATE_EPOCH"),
            uid: rustix::process::geteuid().as_raw(),
            clock: now,
        }
    }
}

/// Tells whether standard error is a terminal whose cursor can be moved.
pub(crate) fn terminal() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    std::io::stderr().is_terminal() && !dumb
}

/// Tells whether standard error may be painted.
pub(crate) fn colours() -> bool {
    terminal() && variable("NO_COLOR").is_none()
}

/// Returns how many processors this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the folder for unnamed temporary files.
pub(crate) fn scratch_folder() -> PathBuf {
    variable("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// Returns an environment variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn now() -> Time {
    // A clock before 1970 is as good as 1970 here.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Time {
        sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nsec: since.subsec_nanos(),
    }
}
