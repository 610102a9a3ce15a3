//! Why an image cannot be edited.

use crate::ext4::ReadError;

/// Why an image cannot be edited; nothing has been written then, unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The image cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Reading or writing failed. During a commit the image may hold the whole change in its journal.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// Somebody else has locked the image.
    #[error("{path} is locked by another program")]
    Locked {
        /// The path as it was given.
        path: String,
    },
    /// The filesystem is in a state in which it must not be changed.
    #[error("the filesystem {state}")]
    State {
        /// What is the matter.
        state: &'static str,
        /// What helps: a command, to be followed by the image's path.
        remedy: &'static str,
    },
    /// The filesystem has features that cannot be kept right.
    #[error("the filesystem has features that cannot be edited: {}", names.join(", "))]
    Features {
        /// Their names, as `tune2fs -O` takes them where it knows them.
        names: Vec<String>,
    },
    /// A path does not lead to what the operation needs.
    #[error("{path}: {problem}")]
    Path {
        /// The path, lossily decoded.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file or directory has a form that cannot be changed.
    #[error("{path}: {what} cannot be edited")]
    Unsupported {
        /// The path or the inode, lossily decoded.
        path: String,
        /// What it is.
        what: &'static str,
    },
    /// A value cannot be represented in this filesystem.
    #[error("{field} {value}: {rule}")]
    Value {
        /// What it is the value of.
        field: &'static str,
        /// The value.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// Extended attributes have no place.
    #[error("{path}")]
    Xattr {
        /// The path, lossily decoded.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is not enough room.
    #[error("the filesystem has no free {what} left")]
    Full {
        /// Blocks or inodes.
        what: &'static str,
    },
    /// Metadata contradicts itself.
    #[error("the filesystem is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// The change does not fit the journal, or there is none, and the image has no path at which a
    /// copy could take its place.
    #[error(
        "the change of {blocks} blocks does not fit the journal, and a copy cannot replace the image"
    )]
    NoJournal {
        /// Blocks of metadata that change.
        blocks: u64,
    },
    /// The change must be made on a copy, for which there is no room.
    #[error("a copy of the image needs {needed} bytes, {free} are free in its folder")]
    NoRoomForCopy {
        /// Bytes needed.
        needed: u64,
        /// Bytes free.
        free: u64,
    },
    /// The change must be made on a copy, which could take one of the image's names only.
    #[error("the image has {names} names (hard links), and a copy could take one of them only")]
    Names {
        /// How many names.
        names: u64,
    },
    /// An operation failed half-way; the transaction can only be dropped.
    #[error("an earlier edit failed half-way, so that nothing can be committed")]
    Broken,
}

pub(super) type Result<T> = std::result::Result<T, EditError>;

/// Makes the error for metadata that contradicts itself.
pub(super) fn damaged(what: impl Into<String>) -> EditError {
    EditError::Damaged { what: what.into() }
}
