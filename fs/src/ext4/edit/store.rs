//! Where an image is edited: reads and writes at any offset, and a lock.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use forger_block::{BlockRead, Error, FileReader, Result, Run};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::EditError;

/// Bytes that can be read and written at any offset.
pub trait Store: BlockRead {
    /// Writes bytes at `offset`, inside the length.
    ///
    /// # Errors
    /// [`Error::OutOfRange`], [`Error::Io`].
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Returns when all that was written is durable.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn sync(&self) -> Result<()>;
}

/// An image file that nobody else edits: it holds an exclusive lock (`flock`) on it.
#[derive(Debug)]
pub struct LockedFile {
    reader: FileReader,
    file: File,
    path: PathBuf,
}

impl LockedFile {
    /// Opens and locks an image.
    ///
    /// # Errors
    /// [`EditError::Locked`] when somebody else has the lock; [`EditError::Block`].
    pub fn open(path: &Path) -> std::result::Result<Self, EditError> {
        let name = path.display().to_string();
        let io = |error| EditError::Block(Error::io("open", path.display().to_string(), error));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(EditError::Locked { path: name }),
            Err(error) => return Err(Error::io("lock", name, error.into()).into()),
        }
        let reader = FileReader::from_file(file.try_clone().map_err(io)?, name)?;
        Ok(Self {
            reader,
            file,
            path: path.to_owned(),
        })
    }

    /// Returns the path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn error(&self, operation: &'static str, error: std::io::Error) -> Error {
        Error::io(operation, self.path.display().to_string(), error)
    }
}

impl BlockRead for LockedFile {
    fn len(&self) -> u64 {
        self.reader.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.reader.read_at(offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        self.reader.run_at(offset)
    }
}

impl Store for LockedFile {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        let len = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let size = self.reader.len();
        if offset.checked_add(len).is_none_or(|end| end > size) {
            return Err(Error::OutOfRange { offset, len, size });
        }
        self.file
            .write_all_at(data, offset)
            .map_err(|error| self.error("write", error))
    }

    fn sync(&self) -> Result<()> {
        self.file
            .sync_data()
            .map_err(|error| self.error("flush", error))
    }
}
