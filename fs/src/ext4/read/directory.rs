//! Directories: their blocks, verified, and the entries in them.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::Bytes;

use super::content::inline_parts;
use super::directory_block::{BlockKind, check_sum, kind};
use super::map::Access;
use super::records::{Record, Records};
use super::{FileType, Image, Inode, ReadError};
use crate::ext4::damage::{Damage, Location};
use crate::ext4::dir::file_type;
use crate::ext4::inode::flag;
use crate::ext4::{BlockNo, InodeNo};

/// A name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name as it stands there; ciphertext in an encrypted directory.
    pub name: Vec<u8>,
    /// The inode it stands for.
    pub inode: InodeNo,
    /// What the entry says the inode is, where the filesystem keeps that.
    pub file_type: Option<FileType>,
}

/// Takes a block of a directory: its number in the directory, what it is, its bytes.
type VisitBlock<'a> = dyn FnMut(u64, BlockKind, &[u8]) -> Result<(), ReadError> + 'a;

impl Access<'_> {
    /// Calls `visit` with every block of a directory in order, verified. An inline directory has two
    /// parts, which count as leaves.
    pub(crate) fn directory_blocks(
        self,
        inode: &Inode,
        visit: &mut VisitBlock<'_>,
    ) -> Result<(), ReadError> {
        if inode.has_flag(flag::INLINE_DATA) {
            let (first, second) = inline_parts(inode)?;
            let (_, first) = first.split_at_checked(4).unwrap_or_default();
            visit(0, BlockKind::Leaf, first)?;
            return visit(1, BlockKind::Leaf, second);
        }
        let total = inode.size().div_ceil(self.superblock.block_size().into());
        let mut next = 0;
        for run in self.runs(inode)? {
            if run.logical != next || run.unwritten {
                break;
            }
            for step in 0..run.len {
                let physical = BlockNo(run.physical.0.saturating_add(step));
                let (kind, block) = self.directory_block(inode, next, physical)?;
                visit(next, kind, &block)?;
                next = next.saturating_add(1);
            }
        }
        if next < total {
            let at = Location::DirectoryBlock {
                inode: inode.number(),
                block: next,
            };
            let damage = Damage::Structure("the directory has a hole");
            return Err(ReadError::corrupt(at, damage));
        }
        Ok(())
    }

    /// Reads and verifies a block of a directory.
    pub(crate) fn directory_block(
        self,
        inode: &Inode,
        logical: u64,
        physical: BlockNo,
    ) -> Result<(BlockKind, Bytes), ReadError> {
        let block = self.blocks.read(physical)?;
        let kind = self.check_directory_block(inode, logical, &block)?;
        Ok((kind, block))
    }

    /// Verifies a block of a directory and returns what it is.
    pub(crate) fn check_directory_block(
        self,
        inode: &Inode,
        logical: u64,
        block: &[u8],
    ) -> Result<BlockKind, ReadError> {
        let kind = kind(inode, logical, block);
        if let Some(seed) = inode.seed(self.superblock) {
            check_sum(block, kind, seed).map_err(|damage| {
                let at = Location::DirectoryBlock {
                    inode: inode.number(),
                    block: logical,
                };
                ReadError::corrupt(at, damage)
            })?;
        }
        Ok(kind)
    }

    /// Calls `visit` with every entry in use of a leaf.
    pub(crate) fn leaf_entries(
        self,
        inode: &Inode,
        logical: u64,
        block: &[u8],
        visit: &mut dyn FnMut(&Record<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let at = |offset| Location::DirectoryEntry {
            inode: inode.number(),
            block: logical,
            offset,
        };
        let mut records = Records::new(self.superblock, block);
        loop {
            let offset = records.offset();
            let Some(record) = records.next() else {
                return Ok(());
            };
            let record = record.map_err(|damage| ReadError::corrupt(at(offset), damage))?;
            if record.inode.0 == 0 {
                continue;
            }
            self.superblock
                .check_inode("the entry", record.inode)
                .and_then(|()| check_name(inode, record.name))
                .map_err(|damage| ReadError::corrupt(at(offset), damage))?;
            visit(&record)?;
        }
    }

    /// Calls `visit` with every entry in use of a directory, `.` and `..` included where they stand
    /// in blocks.
    pub(crate) fn entries(
        self,
        inode: &Inode,
        visit: &mut dyn FnMut(&Record<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.directory_blocks(inode, &mut |logical, kind, block| match kind {
            BlockKind::Node => Ok(()),
            BlockKind::Leaf | BlockKind::Root => self.leaf_entries(inode, logical, block, visit),
        })
    }
}

/// Checks that a name is one; ciphertext may have any byte.
pub(crate) fn check_name(directory: &Inode, name: &[u8]) -> Result<(), Damage> {
    if name.is_empty() {
        return Err(Damage::Structure("the entry has no name"));
    }
    if !directory.is_encrypted() && name.iter().any(|byte| matches!(byte, 0 | b'/')) {
        return Err(Damage::Structure("the name has a slash or a NUL"));
    }
    Ok(())
}

/// Tells whether a name is `.` or `..`.
pub(crate) fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// Returns what an entry says its inode is.
pub(crate) fn type_of(entry: u8) -> Option<FileType> {
    Some(match entry {
        file_type::FILE => FileType::File,
        file_type::DIRECTORY => FileType::Directory,
        file_type::CHAR => FileType::CharDevice,
        file_type::BLOCK => FileType::BlockDevice,
        file_type::FIFO => FileType::Fifo,
        file_type::SOCKET => FileType::Socket,
        file_type::SYMLINK => FileType::Symlink,
        _ => return None,
    })
}

impl Image {
    /// Returns the entries of a directory in the order of its blocks, without `.` and `..`.
    ///
    /// # Errors
    /// [`ReadError::WrongKind`] for what is no directory; [`ReadError::Corrupt`].
    pub fn list(&self, directory: &Inode) -> Result<Vec<DirectoryEntry>, ReadError> {
        expect_directory(directory)?;
        let mut entries = Vec::new();
        self.access().entries(directory, &mut |record| {
            if !is_dot(record.name) {
                entries.push(DirectoryEntry {
                    name: record.name.to_vec(),
                    inode: record.inode,
                    file_type: type_of(record.file_type),
                });
            }
            Ok(())
        })?;
        Ok(entries)
    }
}

pub(crate) fn expect_directory(inode: &Inode) -> Result<(), ReadError> {
    if inode.file_type() == FileType::Directory {
        return Ok(());
    }
    Err(ReadError::WrongKind {
        inode: inode.number(),
        expected: "a directory",
    })
}
