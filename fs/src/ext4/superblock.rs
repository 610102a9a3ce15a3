//! The superblock: 1024 bytes at byte 1024, and a copy in every backup group.
//!
//! See [Super Block](https://docs.kernel.org/filesystems/ext4/globals.html#the-super-block).
//!
//! ```text
//! 0x000  counts, sizes, times, state          0x150  high words (64bit), s_min_extra_isize
//! 0x054  s_first_ino, s_inode_size            0x160  flags, flex_bg, checksum type
//! 0x05c  feature words                        0x198  errors seen by the kernel
//! 0x068  uuid, label, last mount point        0x240  quotas, s_backup_bgs, encryption
//! 0x0cc  s_reserved_gdt_blocks, journal       0x270  s_checksum_seed, high bytes of times
//! 0x0ec  hash seed, s_desc_size               0x284  reserved
//! 0x10c  copy of the journal's i_block        0x3fc  s_checksum over all before it
//! ```

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Seed;
use super::halves::words;
use super::inode::RawInode;

/// Where the primary superblock stands in the image, in bytes.
pub(crate) const OFFSET: u64 = 1024;
/// Its length in bytes.
pub(crate) const SIZE: usize = 1024;
/// `s_magic`.
pub(crate) const MAGIC: u16 = 0xef53;
/// `s_state`: unmounted cleanly.
pub(crate) const STATE_VALID: u16 = 0x1;
/// `s_state`: the kernel found errors.
pub(crate) const STATE_ERROR: u16 = 0x2;
/// `s_encoding_flags`: names in case-insensitive directories are UTF-8.
pub(crate) const ENCODING_STRICT: u16 = 0x1;
/// `s_errors`: continue after errors.
pub(crate) const ERRORS_CONTINUE: u16 = 1;
/// `s_rev_level`: variable inode size and features.
pub(crate) const DYNAMIC_REV: u32 = 1;
/// `s_flags`: directory hashes take names as signed characters.
pub(crate) const FLAG_SIGNED_HASH: u32 = 0x1;
/// `s_flags`: directory hashes take names as unsigned characters.
pub(crate) const FLAG_UNSIGNED_HASH: u32 = 0x2;
/// `s_default_mount_opts`: user extended attributes.
pub(crate) const DEFAULT_XATTR_USER: u32 = 0x4;
/// `s_default_mount_opts`: ACLs.
pub(crate) const DEFAULT_ACL: u32 = 0x8;
/// `s_checksum_type`: CRC-32C.
pub(crate) const CHECKSUM_CRC32C: u8 = 1;
/// `s_jnl_backup_type`: `s_jnl_blocks` holds `i_block` and `i_size` of the journal's inode.
pub(crate) const JOURNAL_BACKUP_BLOCKS: u8 = 1;

