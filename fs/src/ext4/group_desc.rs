//! Group descriptors: where a group's bitmaps and inode table stand, and what is free in it.
//!
//! See [Block Group Descriptors](https://docs.kernel.org/filesystems/ext4/globals.html#block-group-descriptors).
//! A descriptor has 64 bytes with the feature `64bit`, else the first 32.
//!
//! ```text
//! 0x00 block bitmap   0x04 inode bitmap   0x08 inode table   0x0c free blocks, free inodes
//! 0x10 directories, flags                 0x18 checksums of the bitmaps, low halves
//! 0x1c unused inodes, bg_checksum         0x20 high words of all the above in the same order
//! ```

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Seed;
use super::halves::{join_shorts, join_words, shorts, words};
use super::{BlockNo, GroupNo};

/// Length of a descriptor in bytes with the feature `64bit`.
pub(crate) const SIZE: usize = 64;
/// `bg_flags`: the inode bitmap and table are not initialised: no inode is in use.
pub(crate) const INODE_UNINIT: u16 = 0x1;
/// `bg_flags`: the block bitmap is not initialised: only the group's own metadata is in use.
pub(crate) const BLOCK_UNINIT: u16 = 0x2;
/// `bg_flags`: the unused part of the inode table reads as zeros.
pub(crate) const INODE_ZEROED: u16 = 0x4;

/// A group descriptor as it stands on disk.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawGroupDesc {
    /// 0x00: block of the block bitmap, low word.
    pub(crate) bg_block_bitmap_lo: U32,
    /// 0x04: block of the inode bitmap, low word.
    pub(crate) bg_inode_bitmap_lo: U32,
    /// 0x08: first block of the inode table, low word.
    pub(crate) bg_inode_table_lo: U32,
    /// 0x0c: free blocks (clusters), low half.
    pub(crate) bg_free_blocks_count_lo: U16,
    /// 0x0e: free inodes, low half.
    pub(crate) bg_free_inodes_count_lo: U16,
    /// 0x10: directories, low half.
    pub(crate) bg_used_dirs_count_lo: U16,
    /// 0x12: [`INODE_UNINIT`], [`BLOCK_UNINIT`], [`INODE_ZEROED`].
    pub(crate) bg_flags: U16,
    /// 0x14: snapshot exclusion bitmap (unused).
    pub(crate) bg_exclude_bitmap_lo: U32,
    /// 0x18: checksum of the block bitmap, low half.
    pub(crate) bg_block_bitmap_csum_lo: U16,
    /// 0x1a: checksum of the inode bitmap, low half.
    pub(crate) bg_inode_bitmap_csum_lo: U16,
    /// 0x1c: inodes at the end of the table that were never used, low half.
    pub(crate) bg_itable_unused_lo: U16,
    /// 0x1e: checksum of this descriptor.
    pub(crate) bg_checksum: U16,
    /// 0x20: block of the block bitmap, high word.
    pub(crate) bg_block_bitmap_hi: U32,
    /// 0x24: block of the inode bitmap, high word.
    pub(crate) bg_inode_bitmap_hi: U32,
    /// 0x28: first block of the inode table, high word.
    pub(crate) bg_inode_table_hi: U32,
    /// 0x2c: free blocks, high half.
    pub(crate) bg_free_blocks_count_hi: U16,
    /// 0x2e: free inodes, high half.
    pub(crate) bg_free_inodes_count_hi: U16,
    /// 0x30: directories, high half.
    pub(crate) bg_used_dirs_count_hi: U16,
    /// 0x32: unused inodes, high half.
    pub(crate) bg_itable_unused_hi: U16,
    /// 0x34: snapshot exclusion bitmap (unused).
    pub(crate) bg_exclude_bitmap_hi: U32,
    /// 0x38: checksum of the block bitmap, high half.
    pub(crate) bg_block_bitmap_csum_hi: U16,
    /// 0x3a: checksum of the inode bitmap, high half.
    pub(crate) bg_inode_bitmap_csum_hi: U16,
    /// 0x3c: reserved.
    pub(crate) bg_reserved: U32,
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<RawGroupDesc>() == SIZE);
    assert!(offset_of!(RawGroupDesc, bg_flags) == 0x12);
    assert!(offset_of!(RawGroupDesc, bg_checksum) == 0x1e);
    assert!(offset_of!(RawGroupDesc, bg_block_bitmap_hi) == 0x20);
    assert!(offset_of!(RawGroupDesc, bg_inode_bitmap_csum_hi) == 0x3a);
};

