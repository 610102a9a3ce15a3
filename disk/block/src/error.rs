//! The error every trait of this crate returns.

use std::io;

/// The result of a block operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a block operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on the named object.
    #[error("cannot {operation} {object}")]
    Io {
        /// What was tried, as a verb: `read`, `write`, `create`.
        operation: &'static str,
        /// What it was tried on: a path, `standard output`, `memory`.
        object: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A range reaches beyond the end of the object.
    #[error("bytes {offset}..+{len} lie outside an object of {size} bytes")]
    OutOfRange {
        /// Start of the range in bytes.
        offset: u64,
        /// Length of the range in bytes.
        len: u64,
        /// Length of the object in bytes.
        size: u64,
    },
    /// Two parts of one image claim the same bytes.
    #[error("bytes {offset}..+{len} are already taken")]
    Overlap {
        /// Start of the second claim in bytes.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// The output exists and may not be replaced.
    #[error("{path} exists; --force replaces it")]
    Exists {
        /// The path as it was given.
        path: String,
    },
    /// The output is of a kind that cannot be written.
    #[error("{path} is {kind}, which cannot be an output")]
    NotAnOutput {
        /// The path as it was given.
        path: String,
        /// What it is: `a directory`, `a socket`.
        kind: &'static str,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Wraps an operating-system error with what was tried on what.
    pub fn io(operation: &'static str, object: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            operation,
            object: object.into(),
            source,
        }
    }
}
