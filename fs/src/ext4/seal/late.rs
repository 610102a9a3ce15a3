//! The late ranges: superblocks, group descriptors and the reserve.

use forger_block::Bytes;

use super::table::{self, journal_extents};
use super::{Sealed, resize};
use crate::ext4::checksum::Seed;
use crate::ext4::features::{compat, incompat, ro_compat};
use crate::ext4::group_desc::{self, RawGroupDesc};
use crate::ext4::superblock::{self, RawSuperblock};
use crate::ext4::units::{BLOCK_SIZE, GroupNo};
use crate::ext4::{inode, journal};

/// Groups whose tables stand together, as a power of two.
const LOG_GROUPS_PER_FLEX: u8 = 4;

/// Makes all group descriptors, in whole blocks.
pub(crate) fn descriptors(sealed: &Sealed) -> Bytes {
    let len = sealed.desc_blocks() * BLOCK_SIZE;
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    for group in sealed.groups() {
        bytes.extend_from_slice(&descriptor(sealed, group));
    }
    bytes.resize(usize::try_from(len).unwrap_or(0), 0);
    Bytes::from(bytes)
}

fn descriptor(sealed: &Sealed, group: GroupNo) -> [u8; 64] {
    let seed = Seed::from_uuid(&sealed.identity.uuid);
    let index = super::index_of(group);
    let sized = &sealed.sized;
    let used = sealed.used_inodes(group);
    let unused = sealed.inodes_per_group() - used;
    let mut raw = RawGroupDesc::default();
    raw.set_block_bitmap(sized.block_bitmaps[index]);
    raw.set_inode_bitmap(sized.inode_bitmaps[index]);
    raw.set_inode_table(sized.inode_tables[index]);
    raw.set_free_blocks_count(sealed.usage.free(group));
    raw.set_free_inodes_count(unused);
    raw.set_itable_unused(unused);
    raw.set_used_dirs_count(sealed.folders_in(group));
    let mut flags = group_desc::INODE_ZEROED;
    if sealed.usage.untouched(group) {
        flags |= group_desc::BLOCK_UNINIT;
    } else {
        let bitmap = sealed.usage.bitmap(group);
        raw.set_block_bitmap_csum(bitmap.checksum(crate::ext4::bitmap::Bitmap::BITS, seed));
    }
    if used == 0 {
        flags |= group_desc::INODE_UNINIT;
    } else {
        let bitmap = sealed.inode_bitmap(group);
        raw.set_inode_bitmap_csum(bitmap.checksum(sealed.inodes_per_group(), seed));
    }
    raw.bg_flags = flags.into();
    raw.seal(group, seed)
}

/// Makes the first block of a group with a backup: the superblock, after 1024 bytes in group 0.
pub(crate) fn superblock_block(sealed: &Sealed, group: GroupNo) -> Bytes {
    let mut raw = sealed.superblock.clone();
    // A 16 bit field; the backups beyond group 65535 show the low half.
    raw.s_block_group_nr = u16::try_from(group.0 & 0xffff).unwrap_or(0).into();
    let start = if group.0 == 0 { superblock::SIZE } else { 0 };
    let mut block = vec![0; 4096];
    block[start..start + superblock::SIZE].copy_from_slice(&raw.seal());
    Bytes::from(block)
}

/// Fills in everything but the group's number.
pub(crate) fn common_superblock(sealed: &Sealed) -> RawSuperblock {
    let mut raw = RawSuperblock::zeroed();
    let sized = &sealed.sized;
    counts(sealed, &mut raw);
    raw.s_log_block_size = 2.into();
    raw.s_log_cluster_size = 2.into();
    raw.s_blocks_per_group = 32_768.into();
    raw.s_clusters_per_group = 32_768.into();
    raw.s_inodes_per_group = sealed.inodes_per_group().into();
    raw.s_magic = superblock::MAGIC.into();
    raw.s_state = superblock::STATE_VALID.into();
    raw.s_errors = superblock::ERRORS_CONTINUE.into();
    raw.s_max_mnt_count = u16::MAX.into();
    raw.s_rev_level = superblock::DYNAMIC_REV.into();
    raw.s_first_ino = 11.into();
    raw.s_inode_size = 256.into();
    raw.s_desc_size = 64.into();
    raw.s_min_extra_isize = inode::EXTRA_ISIZE.into();
    raw.s_want_extra_isize = inode::EXTRA_ISIZE.into();
    raw.s_log_groups_per_flex = LOG_GROUPS_PER_FLEX;
    raw.s_checksum_type = superblock::CHECKSUM_CRC32C;
    raw.s_flags = superblock::FLAG_SIGNED_HASH.into();
    raw.s_def_hash_version = 1;
    let mount = superblock::DEFAULT_XATTR_USER | superblock::DEFAULT_ACL;
    raw.s_default_mount_opts = mount.into();
    raw.s_uuid = sealed.identity.uuid;
    raw.s_hash_seed = sealed.identity.hash_seed;
    raw.s_volume_name[..sealed.label.len()].copy_from_slice(&sealed.label);
    raw.s_reserved_gdt_blocks = u16::try_from(sealed.reserved_blocks()).unwrap_or(0).into();
    features(sealed, &mut raw);
    times(sealed, &mut raw);
    if !sized.journal.is_empty() {
        journal_backup(sealed, &mut raw);
    }
    raw
}

