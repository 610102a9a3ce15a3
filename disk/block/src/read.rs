//! Reading at any offset.

use std::fmt::Debug;
use std::sync::Arc;

use crate::{Error, Result};

/// A run of equal nature: all data, or all hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// So many bytes may hold anything.
    Data(u64),
    /// So many bytes read as zeros and take no space.
    Hole(u64),
}

impl Run {
    /// Returns the run's length in bytes.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Data(len) | Self::Hole(len) => len,
        }
    }

    /// Tells whether the run has no bytes.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

/// Bytes that can be read at any offset, by several threads at once.
///
/// See the crate's contract for ranges, holes and errors.
pub trait BlockRead: Debug + Send + Sync {
    /// Returns the length in bytes.
    fn len(&self) -> u64;

    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when the range does not lie inside the object; [`Error::Io`].
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Returns the run that starts at `offset`: its nature, and how far it goes at least.
    ///
    /// The run is never empty before the end and ends at [`len`](Self::len) at the latest; at the
    /// end it is `Run::Hole(0)`. Two runs of the same nature may follow each other.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `offset` is beyond the end; [`Error::Io`].
    fn run_at(&self, offset: u64) -> Result<Run> {
        match check_range(offset, 0, self.len()) {
            Ok(()) if offset == self.len() => Ok(Run::Hole(0)),
            Ok(()) => Ok(Run::Data(self.len() - offset)),
            Err(error) => Err(error),
        }
    }

    /// Tells whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all bytes where they are in memory, so that nobody has to copy them.
    fn in_memory(&self) -> Option<bytes::Bytes> {
        None
    }
}

impl<T: BlockRead + ?Sized> BlockRead for Arc<T> {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        (**self).read_at(offset, buf)
    }

    fn run_at(&self, offset: u64) -> Result<Run> {
        (**self).run_at(offset)
    }

    fn in_memory(&self) -> Option<bytes::Bytes> {
        (**self).in_memory()
    }
}

/// Checks that `len` bytes at `offset` lie inside an object of `size` bytes.
///
/// # Errors
/// [`Error::OutOfRange`] when they do not.
pub fn check_range(offset: u64, len: u64, size: u64) -> Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::OutOfRange { offset, len, size }),
    }
}

/// Returns the run at `offset`, at most `limit` bytes of it; never empty while `limit` is not 0.
///
/// Callers rely on progress, so an implementor that breaks the contract with an empty run costs a
/// hole, not a hang.
///
/// # Errors
/// Those of [`BlockRead::run_at`].
pub fn run_within(source: &dyn BlockRead, offset: u64, limit: u64) -> Result<Run> {
    Ok(match source.run_at(offset)? {
        Run::Data(0) | Run::Hole(0) => Run::Data(limit),
        Run::Data(len) => Run::Data(len.min(limit)),
        Run::Hole(len) => Run::Hole(len.min(limit)),
    })
}

/// Returns `len` as a length of memory, at most `room`.
pub(crate) fn clip(len: u64, room: usize) -> usize {
    usize::try_from(len).map_or(room, |len| len.min(room))
}
