//! What a size means: the superblock of the filesystem once it has it.
//!
//! The rules are those of resize2fs, so that both come to the same number of blocks and inodes: a
//! last group that would be too small for its own metadata and 50 blocks more is left out.

use super::error::{ResizeError, Result};
use crate::ext4::features::{compat, incompat};
use crate::ext4::group_desc;
use crate::ext4::read::Superblock;
use crate::ext4::superblock::{RawSuperblock, SIZE};
use crate::ext4::{GroupNo, edit};

/// A last group has so many blocks at least beside its metadata.
const SPARE: u64 = 50;

const _: () = assert!(group_desc::SIZE == 64);

/// Returns how many groups so many blocks are.
pub(super) fn groups_of(old: &Superblock, blocks: u64) -> u64 {
    blocks
        .saturating_sub(old.first_data_block().into())
        .div_ceil(old.blocks_per_group().into())
}

/// Returns the fewest blocks that the last of `groups` groups may have.
pub(super) fn least_last(old: &Superblock, groups: u64) -> u64 {
    let raw = old.raw();
    let last = GroupNo(u32::try_from(groups.saturating_sub(1)).unwrap_or(u32::MAX));
    let has_copy = if old.has_compat(compat::SPARSE_SUPER2) {
        // The copies' groups are not known yet.
        let which = usize::from(groups != 2);
        raw.s_backup_bgs[which].get() != 0
    } else {
        old.has_super(last)
    };
    let own = 2 + old.inode_table_blocks();
    let copies = if has_copy {
        1 + desc_blocks(old, groups) + u64::from(raw.s_reserved_gdt_blocks.get())
    } else {
        0
    };
    own + copies + if groups > 1 { SPARE } else { 0 }
}

/// Returns the superblock for `wanted` blocks or a few less, or none where that is too small for any
/// filesystem.
pub(super) fn target(old: &Superblock, wanted: u64) -> Result<Option<Superblock>> {
    let Some(blocks) = whole_groups(old, wanted)? else {
        return Ok(None);
    };
    check_limits(old, blocks)?;
    let groups = groups_of(old, blocks);
    let mut raw = old.raw().clone();
    let high = raw.s_blocks_count_hi;
    raw.set_blocks_count(blocks);
    let reserved = scaled(old.reserved_blocks(), blocks, old.blocks());
    let reserved_high = raw.s_r_blocks_count_hi;
    raw.set_r_blocks_count(reserved);
    if !old.has_incompat(incompat::BITS64) {
        raw.s_blocks_count_hi = high;
        raw.s_r_blocks_count_hi = reserved_high;
    }
    let inodes = groups * u64::from(old.inodes_per_group());
    raw.s_inodes_count = u32::try_from(inodes).unwrap_or(u32::MAX).into();
    // Linux counts anew.
    raw.s_overhead_clusters = 0.into();
    adjust_reserve(old, groups, &mut raw);
    if old.has_incompat(incompat::META_BG)
        && u64::from(raw.s_first_meta_bg.get()) > desc_blocks(old, groups)
    {
        raw.s_feature_incompat = (raw.s_feature_incompat.get() & !incompat::META_BG).into();
        raw.s_first_meta_bg = 0.into();
    }
    adjust_copies(old, groups, &mut raw);
    parsed(old, &raw).map(Some)
}

/// Leaves out a last group that is too small.
fn whole_groups(old: &Superblock, wanted: u64) -> Result<Option<u64>> {
    let (first, per_group) = (
        u64::from(old.first_data_block()),
        u64::from(old.blocks_per_group()),
    );
    let most_groups = u64::from(u32::MAX) / u64::from(old.inodes_per_group()).max(1);
    let mut blocks = wanted;
    loop {
        let groups = groups_of(old, blocks);
        if groups == 0 {
            return Ok(None);
        }
        let rest = (blocks - first) % per_group;
        if rest != 0 && rest < least_last(old, groups) {
            if groups == 1 {
                return Ok(None);
            }
            blocks -= rest;
            continue;
        }
        if groups <= most_groups {
            return Ok(Some(blocks));
        }
        let limit = most_groups * per_group + first;
        if groups > most_groups + 1 {
            return Err(too_large(old, wanted, limit, "inode numbers"));
        }
        blocks = limit;
    }
}

