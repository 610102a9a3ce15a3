//! Inodes of the volume: read, changed, and written back with their checksum.

use zerocopy::IntoBytes;

use super::error::{EditError, Result, damaged};
use super::groups::inode_group;
use super::volume::Volume;
use crate::ext4::checksum::Seed;
use crate::ext4::features::ro_compat;
use crate::ext4::halves::{shorts, words};
use crate::ext4::inode::{
    CHECKSUM_HI, CHECKSUM_LO, FIELDS, RawInode, encode_time, flag, is_misread, mode,
};
use crate::ext4::read::{Bytes, FileType, Inode};
use crate::ext4::{GroupNo, InodeNo};
use crate::tree::Time;

/// Bytes of fields that every inode has.
const BASE: usize = 128;

/// An inode that is being changed.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) number: InodeNo,
    pub(super) raw: RawInode,
    /// All bytes, as long as an inode is; the fields in them are stale.
    pub(super) bytes: Vec<u8>,
}

impl Node {
    /// Returns how many bytes of fields there are.
    pub(super) fn fields(&self) -> usize {
        if self.bytes.len() <= BASE {
            return BASE;
        }
        BASE + usize::from(self.raw.i_extra_isize.get())
    }

    pub(super) fn is_file(&self) -> bool {
        self.raw.i_mode.get() & mode::TYPE == mode::FILE
    }

    pub(super) fn is_directory(&self) -> bool {
        self.raw.i_mode.get() & mode::TYPE == mode::DIRECTORY
    }

    pub(super) fn has_flag(&self, bit: u32) -> bool {
        self.raw.i_flags.get() & bit != 0
    }

    /// Tells whether a time's extra word is there: `end` is where it ends after the first 128 bytes.
    fn has_extra(&self, end: usize) -> bool {
        self.fields() >= BASE + end
    }

    /// Sets the time of the last change of the inode.
    pub(super) fn set_ctime(&mut self, time: Time) -> Result<()> {
        let words = self.encode(time, 8)?;
        self.raw.set_ctime(words);
        Ok(())
    }

    /// Sets the time of the last change of the content.
    pub(super) fn set_mtime(&mut self, time: Time) -> Result<()> {
        let words = self.encode(time, 12)?;
        self.raw.set_mtime(words);
        Ok(())
    }

    /// Sets the time of the last access.
    pub(super) fn set_atime(&mut self, time: Time) -> Result<()> {
        let words = self.encode(time, 16)?;
        self.raw.set_atime(words);
        Ok(())
    }

    /// Sets the time of creation, where there is room for it.
    pub(super) fn set_crtime(&mut self, time: Time) -> Result<()> {
        if self.has_extra(24) {
            let words = self.encode(time, 24)?;
            self.raw.set_crtime(words);
        }
        Ok(())
    }

    /// Without an extra word a time has whole seconds of 32 bits, as the kernel writes it.
    fn encode(&self, time: Time, end: usize) -> Result<(u32, u32)> {
        let wide = self.has_extra(end);
        encode_time(time)
            .filter(|_| (wide && !is_misread(time)) || i32::try_from(time.sec).is_ok())
            .map(|(seconds, extra)| (seconds, if wide { extra } else { 0 }))
            .ok_or_else(|| EditError::Value {
                field: "time",
                value: time.sec.to_string(),
                rule: if wide {
                    "inodes hold times from 1901 to 2446, and e2fsck misreads those from 2310-04-04 to 2378-04-22"
                } else {
                    "these small inodes hold times from 1901 to 2038"
                },
            })
    }
}

/// Writes the checksum of an inode into its bytes.
fn seal(bytes: &mut [u8], number: InodeNo, seed: Seed) {
    let Some(fields) = Bytes::new(bytes) else {
        return;
    };
    let wide = fields.extra() >= 4;
    let sum = fields.sum(number, seed, wide);
    let (lo, hi) = shorts(sum);
    bytes[CHECKSUM_LO..CHECKSUM_LO + 2].copy_from_slice(&lo.to_le_bytes());
    if wide {
        bytes[CHECKSUM_HI..CHECKSUM_HI + 2].copy_from_slice(&hi.to_le_bytes());
    }
}

impl Volume {
    /// Reads and verifies an inode that is in use.
    pub(super) fn inode(&mut self, number: InodeNo) -> Result<Inode> {
        let bytes = self.inode_bytes(number)?;
        self.parse_inode(number, &bytes)
    }

    /// Reads and verifies an inode to be changed.
    pub(super) fn node(&mut self, number: InodeNo) -> Result<Node> {
        let bytes = self.inode_bytes(number)?;
        let inode = self.parse_inode(number, &bytes)?;
        let raw = Bytes::new(&bytes).map_or(*inode.raw(), |bytes| bytes.raw);
        Ok(Node { number, raw, bytes })
    }

    /// Validates an inode, its checksum at the first time only: later it may not be sealed yet.
    fn parse_inode(&mut self, number: InodeNo, bytes: &[u8]) -> Result<Inode> {
        let known = self.known.contains_key(&number.0.into());
        let parsed = if known {
            Inode::parse_unsummed(number, bytes, &self.superblock)
        } else {
            Inode::parse(number, bytes, &self.superblock)
        };
        let inode = parsed.map_err(|damage| crate::ext4::ReadError::inode(number, damage))?;
        if !known {
            self.known.insert(number.0.into(), false);
        }
        Ok(inode)
    }

