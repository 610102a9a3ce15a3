//! Directories: their blocks, verified, and the entries in them.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use forger_block::Bytes;
use zerocopy::FromBytes;

use super::content::inline_parts;
use super::map::Access;
use super::superblock::Superblock;
use super::{FileType, Image, Inode, ReadError};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::dir::{RawDirEntry, RawDirTail, TAIL, TAIL_TYPE, file_type, record_len};
use crate::ext4::features::incompat;
use crate::ext4::htree::{self, NODE_ENTRIES_AT, ROOT_ENTRIES_AT, RawCountLimit, index_checksum};
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

/// An entry as it stands in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Its place in the block in bytes.
    pub(crate) offset: u32,
    /// Bytes to the next entry.
    pub(crate) len: usize,
    /// The inode; 0 is an unused entry.
    pub(crate) inode: InodeNo,
    /// One of [`file_type`]; 0 where the filesystem does not keep it.
    pub(crate) file_type: u8,
    /// The name.
    pub(crate) name: &'a [u8],
}

/// The entries of a block, or of one part of an inline directory.
pub(crate) struct Records<'a> {
    superblock: &'a Superblock,
    block: &'a [u8],
    at: usize,
}

impl<'a> Records<'a> {
    pub(crate) fn new(superblock: &'a Superblock, block: &'a [u8]) -> Self {
        Self {
            superblock,
            block,
            at: 0,
        }
    }

