//! Contents of a folder's files, read when they are needed.

use std::path::PathBuf;
use std::sync::Arc;

use forger_block::{BlockRead, Error as BlockError, check_range};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::{pread, retry_on_intr};

use super::status::{Identity, Status};
use super::{Error, beneath};
use crate::tree::{Content, Time, shown};

/// How files are opened: what waits for others is not waited for.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// The files of a folder by the paths of their entries, opened anew for every read, so that none is
/// held open; never through a symlink.
#[derive(Clone, Debug)]
pub struct Contents {
    root: Arc<OwnedFd>,
}

impl Contents {
    /// Opens a folder; `path` itself may be a symlink to it.
    ///
    /// # Errors
    /// [`Error::Io`] when it is no folder or cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).map_err(|errno| Error::Io {
            operation: "open",
            path: path.display().to_string(),
            source: errno.into(),
        })?;
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// Returns the content of a file that has `size` bytes. A file whose size is another when it is
    /// read is an error then.
    #[must_use]
    pub fn content(&self, path: &[u8], size: u64) -> Content {
        let file = self.file(path, size, None);
        let mut content = Content::new();
        content.push_span(&file, 0, size);
        content
    }

    /// Takes an open folder.
    pub(super) fn of(root: OwnedFd) -> Self {
        Self {
            root: Arc::new(root),
        }
    }

    /// Returns a file as it was found: what is read when it is another, or was changed, is an error then.
    pub(super) fn found(&self, path: &[u8], status: &Status) -> Arc<dyn BlockRead> {
        self.file(path, status.size, Some((status.identity, status.mtime)))
    }

    fn file(&self, path: &[u8], size: u64, was: Option<(Identity, Time)>) -> Arc<dyn BlockRead> {
        Arc::new(HostContent {
            root: Arc::clone(&self.root),
            path: path.into(),
            size,
            was,
        })
    }
}

/// A file below a folder.
#[derive(Debug)]
struct HostContent {
    root: Arc<OwnedFd>,
    path: Box<[u8]>,
    size: u64,
    /// Which file it was, and when it was changed last.
    was: Option<(Identity, Time)>,
}

impl HostContent {
    fn read(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let file = beneath::open(self.root.as_fd(), &self.path, FILE)?;
        let now = Status::of_fd(&file)?;
        if now.size != self.size {
            return Err(std::io::Error::other("its size is another now"));
        }
        if let Some((identity, mtime)) = self.was {
            if now.identity != identity {
                return Err(std::io::Error::other("another file took its name"));
            }
            if now.mtime != mtime {
                return Err(std::io::Error::other("its mtime is another now"));
            }
        }
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            match retry_on_intr(|| pread(&file, &mut buf[done..], at))? {
                0 => return Err(std::io::Error::other("it became shorter")),
                read => done += read,
            }
        }
        Ok(())
    }
}

impl BlockRead for HostContent {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> forger_block::Result<()> {
        check_range(offset, buf.len() as u64, self.size)?;
        self.read(offset, buf)
            .map_err(|error| BlockError::io("read", shown(&self.path), error))
    }
}
