//! Walking the block pointers of ext2 and ext3: direct, indirect, double and triple indirect.
//!
//! See [Direct/Indirect Block Addressing](https://docs.kernel.org/filesystems/ext4/dynamic.html#direct-indirect-block-addressing).
#![deny(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions
)]

use std::collections::HashSet;

use super::map::{Access, Mapped, Visitor};
use super::{Inode, ReadError};
use crate::ext4::damage::{Damage, Location};
use crate::ext4::{BlockNo, InodeNo};

/// Pointers in `i_block` that lead to content.
pub(crate) const DIRECT: usize = 12;

/// Walks the pointers in `i_block` and below.
pub(crate) fn walk(
    access: Access<'_>,
    inode: &Inode,
    visitor: &mut dyn Visitor,
) -> Result<(), ReadError> {
    let mut walk = Walk {
        access,
        inode: inode.number(),
        seen: HashSet::new(),
        visitor,
    };
    let at = Location::Inode(inode.number());
    let (direct, indirect) = inode
        .raw()
        .i_block
        .split_at_checked(DIRECT.saturating_mul(4))
        .unwrap_or_default();
    let mut next = walk.content(at, direct, 0)?;
    for (pointer, level) in pointers(indirect).zip(1..=3_u32) {
        let span = walk.span(level);
        if pointer.0 != 0 {
            walk.below(at, pointer, level, next)?;
        }
        next = next.saturating_add(span);
    }
    Ok(())
}

/// Returns the pointers that stand in bytes.
fn pointers(bytes: &[u8]) -> impl Iterator<Item = BlockNo> {
    let (words, _) = bytes.as_chunks::<4>();
    words
        .iter()
        .map(|word| BlockNo(u32::from_le_bytes(*word).into()))
}

struct Walk<'a> {
    access: Access<'a>,
    inode: InodeNo,
    /// Indirect blocks so far: a loop, or one block in many places, would make the walk endless.
    seen: HashSet<BlockNo>,
    visitor: &'a mut dyn Visitor,
}

impl Walk<'_> {
    /// Returns how many blocks of content a pointer of a level covers.
    fn span(&self, level: u32) -> u64 {
        let per_block = u64::from(self.access.superblock.block_size() / 4);
        per_block.saturating_pow(level)
    }

    /// Takes an indirect block: level 1 leads to content, 2 and 3 to blocks of the level below.
    fn below(
        &mut self,
        from: Location,
        block: BlockNo,
        level: u32,
        mut next: u64,
    ) -> Result<(), ReadError> {
        let at = Location::InodeBlock {
            inode: self.inode,
            block,
        };
        if let Err(damage) = self
            .access
            .superblock
            .check_blocks("an indirect pointer", block, 1)
        {
            return self.visitor.damage(from, damage);
        }
        if !self.seen.insert(block) {
            let damage = Damage::Structure("the block is the inode's indirect block already");
            return self.visitor.damage(at, damage);
        }
        if !self.visitor.node(block)? {
            return Ok(());
        }
        let bytes = self.access.blocks.read(block)?;
        if level == 1 {
            self.content(at, &bytes, next)?;
            return Ok(());
        }
        let span = self.span(level.saturating_sub(1));
        for pointer in pointers(&bytes) {
            if pointer.0 != 0 {
                self.below(at, pointer, level.saturating_sub(1), next)?;
            }
            next = next.saturating_add(span);
        }
        Ok(())
    }

    /// Takes pointers to content, the first of which is for block `next` of the file; returns the
    /// block after the last.
    fn content(&mut self, at: Location, bytes: &[u8], mut next: u64) -> Result<u64, ReadError> {
        let mut pending: Option<Mapped> = None;
        for pointer in pointers(bytes) {
            let logical = next;
            next = next.saturating_add(1);
            if let Some(run) = &mut pending
                && pointer.0 == run.physical.0.saturating_add(run.len)
                && self.access.superblock.contains(pointer)
            {
                run.len = run.len.saturating_add(1);
                continue;
            }
            if let Some(run) = pending.take() {
                self.visitor.run(run)?;
            }
            if pointer.0 == 0 {
                continue;
            }
            match self
                .access
                .superblock
                .check_blocks("a block pointer", pointer, 1)
            {
                Ok(()) => {
                    pending = Some(Mapped {
                        logical,
                        physical: pointer,
                        len: 1,
                        unwritten: false,
                    });
                }
                Err(damage) => self.visitor.damage(at, damage)?,
            }
        }
        if let Some(run) = pending {
            self.visitor.run(run)?;
        }
        Ok(next)
    }
}
