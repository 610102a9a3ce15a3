//! Why an image cannot be read.

use crate::ext4::damage::{Damage, Location};
use crate::ext4::{BlockNo, InodeNo};

/// Why an ext2, ext3 or ext4 image cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading the image's bytes failed.
    #[error(transparent)]
    Block(#[from] forger_block::Error),
    /// The image does not hold such a filesystem.
    #[error("no ext2, ext3 or ext4 filesystem: {reason}")]
    NotExt {
        /// What is there instead.
        reason: String,
    },
    /// The filesystem uses incompatible features that are not known.
    #[error("the filesystem uses features that cannot be read: {names}")]
    Features {
        /// Their names, or `incompat 0x…` for those without.
        names: String,
    },
    /// The filesystem uses something that is known, but cannot be read.
    #[error("{location}: {what} cannot be read")]
    Unsupported {
        /// Where it was found.
        location: Location,
        /// What it is.
        what: &'static str,
    },
    /// A structure is damaged.
    #[error("{location}")]
    Corrupt {
        /// Where it stands.
        location: Location,
        /// What is wrong with it.
        #[source]
        damage: Damage,
    },
    /// Nothing has the name.
    #[error("{path} does not exist")]
    NotFound {
        /// The path as far as it was followed, lossily decoded.
        path: String,
    },
    /// The path leads through something that is no directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// The path as far as it was followed, lossily decoded.
        path: String,
    },
    /// The inode is of another kind than the operation needs.
    #[error("inode {} is not {expected}", .inode.0)]
    WrongKind {
        /// The inode.
        inode: InodeNo,
        /// What was needed, with an article.
        expected: &'static str,
    },
    /// A path leads through more than 40 symlinks.
    #[error("{path}: more than 40 symlinks")]
    TooManySymlinks {
        /// The path, lossily decoded.
        path: String,
    },
    /// What was to be read takes more memory than allowed.
    #[error("{what} takes more than {limit} bytes of memory")]
    Memory {
        /// What was to be read.
        what: &'static str,
        /// The limit in bytes.
        limit: u64,
    },
    /// An entry has no place in a tree.
    #[error("{path}")]
    Tree {
        /// The entry's path, lossily decoded.
        path: String,
        /// Why.
        source: crate::tree::Error,
    },
}

impl ReadError {
    /// Makes the error for a damage at a place.
    pub(crate) fn corrupt(location: Location, damage: Damage) -> Self {
        Self::Corrupt { location, damage }
    }

    /// Makes the error for a damage of an inode.
    pub(crate) fn inode(inode: InodeNo, damage: Damage) -> Self {
        Self::corrupt(Location::Inode(inode), damage)
    }

    /// Makes the error for a damage of a block of metadata that belongs to an inode.
    pub(crate) fn inode_block(inode: InodeNo, block: BlockNo, damage: Damage) -> Self {
        Self::corrupt(Location::InodeBlock { inode, block }, damage)
    }
}
