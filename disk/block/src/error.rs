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
    #[error("{path} exists")]
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
    /// A file is not what it was when it was opened.
    #[error("{object} changed while it was read")]
    Changed {
        /// The path, as it was given.
        object: String,
    },
    /// An input cannot be read at any offset.
    #[error("{path} is {kind}, which cannot be read at any offset")]
    NotSeekable {
        /// The path as it was given.
        path: String,
        /// What it is: `a FIFO`, `a directory`.
        kind: &'static str,
    },
    /// The output is a block device, which is overwritten in place and so needs to be meant.
    #[error("{path} is a block device")]
    Device {
        /// The path as it was given.
        path: String,
    },
    /// The output has a fixed size, which does not suffice.
    #[error("{path} has {size} bytes, {needed} are needed")]
    TooSmall {
        /// The path as it was given.
        path: String,
        /// Its size in bytes.
        size: u64,
        /// The size of what shall be written to it, in bytes.
        needed: u64,
    },
    /// What may be kept of changes is used up.
    #[error("the changes would take more than the {limit} bytes they may")]
    Full {
        /// The bytes that they may take.
        limit: u64,
    },
    /// A file that was made without a target is to be published without a name.
    #[error("a file in {folder} has been finished, but has no name")]
    Unnamed {
        /// The folder in which the file was made.
        folder: String,
    },
    /// The structures of an image format are wrong at the place that is read.
    #[error("the {format} image cannot be read")]
    Image {
        /// The format: `qcow2`.
        format: &'static str,
        /// What is wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
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
