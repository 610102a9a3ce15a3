//! The superblock, validated: nothing after it checks these values again.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

mod layout;
mod validate;

use zerocopy::{FromBytes, IntoBytes};

use super::{Bytes, FileType, Inode, ReadError, node_header};
use crate::ext4::checksum::Seed;
use crate::ext4::damage::Location;
use crate::ext4::features::{compat, incompat, ro_compat};
use crate::ext4::halves::join_words;
use crate::ext4::inode::{RawInode, flag};
use crate::ext4::superblock::{self as raw, RawSuperblock};
use crate::ext4::{InodeNo, features};
use crate::tree::Time;

/// What the superblock says, checked.
#[derive(Clone, Debug)]
pub struct Superblock {
    raw: RawSuperblock,
    block_bits: u32,
    cluster_bits: u32,
    blocks: u64,
    groups: u32,
    inode_size: u16,
    desc_size: u16,
    seed: Option<Seed>,
}

/// How group descriptors are summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DescriptorSum {
    None,
    Crc16,
    Crc32c(Seed),
}

impl Superblock {
    /// Validates the 1024 bytes of a superblock.
    pub(crate) fn parse(bytes: &[u8; raw::SIZE]) -> Result<Self, ReadError> {
        let raw = RawSuperblock::read_from_bytes(bytes).expect("the size is that of the structure");
        if raw.s_magic.get() != raw::MAGIC {
            return Err(ReadError::NotExt {
                reason: format!("the magic at byte 0x438 is {:#06x}", raw.s_magic),
            });
        }
        validate::check_features(&raw)?;
        validate::validate(raw).map_err(|damage| ReadError::corrupt(Location::Superblock, damage))
    }

    /// Returns the fields as they stand on disk.
    pub(crate) fn raw(&self) -> &RawSuperblock {
        &self.raw
    }

    /// Returns the block size in bytes: 1024 to 65,536.
    #[must_use]
    pub fn block_size(&self) -> u32 {
        1 << self.block_bits
    }

    /// Returns the block size as a length of memory.
    pub(crate) fn block_len(&self) -> usize {
        1 << self.block_bits
    }

    /// Returns the base-2 logarithm of the block size.
    pub(crate) fn block_bits(&self) -> u32 {
        self.block_bits
    }

    /// Returns the unit of allocation in bytes; the block size without `bigalloc`.
    #[must_use]
    pub fn cluster_size(&self) -> u32 {
        1 << self.cluster_bits
    }

    /// Returns how many blocks a cluster has.
    pub(crate) fn cluster_blocks(&self) -> u64 {
        1 << self.cluster_bits.saturating_sub(self.block_bits)
    }

