//! Opening below a folder, never through a symlink and never out of it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Opens a path below a folder.
///
/// # Errors
/// `ELOOP` for a symlink anywhere on the way, `EXDEV` for a path that leaves the folder, and
/// whatever else the operating system refuses.
pub(super) fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(root, path, flags, Mode::empty(), resolve) {
        // Not there, not allowed by a filter of system calls, or the path is too long.
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => open_by_steps(root, path, flags),
        result => result,
    }
}

fn open_by_steps(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let steps = path.split(|byte| *byte == b'/');
    let mut steps = steps
        .filter(|step| !step.is_empty() && *step != b".")
        .peekable();
    let mut folder: Option<OwnedFd> = None;
    while let Some(step) = steps.next() {
        if step == b".." {
            return Err(Errno::XDEV);
        }
        let flags = match steps.peek() {
            Some(_) => OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            None => flags,
        };
        let parent = folder.as_ref().map_or(root, AsFd::as_fd);
        folder = Some(openat(parent, step, flags, Mode::empty())?);
    }
    match folder {
        Some(folder) => Ok(folder),
        None => openat(root, ".", flags, Mode::empty()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn neither_way_follows_symlinks_or_leaves_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("in/a/b")).unwrap();
        std::fs::write(dir.path().join("in/a/b/file"), "x").unwrap();
        std::fs::write(dir.path().join("out"), "x").unwrap();
        symlink("a", dir.path().join("in/link")).unwrap();
        symlink("file", dir.path().join("in/a/b/file-link")).unwrap();
        let root = std::fs::File::open(dir.path().join("in")).unwrap();
        for by_steps in [false, true] {
            let way = |path: &[u8]| match by_steps {
                false => open(root.as_fd(), path, OFlags::RDONLY),
                true => open_by_steps(root.as_fd(), path, OFlags::RDONLY | OFlags::NOFOLLOW),
            };
            let errno = |path: &str| way(path.as_bytes()).err();
            assert_eq!(errno("a/b/file"), None);
            assert_eq!(errno("./a//b/file"), None);
            assert_eq!(errno("."), None);
            // A folder is wanted where a symlink is: that it is none, or a symlink, is said.
            assert!(matches!(
                errno("link/b/file"),
                Some(Errno::LOOP | Errno::NOTDIR)
            ));
            assert_eq!(errno("a/b/file-link"), Some(Errno::LOOP));
            assert_eq!(errno("a/../../out"), Some(Errno::XDEV));
            assert_eq!(errno("../out"), Some(Errno::XDEV));
        }
    }
}
