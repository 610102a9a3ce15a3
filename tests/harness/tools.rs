//! Which programs and rights this machine has, and what a test does without them.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Finds a program in `PATH` and in the folders of system programs.
#[must_use]
pub fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let program = program.as_ref();
    if Path::new(program).components().count() > 1 {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|dir| dir.join(program))
        .find(|file| {
            file.metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Tells whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tells whether every one of `needs` is there: the name of a program, or one of `root` (this
/// process is root) and `loop` (and images can be mounted).
///
/// What is missing is reported as a skipped test.
///
/// # Panics
/// When something is missing and the variable `REQUIRE_TOOLS` is 1: then nothing may be skipped.
#[must_use]
pub fn present(needs: &[&str]) -> bool {
    let missing: Vec<&str> = needs
        .iter()
        .copied()
        .filter(|need| !is_there(need))
        .collect();
    missing.is_empty() || skip(&format!("not available here: {}", missing.join(", ")))
}

/// Reports a skipped test; returns `false` for the caller to return on.
///
/// # Panics
/// When the variable `REQUIRE_TOOLS` is 1.
#[must_use]
pub fn skip(why: &str) -> bool {
    assert!(!required(), "REQUIRE_TOOLS=1, but {why}");
    eprintln!("skipped: {why}");
    false
}

/// Tells whether nothing may be skipped.
#[must_use]
pub fn required() -> bool {
    std::env::var_os("REQUIRE_TOOLS").is_some_and(|value| value == "1")
}

fn is_there(need: &str) -> bool {
    match need {
        "root" => is_root(),
        "loop" => is_root() && Path::new("/dev/loop-control").exists(),
        program => find(program).is_some(),
    }
}

/// Returns from the test, as skipped, unless everything named is there; see [`present`].
#[macro_export]
macro_rules! need {
    ($($what:literal),+ $(,)?) => {
        if !$crate::tools::present(&[$($what),+]) {
            return;
        }
    };
}
