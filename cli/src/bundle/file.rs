//! The file that a bundle is written to.

use std::fs::File;
use std::os::unix::fs::FileExt;

use forger_block::{Error, PendingFile, Result};

/// A file that is written and read back at any offset, by its owner alone.
///
/// A bundle is not written front to back: what stands at its start is known last. Whoever publishes
/// the file does so after [`make`](super::make()) returned, so an unnamed file serves well.
pub trait BundleFile: Send + Sync {
    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// [`Error::Io`], also when the file is shorter.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()>;

    /// Writes all of `data` at `offset`; the file grows as needed.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()>;

    /// Cuts the file to `len` bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn set_len(&self, len: u64) -> Result<()>;
}

impl BundleFile for PendingFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        Self::read_at(self, offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        Self::write_at(self, offset, data)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        Self::set_len(self, len)
    }
}

impl BundleFile for File {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read_exact_at(buf, offset)
            .map_err(|source| Error::io("read", "the bundle", source))
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.write_all_at(data, offset)
            .map_err(|source| Error::io("write", "the bundle", source))
    }

    fn set_len(&self, len: u64) -> Result<()> {
        Self::set_len(self, len).map_err(|source| Error::io("cut", "the bundle", source))
    }
}