/// The superblock as it stands on disk.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct RawSuperblock {
    /// 0x000: number of inodes.
    pub(crate) s_inodes_count: U32,
    /// 0x004: number of blocks, low word.
    pub(crate) s_blocks_count_lo: U32,
    /// 0x008: blocks only root may fill, low word.
    pub(crate) s_r_blocks_count_lo: U32,
    /// 0x00c: free blocks, low word.
    pub(crate) s_free_blocks_count_lo: U32,
    /// 0x010: free inodes.
    pub(crate) s_free_inodes_count: U32,
    /// 0x014: first block of group 0: 1 with 1 KiB blocks, else 0.
    pub(crate) s_first_data_block: U32,
    /// 0x018: block size is 1024 << this.
    pub(crate) s_log_block_size: U32,
    /// 0x01c: cluster size is 1024 << this.
    pub(crate) s_log_cluster_size: U32,
    /// 0x020: blocks per group.
    pub(crate) s_blocks_per_group: U32,
    /// 0x024: clusters per group.
    pub(crate) s_clusters_per_group: U32,
    /// 0x028: inodes per group.
    pub(crate) s_inodes_per_group: U32,
    /// 0x02c: last mount, seconds.
    pub(crate) s_mtime: U32,
    /// 0x030: last write, seconds.
    pub(crate) s_wtime: U32,
    /// 0x034: mounts since the last check.
    pub(crate) s_mnt_count: U16,
    /// 0x036: mounts before a check is forced; 0xffff never.
    pub(crate) s_max_mnt_count: U16,
    /// 0x038: [`MAGIC`].
    pub(crate) s_magic: U16,
    /// 0x03a: [`STATE_VALID`] and others.
    pub(crate) s_state: U16,
    /// 0x03c: what to do on errors.
    pub(crate) s_errors: U16,
    /// 0x03e: minor revision.
    pub(crate) s_minor_rev_level: U16,
    /// 0x040: last check, seconds.
    pub(crate) s_lastcheck: U32,
    /// 0x044: seconds between forced checks; 0 never.
    pub(crate) s_checkinterval: U32,
    /// 0x048: creator: 0 is Linux.
    pub(crate) s_creator_os: U32,
    /// 0x04c: revision.
    pub(crate) s_rev_level: U32,
    /// 0x050: uid that may use reserved blocks.
    pub(crate) s_def_resuid: U16,
    /// 0x052: gid that may use reserved blocks.
    pub(crate) s_def_resgid: U16,
    /// 0x054: first inode that is not reserved.
    pub(crate) s_first_ino: U32,
    /// 0x058: bytes per inode.
    pub(crate) s_inode_size: U16,
    /// 0x05a: the group this copy stands in.
    pub(crate) s_block_group_nr: U16,
    /// 0x05c: compatible features.
    pub(crate) s_feature_compat: U32,
    /// 0x060: incompatible features.
    pub(crate) s_feature_incompat: U32,
    /// 0x064: features that forbid writing.
    pub(crate) s_feature_ro_compat: U32,
    /// 0x068: the filesystem's uuid.
    pub(crate) s_uuid: [u8; 16],
    /// 0x078: label, padded with zeros.
    pub(crate) s_volume_name: [u8; 16],
    /// 0x088: where it was mounted last.
    pub(crate) s_last_mounted: [u8; 64],
    /// 0x0c8: compression algorithms (unused).
    pub(crate) s_algorithm_usage_bitmap: U32,
    /// 0x0cc: blocks to preallocate for files (unused).
    pub(crate) s_prealloc_blocks: u8,
    /// 0x0cd: blocks to preallocate for directories (unused).
    pub(crate) s_prealloc_dir_blocks: u8,
    /// 0x0ce: reserved group descriptor blocks.
    pub(crate) s_reserved_gdt_blocks: U16,
    /// 0x0d0: uuid of an external journal.
    pub(crate) s_journal_uuid: [u8; 16],
    /// 0x0e0: inode of the journal.
    pub(crate) s_journal_inum: U32,
    /// 0x0e4: device of an external journal.
    pub(crate) s_journal_dev: U32,
    /// 0x0e8: first orphaned inode.
    pub(crate) s_last_orphan: U32,
    /// 0x0ec: seed of the directory hashes.
    pub(crate) s_hash_seed: [u8; 16],
    /// 0x0fc: default hash version.
    pub(crate) s_def_hash_version: u8,
    /// 0x0fd: what `s_jnl_blocks` holds.
    pub(crate) s_jnl_backup_type: u8,
    /// 0x0fe: bytes per group descriptor.
    pub(crate) s_desc_size: U16,
    /// 0x100: default mount options.
    pub(crate) s_default_mount_opts: U32,
    /// 0x104: first meta block group.
    pub(crate) s_first_meta_bg: U32,
    /// 0x108: time of creation, seconds.
    pub(crate) s_mkfs_time: U32,
    /// 0x10c: `i_block` of the journal, then `i_size_high` and `i_size_lo`.
    pub(crate) s_jnl_blocks: [U32; 17],
    /// 0x150: number of blocks, high word.
    pub(crate) s_blocks_count_hi: U32,
    /// 0x154: reserved blocks, high word.
    pub(crate) s_r_blocks_count_hi: U32,
    /// 0x158: free blocks, high word.
    pub(crate) s_free_blocks_count_hi: U32,
    /// 0x15c: every inode has at least so many bytes beyond the first 128 in use.
    pub(crate) s_min_extra_isize: U16,
    /// 0x15e: new inodes reserve so many.
    pub(crate) s_want_extra_isize: U16,
    /// 0x160: [`FLAG_SIGNED_HASH`] and others.
    pub(crate) s_flags: U32,
    /// 0x164: RAID stride in blocks.
    pub(crate) s_raid_stride: U16,
    /// 0x166: seconds between MMP updates.
    pub(crate) s_mmp_update_interval: U16,
    /// 0x168: block of multiple mount protection.
    pub(crate) s_mmp_block: U64,
    /// 0x170: RAID stripe width in blocks.
    pub(crate) s_raid_stripe_width: U32,
    /// 0x174: a flexible group has 1 << this groups.
    pub(crate) s_log_groups_per_flex: u8,
    /// 0x175: [`CHECKSUM_CRC32C`].
    pub(crate) s_checksum_type: u8,
    /// 0x176: encryption level.
    pub(crate) s_encryption_level: u8,
    /// 0x177: padding.
    pub(crate) s_reserved_pad: u8,
    /// 0x178: KiB written over the lifetime.
    pub(crate) s_kbytes_written: U64,
    /// 0x180: inode of the active snapshot (unused).
    pub(crate) s_snapshot_inum: U32,
    /// 0x184: its id (unused).
    pub(crate) s_snapshot_id: U32,
    /// 0x188: its reserved blocks (unused).
    pub(crate) s_snapshot_r_blocks_count: U64,
    /// 0x190: head of the snapshot list (unused).
    pub(crate) s_snapshot_list: U32,
    /// 0x194: errors seen.
    pub(crate) s_error_count: U32,
    /// 0x198: first error, seconds.
    pub(crate) s_first_error_time: U32,
    /// 0x19c: its inode.
    pub(crate) s_first_error_ino: U32,
    /// 0x1a0: its block.
    pub(crate) s_first_error_block: U64,
    /// 0x1a8: the kernel function that saw it.
    pub(crate) s_first_error_func: [u8; 32],
    /// 0x1c8: the line in it.
    pub(crate) s_first_error_line: U32,
    /// 0x1cc: last error, seconds.
    pub(crate) s_last_error_time: U32,
    /// 0x1d0: its inode.
    pub(crate) s_last_error_ino: U32,
    /// 0x1d4: the line that saw it.
    pub(crate) s_last_error_line: U32,
    /// 0x1d8: its block.
    pub(crate) s_last_error_block: U64,
    /// 0x1e0: the kernel function that saw it.
    pub(crate) s_last_error_func: [u8; 32],
    /// 0x200: mount options, a string.
    pub(crate) s_mount_opts: [u8; 64],
    /// 0x240: inode of the user quota file.
    pub(crate) s_usr_quota_inum: U32,
    /// 0x244: inode of the group quota file.
    pub(crate) s_grp_quota_inum: U32,
    /// 0x248: clusters taken by metadata of all groups.
    pub(crate) s_overhead_clusters: U32,
    /// 0x24c: groups of the two backups of `sparse_super2`.
    pub(crate) s_backup_bgs: [U32; 2],
    /// 0x254: encryption algorithms.
    pub(crate) s_encrypt_algos: [u8; 4],
    /// 0x258: salt of the key derivation.
    pub(crate) s_encrypt_pw_salt: [u8; 16],
    /// 0x268: inode of `lost+found`, where known.
    pub(crate) s_lpf_ino: U32,
    /// 0x26c: inode of the project quota file.
    pub(crate) s_prj_quota_inum: U32,
    /// 0x270: checksum seed, with `metadata_csum_seed`.
    pub(crate) s_checksum_seed: U32,
    /// 0x274: high byte of `s_wtime`.
    pub(crate) s_wtime_hi: u8,
    /// 0x275: high byte of `s_mtime`.
    pub(crate) s_mtime_hi: u8,
    /// 0x276: high byte of `s_mkfs_time`.
    pub(crate) s_mkfs_time_hi: u8,
    /// 0x277: high byte of `s_lastcheck`.
    pub(crate) s_lastcheck_hi: u8,
    /// 0x278: high byte of `s_first_error_time`.
    pub(crate) s_first_error_time_hi: u8,
    /// 0x279: high byte of `s_last_error_time`.
    pub(crate) s_last_error_time_hi: u8,
    /// 0x27a: error number of the first error.
    pub(crate) s_first_error_errcode: u8,
    /// 0x27b: error number of the last error.
    pub(crate) s_last_error_errcode: u8,
    /// 0x27c: character encoding of case-insensitive names.
    pub(crate) s_encoding: U16,
    /// 0x27e: its flags.
    pub(crate) s_encoding_flags: U16,
    /// 0x280: inode of the orphan file.
    pub(crate) s_orphan_file_inum: U32,
    /// 0x284: reserved, zero.
    pub(crate) s_reserved: [U32; 94],
    /// 0x3fc: checksum over all before it.
    pub(crate) s_checksum: U32,
}