    fn inode_bytes(&mut self, number: InodeNo) -> Result<Vec<u8>> {
        self.superblock
            .check_inode("the number", number)
            .map_err(|damage| damaged(damage.to_string()))?;
        let (group, index) = inode_group(&self.superblock, number.0);
        let (block, at) = self.table_place(group, index)?;
        let size = usize::from(self.superblock.inode_size());
        Ok(self
            .overlay
            .view(block, |block| block[at..at + size].to_vec())?)
    }

    /// Writes an inode back; its checksum follows when the transaction is whole.
    pub(super) fn save(&mut self, node: &mut Node) -> Result<()> {
        let known = node.fields().min(FIELDS).min(node.bytes.len());
        node.bytes[..known].copy_from_slice(&node.raw.as_bytes()[..known]);
        let (group, index) = inode_group(&self.superblock, node.number.0);
        let (block, at) = self.table_place(group, index)?;
        self.overlay.edit(block, |block| {
            block[at..at + node.bytes.len()].copy_from_slice(&node.bytes);
        })?;
        self.known.insert(node.number.0.into(), true);
        Ok(())
    }

    /// Gives the inodes that changed their checksums.
    pub(super) fn seal_inodes(&mut self) -> Result<()> {
        let changed = self.known.iter().filter(|(_, unsealed)| **unsealed);
        let numbers: Vec<u64> = changed.map(|(number, _)| *number).collect();
        for number in numbers {
            self.known.insert(number, false);
            let Some(seed) = self.superblock.seed() else {
                continue;
            };
            let number = InodeNo(u32::try_from(number).unwrap_or(0));
            let (group, index) = inode_group(&self.superblock, number.0);
            let (block, at) = self.table_place(group, index)?;
            let size = usize::from(self.superblock.inode_size());
            self.overlay
                .edit(block, |block| seal(&mut block[at..at + size], number, seed))?;
        }
        Ok(())
    }

    /// Makes a node of a new inode: all fields zero but the generation, which goes on from that of
    /// the last owner of the number.
    pub(super) fn new_node(&mut self, from: GroupNo, i_mode: u16) -> Result<Node> {
        let directory = i_mode & mode::TYPE == mode::DIRECTORY;
        let number = self.take_inode(from, directory)?;
        let old = self.inode_bytes(number)?;
        let old = Bytes::new(&old).map(|old| old.raw.i_generation.get());
        let mut raw: RawInode = zerocopy::FromZeros::new_zeroed();
        raw.i_mode = i_mode.into();
        raw.i_generation = match old {
            Some(0) | None => 0,
            Some(generation) => generation.wrapping_add(1),
        }
        .into();
        let size = self.superblock.inode_size();
        if let Some(room) = size.checked_sub(128).filter(|room| *room > 0) {
            let want = match self.raw.s_want_extra_isize.get() {
                0 => 32,
                want => want,
            };
            raw.i_extra_isize = want.min(room).min(32).into();
        }
        Ok(Node {
            number,
            raw,
            bytes: vec![0; size.into()],
        })
    }

    /// Returns how many blocks `i_blocks` says the inode takes, in its unit: (count, bytes a unit).
    fn blocks_of(&self, node: &Node) -> (u64, u64) {
        let huge = self.superblock.has_ro_compat(ro_compat::HUGE_FILE);
        let count = if huge {
            node.raw.blocks_field()
        } else {
            node.raw.i_blocks_lo.get().into()
        };
        let unit = if huge && node.has_flag(flag::HUGE_FILE) {
            self.block_size()
        } else {
            512
        };
        (count, unit)
    }

    /// Changes the space that an inode says it takes, by blocks.
    pub(super) fn count_blocks(&self, node: &mut Node, change: i64) -> Result<()> {
        let (count, unit) = self.blocks_of(node);
        let per_block = i64::try_from(self.block_size() / unit).unwrap_or(1);
        let count = count
            .checked_add_signed(change.saturating_mul(per_block))
            .ok_or_else(|| damaged(format!("i_blocks of inode {} is too small", node.number.0)))?;
        let huge = self.superblock.has_ro_compat(ro_compat::HUGE_FILE);
        let limit = if huge { 1 << 48 } else { 1 << 32 };
        if count >= limit {
            return Err(EditError::Value {
                field: "file size",
                value: format!("{count} sectors"),
                rule: "more than this filesystem can count",
            });
        }
        let (lo, hi) = words(count);
        node.raw.i_blocks_lo = lo.into();
        if huge {
            node.raw.i_blocks_high = shorts(hi).0.into();
        }
        Ok(())
    }

    /// Returns the `file_type` of a directory entry for a kind of file.
    pub(super) fn entry_type(&self, i_mode: u16) -> u8 {
        use crate::ext4::dir::file_type;
        if !self
            .superblock
            .has_incompat(crate::ext4::features::incompat::FILETYPE)
        {
            return file_type::UNKNOWN;
        }
        match FileType::of(i_mode) {
            Some(FileType::File) => file_type::FILE,
            Some(FileType::Directory) => file_type::DIRECTORY,
            Some(FileType::Symlink) => file_type::SYMLINK,
            Some(FileType::CharDevice) => file_type::CHAR,
            Some(FileType::BlockDevice) => file_type::BLOCK,
            Some(FileType::Fifo) => file_type::FIFO,
            Some(FileType::Socket) => file_type::SOCKET,
            None => file_type::UNKNOWN,
        }
    }
}
