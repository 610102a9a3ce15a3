//! Where the levels of a tree stand: the highest first, the hashes of the data last.
//!
//! ```text
//! hash_offset | superblock, to a whole block | level n, one block | ... | level 0 |
//! ```
//! A block of a level holds 128 hashes. One block of data has no level: its hash is the root.

use super::error::{Error, Result};
use super::{BLOCK, HASHES, Parameters};
use crate::verity::superblock;

/// A level: blocks of hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Level {
    /// Where its first block starts, in bytes.
    pub(super) offset: u64,
    /// Its blocks.
    pub(super) blocks: u64,
}

/// All levels, that of the data's hashes first, and the end of the hash area in bytes.
pub(super) fn levels(parameters: &Parameters) -> Result<(Vec<Level>, u64)> {
    let mut counts = Vec::new();
    let mut below = parameters.data_blocks;
    while below > 1 {
        below = below.div_ceil(HASHES);
        counts.push(below);
    }
    let mut at = tree_start(parameters.hash_offset)?;
    let mut levels = Vec::new();
    for blocks in counts.into_iter().rev() {
        levels.push(Level { offset: at, blocks });
        at = blocks
            .checked_mul(BLOCK)
            .and_then(|len| at.checked_add(len))
            .filter(|end| *end <= forger_block::MAX_LEN)
            .ok_or(Error::Offset {
                offset: parameters.hash_offset,
                rule: "it would end beyond 8 EiB",
            })?;
    }
    levels.reverse();
    Ok((levels, at))
}

/// Returns where the tree begins behind its superblock: at a whole block.
pub(super) fn tree_start(hash_offset: u64) -> Result<u64> {
    let size = u64::try_from(superblock::SIZE).unwrap_or(u64::MAX);
    if !hash_offset.is_multiple_of(size) {
        return Err(Error::Offset {
            offset: hash_offset,
            rule: "it begins at a multiple of 512",
        });
    }
    hash_offset
        .checked_add(size)
        .and_then(|end| end.checked_next_multiple_of(BLOCK))
        .ok_or(Error::Offset {
            offset: hash_offset,
            rule: "it would end beyond 8 EiB",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data_blocks: u64, hash_offset: u64) -> (Vec<(u64, u64)>, u64) {
        let (levels, end) = levels(&Parameters {
            data_blocks,
            hash_offset,
            salt: Vec::new(),
            uuid: [0; 16],
        })
        .unwrap();
        let list = levels
            .iter()
            .map(|level| (level.offset / BLOCK, level.blocks));
        (list.collect(), end / BLOCK)
    }

    #[test]
    fn the_highest_level_comes_first() {
        assert_eq!(of(1, 0), (vec![], 1));
        assert_eq!(of(2, 0), (vec![(1, 1)], 2));
        assert_eq!(of(128, 0), (vec![(1, 1)], 2));
        assert_eq!(of(129, 0), (vec![(2, 2), (1, 1)], 4));
        assert_eq!(of(16_384, 512), (vec![(2, 128), (1, 1)], 130));
        assert_eq!(of(16_385, 4096), (vec![(5, 129), (3, 2), (2, 1)], 134));
    }

    #[test]
    fn places_that_cannot_be_are_refused() {
        for offset in [1, 511, 513, u64::MAX - 511] {
            assert!(tree_start(offset).is_err(), "{offset}");
        }
    }
}