impl RawGroupDesc {
    /// Sets the block of the block bitmap.
    pub(crate) fn set_block_bitmap(&mut self, block: BlockNo) {
        let (lo, hi) = words(block.0);
        self.bg_block_bitmap_lo = lo.into();
        self.bg_block_bitmap_hi = hi.into();
    }

    /// Sets the block of the inode bitmap.
    pub(crate) fn set_inode_bitmap(&mut self, block: BlockNo) {
        let (lo, hi) = words(block.0);
        self.bg_inode_bitmap_lo = lo.into();
        self.bg_inode_bitmap_hi = hi.into();
    }

    /// Sets the first block of the inode table.
    pub(crate) fn set_inode_table(&mut self, block: BlockNo) {
        let (lo, hi) = words(block.0);
        self.bg_inode_table_lo = lo.into();
        self.bg_inode_table_hi = hi.into();
    }

    /// Sets the number of free blocks.
    pub(crate) fn set_free_blocks_count(&mut self, count: u32) {
        let (lo, hi) = shorts(count);
        self.bg_free_blocks_count_lo = lo.into();
        self.bg_free_blocks_count_hi = hi.into();
    }

    /// Sets the number of free inodes.
    pub(crate) fn set_free_inodes_count(&mut self, count: u32) {
        let (lo, hi) = shorts(count);
        self.bg_free_inodes_count_lo = lo.into();
        self.bg_free_inodes_count_hi = hi.into();
    }

    /// Sets the number of directories.
    pub(crate) fn set_used_dirs_count(&mut self, count: u32) {
        let (lo, hi) = shorts(count);
        self.bg_used_dirs_count_lo = lo.into();
        self.bg_used_dirs_count_hi = hi.into();
    }

    /// Sets the number of inodes at the table's end that were never used.
    pub(crate) fn set_itable_unused(&mut self, count: u32) {
        let (lo, hi) = shorts(count);
        self.bg_itable_unused_lo = lo.into();
        self.bg_itable_unused_hi = hi.into();
    }

    /// Sets the checksum of the block bitmap.
    pub(crate) fn set_block_bitmap_csum(&mut self, checksum: u32) {
        let (lo, hi) = shorts(checksum);
        self.bg_block_bitmap_csum_lo = lo.into();
        self.bg_block_bitmap_csum_hi = hi.into();
    }

    /// Sets the checksum of the inode bitmap.
    pub(crate) fn set_inode_bitmap_csum(&mut self, checksum: u32) {
        let (lo, hi) = shorts(checksum);
        self.bg_inode_bitmap_csum_lo = lo.into();
        self.bg_inode_bitmap_csum_hi = hi.into();
    }

    /// Returns the block of the block bitmap.
    pub(crate) fn block_bitmap(&self) -> BlockNo {
        let (lo, hi) = (self.bg_block_bitmap_lo, self.bg_block_bitmap_hi);
        BlockNo(join_words(lo.get(), hi.get()))
    }

    /// Returns the block of the inode bitmap.
    pub(crate) fn inode_bitmap(&self) -> BlockNo {
        let (lo, hi) = (self.bg_inode_bitmap_lo, self.bg_inode_bitmap_hi);
        BlockNo(join_words(lo.get(), hi.get()))
    }

    /// Returns the first block of the inode table.
    pub(crate) fn inode_table(&self) -> BlockNo {
        let (lo, hi) = (self.bg_inode_table_lo, self.bg_inode_table_hi);
        BlockNo(join_words(lo.get(), hi.get()))
    }

    /// Returns the number of free blocks.
    pub(crate) fn free_blocks_count(&self) -> u32 {
        let (lo, hi) = (self.bg_free_blocks_count_lo, self.bg_free_blocks_count_hi);
        join_shorts(lo.get(), hi.get())
    }

    /// Returns the number of free inodes.
    pub(crate) fn free_inodes_count(&self) -> u32 {
        let (lo, hi) = (self.bg_free_inodes_count_lo, self.bg_free_inodes_count_hi);
        join_shorts(lo.get(), hi.get())
    }

