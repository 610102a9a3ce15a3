//! The fixed frame of an image: groups, backups and the descriptor reserve.
//!
//! ```text
//! group with a backup (0, 1 and the powers of 3, 5, 7), R = `Frame::reserve`:
//!   | superblock | group descriptors .. reserve | everything else              |
//!   0            1                              1+R                        32768
//! ```
//! The frame depends on [`Options`] only, so the ranges that are written last are known before the
//! first byte of content: see [`late_ranges`].

use std::ops::Range;

use super::Error;
use super::options::{Options, Size};
use super::units::{BLOCK_SIZE, BlockNo, GroupNo};

/// Blocks in a group: what one block of bitmap can tell.
pub(crate) const BLOCKS_PER_GROUP: u64 = 8 * BLOCK_SIZE;
/// Group descriptors in a block, at 64 bytes each.
pub(crate) const DESCS_PER_BLOCK: u64 = BLOCK_SIZE / 64;
/// Inodes in a block of an inode table, at 256 bytes each.
pub(crate) const INODES_PER_BLOCK: u64 = BLOCK_SIZE / 256;
/// The most inodes a group can have: what one block of bitmap can tell.
pub(crate) const MAX_INODES_PER_GROUP: u64 = 8 * BLOCK_SIZE;
/// The largest image in blocks: block numbers of the resize inode have 32 bits.
pub(crate) const MAX_BLOCKS: u64 = (1 << 32) - 1;
/// The reserve in blocks when nothing else is asked for: 8192 groups, 1 TiB.
const DEFAULT_RESERVE: u64 = 128;
/// The most blocks the resize inode can reserve: what one block of addresses can list.
const MAX_RESERVE: u64 = BLOCK_SIZE / 4;

/// Where backups stand, and how much room group descriptors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Blocks for group descriptors and their reserve, after each superblock.
    pub(crate) reserve: u64,
}

impl Frame {
    /// Derives the frame from the options.
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let wanted = match options.size {
            Size::Exact(bytes) => desc_blocks(groups(bytes / BLOCK_SIZE)),
            Size::Auto(_) => 0,
        };
        let reserve = match options.max_size {
            Some(max) => {
                let reserve = desc_blocks(groups(max.div_ceil(BLOCK_SIZE))).max(1);
                if max.div_ceil(BLOCK_SIZE) > MAX_BLOCKS || reserve > MAX_RESERVE.max(wanted) {
                    let limit = MAX_RESERVE * DESCS_PER_BLOCK * BLOCKS_PER_GROUP * BLOCK_SIZE;
                    return Err(Error::Option {
                        option: "max-size",
                        reason: format!("{max} bytes is more than the largest reserve, {limit}"),
                    });
                }
                if reserve < wanted {
                    return Err(Error::Option {
                        option: "max-size",
                        reason: format!("{max} bytes is less than the size asked for"),
                    });
                }
                reserve
            }
            None => DEFAULT_RESERVE.max(wanted),
        };
        Ok(Self { reserve })
    }

    /// Blocks at the start of a group that has a backup: superblock, descriptors, reserve.
    pub(crate) fn late_blocks(self) -> u64 {
        1 + self.reserve
    }

    /// The largest image that the reserve can describe, in blocks.
    pub(crate) fn max_blocks(self) -> u64 {
        (self.reserve * DESCS_PER_BLOCK * BLOCKS_PER_GROUP).min(MAX_BLOCKS)
    }

    /// The fewest blocks the last group of an image may have.
    pub(crate) fn min_last_group(self, group: GroupNo) -> u64 {
        if has_super(group) {
            self.late_blocks() + 50
        } else {
            50
        }
    }

    /// The late range that begins in `group`, if there is one, in blocks.
    pub(crate) fn late_range(self, group: GroupNo) -> Option<Range<u64>> {
        has_super(group).then(|| {
            let start = group_start(group).0;
            start..start + self.late_blocks()
        })
    }
}

/// Returns the byte ranges that are written last: superblock, descriptors and reserve at the start
/// and at every backup group, ascending, up to 16 TiB.
///
/// They depend on `options` only; all other writes ascend. The image may end before most of them.
///
/// # Errors
/// [`Error::Option`] as for [`write`](super::write).
pub fn late_ranges(options: &Options) -> Result<impl Iterator<Item = Range<u64>> + use<>, Error> {
    let frame = Frame::new(options)?;
    let last = u32::try_from(MAX_BLOCKS / BLOCKS_PER_GROUP).unwrap_or(u32::MAX);
    Ok((0..=last).filter_map(move |group| {
        let range = frame.late_range(GroupNo(group))?;
        Some(range.start * BLOCK_SIZE..range.end * BLOCK_SIZE)
    }))
}

/// Tells whether a group holds a superblock and descriptors (`sparse_super`).
pub(crate) fn has_super(group: GroupNo) -> bool {
    let is_power = |base: u32| {
        let mut left = group.0;
        while left > 1 && left.is_multiple_of(base) {
            left /= base;
        }
        left == 1
    };
    group.0 <= 1 || is_power(3) || is_power(5) || is_power(7)
}

/// Returns a group's first block.
pub(crate) fn group_start(group: GroupNo) -> BlockNo {
    BlockNo(u64::from(group.0) * BLOCKS_PER_GROUP)
}

/// Returns the number of groups of an image of so many blocks.
pub(crate) fn groups(blocks: u64) -> u64 {
    blocks.div_ceil(BLOCKS_PER_GROUP)
}

/// Returns the number of blocks that the descriptors of so many groups take.
pub(crate) fn desc_blocks(groups: u64) -> u64 {
    groups.div_ceil(DESCS_PER_BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_stand_in_powers_of_three_five_and_seven() {
        let found: Vec<u32> = (0..400)
            .filter(|&group| has_super(GroupNo(group)))
            .collect();
        assert_eq!(found, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }

    #[test]
    fn default_reserve_reaches_one_tebibyte() {
        let frame = Frame::new(&Options::default()).unwrap();
        assert_eq!(frame.reserve, 128);
        assert_eq!(frame.max_blocks() * BLOCK_SIZE, 1 << 40);
    }

    #[test]
    fn late_ranges_of_the_default_start_with_129_blocks() {
        let first: Vec<_> = late_ranges(&Options::default()).unwrap().take(3).collect();
        let group = 128 << 20;
        let late = 129 * 4096;
        assert_eq!(
            first,
            [0..late, group..group + late, 3 * group..3 * group + late]
        );
    }

    #[test]
    fn max_size_decides_the_reserve() {
        let options = Options {
            max_size: Some(16 << 30),
            ..Options::default()
        };
        assert_eq!(Frame::new(&options).unwrap().reserve, 2);
        let options = Options {
            max_size: Some(15 << 40),
            ..Options::default()
        };
        assert!(matches!(
            Frame::new(&options),
            Err(Error::Option {
                option: "max-size",
                ..
            })
        ));
        let options = Options {
            size: Size::Exact(4 << 40),
            ..Options::default()
        };
        assert_eq!(Frame::new(&options).unwrap().reserve, 512);
    }
}
