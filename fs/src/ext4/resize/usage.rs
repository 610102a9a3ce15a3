//! What is in use, and so how small a filesystem can become.
//!
//! Nothing is moved: blocks in use stay where they are, and so do the bitmaps and inode tables of the
//! groups that stay. The groups behind go, with their metadata wherever that stands.

use std::ops::Range;

use super::bits;
use super::error::Result;
use super::fresh::tables;
use super::target::{groups_of, least_last};
use crate::ext4::GroupNo;
use crate::ext4::check::descriptor_ranges;
use crate::ext4::edit::Editor;
use crate::ext4::read::Superblock;

/// What holds a filesystem's end.
#[derive(Debug)]
pub(super) struct Usage {
    /// The block behind the last one that holds anything but metadata of groups.
    data_end: u64,
    /// So many groups have inodes in use, or stand before one that has.
    groups: u32,
    /// The block behind the last one of each group's metadata.
    metadata_ends: Vec<u64>,
}

impl Usage {
    /// Looks for the last block and the last inode in use.
    pub(super) fn find(editor: &mut Editor) -> Result<Self> {
        let superblock = editor.superblock().clone();
        let mut metadata = Vec::new();
        let mut metadata_ends = Vec::new();
        let mut groups = 1;
        for number in 0..superblock.groups() {
            let desc = editor.descriptor(GroupNo(number))?;
            let tables = tables(&superblock, &desc);
            metadata_ends.push(tables.iter().map(|range| range.end).max().unwrap_or(0));
            metadata.extend(tables);
            if desc.free_inodes_count() != superblock.inodes_per_group() {
                groups = number + 1;
            }
        }
        metadata.sort_unstable_by_key(|range| range.start);
        for number in (groups..superblock.groups()).rev() {
            editor.check_no_inodes(GroupNo(number))?;
        }
        let data_end = data_end(editor, &superblock, &metadata)?;
        Ok(Self {
            data_end,
            groups,
            metadata_ends,
        })
    }

    /// Returns the fewest blocks from `wanted` on that the filesystem can have.
    pub(super) fn fitting(&self, superblock: &Superblock, wanted: u64) -> u64 {
        let per_group = u64::from(superblock.blocks_per_group());
        let wanted_groups = groups_of(superblock, wanted).max(self.groups.into());
        let mut end = self.data_end;
        for (groups, metadata_end) in (1_u64..).zip(&self.metadata_ends) {
            end = end.max(*metadata_end);
            if groups < wanted_groups {
                continue;
            }
            let start = (groups - 1) * per_group + u64::from(superblock.first_data_block());
            let last = least_last(superblock, groups).min(per_group);
            let least = end.max(start + last).max(wanted);
            if least <= start + per_group {
                return least.min(superblock.blocks());
            }
        }
        superblock.blocks()
    }
}

/// Returns the block behind the last one in use that is no metadata of a group.
fn data_end(editor: &mut Editor, superblock: &Superblock, metadata: &[Range<u64>]) -> Result<u64> {
    for number in (0..superblock.groups()).rev() {
        let group = GroupNo(number);
        let Some(mut map) = editor.block_bitmap(group)? else {
            continue;
        };
        let start = superblock.group_start(group).0;
        let end = start + superblock.group_blocks(group);
        let from = metadata.partition_point(|range| range.end <= start);
        let own = metadata[from..]
            .iter()
            .take_while(|range| range.start < end)
            .cloned();
        for range in own.chain(descriptor_ranges(superblock, group)) {
            let within = range.start.max(start)..range.end.min(end);
            if within.start < within.end {
                bits::clear(&mut map, within.start - start..within.end - start);
            }
        }
        if let Some(last) = bits::last_set(&map, end - start) {
            return Ok(start + last + 1);
        }
    }
    Ok(0)
}
