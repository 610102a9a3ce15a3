//! Groups: their descriptors, and the places of their metadata.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::ops::Range;

use super::Check;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::incompat;
use crate::ext4::group_desc::{BLOCK_UNINIT, INODE_UNINIT};
use crate::ext4::read::{DescriptorSum, GroupDesc, ReadError, Superblock};
use crate::ext4::{BlockNo, GroupNo};

impl Check<'_> {
    /// Checks every descriptor and claims the metadata's blocks.
    pub(super) fn groups(&mut self) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        for group in (0..superblock.groups()).map(GroupNo) {
            if self.full() {
                return Ok(());
            }
            for range in descriptor_ranges(superblock, group) {
                self.metadata.insert(range);
            }
            if let Some(desc) = self.descriptor(group)? {
                self.descriptor_fields(group, &desc);
                self.claim_tables(group, &desc);
            }
        }
        let mmp = superblock.raw().s_mmp_block.get();
        if superblock.has_incompat(incompat::MMP) && superblock.contains(BlockNo(mmp)) {
            self.metadata.insert(mmp..mmp.saturating_add(1));
        }
        for range in self
            .metadata
            .within(0..superblock.blocks())
            .collect::<Vec<_>>()
        {
            let clusters = self.clusters(&range);
            self.used.insert(clusters);
        }
        Ok(())
    }

    /// Reads a descriptor, whether or not its checksum is right.
    pub(super) fn descriptor(&mut self, group: GroupNo) -> Result<Option<GroupDesc>, ReadError> {
        let result = self.image.group_unverified(group);
        self.found(result)
    }

    /// Returns the clusters that a range of blocks touches.
    pub(super) fn clusters(&self, blocks: &Range<u64>) -> Range<u64> {
        let last = blocks.end.saturating_sub(1);
        self.cluster_of(blocks.start)..self.cluster_of(last).saturating_add(1)
    }

    fn descriptor_fields(&mut self, group: GroupNo, desc: &GroupDesc) {
        let superblock = self.superblock_of();
        let at = Location::Group(group);
        self.note(at, desc.check_sum());
        self.note(at, counts(superblock, desc));
        self.note(at, uninit(superblock, group, desc));
        self.note(at, places(superblock, group, desc));
    }

    /// Claims bitmaps and inode table.
    fn claim_tables(&mut self, group: GroupNo, desc: &GroupDesc) {
        let superblock = self.superblock_of();
        for (what, range) in table_ranges(superblock, desc) {
            if superblock
                .check_blocks(what, BlockNo(range.start), range_len(&range))
                .is_err()
            {
                continue;
            }
            if let Some(taken) = self.metadata.insert(range) {
                let damage = Damage::TakenBlock {
                    what,
                    block: taken.start,
                };
                self.error(Location::Group(group), damage);
            }
        }
    }
}

fn range_len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Returns the blocks of a group's inode table and bitmaps, by the name of the field that says so.
pub(super) fn table_ranges(
    superblock: &Superblock,
    desc: &GroupDesc,
) -> [(&'static str, Range<u64>); 3] {
    let at = |block: BlockNo, len: u64| block.0..block.0.saturating_add(len);
    [
        (
            "bg_inode_table",
            at(desc.raw.inode_table(), superblock.inode_table_blocks()),
        ),
        ("bg_block_bitmap", at(desc.raw.block_bitmap(), 1)),
        ("bg_inode_bitmap", at(desc.raw.inode_bitmap(), 1)),
    ]
}

/// Returns the blocks that hold the superblock or its copy, and descriptors or their reserve, in a
/// group.
pub(in crate::ext4) fn descriptor_ranges(
    superblock: &Superblock,
    group: GroupNo,
) -> impl Iterator<Item = Range<u64>> + use<> {
    let raw = superblock.raw();
    let has_super = superblock.has_super(group);
    let start = superblock.group_start(group).0;
    let mut at = start;
    if group.0 == 0 {
        at = at.saturating_add(superblock.cluster_start());
    }
    let super_end = if has_super {
        at.saturating_add(1)
    } else {
        start
    };
    let meta_bg = superblock.has_incompat(incompat::META_BG);
    let first_meta = raw.s_first_meta_bg.get();
    let per_block = superblock.descs_per_block();
    let index = group.0.checked_div(per_block).unwrap_or(0);
    let place = group.0.checked_rem(per_block).unwrap_or(0);
    let blocks = if !meta_bg || index < first_meta {
        let old = if meta_bg {
            first_meta
        } else {
            superblock
                .desc_blocks()
                .saturating_add(raw.s_reserved_gdt_blocks.get().into())
        };
        if has_super { old } else { 0 }
    } else {
        // The first, second and last group of a meta group have its descriptors.
        u32::from(place < 2 || place == per_block.saturating_sub(1))
    };
    let end = super_end.saturating_add(blocks.into());
    [start..super_end, super_end..end]
        .into_iter()
        .filter(|range| !range.is_empty())
}

fn counts(superblock: &Superblock, desc: &GroupDesc) -> Result<(), Damage> {
    let inodes = superblock.inodes_per_group();
    let rule = "the group has fewer";
    for (field, count, most) in [
        (
            "bg_free_blocks_count",
            desc.raw.free_blocks_count(),
            superblock.blocks_per_group(),
        ),
        ("bg_free_inodes_count", desc.raw.free_inodes_count(), inodes),
        ("bg_used_dirs_count", desc.raw.used_dirs_count(), inodes),
    ] {
        if count > most {
            return Err(Damage::field(field, count, rule));
        }
    }
    let unused = desc.raw.itable_unused();
    if superblock.descriptor_sum() != DescriptorSum::None
        && (unused > desc.raw.free_inodes_count() || unused > inodes)
    {
        let rule = "fewer inodes are free";
        return Err(Damage::field("bg_itable_unused", unused, rule));
    }
    Ok(())
}

fn uninit(superblock: &Superblock, group: GroupNo, desc: &GroupDesc) -> Result<(), Damage> {
    let flags = desc.raw.bg_flags.get();
    if superblock.descriptor_sum() == DescriptorSum::None
        && (flags & (BLOCK_UNINIT | INODE_UNINIT) != 0 || desc.raw.itable_unused() != 0)
    {
        let rule = "nothing is uninitialised without checksums of descriptors";
        return Err(Damage::field("bg_flags", flags, rule));
    }
    let last = group.0.saturating_add(1) == superblock.groups();
    if last && flags & BLOCK_UNINIT != 0 {
        let rule = "the last group's block bitmap is initialised";
        return Err(Damage::field("bg_flags", flags, rule));
    }
    Ok(())
}

fn places(superblock: &Superblock, group: GroupNo, desc: &GroupDesc) -> Result<(), Damage> {
    let start = superblock.group_start(group).0;
    let own = start..start.saturating_add(superblock.group_blocks(group));
    let flexible = superblock.has_incompat(incompat::FLEX_BG);
    for (field, range) in table_ranges(superblock, desc) {
        superblock.check_blocks(field, BlockNo(range.start), range_len(&range))?;
        if !flexible && (range.start < own.start || range.end > own.end) {
            let rule = "it lies in its group without flex_bg";
            return Err(Damage::field(field, range.start, rule));
        }
    }
    Ok(())
}
