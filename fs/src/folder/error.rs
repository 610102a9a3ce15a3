//! Why a folder cannot be taken as it is.

use std::io;

/// Why a folder of the host cannot be a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on an entry.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The entry's path on the host, lossily decoded.
        path: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// An entry is of a kind that no filesystem image has.
    #[error("{path} is neither file, folder, symlink, device, fifo nor socket")]
    UnknownKind {
        /// The entry's path on the host, lossily decoded.
        path: String,
    },
    /// What shall be one file of the source is none.
    #[error("{path} is neither a file nor a folder")]
    NotAFile {
        /// Its path on the host, lossily decoded.
        path: String,
    },
    /// An entry is not the same as a moment ago.
    #[error("{path} changed while it was read: {what}")]
    Changed {
        /// The entry's path on the host, lossily decoded.
        path: String,
        /// What is different.
        what: &'static str,
    },
}