    /// Returns the place of the next entry.
    pub(crate) fn offset(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    fn record(&self, rest: &'a [u8]) -> Result<Record<'a>, Damage> {
        let (raw, names) = RawDirEntry::read_from_prefix(rest)
            .map_err(|_| Damage::Structure("the entry is cut off"))?;
        let len = decode_len(raw.rec_len.get(), self.superblock.block_len());
        let name_len = usize::from(raw.name_len);
        let rule = if len < record_len(1) {
            "entries have at least 12 bytes"
        } else if !len.is_multiple_of(4) {
            "it is a multiple of 4"
        } else if len < record_len(name_len) {
            "the name does not fit"
        } else if len > rest.len() {
            "entries end with their block"
        } else {
            let filetype = self.superblock.has_incompat(incompat::FILETYPE);
            return Ok(Record {
                offset: self.offset(),
                len,
                inode: InodeNo(raw.inode.get()),
                file_type: if filetype {
                    raw.file_type
                } else {
                    file_type::UNKNOWN
                },
                name: names.get(..name_len).unwrap_or_default(),
            });
        };
        Err(Damage::field("rec_len", raw.rec_len.get(), rule))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Damage>;

    /// Returns the next entry; after a damage there is none.
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.block.get(self.at..).filter(|rest| !rest.is_empty())?;
        let record = self.record(rest);
        self.at = match &record {
            Ok(record) => self.at.saturating_add(record.len),
            Err(_) => self.block.len(),
        };
        Some(record)
    }
}

/// Returns the length that `rec_len` means; blocks of 64 KiB need more bits than it has.
fn decode_len(rec_len: u16, block_len: usize) -> usize {
    let len = usize::from(rec_len);
    if block_len < 1 << 16 {
        len
    } else if rec_len == 0 || rec_len == u16::MAX {
        block_len
    } else {
        (len & 0xfffc) | (len & 3) << 16
    }
}

/// Takes a block of a directory: its number in the directory, what it is, its bytes.
type VisitBlock<'a> = dyn FnMut(u64, BlockKind, &[u8]) -> Result<(), ReadError> + 'a;

/// What a block of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Entries.
    Leaf,
    /// The root of a hash tree, with `.` and `..`.
    Root,
    /// A node of a hash tree.
    Node,
}

/// Returns what a block of a directory is, from its place and form.
pub(crate) fn kind(inode: &Inode, logical: u64, block: &[u8]) -> BlockKind {
    if !inode.has_flag(flag::INDEX) {
        return BlockKind::Leaf;
    }
    if logical == 0 {
        return BlockKind::Root;
    }
    match RawDirEntry::read_from_prefix(block) {
        Ok((raw, _))
            if raw.inode.get() == 0
                && raw.name_len == 0
                && decode_len(raw.rec_len.get(), block.len()) == block.len() =>
        {
            BlockKind::Node
        }
        _ => BlockKind::Leaf,
    }
}

/// Checks the checksum of a block of a directory; `seed` is that of the directory's inode.
pub(crate) fn check_sum(block: &[u8], kind: BlockKind, seed: Seed) -> Result<(), Damage> {
    let (found, computed) = match kind {
        BlockKind::Leaf => leaf_sums(block, seed)?,
        BlockKind::Root => index_sums(block, ROOT_ENTRIES_AT, seed)?,
        BlockKind::Node => index_sums(block, NODE_ENTRIES_AT, seed)?,
    };
    if found == computed {
        return Ok(());
    }
    Err(Damage::Checksum {
        what: "directory block",
        found,
        computed,
    })
}

fn leaf_sums(block: &[u8], seed: Seed) -> Result<(u32, u32), Damage> {
    let no_tail = || Damage::Structure("the directory block has no checksum");
    let at = block.len().checked_sub(TAIL).ok_or_else(no_tail)?;
    let (entries, tail) = block.split_at_checked(at).ok_or_else(no_tail)?;
    let tail = RawDirTail::read_from_bytes(tail).map_err(|_| no_tail())?;
    let right = tail.det_reserved_zero1.get() == 0
        && tail.det_rec_len.get() == 12
        && tail.det_reserved_zero2 == 0
        && tail.det_reserved_ft == TAIL_TYPE;
    if !right {
        return Err(no_tail());
    }
    Ok((tail.det_checksum.get(), seed.checksum(entries)))
}

fn index_sums(block: &[u8], start: usize, seed: Seed) -> Result<(u32, u32), Damage> {
    let no_tail = || Damage::Structure("the index block has no checksum");
    let head = count_limit(block, start)?;
    let end = |entries: u16| {
        usize::from(entries)
            .checked_mul(htree::ENTRY)
            .and_then(|len| len.checked_add(start))
    };
    let tail = end(head.limit.get())
        .and_then(|at| block.get(at..)?.first_chunk::<8>())
        .ok_or_else(no_tail)?;
    let [a, b, c, d, sum @ ..] = *tail;
    let used = end(head.count.get())
        .and_then(|end| block.get(..end))
        .ok_or_else(no_tail)?;
    Ok((
        u32::from_le_bytes(sum),
        index_checksum(used, [a, b, c, d], seed),
    ))
}

/// Reads the counts of an index block whose entries start at `start`.
pub(crate) fn count_limit(block: &[u8], start: usize) -> Result<RawCountLimit, Damage> {
    let at = block.get(start..).unwrap_or_default();
    let (head, _) = RawCountLimit::read_from_prefix(at)
        .map_err(|_| Damage::Structure("the index block is cut off"))?;
    let (limit, count) = (head.limit.get(), head.count.get());
    let room = block
        .len()
        .saturating_sub(start)
        .checked_div(htree::ENTRY)
        .unwrap_or(0);
    if usize::from(limit) > room {
        return Err(Damage::field(
            "limit",
            limit,
            "the block has room for fewer",
        ));
    }
    if count == 0 || count > limit {
        return Err(Damage::field("count", count, "it is from 1 to limit"));
    }
    Ok(head)
}

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
        let kind = kind(inode, logical, &block);
        if let Some(seed) = inode.seed(self.superblock) {
            check_sum(&block, kind, seed).map_err(|damage| {
                let at = Location::DirectoryBlock {
                    inode: inode.number(),
                    block: logical,
                };
                ReadError::corrupt(at, damage)
            })?;
        }
        Ok((kind, block))
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
