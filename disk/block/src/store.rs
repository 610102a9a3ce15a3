//! Reading and writing at any offset, in place.

use std::io::IoSlice;
use std::sync::Arc;

use crate::read::check_range;
use crate::zeros::each_zeros;
use crate::{BlockRead, Result};

/// A block device: bytes that can be read and written at any offset, by several threads at once.
///
/// See the crate's contract. Everything that serves a disk or changes one in place takes this.
pub trait BlockStore: BlockRead {
    /// Writes bytes at `offset`, inside the length.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange), [`Error::Full`](crate::Error::Full),
    /// [`Error::Io`](crate::Error::Io).
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Writes bytes that lie apart in memory, one part behind the other from `offset` on.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn write_parts_at(&self, mut offset: u64, parts: &mut [IoSlice<'_>]) -> Result<()> {
        for part in parts {
            self.write_at(offset, part)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Makes zeros of a range inside the length, and may give its room back: nothing of what was there
    /// can be read any more.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        check_range(offset, len, self.len())?;
        let mut at = offset;
        each_zeros(len, |zeros| {
            self.write_at(at, zeros)?;
            at += zeros.len() as u64;
            Ok(())
        })
    }

    /// Says that nobody wants a range inside the length any more: it reads as zeros, or as before.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        self.erase(offset, len)
    }

    /// Returns when all that was written before is as durable as it will be.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn sync(&self) -> Result<()>;
}

impl<T: BlockStore + ?Sized> BlockStore for Arc<T> {
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        (**self).write_at(offset, data)
    }

    fn write_parts_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> Result<()> {
        (**self).write_parts_at(offset, parts)
    }

    fn erase(&self, offset: u64, len: u64) -> Result<()> {
        (**self).erase(offset, len)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<()> {
        (**self).discard(offset, len)
    }

    fn sync(&self) -> Result<()> {
        (**self).sync()
    }
}