const _: () = {
    use std::mem::{offset_of, size_of};
    assert!(size_of::<RawSuperblock>() == SIZE);
    assert!(offset_of!(RawSuperblock, s_magic) == 0x38);
    assert!(offset_of!(RawSuperblock, s_first_ino) == 0x54);
    assert!(offset_of!(RawSuperblock, s_uuid) == 0x68);
    assert!(offset_of!(RawSuperblock, s_hash_seed) == 0xec);
    assert!(offset_of!(RawSuperblock, s_jnl_blocks) == 0x10c);
    assert!(offset_of!(RawSuperblock, s_blocks_count_hi) == 0x150);
    assert!(offset_of!(RawSuperblock, s_log_groups_per_flex) == 0x174);
    assert!(offset_of!(RawSuperblock, s_first_error_time) == 0x198);
    assert!(offset_of!(RawSuperblock, s_mount_opts) == 0x200);
    assert!(offset_of!(RawSuperblock, s_backup_bgs) == 0x24c);
    assert!(offset_of!(RawSuperblock, s_checksum_seed) == 0x270);
    assert!(offset_of!(RawSuperblock, s_orphan_file_inum) == 0x280);
    assert!(offset_of!(RawSuperblock, s_checksum) == 0x3fc);
};

impl RawSuperblock {
    /// Returns a superblock of zeros, which [`seal`](Self::seal) would not make valid.
    pub(crate) fn zeroed() -> Self {
        zerocopy::FromZeros::new_zeroed()
    }