fn check_limits(old: &Superblock, blocks: u64) -> Result<()> {
    if blocks <= old.blocks() {
        return Ok(());
    }
    let narrow = !old.has_incompat(incompat::BITS64);
    let most = u64::from(u32::MAX);
    if (narrow || old.has_compat(compat::RESIZE_INODE)) && blocks > most {
        let reason = if narrow {
            "block numbers without 64bit"
        } else {
            "block numbers of the resize inode"
        };
        return Err(too_large(old, blocks, most, reason));
    }
    let limit = most_blocks(old);
    if blocks > limit {
        return Err(ResizeError::Reserve {
            wanted: blocks << old.block_bits(),
            limit: limit << old.block_bits(),
        });
    }
    Ok(())
}

/// Returns how many blocks the descriptors and their reserve can describe.
pub(super) fn most_blocks(old: &Superblock) -> u64 {
    let bits = if old.has_incompat(incompat::BITS64) && !old.has_compat(compat::RESIZE_INODE) {
        1 << 48
    } else {
        u64::from(u32::MAX)
    };
    let groups = if old.has_incompat(incompat::META_BG) {
        u64::from(u32::MAX)
    } else {
        let blocks =
            u64::from(old.desc_blocks()) + u64::from(old.raw().s_reserved_gdt_blocks.get());
        blocks * u64::from(old.descs_per_block())
    };
    let groups = groups.min(u64::from(u32::MAX) / u64::from(old.inodes_per_group()).max(1));
    let first = u64::from(old.first_data_block());
    (groups * u64::from(old.blocks_per_group()) + first).min(bits)
}

/// Keeps the room for descriptors and their reserve as it is, as far as the resize inode reaches.
fn adjust_reserve(old: &Superblock, groups: u64, raw: &mut RawSuperblock) {
    let blocks = desc_blocks(old, groups);
    let before = u64::from(old.desc_blocks());
    if old.has_compat(compat::RESIZE_INODE) && blocks != before {
        let reserve = (before + u64::from(raw.s_reserved_gdt_blocks.get())).saturating_sub(blocks);
        let reserve = reserve.min(u64::from(old.block_size() / 4));
        raw.s_reserved_gdt_blocks = u16::try_from(reserve).unwrap_or(u16::MAX).into();
    }
}

/// Moves the copies of `sparse_super2`: the second one stands in the last group.
fn adjust_copies(old: &Superblock, groups: u64, raw: &mut RawSuperblock) {
    if !old.has_compat(compat::SPARSE_SUPER2) {
        return;
    }
    let last = u32::try_from(groups - 1).unwrap_or(u32::MAX);
    let before = old.groups();
    let [first, second] = &mut raw.s_backup_bgs;
    if last + 1 > before {
        if before == 1 {
            *first = 1.into();
        }
        if (before < 3 && last > 1) || second.get() != 0 {
            *second = last.into();
        }
    } else if last + 1 < before {
        let was_last = second.get() == before - 1;
        for copy in [first, &mut *second] {
            if copy.get() > last {
                *copy = 0.into();
            }
        }
        if last > 1 && was_last {
            *second = last.into();
        }
    }
}

/// Validates a superblock as it will stand in the image.
pub(super) fn parsed(old: &Superblock, raw: &RawSuperblock) -> Result<Superblock> {
    let bytes: [u8; SIZE] = edit::sealed(raw, old);
    Ok(Superblock::parse(&bytes)?)
}

fn desc_blocks(old: &Superblock, groups: u64) -> u64 {
    groups.div_ceil(u64::from(old.descs_per_block().max(1)))
}

fn scaled(value: u64, now: u64, before: u64) -> u64 {
    let product = u128::from(value) * u128::from(now);
    u64::try_from(product / u128::from(before.max(1))).unwrap_or(u64::MAX)
}

fn too_large(old: &Superblock, wanted: u64, limit: u64, reason: &'static str) -> ResizeError {
    ResizeError::TooLarge {
        wanted: wanted.saturating_mul(old.block_size().into()),
        limit: limit.saturating_mul(old.block_size().into()),
        reason,
    }
}
