//! A real root filesystem: Debian's smallest, made once per machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::process::Run;
use crate::tools;

/// The variable that names a tar to use instead of one made here.
pub const VARIABLE: &str = "FORGER_TEST_ROOTFS";

/// Returns a tar of Debian's `minbase`, made by mmdebstrap when there is none yet; `None`, as a
/// reported skip, when it cannot be made.
///
/// # Panics
/// When it cannot be made and nothing may be skipped.
#[must_use]
pub fn minbase() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Some(path.into());
    }
    if !tools::present(&["mmdebstrap"]) {
        return None;
    }
    made("minbase-bookworm.tar", &["--variant=minbase", "bookworm"])
        .map_err(|error| tools::skip(&error))
        .ok()
}

/// Returns a tar in the cache, made by mmdebstrap with `args` when it is not there yet.
///
/// # Errors
/// When mmdebstrap cannot make it, for lack of a mirror for instance.
pub fn made(name: &str, args: &[&str]) -> Result<PathBuf, String> {
    let cache = target().join("rootfs");
    let tar = cache.join(name);
    let text = |error: std::io::Error| format!("{}: {error}", cache.display());
    fs::create_dir_all(&cache).map_err(text)?;
    // Tests are processes of their own: one makes the tar, the others wait for it.
    let lock = File::create(cache.join("lock")).map_err(text)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| text(error.into()))?;
    if !tar.is_file() {
        let part = cache.join(format!("part-{name}"));
        let made = Run::new("mmdebstrap")
            .args(args)
            .arg(&part)
            .limit(900)
            .try_output()?;
        if !made.status.success() {
            return Err(made.to_string());
        }
        fs::rename(&part, &tar).map_err(text)?;
    }
    Ok(tar)
}

/// Returns cargo's target folder, in which this program lies.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its own path");
    let profile = ["debug", "release"];
    program
        .ancestors()
        .find(|dir| {
            dir.file_name()
                .is_some_and(|name| profile.iter().any(|p| name == *p))
        })
        .and_then(Path::parent)
        .map_or_else(std::env::temp_dir, Path::to_path_buf)
}
