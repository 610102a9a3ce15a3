//! An open file and its name: exact reads and writes at offsets, holes and zeros.

use std::fs::File;
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, FallocateFlags, copy_file_range, fadvise, fallocate};
use rustix::io::{Errno, pwritev, retry_on_intr};

use crate::read::check_range;
use crate::zeros::each_zeros;
use crate::{Error, MAX_LEN, Result};

/// So much is written by one call, in bytes. For a larger one the kernel looks for page cache in
/// larger runs, which are rarer and colder: calls of 1 MiB took up to twice the time.
const WRITE: usize = 64 << 10;

/// Writes bytes that lie apart in memory to a file, one part behind the other from `offset` on.
///
/// # Errors
/// Those of `pwritev(2)`; some of the parts may be written then.
pub fn write_parts_at(
    file: &File,
    mut offset: u64,
    mut parts: &mut [IoSlice<'_>],
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match retry_on_intr(|| pwritev(file, parts, offset))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => {
                offset += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
        }
    }
    Ok(())
}

/// An open file, with what to call it in messages.
#[derive(Debug)]
pub(crate) struct Positioned {
    pub(crate) file: File,
    pub(crate) name: String,
}

impl Positioned {
    pub(crate) fn new(file: File, name: impl Into<String>) -> Self {
        Self {
            file,
            name: name.into(),
        }
    }

    /// Fills `buf` with the bytes at `offset`; an end before that is an error of the kind
    /// `UnexpectedEof`.
    pub(crate) fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        check_range(offset, buf.len() as u64, MAX_LEN)?;
        self.file
            .read_exact_at(buf, offset)
            .map_err(|error| self.error("read", error))
    }

    pub(crate) fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        check_range(offset, data.len() as u64, MAX_LEN)?;
        let mut at = offset;
        for piece in data.chunks(WRITE) {
            self.file
                .write_all_at(piece, at)
                .map_err(|error| self.error("write", error))?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    pub(crate) fn write_parts_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> Result<()> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        check_range(offset, len, MAX_LEN)?;
        write_parts_at(&self.file, offset, parts).map_err(|error| self.error("write", error))
    }

    /// Has the kernel copy a range of another file to the same place; returns where that ends, because
    /// it may not be possible, or not all at once.
    pub(crate) fn copy_from(&self, from: &File, range: Range<u64>) -> Result<u64> {
        let (mut source, mut at) = (range.start, range.start);
        while at < range.end {
            let left = usize::try_from(range.end - at).unwrap_or(usize::MAX);
            let copied = retry_on_intr(|| {
                copy_file_range(from, Some(&mut source), &self.file, Some(&mut at), left)
            });
            match copied {
                Ok(0)
                | Err(
                    Errno::XDEV
                    | Errno::OPNOTSUPP
                    | Errno::NOSYS
                    | Errno::INVAL
                    | Errno::PERM
                    | Errno::TXTBSY,
                ) => break,
                Ok(_) => {}
                Err(error) => return Err(self.error("write", error.into())),
            }
        }
        Ok(at)
    }

    pub(crate) fn len(&self) -> Result<u64> {
        match self.file.metadata() {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) => Err(self.error("inspect", error)),
        }
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        check_range(0, len, MAX_LEN)?;
        self.file
            .set_len(len)
            .map_err(|error| self.error("resize", error))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(|error| self.error("flush", error))
    }

    /// Asks the kernel to start writing a range to the disk, and waits for nothing.
    pub(crate) fn start_writing_back(&self, range: Range<u64>) {
        let Some(len) = NonZeroU64::new(range.end.saturating_sub(range.start)) else {
            return;
        };
        // On dirty pages the advice means just that; they stay in the cache. It is a hint, so its
        // failure is none.
        let _ = fadvise(&self.file, range.start, Some(len), Advice::DontNeed);
    }

    /// Makes a range of a regular file a hole, or zeros where the filesystem has no holes; its
    /// length stays.
    pub(crate) fn punch(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, MAX_LEN)?;
        if len == 0 || self.allocate(FallocateFlags::PUNCH_HOLE, offset, len)? {
            return Ok(());
        }
        let size = self.len()?;
        let end = size.min(offset + len);
        self.write_zeros(offset, end.saturating_sub(offset))
    }

    /// Makes a range of a block device zeros by the fastest way it has.
    pub(crate) fn zero(&self, offset: u64, len: u64) -> Result<()> {
        /// What every device's sectors divide, in bytes.
        const SECTOR: u64 = 4096;
        /// So much at a time, so that no call takes for ever.
        const STEP: u64 = 1 << 30;
        check_range(offset, len, MAX_LEN)?;
        let end = offset + len;
        let first = offset.next_multiple_of(SECTOR).min(end);
        let last = (end / SECTOR * SECTOR).max(first);
        self.write_zeros(offset, first - offset)?;
        let mut at = first;
        while at < last {
            let step = STEP.min(last - at);
            let done = self.allocate(FallocateFlags::PUNCH_HOLE, at, step)?
                || self.allocate(FallocateFlags::ZERO_RANGE, at, step)?;
            if !done {
                self.write_zeros(at, step)?;
            }
            at += step;
        }
        self.write_zeros(last, end - last)
    }

    fn write_zeros(&self, offset: u64, len: u64) -> Result<()> {
        let mut at = offset;
        each_zeros(len, |zeros| {
            self.write_at(at, zeros)?;
            at += zeros.len() as u64;
            Ok(())
        })
    }

    /// Calls fallocate; false where there is no such thing.
    fn allocate(&self, how: FallocateFlags, offset: u64, len: u64) -> Result<bool> {
        let how = how | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| fallocate(&self.file, how, offset, len)) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => Ok(false),
            Err(error) => Err(self.error("make a hole in", error.into())),
        }
    }

    pub(crate) fn error(&self, operation: &'static str, error: io::Error) -> Error {
        Error::io(operation, &self.name, error)
    }
}