fn counts(sealed: &Sealed, raw: &mut RawSuperblock) {
    let sized = &sealed.sized;
    let inodes = sized.groups() * sized.inodes_per_group;
    raw.s_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX).into();
    let free = inodes - u64::from(sealed.numbers.last().0);
    raw.s_free_inodes_count = u32::try_from(free).unwrap_or(u32::MAX).into();
    raw.set_blocks_count(sized.blocks);
    raw.set_free_blocks_count(sealed.free_blocks);
    raw.set_r_blocks_count(sized.blocks * u64::from(sealed.reserved_share) / 10_000);
}

fn features(sealed: &Sealed, raw: &mut RawSuperblock) {
    let mut compatible = compat::EXT_ATTR | compat::DIR_INDEX;
    if !sealed.sized.journal.is_empty() {
        compatible |= compat::HAS_JOURNAL;
    }
    if sealed.resize_block.is_some() {
        compatible |= compat::RESIZE_INODE;
    }
    raw.s_feature_compat = compatible.into();
    let incompatible =
        incompat::FILETYPE | incompat::EXTENTS | incompat::BITS64 | incompat::FLEX_BG;
    raw.s_feature_incompat = incompatible.into();
    let mut read_only = ro_compat::SPARSE_SUPER
        | ro_compat::LARGE_FILE
        | ro_compat::HUGE_FILE
        | ro_compat::DIR_NLINK
        | ro_compat::EXTRA_ISIZE
        | ro_compat::METADATA_CSUM;
    if sealed.tree.iter().any(|(_, node)| node.meta.project != 0) {
        read_only |= ro_compat::PROJECT;
    }
    raw.s_feature_ro_compat = read_only.into();
}

/// Sets the time of creation, last write and last check, so that nothing asks for a check.
fn times(sealed: &Sealed, raw: &mut RawSuperblock) {
    // Superblock times have 40 bits and no sign; earlier ones become 0.
    let seconds = sealed.identity.time.sec.max(0).to_le_bytes();
    let [a, b, c, d, high, ..] = seconds;
    let low = u32::from_le_bytes([a, b, c, d]);
    (raw.s_mkfs_time, raw.s_mkfs_time_hi) = (low.into(), high);
    (raw.s_wtime, raw.s_wtime_hi) = (low.into(), high);
    (raw.s_lastcheck, raw.s_lastcheck_hi) = (low.into(), high);
}

/// Keeps a copy of the journal's inode in the superblock, as mke2fs does.
fn journal_backup(sealed: &Sealed, raw: &mut RawSuperblock) {
    raw.s_journal_inum = 8.into();
    raw.s_jnl_backup_type = superblock::JOURNAL_BACKUP_BLOCKS;
    let Some(inode) = table::journal_inode(sealed) else {
        return;
    };
    raw.set_journal_backup(&inode);
}

/// Returns the blocks that are few and known: journal superblock, journal tree, resize inode.
pub(crate) fn fixed_blocks(sealed: &Sealed) -> Vec<(u64, Bytes)> {
    let mut blocks = Vec::new();
    if let Some(first) = sealed.sized.journal.first() {
        let len = u32::try_from(sealed.sized.journal_blocks()).unwrap_or(u32::MAX);
        let superblock = journal::superblock(len, &sealed.identity.uuid);
        blocks.push((first.physical.offset(), Bytes::copy_from_slice(&superblock)));
        for (block, bytes) in journal_extents(sealed).blocks {
            blocks.push((block.offset(), Bytes::copy_from_slice(&bytes)));
        }
    }
    if let Some(block) = sealed.resize_block {
        blocks.push((block.offset(), Bytes::from(resize::double_indirect(sealed))));
    }
    blocks
}
