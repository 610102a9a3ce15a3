//! What goes wrong with the store.

use std::io;
use std::path::Path;

/// What goes wrong with the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was done.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Something in it is being used.
    #[error("something in {folder} is being used")]
    Busy {
        /// The store's folder.
        folder: String,
    },
}

impl Error {
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.display().to_string(),
            source,
        }
    }
}
