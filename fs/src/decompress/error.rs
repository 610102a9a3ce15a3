//! Why a compressed stream cannot be read.

use std::io;

use super::Format;

/// Why a compressed stream cannot be read. It arrives inside an [`io::Error`], whose source it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system could not read the compressed bytes.
    #[error("cannot read the {format} stream after {at} bytes")]
    Read {
        /// The stream's format.
        format: Format,
        /// Compressed bytes read before.
        at: u64,
        /// The reason.
        source: io::Error,
    },
    /// The stream ends in the middle.
    #[error("the {format} stream is cut short: it ends after {at} bytes")]
    Truncated {
        /// The stream's format.
        format: Format,
        /// Compressed bytes that there are.
        at: u64,
    },
    /// The stream contradicts itself.
    #[error("the {format} stream is damaged near byte {at}")]
    Damaged {
        /// The stream's format.
        format: Format,
        /// Compressed bytes decoded before, roughly.
        at: u64,
        /// What the decoder says.
        source: io::Error,
    },
    /// The stream asks for a larger window than allowed.
    #[error("the {format} stream near byte {at} needs more memory than the limit of {limit} bytes")]
    Memory {
        /// The stream's format.
        format: Format,
        /// Compressed bytes decoded before, roughly.
        at: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Something else follows the stream.
    #[error("at byte {at}, after the end of the {format} stream, there is something else")]
    Trailing {
        /// The stream's format.
        format: Format,
        /// Compressed bytes before it.
        at: u64,
    },
    /// The decoder gave up without a word.
    #[error("the {format} decoder failed")]
    Died {
        /// The stream's format.
        format: Format,
    },
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Read { source, .. } => source.kind(),
            Error::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            Error::Memory { .. } => io::ErrorKind::OutOfMemory,
            Error::Died { .. } => io::ErrorKind::Other,
            Error::Damaged { .. } | Error::Trailing { .. } => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}