    /// Returns the number of blocks.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Returns the filesystem's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blocks << self.block_bits
    }

    /// Returns the number of free blocks as the superblock says, which is exact after an unmount only.
    #[must_use]
    pub fn free_blocks(&self) -> u64 {
        let hi = if self.has_incompat(incompat::BITS64) {
            self.raw.s_free_blocks_count_hi.get()
        } else {
            0
        };
        join_words(self.raw.s_free_blocks_count_lo.get(), hi)
    }

    /// Returns the number of blocks only root may fill.
    #[must_use]
    pub fn reserved_blocks(&self) -> u64 {
        let hi = if self.has_incompat(incompat::BITS64) {
            self.raw.s_r_blocks_count_hi.get()
        } else {
            0
        };
        join_words(self.raw.s_r_blocks_count_lo.get(), hi)
    }

    /// Returns the number of block groups.
    #[must_use]
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// Returns the number of inodes.
    #[must_use]
    pub fn inodes(&self) -> u32 {
        self.raw.s_inodes_count.get()
    }

    /// Returns the number of free inodes as the superblock says.
    #[must_use]
    pub fn free_inodes(&self) -> u32 {
        self.raw.s_free_inodes_count.get()
    }

    /// Returns the number of inodes in every group.
    pub(crate) fn inodes_per_group(&self) -> u32 {
        self.raw.s_inodes_per_group.get()
    }

    /// Returns the number of blocks in every group but the last.
    pub(crate) fn blocks_per_group(&self) -> u32 {
        self.raw.s_blocks_per_group.get()
    }

    /// Returns the number of clusters in every group but the last; blocks without `bigalloc`.
    pub(crate) fn clusters_per_group(&self) -> u32 {
        self.blocks_per_group() >> self.cluster_bits.saturating_sub(self.block_bits)
    }

    /// Returns the first block of group 0.
    pub(crate) fn first_data_block(&self) -> u32 {
        self.raw.s_first_data_block.get()
    }

    /// Returns the length of an inode in bytes.
    #[must_use]
    pub fn inode_size(&self) -> u16 {
        self.inode_size
    }

    /// Returns the length of a group descriptor in bytes.
    pub(crate) fn desc_size(&self) -> u16 {
        self.desc_size
    }

    /// Returns how many descriptors a block holds.
    pub(crate) fn descs_per_block(&self) -> u32 {
        self.block_size()
            .checked_div(self.desc_size.into())
            .unwrap_or(1)
    }

    /// Returns how many blocks the descriptors take.
    pub(crate) fn desc_blocks(&self) -> u32 {
        self.groups.div_ceil(self.descs_per_block().max(1))
    }

    /// Returns how many blocks an inode table takes.
    pub(crate) fn inode_table_blocks(&self) -> u64 {
        u64::from(self.inodes_per_group())
            .saturating_mul(self.inode_size.into())
            .div_ceil(self.block_size().into())
    }

    /// Returns the first inode that is not reserved.
    pub(crate) fn first_inode(&self) -> InodeNo {
        if self.raw.s_rev_level.get() < raw::DYNAMIC_REV {
            InodeNo::LOST_FOUND
        } else {
            InodeNo(self.raw.s_first_ino.get())
        }
    }

    /// Returns the seed of all checksums but the superblock's, with `metadata_csum`.
    pub(crate) fn seed(&self) -> Option<Seed> {
        self.seed
    }

    /// Returns how group descriptors are summed.
    pub(crate) fn descriptor_sum(&self) -> DescriptorSum {
        match self.seed {
            Some(seed) => DescriptorSum::Crc32c(seed),
            None if self.has_ro_compat(ro_compat::GDT_CSUM) => DescriptorSum::Crc16,
            None => DescriptorSum::None,
        }
    }

    /// Returns the filesystem's uuid.
    #[must_use]
    pub fn uuid(&self) -> [u8; 16] {
        self.raw.s_uuid
    }

    /// Returns the label, without its padding; may be empty.
    #[must_use]
    pub fn label(&self) -> &[u8] {
        until_nul(&self.raw.s_volume_name)
    }

    /// Returns the directory that it was mounted on last; may be empty.
    #[must_use]
    pub fn last_mounted(&self) -> &[u8] {
        until_nul(&self.raw.s_last_mounted)
    }

    /// Returns the seed of the directory hashes.
    #[must_use]
    pub fn hash_seed(&self) -> [u8; 16] {
        self.raw.s_hash_seed
    }

    /// Tells whether names are hashed as unsigned characters.
    pub(crate) fn unsigned_hash(&self) -> bool {
        self.raw.s_flags.get() & raw::FLAG_UNSIGNED_HASH != 0
    }

    /// Returns the time of creation.
    #[must_use]
    pub fn made(&self) -> Time {
        time(self.raw.s_mkfs_time.get(), self.raw.s_mkfs_time_hi)
    }

    /// Returns the time of the last write.
    #[must_use]
    pub fn written(&self) -> Time {
        time(self.raw.s_wtime.get(), self.raw.s_wtime_hi)
    }

    /// Returns the time of the last mount; 1970-01-01 where there was none.
    #[must_use]
    pub fn mounted(&self) -> Time {
        time(self.raw.s_mtime.get(), self.raw.s_mtime_hi)
    }

    /// Returns the time of the last check.
    #[must_use]
    pub fn checked(&self) -> Time {
        time(self.raw.s_lastcheck.get(), self.raw.s_lastcheck_hi)
    }

    /// Tells whether it was unmounted cleanly and has no known errors.
    #[must_use]
    pub fn clean(&self) -> bool {
        let state = self.raw.s_state.get();
        state & raw::STATE_VALID != 0 && state & raw::STATE_ERROR == 0
    }

    /// Tells whether the journal must be replayed.
    #[must_use]
    pub fn needs_recovery(&self) -> bool {
        self.has_incompat(incompat::RECOVER)
    }

    /// Returns the journal's inode, where it has one inside the filesystem.
    #[must_use]
    pub fn journal(&self) -> Option<InodeNo> {
        let inode = self.raw.s_journal_inum.get();
        (self.has_compat(compat::HAS_JOURNAL) && inode != 0).then_some(InodeNo(inode))
    }

    /// Returns the copy of the journal's inode, where there is one.
    pub(crate) fn journal_backup(&self, number: InodeNo) -> Option<Inode> {
        if self.raw.s_jnl_backup_type != raw::JOURNAL_BACKUP_BLOCKS {
            return None;
        }
        let mut inode = RawInode::new();
        let (words, sizes) = self.raw.s_jnl_blocks.split_at_checked(15)?;
        inode.i_block.copy_from_slice(words.as_bytes());
        let [high, low] = *sizes else { return None };
        inode.set_size(join_words(low.get(), high.get()));
        if node_header(&inode.i_block).is_ok() {
            inode.i_flags = flag::EXTENTS.into();
        }
        let bytes = Bytes::new(inode.as_bytes())?;
        Some(Inode::new(number, bytes, FileType::File, self))
    }

    /// Returns the names of all features, in the order `dumpe2fs` lists them.
    #[must_use]
    pub fn features(&self) -> Vec<&'static str> {
        features::names(
            self.raw.s_feature_compat.get(),
            self.raw.s_feature_incompat.get(),
            self.raw.s_feature_ro_compat.get(),
        )
    }

    pub(crate) fn has_compat(&self, bit: u32) -> bool {
        self.raw.s_feature_compat.get() & bit != 0
    }

    pub(crate) fn has_incompat(&self, bit: u32) -> bool {
        self.raw.s_feature_incompat.get() & bit != 0
    }

    pub(crate) fn has_ro_compat(&self, bit: u32) -> bool {
        self.raw.s_feature_ro_compat.get() & bit != 0
    }
}

fn time(lo: u32, hi: u8) -> Time {
    let seconds = join_words(lo, hi.into());
    Time::from_sec(i64::try_from(seconds).unwrap_or(0))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
