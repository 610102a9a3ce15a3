//! Why an image cannot be resized.

use crate::ext4::{EditError, ReadError};

/// Why an image cannot be resized; nothing has been written then, unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// The image cannot be opened, read or written as for an edit.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// What is in use reaches beyond the size.
    #[error("{wanted} bytes are too few: what is in use needs {smallest}")]
    TooSmall {
        /// The size asked for in bytes.
        wanted: u64,
        /// The smallest possible size from there on, in bytes.
        smallest: u64,
    },
    /// The group descriptors of such a size have no room.
    #[error("{wanted} bytes are too many: the room for group descriptors ends at {limit}")]
    Reserve {
        /// The size asked for in bytes.
        wanted: u64,
        /// The largest possible size in bytes.
        limit: u64,
    },
    /// The format ends before the size.
    #[error("{wanted} bytes are too many: {reason} end at {limit}")]
    TooLarge {
        /// The size asked for in bytes.
        wanted: u64,
        /// The largest possible size in bytes.
        limit: u64,
        /// What has an end.
        reason: &'static str,
    },
    /// The device that holds the filesystem is smaller than the size asked for.
    #[error("{wanted} bytes are too many: the device has {len}")]
    Device {
        /// The size asked for in bytes.
        wanted: u64,
        /// The device's length in bytes.
        len: u64,
    },
    /// The image holds something else behind the filesystem, which would be overwritten or cut off.
    #[error("the filesystem ends at byte {end}, but the image has data at byte {offset}")]
    Trailing {
        /// Where the filesystem ends.
        end: u64,
        /// Where the first byte that is not zero stands.
        offset: u64,
    },
    /// The filesystem is laid out in a way that is not known.
    #[error("the filesystem has {what}, which cannot be resized")]
    Layout {
        /// What is not known.
        what: &'static str,
    },
    /// The change takes more memory than it may.
    #[error("the change of {blocks} blocks of metadata takes more memory than it may")]
    Memory {
        /// Blocks that change.
        blocks: u64,
    },
}

impl From<ReadError> for ResizeError {
    fn from(error: ReadError) -> Self {
        Self::Edit(error.into())
    }
}

impl From<forger_block::Error> for ResizeError {
    fn from(error: forger_block::Error) -> Self {
        Self::Edit(error.into())
    }
}

pub(super) type Result<T> = std::result::Result<T, ResizeError>;