    /// Keeps a copy of the journal's inode: its map and its size.
    pub(crate) fn set_journal_backup(&mut self, inode: &RawInode) {
        let (words, _) = inode.i_block.as_chunks::<4>();
        for (slot, word) in self.s_jnl_blocks.iter_mut().zip(words) {
            *slot = u32::from_le_bytes(*word).into();
        }
        self.s_jnl_blocks[15] = inode.i_size_high;
        self.s_jnl_blocks[16] = inode.i_size_lo;
    }

    /// Sets the number of blocks.
    pub(crate) fn set_blocks_count(&mut self, blocks: u64) {
        let (lo, hi) = words(blocks);
        self.s_blocks_count_lo = lo.into();
        self.s_blocks_count_hi = hi.into();
    }

    /// Sets the number of blocks only root may fill.
    pub(crate) fn set_r_blocks_count(&mut self, blocks: u64) {
        let (lo, hi) = words(blocks);
        self.s_r_blocks_count_lo = lo.into();
        self.s_r_blocks_count_hi = hi.into();
    }

    /// Sets the number of free blocks.
    pub(crate) fn set_free_blocks_count(&mut self, blocks: u64) {
        let (lo, hi) = words(blocks);
        self.s_free_blocks_count_lo = lo.into();
        self.s_free_blocks_count_hi = hi.into();
    }

