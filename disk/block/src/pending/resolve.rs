//! Where a path leads, through the symlinks at its end.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, readlinkat};
use rustix::io::Errno;

use super::Folder;
use crate::{Error, Result};

/// So many symlinks are followed, as by the kernel.
const MAX_LINKS: usize = 40;

/// Returns the folder and the name that `path` means, which may exist or not.
///
/// A symlink is followed, also one that leads to nothing.
pub(super) fn resolve(path: &Path) -> Result<(Folder, OsString)> {
    let (parent, name) = split(path, path)?;
    let mut folder = Folder::open_at(CWD, parent, parent.to_owned())?;
    let mut name = name.to_owned();
    for _ in 0..MAX_LINKS {
        let target = match readlinkat(&folder, &name, Vec::new()) {
            Ok(target) => PathBuf::from(OsString::from_vec(target.into_bytes())),
            // Not a symlink, or nothing at all.
            Err(Errno::INVAL | Errno::NOENT) => return Ok((folder, name)),
            Err(error) => return Err(Error::io("follow", folder.shown(&name), error.into())),
        };
        let (parent, next) = split(&target, path)?;
        folder = Folder::open_at(&folder, parent, folder.path().join(parent))?;
        name = next.to_owned();
    }
    let path = path.display().to_string();
    Err(Error::io("follow", path, Errno::LOOP.into()))
}

/// Splits a path into its folder, perhaps empty, and its last name.
fn split<'a>(path: &'a Path, given: &Path) -> Result<(&'a Path, &'a OsStr)> {
    let bytes = path.as_os_str().as_bytes();
    let is_folder = bytes.ends_with(b"/") || bytes.ends_with(b"/.");
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !is_folder => Ok((parent, name)),
        _ => Err(Error::NotAnOutput {
            path: given.display().to_string(),
            kind: if bytes.is_empty() {
                "an empty name"
            } else {
                "the name of a directory"
            },
        }),
    }
}
