//! Where an image is edited: reads and writes at any offset, and a lock.

use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

pub use forger_block::BlockStore as Store;
use forger_block::{
    BlockRead, Error, FileReader, Result, Run, check_range, is_zero, write_parts_at,
};
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use rustix::io::{Errno, retry_on_intr};

use super::EditError;

/// So much is written by one call, in bytes.
pub(super) const CALL: usize = 64 << 10;
/// Zeros to write from.
pub(super) static ZEROS: [u8; CALL] = [0; CALL];
/// Ranges from this length on are erased by holes, which give their room back, in bytes. Many small
/// holes would tear the image file to pieces, and each can cost milliseconds where the filesystem
/// below tells the disk of it at once (`discard`).
const HOLE: u64 = 1 << 20;
/// When so much has been written it begins to be made durable, in bytes, so that the disk works while
/// the rest is written.
const BEHIND: u64 = 8 << 20;

/// An image file that nobody else edits: it holds an exclusive lock (`flock`) on it.
#[derive(Debug)]
pub struct LockedFile {
    reader: FileReader,
    file: File,
    path: PathBuf,
    behind: Mutex<Behind>,
}

/// What is made durable behind the writes.
#[derive(Debug, Default)]
struct Behind {
    /// Bytes that were written since it last began.
    written: u64,
    running: Option<JoinHandle<std::io::Result<()>>>,
}

impl Behind {
    /// Waits for what was begun.
    fn finish(&mut self) -> std::io::Result<()> {
        self.written = 0;
        match self.running.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(std::io::Error::other("the thread that flushes panicked")),
            None => Ok(()),
        }
    }
}

/// The lock ends with the last handle, which the thread may have.
impl Drop for Behind {
    fn drop(&mut self) {
        let _ = self.finish();
    }
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
            .custom_flags(i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0))
            .open(path)
            .map_err(io)?;
        let locked = || EditError::Locked { path: name.clone() };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(locked()),
            Err(error) => return Err(Error::io("lock", name, error.into()).into()),
        }
        // A copy that took the name while this waited is the image, and not what was opened.
        if !same_file(&file, path).map_err(io)? {
            return Err(locked());
        }
        let reader = FileReader::from_file(file.try_clone().map_err(io)?, name)?;
        Ok(Self {
            reader,
            file,
            path: path.to_owned(),
            behind: Mutex::default(),
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

    /// Makes a regular file longer; what is added is a hole.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn grow(&mut self, len: u64) -> Result<()> {
        let longer = || -> std::io::Result<File> {
            if len > self.file.metadata()?.len() {
                self.file.set_len(len)?;
            }
            self.file.try_clone()
        };
        let file = longer().map_err(|error| self.error("resize", error))?;
        self.reader = FileReader::from_file(file, self.path.display().to_string())?;
        Ok(())
    }

    /// Tells whether the path still leads to the file that was opened.
    pub(super) fn in_place(&self) -> Result<bool> {
        same_file(&self.file, &self.path).map_err(|error| self.error("inspect", error))
    }

    /// Calls fallocate for what becomes zeros; false where there is no such thing.
    fn allocate(&self, how: FallocateFlags, offset: u64, len: u64) -> Result<bool> {
        let how = how | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file, how, offset, len)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => Ok(false),
            Err(error) => Err(self.error("make zeros in", error.into())),
        }
    }

    /// Writes zeros over what is not zero.
    fn overwrite(&self, offset: u64, len: u64) -> Result<()> {
        let mut buffer = [0; CALL];
        let (mut at, mut left) = (offset, len);
        while left > 0 {
            let piece = usize::try_from(left).map_or(CALL, |left| left.min(CALL));
            self.read_at(at, &mut buffer[..piece])?;
            if !is_zero(&buffer[..piece]) {
                self.write_at(at, &ZEROS[..piece])?;
            }
            let done = u64::try_from(piece).unwrap_or(left);
            (at, left) = (at + done, left - done);
        }
        Ok(())
    }

    /// Notes that so many bytes were written, and begins to make them durable when they are many.
    fn written(&self, len: u64) -> Result<()> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind.written = behind.written.saturating_add(len);
        let busy = |running: &JoinHandle<_>| !running.is_finished();
        if behind.written < BEHIND || behind.running.as_ref().is_some_and(busy) {
            return Ok(());
        }
        behind
            .finish()
            .map_err(|error| self.error("flush", error))?;
        // Without a thread everything is flushed in the end.
        behind.running = self.file.try_clone().ok().and_then(|file| {
            let thread = std::thread::Builder::new();
            thread.spawn(move || file.sync_data()).ok()
        });
        Ok(())
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
        check_range(offset, len, self.reader.len())?;
        let mut at = offset;
        for piece in data.chunks(CALL) {
            self.file
                .write_all_at(piece, at)
                .map_err(|error| self.error("write", error))?;
            at += u64::try_from(piece.len()).unwrap_or(0);
        }
        self.written(len)
    }

    fn write_parts_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> Result<()> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        check_range(offset, len, self.reader.len())?;
        write_parts_at(&self.file, offset, parts).map_err(|error| self.error("write", error))?;
        self.written(len)
    }

    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        let (hole, zeros) = (FallocateFlags::PUNCH_HOLE, FallocateFlags::ZERO_RANGE);
        let ways = if len < HOLE {
            [zeros, hole]
        } else {
            [hole, zeros]
        };
        for way in ways {
            if self.allocate(way, offset, len)? {
                return Ok(());
            }
        }
        self.overwrite(offset, len)
    }

    fn sync(&self) -> Result<()> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        behind
            .finish()
            .and_then(|()| self.file.sync_data())
            .map_err(|error| self.error("flush", error))
    }
}

fn same_file(file: &File, path: &Path) -> std::io::Result<bool> {
    let (open, there) = (file.metadata()?, std::fs::metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}
