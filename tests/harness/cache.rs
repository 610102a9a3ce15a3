//! Inputs that are made or fetched once per machine, in cargo's target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Returns a file or folder in the cache; `make` makes it, at the path it is given, when it is not there
/// yet.
///
/// # Errors
/// That of `make`, or when the cache cannot be written.
pub fn made(name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let cache = target().join("inputs");
    let path = cache.join(name);
    let text = |error: std::io::Error| format!("{}: {error}", cache.display());
    fs::create_dir_all(&cache).map_err(text)?;
    // Tests are processes of their own: one makes it, the others wait.
    let lock = File::create(cache.join("lock")).map_err(text)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| text(error.into()))?;
    if !path.exists() {
        let part = cache.join(format!("part-{name}"));
        if part.is_dir() {
            fs::remove_dir_all(&part).map_err(text)?;
        }
        make(&part)?;
        fs::rename(&part, &path).map_err(text)?;
    }
    Ok(path)
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
