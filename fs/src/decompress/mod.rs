//! Compressed input: gzip, zstd, xz and bzip2, told apart by their first bytes.
//!
//! [`open`] looks at the first bytes of a stream. What is compressed is decompressed by a thread of
//! its own, so that it overlaps with what is done with the result; what is not passes through, or by such
//! a thread where that is [wanted](Options::read_ahead).
//!
//! ```
//! use std::io::Read;
//!
//! use forger_fs::decompress::{self, Format, Options};
//!
//! let input = &b"plain bytes"[..];
//! let mut stream = decompress::open(input, &Options::default())?;
//! assert_eq!(stream.format(), Format::Plain);
//! let mut bytes = Vec::new();
//! stream.read_to_end(&mut bytes)?;
//! assert_eq!(bytes, b"plain bytes");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Any number of members (frames, streams) may follow each other, as their formats allow it, and
//! zeros may follow the last of gzip, xz and bzip2; anything else is an error. There is no limit on how much comes out:
//! contents are streamed, and only memory is bounded. The thread's buffers take 3 MiB; the decoder
//! adds its window, for which [`Options`] has limits.
mod error;
mod format;
mod input;
mod member;
mod stream;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use format::{Format, HEAD, detect};
pub use stream::{Stream, open};

/// Limits of decompression, and who reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The largest window of a zstd frame in bytes: 1 KiB to 2 GiB, rounded down to a power of two.
    ///
    /// 128 MiB by default, what `zstd -d` takes without `--long`.
    pub zstd_window: u64,
    /// The most memory that the dictionary of an xz block may take, in bytes.
    ///
    /// 256 MiB by default; `xz -9` needs 65 MiB.
    pub xz_memory: u64,
    /// Whether what is not compressed is read by a thread of its own, too: for whoever has more to do with it
    /// than to write it down.
    ///
    /// It is not by default.
    pub read_ahead: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            zstd_window: 128 << 20,
            xz_memory: 256 << 20,
            read_ahead: false,
        }
    }
}