    /// Returns the number of directories.
    pub(crate) fn used_dirs_count(&self) -> u32 {
        let (lo, hi) = (self.bg_used_dirs_count_lo, self.bg_used_dirs_count_hi);
        join_shorts(lo.get(), hi.get())
    }

    /// Returns the number of inodes at the table's end that were never used.
    pub(crate) fn itable_unused(&self) -> u32 {
        let (lo, hi) = (self.bg_itable_unused_lo, self.bg_itable_unused_hi);
        join_shorts(lo.get(), hi.get())
    }

    /// Returns the checksum of the block bitmap.
    pub(crate) fn block_bitmap_csum(&self) -> u32 {
        let (lo, hi) = (self.bg_block_bitmap_csum_lo, self.bg_block_bitmap_csum_hi);
        join_shorts(lo.get(), hi.get())
    }

    /// Returns the checksum of the inode bitmap.
    pub(crate) fn inode_bitmap_csum(&self) -> u32 {
        let (lo, hi) = (self.bg_inode_bitmap_csum_lo, self.bg_inode_bitmap_csum_hi);
        join_shorts(lo.get(), hi.get())
    }

    /// Returns the checksum that belongs into `bg_checksum`.
    pub(crate) fn checksum(&self, group: GroupNo, seed: Seed) -> u16 {
        let unsummed = Self {
            bg_checksum: 0.into(),
            ..*self
        };
        let sum = seed
            .update(&group.0.to_le_bytes())
            .checksum(unsummed.as_bytes());
        shorts(sum).0
    }

    /// Fills in the checksum and returns the bytes.
    pub(crate) fn seal(mut self, group: GroupNo, seed: Seed) -> [u8; SIZE] {
        self.bg_checksum = self.checksum(group, seed).into();
        zerocopy::transmute!(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";

    /// As mke2fs wrote it.
    #[test]
    fn descriptor_built_with_setters_equals_that_of_mke2fs() {
        let mut raw = RawGroupDesc::default();
        raw.set_block_bitmap(BlockNo(9));
        raw.set_inode_bitmap(BlockNo(25));
        raw.set_inode_table(BlockNo(41));
        raw.set_free_blocks_count(14313);
        raw.set_free_inodes_count(16067);
        raw.set_used_dirs_count(3);
        raw.set_itable_unused(16067);
        raw.set_block_bitmap_csum(0xdb84_56bc);
        raw.set_inode_bitmap_csum(0x9b28_b49c);
        let sealed = raw.seal(GroupNo(0), Seed::from_uuid(&UUID));
        let mut expected = [0; SIZE];
        expected[..32].copy_from_slice(
            b"\x09\0\0\0\x19\0\0\0\x29\0\0\0\xe9\x37\xc3\x3e\x03\0\0\0\0\0\0\0\xbc\x56\x9c\xb4\xc3\x3e\x9c\xb7",
        );
        expected[56..60].copy_from_slice(b"\x84\xdb\x28\x9b");
        assert_eq!(sealed, expected);
    }

    #[test]
    fn wide_values_split_and_join() {
        let mut raw = RawGroupDesc::default();
        raw.set_block_bitmap(BlockNo(0x1_0000_0002));
        raw.set_inode_bitmap(BlockNo(0x3_0000_0004));
        raw.set_inode_table(BlockNo(0x5_0000_0006));
        raw.set_free_blocks_count(0x7_0008);
        raw.set_free_inodes_count(0x9_000a);
        raw.set_used_dirs_count(0xb_000c);
        raw.set_itable_unused(0xd_000e);
        assert_eq!(raw.block_bitmap(), BlockNo(0x1_0000_0002));
        assert_eq!(raw.inode_bitmap(), BlockNo(0x3_0000_0004));
        assert_eq!(raw.inode_table(), BlockNo(0x5_0000_0006));
        assert_eq!(raw.free_blocks_count(), 0x7_0008);
        assert_eq!(raw.free_inodes_count(), 0x9_000a);
        assert_eq!(raw.used_dirs_count(), 0xb_000c);
        assert_eq!(raw.itable_unused(), 0xd_000e);
    }
}
