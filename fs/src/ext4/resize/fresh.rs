//! New groups: where their bitmaps and inode tables stand.
//!
//! With flexible groups the metadata of up to 16 groups stand together, in the first of them, and
//! then in those behind it as far as they are needed:
//!
//! ```text
//! | copies | block bitmaps | inode bitmaps | inode tables | free            group 16
//! | free                                                                   groups 17 to 31
//! ```
//! A new group's inode table is never written to where it reads as zeros already, and with
//! checksums of descriptors neither are the bitmaps of groups that hold nothing.

use std::ops::Range;

use super::bits;
use super::error::{ResizeError, Result};
use crate::ext4::check::descriptor_ranges;
use crate::ext4::features::incompat;
use crate::ext4::group_desc::{BLOCK_UNINIT, INODE_UNINIT, INODE_ZEROED, RawGroupDesc};
use crate::ext4::read::{DescriptorSum, Superblock};
use crate::ext4::{BlockNo, GroupNo};

/// So many groups' metadata stand together at most.
const TOGETHER: u32 = 16;

/// The descriptors of all groups from `first` on.
#[derive(Debug)]
pub(super) struct Fresh {
    first: u32,
    list: Vec<RawGroupDesc>,
}

impl Fresh {
    /// Gives a place to the metadata of every group from `first` on.
    pub(super) fn plan(new: &Superblock, first: u32) -> Result<Self> {
        let mut fresh = Self {
            first,
            list: vec![RawGroupDesc::default(); len(new.groups().saturating_sub(first))],
        };
        let mut at = first;
        while at < new.groups() {
            let end = fresh.together(new, at).end;
            fresh.place(new, at..end)?;
            at = end;
        }
        for number in first..new.groups() {
            fresh.describe(new, number);
        }
        Ok(fresh)
    }

    /// Says that inode tables may hold anything: where descriptors have checksums, Linux writes
    /// zeros when it has time.
    pub(super) fn leave_to_the_kernel(&mut self) {
        for desc in &mut self.list {
            desc.bg_flags = (desc.bg_flags.get() & !INODE_ZEROED).into();
        }
    }

    /// Returns the descriptors without checksum, with the numbers of their groups.
    pub(super) fn iter(&self) -> impl Iterator<Item = (GroupNo, RawGroupDesc)> {
        (self.first..).map(GroupNo).zip(self.list.iter().copied())
    }

    /// Returns the groups whose metadata stand together with that of a group.
    fn together(&self, new: &Superblock, group: u32) -> Range<u32> {
        let size = match new.raw().s_log_groups_per_flex {
            log if !new.has_incompat(incompat::FLEX_BG) || log == 0 => 1,
            log => 1_u32
                .checked_shl(log.into())
                .unwrap_or(TOGETHER)
                .min(TOGETHER),
        };
        let start = group / size * size;
        let end = start.saturating_add(size);
        start.max(self.first)..end.min(new.groups())
    }

    /// Gives places to the metadata of groups that stand together.
    fn place(&mut self, new: &Superblock, groups: Range<u32>) -> Result<()> {
        let table = new.inode_table_blocks();
        let mut next = groups.start;
        for host in groups.clone() {
            let free = room(new, GroupNo(host));
            let fit = (free.end - free.start) / (2 + table);
            let count = fit.min((groups.end - next).into());
            for i in 0..count {
                let desc = &mut self.list[len(next - self.first)];
                desc.set_block_bitmap(BlockNo(free.start + i));
                desc.set_inode_bitmap(BlockNo(free.start + count + i));
                desc.set_inode_table(BlockNo(free.start + 2 * count + i * table));
                next += 1;
            }
            if next == groups.end {
                return Ok(());
            }
        }
        Err(ResizeError::Layout {
            what: "groups without room for their own metadata",
        })
    }