    /// Returns the checksum that belongs into `s_checksum`.
    pub(crate) fn checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        let covered = bytes.split_last_chunk::<4>().map_or(bytes, |(all, _)| all);
        Seed::START.checksum(covered)
    }

    /// Fills in the checksum and returns the bytes.
    pub(crate) fn seal(mut self) -> [u8; SIZE] {
        self.s_checksum = self.checksum().into();
        zerocopy::transmute!(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `mke2fs -t ext4 -L reflabel -d` made of a small folder: all bytes that are not zero.
    const MKE2FS: &[(usize, &str)] = &[
        (0x000, "004000000040000033030000e9370000"),
        (0x010, "c33e0000000000000200000002000000"),
        (0x020, "00800000008000000040000000000000"),
        (0x030, "00f153650000ffff53ef010001000000"),
        (0x040, "00f15365000000000000000001000000"),
        (0x050, "000000000b000000000100003c000000"),
        (0x060, "c20200006b0400000123456789abcdef"),
        (0x070, "0123456789abcdef7265666c6162656c"),
        (0x0c0, "00000000000000000000000000000700"),
        (0x0e0, "08000000000000000000000011111111"),
        (0x0f0, "22223333444455555555555501014000"),
        (0x100, "0c0000000000000000f153650af30300"),
        (0x110, "0400000000000000000000000a000000"),
        (0x120, "0f0000000a0000000f0000001a000000"),
        (0x130, "19000000e70300002a04000000000000"),
        (0x140, "00000000000000000000000000004000"),
        (0x150, "00000000000000000000000020002000"),
        (0x160, "01000000000000000000000000000000"),
        (0x170, "00000000040100009900000000000000"),
        (0x240, "00000000000000000b08000000000000"),
        (0x3f0, "0000000000000000000000001c61a79c"),
    ];

    pub(crate) fn bytes() -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        for (offset, hex) in MKE2FS {
            for (i, pair) in hex.as_bytes().chunks(2).enumerate() {
                let text = std::str::from_utf8(pair).unwrap();
                bytes[offset + i] = u8::from_str_radix(text, 16).unwrap();
            }
        }
        bytes
    }

    #[test]
    fn real_superblock_parses_and_seals_to_itself() {
        let raw = RawSuperblock::read_from_bytes(&bytes()).unwrap();
        assert_eq!(raw.s_magic.get(), MAGIC);
        assert_eq!(raw.s_blocks_count_lo.get(), 16384);
        assert_eq!(&raw.s_volume_name, b"reflabel\0\0\0\0\0\0\0\0");
        assert_eq!(raw.s_reserved_gdt_blocks.get(), 7);
        assert_eq!(raw.s_log_groups_per_flex, 4);
        assert_eq!(raw.s_overhead_clusters.get(), 2059);
        assert_eq!(raw.checksum(), 0x9ca7_611c);
        let mut damaged = raw;
        damaged.s_checksum = 7.into();
        assert_eq!(damaged.seal(), bytes());
    }

    #[test]
    fn wide_counts_split_into_words() {
        let mut raw = RawSuperblock::zeroed();
        raw.set_blocks_count(0x1_0000_0002);
        raw.set_r_blocks_count(0x3_0000_0004);
        raw.set_free_blocks_count(0x5_0000_0006);
        assert_eq!(
            (raw.s_blocks_count_hi.get(), raw.s_blocks_count_lo.get()),
            (1, 2)
        );
        assert_eq!(
            (raw.s_r_blocks_count_hi.get(), raw.s_r_blocks_count_lo.get()),
            (3, 4)
        );
        assert_eq!(
            (
                raw.s_free_blocks_count_hi.get(),
                raw.s_free_blocks_count_lo.get()
            ),
            (5, 6)
        );
    }
}
