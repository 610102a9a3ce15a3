//! What can be wrong with an image, and where.

use std::fmt;

use super::{BlockNo, GroupNo, InodeNo};

/// A place in an image, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Location {
    /// The primary superblock.
    Superblock,
    /// The copies of superblock and group descriptors in a group.
    Backup(GroupNo),
    /// A group: its descriptor, bitmaps or inode table.
    Group(GroupNo),
    /// An inode.
    Inode(InodeNo),
    /// A block of metadata that belongs to an inode: extents, indirect blocks, attributes.
    InodeBlock {
        /// The inode.
        inode: InodeNo,
        /// The block in the image.
        block: BlockNo,
    },
    /// A block of a directory.
    DirectoryBlock {
        /// The directory.
        inode: InodeNo,
        /// The block, counted in the directory.
        block: u64,
    },
    /// An entry of a directory.
    DirectoryEntry {
        /// The directory.
        inode: InodeNo,
        /// The block, counted in the directory.
        block: u64,
        /// The entry's place in the block in bytes.
        offset: u32,
    },
    /// A block of metadata that no single inode owns.
    Block(BlockNo),
    /// A block of the journal, counted from its start.
    Journal {
        /// The block.
        block: u32,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superblock => write!(f, "superblock"),
            Self::Backup(group) => write!(f, "backup in group {}", group.0),
            Self::Group(group) => write!(f, "group {}", group.0),
            Self::Inode(inode) => write!(f, "inode {}", inode.0),
            Self::InodeBlock { inode, block } => {
                write!(f, "inode {}, block {}", inode.0, block.0)
            }
            Self::DirectoryBlock { inode, block } => {
                write!(f, "directory {}, block {block}", inode.0)
            }
            Self::DirectoryEntry {
                inode,
                block,
                offset,
            } => write!(
                f,
                "directory {}, block {block}, entry at byte {offset}",
                inode.0
            ),
            Self::Block(block) => write!(f, "block {}", block.0),
            Self::Journal { block } => write!(f, "journal, block {block}"),
        }
    }
}

/// What is wrong with a structure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A checksum does not match.
    #[error("{what}: the checksum is {found:#x}, the content has {computed:#x}")]
    Checksum {
        /// What it covers.
        what: &'static str,
        /// As it stands there.
        found: u32,
        /// As the content has it.
        computed: u32,
    },
    /// A field has a value that the format does not allow.
    #[error("{field} is {value}, but {rule}")]
    Field {
        /// The field's name in the specification.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What the format demands.
        rule: &'static str,
    },
    /// A count differs from what is there.
    #[error("{what} is {found}, but {counted} are there")]
    Count {
        /// What is counted.
        what: &'static str,
        /// As the count says.
        found: u64,
        /// As it is.
        counted: u64,
    },
    /// A block number lies outside the filesystem or in front of its first group.
    #[error("{field} leads to block {block}, which is outside the filesystem")]
    BlockOutside {
        /// What leads there.
        field: &'static str,
        /// The number.
        block: u64,
    },
    /// An inode number lies outside the filesystem or is reserved.
    #[error("{field} leads to inode {inode}, which {problem}")]
    BadInode {
        /// What leads there.
        field: &'static str,
        /// The number.
        inode: u32,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A block is claimed for something, but holds something else.
    #[error("{what} claims block {block}, which is in use for something else")]
    TakenBlock {
        /// What claims it.
        what: &'static str,
        /// The first such block.
        block: u64,
    },
    /// A bitmap says something else than what is in use.
    #[error("{what} {number} is {}", marked_as(.marked))]
    Marked {
        /// `block` or `inode`.
        what: &'static str,
        /// The first one of the group.
        number: u64,
        /// Whether the bitmap says that it is in use.
        marked: bool,
    },
    /// The bits behind the last block or inode are not all set.
    #[error("the bits behind the end of the {what} are not all set")]
    Padding {
        /// `block bitmap` or `inode bitmap`.
        what: &'static str,
    },
    /// A structure breaks a rule that is not about one value.
    #[error("{0}")]
    Structure(&'static str),
    /// A POSIX ACL is malformed.
    #[error("{0}")]
    Acl(String),
}

fn marked_as(marked: &bool) -> &'static str {
    if *marked {
        "marked as in use, but is not"
    } else {
        "in use, but not marked"
    }
}

impl Damage {
    /// Makes the damage of a field with a value outside the format.
    pub(crate) fn field(field: &'static str, value: impl Into<u64>, rule: &'static str) -> Self {
        Self::Field {
            field,
            value: value.into(),
            rule,
        }
    }
}
