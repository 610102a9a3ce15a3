//! The file that a bundle is written to.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// A file that is written and read back at any offset, by its owner alone.
///
/// A bundle is not written front to back: what stands at its start is known last. Whoever publishes
/// the file does so after [`make`](super::make) returned, so an unnamed file serves well.
pub trait BundleFile: Send + Sync {
    /// Fills `buf` with the bytes at `offset`.
    ///
    /// # Errors
    /// The operating system's; `UnexpectedEof` when the file is shorter.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `data` at `offset`; a gap before it reads as zeros.
    ///
    /// # Errors
    /// The operating system's.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
}

impl BundleFile for File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, data, offset)
    }
}
