//! Which blocks are in use, group by group.

use std::ops::Range;

use super::size::Sized;
use crate::ext4::bitmap::Bitmap;
use crate::ext4::cursor::Gap;
use crate::ext4::geometry::{BLOCKS_PER_GROUP, Frame, group_start};
use crate::ext4::units::{BlockNo, GroupNo};

/// Everything below the end, and the late ranges, except the gaps.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    frame: Frame,
    blocks: u64,
    end: BlockNo,
    gaps: Vec<Gap>,
}

impl Usage {
    /// Joins the gaps of contents and tables.
    pub(crate) fn new(sized: &Sized, released: Vec<Gap>, frame: Frame) -> Self {
        let mut gaps = released;
        gaps.extend_from_slice(&sized.gaps);
        gaps.sort_unstable();
        Self {
            frame,
            blocks: sized.blocks,
            end: sized.end,
            gaps,
        }
    }

    /// Returns the blocks of a group.
    pub(crate) fn group(&self, group: GroupNo) -> Range<u64> {
        let start = group_start(group).0;
        start..(start + BLOCKS_PER_GROUP).min(self.blocks)
    }

    /// Tells whether a group holds nothing but its backup, so that its bitmap need not be written
    /// (`BLOCK_UNINIT`); never for the last group, whose bitmap ends early.
    pub(crate) fn untouched(&self, group: GroupNo) -> bool {
        let range = self.group(group);
        range.start >= self.end.0 && range.end < self.blocks
    }

    /// Returns the number of free blocks in a group.
    pub(crate) fn free(&self, group: GroupNo) -> u32 {
        let range = self.group(group);
        let free = if self.untouched(group) {
            let late = self
                .frame
                .late_range(group)
                .map_or(0, |late| late.end - late.start);
            range.end - range.start - late
        } else {
            BLOCKS_PER_GROUP - u64::from(self.bitmap(group).count(0..Bitmap::BITS))
        };
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// Makes a group's block bitmap; bits beyond the image are set.
    pub(crate) fn bitmap(&self, group: GroupNo) -> Bitmap {
        let range = self.group(group);
        let bits = |from: u64, to: u64| {
            let bit = |block: u64| {
                let inside = block.clamp(range.start, range.start + BLOCKS_PER_GROUP) - range.start;
                u32::try_from(inside).unwrap_or(Bitmap::BITS)
            };
            bit(from)..bit(to)
        };
        let mut bitmap = Bitmap::new();
        bitmap.set(bits(0, self.end.0));
        let first = self
            .gaps
            .partition_point(|gap| gap.start.0 + gap.len <= range.start);
        for gap in self.gaps[first..]
            .iter()
            .take_while(|gap| gap.start.0 < range.end)
        {
            bitmap.clear(bits(gap.start.0, gap.start.0 + gap.len));
        }
        if let Some(late) = self.frame.late_range(group) {
            bitmap.set(bits(late.start, late.end));
        }
        bitmap.set(bits(range.end, u64::MAX));
        bitmap
    }
}

/// Makes a group's inode bitmap: the first `used` of `per_group`, and all that do not exist.
pub(crate) fn inode_bitmap(used: u32, per_group: u32) -> Bitmap {
    let mut bitmap = Bitmap::new();
    bitmap.set(0..used);
    bitmap.set(per_group..Bitmap::BITS);
    bitmap
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bitmap_shows_gaps_backups_and_what_lies_beyond_the_end() {
        let usage = Usage {
            frame: Frame { reserve: 128 },
            blocks: 32_768 + 200,
            end: BlockNo(1000),
            gaps: vec![Gap {
                start: BlockNo(500),
                len: 10,
            }],
        };
        assert_eq!(usage.free(GroupNo(0)), 32_768 - 1000 + 10);
        assert_eq!(usage.free(GroupNo(1)), 200 - 129);
        assert!(!usage.untouched(GroupNo(1)));
        let bitmap = usage.bitmap(GroupNo(1));
        assert_eq!(
            [128, 129, 199, 200].map(|bit| bitmap.get(bit)),
            [true, false, false, true]
        );
    }
}
