//! The two output contracts: strictly forward, and placed.

use bytes::Bytes;

use crate::Result;

/// A sink that goes strictly forward and takes holes.
///
/// Nothing is published before [`finish`](Self::finish); dropping an unfinished sink leaves nothing
/// under the final name (a pipe's reader has seen what was sent, of course).
pub trait BlockSink: Send {
    /// Returns how many bytes have been written and skipped so far.
    fn position(&self) -> u64;

    /// Appends bytes.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io), and [`Error::OutOfRange`](crate::Error::OutOfRange) past the sink's limit.
    fn write(&mut self, data: &[u8]) -> Result<()>;

    /// Appends a hole of `len` bytes, which reads as zeros.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    fn skip(&mut self, len: u64) -> Result<()>;

    /// Completes and publishes the output; its length is [`position`](Self::position).
    ///
    /// # Errors
    /// As [`write`](Self::write); nothing is published then.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A sink that takes bytes at any offset, every byte at most once.
///
/// What was never written reads as zeros. A range may be [punched](Self::punch) after it was
/// written, whole or in part; it reads as zeros from then on and is not written again. Owned
/// [`Bytes`] let an implementor hand them to another thread without a copy.
pub trait PlacedSink: Send {
    /// Writes bytes at `offset`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); an implementor that keeps track returns
    /// [`Error::Overlap`](crate::Error::Overlap) for a byte written twice.
    fn write_at(&mut self, offset: u64, data: Bytes) -> Result<()>;

    /// Takes back what was written to a range: it holds zeros from then on, and the old bytes are
    /// nowhere in the output. Where nothing was written, nothing happens.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    fn punch(&mut self, offset: u64, len: u64) -> Result<()>;

    /// Completes the output with a total length of `len` bytes and publishes it.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at), and [`Error::OutOfRange`](crate::Error::OutOfRange) when
    /// bytes were written beyond `len`; nothing is published then.
    fn finish(self: Box<Self>, len: u64) -> Result<()>;
}
