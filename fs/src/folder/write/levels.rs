//! The folders between the root and the name that is made.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use super::super::status::{Identity, Status};
use super::WriteError;
use crate::tree::NodeId;

/// How folders are opened.
pub(super) const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// How many of the innermost folders are held open; those further up are opened again on the way
/// back.
const HELD: usize = 64;

/// The folders between the root and the name that is made, outermost first.
#[derive(Debug)]
pub(super) struct Levels {
    root: OwnedFd,
    node: NodeId,
    below: Vec<Level>,
    /// The path of the innermost folder.
    path: Vec<u8>,
}

#[derive(Debug)]
struct Level {
    node: NodeId,
    /// Always there for the innermost folder.
    fd: Option<OwnedFd>,
    identity: Identity,
    /// Length of the path of the folder it stands in.
    path: usize,
}

impl Levels {
    pub(super) fn new(root: OwnedFd) -> Self {
        Self {
            root,
            node: NodeId::ROOT,
            below: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Returns the root.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Says which node the root is.
    pub(super) fn set_root(&mut self, node: NodeId) {
        self.node = node;
    }

    /// Returns the innermost folder.
    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        let level = self.below.last().and_then(|level| level.fd.as_ref());
        level.unwrap_or(&self.root).as_fd()
    }

    /// Opens a folder of the innermost one, which becomes that.
    pub(super) fn enter(&mut self, node: NodeId, name: &[u8]) -> Result<(), Errno> {
        let fd = openat(self.folder(), name, FOLDER, Mode::empty())?;
        let identity = Status::of_fd(&fd)?.identity;
        self.below.push(Level {
            node,
            fd: Some(fd),
            identity,
            path: self.path.len(),
        });
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        if let Some(above) = self.below.len().checked_sub(HELD + 1) {
            self.below[above].fd = None;
        }
        Ok(())
    }

    /// Leaves folders until `depth` levels are open, the root counted; `done` takes each with its
    /// path.
    pub(super) fn leave(
        &mut self,
        depth: usize,
        mut done: impl FnMut(NodeId, BorrowedFd<'_>, &[u8]) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        while self.below.len() + 1 > depth {
            // Before the folder may get a mode that allows no way out of it.
            self.open_parent()
                .map_err(|errno| WriteError::io("go back up from", &self.path, errno))?;
            let node = self.below.last().map_or(self.node, |level| level.node);
            done(node, self.folder(), &self.path)?;
            match self.below.pop() {
                Some(level) => self.path.truncate(level.path),
                None => break,
            }
        }
        Ok(())
    }

    /// Opens the folder above the innermost one again, where it was closed; it must still be the
    /// same.
    fn open_parent(&mut self) -> Result<(), Errno> {
        let Some([above, innermost]) = self.below.last_chunk_mut::<2>() else {
            return Ok(());
        };
        let (None, Some(fd)) = (&above.fd, &innermost.fd) else {
            return Ok(());
        };
        let parent = openat(fd, "..", FOLDER, Mode::empty())?;
        if Status::of_fd(&parent)?.identity != above.identity {
            return Err(Errno::STALE);
        }
        above.fd = Some(parent);
        Ok(())
    }
}