    /// Fills in counts, flags and the sums of bitmaps.
    fn describe(&mut self, new: &Superblock, number: u32) {
        let inodes = new.inodes_per_group();
        let summed = new.descriptor_sum() != DescriptorSum::None;
        let block_bitmap = self.block_bitmap(new, GroupNo(number));
        let index = len(number - self.first);
        let bare = summed && number + 1 < new.groups() && self.hosts_own_only(new, number);
        let desc = &mut self.list[index];
        let blocks = new.group_blocks(GroupNo(number));
        desc.set_free_blocks_count(bits::count_clear(&block_bitmap, blocks));
        desc.set_free_inodes_count(inodes);
        if summed {
            desc.set_itable_unused(inodes);
            let flags = INODE_UNINIT | INODE_ZEROED | if bare { BLOCK_UNINIT } else { 0 };
            desc.bg_flags = flags.into();
        }
        if let Some(seed) = new.seed() {
            if !bare {
                let covered = len(new.clusters_per_group() / 8);
                desc.set_block_bitmap_csum(seed.checksum(&block_bitmap[..covered]));
            }
            let map = inode_bitmap(new);
            desc.set_inode_bitmap_csum(seed.checksum(&map[..len(inodes / 8)]));
        }
    }

    /// Tells whether a group holds no metadata but its own.
    fn hosts_own_only(&self, new: &Superblock, number: u32) -> bool {
        let start = new.group_start(GroupNo(number)).0;
        let end = start + new.group_blocks(GroupNo(number));
        self.together(new, number)
            .filter(|other| *other != number)
            .all(|other| {
                let place = self.list[len(other - self.first)].block_bitmap().0;
                !(start..end).contains(&place)
            })
    }

    /// Returns the block bitmap of a group.
    pub(super) fn block_bitmap(&self, new: &Superblock, group: GroupNo) -> Vec<u8> {
        let mut map = vec![0; new.block_len()];
        let start = new.group_start(group).0;
        let blocks = new.group_blocks(group);
        let mut take = |range: Range<u64>| {
            let from = range.start.max(start);
            let to = range.end.min(start + blocks);
            if from < to {
                bits::set(&mut map, from - start..to - start);
            }
        };
        descriptor_ranges(new, group).for_each(&mut take);
        for other in self.together(new, group.0) {
            let desc = &self.list[len(other - self.first)];
            tables(new, desc).into_iter().for_each(&mut take);
        }
        bits::set(&mut map, blocks..u64::MAX);
        map
    }

    /// Calls `write` for every bitmap that is not left out, and `zero` for every inode table that must
    /// hold zeros.
    pub(super) fn emit(
        &self,
        new: &Superblock,
        write: &mut dyn FnMut(BlockNo, &[u8]) -> forger_block::Result<()>,
        zero: &mut dyn FnMut(BlockNo, u64) -> forger_block::Result<()>,
    ) -> forger_block::Result<()> {
        let inode_map = inode_bitmap(new);
        for (group, desc) in self.iter() {
            let flags = desc.bg_flags.get();
            if flags & BLOCK_UNINIT == 0 {
                write(desc.block_bitmap(), &self.block_bitmap(new, group))?;
            }
            if flags & INODE_UNINIT == 0 {
                write(desc.inode_bitmap(), &inode_map)?;
                zero(desc.inode_table(), new.inode_table_blocks())?;
            }
        }
        Ok(())
    }
}

/// Returns the blocks of a group's bitmaps and inode table.
pub(super) fn tables(superblock: &Superblock, desc: &RawGroupDesc) -> [Range<u64>; 3] {
    let run = |block: BlockNo, len: u64| block.0..block.0.saturating_add(len);
    [
        run(desc.block_bitmap(), 1),
        run(desc.inode_bitmap(), 1),
        run(desc.inode_table(), superblock.inode_table_blocks()),
    ]
}

/// Returns the blocks of a group behind the copies.
fn room(new: &Superblock, group: GroupNo) -> Range<u64> {
    let start = new.group_start(group).0;
    let end = start + new.group_blocks(group);
    let free = descriptor_ranges(new, group).map(|range| range.end).max();
    free.unwrap_or(start).min(end)..end
}

/// Returns the bitmap of a group without inodes in use.
fn inode_bitmap(new: &Superblock) -> Vec<u8> {
    let mut map = vec![0; new.block_len()];
    bits::set(&mut map, new.inodes_per_group().into()..u64::MAX);
    map
}

fn len(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
