//! The folders between the root and the current entry.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, Result};

use super::status::{Identity, Status};
use crate::tree::Device;

/// How many folders are open at the same time; those further up are opened again on the way back.
const MAX_OPEN: usize = 64;

/// How many bytes of a folder are listed at a time.
const LIST: usize = 64 << 10;

/// The folders between the root and the current entry, outermost first.
#[derive(Debug, Default)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// From here on every level is open.
    first_open: usize,
}

#[derive(Debug)]
struct Level {
    fd: Option<OwnedFd>,
    identity: Identity,
    /// The names to come.
    names: std::vec::IntoIter<Box<[u8]>>,
    /// Length of the folder's path relative to the root, in bytes.
    path: usize,
}

/// Why a folder cannot be opened again.
#[derive(Debug)]
pub(super) enum Lost {
    /// What is above is another folder than before.
    Moved,
    /// The operating system's reason.
    Errno(Errno),
}

impl Levels {
    /// Returns the innermost folder.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        let level = self.levels.last();
        let fd = level.and_then(|level| level.fd.as_ref());
        fd.expect("the innermost folder is open").as_fd()
    }

    /// Returns the device that the innermost folder is on.
    pub(super) fn device(&self) -> Device {
        self.levels
            .last()
            .map_or_else(Device::default, |level| level.identity.device)
    }

    /// Goes into a folder.
    pub(super) fn push(
        &mut self,
        fd: OwnedFd,
        identity: Identity,
        names: Vec<Box<[u8]>>,
        path: usize,
    ) {
        if self.levels.len() - self.first_open == MAX_OPEN {
            self.levels[self.first_open].fd = None;
            self.first_open += 1;
        }
        self.levels.push(Level {
            fd: Some(fd),
            identity,
            names: names.into_iter(),
            path,
        });
    }

    /// Returns the next name in the innermost folder and makes `path` its path; `None` in the
    /// `Some` at the folder's end, `None` after the root's end.
    #[expect(clippy::option_option, reason = "two ends: of a folder, and of all")]
    pub(super) fn next_name(&mut self, path: &mut Vec<u8>) -> Option<Option<Box<[u8]>>> {
        let level = self.levels.last_mut()?;
        path.truncate(level.path);
        let name = level.names.next();
        if let Some(name) = &name {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
        }
        Some(name)
    }

    /// Returns how many folders are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.levels
            .iter()
            .filter(|level| level.fd.is_some())
            .count()
    }

    /// Leaves the innermost folder.
    pub(super) fn pop(&mut self) -> std::result::Result<(), Lost> {
        let Some(inner) = self.levels.pop() else {
            return Ok(());
        };
        let (Some(fd), Some(outer)) = (inner.fd, self.levels.last_mut()) else {
            return Ok(());
        };
        if outer.fd.is_some() {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let parent = openat(&fd, c"..", flags, Mode::empty()).map_err(Lost::Errno)?;
        let status = Status::of_fd(&parent).map_err(Lost::Errno)?;
        if status.identity != outer.identity {
            return Err(Lost::Moved);
        }
        outer.fd = Some(parent);
        self.first_open = self.levels.len() - 1;
        Ok(())
    }
}

/// Lists an open folder: every name but `.` and `..`, in order of raw bytes.
pub(super) fn names(fd: &OwnedFd, scratch: &mut Vec<u8>) -> Result<Vec<Box<[u8]>>> {
    scratch.clear();
    scratch.reserve(LIST);
    let mut names = Vec::new();
    let mut entries = RawDir::new(fd, scratch.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    names.sort_unstable();
    Ok(names)
}
