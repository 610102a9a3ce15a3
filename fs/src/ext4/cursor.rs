//! The one data cursor: hands out blocks in ascending order around the late ranges.

use super::geometry::{BLOCKS_PER_GROUP, Frame, has_super};
use super::units::{BlockNo, Extent, GroupNo};

/// The next free block, and where the next late range stops it.
///
/// It depends on the frame only, so that contents find their place as they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    frame: Frame,
    next: u64,
    limit: u64,
}

impl Cursor {
    /// Starts after the primary superblock, descriptors and reserve.
    pub(crate) fn new(frame: Frame) -> Self {
        Self {
            frame,
            next: frame.late_blocks(),
            limit: next_late(0),
        }
    }

    /// Returns the first block that has not been passed.
    pub(crate) fn position(&self) -> BlockNo {
        BlockNo(self.next)
    }

    /// Takes up to `wanted` (at least 1) blocks that are contiguous: the first, and how many.
    pub(crate) fn take(&mut self, wanted: u64) -> (BlockNo, u64) {
        if self.next == self.limit {
            self.pass_late();
        }
        let first = self.next;
        let count = wanted.min(self.limit - first);
        self.next += count;
        (BlockNo(first), count)
    }

    /// Takes exactly `wanted` contiguous blocks, leaving out what is too short before a late range;
    /// what was left out is pushed to `gaps`.
    pub(crate) fn take_contiguous(&mut self, wanted: u64, gaps: &mut Vec<Gap>) -> BlockNo {
        while self.limit - self.next < wanted {
            if self.next < self.limit {
                gaps.push(Gap {
                    start: BlockNo(self.next),
                    len: self.limit - self.next,
                });
            }
            self.pass_late();
        }
        let first = self.next;
        self.next += wanted;
        BlockNo(first)
    }

    /// Takes `count` blocks as extents of a file that starts at its logical block 0.
    pub(crate) fn take_extents(&mut self, count: u32) -> Vec<Extent> {
        let mut extents = Vec::new();
        let mut logical = 0;
        while logical < count {
            let (physical, len) = self.take(u64::from(count - logical));
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            extents.push(Extent {
                logical,
                len,
                physical,
            });
            logical += len;
        }
        extents
    }

    fn pass_late(&mut self) {
        self.next = self.limit + self.frame.late_blocks();
        self.limit = next_late(self.limit / BLOCKS_PER_GROUP);
    }
}

/// A run of blocks that nothing uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gap {
    /// Its first block.
    pub(crate) start: BlockNo,
    /// Its length in blocks.
    pub(crate) len: u64,
}

/// Returns the first block of the next backup group after `group`.
fn next_late(group: u64) -> u64 {
    let mut group = group + 1;
    while !has_super(GroupNo(u32::try_from(group).unwrap_or(u32::MAX))) {
        group += 1;
    }
    group * BLOCKS_PER_GROUP
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor::new(Frame { reserve: 128 })
    }

    #[test]
    fn take_stops_before_a_backup_and_goes_on_after_it() {
        let mut cursor = cursor();
        assert_eq!(cursor.take(100_000), (BlockNo(129), 32768 - 129));
        assert_eq!(cursor.take(10), (BlockNo(32768 + 129), 10));
    }

    #[test]
    fn take_contiguous_leaves_a_gap_that_is_reported() {
        let mut cursor = cursor();
        let mut gaps = Vec::new();
        cursor.take(32768 - 129 - 5);
        assert_eq!(cursor.take_contiguous(6, &mut gaps), BlockNo(32768 + 129));
        assert_eq!(
            gaps,
            [Gap {
                start: BlockNo(32763),
                len: 5
            }]
        );
    }

    #[test]
    fn take_contiguous_at_a_limit_leaves_no_gap() {
        let mut cursor = cursor();
        let mut gaps = Vec::new();
        cursor.take(32768 - 129);
        assert_eq!(cursor.take_contiguous(6, &mut gaps), BlockNo(32768 + 129));
        assert_eq!(gaps, []);
    }

    #[test]
    fn take_extents_covers_every_logical_block_once() {
        let extents = cursor().take_extents(40_000);
        assert_eq!(extents.len(), 2);
        assert_eq!(extents[1].logical, extents[0].len);
        assert_eq!(extents.iter().map(|extent| extent.len).sum::<u32>(), 40_000);
    }
}
