//! Reading ext2, ext3 and ext4 images.
//!
//! An [`Image`] is opened over any [`BlockRead`]: a file, a partition, a plan that nobody has written.
//! Every structure is validated and its checksum verified before it is used; a journal that was not
//! replayed is replayed in memory, and the image is never written. What is read is bounded by what is
//! really there: no field of a hostile image makes the reader loop, or allocate beyond the
//! structure's own size.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod blocks;
mod content;
mod directory;
mod directory_block;
mod error;
mod extents;
pub(crate) mod group;
mod indirect;
mod inode;
mod inode_bytes;
mod journal;
mod log;
mod lookup;
mod map;
mod orphan;
mod records;
mod replayed;
mod superblock;
mod table;
mod tree;
mod walk;
mod xattr;

use std::sync::Arc;

use forger_block::BlockRead;

pub use directory::DirectoryEntry;
pub use error::ReadError;
pub use inode::{FileType, Inode};
pub use map::{Map, Mapped};
pub use superblock::Superblock;
pub use walk::{Step, Walk};

pub(crate) use self::blocks::Blocks;
pub(crate) use self::content::{inline_parts, inline_size, read_all};
pub(crate) use self::directory::{check_name, expect_directory, is_dot};
pub(crate) use self::directory_block::{
    BlockKind, check_sum as check_block_sum, count_limit, kind as block_kind,
};
pub(crate) use self::extents::{header as node_header, leaf_entries as node_entries};
pub(crate) use self::group::{GroupDesc, parse as parse_descriptor};
pub(crate) use self::inode_bytes::Bytes;
pub(crate) use self::log::check_superblock as check_journal_superblock;
pub(crate) use self::lookup::{index_entries, max_levels as max_index_levels, root_info};
pub(crate) use self::map::{Access, Visitor};
pub(crate) use self::records::{Record, Records};
pub(crate) use self::superblock::DescriptorSum;
pub(crate) use self::table::for_each_inode;
pub(crate) use self::xattr::{Entry as Attribute, in_block, in_inode};

use self::journal::Journal;
use self::replayed::Replayed;
use super::InodeNo;
use super::damage::{Damage, Location};
use super::superblock as raw;

/// An ext2, ext3 or ext4 filesystem that is read.
#[derive(Debug)]
pub struct Image {
    superblock: Superblock,
    blocks: Blocks,
    replayed: bool,
}

impl Image {
    /// Opens a filesystem; replays its journal in memory where that is needed.
    ///
    /// # Errors
    /// [`ReadError::NotExt`] for something else, [`ReadError::Features`] for features that cannot be
    /// read, [`ReadError::Unsupported`] for journals that cannot be replayed, and
    /// [`ReadError::Corrupt`] for a damaged superblock or journal.
    pub fn open(source: Arc<dyn BlockRead>) -> Result<Self, ReadError> {
        let superblock = read_superblock(&*source)?;
        let blocks = Blocks::new(Arc::clone(&source), superblock.block_len());
        if !superblock.needs_recovery() {
            return Ok(Self {
                superblock,
                blocks,
                replayed: false,
            });
        }
        let number = superblock.journal().ok_or(ReadError::Unsupported {
            location: Location::Superblock,
            what: "a journal on another device",
        })?;
        let access = Access {
            superblock: &superblock,
            blocks: &blocks,
        };
        let patches = Journal::open(access, number)?.replay()?;
        let replayed = Replayed::new(source, superblock.block_size(), patches);
        let source: Arc<dyn BlockRead> = Arc::new(replayed);
        let superblock = read_superblock(&*source)?;
        Ok(Self {
            blocks: Blocks::new(source, superblock.block_len()),
            superblock,
            replayed: true,
        })
    }

    /// Returns what the superblock says.
    #[must_use]
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Tells whether a journal was replayed in memory.
    #[must_use]
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// Returns the block where the log of the journal starts; 0 is a clean journal.
    pub(crate) fn journal_start(&self, number: InodeNo) -> Result<u32, ReadError> {
        Ok(Journal::open(self.access(), number)?.start())
    }

    /// Returns how many filesystems use the journal, as it says.
    pub(crate) fn journal_users(&self, number: InodeNo) -> Result<u32, ReadError> {
        Ok(Journal::open(self.access(), number)?.users())
    }

    /// Returns the image's bytes as they are after the journal is replayed.
    #[must_use]
    pub fn source(&self) -> &Arc<dyn BlockRead> {
        self.blocks.source()
    }
}

pub(crate) fn read_superblock(source: &dyn BlockRead) -> Result<Superblock, ReadError> {
    let mut bytes = [0; raw::SIZE];
    if source.len() < 2 * raw::OFFSET {
        return Err(ReadError::NotExt {
            reason: format!("{} bytes are too few", source.len()),
        });
    }
    source.read_at(raw::OFFSET, &mut bytes)?;
    let superblock = Superblock::parse(&bytes)?;
    if superblock.size() > source.len() {
        let damage = Damage::Field {
            field: "s_blocks_count",
            value: superblock.blocks(),
            rule: "the image is shorter",
        };
        return Err(ReadError::corrupt(Location::Superblock, damage));
    }
    Ok(superblock)
}

#[cfg(test)]
mod tests;
