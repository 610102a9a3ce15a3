//! Why a tree cannot be written into a folder.

use std::io;

use rustix::io::Errno;

use super::Kept;
use crate::tree::shown;

/// Why a tree cannot be written into a folder of the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system refused something.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The path below the folder, lossily decoded.
        path: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A content cannot be read.
    #[error("{path}")]
    Content {
        /// The path below the folder, lossily decoded.
        path: String,
        /// Why.
        source: forger_block::Error,
    },
    /// A fact cannot be kept, which [`strict`](super::WriteOptions::strict) refuses.
    #[error("{path}: {what} cannot be set")]
    NotKept {
        /// The path below the folder, lossily decoded.
        path: String,
        /// What it is.
        what: Kept,
        /// The operating system's reason.
        source: io::Error,
    },
}

impl WriteError {
    pub(super) fn io(operation: &'static str, path: &[u8], errno: Errno) -> Self {
        Self::Io {
            operation,
            path: shown(path),
            source: errno.into(),
        }
    }
}
