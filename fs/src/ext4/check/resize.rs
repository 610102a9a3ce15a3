//! The resize inode: the blocks in reserve for group descriptors.
//!
//! Its double indirect block lists the reserved blocks behind the descriptors, each at the place of
//! the descriptor block that it will become; each of them lists the blocks at the same place in the
//! groups with a copy of the superblock.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use super::Check;
use crate::ext4::damage::{Damage, Location};
use crate::ext4::features::compat;
use crate::ext4::inode::{RawInode, mode};
use crate::ext4::read::{ReadError, Superblock};
use crate::ext4::{BlockNo, GroupNo, InodeNo};

/// The place of the double indirect pointer in `i_block`.
const DOUBLE: usize = 13;

impl Check<'_> {
    /// Checks the resize inode, or that there is none.
    pub(super) fn resize_inode(&mut self) -> Result<(), ReadError> {
        let at = Location::Inode(InodeNo::RESIZE);
        let Some(raw) = self.found(self.image.raw_inode(InodeNo::RESIZE))? else {
            return Ok(());
        };
        let superblock = self.superblock_of();
        let words = pointers(&raw.i_block);
        if !superblock.has_compat(compat::RESIZE_INODE) {
            if words.iter().any(|word| *word != 0) {
                let damage = Damage::Structure("it has blocks without the feature resize_inode");
                self.error(at, damage);
            }
            return Ok(());
        }
        match double(superblock, &raw, &words) {
            Ok(block) => self.reserve(block),
            Err(damage) => {
                self.error(at, damage);
                Ok(())
            }
        }
    }

    /// Checks the lists of reserved blocks. `e2fsck` looks at the first quarter of them only.
    fn reserve(&mut self, double: BlockNo) -> Result<(), ReadError> {
        let superblock = self.superblock_of();
        let blocks = self.access().blocks;
        let listed = pointers(&blocks.read(double)?);
        let count = u32::from(superblock.raw().s_reserved_gdt_blocks.get());
        let first = superblock
            .descriptor_block(0)
            .0
            .saturating_add(superblock.desc_blocks().into());
        for i in 0..count {
            let block = BlockNo(first.saturating_add(i.into()));
            let index = superblock.desc_blocks().saturating_add(i);
            let index = index.checked_rem(superblock.block_size() / 4).unwrap_or(0);
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let right = listed
                .get(at)
                .is_some_and(|word| u64::from(*word) == block.0)
                && lists_copies(superblock, &pointers(&blocks.read(block)?), block);
            if right {
                continue;
            }
            let at = Location::InodeBlock {
                inode: InodeNo::RESIZE,
                block,
            };
            let damage = Damage::Structure("the list of reserved descriptor blocks is wrong");
            if i < count / 4 {
                self.error(at, damage);
            } else {
                self.advise(at, damage);
            }
            return Ok(());
        }
        Ok(())
    }
}

fn pointers(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

/// Returns the double indirect block, if that is all the inode has.
fn double(superblock: &Superblock, raw: &RawInode, words: &[u32]) -> Result<BlockNo, Damage> {
    let others = words.iter().enumerate();
    if others
        .into_iter()
        .any(|(i, word)| i != DOUBLE && *word != 0)
    {
        return Err(Damage::Structure(
            "it has more than a double indirect block",
        ));
    }
    if raw.i_links_count.get() == 0 || raw.i_mode.get() & mode::FILE == 0 {
        return Err(Damage::Structure("it is not in use as a file"));
    }
    let block = BlockNo(words.get(DOUBLE).copied().unwrap_or(0).into());
    if block.0 == 0 {
        return Err(Damage::Structure("it has no double indirect block"));
    }
    superblock.check_blocks("the double indirect pointer", block, 1)?;
    Ok(block)
}

/// Tells whether the words of a reserved block list its copies.
fn lists_copies(superblock: &Superblock, words: &[u32], block: BlockNo) -> bool {
    let offset = block.0.saturating_sub(superblock.group_start(GroupNo(0)).0);
    let copies = (1..superblock.groups())
        .map(GroupNo)
        .filter(|group| superblock.has_super(*group))
        .map(|group| superblock.group_start(group).0.saturating_add(offset));
    words
        .iter()
        .zip(copies)
        .all(|(word, copy)| u64::from(*word) == copy)
}
